//! What can be wrong with the events themselves.

use domain_events_tests::{Db, Engine, Session, engines};

use crate::{CLOSE, OPEN, incremental, integrity, lively};

engines! {
    a_healthy_store_gives_none, a_duplicate_version, a_deleted_event, a_version_below_one, an_event_older_than_the_one_before,
    a_stream_head_that_disagrees, a_forged_event, a_deleted_newest_event, an_event_slipped_in, an_orphaned_capture,
    an_orphaned_dead_letter, one_type_alone, the_incremental_check_sees_what_commits_late, a_finding_stays_until_it_is_repaired,
    a_read_only_transaction_remembers_nothing, it_goes_on_after_dump_and_restore,
    in_a_small_store_too, what_a_full_check_found_is_remembered, a_sequence_behind_the_events,
}

const INSERT: &str =
    "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)";

fn a_healthy_store_gives_none(db: &Db) {
    lively(db);
    let mut s = db.owner();
    for _ in 0..3 {
        assert_eq!(incremental(&mut s), "");
        s.run("select domain_events.append_event('Order', '1', 'OrderChanged'); select pg_sleep(1.01)");
    }
    assert_eq!(integrity(&mut s), "");
    assert_ne!(s.one("select verified_position from domain_events.integrity_state"), "0");
}

/// Three events in stream User 1, one in User 2, all verified; then the cause, as a superuser; both checks find it.
#[track_caller]
fn found(db: &Db, cause: &str, expected: &str) -> Session {
    found_by_both(db, cause, expected, expected)
}

#[track_caller]
fn found_by_both(db: &Db, cause: &str, full: &str, new: &str) -> Session {
    let mut owner = db.owner();
    owner.run(
        "select domain_events.append_event('User', '1', 'UserChanged') from generate_series(1, 3);
         select domain_events.append_event('User', '2', 'UserCreated')",
    );
    assert_eq!(incremental(&mut owner), "");
    let mut admin = db.admin();
    admin.run(cause);
    assert_eq!(integrity(&mut admin), full, "full check after {cause}");
    assert_eq!(incremental(&mut admin), new, "incremental check after {cause}");
    admin
}

fn a_duplicate_version(db: &Db) {
    let mut admin = found(
        db,
        &format!(
            "alter table domain_events.events drop constraint uk_aggregate_version; {INSERT} values ('User', '1', 3, 'UserChanged', 'me')"
        ),
        "count_not_max duplicate_version",
    );
    assert_eq!(
        admin.table(
            "select severity, stream_type, stream_id, detail from domain_events.check_integrity() where code = 'duplicate_version'"
        ),
        "error|User|1|version 3 is there more than once: 4 events share 3 versions"
    );
}

fn a_deleted_event(db: &Db) {
    // The streams were verified before: the incremental check does not look at their old events again.
    let mut admin = found_by_both(
        db,
        &format!(
            "{OPEN}; delete from domain_events.events where aggregate_id = '1' and aggregate_version = 2; {CLOSE}"
        ),
        "count_not_max version_gap",
        "",
    );
    assert_eq!(
        admin.table(
            "select stream_type, stream_id, detail from domain_events.check_integrity() where code = 'version_gap'"
        ),
        "User|1|the version before 3 is missing"
    );
    // A gap among new events is found at once.
    admin.run(&format!("{INSERT} values ('User', '2', 3, 'UserChanged', 'me')"));
    assert_eq!(incremental(&mut admin), "count_not_max version_gap");
}

fn a_version_below_one(db: &Db) {
    found(
        db,
        &format!(
            "alter table domain_events.events drop constraint events_aggregate_version_check;
             {INSERT} values ('User', '2', 0, 'UserChanged', 'me')"
        ),
        "count_not_max order_against_time stream_head_disagrees version_not_positive",
    );
}

fn an_event_older_than_the_one_before(db: &Db) {
    found(
        db,
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by, recorded_at)
         values ('User', '2', 2, 'UserChanged', 'me', now() - interval '1 day')",
        "order_against_time",
    );
}

