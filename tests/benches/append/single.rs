//! One client: single appends, batches, reading, and the next version in a small and a large store.

use domain_events_tests::Db;
use serde_json::Value;

use crate::{
    common::{Client, Goal, setting},
    comparison::{Better, Comparison},
    stores::{self, APPEND_EVENT, ByHand},
};

/// append_event() beside the bare INSERT and the best form by hand.
pub fn append(db: &Db, results: &mut Vec<Comparison>) {
    // Many short rounds: a connection's turns cost more or less with the load of the machine.
    let (rounds, streams, versions) = (5 * setting("BENCH_ROUNDS", 7), 40, 5);
    let calls = (streams * versions) as f64;
    let (bare, by_hand) = (stores::bare(), ByHand::StreamLock.call());
    let data = stores::payload();
    let mut client = Client::new(db, "app_owner");
    let (mut bare_us, mut hand_us, mut ours_us) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let ids: Vec<String> = (0..streams).map(|i| format!("order-{round}-{i}")).collect();
        let bare_cost = client.cpu_of(|c| {
            for version in 1..=versions as i64 {
                for id in &ids {
                    c.call(&bare, |q| q.bind("Order").bind(id).bind(version).bind(&data));
                }
            }
        });
        let mut ours = |sql: &str| {
            client.cpu_of(|c| {
                for _ in 0..versions {
                    for id in &ids {
                        c.call(sql, |q| q.bind("Order").bind(id).bind(&data));
                    }
                }
            })
        };
        let (hand_cost, ours_cost) = (ours(&by_hand), ours(APPEND_EVENT));
        if round > 0 {
            bare_us.push(bare_cost / calls);
            hand_us.push(hand_cost / calls);
            ours_us.push(ours_cost / calls);
        }
    }
    let limit = if db.engine.name() == "native" { 1.1 } else { 3.0 };
    let row =
        |name, us: &[f64], goal| Comparison::new(db, "append_event, 1 client", name, us, &ours_us, Better::Less, goal);
    results.push(row("bare INSERT", &bare_us, Goal::AtMost(limit)));
    results.push(row("advisory lock by hand", &hand_us, Goal::None));
}

/// append_events() with 100 events beside one INSERT of 100 rows.
pub fn batches(db: &Db, results: &mut Vec<Comparison>) {
    const SIZE: usize = 100;
    let (rounds, calls) = (setting("BENCH_ROUNDS", 7), 20);
    let data = stores::payload();
    let rows: Vec<String> =
        (1..=SIZE).map(|version| format!("({})", stores::event("$1", "$2", &version.to_string(), "$3"))).collect();
    let bare = format!("insert into bare_log values {} returning *", rows.join(", "));
    let batch: Value =
        (0..SIZE).map(|_| serde_json::json!({"event_type": "OrderPlaced", "event_data": data})).collect();
    let mut client = Client::new(db, "app_owner");
    let (mut bare_us, mut ours_us) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let ids: Vec<String> = (0..calls).map(|i| format!("batch-{round}-{i}")).collect();
        let bare_cost = client.cpu_of(|c| {
            for id in &ids {
                assert_eq!(c.call(&bare, |q| q.bind("Order").bind(id).bind(&data)), SIZE);
            }
        });
        let ours_cost = client.cpu_of(|c| {
            for id in &ids {
                let stored = c.call("select * from domain_events.append_events($1, $2, $3)", |q| {
                    q.bind("Order").bind(id).bind(&batch)
                });
                assert_eq!(stored, SIZE);
            }
        });
        if round > 0 {
            bare_us.push(bare_cost / (calls * SIZE) as f64);
            ours_us.push(ours_cost / (calls * SIZE) as f64);
        }
    }
    let goal = Goal::AtLeast(if db.engine.name() == "native" { 0.6 } else { 0.3 });
    let work = "batch of 100, per event";
    results.push(Comparison::new(db, work, "100-row INSERT", &bare_us, &ours_us, Better::Throughput, goal));
}

