//! What reading the whole store costs beside a plain scan in the order of positions, how far a reader is behind the commits of
//! 16 writers of whom one stays open, and what reading costs those who write: the index, and the number before the position.
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

use common::{Client, Cost, Goal, databases, figure, median, print_json, print_table, server, setting};
use domain_events_tests::Db;
use serde_json::{Value, json};

const PAGE: usize = 1000;

/// Whoever reads by position: fast, and loses what is committed late.
const BY_POSITION: &str = "create function public.by_position(after bigint, max_count int) returns setof domain_events.events
     language plpgsql volatile as $$ begin return query select * from domain_events.events e where e.global_position > after
     order by e.global_position limit max_count; end $$";

/// All pages within the server, each handed to a query that counts it and finds what the next one begins with.
fn loop_over(page: &str, next: &str, declared: &str) -> String {
    format!(
        "do $$ declare last {declared}; n bigint; found_last {declared}; begin loop
           select count(*), max(e.next) filter (where e.n = {PAGE}) into n, found_last
             from (select e.{next} as next, row_number() over () as n from {page} as e) as e;
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
        lines.extend(for_writers(db, rounds));
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
    let bare = loop_over(&format!("public.by_position(coalesce(last, 0), {PAGE})"), "global_position", "bigint");
    let ours = loop_over(&format!("domain_events.read_all(last, {PAGE})"), "cursor", "text");
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

/// What the index and the number before the position cost an append and a captured change: with neither, with the one and with
/// both, in turn.
fn for_writers(db: &Db, rounds: usize) -> Vec<Value> {
    const EVENTS: usize = 5000;
    let mut client = Client::new(db, "postgres");
    client.run("create table public.written (id int primary key, n int not null); insert into public.written select i, 0 from generate_series(1, 5000) as i;
                select domain_events.enable_capture('public.written')");
    let default =
        |text: &str| format!("alter table domain_events.events alter column global_position set default {text}");
    let sequence = "'domain_events.events_global_position_seq'::regclass";
    let works = [
        (
            "append",
            format!(
                "do $$ begin for i in 1..{EVENTS} loop perform domain_events.append_event('Cost', (i % 100)::text, 'E', '{{\"a\": 1}}'); end loop; end $$"
            ),
        ),
        ("capture", "update public.written set n = n + 1".to_owned()),
    ];
    let stores = [
        (
            "neither",
            "drop index domain_events.events_transaction_id_idx".to_owned(),
            default(&format!("nextval({sequence})")),
        ),
        (
            "index",
            "create index events_transaction_id_idx on domain_events.events (transaction_id, global_position)"
                .to_owned(),
            String::new(),
        ),
        (
            "both",
            String::new(),
            default(&format!("nextval(case when pg_catalog.pg_current_xact_id() is not null then {sequence} end)")),
        ),
    ];
    let mut costs = vec![vec![Vec::new(); stores.len()]; works.len()];
    for round in 0..=rounds {
        for (store, (_, index, default)) in stores.iter().enumerate() {
            client.run(index);
            client.run(default);
            for (work, (_, sql)) in works.iter().enumerate() {
                // The first change after the store was altered makes plans anew.
                client.run(sql);
                let cost = client.cost_of(|c| c.run(sql));
                if round > 0 {
                    costs[work][store].push(cost);
                }
            }
        }
    }
    let middle = |costs: &[Cost], of: fn(&Cost) -> f64| {
        median(&costs.iter().map(|cost| of(cost) / EVENTS as f64).collect::<Vec<_>>())
    };
    let mut lines = Vec::new();
    for (work, (name, _)) in works.iter().enumerate() {
        for (store, (parts, ..)) in stores.iter().enumerate() {
            let (cpu, wal) = (middle(&costs[work][store], |c| c.cpu), middle(&costs[work][store], |c| c.wal));
            println!("{}: {name} with {parts}: {cpu:.2} us, {wal:.0} bytes of WAL an event", db.engine.name());
            lines.push(json!({"bench": "read", "work": format!("{name} with {parts}"), "engine": db.engine.name(),
                              "cpu_us": figure(cpu), "wal_bytes": figure(wal)}));
        }
    }
    lines
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
