//! What the next version of a ported table costs beside a plain insert of the same row, in streams of few and of many events, and in
//! the middle of one long transaction.
//!
//! `BENCH_ROUNDS` (5), `BENCH_EVENTS` (100_000): events of the long stream.

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each benchmark uses its own part")]
mod common;

use common::{Client, Goal, databases, figure, median, print_json, print_table, server, setting};
use domain_events_tests::Db;
use serde_json::json;

/// Inserts in a measured piece.
const INSERTS: usize = 500;

/// What gives the version: nothing, the trigger that a plan makes, the call that a plan writes into a function.
const WAYS: [&str; 3] = ["plain", "shim", "rewrite"];

fn main() {
    let (rounds, long) = (setting("BENCH_ROUNDS", 5), setting("BENCH_EVENTS", 100_000));
    let cluster = server(&std::env::temp_dir(), &common::QUIET);
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for db in &databases(cluster) {
        set_up(db, long);
        let mut costs: Vec<Vec<f64>> = vec![vec![]; WAYS.len() * 2];
        for round in 0..=rounds {
            for (n, way) in WAYS.iter().enumerate() {
                for (m, stream) in ["short", "long"].iter().enumerate() {
                    let cost = piece(db, way, stream);
                    // the first warms
                    if round > 0 {
                        costs[n * 2 + m].push(cost);
                    }
                }
            }
        }
        let of = |n: usize| median(&costs[n]);
        for (n, way) in WAYS.iter().enumerate() {
            let (short, long_one) = (of(n * 2), of(n * 2 + 1));
            let goal = if n == 0 { Goal::None } else { Goal::AtMost(1.2) };
            rows.push(vec![
                (*way).into(),
                db.engine.name().into(),
                format!("{short:.1}"),
                format!("{long_one:.1}"),
                format!("{:.2}", long_one / short),
                goal.text(),
                goal.verdict(long_one / short),
                format!("{:.1}", long_one / of(1)),
            ]);
            lines.push(json!({
                "bench": "legacy", "way": way, "engine": db.engine.name(), "events": long, "short_us": figure(short), "long_us": figure(long_one),
                "ratio": figure(long_one / short), "goal": goal.text(), "met": goal.met(long_one / short), "to_plain": figure(long_one / of(1)),
            }));
        }
    }
    println!(
        "\nAn insert into a ported table, CPU us a row: {INSERTS} rows in one transaction, into streams of 10 events and one of {long}; median of {rounds}.\n"
    );
    print_table(
        &["version by", "engine", "10 events", "long stream", "long : 10", "goal", "met?", "x plain"],
        &[2, 3, 4, 7],
        &rows,
    );
    print_json(lines);
}

fn set_up(db: &Db, long: usize) {
    let mut owner = db.owner();
    for way in WAYS {
        owner.run(&format!(
            "create table {way} (seq bigserial primary key, tenant int not null, kind text not null, item text not null, version int not null, data jsonb, unique (tenant, kind, item, version));
             insert into {way} (tenant, kind, item, version, data) select 1, 'Thing', i::text, v, '{{}}' from generate_series(1, 1000) i, generate_series(1, 10) v;
             insert into {way} (tenant, kind, item, version, data) select 1, 'Thing', 'long', v, '{{}}' from generate_series(1, {long}) v"
        ));
        if way != "plain" {
            owner
                .run(&format!("select domain_events.register_event_table('{way}', '{{tenant,kind,item}}', 'version')"));
        }
    }
    // as a plan makes it
    owner.run(
        "create function shim_assign_version() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
         begin
           if new.tenant is not null and new.kind is not null and new.item is not null then
             new.version := domain_events.next_aggregate_version(array[format('%s', new.tenant), format('%s', new.kind), format('%s', new.item)], tg_relid::regclass);
           end if;
           return new;
         end $$;
         create trigger \"~domain_events_version\" before insert on shim for each row execute function shim_assign_version()",
    );
    db.admin().run("vacuum analyze");
}

/// CPU microseconds a row.
fn piece(db: &Db, way: &str, stream: &str) -> f64 {
    let mut client = Client::new(db, "app_owner");
    let item = |n: usize| if stream == "long" { "long".to_owned() } else { (n % 1000 + 1).to_string() };
    let insert = |n: usize| {
        let (item, version) = (item(n), 1_000_000 + n);
        let version = match way {
            "rewrite" => {
                format!("domain_events.next_aggregate_version(array['1', 'Thing', '{item}'], 'rewrite'::regclass)")
            }
            _ => version.to_string(),
        };
        format!(
            "insert into {way} (tenant, kind, item, version, data) values (1, 'Thing', '{item}', {version}, '{{}}')"
        )
    };
    client.run("begin");
    client.run(&insert(0));
    let cpu = client.cpu_of(|client| (1..=INSERTS).for_each(|n| client.run(&insert(n))));
    client.run("rollback");
    cpu / INSERTS as f64
}
