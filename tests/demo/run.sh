#!/usr/bin/env bash
# The whole story on a throw-away server: a legacy database that loses writes, ported, and right under load.
# Usage: CLI=path/to/domain-events tests/demo/run.sh [--engine portable|native]
set -euo pipefail
cd "$(dirname "$0")/../.."

source tests/demo/common.sh

dir=$(mktemp -d "${TMPDIR:-/tmp}/domain-events-demo.XXXXXX")
cleanup() {
  server "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

chapter "A server for the demonstration, gone when it ends"
start_postgres "$dir"
sql -f tests/demo/legacy.sql
say "$("$bin/postgres" --version); a legacy database with $(sql -At -c 'select count(*) from users') users and $(sql -At -c 'select count(*) from domain_events') events."

chapter "The failure: the second update of a user"
say "${bold}update users set login_count = login_count + 1 where id = 4;${off}"
before=$(sql -At -c 'select login_count from users where id = 4')
if sql -c 'update users set login_count = login_count + 1 where id = 4' 2>"$dir/error"; then
  fail "the legacy trigger should have failed"
fi
printf '%s%s%s\n' "$red" "$(head -2 "$dir/error")" "$off"
after=$(sql -At -c 'select login_count from users where id = 4')
[[ $before == "$after" ]] || fail "the write should have been lost"
say "The trigger's error took the user's own write with it: login_count was $before and still is $after."

chapter "Install the store, find the cause"
tool 0 install --engine "$engine"
tool 3 scan

chapter "Plan, apply, verify"
tool 3 plan --out plan.toml
tool 0 apply --yes plan.toml
tool 0 verify plan.toml

chapter "The same updates, from 8 sessions at once"
sessions=8 rounds=25
say "$sessions sessions, $rounds rounds each, all on the same 5 users:"
say "${bold}update users set login_count = login_count + 1 where id = ...;${off}"
for session in $(seq $sessions); do
  for round in $(seq $rounds); do
    for id in 2 3 4 5 6; do echo "update users set login_count = login_count + 1 where id = $id;"; done
  done >"$dir/session$session.sql"
  sql -f "$dir/session$session.sql" >"$dir/session$session.out" 2>&1 &
  pids[session]=$!
done
failed=0
for session in $(seq $sessions); do wait "${pids[session]}" || failed=$((failed + 1)); done
[[ $failed == 0 ]] || { cat "$dir"/session*.out >&2; fail "$failed sessions failed"; }
say "${green}No session failed.${off}"

chapter "The versions"
sql -c "
  select u.id, u.login_count, count(e.id) as events, min(e.aggregate_version) as first, max(e.aggregate_version) as last
    from users u join domain_events e on e.aggregate_type = 'User' and e.aggregate_id = u.id::text
   where u.id between 2 and 6 group by u.id order by u.id"

chapter "The integrity check"
check="
  select count(*) filter (where events <> versions) as duplicates,
         count(*) filter (where last - first + 1 <> versions or first <> 1) as streams_with_gaps,
         (select count(*) from users u where u.id between 2 and 6 and u.login_count <>
            (select count(*) from domain_events e where e.aggregate_type = 'User' and e.aggregate_id = u.id::text)) as lost_writes
    from (select count(*) as events, count(distinct aggregate_version) as versions, min(aggregate_version) as first, max(aggregate_version) as last
            from domain_events group by aggregate_type, aggregate_id) as streams"
sql -c "$check"
[[ $(sql -At -c "$check") == "0|0|0" ]] || fail "the versions are not what they must be"

chapter "One event"
sql -x -c "
  select aggregate_type, aggregate_id, aggregate_version, event_type, jsonb_pretty(event_data) as event_data, occurred_at
    from domain_events where aggregate_id = '4' order by aggregate_version desc limit 1"

printf '%s%s%s\n' "$bold$green" "Versions without duplicate or gap, no write lost." "$off"
say "Everything above is undone with: domain-events rollback; domain-events uninstall --drop-events"