fn a_stream_head_that_disagrees(db: &Db) {
    // The newest version is not the one that was stored last.
    db.admin().run("select setval('domain_events.events_global_position_seq', 10)");
    found(
        db,
        "insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         values (5, 'User', '1', 4, 'UserChanged', 'me')",
        "order_against_time stream_head_disagrees",
    );
}

fn a_forged_event(db: &Db) {
    let mut admin = found(
        db,
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
         values ('User', '2', 2, 'UserPromoted')",
        "forged_event",
    );
    let forged = |s: &mut Session| {
        s.table("select stream_id from domain_events.check_integrity() where code = 'forged_event' order by 1")
    };
    admin.run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by, recorded_at)
         values ('User', '3', 1, 'UserPromoted', 'me', now() + interval '1 hour');
         insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         values (1000000, 'User', '4', 1, 'UserPromoted', 'me')",
    );
    assert_eq!(forged(&mut admin), "2\n3\n4");
    // What says that it came from elsewhere lies in the positions of an adoption; the store's own streams are captured.
    admin.run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by, origin)
         values ('User', '5', 1, 'UserPromoted', 'me', 'imported'), ('User', '6', 1, 'UserPromoted', 'me', 'adopted'),
                ('domain_events.Table', '7', 1, 'TableTruncated', 'me', 'appended')",
    );
    assert_eq!(forged(&mut admin), "2\n3\n4\n5\n6\n7");
    assert_eq!(incremental(&mut admin), "forged_event");
}

/// Fills a whole block of positions and verifies it.
fn verified_block(db: &Db) -> Session {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'UserChanged') from generate_series(1, 3)");
    db.admin().run("select setval('domain_events.events_global_position_seq', 150000)");
    s.run("select domain_events.append_event('User', '2', 'UserChanged')");
    for _ in 0..4 {
        assert_eq!(incremental(&mut s), "");
        s.run("select pg_sleep(1.01)");
    }
    assert_eq!(s.table("select block, events, lost from domain_events.integrity_blocks order by 1"), "0|3|0\n1|1|0");
    s
}

fn a_deleted_newest_event(db: &Db) {
    let mut s = verified_block(db);
    // What is left is a sound stream: only the count of the block tells.
    db.admin().run(&format!(
        "{OPEN}; delete from domain_events.events where aggregate_id = '1' and aggregate_version = 3; {CLOSE}"
    ));
    assert_eq!(integrity(&mut s), "events_missing");
    assert_eq!(incremental(&mut s), "events_missing");
    assert_eq!(incremental(&mut s), "events_missing");
    assert_eq!(
        s.one("select detail from domain_events.check_integrity()"),
        "1 events between positions 1 and 100000 were removed since they were verified"
    );
}

fn an_event_slipped_in(db: &Db) {
    let mut s = verified_block(db);
    db.admin().run(
        "insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         values (99, 'User', '9', 1, 'UserCreated', 'me')",
    );
    assert_eq!(integrity(&mut s), "forged_event");
    assert_eq!(incremental(&mut s), "forged_event");
}

fn an_orphaned_capture(db: &Db) {
    db.owner().run(
        "create table public.users (id int primary key); select domain_events.enable_capture('public.users', 'Member')",
    );
    let mut admin = found(db, "drop table public.users", "orphaned_capture");
    assert_eq!(admin.one("select count(*) from domain_events.check_integrity('User')"), "0");
    assert_eq!(admin.one("select count(*) from domain_events.check_integrity('Member')"), "1");
}

fn an_orphaned_dead_letter(db: &Db) {
    found(
        db,
        "insert into domain_events.capture_failures (table_name, operation, aggregate_type, aggregate_id, metadata, occurred_at, error_code,
                                                     error_message, stored_version)
         values ('public.users', 'UPDATE', 'User', '1', '{}', now(), '22023', 'too long', 9)",
        "orphaned_failure",
    );
}

fn one_type_alone(db: &Db) {
    db.owner().run("select domain_events.append_event('Order', '1', 'OrderPlaced')");
    let mut admin =
        found(db, &format!("{INSERT} values ('User', '2', 3, 'UserChanged', 'me')"), "count_not_max version_gap");
    assert_eq!(crate::codes(&mut admin, "check_integrity('User')"), "count_not_max version_gap");
    assert_eq!(crate::codes(&mut admin, "check_integrity('Order')"), "");
    assert_eq!(crate::codes(&mut admin, "check_integrity('Nothing')"), "");
}

