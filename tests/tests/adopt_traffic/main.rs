//! Adopting a table, and giving it back, while eight sessions write to it, processors work on it, and others append to its
//! streams directly: nothing fails, nothing is lost, nobody waits long. In a binary of its own and one at a time, for it is measured how
//! long a statement waits: beside other tests that would be how they share out two processors.

#[path = "../port/legacy.rs"]
#[allow(dead_code, reason = "the tests of porting use the rest")]
mod legacy;

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, engines};

use legacy::Legacy;

const WRITERS: u64 = 8;
const PROCESSORS: u64 = 2;
const OLD: i64 = 2500 + 15_000;
/// A step may keep a writer waiting for 500 ms; the ten sessions have two processors to share besides.
const PATIENCE: Duration = Duration::from_millis(2000);
/// Between two rounds of a session, as applications pause: ten sessions that never do would measure how two cores are shared
/// out among them, and not what the tool holds locked.
const PAUSE: Duration = Duration::from_millis(3);

engines! { nothing_fails_while_a_table_is_adopted_and_given_back, an_adoption_that_is_killed_goes_on, an_adoption_that_is_killed_is_taken_back,
a_long_reader_stalls_nobody }

fn alone() -> MutexGuard<'static, ()> {
    static TRAFFIC: Mutex<()> = Mutex::new(());
    TRAFFIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The demo's application, its trigger ported by shim, so that no write fails before the adoption either.
fn ported(db: &Db) -> Legacy<'_> {
    let legacy = Legacy::new(db);
    db.owner().run(
        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
         select 'Order', i, v, 'OrderPlaced', jsonb_build_object('n', v) from generate_series(1, 5000) i, generate_series(1, 3) v",
    );
    legacy.plan(&[]);
    legacy.apply().expect(0);
    legacy.plan(&["--adopt"]);
    legacy
}

/// What the sessions did.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    /// Others append to the same streams while the table is adopted.
    direct: AtomicBool,
    updates: AtomicU64,
    inserts: AtomicU64,
    claims: AtomicU64,
    appends: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Tally {
    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.slowest_ms.fetch_max(begun.elapsed().as_millis() as u64, Ordering::SeqCst);
        done
    }
}