/// read_stream() beside a SELECT of the same rows.
pub fn read(db: &Db, results: &mut Vec<Comparison>) {
    const SELECT: &str =
        "select * from domain_events.events where aggregate_type = $1 and aggregate_id = $2 order by aggregate_version";
    const OURS: &str = "select * from domain_events.read_stream($1, $2)";
    let mut client = Client::new(db, "app_owner");
    let data = stores::payload();
    for (size, calls) in [(1_000, 20), (10_000, 4)] {
        let id = format!("long-{size}");
        let batch: Value =
            (0..1_000).map(|_| serde_json::json!({"event_type": "OrderPlaced", "event_data": data})).collect();
        for _ in 0..size / 1_000 {
            client.call("select from domain_events.append_events('Order', $1, $2)", |q| q.bind(&id).bind(&batch));
        }
        let (mut bare_us, mut ours_us) = (Vec::new(), Vec::new());
        for round in 0..=setting("BENCH_ROUNDS", 7) {
            let mut read = |sql: &str| {
                client.cpu_of(|c| {
                    for _ in 0..calls {
                        assert_eq!(c.call(sql, |q| q.bind("Order").bind(&id)), size);
                    }
                }) / calls as f64
            };
            let (bare, ours) = (read(SELECT), read(OURS));
            if round > 0 {
                bare_us.push(bare);
                ours_us.push(ours);
            }
        }
        let work = format!("read_stream, {size} events");
        results.push(Comparison::new(db, &work, "bare SELECT", &bare_us, &ours_us, Better::Less, Goal::AtMost(1.1)));
    }
}

/// The next version of the same 100 streams in a small store and in a large one, side by side.
pub fn next_version(small: &Db, large: &Db, results: &mut Vec<Comparison>) {
    const SMALL: usize = 10_000;
    let size = setting("BENCH_EVENTS", 1_000_000).max(2 * SMALL);
    fill(small, SMALL);
    fill(large, size);
    let (mut in_small, mut in_large) = (Client::new(small, "app_owner"), Client::new(large, "app_owner"));
    let (mut small_us, mut large_us) = (Vec::new(), Vec::new());
    for round in 0..=5 * setting("BENCH_ROUNDS", 7) {
        let (before, after) = (next_version_us(&mut in_small), next_version_us(&mut in_large));
        if round > 0 {
            small_us.push(before);
            large_us.push(after);
        }
    }
    let (work, baseline) = (format!("next version, {size} events"), format!("{SMALL} events"));
    results.push(Comparison::new(large, &work, &baseline, &small_us, &large_us, Better::Less, Goal::AtMost(1.2)));
}

/// Ten events per stream, written by the owner as rows.
fn fill(db: &Db, size: usize) {
    let mut owner = Client::new(db, "app_owner");
    let owns = owner.number(
        "select count(*) from pg_class where oid = 'domain_events.events'::regclass and pg_get_userbyid(relowner) = current_user",
    );
    let mut owner = if owns == 1 { owner } else { Client::new(db, "postgres") };
    owner.run(&format!(
        "insert into domain_events.events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
         select ('00000000-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid, 'Filler', lpad(((g - 1) / 10)::text, 9, '0'),
                (g - 1) % 10 + 1, 'FillerMade', '{{\"note\": \"one of very many\"}}'
           from generate_series(1, {size}) g"
    ));
    Client::new(db, "postgres").run("vacuum analyze domain_events.events");
}

fn next_version_us(client: &mut Client) -> f64 {
    let ids: Vec<String> = (0..100).map(|i| format!("{:09}", i * 10)).collect();
    let cost = client.cpu_of(|c| {
        for id in &ids {
            c.call("select domain_events.next_aggregate_version($1, $2)", |q| q.bind("Filler").bind(id));
        }
    });
    cost / ids.len() as f64
}
