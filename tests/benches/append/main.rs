//! What an append costs beside a bare INSERT and beside the ways people write it by hand.
//!
//! `BENCH_EVENTS` (1,000,000): size of the large store for the next version; `BENCH_ROUNDS`; `BENCH_SLICE_MS` (500): wall
//! time per round and way where many clients work at once. `BENCH_ONLY=append,batches,read,crowd,next,commit` picks parts.

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each benchmark uses its own part")]
mod common;
mod comparison;
mod crowd;
mod single;
mod stores;

use std::{env, path::Path};

use common::{Client, QUIET, databases, print_json, print_table, server};
use comparison::Comparison;
use domain_events_tests::Db;

/// Measures on one database and adds rows to the table.
type Part = fn(&Db, &mut Vec<Comparison>);

fn main() {
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|p| p == part);
    let mut results = Vec::new();
    {
        let parts: [(&str, Part); 4] =
            [("append", single::append), ("batches", single::batches), ("read", single::read), ("crowd", crowd::four)];
        let cluster = server(&env::temp_dir(), &QUIET);
        let databases = databases(cluster);
        databases.iter().for_each(|db| stores::set_up(&mut Client::new(db, "postgres")));
        for (name, part) in parts {
            if wanted(name) {
                for db in &databases {
                    eprintln!("{name}, {}", db.engine.name());
                    part(db, &mut results);
                }
            }
        }
        if wanted("next") {
            for db in &databases {
                eprintln!("next, {}", db.engine.name());
                let large = Db::beside(cluster, db.engine);
                single::next_version(&Db::beside(cluster, db.engine), &large, &mut results);
            }
        }
    }
    if wanted("commit") {
        // Data in memory and a commit that waits: a fast disk's millisecond, the same on every machine.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { env::temp_dir() };
        let settings = [
            ("autovacuum", "off"),
            ("jit", "off"),
            ("shared_buffers", "512MB"),
            ("max_connections", "150"),
            ("fsync", "on"),
            ("commit_delay", "1000"),
            ("commit_siblings", "0"),
        ];
        for db in &databases(server(&parent, &settings)) {
            eprintln!("commit, {}", db.engine.name());
            stores::set_up(&mut Client::new(db, "postgres"));
            crowd::sixteen(db, &mut results);
        }
    }
    println!(
        "\nCPU time of the server per call, events/s is wall time; medians of interleaved rounds, the ratio of their ratios.\n"
    );
    let rows: Vec<Vec<String>> = results.iter().map(Comparison::cells).collect();
    print_table(&Comparison::HEADER, &[3, 4, 5], &rows);
    print_json(results.iter().map(Comparison::json));
}
