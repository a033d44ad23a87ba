# What the demonstrations share: sourced by them, in bash, at the root of the repository.
engine=portable
if [[ ${1:-} == --engine ]]; then engine=$2; fi
cli=$(realpath "${CLI:-target/debug/domain-events}")
debian=/usr/lib/postgresql/15/bin/pg_config
if [[ -z ${PG_CONFIG:-} ]]; then PG_CONFIG=pg_config; [[ -x $debian ]] && PG_CONFIG=$debian; fi
bin=$("$PG_CONFIG" --bindir)

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' cyan=$'\e[36m' off=$'\e[0m'
else
  bold='' dim='' red='' green='' cyan='' off=''
fi

# The server refuses to run as root: then it runs as user postgres.
server() { (cd / && if [[ $(id -u) == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi); }
chapter() { printf '\n%s== %s%s\n' "$bold$cyan" "$1" "$off"; }
say() { printf '%s\n' "$1"; }
fail() { printf '%s%s%s\n' "$red" "$1" "$off" >&2; exit 1; }
sql() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }

# shown ARGUMENTS: a command's arguments as a person would type them.
shown() { printf '%s' "$*"; }

# tool EXIT-CODE ARGUMENTS: shows the command, runs it, and insists on its exit code.
tool() {
  local want=$1 got=0
  shift
  printf '%s$ domain-events %s%s\n' "$bold" "$(shown "$@")" "$off"
  (cd "$dir" && "$cli" "$@" 2>&1) || got=$?
  [[ $got == "$want" ]] || fail "domain-events $1 ended with exit code $got instead of $want"
  printf '%s(exit code %s)%s\n\n' "$dim" "$got" "$off"
}

# start_postgres DIRECTORY: an empty server there, in the environment of what follows.
start_postgres() {
  local directory=$1
  [[ $(id -u) == 0 ]] && chown postgres: "$directory"
  server env -u RUST_BACKTRACE "$bin/initdb" -D "$directory/data" --no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  export PGHOST=$directory PGPORT=5432 PGUSER=postgres PGDATABASE=shop
  # Only a socket in a directory of its own: no port, nothing listens on the network.
  server env -u RUST_BACKTRACE "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w -s \
    -o "-c listen_addresses='' -c unix_socket_directories='$directory' -c fsync=off" start
  export DATABASE_URL="postgres:///shop?host=$directory&port=5432&user=postgres"
  "$bin/createdb" shop
}
