//! Pages, filters, and what is refused.

use domain_events_tests::{Db, Session, engines};

use super::{Reader, append, versions};

engines! {
    a_page_ends_inside_a_tick, a_filter_that_meets_nothing_goes_on, filters_run_in_the_server, a_filter_looks_at_nothing_twice, what_is_committed_meanwhile_moves_no_end,
    bad_arguments, what_a_reader_may, in_a_read_only_transaction, at_most_one_tick_in_ten_milliseconds, ticks_are_thinned,
    ticks_are_thinned_in_repeatable_read, a_foreign_number_takes_no_ticks,
}

fn a_page_ends_inside_a_tick(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db).with("max_count => 2"));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 5)");
    assert_eq!(reader.page(), versions("A", 1..=2));
    // What is committed meanwhile comes after the tick that is being read, also where it is of the same stream.
    a.run(&append("A"));
    assert_eq!(reader.page(), versions("A", 3..=4));
    assert_eq!(reader.page(), versions("A", 5..=5));
    assert_eq!(reader.page(), versions("A", 6..=6));
    assert!(reader.page().is_empty());
}

fn a_filter_that_meets_nothing_goes_on(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db).with("aggregate_types => '{Nobody}'"));
    a.run(&append("A"));
    assert_eq!(reader.page(), ["-"]);
    let cursor = reader.cursor.clone();
    assert!(reader.page().is_empty(), "there was nothing to look at");
    a.run(&append("A"));
    assert_eq!(reader.page(), ["-"]);
    assert_ne!(reader.cursor, cursor);
}

fn filters_run_in_the_server(db: &Db) {
    let mut a = db.owner();
    a.run(
        "select domain_events.append_event('User', 'u', 'UserMade', correlation_id => 'c1');
         select domain_events.append_event('Order', 'o', 'OrderMade', correlation_id => 'c1');
         select domain_events.append_event('Order', 'o', 'OrderPaid', correlation_id => 'c2');
         select domain_events.append_event('Item', 'i', 'ItemMade')",
    );
    for (arguments, expected) in [
        ("aggregate_types => '{User,Item}'", vec!["u 1", "i 1"]),
        ("event_types => '{OrderPaid}'", vec!["o 2"]),
        ("correlation => 'c1'", vec!["u 1", "o 1"]),
        ("correlation => 'c1', aggregate_types => '{Order}'", vec!["o 1"]),
        ("since => '2000-01-01'", vec!["u 1", "o 1", "o 2", "i 1"]),
        (
            "aggregate_types => (select array_agg('t' || i) || '{Item}' from generate_series(1, 10000) as i)",
            vec!["i 1"],
        ),
        ("since => 'infinity'", vec!["-"]),
        ("aggregate_types => '{}'", vec!["-"]),
    ] {
        assert_eq!(Reader::new(db).with(arguments).rest(), expected, "{arguments}");
    }
}

/// The last row of a page that is not full has the cursor behind all that was looked at.
fn a_filter_looks_at_nothing_twice(db: &Db) {
    let (mut a, mut reader) = (db.admin(), Reader::new(db).with("aggregate_types => '{Rare}', max_count => 1000"));
    a.run(
        "select domain_events.append_event('Rare', 'r', 'E');
         insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
         select 'T', 'A', i, 'E' from generate_series(1, 120000) as i;
         select domain_events.append_event('Rare', 'r', 'E')",
    );
    assert_eq!(reader.page(), versions("r", 1..=1));
    // A call looks at 30,000 events and 20 times the page's size: the second one begins behind the first 50,000.
    assert_eq!(reader.page(), ["-"]);
    assert_eq!(reader.page(), versions("r", 2..=2));
    assert!(reader.page().is_empty());
}

/// Between two statements of one call: a page that ended elsewhere than its cursor says would lose events, or give them twice.
fn what_is_committed_meanwhile_moves_no_end(db: &Db) {
    let (mut admin, mut late) = (db.admin(), db.owner());
    admin.run(&append("A"));
    late.run("begin; select count(domain_events.append_event('T', 'late', 'E')) from generate_series(1, 500)");
    admin.run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
         select 'T', 'B', i, 'E' from generate_series(1, 2000) as i",
    );
    let end = "select domain_events._looked_at_until(0, 2501, 1000)";
    assert_eq!(admin.number(end), 1000);
    late.run("commit");
    assert_eq!(admin.number(end), 1000);
    assert_eq!(admin.one("select domain_events._looked_at_until(0, 2501, 2501) is null"), "t", "that is all");
    assert_eq!(admin.one("select domain_events._looked_at_until(2501, 2501, 1) is null"), "t");
}

