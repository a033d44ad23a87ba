//! What capture costs per row, beside the bare statement, the cheapest SQL that could do the job, and peers.
//!
//! `BENCH_ROWS` (100,000): rows of a bulk statement; `BENCH_SINGLE` (5,000): single-row statements; `BENCH_BIG` (50): rows of 1 MB;
//! `BENCH_ROUNDS` (3).

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each benchmark uses its own part")]
mod common;
mod contestants;
mod work;

use common::{Cost, Goal, databases, figure, median, print_json, print_table, server, setting};
use domain_events_tests::Engine;
use serde_json::json;
use work::{Size, Work};

fn main() {
    let mut size = Size {
        round: 0,
        single: setting("BENCH_SINGLE", 5_000),
        bulk: setting("BENCH_ROWS", 100_000),
        big: setting("BENCH_BIG", 50),
    };
    let rounds = setting("BENCH_ROUNDS", 3);
    let cluster = server(&std::env::temp_dir(), &common::QUIET);
    let databases = databases(cluster);
    let (mut all, payloads) = contestants::set_up(&databases);
    work::make_big_rows(&mut all, size.big);

    // A round that only warms caches and plans, then the measured ones, interleaved.
    let warm_up = Size { single: 1_000, bulk: 2_000, ..size };
    let mut costs: Vec<Vec<Vec<Cost>>> = vec![vec![Vec::new(); all.len()]; Work::ALL.len()];
    for round in 0..=rounds {
        size.round = round;
        for (w, &work) in Work::ALL.iter().enumerate() {
            for (c, contestant) in all.iter_mut().enumerate() {
                let cost = work::measure(contestant, work, if round == 0 { warm_up } else { size }, &payloads);
                if round > 0 {
                    costs[w][c].push(cost);
                }
            }
        }
        eprintln!("round {round} of {rounds} done");
    }

    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (w, &work) in Work::ALL.iter().enumerate() {
        let middle: Vec<Cost> = costs[w]
            .iter()
            .map(|rounds| Cost {
                cpu: median(&rounds.iter().map(|c| c.cpu).collect::<Vec<_>>()),
                wal: median(&rounds.iter().map(|c| c.wal).collect::<Vec<_>>()),
            })
            .collect();
        let (bare, floor) = (middle[0], middle[1]);
        for (c, (contestant, cost)) in all.iter().zip(&middle).enumerate() {
            let (cpu_goal, wal_goal) = goals(contestant.engine, work);
            // What is compared was measured side by side: the median of the rounds' ratios.
            let over = |other: usize| {
                median(&costs[w][c].iter().zip(&costs[w][other]).map(|(c, o)| c.cpu / o.cpu).collect::<Vec<_>>())
            };
            let (over_bare, ratio, wal_ratio) = (over(0), over(1), cost.wal / floor.wal);
            rows.push(vec![
                work.name().to_string(),
                contestant.name.to_string(),
                format!("{:.1}", cost.cpu),
                format!("{over_bare:.2}"),
                format!("{ratio:.2}"),
                cpu_goal.text(),
                cpu_goal.verdict(ratio),
                format!("{:.0}", cost.wal),
                format!("{wal_ratio:.2}"),
                wal_goal.text(),
                wal_goal.verdict(wal_ratio),
            ]);
            lines.push(json!({
                "bench": "capture", "work": work.name(), "method": contestant.name,
                "cpu_us": figure(cost.cpu), "bare_us": figure(bare.cpu), "floor_us": figure(floor.cpu),
                "ratio_bare": figure(over_bare), "ratio_floor": figure(ratio),
                "goal": cpu_goal.text(), "met": cpu_goal.met(ratio),
                "wal_bytes": figure(cost.wal), "wal_ratio_floor": figure(wal_ratio),
                "wal_goal": wal_goal.text(), "wal_met": wal_goal.met(wal_ratio),
                "rounds_us": costs[w][c].iter().map(|cost| figure(cost.cpu)).collect::<Vec<_>>(),
            }));
        }
    }
    println!(
        "\nCapture, per row; {} rows in bulk, {} singly, median of {rounds} rounds. WAL without page images.\n",
        size.bulk, size.single
    );
    print_table(
        &["work", "method", "CPU us", "x bare", "x floor", "goal", "met?", "WAL bytes", "x floor", "goal", "met?"],
        &[2, 3, 4, 7, 8],
        &rows,
    );
    print_json(lines);
}

/// The promises: of the row's CPU time and of its WAL, as a ratio to the floor.
fn goals(engine: Option<Engine>, work: Work) -> (Goal, Goal) {
    let single = matches!(work, Work::InsertOne | Work::UpdateOne | Work::InsertAlone | Work::UpdateAlone);
    if !single && !matches!(work, Work::InsertMany | Work::UpdateMany) {
        return (Goal::None, Goal::None);
    }
    match engine {
        Some(Engine::Native) => (Goal::AtMost(1.0), Goal::AtMost(1.05)),
        Some(_) => (Goal::AtMost(if single { 3.5 } else { 4.0 }), Goal::AtMost(1.1)),
        None => (Goal::None, Goal::None),
    }
}
