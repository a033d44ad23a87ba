//! What makes a store slow. Thresholds are lowered where the real thing would take a big disk or a long time.

use domain_events_tests::{Cluster, Db, Engine, Session, engines};

use crate::{codes, lively, performance, provoke};

engines! {
    a_healthy_store_gives_none, long_busy_and_large_streams, size_and_growth, indexes, vacuum, xids_and_positions,
    an_old_transaction, thresholds_are_settings, a_bulk_load_bloats_nothing, autovacuum_has_its_turn, events_are_counted,
}

fn a_healthy_store_gives_none(db: &Db) {
    assert_eq!(performance(&mut db.owner()), "");
    lively(db);
    assert_eq!(performance(&mut db.owner()), "");
}

fn threshold(db: &Db, name: &str, value: &str) {
    db.owner().run(&format!("select domain_events.set_threshold('{name}', {value})"));
}

fn long_busy_and_large_streams(db: &Db) {
    let mut s = db.owner();
    // a normal day: some hundred events of one stream within an hour
    s.run("select domain_events.append_event('User', '1', 'UserChanged') from generate_series(1, 500)");
    assert_eq!(performance(&mut s), "");
    threshold(db, "max_stream_events_per_hour", "500");
    s.run("select domain_events.append_event('User', '1', 'UserChanged')");
    assert_eq!(
        s.table("select code, severity, object, value, threshold from domain_events.check_performance()"),
        "stream_busy|warning|User 1|501|500"
    );
    threshold(db, "max_stream_events_per_hour", "null");
    assert_eq!(performance(&mut s), "");
    s.run("select domain_events.append_event('User', '1', 'UserChanged') from generate_series(502, 1001)");
    assert_eq!(
        s.table("select code, object, value, threshold from domain_events.check_performance()"),
        "stream_long|User 1|1001|1000"
    );
    threshold(db, "max_stream_events", "5000");
    s.run(
        "select domain_events.append_event('User', '2', 'UserPhotographed', jsonb_build_object('photo', repeat('x', 20000)));
         select domain_events.append_event('Order', '2', 'OrderPlaced')",
    );
    assert_eq!(
        s.table("select code, object, value from domain_events.check_performance()"),
        "payload_large|User UserPhotographed|20021"
    );
    assert_eq!(s.table("select code from domain_events.check_performance('Order')"), "");
    // Out of the sample, the large payload is seen only when everything is asked for.
    threshold(db, "sample_events", "1");
    assert_eq!(performance(&mut s), "");
    assert_eq!(s.table("select code from domain_events.check_performance(all_events => true)"), "payload_large");
}

fn size_and_growth(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', i::text, 'UserChanged') from generate_series(1, 100) i");
    db.admin().run("analyze domain_events.events");
    for name in ["max_table_bytes", "max_growth_bytes_per_day"] {
        threshold(db, name, "1000");
    }
    assert_eq!(performance(&mut s), "growth_fast table_large");
    for name in ["max_table_bytes", "max_growth_bytes_per_day"] {
        threshold(db, name, "null");
    }
    assert_eq!(performance(&mut s), "");
    // Ten thousand events, and a table that is mostly air: rows that were removed leave their space behind.
    let mut admin = db.admin();
    admin.run(&format!(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by)
         select 'Bulk', i::text, 1, 'BulkLoaded', jsonb_build_object('x', repeat(md5(i::text), 30)), 'me' from generate_series(1, 60000) i;
         {}; delete from domain_events.events where aggregate_type = 'Bulk' and global_position % 6 > 0; {}",
        crate::OPEN,
        crate::CLOSE
    ));
    admin.run("vacuum analyze domain_events.events");
    threshold(db, "max_bytes_per_event", "2048");
    assert!(performance(&mut s).contains("event_large"), "{}", performance(&mut s));
}

fn indexes(db: &Db) {
    let mut admin = db.admin();
    threshold(db, "min_index_bytes", "100000");
    threshold(db, "max_vacuum_lag", "1000000");
    admin.run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         select 'Bulk', i::text, 1, 'BulkLoaded', 'me' from generate_series(1, 30000) i",
    );
    admin.run("vacuum analyze domain_events.events");
    assert_eq!(performance(&mut admin), "", "dense indexes");
    admin.run(&format!(
        "{}; delete from domain_events.events where aggregate_id::int % 30 > 0; {}",
        crate::OPEN,
        crate::CLOSE
    ));
    admin.run("vacuum analyze domain_events.events");
    assert_eq!(
        admin.table(
            "select code, object from domain_events.check_performance() where code = 'index_bloated' order by 2"
        ),
        "index_bloated|domain_events.events_event_id_key\n\
         index_bloated|domain_events.events_pkey\n\
         index_bloated|domain_events.events_transaction_id_idx\n\
         index_bloated|domain_events.uk_aggregate_version"
    );
    admin.run("reindex table domain_events.events");
    assert_eq!(performance(&mut admin), "");

    threshold(db, "min_index_bytes", "1000");
    threshold(db, "max_index_bloat", "1000");
    admin.run("create index by_type on domain_events.events (event_type)");
    assert_eq!(
        admin.table("select code, object from domain_events.check_performance()"),
        "index_unused|domain_events.by_type"
    );
    admin.run("update pg_index set indisvalid = false where indexrelid = 'domain_events.by_type'::regclass");
    assert_eq!(performance(&mut admin), "index_invalid index_unused");
}

