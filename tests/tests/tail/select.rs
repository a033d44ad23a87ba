//! Which events are shown, and in which order.

use domain_events_tests::{Db, engines};

use crate::{append, events, positions, tail};

engines! { the_newest_ten, pages_and_cursors, filters, a_time, one_stream, an_empty_store }

fn the_newest_ten(db: &Db) {
    let mut s = db.owner();
    append(&mut s, "a", 8);
    append(&mut s, "b", 7);
    let all = db.owner().rows("select global_position from domain_events.events order by 1");
    let all: Vec<i64> =
        all.iter().map(|row| row[0].as_deref().expect("a position").parse().expect("a number")).collect();
    assert_eq!(positions(&events(db, &[])), all[5..]);
    assert_eq!(positions(&events(db, &["-n", "3"])), all[12..]);
    assert_eq!(positions(&events(db, &["--lines", "100"])), all);
    assert_eq!(positions(&events(db, &["-n", "all"])), all);
    assert!(events(db, &["-n0"]).is_empty());
    // behind the last line nothing is left, until something comes
    let shown = events(db, &[]);
    assert!(shown[..9].iter().all(|e| e.cursor.is_none()), "{shown:?}");
    let cursor = shown[9].cursor.clone().expect("the cursor behind the last line");
    assert_eq!(events(db, &["--from", &cursor]), []);
    append(&mut s, "c", 1);
    assert_eq!(events(db, &["--from", &cursor]).len(), 1);
    assert_eq!(events(db, &["--from", "now"]), []);
    let text = tail(db, &["-n", "1"]).expect(0).stdout;
    assert!(text.ends_with("Z  Order/c v1  OrderChanged  alice  {\"n\": 1}\n") && text.starts_with("20"), "{text}");
}

fn pages_and_cursors(db: &Db) {
    append(&mut db.owner(), "a", 2_345);
    let all = events(db, &["--from", "beginning"]);
    assert_eq!(all.iter().map(|e| e.version).collect::<Vec<_>>(), (1..=2_345).collect::<Vec<_>>());
    for at in [0, 99, 100, 1_234, 2_343, 2_344] {
        let cursor = all[at].cursor.as_deref().expect("a cursor");
        assert_eq!(positions(&events(db, &["--from", cursor])), positions(&all[at + 1..]), "behind line {at}");
    }
    // a page is smaller where events are large
    db.owner().run("select domain_events.append_event('Large', '1', 'LargeChanged', jsonb_build_object('x', repeat('y', 200000))) from generate_series(1, 300)");
    let large = tail(db, &["--from", "beginning", "--type", "Large"]).expect(0).stdout;
    assert_eq!(large.lines().count(), 300);
    assert!(large.lines().all(|line| line.len() > 200_000));
}

fn filters(db: &Db) {
    db.owner().run(
        "select domain_events.append_event('Order', g::text, case when g % 3 = 0 then 'OrderPaid' else 'OrderPlaced' end,
           correlation_id => 'c' || g % 5) from generate_series(1, 300) g;
         select domain_events.append_event('User', '1', 'UserRenamed', correlation_id => 'c4');
         select domain_events.append_event('It''s \"{a,b}\\', '1', 'Odd')",
    );
    for (args, count) in [
        (&["--type", "Order"] as &[&str], 300),
        (&["--type", "Order", "--type", "User"], 301),
        (&["--type", "order"], 0),
        (&["--type", "It's \"{a,b}\\"], 1),
        (&["--event-type", "OrderPaid"], 100),
        (&["--event-type", "OrderPaid", "--event-type", "UserRenamed"], 101),
        (&["--correlation-id", "c4"], 61),
        (&["--correlation-id", "c4", "--type", "User"], 1),
        (&["--correlation-id", "c'4"], 0),
    ] {
        assert_eq!(events(db, &[args, &["--from", "beginning"]].concat()).len(), count, "{args:?}");
        assert_eq!(events(db, &[args, &["-n", "1000"]].concat()).len(), count, "{args:?}");
        assert_eq!(events(db, args).len(), count.min(10), "{args:?}");
    }
}

/// Since a time, all of it is shown.
fn a_time(db: &Db) {
    let mut s = db.owner();
    append(&mut s, "a", 20);
    s.run("select pg_sleep(0.1)");
    let time = s.one("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')");
    append(&mut s, "b", 15);
    for args in
        [&["--since", &time] as &[&str], &["--since", &format!("{time}Z")], &["--since", &time.replace('T', " ")]]
    {
        let shown = events(db, args);
        assert!(shown.len() == 15 && shown.iter().all(|e| e.stream == "Order/b"), "{args:?}: {shown:?}");
    }
    assert_eq!(events(db, &["--since", &time, "-n", "4"]).len(), 4);
    assert_eq!(events(db, &["--since", "1h"]).len(), 35);
    assert_eq!(events(db, &["--since", "0s"]).len(), 0);
    assert_eq!(events(db, &["--since", "2999-01-01"]).len(), 0);
}

fn one_stream(db: &Db) {
    let mut s = db.owner();
    append(&mut s, "42", 250);
    append(&mut s, "4", 3);
    s.run("select domain_events.append_event('File', 'a/b', 'FileMoved')");
    let versions = |args: &[&str]| events(db, args).iter().map(|e| e.version).collect::<Vec<_>>();
    assert_eq!(versions(&["--stream", "Order/42"]), (1..=250).collect::<Vec<_>>());
    assert_eq!(versions(&["--stream", "Order/42", "-n", "3"]), [248, 249, 250]);
    assert_eq!(versions(&["--stream", "Order/4", "-n", "9"]), [1, 2, 3]);
    assert!(versions(&["--stream", "Order/4", "-n", "0"]).is_empty());
    assert_eq!(versions(&["--stream", "Order/42", "--backwards"]), (1..=250).rev().collect::<Vec<_>>());
    assert_eq!(versions(&["--stream", "Order/42", "--backwards", "-n", "120"]), (131..=250).rev().collect::<Vec<_>>());
    assert!(versions(&["--stream", "Order/42", "--backwards", "-n", "0"]).is_empty());
    assert_eq!(versions(&["--stream", "File/a/b"]), [1]);
    assert!(versions(&["--stream", "Order/unknown"]).is_empty());
    assert!(versions(&["--stream", "Order/unknown", "--backwards"]).is_empty());
}

fn an_empty_store(db: &Db) {
    for args in [&[] as &[&str], &["--from", "beginning"], &["--since", "1h"], &["-n", "all"], &["--type", "Order"]] {
        assert_eq!(events(db, args), [], "{args:?}");
    }
}
