//! What reading the whole store costs beside a plain scan in the order of positions, and how far a reader is behind the commits of
//! 16 writers of whom one stays open.
//!
//! `BENCH_ROUNDS` (5), `BENCH_EVENTS` (200_000), `BENCH_SECONDS` (10): of writing.

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each benchmark uses its own part")]
mod common;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{Client, Goal, databases, figure, median, print_json, print_table, server, setting};
use domain_events_tests::Db;
use serde_json::{Value, json};

const PAGE: usize = 1000;

/// Whoever reads by position: fast, and loses what is committed late.
const BY_POSITION: &str = "create function public.by_position(after bigint, max_count int) returns setof domain_events.events
     language plpgsql volatile as $$ begin return query select * from domain_events.events e where e.global_position > after
     order by e.global_position limit max_count; end $$";

/// All pages within the server, each handed to a query that counts it.
fn loop_over(page: &str, next: &str, declared: &str) -> String {
    format!(
        "do $$ declare last {declared}; n bigint; found_last {declared}; begin loop
           select count(*), {next} into n, found_last from {page};
           exit when n = 0; last := found_last; end loop; end $$"
    )
}

fn main() {
    let (rounds, events) = (setting("BENCH_ROUNDS", 5), setting("BENCH_EVENTS", 200_000));
    let cluster =
        server(&std::env::temp_dir(), &[common::QUIET.as_slice(), &[("track_commit_timestamp", "on")]].concat());
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for db in &databases(cluster) {
        fill(db, events);
        for (work, bare, ours, goal) in [in_the_server(db, rounds, events), through_a_client(db, rounds, events)] {
            let ratio = bare / ours;
            rows.push(vec![
                work.into(),
                db.engine.name().into(),
                format!("{bare:.2}"),
                format!("{ours:.2}"),
                format!("{ratio:.2}"),
                goal.text(),
                goal.verdict(ratio),
            ]);
            lines.push(json!({
                "bench": "read", "work": work, "engine": db.engine.name(), "events": events, "by_position_us": figure(bare),
                "read_all_us": figure(ours), "throughput": figure(ratio), "goal": goal.text(), "met": goal.met(ratio),
            }));
        }
        lines.push(lag(db));
    }
    println!("\nCPU us an event, {events} events in pages of {PAGE}; median of {rounds}.\n");
    let header = ["work", "engine", "by position", "read_all", "throughput", "goal", "met?"];
    print_table(&header, &[2, 3, 4], &rows);
    print_json(lines);
}

fn fill(db: &Db, events: usize) {
    let mut admin = db.admin();
    admin.run(BY_POSITION);
    admin.run(&format!(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data, metadata, caused_by)
         select 'Order', (i % 1000)::text, i / 1000 + 1, 'OrderPlaced', jsonb_build_object('total', i, 'lines', jsonb_build_array(i)),
                '{{}}', 'app' from generate_series(0, {events} - 1) as i"
    ));
    admin.run("vacuum analyze domain_events.events");
}

fn in_the_server(db: &Db, rounds: usize, events: usize) -> (&'static str, f64, f64, Goal) {
    let bare =
        loop_over(&format!("public.by_position(coalesce(last, 0), {PAGE}) as e"), "max(e.global_position)", "bigint");
    let ours = loop_over(
        &format!("(select e.cursor, row_number() over () as n from domain_events.read_all(last, {PAGE}) as e) as e"),
        &format!("coalesce(max(e.cursor) filter (where e.n = {PAGE}), last)"),
        "text",
    );
    // The last page is full too, so that the loop ends after it.
    assert_eq!(events % PAGE, 0);
    let mut client = Client::new(db, "postgres");
    let (mut bare_us, mut ours_us) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (a, b) = (client.cpu_of(|c| c.run(&bare)), client.cpu_of(|c| c.run(&ours)));
        if round > 0 {
            bare_us.push(a / events as f64);
            ours_us.push(b / events as f64);
        }
    }
    ("catch-up in the server", median(&bare_us), median(&ours_us), Goal::AtLeast(0.5))
}

