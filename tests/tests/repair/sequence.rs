//! A sequence of positions that is behind the events is set forward, whoever writes meanwhile.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, Engine, Session, engines};

engines! {
    a_sequence_behind_is_shown_and_set_forward, a_server_that_took_over_rows_and_no_sequences, writers_go_on_while_the_sequence_is_set_forward,
    who_has_drawn_a_position_is_waited_for, a_killed_repair_leaves_the_sequence
}

const LAST: &str = "select last_value from domain_events.events_global_position_seq";

/// Who owns the store.
fn owner(db: &Db) -> &'static str {
    if db.engine == Engine::Native { "postgres" } else { "app_owner" }
}

/// A captured table with events far above where the sequence is set back to; gives the highest position.
fn behind(db: &Db) -> i64 {
    db.owner().run("create table seats (id int primary key, v int); select domain_events.enable_capture('seats')");
    db.admin().run("select setval('domain_events.events_global_position_seq', 1000000)");
    db.owner().run("insert into seats select g, 0 from generate_series(1, 20) g");
    db.admin().run("select setval('domain_events.events_global_position_seq', 3)");
    db.owner().number("select max(global_position) from domain_events.events")
}

fn sound(db: &Db) {
    db.admin().run("select domain_events.retry_capture_failures()");
    db.check_table("Seat", "seats");
    assert_eq!(db.owner().one("select string_agg(code, ' ') from domain_events.check_integrity()"), "~");
}

fn a_sequence_behind_is_shown_and_set_forward(db: &Db) {
    let highest = behind(db);
    let run = db.cli("app_owner", &["repair"]).expect(3).saying("domain-events repair --sequence");
    assert!(run.stdout.contains("sequence_behind domain_events.events: "), "{}", run.stdout);
    let document = db.cli("app_owner", &["repair", "--format", "json"]).expect(3).json();
    assert_eq!(document["sequence"]["events_up_to"], highest);
    let run = db.cli(owner(db), &["repair", "--sequence", "--dry-run"]).expect(3);
    assert!(run.stdout.contains(&format!("stands at 3, and events have positions up to {highest}")), "{}", run.stdout);
    assert_eq!(db.admin().number(LAST), 3);
    if db.engine == Engine::Native {
        db.cli("app_owner", &["repair", "--sequence", "--yes"]).expect_error(1, "42501");
    }
    let run = db.cli(owner(db), &["repair", "--sequence", "--yes"]).expect(0);
    assert!(run.stdout.contains(&format!("the next event gets position {}", highest + 1)), "{}", run.stdout);
    assert_eq!(db.admin().number(LAST), highest);
    db.owner().run("update seats set v = 1");
    assert_eq!(db.owner().number("select max(global_position) from domain_events.events"), highest + 20);
    // Never back, and nothing to say any more.
    let last = db.admin().number(LAST);
    let document = db.cli(owner(db), &["repair", "--sequence", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(document["state"], "sound");
    assert_eq!(db.admin().number(LAST), last);
    db.cli("app_owner", &["repair"]).expect(0);
    db.cli("app_owner", &["repair", "--sequence", "--table", "seats"]).expect(2);
    sound(db);
}

fn writers_go_on_while_the_sequence_is_set_forward(db: &Db) {
    behind(db);
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..4 {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut s = db.owner();
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    s.run(&format!(
                        "update seats set v = v + 1 where id = {}; insert into seats values ({}, 0)",
                        n + 1,
                        100 + 10_000 * n + round
                    ));
                    // refused until the sequence is right
                    let appended = s.attempt(&format!("select domain_events.append_event('A', '{n}', 'E')"));
                    appended.map_or_else(
                        |refused| assert_eq!(refused.code, "55000", "{refused}"),
                        |_| {
                            done.fetch_add(1, Ordering::SeqCst);
                        },
                    );
                }
            });
        }
        thread::sleep(Duration::from_millis(200));
        let run = db.cli(owner(db), &["repair", "--sequence", "--yes"]);
        let before = done.load(Ordering::SeqCst);
        let patience = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(20));
            done.load(Ordering::SeqCst) > before + 8
        });
        stop.store(true, Ordering::SeqCst);
        run.expect(0);
        assert!(patience, "nobody could append after the repair");
    });
    assert!(db.owner().number("select count(*) from domain_events.capture_failures") > 0, "nothing was behind");
    sound(db);
}