fn bad_arguments(db: &Db) {
    let mut a = db.owner();
    for count in ["0", "-1", "10000000"] {
        a.error(&format!("select * from domain_events.read_all(max_count => {count})"))
            .expect("22023")
            .naming("max_count");
    }
    a.error("select * from domain_events.read_all(max_count => null)").expect("22004");
    for cursor in ["", "nonsense", "1:2:3.4", "'; drop table x"] {
        a.error(&format!("select * from domain_events.read_all($x${cursor}$x$)")).expect("22023");
        a.error(&format!("select domain_events.cursor_before($x${cursor}$x$, $x${cursor}$x$)")).expect("22023");
    }
    assert_eq!(a.number("select count(global_position) from domain_events.read_all(event_types => '{unknown}')"), 0);
}

fn what_a_reader_may(db: &Db) {
    db.owner().run(&append("A"));
    let role = db.role("reading");
    db.admin().run(&format!("grant domain_events_reader to {role}"));
    let mut reader = db.session(&role);
    let cursor = reader.one("select cursor from domain_events.read_all()");
    db.owner().run(&append("A"));
    assert_eq!(reader.number(&format!("select count(*) from domain_events.read_all('{cursor}')")), 1);
    let latest = reader.one("select domain_events.latest_cursor()");
    assert_eq!(reader.one(&format!("select domain_events.cursor_before('{cursor}', '{latest}')")), "t");
    reader.error("delete from domain_events.ticks").expect_code("42501");
    reader.error("select domain_events.skip_adoption(1)").expect_code("42501");
    reader.error("select domain_events.begin_era()").expect_code("42501");
    let stranger = db.role("stranger");
    db.session(&stranger).error("select * from domain_events.read_all()").expect_code("42501");
}

fn in_a_read_only_transaction(db: &Db) {
    let mut a = db.owner();
    a.run(&append("A"));
    assert_eq!(a.number("select count(*) from domain_events.read_all()"), 1);
    a.run(&append("A"));
    a.run("begin read only");
    assert_eq!(a.number("select count(*) from domain_events.read_all()"), 1, "up to the newest tick");
    assert_eq!(a.one("select domain_events.take_tick()"), "f");
    a.run("rollback");
    // The last one is as old as it has to be.
    a.run("select pg_sleep(0.012)");
    assert_eq!(a.one("select domain_events.take_tick()"), "t");
    assert_eq!(a.one("select domain_events.take_tick()"), "f", "nothing is new");
    a.run("begin read only");
    assert_eq!(a.number("select count(*) from domain_events.read_all()"), 2);
}

fn at_most_one_tick_in_ten_milliseconds(db: &Db) {
    let mut a = db.owner();
    a.run("create table began as select clock_timestamp() as at");
    for _ in 0..200 {
        a.run(&append("A"));
        a.run("select count(*) from domain_events.read_all()");
    }
    assert_eq!(
        a.one("select count(*) <= 1 + extract(epoch from clock_timestamp() - (select at from began)) * 100 from domain_events.ticks"),
        "t"
    );
    assert_eq!(
        a.number("select count(*) from (select taken_at - lag(taken_at) over (order by tick) as gap from domain_events.ticks) as t where gap < '9 ms'"),
        0
    );
}

/// As the store thins them while somebody reads and appends: 10,000.
fn the_newest_ticks_stay(db: &Db, a: &mut Session) {
    db.admin().run(
        "insert into domain_events.ticks (era, boundary, position_before, top, taken_by, snapshot, position_after, taken_at)
         select era, boundary, position_before, top, taken_by, snapshot, position_after, taken_at - interval '1 s'
           from domain_events.ticks, generate_series(1, 12000)",
    );
    for _ in 0..300 {
        a.run(&append("A"));
        a.run("select domain_events.latest_cursor()");
    }
    assert!((10000..10600).contains(&a.number("select count(*) from domain_events.ticks")));
}

/// A cursor holds what it needs of ticks.
fn ticks_are_thinned(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db).with("max_count => 1"));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 3)");
    assert_eq!(reader.page(), versions("A", 1..=1));
    a.run(&append("A"));
    a.run("select domain_events.latest_cursor()");
    db.admin().run("delete from domain_events.ticks where tick < (select max(tick) from domain_events.ticks)");
    assert_eq!(reader.rest(), versions("A", 2..=4));
    the_newest_ticks_stay(db, &mut a);
    assert_eq!(reader.rest(), versions("A", 5..=304));
}

/// Where all who read have fixed snapshots, too.
fn ticks_are_thinned_in_repeatable_read(db: &Db) {
    let mut a = db.owner();
    a.run("set default_transaction_isolation = 'repeatable read'");
    a.run(&append("A"));
    a.run("select domain_events.latest_cursor()");
    the_newest_ticks_stay(db, &mut a);
}

/// Replicated from another cluster, or inserted so: it is no news for ever.
fn a_foreign_number_takes_no_ticks(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db));
    a.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
    db.admin().run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, transaction_id)
         values ('T', 'foreign', 1, 'E', '900000000000')",
    );
    assert!(reader.page().is_empty(), "not visible here");
    let ticks = "select count(*) from domain_events.ticks";
    let before = a.number(ticks);
    for _ in 0..5 {
        assert!(reader.page().is_empty());
    }
    assert_eq!(a.number(ticks), before);
}
