#!/usr/bin/env bash
# What an import of events costs beside psql's \copy of the same finished rows into the same table, and its peak memory.
# Usage: CLI=target/release/domain-events tests/benches/import.sh   (BENCH_EVENTS=1000000, BENCH_ROUNDS=3)
set -euo pipefail
cd "$(dirname "$0")/../.."

events=${BENCH_EVENTS:-1000000} rounds=${BENCH_ROUNDS:-3}
cli=$(realpath "${CLI:-target/release/domain-events}")
debian=/usr/lib/postgresql/15/bin/pg_config
if [[ -z ${PG_CONFIG:-} ]]; then PG_CONFIG=pg_config; [[ -x $debian ]] && PG_CONFIG=$debian; fi
bin=$("$PG_CONFIG" --bindir)
dir=$(mktemp -d "${TMPDIR:-/tmp}/de-bench.XXXXXX")
server() { (cd / && if [[ $(id -u) == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi); }
cleanup() {
  server "$bin/pg_ctl" -D "$dir/server/data" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 755 "$dir"
mkdir "$dir/server"
[[ $(id -u) == 0 ]] && chown postgres: "$dir/server"
server "$bin/initdb" -D "$dir/server/data" --no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C.UTF-8 >/dev/null
export PGHOST=$dir/server PGPORT=5432 PGUSER=postgres
server "$bin/pg_ctl" -D "$dir/server/data" -l "$dir/server/log" -w -s -o "-c listen_addresses='' -c unix_socket_directories='$dir/server' \
  -c autovacuum=off -c full_page_writes=off -c jit=off -c shared_buffers=512MB -c max_wal_size=16GB -c checkpoint_timeout=1h" start
sql() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }

echo "a dump of $events events in $((events / 10)) streams ..." >&2
{
  cat <<'DUMP'
SET NAMES utf8mb4;
SET TIME_ZONE='+00:00';
CREATE TABLE `domain_events` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, `event_id` char(36) NOT NULL, `aggregate_type` varchar(100) NOT NULL,
  `aggregate_id` varchar(100) NOT NULL, `aggregate_version` bigint(20) unsigned NOT NULL, `event_type` varchar(150) NOT NULL,
  `event_name` varchar(200) NOT NULL, `event_data` json NOT NULL, `event_metadata` json DEFAULT NULL, `caused_by_user_id` bigint(20) unsigned DEFAULT NULL,
  `correlation_id` varchar(100) DEFAULT NULL, `causation_id` varchar(100) DEFAULT NULL, `occurred_at` timestamp NOT NULL, `recorded_at` timestamp NOT NULL,
  `is_processed` tinyint(1) NOT NULL DEFAULT 0, `processed_at` timestamp NULL DEFAULT NULL, `processing_error` text DEFAULT NULL, `processing_attempts` int(10) unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`), UNIQUE KEY `event_id` (`event_id`), UNIQUE KEY `uk_aggregate_version` (`aggregate_type`,`aggregate_id`,`aggregate_version`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
DUMP
  sql -d postgres -At -c "
    select 'INSERT INTO \`domain_events\` VALUES ' || string_agg(format('(%s,%L,''User'',''%s'',%s,''UserUpdated'',''User profile updated'',%L,NULL,%s,NULL,NULL,%L,%L,1,%L,NULL,0)',
             n, md5(n::text)::uuid, n % ($events / 10), n / ($events / 10) + 1,
             format('{\"old_values\": {\"name\": \"User %s\", \"email\": \"user%s@example.com\", \"status\": \"active\", \"login_count\": %s}, \"new_values\": {\"name\": \"User %s\", \"email\": \"user%s@example.com\", \"status\": \"active\", \"login_count\": %s}}', n, n, n, n, n, n + 1),
             n % 1000, t.at, t.at, t.at), ',' order by n) || ';'
      from generate_series(0, $events - 1) n cross join lateral (select to_char(timestamp '2025-01-01' + n * interval '1 second', 'YYYY-MM-DD HH24:MI:SS') as at) t
     group by n / 2000 order by n / 2000"
} >"$dir/dump.sql"

columns="global_position, aggregate_version, event_id, aggregate_type, aggregate_id, event_type, event_name, event_data, metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin"
now() { date +%s.%N; }
fresh() {
  sql -d postgres -c "drop database if exists $1" -c "create database $1" 2>/dev/null
  DATABASE_URL="postgres:///$1?host=$PGHOST&port=5432&user=postgres" "$cli" install --engine portable >/dev/null
  sql -d postgres -c checkpoint
}
# import DATABASE ARGUMENTS: seconds and peak memory in MB
import() {
  local database=$1 began peak=0 pid value
  shift
  began=$(now)
  DATABASE_URL="postgres:///$database?host=$PGHOST&port=5432&user=postgres" "$cli" import --yes --from "$dir/dump.sql" --events domain_events \
    --rejects "$dir/rejects" "$@" >"$dir/out" 2>&1 &
  pid=$!
  while value=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && [[ -n $value ]]; do peak=$value; sleep 0.05; done
  wait "$pid" || { cat "$dir/out" >&2; exit 1; }
  echo "$(now) $began $peak" | awk '{ printf "%.2f %.0f\n", $1 - $2, $3 / 1024 }'
}
copy() {
  local began
  began=$(now)
  sql -d "$1" -c "\\copy domain_events.events ($columns) from '$dir/rows'"
  [[ $2 == events ]] || sql -d "$1" -c "\\copy legacy from '$dir/side'" -c 'alter table legacy add primary key (id), add unique (event_id)'
  echo "$(now) $began" | awk '{ printf "%.2f\n", $1 - $2 }'
}

printf '%-34s %10s %10s %10s\n' "$events events" 'import/s' '\copy/s' 'ratio'
for part in "events --no-view" "both"; do
  read -r what flags <<<"$part"
  ratios=() peak=0 imports=() copies=()
  for _ in $(seq "$rounds"); do
    fresh imported
    read -r seconds memory < <(import imported $flags)
    if [[ ! -s $dir/rows ]]; then
      sql -d imported -c "\\copy (select $columns from domain_events.events order by global_position) to '$dir/rows'"
    fi
    fresh copied
    if [[ $what == both ]]; then
      [[ -s $dir/side ]] || sql -d imported -c "\\copy (select * from domain_events_legacy order by id) to '$dir/side'"
      "$bin/pg_dump" -d imported -t domain_events_legacy --schema-only --section=pre-data -x -O | sed -n '/^CREATE TABLE/,/^);/p' |
        sed 's/domain_events_legacy/legacy/' | sql -d copied
      sql -d copied -c 'alter table legacy add unique (aggregate_type, aggregate_id, aggregate_version)'
    fi
    copied=$(copy copied "$what")
    imports+=("$seconds") copies+=("$copied")
    ratios+=("$(echo "$copied $seconds" | awk '{ printf "%.3f", $1 / $2 }')")
    ((memory <= peak)) || peak=$memory
  done
  median() { printf '%s\n' "$@" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }
  echo "$what $events $(median "${imports[@]}") $(median "${copies[@]}") $(median "${ratios[@]}") $peak" |
    awk '{ printf "%-34s %10.0f %10.0f %10.2f   peak memory %d MB\n", $1 == "events" ? "events alone (--no-view)" : "events and legacy columns", $2 / $3, $2 / $4, $5, $6 }'
done
