//! Adoptions and imports fill a block of positions below the new events, the newest first.

use domain_events_tests::{Db, Session, engines};

use super::{Reader, append, versions};

engines! { readers_wait_for_an_adoption, readers_skip_an_adoption_on_request, a_block_is_filtered_and_paged, what_cannot_be_skipped,
a_block_that_ended_under_a_writer, an_adoption_that_is_restored, an_adoption_while_an_era_begins, who_waits_for_an_adoption_takes_no_numbers }

/// Three old events of a stream, of which none is moved yet; one new event of another stream was there before.
fn begun(db: &Db) -> Session {
    let mut admin = db.admin();
    admin.run(&append("N"));
    admin.run("select domain_events._begin_adoption('a test', null, 1, 3, null)");
    admin
}

fn moved(version: i64) -> String {
    format!(
        "select domain_events._adopt_events(1, array[row({version}, pg_current_xact_id(), domain_events.uuid_v7(), 'T', 'old', {version}, 'E',
           null, '{{}}', '{{}}', null, null, null, 1, now(), now(), 'adopted')::domain_events.events], {version})"
    )
}

const END: &str = "select domain_events._end_adoption(1, 'moved', 3)";

fn readers_wait_for_an_adoption(db: &Db) {
    let mut before = Reader::new(db);
    let mut admin = db.admin();
    admin.run(&append("N"));
    assert_eq!(before.rest(), versions("N", 1..=1));
    // A mover that is open when a tick is taken.
    admin.run("select domain_events._begin_adoption('a test', null, 1, 3, null)");
    db.owner().run(&append("N"));
    admin.run(&format!("begin; {}", moved(3)));
    assert!(before.page().is_empty(), "what is new waits for what is older");
    admin.run("commit");
    assert!(before.page().is_empty());
    let status = db.cli("app_owner", &["status"]);
    assert!(status.stdout.contains("readers of all events wait until adoption 1 (a test)"), "{}", status.stdout);
    admin.run(&moved(2));
    admin.run(&moved(1));
    assert!(before.page().is_empty());
    admin.run(END);
    let mut expected = versions("old", 1..=3);
    expected.extend(versions("N", 2..=2));
    assert_eq!(before.rest(), expected);
    let mut fresh = Reader::new(db);
    assert_eq!(fresh.rest(), ["N 1", "old 1", "old 2", "old 3", "N 2"]);
}

fn readers_skip_an_adoption_on_request(db: &Db) {
    let mut before = Reader::new(db);
    let mut admin = begun(db);
    db.owner().run(&append("N"));
    assert!(before.page().is_empty());
    admin.run(&moved(3));
    admin.run("select domain_events.skip_adoption(1)");
    assert_eq!(before.rest(), versions("N", 1..=2));
    admin.run(&moved(2));
    admin.run(&moved(1));
    admin.run(END);
    db.owner().run(&append("N"));
    assert_eq!(before.rest(), versions("N", 3..=3), "the block was passed");
    let mut fresh = Reader::new(db);
    assert_eq!(fresh.rest(), ["N 1", "old 1", "old 2", "old 3", "N 2", "N 3"]);
}

fn a_block_is_filtered_and_paged(db: &Db) {
    let mut reader = Reader::new(db).with("max_count => 2, aggregate_types => '{T}'");
    let mut admin = db.admin();
    admin.run(&append("N"));
    assert_eq!(reader.rest(), versions("N", 1..=1));
    admin.run("select domain_events._begin_adoption('a test', null, 1, 3, null)");
    db.owner().run(&append("N"));
    for version in [3, 2, 1] {
        admin.run(&moved(version));
    }
    admin.run(END);
    assert_eq!(reader.page(), versions("old", 1..=2));
    // The page is full: what is behind it is looked at by another call.
    assert_eq!(reader.page(), ["old 3", "N 2"]);
    assert_eq!(reader.rest(), ["-"]);
}

