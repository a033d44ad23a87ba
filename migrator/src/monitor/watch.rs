//! The live screen: rates, lag, newest events, and the checks once a minute.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::screen::{Paint, grouped};
use super::{Finding, Metric, exit, read};
use crate::as_owner;
use crate::cli::MonitorArgs;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::text::in_line;

/// How often the checks run.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Newest events shown.
const EVENTS: i64 = 12;

struct Checked {
    at: Instant,
    findings: Vec<Finding>,
}

/// Refreshes until it is interrupted, or `--count` times.
pub async fn run(args: &MonitorArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    let terminal = std::io::stdout().is_terminal();
    let mut checked = None;
    let mut before: Option<(Instant, f64)> = None;
    let mut refreshes = 0u32;
    loop {
        checked = Some(match checked {
            Some(recent @ Checked { at, .. }) if at.elapsed() < CHECK_EVERY => recent,
            _ => check(args, conn).await?,
        });
        let stats = read::stats(conn).await?;
        let events = newest(args, conn).await?;
        let now = (Instant::now(), value(&stats, "last_position", None));
        let rate = before.map(|(at, position)| (now.1 - position) / now.0.duration_since(at).as_secs_f64());
        before = Some(now);
        if terminal {
            // home, then clear what is below: less flicker than clearing first
            ctx.out.styled("\x1b[H\x1b[J")?;
        }
        print(&stats, &events, rate, checked.as_ref(), ctx)?;
        refreshes += 1;
        if args.count.is_some_and(|count| refreshes >= count) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval.into())) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|e| Error::io("waiting for the end", e))?;
                break;
            }
        }
    }
    let count =
        |severity: &str| checked.as_ref().map_or(0, |c| c.findings.iter().filter(|f| f.severity == severity).count());
    Ok(exit(count("error"), count("warning"), args.fail_on))
}

async fn check(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Checked, Error> {
    let all = !(args.check_integrity || args.check_performance || args.check_infrastructure);
    let mut findings = Vec::new();
    if all || args.check_infrastructure {
        findings.append(&mut read::infrastructure(conn).await?.findings);
    }
    if all || args.check_integrity {
        findings.append(&mut read::new_events(conn).await?.findings);
    }
    if args.check_performance {
        findings.append(&mut read::performance(args, conn).await?.findings);
    }
    Ok(Checked { at: Instant::now(), findings })
}

type Event = (i64, String, String, String, i64, String, Option<String>);

async fn newest(args: &MonitorArgs, conn: &mut PgConnection) -> Result<Vec<Event>, Error> {
    let sql = format!(
        "select e.global_position, pg_catalog.to_char(e.recorded_at at time zone 'UTC', 'HH24:MI:SS.MS'), e.aggregate_type::text, \
                e.aggregate_id::text, e.aggregate_version::int8, e.event_type::text, e.caused_by::text \
           from domain_events.events e where $1::text is null or e.aggregate_type = $1::text order by e.global_position desc limit {EVENTS}"
    );
    let columns = "position int8, recorded text, kind text, id text, version int8, event text, actor text";
    as_owner::ask_store(conn, &sql, columns, &[args.aggregate_type.as_deref()], "reading the newest events").await
}

fn value(stats: &[Metric], name: &str, label: Option<(&str, &str)>) -> f64 {
    stats.iter().find(|m| m.metric == name && m.has(label)).map_or(0.0, |m| m.value)
}

fn print(
    stats: &[Metric],
    events: &[Event],
    rate: Option<f64>,
    checked: Option<&Checked>,
    ctx: &Context,
) -> Result<(), Error> {
    let paint = Paint::stdout();
    let out = &ctx.out;
    let recent = |window| value(stats, "events_recent", Some(("window", window)));
    out.styled(paint.bold("Domain Events Live Monitor"))?;
    out.line(format!(
        "events   {} in {} streams, {} captures",
        grouped(value(stats, "events", None)),
        grouped(value(stats, "streams", None)),
        grouped(value(stats, "captures", Some(("state", "active")))),
    ))?;
    out.line(format!(
        "rate     {} now, {:.1}/s over 1 min, {:.1}/s over 1 h",
        rate.map_or("-".into(), |r| format!("{r:.1}/s")),
        recent("1m") / 60.0,
        recent("1h") / 3600.0
    ))?;
    let replication = stats.iter().find(|m| m.metric == "replication_lag_seconds");
    out.line(format!(
        "lag      readers {:.1} s{}",
        value(stats, "readers_lag_seconds", None),
        replication.map(|m| format!(", replication {:.1} s", m.value)).unwrap_or_default()
    ))?;
    out.line(format!("failures {} dead letters wait", grouped(value(stats, "capture_failures_pending", None))))?;
    if let Some(checked) = checked {
        let ago = checked.at.elapsed().as_secs();
        let serious: Vec<_> = checked.findings.iter().filter(|f| f.severity != "info").collect();
        match serious.len() {
            0 => out.styled(format!("checks   {} nothing found, {ago} s ago", paint.mark("ok")))?,
            n => out.styled(format!("checks   {} {n} findings, {ago} s ago", paint.mark("error")))?,
        }
        for finding in serious.iter().take(5) {
            out.styled(format!(
                "         {} {} {}: {}",
                paint.mark(&finding.severity),
                in_line(&finding.code),
                in_line(&finding.object),
                in_line(&finding.detail)
            ))?;
        }
    }
    out.line("")?;
    let rows = events.iter().map(|(position, time, kind, id, version, event_type, actor)| {
        vec![
            position.to_string(),
            time.clone(),
            event_type.clone(),
            format!("{kind} {}", id.chars().take(40).collect::<String>()),
            version.to_string(),
            actor.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    out.table(&["position", "recorded (UTC)", "event", "stream", "version", "caused by"], rows)
}
