//! What the benchmarks share: servers, measured connections, medians, tables.
//!
//! Figures are CPU time of the server process (the kernel's own account of the backend), medians of interleaved rounds, and
//! are only to be read as a ratio to a baseline of the same run: wall time says little on a machine that does other work.

mod client;
mod report;

pub use client::{Client, Cost, connect_options};
pub use report::{Goal, figure, print_json, print_table};

use std::{env, path::Path};

use domain_events_tests::{Cluster, Db, Engine};

/// Settings that leave only the work itself: nothing in the background, no waiting for a disk, no page images in the WAL.
pub const QUIET: [(&str, &str); 10] = [
    ("autovacuum", "off"),
    ("synchronous_commit", "off"),
    ("wal_writer_flush_after", "2GB"), // else small transactions wake the WAL writer now and then
    ("full_page_writes", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("work_mem", "64MB"),
];

/// A server that lives as long as the benchmark.
pub fn server(parent: &Path, settings: &[(&str, &str)]) -> &'static Cluster {
    Box::leak(Box::new(Cluster::start_in(parent, settings)))
}

/// A database per engine that can be installed here; `BENCH_ENGINE=portable` or `native` leaves one of them.
pub fn databases(cluster: &'static Cluster) -> Vec<Db> {
    let only = env::var("BENCH_ENGINE").unwrap_or_default();
    let wanted = |engine: &Engine| only.is_empty() || only == engine.name();
    let mut engines = vec![Engine::Portable];
    let mut admin = cluster.connect("postgres", "postgres");
    if admin.number("select count(*) from pg_available_extensions where name = 'pg_domain_events'") > 0 {
        engines.push(Engine::Native);
    } else {
        eprintln!("The native engine is absent: it is not installed in this server (make install).");
    }
    let databases: Vec<Db> = engines.into_iter().filter(wanted).map(|engine| Db::beside(cluster, engine)).collect();
    assert!(!databases.is_empty(), "BENCH_ENGINE={only}: there is no such engine here");
    databases
}

/// A number from the environment.
pub fn setting(name: &str, default: usize) -> usize {
    match env::var(name) {
        Ok(text) => text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
