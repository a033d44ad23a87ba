//! Reads a report from the store: the SQL functions judge, this asks them.

use std::time::Instant;

use sqlx::{Connection, PgConnection, Row};

use super::{Absent, Alert, Check, Failure, Failures, Finding, Integrity, Metric, Report, TypeCount, rows};
use crate::cli::MonitorArgs;
use crate::db;
use crate::error::{Doing, Error};

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
    let row = sqlx::query(
        "select pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as checked_at, \
                pg_catalog.current_database()::text as database, pg_catalog.current_setting('server_version') as server_version, \
                current_user::text as role, pg_catalog.pg_is_in_recovery() as standby, e.engine, e.version \
           from domain_events.engine() as e",
    )
    .fetch_one(conn)
    .await
    .doing("reading the engine")?;
    let doing = "reading the engine";
    Ok(Report {
        checked_at: row.try_get("checked_at").doing(doing)?,
        database: row.try_get("database").doing(doing)?,
        server_version: row.try_get("server_version").doing(doing)?,
        role: row.try_get("role").doing(doing)?,
        standby: row.try_get("standby").doing(doing)?,
        engine: row.try_get("engine").doing(doing)?,
        version: row.try_get("version").doing(doing)?,
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

/// Runs a check that gives code, severity, object, detail, value and threshold.
async fn check(
    conn: &mut PgConnection,
    sql: &str,
    parameter: Option<&str>,
    flag: bool,
    doing: &str,
) -> Result<Check, Error> {
    let began = Instant::now();
    let rows = sqlx::query(sql).bind(parameter).bind(flag).fetch_all(conn).await.doing(doing)?;
    let seconds = began.elapsed().as_secs_f64();
    let findings = rows
        .iter()
        .map(|row| {
            Ok(Finding {
                code: row.try_get(0)?,
                severity: row.try_get(1)?,
                object: row.try_get(2)?,
                detail: row.try_get(3)?,
                value: row.try_get(4)?,
                threshold: row.try_get(5)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .doing(doing)?;
    Ok(Check { seconds, findings })
}

/// The checks' columns, in the order that [`check`] wants; $1 and $2 are always there.
const INFRASTRUCTURE: &str = "select code, severity, object, detail, null::float8, null::float8 \
    from domain_events.check_infrastructure() where $1::text is null or $2::boolean order by severity, code, object";

const INTEGRITY_TYPE: &str = "select code, severity, coalesce(stream_type || coalesce(' ' || stream_id, ''), 'domain_events.events'), detail, \
    null::float8, null::float8 from domain_events.check_integrity($1) where $2::boolean order by 2, 1, 3";

const INTEGRITY_NEW: &str = "select code, severity, coalesce(stream_type || coalesce(' ' || stream_id, ''), 'domain_events.events'), detail, \
    null::float8, null::float8 from domain_events.check_integrity_incremental($2) where $1::text is null order by 2, 1, 3";

const PERFORMANCE: &str = "select code, severity, object, detail, value::float8, threshold::float8 \
    from domain_events.check_performance($1, $2) order by 2, 1, 5 desc, 3";

/// Functions, triggers, privileges, captures.
pub async fn infrastructure(conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, INFRASTRUCTURE, None, true, "checking the infrastructure").await
}

/// Only what came since the last run.
pub async fn new_events(conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, INTEGRITY_NEW, None, false, "checking the new events").await
}

async fn integrity(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Integrity, Error> {
    let full = args.full || args.aggregate_type.is_some();
    let check = match &args.aggregate_type {
        Some(kind) => check(conn, INTEGRITY_TYPE, Some(kind), true, "checking the events").await?,
        // what it finds is remembered, so that the next run looks at it again
        None if full => check(conn, INTEGRITY_NEW, None, true, "checking the events").await?,
        None => new_events(conn).await?,
    };
    let verified_position = sqlx::query_scalar("select verified_position from domain_events.integrity_state")
        .fetch_optional(conn)
        .await
        .doing("reading how far the events are verified")?;
    Ok(Integrity { mode: if full { "full" } else { "incremental" }, verified_position, check })
}

/// Size and speed.
pub async fn performance(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Check, Error> {
    check(conn, PERFORMANCE, args.aggregate_type.as_deref(), args.full, "checking the performance").await
}

/// The numbers of the store.
pub async fn stats(conn: &mut PgConnection) -> Result<Vec<Metric>, Error> {
    let doing = "reading the statistics";
    let rows = sqlx::query("select metric, labels, value, kind, description from domain_events.stats()")
        .fetch_all(conn)
        .await
        .doing(doing)?;
    rows.iter()
        .map(|row| {
            let labels: serde_json::Value = row.try_get(1)?;
            Ok(Metric {
                metric: row.try_get(0)?,
                labels: labels.as_object().cloned().unwrap_or_default(),
                value: row.try_get(2)?,
                kind: row.try_get(3)?,
                description: row.try_get(4)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .doing(doing)
}

async fn event_types(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Vec<TypeCount>, Error> {
    let doing = "counting the event types";
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select aggregate_type, event_type, count(*) from domain_events.events \
          where global_position > (select coalesce(max(e.global_position), 0) from domain_events.events e) \
                                  - (select value from domain_events.thresholds where name = 'sample_events') \
            and ($1::text is null or aggregate_type = $1) \
          group by 1, 2 order by 3 desc, 1, 2 limit $2",
    )
    .bind(args.aggregate_type.as_deref())
    .bind(TYPES)
    .fetch_all(conn)
    .await
    .doing(doing)?;
    Ok(rows
        .into_iter()
        .map(|(aggregate_type, event_type, events)| TypeCount { aggregate_type, event_type, events })
        .collect())
}

async fn failures(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Failures, Error> {
    let doing = "reading the dead letters";
    let kind = args.aggregate_type.as_deref();
    let pending = sqlx::query_scalar(
        "select count(*) from domain_events.capture_failures where stored_version is null and ($1::text is null or aggregate_type = $1)",
    )
    .bind(kind)
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    let rows = sqlx::query(
        "select failure_id, pg_catalog.to_char(failed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), table_name, operation, \
                aggregate_type || coalesce(' ' || aggregate_id, ''), error_code, error_message, retries \
           from domain_events.capture_failures where stored_version is null and ($1::text is null or aggregate_type = $1) \
          order by failure_id desc limit $2",
    )
    .bind(kind)
    .bind(FAILURES)
    .fetch_all(conn)
    .await
    .doing(doing)?;
    let newest = rows
        .iter()
        .map(|row| {
            Ok(Failure {
                failure_id: row.try_get(0)?,
                failed_at: row.try_get(1)?,
                table: row.try_get(2)?,
                operation: row.try_get(3)?,
                stream: row.try_get(4)?,
                error_code: row.try_get(5)?,
                error_message: row.try_get(6)?,
                retries: row.try_get(7)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .doing(doing)?;
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
    // a transaction of its own: alerts and notifications appear together
    let mut transaction = conn.begin().await.doing("raising alerts")?;
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as("select alert_id, source, code, object from domain_events.raise_alerts()")
            .fetch_all(&mut *transaction)
            .await
            .doing("raising alerts")?;
    transaction.commit().await.doing("raising alerts")?;
    Ok(rows.into_iter().map(|(alert_id, source, code, object)| Alert { alert_id, source, code, object }).collect())
}
