#!/usr/bin/env bash
# The legacy application's whole way from MySQL: a real MariaDB whose trigger loses writes, moved to PostgreSQL, and right there.
# Usage: CLI=path/to/domain-events tests/demo/mysql.sh [--engine portable|native]
set -euo pipefail
cd "$(dirname "$0")/../.."

source tests/demo/common.sh

dir=$(mktemp -d "${TMPDIR:-/tmp}/de-demo.XXXXXX")
maria_pid=
cleanup() {
  [[ -z $maria_pid ]] || { kill "$maria_pid" 2>/dev/null || true; wait "$maria_pid" 2>/dev/null || true; }
  server "$bin/pg_ctl" -D "$dir/postgres/data" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

maria() { mariadb --no-defaults --default-character-set=utf8mb4 --user=root --socket="$dir/maria/socket" "$@"; }
shown() { printf '%s' "${*//"$legacy"/mysql://root@legacy/shop}"; }

chapter "Two servers for the demonstration, gone when it ends"
chmod 755 "$dir"
mkdir "$dir/postgres" "$dir/maria"
maria_user=()
if [[ $(id -u) == 0 ]]; then
  chown mysql: "$dir/maria"
  maria_user=(--user=mysql)
fi
# A tmpdir of its own: a server that starts removes the temporary tables of whoever shares it.
maria_dirs=(--datadir="$dir/maria/data" --tmpdir="$dir/maria")
mariadb-install-db --no-defaults --skip-test-db --auth-root-authentication-method=normal "${maria_dirs[@]}" \
  "${maria_user[@]}" >"$dir/maria.log" 2>&1 || { cat "$dir/maria.log" >&2; fail "MariaDB cannot be set up"; }
# Only sockets in a directory of their own: no port, nothing listens on the network.
mariadbd --no-defaults "${maria_user[@]}" "${maria_dirs[@]}" --socket="$dir/maria/socket" --skip-networking \
  >"$dir/maria.log" 2>&1 &
maria_pid=$!
for _ in $(seq 300); do maria -e 'select 1' >/dev/null 2>&1 && break; sleep 0.2; done
maria -e 'create database shop character set utf8mb4 collate utf8mb4_unicode_ci'
maria shop <tests/demo/mysql.sql
legacy="mysql://root@localhost/shop?socket=$dir/maria/socket"
start_postgres "$dir/postgres"
say "MariaDB $(maria -BN -e 'select version()'), the legacy database: $(maria -BN shop -e 'select count(*) from users') users, $(maria -BN shop -e 'select count(*) from domain_events') events."
say "$("$bin/postgres" --version), empty."

chapter "The failure in MySQL: the second update of a user"
update='update users set login_count = login_count + 1 where id = 4'
say "${bold}$update;${off}"
before=$(maria -BN shop -e 'select login_count from users where id = 4')
if maria shop -e "$update" 2>"$dir/error"; then fail "the legacy trigger should have failed"; fi
printf '%s%s%s\n' "$red" "$(cat "$dir/error")" "$off"
after=$(maria -BN shop -e 'select login_count from users where id = 4')
[[ $before == "$after" ]] || fail "the write should have been lost"
say "The trigger's error took the user's own write with it: login_count was $before and still is $after."

chapter "Find the cause"
tool 0 install --engine "$engine"
tool 3 scan --from "$legacy"

chapter "Bring users and events over; versions that are wrong are refused, or repaired"
tool 0 import --yes --from "$legacy" --tables users
tool 1 import --yes --from "$legacy" --events domain_events
tool 0 import --yes --from "$legacy" --events domain_events --repair-versions

chapter "Port the trigger: plan, apply"
tool 3 plan --from "$legacy" --out plan.toml
tool 0 apply --yes plan.toml

chapter "The same update in PostgreSQL"
for id in 4 4 3 3; do
  say "${bold}update users set login_count = login_count + 1 where id = $id;${off}"
  sql -c "update users set login_count = login_count + 1 where id = $id"
done
say "${green}No update failed.${off}"
sql -c "
  select e.aggregate_id as id, u.name, u.login_count, count(*) as events, min(e.aggregate_version) as first, max(e.aggregate_version) as last
    from domain_events e join users u on u.id::text = e.aggregate_id where e.aggregate_type = 'User' group by 1, 2, 3 order by 1"

chapter "The store is whole"
tool 0 monitor --check-integrity --full

chapter "One event, written by the ported trigger, under the old name"
sql -x -c "
  select aggregate_type, aggregate_id, aggregate_version, event_type, caused_by_user_id, is_processed, jsonb_pretty(event_data) as event_data
    from domain_events where aggregate_id = '4' order by aggregate_version desc limit 1"

printf '%s%s%s\n' "$bold$green" "From MySQL to PostgreSQL: versions without duplicate or gap, no write lost." "$off"
