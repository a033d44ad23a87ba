//! Reads a report from the store: the SQL functions judge, this asks them.

use std::time::Instant;

use sqlx::{PgConnection, Row as _};

use super::{Absent, Alert, Check, Failure, Failures, Finding, Integrity, Metric, Report, TypeCount, rows};
use crate::as_owner;
use crate::cli::MonitorArgs;
use crate::error::{Doing, Error};
use crate::{db, store};

/// Dead letters shown.
const FAILURES: i64 = 20;
/// Event types shown.
const TYPES: i64 = 10;

/// Refuses a role that may not read the store, with the role that may.
pub async fn expect_readable(conn: &mut PgConnection) -> Result<(), Error> {
    let readable: bool = sqlx::query_scalar(
        "select pg_catalog.has_table_privilege('domain_events.events', 'select') \
            and pg_catalog.has_function_privilege('domain_events.stats()', 'execute')",
    )
    .fetch_one(conn)
    .await
    .doing("reading the privileges")?;
    if readable {
        return Ok(());
    }
    Err(Error::refused(
        "42501",
        "this role may not read the event store",
        "Connect as a member of domain_events_reader.",
    ))
}

/// Runs what the arguments ask for; without any selection, all checks.
pub async fn report(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Report, Error> {
    let selected = args.check_integrity
        || args.check_performance
        || args.check_infrastructure
        || args.stats
        || args.failures
        || args.projections;
    let began = Instant::now();
    let mut report = head(conn).await?;
    report.is_full = args.full;
    if args.full || args.aggregate_type.is_some() {
        // one big sort instead of many small ones
        db::execute(conn, "set work_mem = '256MB'", "setting work_mem").await?;
    }
    let mut section = Instant::now();
    if args.check_infrastructure || !selected {
        report.infrastructure = Some(infrastructure(conn).await?);
        report.took("infrastructure", &mut section);
    }
    if args.check_integrity || !selected {
        report.integrity = Some(integrity(args, conn).await?);
        report.took(if args.full { "integrity: every event" } else { "integrity" }, &mut section);
    }
    if args.full && (args.check_integrity || !selected) {
        let (check, tables) = rows::check(conn, args.aggregate_type.as_deref()).await?;
        report.rows = Some(check);
        report.timings.extend(tables);
        section = Instant::now();
    }
    if args.check_performance || !selected {
        report.performance = Some(performance(args, conn).await?);
        let what = "performance: streams and payloads of every event";
        report.took(if args.full { what } else { "performance" }, &mut section);
    }
    if args.check_performance || args.stats || !selected {
        report.stats = Some(stats(conn).await?);
        report.took("statistics", &mut section);
    }
    report.all_stats = args.stats;
    if args.stats {
        report.event_types = Some(event_types(args, conn).await?);
        report.took("event types", &mut section);
    }
    if args.failures {
        report.failures = Some(failures(args, conn).await?);
        report.took("dead letters", &mut section);
    }
    if args.projections {
        report.projections = Some(Absent {
            available: false,
            reason: "this version of the store keeps no projections: there is nothing that could lag or fail",
        });
    }
    if args.alert {
        report.alerts = Some(alerts(report.standby, conn).await?);
        report.took("alerts: the checks of new events once more", &mut section);
    }
    let mut whole = began;
    report.took("all of it", &mut whole);
    Ok(report)
}

async fn head(conn: &mut PgConnection) -> Result<Report, Error> {
    let doing = "reading the engine";
    let row = sqlx::query(
        "select pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as checked_at, \
                pg_catalog.current_database()::text as database, pg_catalog.current_setting('server_version') as server_version, \
                current_user::text as role, pg_catalog.pg_is_in_recovery() as standby",
    )
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    as_owner::begin_read_only(conn, &[]).await?;
    let told = store::engine(conn).await;
    db::rollback(conn).await?;
    let (engine, version) = told?;
    Ok(Report {
        checked_at: row.try_get("checked_at").doing(doing)?,
        database: row.try_get("database").doing(doing)?,
        server_version: row.try_get("server_version").doing(doing)?,
        role: row.try_get("role").doing(doing)?,
        standby: row.try_get("standby").doing(doing)?,
        engine,
        version,
        infrastructure: None,
        integrity: None,
        rows: None,
        performance: None,
        stats: None,
        event_types: None,
        failures: None,
        projections: None,
        alerts: None,
        timings: vec![],
        is_full: false,
        all_stats: false,
    })
}

/// A finding as the checks give it.
type Row = (String, String, String, String, Option<f64>, Option<f64>);

/// What a check gives, with the types that it has.
const COLUMNS: &str = "code text, severity text, object text, detail text, value float8, threshold float8";

/// Runs a check that gives code, severity, object, detail, value and threshold. One that remembers how far it came writes.
async fn check(
    conn: &mut PgConnection,
    sql: &str,
    parameter: Option<&str>,
    flag: bool,
    writes: bool,
    doing: &str,
) -> Result<Check, Error> {
    let began = Instant::now();
    let arguments = [parameter, Some(if flag { "true" } else { "false" })];
    let rows: Vec<Row> = if writes {
        as_owner::tell_store(conn, sql, COLUMNS, &arguments, doing).await?
    } else {
        as_owner::ask_store(conn, sql, COLUMNS, &arguments, doing).await?
    };
    let seconds = began.elapsed().as_secs_f64();
    let finding = |(code, severity, object, detail, value, threshold): Row| Finding {
        code,
        severity,
        object,
        detail,
        value,
        threshold,
    };
    Ok(Check { seconds, findings: rows.into_iter().map(finding).collect() })
}

/// The checks' queries; $1 and $2, which are texts, are always there.
const INFRASTRUCTURE: &str = "select code, severity, object, detail, null::float8, null::float8 \
    from domain_events.check_infrastructure() where $1::text is null or $2::text::boolean order by severity, code, object";

const INTEGRITY_TYPE: &str = "select code, severity, coalesce(stream_type || coalesce(' ' || stream_id, ''), 'domain_events.events'), detail, \
    null::float8, null::float8 from domain_events.check_integrity($1::text) where $2::text::boolean order by 2, 1, 3";

const INTEGRITY_NEW: &str = "select code, severity, coalesce(stream_type || coalesce(' ' || stream_id, ''), 'domain_events.events'), detail, \
    null::float8, null::float8 from domain_events.check_integrity_incremental($2::text::boolean) where $1::text is null order by 2, 1, 3";

const PERFORMANCE: &str = "select code, severity, object, detail, value::float8, threshold::float8 \
    from domain_events.check_performance($1::text, $2::text::boolean) order by 2, 1, 5 desc, 3";

/// Functions, triggers, privileges, captures.
pub async fn infrastructure(conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, INFRASTRUCTURE, None, true, false, "checking the infrastructure").await
}