/// What a tick shows stays as it is, also of a block that has ended while a writer holds one of its events.
fn a_block_that_ended_under_a_writer(db: &Db) {
    let mut reader = Reader::new(db).with("max_count => 1");
    let (mut admin, mut writer) = (db.admin(), db.admin());
    admin.run(&append("N"));
    assert_eq!(reader.rest(), versions("N", 1..=1));
    admin.run("select domain_events._begin_adoption('a test', null, 1, 3, null)");
    admin.run("select domain_events._begin_adoption('another', null, 1, 3, null)");
    admin.run("select domain_events.skip_adoption(2)");
    writer.run(
        "begin;
         insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, origin)
         select first_position + 1, 'T', 'old', 2, 'E', 'adopted' from domain_events.adoptions where adoption_id = 1",
    );
    admin.run(&moved(3));
    admin.run(&moved(1));
    admin.run(END);
    assert_eq!(reader.page(), versions("old", 1..=1));
    writer.run("commit");
    assert_eq!(reader.rest(), ["old 3", "old 2"], "each once");
}

/// A dump was taken meanwhile, and restored where the numbers are lower; nobody has read there before the end.
fn an_adoption_that_is_restored(db: &Db) {
    let mut before = Reader::new(db);
    let mut admin = db.admin();
    admin.run(&append("N"));
    assert_eq!(before.rest(), versions("N", 1..=1));
    // The positions of the block are drawn, and the adoption is not there yet.
    let mut mover = db.admin();
    mover.run("begin; select domain_events._begin_adoption('a test', null, 1, 3, null)");
    before.cursor = Some(db.owner().one("select domain_events.latest_cursor()"));
    mover.run("commit");
    for version in [3, 2, 1] {
        admin.run(&moved(version));
    }
    admin.run(
        "update domain_events.eras set cluster = cluster + 1;
         alter table domain_events.events disable trigger user;
         update domain_events.events set transaction_id = '3' where origin = 'adopted';
         alter table domain_events.events enable trigger user",
    );
    admin.run(END);
    admin.run(&append("N"));
    let mut expected = versions("old", 1..=3);
    expected.extend(versions("N", 2..=2));
    assert_eq!(before.rest(), expected);
}

/// It is not ended in ticks of before because another era is under way.
fn an_adoption_while_an_era_begins(db: &Db) {
    let (mut before, mut admin, mut era) = (Reader::new(db).with("max_count => 1"), db.admin(), db.admin());
    db.owner().run("select count(domain_events.append_event('T', 'N', 'E')) from generate_series(1, 3)");
    era.run("begin; select domain_events.begin_era(); select count(*) from domain_events.read_all()");
    assert_eq!(before.page(), versions("N", 1..=1));
    admin.run("select domain_events._begin_adoption('a test', null, 1, 3, null)");
    for version in [3, 2, 1] {
        admin.run(&moved(version));
    }
    admin.run(END);
    era.run("commit");
    let mut expected = versions("N", 2..=3);
    expected.extend(versions("old", 1..=3));
    assert_eq!(before.rest(), expected);
}

/// It may take hours.
fn who_waits_for_an_adoption_takes_no_numbers(db: &Db) {
    let _admin = begun(db);
    db.owner().run(&append("N"));
    let mut reader = db.owner();
    for _ in 0..3 {
        reader.run("begin");
        assert_eq!(reader.number("select count(*) from domain_events.read_all()"), 0);
        assert_eq!(reader.one("select pg_current_xact_id_if_assigned() is null"), "t");
        reader.run("commit");
    }
}

fn what_cannot_be_skipped(db: &Db) {
    let mut admin = begun(db);
    admin.error("select domain_events.skip_adoption(7)").expect("55000");
    admin.error("select domain_events.skip_adoption(null)").expect("55000");
    admin.run(END);
    admin.error("select domain_events.skip_adoption(1)").expect("55000");
}