fn traffic<'scope, 'env>(scope: &'scope thread::Scope<'scope, 'env>, db: &'env Db, tally: &'env Tally) {
    for n in 0..WRITERS {
        scope.spawn(move || {
            let mut session = db.owner();
            let mut round = 0;
            while !tally.stop.load(Ordering::SeqCst) {
                thread::sleep(PAUSE);
                round += 1;
                // four streams for eight sessions, and some that nobody touched yet
                let user = 2 + 2 * (n % 4);
                tally.timed(|| session.run(&format!("update users set login_count = login_count + 1 where id = {user}")));
                tally.updates.fetch_add(1, Ordering::SeqCst);
                let order = if round % 2 == 0 { 1 + n % 3 } else { 1 + (round * 977 + n * 131) % 5_000 };
                let id = tally.timed(|| {
                    session.number(&format!(
                        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
                         values ('Order', '{order}', 1, 'OrderNoted', '{{}}') returning id"
                    ))
                });
                assert!(id > OLD);
                tally.inserts.fetch_add(1, Ordering::SeqCst);
                if n == 0 && tally.direct.load(Ordering::SeqCst) {
                    let order = 1 + (round * 613) % 5_000;
                    tally.timed(|| session.run(&format!("select domain_events.append_event('Order', '{order}', 'OrderSeen')")));
                    tally.appends.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    for n in 0..PROCESSORS {
        scope.spawn(move || {
            let mut session = db.owner();
            while !tally.stop.load(Ordering::SeqCst) {
                thread::sleep(PAUSE);
                let order = if n == 0 { "asc" } else { "desc" };
                let claimed = tally.timed(|| {
                    session.rows(&format!(
                        "with next as (select id from domain_events where not is_processed order by id {order} limit 20 for update skip locked)
                         update domain_events d set is_processed = true from next where d.id = next.id returning d.id"
                    ))
                });
                tally.claims.fetch_add(claimed.len() as u64, Ordering::SeqCst);
            }
        });
    }
}

/// Streams that do not count 1, 2, 3 ..
const BROKEN: &str = "select count(*) from (select from domain_events.events group by aggregate_type, aggregate_id
    having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s";

fn check(db: &Db, tally: &Tally, what: &str) {
    let (updates, inserts) = (tally.updates.load(Ordering::SeqCst), tally.inserts.load(Ordering::SeqCst));
    let (claims, appends) = (tally.claims.load(Ordering::SeqCst), tally.appends.load(Ordering::SeqCst));
    let slowest = tally.slowest_ms.load(Ordering::SeqCst);
    println!(
        "{what}, {} engine: {updates} updates through the old trigger, {inserts} inserts, {claims} events claimed, {appends} appended to the same streams; none failed, the slowest took {slowest} ms",
        db.engine.name()
    );
    let mut owner = db.owner();
    let rows = owner.number("select count(*) from domain_events");
    assert_eq!(rows, OLD + updates as i64 + inserts as i64, "every event that a writer was told of, and no other");
    assert_eq!(
        owner.number("select count(*) from domain_events where is_processed"),
        claims as i64,
        "claimed once each"
    );
    assert_eq!(owner.number("select count(*) from (select from domain_events group by aggregate_type, aggregate_id, aggregate_version having count(*) > 1) d"), 0);
    let lost = "select count(*) from users u where id in (2, 4, 6, 8) and u.login_count <>
                  (select count(*) from domain_events d where d.aggregate_type = 'User' and d.aggregate_id = u.id::text)";
    assert_eq!(owner.number(lost), 0, "one event per update");
    assert!(slowest < PATIENCE.as_millis() as u64, "a statement took {slowest} ms");
    assert!(updates > 20 && inserts > 20 && claims > 20, "there was traffic");
}

/// The store has every event of the table, and those that were appended besides.
fn stored(db: &Db, tally: &Tally) {
    let mut owner = db.owner();
    assert_eq!(owner.number(BROKEN), 0);
    let missing = "select count(*) from domain_events d left join domain_events.events e
        on (e.aggregate_type, e.aggregate_id, e.aggregate_version) = (d.aggregate_type, d.aggregate_id, d.aggregate_version)
       and (e.event_id, e.event_type, e.event_data, e.occurred_at) = (d.event_id, d.event_type, d.event_data, d.occurred_at)
     where e.event_id is null";
    assert_eq!(owner.number(missing), 0, "each row is an event");
    let events = owner.number("select count(*) from domain_events.events") as u64;
    let rows = owner.number("select count(*) from domain_events") as u64;
    assert_eq!(events, rows + tally.appends.load(Ordering::SeqCst));
    for check in ["check_integrity()", "check_infrastructure()"] {
        assert_eq!(owner.table(&format!("select * from domain_events.{check}")), "");
    }
}

fn nothing_fails_while_a_table_is_adopted_and_given_back(db: &Db) {
    let _alone = alone();
    let legacy = ported(db);
    let tally = Tally::default();
    thread::scope(|scope| {
        traffic(scope, db, &tally);
        thread::sleep(Duration::from_millis(200));
        let mut child = start(&legacy);
        wait_until_moving(db, &mut child);
        tally.direct.store(true, Ordering::SeqCst);
        let code = child.wait().expect("apply").code();
        thread::sleep(Duration::from_millis(300));
        tally.stop.store(true, Ordering::SeqCst);
        assert_eq!(code, Some(0));
    });
    check(db, &tally, "adopted");
    stored(db, &tally);
    assert!(tally.appends.load(Ordering::SeqCst) > 5);
    // and back, under the same traffic
    tally.stop.store(false, Ordering::SeqCst);
    tally.direct.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        traffic(scope, db, &tally);
        thread::sleep(Duration::from_millis(200));
        let back = legacy.rollback();
        thread::sleep(Duration::from_millis(200));
        tally.stop.store(true, Ordering::SeqCst);
        back.expect(0);
    });
    check(db, &tally, "given back");
    let mut owner = db.owner();
    assert_eq!(owner.one("select relkind from pg_class where oid = 'domain_events'::regclass"), "r");
    assert_eq!(owner.number(BROKEN), 0, "what stays in the store is whole");
    assert_eq!(owner.table("select * from domain_events.check_integrity()"), "");
}

const UNFINISHED: &str = "select count(*) from domain_events.check_infrastructure() where code = 'adoption_unfinished'";

fn an_adoption_that_is_killed_goes_on(db: &Db) {
    let _alone = alone();
    let legacy = ported(db);
    let tally = Tally::default();
    let mut found = vec![];
    thread::scope(|scope| {
        traffic(scope, db, &tally);
        for _ in 0..4 {
            let mut child = start(&legacy);
            if !wait_until_moving(db, &mut child) {
                break;
            }
            tally.direct.store(true, Ordering::SeqCst);
            let while_it_moves = db.owner().number(UNFINISHED);
            thread::sleep(Duration::from_millis(150));
            child.kill().expect("kill -9");
            child.wait().expect("apply ended");
            settle(db);
            let moving = db.owner().number("select count(*) from domain_events.adoptions where state = 'moving'");
            found.push((while_it_moves, db.owner().number(UNFINISHED) - moving));
        }
        let outcome = legacy.apply();
        tally.stop.store(true, Ordering::SeqCst);
        outcome.expect(0);
    });
    // A later round begins with what the one before has left, which is told until somebody has the tool's lock again.
    assert!(found.first().is_some_and(|first| first.0 == 0), "nothing is told while events are moved: {found:?}");
    assert!(found.iter().all(|round| round.1 == 0), "it is told when nobody moves events any more: {found:?}");
    check(db, &tally, "killed and gone on");
    stored(db, &tally);
    assert_eq!(db.owner().table("select state, count(*) from domain_events.adoptions group by 1"), "moved|1");
    assert_eq!(
        db.owner().table("select state from domain_events.migration_plans order by applied_at"),
        "applied\napplied"
    );
}

fn an_adoption_that_is_killed_is_taken_back(db: &Db) {
    let _alone = alone();
    let legacy = ported(db);
    let tally = Tally::default();
    thread::scope(|scope| {
        traffic(scope, db, &tally);
        let mut child = start(&legacy);
        let moving = wait_until_moving(db, &mut child);
        thread::sleep(Duration::from_millis(50));
        child.kill().expect("kill -9");
        child.wait().expect("apply ended");
        settle(db);
        let back = legacy.rollback();
        thread::sleep(Duration::from_millis(100));
        tally.stop.store(true, Ordering::SeqCst);
        assert!(moving, "it was killed while it moved");
        back.expect(0);
    });
    check(db, &tally, "killed and taken back");
    let mut owner = db.owner();
    assert_eq!(owner.one("select relkind from pg_class where oid = 'domain_events'::regclass"), "r");
    assert_eq!(owner.number(BROKEN), 0, "what stays in the store is whole");
    assert_eq!(owner.table("select state from domain_events.adoptions"), "withdrawn");
    assert_eq!(owner.table("select * from domain_events.check_integrity()"), "");
    assert_eq!(
        owner.number(
            "select count(*) from pg_proc where proname like '%adopted%' and pronamespace = 'public'::regnamespace"
        ),
        0
    );
}

fn a_long_reader_stalls_nobody(db: &Db) {
    let _alone = alone();
    let legacy = ported(db);
    let mut dump = db.owner();
    dump.run("begin; lock table domain_events in access share mode");
    let tally = Tally::default();
    let outcome = thread::scope(|scope| {
        traffic(scope, db, &tally);
        let outcome = legacy.cli(&["apply", "--yes", "--lock-timeout", "100", legacy.file()]);
        tally.stop.store(true, Ordering::SeqCst);
        outcome
    });
    outcome.expect(5).saying("trying again").saying("hint: ");
    check(db, &tally, "beside a long reader");
    assert_eq!(db.owner().one("select relkind from pg_class where oid = 'domain_events'::regclass"), "r");
    assert_eq!(db.owner().number("select count(*) from domain_events.adoptions"), 0);
    dump.run("commit");
    legacy.apply().expect(0);
    stored(db, &tally);
}

fn start(legacy: &Legacy<'_>) -> Child {
    let mut command = legacy.db.cli_command(legacy.user(), &["apply", "--yes", legacy.file()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apply")
}

/// Waits until events are being moved; false when apply ended before.
fn wait_until_moving(db: &Db, child: &mut Child) -> bool {
    let mut admin = db.admin();
    let deadline = Instant::now() + Duration::from_secs(60);
    while admin.number("select count(*) from domain_events.adoptions where state = 'moving' and moved > 0") == 0 {
        if child.try_wait().expect("apply").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "nothing is moved");
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Waits until the server has noticed that the client is gone.
fn settle(db: &Db) {
    let mut admin = db.admin();
    while admin.number("select count(*) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()") > 0 {
        thread::sleep(Duration::from_millis(2));
    }
}