/// Only what came since the last run.
pub async fn new_events(conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, INTEGRITY_NEW, None, false, true, "checking the new events").await
}

async fn integrity(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Integrity, Error> {
    let full = args.full || args.aggregate_type.is_some();
    let check = match &args.aggregate_type {
        Some(kind) => check(conn, INTEGRITY_TYPE, Some(kind), true, false, "checking the events").await?,
        // what it finds is remembered, so that the next run looks at it again
        None if full => check(conn, INTEGRITY_NEW, None, true, true, "checking the events").await?,
        None => new_events(conn).await?,
    };
    let sql = "select s.verified_position from domain_events.integrity_state s";
    let doing = "reading how far the events are verified";
    let state: Vec<(Option<i64>,)> = as_owner::ask_store(conn, sql, "position int8", &[], doing).await?;
    let verified_position = state.into_iter().next().and_then(|(position,)| position);
    Ok(Integrity { mode: if full { "full" } else { "incremental" }, verified_position, check })
}

/// Size and speed.
pub async fn performance(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, PERFORMANCE, args.aggregate_type.as_deref(), args.full, false, "checking the performance").await
}

/// The numbers of the store.
pub async fn stats(conn: &mut PgConnection) -> Result<Vec<Metric>, Error> {
    let doing = "reading the statistics";
    let sql = "select metric, labels, value, kind, description from domain_events.stats()";
    let columns = "metric text, labels jsonb, value float8, kind text, description text";
    let rows: Vec<(String, serde_json::Value, f64, String, String)> =
        as_owner::ask_store(conn, sql, columns, &[], doing).await?;
    let metric = |(metric, labels, value, kind, description): (String, serde_json::Value, f64, String, String)| {
        Metric { metric, labels: labels.as_object().cloned().unwrap_or_default(), value, kind, description }
    };
    Ok(rows.into_iter().map(metric).collect())
}

