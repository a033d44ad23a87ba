//! Poolers, standbys, sessions that take no writes, settings of roles, other readers.

use std::time::Instant;

use domain_events_tests::{Cluster, Db, Engine, Pooler, engines, run};

use crate::{Event, Following, PATIENCE, Place, append, events, tail_at};

engines! { behind_a_pooler, settings_of_roles_change_nothing, a_restored_store_is_gone_on_with, an_adoption_is_waited_for }

/// In transaction mode, where each transaction may get another server process, and none finds anything of ours.
fn behind_a_pooler(db: &Db) {
    append(&mut db.owner(), "1", 250);
    for mode in ["transaction", "statement", "session"] {
        for more in ["", "server_round_robin = 1\nignore_startup_parameters = options", "default_pool_size = 1"] {
            let pooler = Pooler::start(db.cluster(), mode, more);
            let url = pooler.url(&db.name, "app_owner");
            if mode == "statement" {
                // a transaction of several statements is refused there
                run(&mut tail_at(&url, &[])).expect(1);
                continue;
            }
            let out = run(&mut tail_at(&url, &["--from", "beginning", "--format", "json"])).expect(0);
            let shown: Vec<Event> = out.stdout.lines().map(Event::read).collect();
            let versions: Vec<i64> = shown.iter().filter(|e| e.stream == "Order/1").map(|e| e.version).collect();
            assert_eq!(versions, (1..=250).collect::<Vec<_>>(), "{mode} {more}");
            let mut two = [0, 1].map(|_| {
                Following::spawn(&mut tail_at(&url, &["--follow", "-n", "2", "--format", "json", "--interval", "20"]))
            });
            if mode == "session" && more.starts_with("default_pool_size") {
                // the second waits for the only server process
                continue;
            }
            for one in &mut two {
                one.wait_for(2);
            }
            db.owner()
                .run("select domain_events.append_event('Order', '2', 'OrderChanged') from generate_series(1, 3)");
            for one in &mut two {
                one.wait_for(5);
                assert_eq!(one.messages(), "");
            }
            // nothing is left in the server processes of the pool
            for _ in 0..4 {
                let mut psql = db.client_program("psql", "app_owner");
                psql.env_remove("PGHOST").env_remove("PGPORT");
                let shown = run(psql.args([
                    "-X",
                    "-At",
                    "-c",
                    "select current_setting('search_path'), current_setting('jit'), (select count(*) from pg_prepared_statements)",
                    &url,
                ]))
                .expect(0);
                assert_eq!(shown.stdout.trim(), "\"$user\", public|on|0");
            }
            for one in &mut two {
                assert_eq!(one.signal("-TERM"), Some(0));
            }
            db.admin().run("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()");
        }
    }
}

/// Timeouts that would cancel every statement, isolation levels, formats of times.
fn settings_of_roles_change_nothing(db: &Db) {
    append(&mut db.owner(), "1", 300);
    let expected = events(db, &["--from", "beginning"]);
    let mut admin = db.admin();
    for settings in [
        &["statement_timeout = 3", "lock_timeout = 1", "idle_in_transaction_session_timeout = 50"] as &[&str],
        &["default_transaction_isolation = 'serializable'", "timezone = 'Asia/Tokyo'", "datestyle = 'German'"],
        &["default_transaction_isolation = 'repeatable read'", "search_path = ''", "standard_conforming_strings = off"],
        &["synchronous_commit = off", "default_transaction_deferrable = on", "row_security = off"],
        &[
            "quote_all_identifiers = on",
            "bytea_output = escape",
            "intervalstyle = sql_standard",
            "xmloption = document",
        ],
    ] {
        for setting in settings {
            admin.run(&format!("alter role app_owner in database {} set {setting}", db.name));
        }
        let shown = events(db, &["--from", "beginning", "--type", "Order", "--since", "1h"]);
        assert_eq!(shown, expected_without_cursors(&shown, &expected), "{settings:?}");
        assert_eq!(events(db, &[]).len(), 10, "{settings:?}");
        assert_eq!(events(db, &["--stream", "Order/1", "--backwards"]).len(), 300, "{settings:?}");
        admin.run(&format!("alter role app_owner in database {} reset all", db.name));
    }
}

/// The block of old events as a whole, then what was appended meanwhile.
fn an_adoption_is_waited_for(db: &Db) {
    append(&mut db.owner(), "1", 2);
    let mut following = Following::start(db, &["--from", "beginning"]);
    following.wait_for(2);
    let mut admin = db.admin();
    admin.run("select domain_events._begin_adoption('a test', null, 1, 2, null)");
    append(&mut db.owner(), "1", 1);
    for version in [2, 1] {
        admin.run(&format!(
            "select domain_events._adopt_events(1, array[row({version}, pg_current_xact_id(), domain_events.uuid_v7(), 'Order', 'old', {version}, 'E',
               null, '{{}}', '{{}}', null, null, null, 1, now(), now(), 'adopted')::domain_events.events], {version})"
        ));
        std::thread::sleep(std::time::Duration::from_millis(150));
        assert_eq!(following.lines().len(), 2);
    }
    admin.run("select domain_events._end_adoption(1, 'moved', 2)");
    following.wait_for(5);
    let shown: Vec<(String, i64)> = following.events().into_iter().map(|e| (e.stream, e.version)).skip(2).collect();
    assert_eq!(shown, [("Order/old".into(), 1), ("Order/old".into(), 2), ("Order/1".into(), 3)]);
    assert_eq!(following.messages(), "");
    assert_eq!(following.signal("-TERM"), Some(0));
}

