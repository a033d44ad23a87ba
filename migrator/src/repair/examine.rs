//! What is wrong with the versions of one table.

use serde::Serialize;
use sqlx::PgConnection;

use super::obstacles::{self, Obstacle};
use super::{Subject, key};
use crate::as_owner::{self, Owner};
use crate::error::Error;
use crate::judge::Severity;

/// Examples given with a finding.
const EXAMPLES: usize = 5;

/// One kind of fault in one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// RP and three digits.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Streams that have it.
    pub streams: i64,
    /// Events that have it; versions or numbers for what is missing.
    pub events: i64,
    /// In words.
    pub message: String,
    /// Some of the streams, as `(type, id): versions in the order of events`.
    pub examples: Vec<String>,
}

/// What was found in one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Examined {
    /// The table and its columns.
    #[serde(flatten)]
    pub subject: Subject,
    /// Its events that belong to a stream.
    pub events: i64,
    /// Its streams.
    pub streams: i64,
    /// Faults.
    pub findings: Vec<Finding>,
    /// Why it cannot be renumbered; empty if it can.
    pub obstacles: Vec<Obstacle>,
    /// Streams that a repair would renumber.
    pub repairable_streams: i64,
}

/// Events, streams, damaged and misplaced streams; then streams and events of each fault.
type Totals = ((i64, i64, i64, i64), [(i64, i64); 5]);

const DAMAGED: &str = "(duplicates > 0 or odd > 0 or missing > 0)";

/// Examines a table in the caller's READ ONLY transaction.
pub async fn examine(
    conn: &mut PgConnection,
    subject: &Subject,
    allowed: &[String],
    reorder: bool,
) -> Result<Examined, Error> {
    let owner = &Owner::of_table(conn, &subject.table).await?;
    let ((events, streams, damaged, misplaced), faulty) = totals(conn, owner, subject).await?;
    let order = subject.order_by.first().cloned().unwrap_or_else(|| subject.version_column.clone());
    let time = subject.time_column.clone().unwrap_or_default();
    let (e, w) = (Severity::Error, Severity::Warning);
    let faults = [
        ("RP101", e, "duplicates > 0", "events have the version of another event of their stream".to_owned()),
        ("RP102", e, "missing > 0", "versions are missing below the newest one of their stream".to_owned()),
        ("RP103", e, "odd > 0", "events have no version, or one that is no positive whole number".to_owned()),
        (
            "RP104",
            w,
            "misplaced > 0 and not DAMAGED",
            format!(
                "events of otherwise whole streams have a version that contradicts the order of {order} (--reorder renumbers them)"
            ),
        ),
        ("RP105", w, "backwards > 0", format!("events have an earlier {time} than the version before them")),
    ];
    let mut findings = vec![];
    for ((code, severity, condition, message), (streams, events)) in faults.into_iter().zip(faulty) {
        if streams > 0 {
            let examples = examples(conn, owner, subject, &condition.replace("DAMAGED", DAMAGED)).await?;
            findings.push(Finding {
                code,
                severity,
                streams,
                events,
                message: format!("{events} {message}"),
                examples,
            });
        }
    }
    findings.extend(lost(conn, owner, subject).await?);
    findings.extend(without_stream(conn, owner, subject).await?);
    if subject.unique_key.is_none() {
        let (severity, message) = key::lacking(conn, subject).await?;
        findings.push(Finding { code: "RP108", severity, streams: 0, events: 0, message, examples: vec![] });
    }
    // whatever is damaged is misplaced too
    let repairable_streams = if reorder { misplaced } else { damaged };
    Ok(Examined {
        obstacles: obstacles::find(conn, subject, allowed).await?,
        subject: subject.clone(),
        events,
        streams,
        findings,
        repairable_streams,
    })
}