fn repair(db: &Db, lock_timeout: &str) -> Child {
    db.cli_command(owner(db), &["repair", "--sequence", "--yes", "--lock-timeout", lock_timeout])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tool")
}

/// Waits until the tool waits for a lock.
fn wait_for_the_tool(db: &Db) {
    let waiting = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock' and query like 'alter sequence%'";
    let mut admin = db.admin();
    let came = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        admin.number(waiting) > 0
    });
    assert!(came, "the repair does not wait for who has drawn a position");
}

fn who_has_drawn_a_position_is_waited_for(db: &Db) {
    let highest = behind(db);
    let mut writer = db.admin();
    writer.run("begin; select nextval('domain_events.events_global_position_seq')");
    let mut tool = repair(db, "60000");
    wait_for_the_tool(db);
    // Above all that others see, until it commits.
    writer.run(&format!(
        "insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         values ({}, 'A', 'x', 1, 'E', 'me')",
        highest + 5
    ));
    writer.run("commit");
    assert!(tool.wait().expect("its end").success());
    assert_eq!(db.admin().number(LAST), highest + 5);
    sound(db);
}

fn a_killed_repair_leaves_the_sequence(db: &Db) {
    let highest = behind(db);
    let mut writer = db.admin();
    writer.run("begin; select nextval('domain_events.events_global_position_seq')");
    let mut tool = repair(db, "60000");
    wait_for_the_tool(db);
    tool.kill().expect("killing the tool");
    tool.wait().expect("its end");
    writer.run("rollback");
    // Its server process may still get the lock, and then finds that nobody is there to go on.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(db.admin().number(LAST), 4);
    db.owner().run("update seats set v = 2 where id = 1");
    db.cli(owner(db), &["repair", "--sequence", "--yes"]).expect(0);
    assert_eq!(db.admin().number(LAST), highest);
    sound(db);
}

/// As after a switch-over by logical replication: rows of every table of the store, and each sequence at its start.
fn a_server_that_took_over_rows_and_no_sequences(db: &Db) {
    db.owner().run(
        "create table seats (id int primary key, v int); create table halls (id int primary key);
         select domain_events.enable_capture('seats'); insert into seats values (1, 0)",
    );
    let mut admin = db.admin();
    admin.run("alter table domain_events.events add constraint nope check (aggregate_id <> '13') not valid");
    db.owner().run("insert into seats values (13, 0)");
    admin.run("alter table domain_events.events drop constraint nope");
    let sequences = admin.table("select sequencename from pg_sequences where schemaname = 'domain_events' order by 1");
    for sequence in sequences.lines() {
        admin.run(&format!("alter sequence domain_events.{sequence} restart"));
    }
    let behind = |admin: &mut Session| {
        admin
            .table("select object from domain_events.check_infrastructure() where code = 'counter_behind' order by 1")
            .replace('\n', " ")
    };
    let found = behind(&mut admin);
    for name in ["capture_config_capture_id_seq", "capture_failures_failure_id_seq", "capture_columns", "lock_salt"] {
        assert!(found.contains(name), "{name}: {found}");
    }
    assert_eq!(db.owner().number("select domain_events.next_aggregate_version('Seat', '1')"), 2, "without a salt too");
    let run = db.cli(owner(db), &["repair", "--sequence", "--dry-run"]).expect(3);
    assert!(
        run.stdout.contains("sequence_behind ") && run.stdout.contains("counter_behind domain_events.lock_salt"),
        "{run:?}"
    );
    assert_eq!(behind(&mut admin), found, "a dry run sets nothing");
    db.cli("app_owner", &["repair"]).expect(3);
    db.cli(owner(db), &["repair", "--sequence", "--yes"]).expect(0);
    assert_eq!(behind(&mut admin), "");
    assert_eq!(admin.one("select last_value is not null from pg_sequences where sequencename = 'lock_salt'"), "t");
    db.owner().run(
        "select domain_events.enable_capture('halls'); insert into halls values (1); alter table seats add n int default 3; update seats set v = 1;
         select domain_events.append_event('Seat', '2', 'SeatSold')",
    );
    sound(db);
    db.check_table("Hall", "halls");
    let run = db.cli(owner(db), &["repair", "--sequence", "--yes"]).expect(0);
    assert!(run.stdout.contains("not behind"), "{run:?}");
}