fn the_incremental_check_sees_what_commits_late(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'UserCreated')");
    // Its position is drawn now, and it commits after three checks.
    let mut late = db.admin();
    late.run(&format!("begin; {INSERT} values ('User', '1', 3, 'UserChanged', 'me')"));
    for _ in 0..3 {
        s.run("select domain_events.append_event('Order', '1', 'OrderChanged')");
        assert_eq!(incremental(&mut s), "");
        s.run("select pg_sleep(1.01)");
    }
    late.run("commit");
    assert_eq!(incremental(&mut s), "count_not_max version_gap");
    assert_eq!(integrity(&mut s), "count_not_max version_gap");
}

fn a_finding_stays_until_it_is_repaired(db: &Db) {
    let mut admin =
        found(db, &format!("{INSERT} values ('User', '2', 3, 'UserChanged', 'me')"), "count_not_max version_gap");
    // One check more than it takes with a second between all of them: these came right after one another.
    for _ in 0..4 {
        assert_eq!(incremental(&mut admin), "count_not_max version_gap");
        admin.run("select pg_sleep(1.01)");
    }
    assert_eq!(admin.table("select aggregate_type, aggregate_id from domain_events.integrity_suspects"), "User|2");
    admin.run(&format!(
        "{OPEN}; delete from domain_events.events where aggregate_id = '2' and aggregate_version = 3; {CLOSE}"
    ));
    // Its count was verified: that an event is gone is told until somebody says that it was meant.
    assert_eq!(incremental(&mut admin), "events_missing");
    assert_eq!(admin.one("select domain_events.acknowledge_losses()"), "1");
    assert_eq!(incremental(&mut admin), "");
    assert_eq!(admin.table("select * from domain_events.integrity_suspects"), "");
}

fn a_read_only_transaction_remembers_nothing(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'UserCreated')");
    s.run("begin read only");
    assert_eq!(incremental(&mut s), "");
    s.run("commit");
    assert_eq!(s.table("select * from domain_events.integrity_state"), "");
}