fn through_a_client(db: &Db, rounds: usize, events: usize) -> (&'static str, f64, f64, Goal) {
    let mut client = Client::new(db, "postgres");
    let (mut bare_us, mut ours_us) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let bare = client.cpu_of(|c| {
            for page in 0..events / PAGE {
                let after = (page * PAGE) as i64;
                let sql =
                    "select * from domain_events.events where global_position > $1 order by global_position limit $2";
                assert_eq!(c.call(sql, |q| q.bind(after).bind(PAGE as i32)), PAGE);
            }
        });
        let mut cursors: Vec<Option<String>> = vec![None];
        for _ in 1..events / PAGE {
            let last = cursors.last().cloned().flatten();
            let after = last.map_or("null".into(), |cursor| format!("'{cursor}'"));
            cursors.push(Some(
                client.text(&format!("select cursor from domain_events.read_all({after}, {PAGE}) offset {}", PAGE - 1)),
            ));
        }
        let ours = client.cpu_of(|c| {
            for cursor in &cursors {
                let sql = "select * from domain_events.read_all($1, $2)";
                assert_eq!(c.call(sql, |q| q.bind(cursor.clone()).bind(PAGE as i32)), PAGE);
            }
        });
        if round > 0 {
            bare_us.push(bare / events as f64);
            ours_us.push(ours / events as f64);
        }
    }
    ("catch-up through a client", median(&bare_us), median(&ours_us), Goal::None)
}

/// Milliseconds between a commit and the read that has its event, while 16 writers append and one more stays open for a second at
/// a time.
fn lag(db: &Db) -> Value {
    let stop = AtomicBool::new(false);
    let seconds = setting("BENCH_SECONDS", 10) as u64;
    let mut lags = thread::scope(|scope| {
        for writer in 0..16 {
            let stop = &stop;
            scope.spawn(move || {
                let mut session = db.owner();
                while !stop.load(Ordering::Relaxed) {
                    session.run(&format!("select domain_events.append_event('Lag', '{writer}', 'E')"));
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let stop = &stop;
        scope.spawn(move || {
            let mut session = db.owner();
            while !stop.load(Ordering::Relaxed) {
                session.run("begin; select domain_events.append_event('Lag', 'open', 'E')");
                thread::sleep(Duration::from_secs(1));
                session.run("select domain_events.append_event('Lag', 'open', 'E'); commit");
            }
        });
        let mut reader = db.admin();
        let mut cursor = reader.one("select domain_events.latest_cursor()");
        let (began, mut lags) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(seconds) {
            let rows = reader.rows(&format!(
                "select cursor, extract(epoch from clock_timestamp() - pg_xact_commit_timestamp(transaction_id::xid)) * 1000
                   from domain_events.read_all('{cursor}')"
            ));
            lags.extend(rows.iter().filter_map(|row| row[1].as_ref()?.parse::<f64>().ok()));
            if let Some(last) = rows.last().and_then(|row| row[0].clone()) {
                cursor = last;
            }
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        lags
    });
    lags.sort_by(f64::total_cmp);
    let at = |share: f64| lags[((lags.len() - 1) as f64 * share) as usize];
    let goal = Goal::AtMost(30.0);
    println!(
        "{}: a reader is behind the commits of 16 writers, one open for a second: p50 {:.1} ms, p95 {:.1} ms ({} events)",
        db.engine.name(),
        at(0.5),
        at(0.95),
        lags.len()
    );
    json!({"bench": "read", "work": "lag", "engine": db.engine.name(), "events": lags.len(), "p50_ms": figure(at(0.5)),
           "p95_ms": figure(at(0.95)), "goal": goal.text(), "met": goal.met(at(0.95))})
}
