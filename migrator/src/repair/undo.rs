//! Taking a repair back by its map, newest batch first.

use sqlx::PgConnection;

use super::choose::{Wanted, choose};
use super::renumber::{MAP, own_map, renumber};
use super::{Subject, carry};
use crate::apply::{self, journal};
use crate::as_owner::{self, Owner};
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::locks;
use crate::plan::Plan;
use crate::{judge, source};

/// Puts the old versions back and returns how many events got theirs. Refused where an event was renumbered again since, and
/// where a unique key made since forbids the old versions.
pub async fn undo(conn: &mut PgConnection, plan: &Plan, lock_timeout_ms: u32, ctx: &Context) -> Result<usize, Error> {
    let catalogue = source::read(conn).await?;
    let report = judge::judge(&catalogue);
    let mut subjects = vec![];
    for table in plan.event_tables.iter().rev() {
        let (kind, ids) = match table.stream.as_slice() {
            [kind, id] => (Some(kind), std::slice::from_ref(id)),
            stream => (None, stream),
        };
        let wanted = Wanted {
            tables: vec![table.table.clone()],
            type_column: kind.cloned(),
            id_columns: ids.to_vec(),
            version_column: table.version_column.clone(),
            order_by: vec![],
        };
        subjects.extend(choose(&wanted, &catalogue, &report)?);
    }
    apply::alone(conn, async |conn| batches(conn, plan, &subjects, lock_timeout_ms, ctx).await).await
}

async fn batches(
    conn: &mut PgConnection,
    plan: &Plan,
    subjects: &[Subject],
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<usize, Error> {
    let mut events = 0;
    for subject in subjects {
        let numbers: Vec<i32> = sqlx::query_scalar(
            "select distinct m.batch from domain_events.repaired_versions m where m.repair_id = $1 and m.event_table = $2 \
                and m.repaired_at is not null and m.undone_at is null order by 1 desc",
        )
        .bind(&plan.plan_id)
        .bind(&subject.table)
        .fetch_all(&mut *conn)
        .await
        .doing("reading the map")?;
        let bar = ctx.out.progress(numbers.len() as u64, "putting the old versions back");
        for number in numbers {
            events += locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
                batch(conn, plan, subject, number, lock_timeout_ms).await
            })
            .await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
        journal::plan_state(conn, plan, "rolled_back").await
    })
    .await?;
    Ok(usize::try_from(events).unwrap_or_default())
}

async fn batch(
    conn: &mut PgConnection,
    plan: &Plan,
    subject: &Subject,
    number: i32,
    lock_timeout_ms: u32,
) -> Result<i64, Error> {
    apply::prepare(conn).await?;
    db::pin_rendering(conn).await?;
    apply::take_locks(conn, &[&subject.table], crate::blockers::Mode::ShareRowExclusive, lock_timeout_ms).await?;
    let owner = Owner::of_table(conn, &subject.table).await?;
    own_map(conn, &owner, plan, subject, number).await?;
    let sql = format!(
        "select m.aggregate_type::text, m.aggregate_id::text from {MAP} m left join {} t on {}
          where {}::numeric is distinct from m.new_version limit 1",
        subject.table,
        subject.is_row_of(),
        subject.version(),
    );
    let changed: Vec<(Option<String>, String)> =
        as_owner::rows(conn, &owner, &sql, "kind text, id text", &[], "comparing the table with the map").await?;
    if let Some((kind, id)) = changed.into_iter().next() {
        return Err(Error::drift(
            format!(
                "an event of stream {} in {} was changed or deleted since repair {}",
                super::examine::stream(kind.as_deref(), &id),
                subject.table,
                plan.plan_id
            ),
            "This batch was not touched. The map is in domain_events.repaired_versions.",
        ));
    }
    let events = match renumber(conn, &owner, subject, number, "old_version", "new_version").await {
        Err(error) if error.sqlstate().as_deref() == Some("23505") => {
            return Err(Error::refused(
                "23505",
                format!("the old versions of {} are doubled, and a unique key forbids that now", subject.table),
                format!(
                    "Nothing was changed by repair {0}'s undoing. If the old versions must come back, drop that key first, then: domain-events rollback {0}",
                    plan.plan_id
                ),
            ));
        }
        other => other?,
    };
    sqlx::query(
        "update domain_events.repaired_versions m set undone_at = pg_catalog.clock_timestamp() \
          where m.repair_id = $1 and m.event_table = $2 and m.batch = $3",
    )
    .bind(&plan.plan_id)
    .bind(&subject.table)
    .bind(number)
    .execute(&mut *conn)
    .await
    .doing("marking the map")?;
    carry::note(conn, plan, &subject.table, "rollback", number, events).await?;
    Ok(events)
}