/// The newest, the rest behind a kept cursor, and all, in a restored dump; behind a cursor of a time that is not in it, nothing.
fn a_restored_store_is_gone_on_with(db: &Db) {
    let place = Place::new(db);
    let file = place.path("cursor");
    append(&mut db.owner(), "1", 5);
    assert_eq!(events(db, &["--cursor-file", &file, "--from", "beginning"]).len(), 5);
    append(&mut db.owner(), "1", 2);
    let restored = db.restored();
    append(&mut db.owner(), "1", 1);
    let lost = events(db, &["-n", "1"])[0].cursor.clone().expect("a cursor");
    append(&mut restored.owner(), "1", 6);
    let versions = |args: &[&str]| events(&restored, args).iter().map(|e| e.version).collect::<Vec<_>>();
    assert_eq!(versions(&[]), (4..=13).collect::<Vec<_>>());
    assert_eq!(versions(&["--cursor-file", &file]), (6..=13).collect::<Vec<_>>());
    assert_eq!(versions(&["--cursor-file", &file]), [0; 0]);
    assert_eq!(versions(&["--from", "beginning"]), (1..=13).collect::<Vec<_>>());
    run(restored.cli_command("app_owner", &["tail", "--from", &lost]).arg("--follow")).expect_error(1, "55000");
}

/// Cursors name ticks, which are others each time.
fn expected_without_cursors(shown: &[Event], expected: &[Event]) -> Vec<Event> {
    let with = |(event, shown): (&Event, &Event)| Event { cursor: shown.cursor.clone(), ..event.clone() };
    assert_eq!(shown.len(), expected.len());
    expected.iter().zip(shown).map(with).collect()
}

/// A session that takes no writes, and a standby, show what was read, or ticked, on the primary.
#[test]
fn where_nothing_can_be_written() {
    let db = Db::on(Cluster::start(&[]), Engine::Portable);
    let mut s = db.owner();
    append(&mut s, "1", 3);
    let standby = db.cluster().standby();
    let url = standby.url(&db.name, "app_owner");
    run(&mut tail_at(&url, &[])).expect_error(1, "55000").saying("tick");
    let mut on_standby = Following::spawn(&mut tail_at(
        &url,
        &["--follow", "--from", "beginning", "--format", "json", "--interval", "20"],
    ));
    on_standby.wait_until("a note", |f| f.messages().contains("take_tick"));
    let mut newest = Following::spawn(&mut tail_at(&url, &["--follow", "--format", "json"]));
    newest.wait_until("a note", |f| f.messages().contains("no tick was taken yet"));
    assert_eq!(events(&db, &[]).len(), 3); // takes a tick
    on_standby.wait_for(3);
    newest.wait_for(3);
    assert_eq!(newest.signal("-TERM"), Some(0));
    append(&mut s, "1", 2);
    s.run("select pg_sleep(0.02); select domain_events.take_tick()");
    on_standby.wait_for(5);
    assert_eq!(on_standby.events().iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let place = Place::new(&db);
    let file = place.path("cursor");
    let kept = run(&mut tail_at(&url, &["--cursor-file", &file, "--from", "beginning", "--format", "json"])).expect(0);
    assert_eq!(kept.stdout.lines().count(), 5);
    // newer than the newest tick: not shown, by no way
    append(&mut s, "1", 1);
    let read_only = |args: &[&str]| {
        run(db
            .cli_command("app_owner", &["tail", "--format", "json"])
            .args(args)
            .env("PGOPTIONS", "-c default_transaction_read_only=on"))
        .expect(0)
    };
    for args in [&[] as &[&str], &["--from", "beginning"]] {
        let out = read_only(args);
        assert_eq!(out.stdout.lines().count(), 5, "{args:?}: {out:?}");
        assert!(out.stderr.contains("take_tick"), "{out:?}");
    }
    // a stream is read as it is
    assert_eq!(read_only(&["--stream", "Order/1"]).stdout.lines().count(), 6);
    // the cursor of the standby goes on at the primary
    assert_eq!(events(&db, &["--cursor-file", &file]).len(), 1);
    assert_eq!(on_standby.signal("-TERM"), Some(0));
}

/// How long an event takes from its commit to the line, with the default interval.
#[test]
fn an_event_is_shown_within_the_interval() {
    let db = Db::new(Engine::Portable);
    let mut s = db.owner();
    append(&mut s, "1", 1);
    let mut one = Following::spawn(&mut db.cli_command("app_owner", &["tail", "-f", "-n", "1"]));
    one.wait_for(1);
    let began = Instant::now();
    append(&mut s, "1", 1);
    one.wait_for(2);
    eprintln!("shown after {:?}", began.elapsed());
    assert!(began.elapsed() < PATIENCE / 4);
}
