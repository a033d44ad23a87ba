//! Many clients at once: throughput, and what a commit of one millisecond leaves of it.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::Db;

use crate::{
    common::{Client, Goal, setting},
    comparison::{Better, Comparison},
    stores::{self, APPEND_EVENT, ByHand},
};

/// Streams of each client; no two clients share one.
const STREAMS: usize = 500;

/// A way to append, and how far each client has come with it.
struct Way {
    name: &'static str,
    sql: String,
    knows_version: bool,
    rate: Vec<f64>,
    cpu: Vec<f64>,
}

/// Four clients on different streams, bound by the CPU.
pub fn four(db: &Db, results: &mut Vec<Comparison>) {
    let ways = run(db, 4, vec![bare(), ours()]);
    let [bare, ours] = &ways[..] else { unreachable!("two ways in, two out") };
    let goal = Goal::AtLeast(if db.engine.name() == "native" { 0.9 } else { 0.5 });
    let work = "append_event, 4 clients";
    results.push(Comparison::new(db, work, bare.name, &bare.rate, &ours.rate, Better::Rate, goal));
    // Wall time flatters where the clients need most of the machine: what the server spent, beside it.
    let work = "append_event, 4 clients, CPU";
    results.push(Comparison::new(db, work, bare.name, &bare.cpu, &ours.cpu, Better::Throughput, goal));
}

/// Sixteen clients where every commit waits a millisecond for the disk, beside every way people write it.
pub fn sixteen(db: &Db, results: &mut Vec<Comparison>) {
    let mut ways = vec![bare(), ours()];
    ways.extend(ByHand::ALL.map(|way| Way { name: way.name(), ..Way::new(way.call()) }));
    let ways = run(db, 16, ways);
    let ours = &ways[1].rate;
    let goal = Goal::AtLeast(if db.engine.name() == "native" { 0.85 } else { 0.7 });
    for way in ways.iter().filter(|way| way.name != "ours") {
        let goal = if way.name == "bare INSERT" { goal } else { Goal::None };
        let work = "16 clients, 1 ms commit";
        results.push(Comparison::new(db, work, way.name, &way.rate, ours, Better::Rate, goal));
    }
}

impl Way {
    fn new(sql: String) -> Way {
        Way { name: "", sql, knows_version: false, rate: Vec::new(), cpu: Vec::new() }
    }
}

fn bare() -> Way {
    Way { name: "bare INSERT", knows_version: true, ..Way::new(stores::bare()) }
}

fn ours() -> Way {
    Way { name: "ours", ..Way::new(APPEND_EVENT.into()) }
}

/// Interleaved slices of wall time, each way with connections of its own.
fn run(db: &Db, clients: usize, mut ways: Vec<Way>) -> Vec<Way> {
    let slice = Duration::from_millis(setting("BENCH_SLICE_MS", 500) as u64);
    let mut crowds: Vec<Vec<(Client, usize)>> =
        ways.iter().map(|_| (0..clients).map(|_| (Client::new(db, "app_owner"), 0)).collect()).collect();
    for round in 0..=setting("BENCH_ROUNDS", 11) {
        for (way, crowd) in ways.iter_mut().zip(&mut crowds) {
            let (rate, cpu) = one_slice(way, crowd, if round == 0 { slice / 2 } else { slice });
            if round > 0 {
                way.rate.push(rate);
                way.cpu.push(cpu);
            }
        }
    }
    ways
}

/// Events per second, and CPU time of the servers per event.
fn one_slice(way: &Way, crowd: &mut [(Client, usize)], length: Duration) -> (f64, f64) {
    let start = Barrier::new(crowd.len());
    let done: Vec<(usize, f64, f64)> = thread::scope(|scope| {
        let threads: Vec<_> = crowd
            .iter_mut()
            .enumerate()
            .map(|(number, (client, next))| {
                let start = &start;
                scope.spawn(move || {
                    let data = stores::payload();
                    let first = *next;
                    start.wait();
                    let (began, before) = (Instant::now(), client.cpu());
                    while began.elapsed() < length {
                        let id = format!("{number}-{}", *next % STREAMS);
                        let version = (*next / STREAMS + 1) as i64;
                        client.call(&way.sql, |q| {
                            let q = q.bind("Order").bind(id);
                            if way.knows_version { q.bind(version).bind(&data) } else { q.bind(&data) }
                        });
                        *next += 1;
                    }
                    (*next - first, began.elapsed().as_secs_f64(), client.cpu() - before)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("a client")).collect()
    });
    let rate = done.iter().map(|(count, seconds, _)| *count as f64 / seconds).sum();
    let (events, cpu) = done.iter().fold((0, 0.0), |(n, us), (count, _, cost)| (n + count, us + cost));
    (rate, cpu / events as f64)
}