async fn totals(conn: &mut PgConnection, owner: &Owner, subject: &Subject) -> Result<Totals, Error> {
    let sql = format!(
        "select array[coalesce(pg_catalog.sum(events), 0), pg_catalog.count(*), pg_catalog.count(*) filter (where {DAMAGED}),
                pg_catalog.count(*) filter (where misplaced > 0 or {DAMAGED}),
                pg_catalog.count(*) filter (where duplicates > 0), coalesce(pg_catalog.sum(duplicates), 0),
                pg_catalog.count(*) filter (where missing > 0), coalesce(pg_catalog.sum(missing), 0),
                pg_catalog.count(*) filter (where odd > 0), coalesce(pg_catalog.sum(odd), 0),
                pg_catalog.count(*) filter (where misplaced > 0 and not {DAMAGED}),
                coalesce(pg_catalog.sum(misplaced) filter (where not {DAMAGED}), 0),
                pg_catalog.count(*) filter (where backwards > 0), coalesce(pg_catalog.sum(backwards), 0)]::bigint[]
           from ({}) s",
        subject.streams()
    );
    let (numbers,): (Vec<i64>,) =
        as_owner::row(conn, owner, &sql, "numbers bigint[]", &[], &format!("examining {}", subject.table)).await?;
    let number = |n: usize| numbers.get(n).copied().unwrap_or_default();
    let pair = |n: usize| (number(4 + 2 * n), number(5 + 2 * n));
    Ok(((number(0), number(1), number(2), number(3)), [pair(0), pair(1), pair(2), pair(3), pair(4)]))
}

async fn examples(
    conn: &mut PgConnection,
    owner: &Owner,
    subject: &Subject,
    condition: &str,
) -> Result<Vec<String>, Error> {
    let sql = format!(
        "select kind::text, id::text, before from ({}) s where {condition} order by events, kind, id limit {EXAMPLES}",
        subject.streams()
    );
    let doing = format!("looking for examples in {}", subject.table);
    let rows: Vec<(Option<String>, String, String)> =
        as_owner::rows(conn, owner, &sql, "kind text, id text, before text", &[], &doing).await?;
    Ok(rows.into_iter().map(|(kind, id, before)| format!("{}: {before}", stream(kind.as_deref(), &id))).collect())
}

/// A stream as people read it.
pub(super) fn stream(kind: Option<&str>, id: &str) -> String {
    kind.map_or_else(|| id.to_owned(), |kind| format!("{kind} {id}"))
}

/// Numbers that the sequence gave out and no row has: an event that INSERT .. ON CONFLICT DO NOTHING or a handler dropped,
/// or a transaction that was rolled back. The table cannot tell which.
async fn lost(conn: &mut PgConnection, owner: &Owner, subject: &Subject) -> Result<Option<Finding>, Error> {
    let Some(counter) = &subject.counter else { return Ok(None) };
    let sql = format!(
        "select coalesce(pg_catalog.sum(hole), 0)::bigint, pg_catalog.count(*),
                coalesce((pg_catalog.array_agg(case hole when 1 then (number - 1)::text else pg_catalog.format('%s to %s', number - hole, number - 1) end order by number))[1:{EXAMPLES}], '{{}}')
           from (select n as number, n - pg_catalog.lag(n) over (order by n) - 1 as hole
                   from (select t.{}::bigint as n from {} t) as numbers) as holes
          where hole > 0",
        domain_events_sql::quote::quote_ident(counter),
        subject.table
    );
    let doing = format!("looking for gaps in {counter} of {}", subject.table);
    let (missing, holes, examples): (i64, i64, Vec<String>) =
        as_owner::row(conn, owner, &sql, "missing bigint, holes bigint, examples text[]", &[], &doing).await?;
    Ok((missing > 0).then(|| Finding {
        code: "RP106",
        severity: Severity::Info,
        streams: 0,
        events: missing,
        message: format!(
            "{missing} numbers in {holes} places are missing from {counter}: events dropped in silence, deleted, or rolled back; no repair brings them back"
        ),
        examples,
    }))
}

async fn without_stream(conn: &mut PgConnection, owner: &Owner, subject: &Subject) -> Result<Option<Finding>, Error> {
    let sql = format!("select pg_catalog.count(*) from {} t where not ({})", subject.table, subject.has_stream());
    let doing = format!("looking for events without a stream in {}", subject.table);
    let (events,): (i64,) = as_owner::row(conn, owner, &sql, "events bigint", &[], &doing).await?;
    Ok((events > 0).then(|| Finding {
        code: "RP107",
        severity: Severity::Warning,
        streams: 0,
        events,
        message: format!("{events} events have no aggregate and stay as they are"),
        examples: vec![],
    }))
}
