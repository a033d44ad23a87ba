#!/usr/bin/env bash
# What a scan of many migrations and of a large dump costs: CPU seconds and peak memory, beside `grep` for the triggers in the same files.
# Usage: CLI=target/release/domain-events tests/benches/scan.sh   (BENCH_MIGRATIONS=1000, BENCH_DUMP_MB=100)
set -euo pipefail
cd "$(dirname "$0")/../.."

migrations=${BENCH_MIGRATIONS:-1000} megabytes=${BENCH_DUMP_MB:-100}
cli=$(realpath "${CLI:-target/release/domain-events}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/de-scan.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# A table, its log and the trigger that writes it; every fifth migration changes one of before.
migration() {
  local n=$1
  if ((n % 5 == 0)); then
    echo "alter table thing_$((n - 1)) add column note_$n text default 'none'; create index on thing_$((n - 1)) (note_$n);"
    return
  fi
  cat <<SQL
create table thing_$n (id bigserial primary key, name text not null, state text check (state in ('new', 'open', 'done')), price numeric(12,2), created_at timestamptz default now());
create table thing_${n}_events (id bigserial primary key, thing_id bigint not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (thing_id, version));
create or replace function log_thing_$n() returns trigger language plpgsql as \$\$
declare
  next_version int;
begin
  if tg_op = 'UPDATE' and old.state is distinct from new.state then
    select coalesce(max(version), 0) + 1 into next_version from thing_${n}_events where thing_id = new.id;
    insert into thing_${n}_events (thing_id, version, event_type, data) values (new.id, next_version, 'ThingMoved', to_jsonb(new));
  elsif tg_op = 'INSERT' then
    insert into thing_${n}_events (thing_id, version, event_type, data) values (new.id, 1, 'ThingCreated', to_jsonb(new));
  end if;
  return new;
end \$\$;
create trigger log_thing_$n after insert or update on thing_$n for each row execute function log_thing_$n();
SQL
}

mkdir "$dir/migrations"
for n in $(seq "$migrations"); do
  migration "$n" >"$dir/migrations/V${n}__change.sql"
done
{
  for n in $(seq 1 4); do migration "$n"; done
  echo "COPY public.thing_1 (id, name, state, price, created_at) FROM stdin;"
  awk -v bytes=$((megabytes * 500000)) 'BEGIN { while (written < bytes) { line = ++n "\tthing number " n "\topen\t12.50\t2025-01-01 00:00:00+00"; print line; written += length(line) + 1 } }'
  echo '\.'
  awk -v bytes=$((megabytes * 500000)) 'BEGIN { while (written < bytes) { line = "INSERT INTO public.thing_2 (id, name, state, price) VALUES (" ++n ", \x27it\x27\x27s thing; number " n "\x27, \x27new\x27, 7.25);"; print line; written += length(line) + 1 } }'
} >"$dir/dump.sql"

# cost COMMAND ..: CPU seconds and peak memory in MB; the exit code of a scan with findings is 3
cost() {
  python3 - "$@" <<'PY'
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
assert code in (0, 3), code
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{used.ru_utime + used.ru_stime:.2f} {used.ru_maxrss / 1024:.0f}")
PY
}
printf '%-22s %12s %12s %8s %12s\n' "" "scan CPU s" "grep CPU s" "ratio" "peak MB"
for what in migrations dump.sql; do
  read -r seconds memory < <(cost "$cli" scan --from "$dir/$what")
  read -r baseline _ < <(cost grep -riEc 'create.*trigger|insert into' "$dir/$what")
  size=$(du -sm --apparent-size "$dir/$what" | cut -f1)
  echo "$what $seconds $baseline $memory $size" |
    awk '{ printf "%-22s %12.2f %12.2f %8.0f %12d\n", $1 " (" $5 " MB)", $2, $3, ($3 > 0 ? $2 / $3 : 0), $4 }'
done