fn vacuum(db: &Db) {
    provoke(
        db,
        performance,
        "alter table domain_events.events set (autovacuum_enabled = off)",
        "autovacuum_off",
        "alter table domain_events.events reset (autovacuum_enabled)",
    );
    db.admin().run(
        "alter table domain_events.events set (autovacuum_enabled = off);
         insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by)
         select 'Bulk', i::text, 1, 'BulkLoaded', 'me' from generate_series(1, 3000) i",
    );
    // The counters are sent when a session ends, if not before.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !performance(&mut db.admin()).contains("vacuum_late") {
        assert!(std::time::Instant::now() < deadline, "{}", performance(&mut db.admin()));
    }
    db.admin().run("vacuum analyze domain_events.events");
    while performance(&mut db.admin()) != "autovacuum_off" {
        assert!(std::time::Instant::now() < deadline, "{}", performance(&mut db.admin()));
    }
}

fn xids_and_positions(db: &Db) {
    let mut s = db.owner();
    for _ in 0..20 {
        s.run("select domain_events.append_event('User', '1', 'UserChanged')");
    }
    threshold(db, "max_xid_age", "10");
    assert_eq!(performance(&mut s), "xid_age");
    threshold(db, "max_xid_age", "null");
    db.admin().run("select setval('domain_events.events_global_position_seq', 5000000000000000000)");
    assert_eq!(s.table("select code, severity from domain_events.check_performance()"), "sequence_low|warning");
    db.admin().run("select setval('domain_events.events_global_position_seq', 9200000000000000000)");
    assert_eq!(s.table("select code, severity from domain_events.check_performance()"), "sequence_low|error");
}

fn an_old_transaction(db: &Db) {
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    threshold(db, "max_transaction_seconds", "1");
    let mut s = db.owner();
    s.run("create table public.t (id int)");
    let mut old = db.owner();
    old.run("begin; insert into public.t values (1)");
    s.run("select domain_events.append_event('User', '1', 'UserChanged'); select pg_sleep(1.6)");
    assert_eq!(performance(&mut s), "readers_held_back transaction_old");
    // A reader does not see the other session, and still learns that there is one.
    assert_eq!(performance(&mut db.session(&reader)), "readers_held_back");
    old.run("commit");
    assert_eq!(performance(&mut s), "");
}

#[test]
fn a_prepared_transaction() {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "5")]), Engine::Portable);
    threshold(&db, "max_transaction_seconds", "1");
    let mut s = db.owner();
    s.run("begin; select domain_events.append_event('User', '1', 'UserChanged'); prepare transaction 'forgotten'");
    s.run("select domain_events.append_event('User', '2', 'UserChanged'); select pg_sleep(1.6)");
    assert_eq!(performance(&mut s), "prepared_transaction_old readers_held_back");
    s.run("commit prepared 'forgotten'");
    assert_eq!(performance(&mut s), "");
}

fn thresholds_are_settings(db: &Db) {
    let mut s = db.owner();
    threshold(db, "max_stream_events", "7");
    assert_eq!(
        s.table("select value, default_value from domain_events.thresholds where name = 'max_stream_events'"),
        "7|1000"
    );
    threshold(db, "max_stream_events", "null");
    assert_eq!(s.one("select count(*) from domain_events.thresholds where value <> default_value"), "0");
    s.error("select domain_events.set_threshold('max_stream_event', 1)").expect("22023").naming("max_stream_event");
    // what the checks cannot calculate with would end them
    for value in ["-1", "'NaN'", "1e30", "1e131071", "9223372036854775808"] {
        for name in ["max_stream_events", "sample_events", "clock_tolerance_seconds"] {
            s.error(&format!("select domain_events.set_threshold('{name}', {value})")).expect("22023").naming(name);
        }
    }
    if s.major_version() >= 14 {
        s.error("select domain_events.set_threshold('sample_events', 'Infinity')").expect("22023");
    }
    for highest in ["1e15", "1e9"] {
        s.run(&format!("select domain_events.set_threshold(t.name, {highest}) from domain_events.thresholds t where t.name <> 'clock_tolerance_seconds' or {highest} <= 1e9"));
        s.run("select domain_events.check_performance(); select domain_events.raise_alerts()");
    }
    s.run("select domain_events.set_threshold(t.name, null) from domain_events.thresholds t");
    s.error("select domain_events.set_threshold(null, 1)").expect("22004");
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    let mut r = db.session(&reader);
    r.error("select domain_events.set_threshold('max_stream_events', 1)").expect_code("42501");
    assert_eq!(r.one("select count(*) > 10 from domain_events.thresholds"), "t");
}

