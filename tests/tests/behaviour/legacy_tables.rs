//! register_event_table, and next_aggregate_version on a legacy event table.

use std::thread;

use domain_events_tests::{Db, engines};

engines! {
    a_registered_table_counts_on, its_key_is_demanded, bad_registrations_are_refused, ids_of_any_type,
    a_table_without_a_type_column, sessions_never_share_a_version, a_rollback_gives_the_number_back, old_snapshots_raise_40001,
    twenty_thousand_legacy_streams,
}

const LOG: &str =
    "create table log (type varchar(100) not null, id varchar(100) not null, version bigint not null, what text,
      constraint uk_log unique (type, id, version));
    insert into log values ('User', '1', 1, 'a'), ('User', '1', 2, 'b'), ('User', '2', 7, 'c');";

const REGISTER: &str = "select domain_events.register_event_table('log', 'type', 'id', 'version');";

fn a_registered_table_counts_on(db: &Db) {
    let mut s = db.owner();
    s.run(LOG);
    s.error("select domain_events.next_aggregate_version('User', '1', 'log')")
        .expect("42P01")
        .naming("register_event_table");
    s.run(REGISTER);
    let next = |id: &str| format!("select domain_events.next_aggregate_version('User', '{id}', 'log')");
    assert_eq!(s.one(&next("1")), "3");
    assert_eq!(s.one(&next("1")), "3");
    assert_eq!(s.one(&next("2")), "8");
    assert_eq!(s.one(&next("new")), "1");
    assert_eq!(s.one("select domain_events.next_aggregate_version('Order', '1', 'log')"), "1");
    // The store's own stream of the same name is another one.
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "1");
    s.run("insert into log values ('User', '1', domain_events.next_aggregate_version('User', '1', 'log'), 'x')");
    assert_eq!(s.one(&next("1")), "4");
    // Registering again, with other columns, is how a mistake is mended.
    s.run(REGISTER);
}

fn its_key_is_demanded(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table log (type text, id text, version bigint, n int);
         create unique index on log (type, id, version, n);
         create unique index on log (type, id, version) where n > 0;
         create unique index on log (lower(type), id, version);
         create index on log (type, id, version);",
    );
    s.error(REGISTER).expect("42P16");
    s.run("create unique index on log (version, id, type)");
    s.run(REGISTER);
}

fn bad_registrations_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run(LOG);
    s.run("create view v as select * from log; create temp table tmp (type text, id text, version bigint, unique (type, id, version))");
    for (arguments, code) in [
        ("null, 'type', 'id', 'version'", "22004"),
        ("'log', 'type', null, 'version'", "22004"),
        ("'log', 'type', 'id', null", "22004"),
        ("'log', 'kind', 'id', 'version'", "42703"),
        ("'log', 'type', 'ident', 'version'", "42703"),
        ("'log', 'type', 'id', 'v'", "42703"),
        ("'log', 'type', 'id', 'what'", "42P16"),
        ("'v', 'type', 'id', 'version'", "42809"),
        ("'tmp', 'type', 'id', 'version'", "42809"),
    ] {
        s.error(&format!("select domain_events.register_event_table({arguments})")).expect(code);
    }
    s.error("select domain_events.register_event_table('nowhere', 'type', 'id', 'version')").expect_code("42P01");
    let stranger = db.role("stranger");
    db.session(&stranger).error(REGISTER).expect_code("42501");
}

fn ids_of_any_type(db: &Db) {
    let mut s = db.owner();
    for (n, (column, stored, asked)) in [
        ("int", "5", "5"),
        ("bigint", "5", "5"),
        ("uuid", "'0123456789abcdef0123456789abcdef'", "01234567-89ab-cdef-0123-456789abcdef"),
        ("char(8)", "'ab'", "ab"),
        ("text collate \"C\"", "'x'", "x"),
        ("numeric", "5", "5"),
    ]
    .iter()
    .enumerate()
    {
        s.run(&format!(
            "create table log{n} (type text, id {column}, version int, unique (type, id, version));
             insert into log{n} values ('User', {stored}, 3);
             select domain_events.register_event_table('log{n}', 'type', 'id', 'version')"
        ));
        assert_eq!(
            s.one(&format!("select domain_events.next_aggregate_version('User', '{asked}', 'log{n}')")),
            "4",
            "{column}"
        );
    }
}

fn a_table_without_a_type_column(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table log (user_id int, version int, unique (user_id, version)); insert into log values (1, 1);
         select domain_events.register_event_table('log', null, 'user_id', 'version');",
    );
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1', 'log')"), "2");
}

fn sessions_never_share_a_version(db: &Db) {
    let mut s = db.owner();
    s.run(LOG);
    s.run(REGISTER);
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let mut s = db.owner();
            thread::spawn(move || {
                for i in 0..40 {
                    s.run(&format!(
                        "insert into log values ('User', '1', domain_events.next_aggregate_version('User', '1', 'log'), 'w{n}-{i}')"
                    ));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker");
    }
    assert_eq!(s.table("select count(*), min(version), max(version) from log where id = '1'"), "322|1|322");
}

fn a_rollback_gives_the_number_back(db: &Db) {
    let mut s = db.owner();
    s.run(LOG);
    s.run(REGISTER);
    let insert = "insert into log values ('User', '1', domain_events.next_aggregate_version('User', '1', 'log'), 'x') returning version";
    s.run("begin");
    assert_eq!(s.one(insert), "3");
    s.run("savepoint a");
    assert_eq!(s.one(insert), "4");
    s.run("rollback to a");
    assert_eq!(s.one(insert), "4");
    let mut other = db.owner();
    let pid = other.pid();
    let waiting = thread::spawn(move || other.one(insert));
    db.wait_until_blocked(pid);
    s.run("rollback");
    assert_eq!(waiting.join().expect("the other session"), "3");
}

fn old_snapshots_raise_40001(db: &Db) {
    let mut s = db.owner();
    s.run(LOG);
    s.run(REGISTER);
    let insert = "insert into log values ('User', '1', domain_events.next_aggregate_version('User', '1', 'log'), 'x') returning version";
    for isolation in ["repeatable read", "serializable"] {
        s.run(&format!("begin isolation level {isolation}; select count(*) from log"));
        let before = db.owner().number(insert);
        match s.attempt(insert) {
            Ok(rows) => {
                assert_eq!(rows[0][0].as_deref(), Some(&*(before + 1).to_string()));
                s.attempt("commit").map_err(|e| e.expect_code("40001")).ok();
            }
            Err(failure) => {
                failure.expect_code("40001");
                s.run("rollback");
            }
        }
    }
    assert_eq!(s.one("select count(*) = max(version) from log where id = '1'"), "t");
}

fn twenty_thousand_legacy_streams(db: &Db) {
    // More than the lock table holds, in one transaction and while others go on.
    let mut s = db.owner();
    s.run(LOG);
    s.run(REGISTER);
    s.run("begin");
    s.run("insert into log select 'Bulk', i::text, domain_events.next_aggregate_version('Bulk', i::text, 'log') from generate_series(1, 20000) i");
    db.owner().run("set lock_timeout = '2s'; select domain_events.next_aggregate_version('User', '1', 'log')");
    s.run("commit");
    assert_eq!(s.one("select count(*) from log where type = 'Bulk' and version = 1"), "20000");
}