fn it_goes_on_after_dump_and_restore(db: &Db) {
    let mut s = verified_block(db);
    s.run("select domain_events.append_event('User', '2', 'UserChanged')");
    let file = db.cluster().socket_dir().join(format!("{}.dump", db.name));
    let file = file.to_str().expect("a path");
    let copy = Db::new(Engine::None).holding(db.engine);
    for (program, of, arguments) in [
        ("pg_dump", db, vec!["-Fc", "-f", file]),
        ("pg_restore", &copy, vec!["--exit-on-error", "-d", &copy.name, file]),
    ] {
        let out = of.client_program(program, "postgres").args(&arguments).output().expect(program);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let mut admin = copy.admin();
    assert_eq!(
        admin.table("select block, events, lost from domain_events.integrity_blocks order by 1"),
        "0|3|0\n1|1|0"
    );
    for _ in 0..3 {
        assert_eq!(incremental(&mut admin), "");
        admin.run("select domain_events.append_event('User', '2', 'UserChanged')");
    }
    admin.run(&format!("{INSERT} values ('User', '2', 77, 'UserChanged', 'me')"));
    assert_eq!(incremental(&mut admin), "count_not_max version_gap");
    admin.run(&format!(
        "{OPEN}; delete from domain_events.events where aggregate_id = '1' and aggregate_version = 3; {CLOSE}"
    ));
    assert_eq!(incremental(&mut admin), "count_not_max events_missing version_gap");
}

fn in_a_small_store_too(db: &Db) {
    let mut s = db.owner();
    for _ in 0..4 {
        s.run("select domain_events.append_event('User', '1', 'UserChanged')");
        assert_eq!(incremental(&mut s), "");
        s.run("select pg_sleep(1.01)");
    }
    db.admin().run(&format!("{OPEN}; delete from domain_events.events where aggregate_version = 4; {CLOSE}"));
    assert_eq!(incremental(&mut s), "", "not verified yet: a transaction might have rolled back");
    s.run("select domain_events.append_event('User', '1', 'UserChanged') from generate_series(1, 3)");
    for _ in 0..4 {
        assert_eq!(incremental(&mut s), "");
        s.run("select pg_sleep(1.01)");
    }
    db.admin().run(&format!("{OPEN}; delete from domain_events.events where aggregate_version > 3; {CLOSE}"));
    assert_eq!(integrity(&mut s), "events_missing");
    for _ in 0..3 {
        assert_eq!(incremental(&mut s), "events_missing");
        s.run("select domain_events.append_event('User', '1', 'UserChanged'); select pg_sleep(1.01)");
    }
}

fn what_a_full_check_found_is_remembered(db: &Db) {
    let mut admin = found_by_both(
        db,
        &format!(
            "{OPEN}; delete from domain_events.events where aggregate_id = '1' and aggregate_version = 2; {CLOSE}"
        ),
        "count_not_max version_gap",
        "",
    );
    assert_eq!(
        crate::codes(&mut admin, "check_integrity_incremental(from_start => true)"),
        "count_not_max version_gap"
    );
    assert_eq!(incremental(&mut admin), "count_not_max version_gap");
}

fn a_sequence_behind_the_events(db: &Db) {
    const SEQUENCE: &str = "domain_events.events_global_position_seq";
    lively(db);
    let mut s = db.owner();
    let mut admin = db.admin();
    s.run("create table public.seats (id int primary key, v int); select domain_events.enable_capture('public.seats')");
    s.run("insert into public.seats select g, 0 from generate_series(1, 20) g; update public.seats set v = 1");
    assert_eq!(incremental(&mut s), "");
    let healthy = s.number(&format!("select last_value from {SEQUENCE}"));
    // To the start, as a sequence that was not replicated; and half the way, as one restored from a dump.
    for set_back in [format!("setval('{SEQUENCE}', 1, false)"), format!("setval('{SEQUENCE}', {})", healthy - 30)] {
        admin.run(&format!("select {set_back}"));
        // One finding, in both checks and as one alert, and it says what to do.
        assert_eq!(
            s.table("select code, stream_type, stream_id from domain_events.check_integrity()"),
            "sequence_behind|~|~"
        );
        assert_eq!(incremental(&mut s), "sequence_behind");
        let detail = s.one("select detail from domain_events.check_integrity()");
        let mend = detail.split_once("the owner runs: ").expect("what mends it").1.to_owned();
        s.run("update public.seats set v = v + 1 where id <= 3; insert into public.seats values (100, 0)");
        assert_eq!(
            s.table("select distinct error_code, left(error_message, 35) from domain_events.capture_failures where stored_version is null"),
            "55000|the position sequence is behind the"
        );
        s.error("select domain_events.append_event('Order', 'new', 'OrderPlaced')").expect("55000").naming("setval");
        s.error("select domain_events.append_event('Seat', '1', 'SeatSold', metadata => '{}')")
            .expect("55000")
            .naming("setval");
        s.error(
            "select domain_events.append_events('Order', 'new', '[{\"event_type\": \"A\"}, {\"event_type\": \"B\"}]')",
        )
        .expect("55000")
        .naming("setval");
        admin.run(&mend);
        assert_eq!(integrity(&mut s), "");
        assert_eq!(incremental(&mut s), "");
        s.run("select domain_events.retry_capture_failures(); select domain_events.append_event('Order', 'new', 'OrderPlaced')");
        s.run("update public.seats set v = v + 1; delete from public.seats where id = 100");
        db.check_table("Seat", "public.seats");
        admin.run("select pg_sleep(1.01)");
    }
    // An event alone, far above, was more likely put there: the finding names both.
    admin.run(&format!("{INSERT} values ('User', '77', 1, 'UserPromoted', 'me')"));
    admin.run(
        "insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         values (1000000, 'User', '78', 1, 'UserPromoted', 'me')",
    );
    assert_eq!(integrity(&mut s), "forged_event");
    assert!(s.one("select detail from domain_events.check_integrity()").contains("set back"));
}