/// Rows that the last analyze has not seen say nothing about how dense an index or a table is.
fn a_bulk_load_bloats_nothing(db: &Db) {
    let mut admin = db.admin();
    for (name, value) in
        [("min_index_bytes", "100000"), ("max_vacuum_lag", "1000000"), ("max_growth_bytes_per_day", "10000000000")]
    {
        threshold(db, name, value);
    }
    let load = |from: i64, to: i64| {
        format!(
            "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by)
             select 'Bulk', 'a long name for an aggregate, so that its index is wide ' || i, 1, 'BulkLoaded', '{{\"a\": 1}}', 'me' from generate_series({from}, {to}) i"
        )
    };
    // no analyze at all, one that saw nothing, one that saw a handful, one that saw a part
    admin.run(&load(1, 10_000));
    assert_eq!(performance(&mut admin), "", "never analyzed");
    admin.run(&format!(
        "{}; truncate domain_events.events; {}; analyze domain_events.events",
        crate::OPEN,
        crate::CLOSE
    ));
    admin.run(&load(1, 3));
    admin.run("analyze domain_events.events");
    admin.run(&load(4, 10_000));
    assert_eq!(performance(&mut admin), "", "analyzed with three rows");
    admin.run("analyze domain_events.events");
    admin.run(&load(10_001, 30_000));
    assert_eq!(performance(&mut admin), "", "analyzed with a third of the rows");
    admin.run("vacuum analyze domain_events.events");
    assert_eq!(performance(&mut admin), "", "analyzed");
}

/// Rows that came within the last naptimes are no lag; those that autovacuum has had its turn for are.
fn autovacuum_has_its_turn(db: &Db) {
    let mut admin = db.admin();
    let load = |first: i64, age: &str| {
        format!(
            "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by, recorded_at)
             select 'Bulk', i::text, 1, 'BulkLoaded', 'me', clock_timestamp() - interval '{age}' from generate_series({first}, {first} + 3999) i"
        )
    };
    // Events that say to be an hour old are newer than any transaction that runs in the cluster just now: that is another finding.
    let vacuum = |s: &mut Session| codes(s, "check_performance() where code like 'vacuum%'");
    let sent = |db: &Db| {
        // counters are sent when a session ends, if not before
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while db
            .admin()
            .number("select n_ins_since_vacuum from pg_stat_all_tables where relid = 'domain_events.events'::regclass")
            < 4000
        {
            assert!(std::time::Instant::now() < deadline, "the statistics do not come");
        }
    };
    db.admin().run(&load(1, "0"));
    sent(db);
    assert_eq!(vacuum(&mut admin), "", "autovacuum was not here yet");
    db.admin().run(&format!("{}; delete from domain_events.events; {}", crate::OPEN, crate::CLOSE));
    db.admin().run("vacuum domain_events.events");
    db.admin().run(&load(5001, "1 hour"));
    sent(db);
    assert_eq!(vacuum(&mut admin), "vacuum_late");
    // the table's own settings count
    admin.run("alter table domain_events.events set (autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_threshold = 100000)");
    assert_eq!(vacuum(&mut admin), "");
    admin.run("alter table domain_events.events set (autovacuum_vacuum_insert_threshold = -1)");
    assert_eq!(vacuum(&mut admin), "");
}

/// Positions that were drawn in vain are no events, however many they are.
fn events_are_counted(db: &Db) {
    let mut admin = db.admin();
    admin.run(
        "select domain_events.append_event('A', g::text, 'Made') from generate_series(1, 30) g;
               select setval('domain_events.events_global_position_seq', 2500000)",
    );
    let metric = |s: &mut domain_events_tests::Session, name: &str| {
        s.table(&format!("select value, labels ->> 'estimated' from domain_events.stats() where metric = '{name}' and coalesce(labels ->> 'window', '24h') = '24h'"))
    };
    for name in ["events", "events_recent", "aggregate_events_saved_total"] {
        assert_eq!(metric(&mut admin, name), "30|false", "{name}");
    }
    // whole blocks that the integrity check has counted, and what came since, also where a table is said to be large
    admin.run("insert into domain_events.integrity_blocks (block, last_position, events, lost) values (0, 100000, 30, 0), (1, 200000, 0, 0);
               select domain_events.append_event('A', g::text, 'Changed') from generate_series(1, 12) g;
               update pg_class set reltuples = 5000000, relpages = 100000 where oid = 'domain_events.events'::regclass;
               select setval('domain_events.events_global_position_seq', 2500100)");
    let bound = metric(&mut admin, "events_recent");
    let (value, estimated) = bound.split_once('|').expect("two columns");
    assert!(
        estimated == "true" && value.parse::<i64>().expect("a number") >= 42,
        "a bound, and said to be one: {bound}"
    );
    admin.run(
        "insert into domain_events.integrity_blocks (block, last_position, events, lost)
               select b, (b + 1) * 100000, 0, 0 from generate_series(2, 23) b",
    );
    for name in ["events", "events_recent", "aggregate_events_saved_total"] {
        assert_eq!(metric(&mut admin, name), "42|false", "{name}");
    }
}
