//! What the first captured change of a new connection costs above the same update of a table that is not captured, and what the
//! first one of each further table: an application that connects for every request pays it every time.
//!
//! `BENCH_ROUNDS` (100): connections of each kind.

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each benchmark uses its own part")]
mod common;

use std::time::Instant;

use common::{Client, Goal, databases, figure, median, print_json, print_table, server, setting};
use domain_events_tests::{Db, Engine};
use serde_json::json;

/// The first of a connection, then the further ones.
const TABLES: [&str; 3] = ["small", "wide", "keyed"];
const FIRST: &str = "first change";
const FURTHER: &str = "first change of a further table";

/// CPU of the server process, and what the client waited, in milliseconds.
type Cost = (f64, f64);

fn main() {
    let rounds = setting("BENCH_ROUNDS", 100);
    let cluster = server(&std::env::temp_dir(), &common::QUIET);
    let databases = databases(cluster);
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for db in &databases {
        set_up(db);
        let (mut plain, mut captured) = (Vec::new(), Vec::new());
        // Warms what sessions share, then the measured ones, interleaved.
        for round in 0..=rounds {
            for (prefix, all) in [("p", &mut plain), ("c", &mut captured)] {
                let costs = connection(db, prefix, round);
                if round > 0 {
                    all.push(costs);
                }
            }
        }
        for (work, part) in [(FIRST, 0..1), (FURTHER, 1..TABLES.len())] {
            let middle = |all: &[Vec<Cost>], of: fn(&Cost) -> f64| {
                median(&all.iter().flat_map(|costs| &costs[part.clone()]).map(of).collect::<Vec<f64>>())
            };
            let (bare, cost) = (middle(&plain, |cost| cost.0), middle(&captured, |cost| cost.0));
            let (bare_wall, wall) = (middle(&plain, |cost| cost.1), middle(&captured, |cost| cost.1));
            let goal = match (work, db.engine) {
                (FIRST, Engine::Native) => Goal::AtMost(2.0),
                (FIRST, _) => Goal::AtMost(3.0),
                _ => Goal::None,
            };
            let above = cost - bare;
            rows.push(vec![
                work.to_string(),
                db.engine.name().to_string(),
                format!("{bare:.2}"),
                format!("{cost:.2}"),
                format!("{above:.2}"),
                goal.text(),
                goal.verdict(above),
                format!("{:.1}", cost / bare),
                format!("{:.2}", wall - bare_wall),
            ]);
            lines.push(json!({
                "bench": "connect", "work": work, "engine": db.engine.name(), "plain_ms": figure(bare), "captured_ms": figure(cost),
                "above_ms": figure(above), "ratio": figure(cost / bare), "goal": goal.text(), "met": goal.met(above),
                "waited_above_ms": figure(wall - bare_wall),
            }));
        }
    }
    println!(
        "\nThe first captured change of a new connection, beside the same plain update; median of {rounds} connections.\n"
    );
    print_table(
        &["work", "engine", "plain, CPU ms", "captured", "above", "goal, ms", "met?", "x plain", "waited, ms above"],
        &[2, 3, 4, 7, 8],
        &rows,
    );
    print_json(lines);
}

fn set_up(db: &Db) {
    let mut owner = db.owner();
    for (prefix, is_captured) in [("p", false), ("c", true)] {
        owner.run(&format!(
            "create table {prefix}_small (id int primary key, n int);
             create table {prefix}_wide (id int primary key, n int, name text, email varchar(100), balance numeric(12,2),
                                         created timestamptz default now(), active bool default true, data jsonb default '{{}}', born date);
             create table {prefix}_keyed (id int primary key, n int, code uuid default gen_random_uuid(), tags text[]);"
        ));
        for table in TABLES {
            owner.run(&format!("insert into {prefix}_{table} (id, n) select g, 0 from generate_series(1, 1000) g"));
            if is_captured {
                owner.run(&format!("select domain_events.enable_capture('{prefix}_{table}')"));
            }
            owner.run(&format!("update {prefix}_{table} set n = n + 1"));
        }
    }
    db.admin().run("vacuum analyze");
}

/// The cost of the first update of each table, in a connection of its own.
fn connection(db: &Db, prefix: &str, round: usize) -> Vec<Cost> {
    let mut client = Client::new(db, "app_owner");
    TABLES
        .iter()
        .map(|table| {
            let update = format!("update {prefix}_{table} set n = n + 1 where id = {}", round % 1000 + 1);
            let began = Instant::now();
            let cpu = client.cpu_of(|client| client.run(&update));
            (cpu / 1000.0, began.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}
