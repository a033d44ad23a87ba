//! Soak: random transactions of many sessions, some of them killed, and servers killed under load; then every event is
//! accounted for. `SOAK_SEED` repeats a choice of operations (what meets whom is up to the scheduler), `SOAK_SECONDS` sets
//! how long each test runs.

mod ledger;
mod operations;
mod random;
mod worker;

use std::{
    env,
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime},
};

use domain_events_tests::{Cluster, Db, Engine};
use ledger::Ledger;
use random::Random;
use worker::{Order, Worker};

mod portable {
    #[test]
    fn soak() {
        super::soak(domain_events_tests::Engine::Portable);
    }

    #[test]
    fn crash() {
        super::crash(domain_events_tests::Engine::Portable);
    }
}

mod native {
    #[test]
    fn soak() {
        super::soak(domain_events_tests::Engine::Native);
    }

    #[test]
    fn crash() {
        super::crash(domain_events_tests::Engine::Native);
    }
}

const SESSIONS: u64 = 8;

struct Trial {
    db: Db,
    seed: u64,
    seconds: u64,
    shared_ids: Vec<String>,
    victims: Mutex<Vec<i64>>,
    ledger: Ledger,
    rounds: u64,
}

impl Trial {
    fn new(engine: Engine) -> Trial {
        let number = |name: &str| env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
        let seed = number("SOAK_SEED").unwrap_or_else(|| {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64 % 1_000_000
        });
        // Deadlocks of the application's own making are found at once, or most of the time would go into them.
        let db = Db::on(Cluster::start(&[("max_prepared_transactions", "20"), ("deadlock_timeout", "20ms")]), engine);
        db.owner().run(operations::TABLES);
        let mut random = Random::new(seed);
        Trial {
            db,
            seed,
            seconds: number("SOAK_SECONDS").unwrap_or(10),
            shared_ids: (0..40).map(|_| random.uuid()).collect(),
            victims: Mutex::default(),
            ledger: Ledger::default(),
            rounds: 0,
        }
    }

    /// Some seconds of load, while `disturb` is called again and again.
    fn round(
        &mut self,
        order: Order,
        streams: u64,
        time: Duration,
        mut disturb: impl FnMut(&Db, &Mutex<Vec<i64>>) -> bool,
    ) {
        self.rounds += 1;
        let (db, ids, victims) = (&self.db, &self.shared_ids[..], &self.victims);
        let (seed, rounds) = (self.seed, self.rounds);
        let until = Instant::now() + time;
        let mut disturbances = 0;
        let ledgers: Vec<Ledger> = thread::scope(|scope| {
            let workers: Vec<_> = (1..=SESSIONS)
                .map(|n| {
                    let worker = Worker::new(db, rounds * 100 + n, seed, order, streams, ids, victims);
                    scope.spawn(move || worker.work(until))
                })
                .collect();
            while Instant::now() < until {
                thread::sleep(Duration::from_millis(60));
                disturbances += u64::from(disturb(db, victims));
            }
            workers.into_iter().map(|w| w.join().unwrap_or_else(|_| panic!("seed {seed}: see above"))).collect()
        });
        for ledger in ledgers {
            self.ledger.merge(ledger);
        }
        *self.ledger.counts.entry("disturbances".into()).or_default() += disturbances;
    }

    fn settle(mut self, name: &str) {
        println!("{name} {}: seed {}, {SESSIONS} sessions, {} s", self.db.engine.name(), self.seed, self.seconds);
        let mut admin = self.db.admin();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.ledger.settle(&mut admin)));
        let streams = admin.number("select count(*) from domain_events.streams");
        self.ledger.counts.insert("streams".into(), streams as u64);
        for (what, count) in &self.ledger.counts {
            println!("{count:>9}  {what}");
        }
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(admin.table("select * from domain_events.check_integrity()"), "");
        assert_eq!(admin.table("select * from domain_events.check_infrastructure()"), "");
        assert_eq!(admin.table("select gid from pg_prepared_xacts"), "", "every prepared transaction was decided");
        let gaps = "select kind, id, count(*), max(version) from legacy group by 1, 2 having count(*) <> max(version) or min(version) <> 1";
        assert_eq!(admin.table(gaps), "", "streams of the legacy table whose versions are not 1..n");
        self.db.check_table("Doc", "doc");
    }
}

fn soak(engine: Engine) {
    let mut trial = Trial::new(engine);
    let quarter = Duration::from_millis(trial.seconds * 250);
    let mut random = Random::new(trial.seed);
    let mut kill = move |db: &Db, victims: &Mutex<Vec<i64>>| {
        let pid = {
            let list = victims.lock().expect("the list");
            if list.is_empty() || random.percent(30) {
                return false;
            }
            list[random.below(list.len() as u64) as usize]
        };
        db.admin().run(&format!("select pg_terminate_backend({pid})"));
        true
    };
    for (order, streams) in [(Order::Rising, 3), (Order::Rising, 300), (Order::Any, 3), (Order::Any, 300)] {
        trial.round(order, streams, quarter, &mut kill);
    }
    trial.settle("soak");
}

/// SIGKILL to the postmaster and all its processes, under load.
fn crash(engine: Engine) {
    let mut trial = Trial::new(engine);
    let time = Duration::from_millis(trial.seconds * 500);
    for (order, streams) in [(Order::Rising, 5), (Order::Any, 50)] {
        let mut last = Instant::now();
        trial.round(order, streams, time, |db, victims| {
            if last.elapsed() < Duration::from_secs(2) {
                return false;
            }
            db.cluster().crash();
            victims.lock().expect("the list").clear();
            db.cluster().restart();
            last = Instant::now();
            true
        });
    }
    trial.settle("crash");
}
