#!/bin/sh
# Random queries against a throw-away server that has the extension: errors are expected, a crash of a server process is not.
#   tests/robustness/sqlsmith.sh [QUERIES [SEED]]
# Needs sqlsmith (Debian package) and the installed extension. PG_CONFIG chooses the server.
set -eu

queries=${1:-2000}
seed=${2:-1}
bin=$("${PG_CONFIG:-pg_config}" --bindir)
command -v sqlsmith >/dev/null || { echo "sqlsmith is not installed (Debian: apt-get install sqlsmith)" >&2; exit 2; }

dir=$(mktemp -d)
# The server refuses to run as root.
as=""
if [ "$(id -u)" = 0 ]; then
  as="runuser -u postgres --"
  chown postgres: "$dir"
fi
cleanup() {
  $as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cd /

$as "$bin/initdb" -D "$dir/data" --no-sync --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
# No core file is lost to a restart that hides the crash: one crash and the server stays down.
$as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start \
  -o "-k $dir -c listen_addresses='' -c fsync=off -c restart_after_crash=off -c jit=on -c jit_above_cost=0 -c log_min_messages=fatal" >/dev/null
export PGHOST="$dir" PGUSER=postgres PGDATABASE=smith

"$bin/createdb" smith
"$bin/psql" -X -q -o /dev/null -v ON_ERROR_STOP=1 <<'SQL'
create role domain_events_reader nologin;
create role domain_events_writer nologin;
create role domain_events_admin nologin;
create extension pg_domain_events;
alter database smith set statement_timeout = '5s';
create role smith login;
grant domain_events_reader, domain_events_writer, domain_events_admin to smith;
grant all on schema public to smith;
set client_min_messages = warning;
set role smith;
create type mood as enum ('sad', 'ok');
create type pair as (a int, b text);
create table users (id int primary key, name text, mood mood, pair pair, tags text[], data jsonb, raw json, at timestamptz, part numrange, n numeric);
create table orders (id int, line int, user_id int references users on delete cascade, price money, primary key (id, line));
create table sales (id int, region int, n int, primary key (id, region)) partition by list (region);
create table sales_0 partition of sales for values in (0);
create table sales_1 partition of sales default;
select domain_events.enable_capture('users', redact => '{raw}');
select domain_events.enable_capture('orders', payload => 'full');
select domain_events.enable_capture('sales', aggregate_id => '{id}');
insert into users select i, 'n' || i, 'ok', format('(%s,x)', i)::pair, array['t'], '{"k": 1}', '{"$value": 1}', now(), '[1,2)', i from generate_series(1, 50) as i;
insert into orders select i, 1, i, i::text::money from generate_series(1, 50) as i;
insert into sales select i, i % 3, i from generate_series(1, 50) as i;
SQL

status=0
# As an ordinary user who may capture, and as a superuser, who may call every function of the store, internal ones too.
for user in smith postgres; do
  echo "sqlsmith as $user: $queries queries, seed $seed"
  sqlsmith --target="host=$dir user=$user dbname=smith" --max-queries="$queries" --seed="$seed" --exclude-catalog --verbose 2>"$dir/smith.log" >/dev/null || true
  tail -n 4 "$dir/smith.log"
  # It writes rarely: the captures get their share in between.
  "$bin/psql" -X -q -U smith -c "update users set n = n + 1, raw = '{}'; update sales set region = region + 1; delete from orders where id % 2 = 0" || true
  if grep -aE 'terminated by signal|PANIC|TRAP:|server process .* exit code' "$dir/log"; then
    status=1
    break
  fi
done
"$bin/psql" -X -At -c "select 'the server lives, ' || count(*) || ' events' from domain_events.events" || status=1
[ $status = 0 ] || { echo "a server process crashed:" >&2; tail -n 50 "$dir/log" >&2; }
exit $status
