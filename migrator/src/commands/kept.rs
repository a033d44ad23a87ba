//! The way back after `uninstall --keep-events`: a new installation takes the kept events over, as they are.

use sqlx::PgConnection;

use crate::engine_sql::SCHEMA;
use crate::error::{Doing, Error};
use crate::script::Step;

/// The name of the kept schema while the new one is made.
const ASIDE: &str = "_domain_events_kept";

/// How many events are there.
pub async fn count(conn: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar("select count(*) from domain_events.events")
        .fetch_one(conn)
        .await
        .doing("counting the kept events")
}

/// Installs between two steps: the kept schema goes aside, and gives its events to the new store.
pub fn around(install: Vec<Step>) -> Vec<Step> {
    let aside =
        format!("lock table {SCHEMA}.events in access exclusive mode;\nalter schema {SCHEMA} rename to {ASIDE};");
    let mut steps = vec![Step::new("the kept events, out of the way", aside)];
    steps.extend(install);
    steps.push(Step::new("the kept events, into the store", take_over()));
    steps.push(Step::new("what had kept them", format!("drop schema {ASIDE} cascade;")));
    steps
}

/// Every column as it was. Positions that were drawn are not drawn again; what was adopted or imported is known by a block
/// of positions, of which the first installation had a row each.
fn take_over() -> String {
    format!(
        "do $take_over$
declare
  kept bigint;
  taken bigint;
begin
  insert into {SCHEMA}.events (global_position, transaction_id, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name,
                               event_data, metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
  select k.global_position, k.transaction_id, k.event_id, k.aggregate_type, k.aggregate_id, k.aggregate_version, k.event_type, k.event_name,
         k.event_data, k.metadata, k.correlation_id, k.causation_id, k.caused_by, k.schema_version, k.occurred_at, k.recorded_at, k.origin::text
    from {ASIDE}.events k order by k.global_position;
  get diagnostics taken = row_count;
  select count(*) into kept from {ASIDE}.events;
  if taken <> kept then
    raise exception '% of % kept events were taken over', taken, kept
      using errcode = '55000', hint = 'Nothing was changed. Look for rules and triggers on the kept table.';
  end if;
  perform pg_catalog.setval('{SCHEMA}.events_global_position_seq', drawn.position)
    from (select greatest((select max(e.global_position) from {SCHEMA}.events e),
                          pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass('{ASIDE}.events_global_position_seq'))) as position) as drawn
   where drawn.position is not null;
  insert into {SCHEMA}.adoptions (source, state, first_position, last_position, first_place, moved, events, ended_at)
  select 'kept events that had been ' || b.origin, 'moved', min(b.global_position), max(b.global_position), 1, count(*), count(*), pg_catalog.clock_timestamp()
    from (select e.global_position, e.origin::text as origin,
                 row_number() over (order by e.global_position) - row_number() over (partition by e.origin order by e.global_position) as block
            from {SCHEMA}.events e) as b
   where b.origin in ('imported', 'adopted') group by b.origin, b.block order by 3;
end
$take_over$;"
    )
}
