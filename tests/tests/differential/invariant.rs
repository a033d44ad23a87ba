//! SPEC 6's universal invariant: versions 1..n, and the fold of a stream is its row.

use crate::{
    model::Check,
    runner::{Counts, Finding, Side},
    value::quote,
};

/// Fails where the invariant does not hold; returns a digest of the captured tables' rows.
pub fn check(side: &mut Side, checks: &[Check], counts: &mut Counts) -> Result<String, Finding> {
    let broken = side.checker.table(
        "select aggregate_type, aggregate_id, min(aggregate_version), max(aggregate_version), count(*)
           from domain_events.events group by 1, 2
         having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*) limit 3",
    );
    if !broken.is_empty() {
        return Err(Finding::new(
            format!("versions {}", side.engine),
            format!("versions are not 1..n (type|id|min|max|count):\n{broken}"),
        ));
    }
    let lost = side.checker.table(
        "select table_name, operation, aggregate_id, event_type, error_code, error_message from domain_events.capture_failures
          where error_code <> '22004' limit 3",
    );
    if !lost.is_empty() {
        return Err(Finding::new(
            format!("dead letter {}", side.engine),
            format!("changes that could not be captured (table|operation|id|type|code|message):\n{lost}"),
        ));
    }
    let mut digests = String::new();
    for check in checks {
        let name = quote(&check.aggregate_type);
        // A capture that was not made (the statement was refused), is paused, or waits for dead letters, says nothing.
        let active = side.checker.number(&format!(
            "select count(*) from domain_events.captures where aggregate_type = {name} and state = 'active' and pending_failures = 0"
        ));
        if active == 0 {
            continue;
        }
        let since = side.since.get(&check.aggregate_type).copied().unwrap_or(0);
        let unchecked = check.unchecked.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ");
        let query = format!(
            "with live as materialized ({rows}),
                  stream as materialized (
                    select aggregate_id collate \"default\" as id, max(global_position) as newest
                      from domain_events.events where aggregate_type = {name} group by 1),
                  sides as (
                    select id, newest, live.row - array[{unchecked}]::text[] as row,
                           case when newest is not null then domain_events.fold_stream({name}, id) end - array[{unchecked}]::text[] as fold
                      from live full join stream using (id))
             select 'digest', count(*)::text, md5(string_agg(id || row::text, ',' order by id collate \"C\")), null from sides where row is not null
             union all
             (select 'wrong', id, row::text, fold::text from sides
               where (newest > {since} or ({strict} and newest is null and row is not null)) and row::text is distinct from fold::text
               order by id limit 3)",
            rows = check.rows,
            strict = check.strict,
        );
        let rows = match side.checker.attempt(&query) {
            Ok(rows) => rows,
            Err(failure) => {
                return Err(Finding::new(format!("check {}", side.engine), format!("{failure}\nin {query}")));
            }
        };
        counts.folds += 1;
        let mut wrong = String::new();
        for row in rows {
            let text = |n: usize| row[n].as_deref().unwrap_or("~");
            if text(0) == "digest" {
                digests += &format!("{} {} {}\n", check.aggregate_type, text(1), text(2));
            } else {
                wrong += &format!("stream {}\n row  {}\n fold {}\n", text(1), text(2), text(3));
            }
        }
        if !wrong.is_empty() {
            return Err(Finding::new(
                format!("fold {}", side.engine),
                format!("{}: the fold is not the row\n{wrong}", check.aggregate_type),
            ));
        }
    }
    Ok(digests)
}