async fn event_types(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Vec<TypeCount>, Error> {
    let doing = "counting the event types";
    let sql = format!(
        "select aggregate_type::text, event_type::text, count(*) from domain_events.events \
          where global_position > (select coalesce(max(e.global_position), 0) from domain_events.events e) \
                                  - (select value from domain_events.thresholds where name = 'sample_events') \
            and ($1::text is null or aggregate_type = $1::text) \
          group by 1, 2 order by 3 desc, 1, 2 limit {TYPES}"
    );
    let columns = "aggregate_type text, event_type text, events int8";
    let rows: Vec<(String, String, i64)> =
        as_owner::ask_store(conn, &sql, columns, &[args.aggregate_type.as_deref()], doing).await?;
    Ok(rows
        .into_iter()
        .map(|(aggregate_type, event_type, events)| TypeCount { aggregate_type, event_type, events })
        .collect())
}

/// A dead letter as it is read.
type Letter = (i64, String, String, String, String, String, String, i32);

async fn failures(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Failures, Error> {
    let doing = "reading the dead letters";
    let kind = args.aggregate_type.as_deref();
    let waiting = "stored_version is null and ($1::text is null or aggregate_type = $1::text)";
    let sql = format!("select count(*) from domain_events.capture_failures where {waiting}");
    let pending: Vec<(i64,)> = as_owner::ask_store(conn, &sql, "pending int8", &[kind], doing).await?;
    let pending = pending.first().map_or(0, |(pending,)| *pending);
    let sql = format!(
        "select failure_id, pg_catalog.to_char(failed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), table_name::text, operation::text, \
                aggregate_type || coalesce(' ' || aggregate_id, ''), error_code::text, error_message::text, retries \
           from domain_events.capture_failures where {waiting} order by failure_id desc limit {FAILURES}"
    );
    let columns = "failure_id int8, failed_at text, table_name text, operation text, stream text, error_code text, error_message text, retries int4";
    let rows: Vec<Letter> = as_owner::ask_store(conn, &sql, columns, &[kind], doing).await?;
    let failure = |(failure_id, failed_at, table, operation, stream, error_code, error_message, retries): Letter| {
        Failure { failure_id, failed_at, table, operation, stream, error_code, error_message, retries }
    };
    let newest = rows.into_iter().map(failure).collect();
    Ok(Failures { pending, newest })
}

async fn alerts(standby: bool, conn: &mut PgConnection) -> Result<Vec<Alert>, Error> {
    if standby {
        return Err(Error::refused(
            "25006",
            "alerts cannot be written on a standby",
            "Run monitor --alert against the primary.",
        ));
    }
    // one statement: alerts and notifications appear together
    let sql = "select alert_id, source::text, code::text, object::text from domain_events.raise_alerts()";
    let columns = "alert_id int8, source text, code text, object text";
    let rows: Vec<(i64, String, String, String)> =
        as_owner::tell_store(conn, sql, columns, &[], "raising alerts").await?;
    Ok(rows.into_iter().map(|(alert_id, source, code, object)| Alert { alert_id, source, code, object }).collect())
}
