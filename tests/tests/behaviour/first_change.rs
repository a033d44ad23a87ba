//! The first captured change of a new connection: PHP connects for every request. Milliseconds are what `make bench-connect` shows;
//! here is what they are made of, and what does not depend on the machine: how much has to be called that was never called before.

use domain_events_tests::{Db, Engine, Session, engines};

engines! {
    first_change_calls_little, first_change_is_as_any_later_one,
}

/// Tables of every kind of capture; each has a column `n` to update.
const TABLES: &[(&str, &str, &str)] = &[
    ("accounts", "(id int primary key, n int)", ""),
    (
        "users",
        "(id int primary key, n int, name text, email varchar(50), secret text)",
        ", redact => '{secret}', event_types => '[{\"on\": \"update\", \"when_changed\": [\"n\"], \"type\": \"UserCounted\", \"name\": \"counted\"}]'",
    ),
    (
        "orders",
        "(tenant int, id text, n int, total numeric, primary key (tenant, id))",
        ", payload => 'full', exclude => '{total}'",
    ),
    ("notes", "(id uuid primary key, n int)", ", aggregate_type => 'Account', on_failure => 'abort'"),
    ("parts", "(id int, n int, k int, primary key (id, k)) partition by list (k)", ", aggregate_id => '{id}'"),
];

/// The partitions, too, have changes of their own.
fn set_up(db: &Db) {
    let mut owner = db.owner();
    for (table, columns, options) in TABLES {
        owner.run(&format!("create table {table} {columns}"));
        if *table == "parts" {
            owner.run("create table parts_1 partition of parts for values in (1); create table parts_2 partition of parts for values in (2)");
        }
        owner.run(&format!("select domain_events.enable_capture('{table}'{options})"));
    }
    owner.run(
        "insert into accounts select g, 0 from generate_series(1, 3) g;
         insert into users select g, 0, 'a', 'b', 'c' from generate_series(1, 3) g;
         insert into orders select 1, g, 0, 1 from generate_series(1, 3) g;
         insert into notes select gen_random_uuid(), 0 from generate_series(1, 3) g;
         insert into parts select g, 0, 1 + g % 2 from generate_series(1, 3) g",
    );
}

fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(table, ..)| *table).chain(["parts_1"])
}

/// A session in which the server counts the calls of functions.
fn counting(db: &Db) -> Session {
    let mut admin = db.admin();
    admin.run("set track_functions = 'all'; begin");
    admin
}

/// The functions of the store that this transaction has called, without the trigger itself.
fn called(session: &mut Session) -> String {
    session.table(
        "select distinct funcname from pg_stat_xact_user_functions where schemaname = 'domain_events' and funcname !~ '^capture_' order by 1",
    )
}

fn first_change_calls_little(db: &Db) {
    set_up(db);
    let native = db.engine == Engine::Native;
    for table in tables() {
        let mut session = counting(db);
        session.run(&format!("update {table} set n = n + 1"));
        let called = called(&mut session);
        session.run("commit");
        match table {
            // The text of a trigger that has its columns in it is asked for them, once.
            _ if native => assert_eq!(called, "", "{table}"),
            "accounts" | "users" => {
                assert_eq!(called, "_agrees\n_captured\n_has_columns\n_lock_salt\n_planned_user", "{table}");
            }
            _ => assert!(!called.contains("_tells"), "{table}: {called}"),
        }
    }
    // What has to be followed first is followed, by who comes next.
    db.owner().run("alter table accounts add more text; alter table users rename name to full_name");
    for table in ["accounts", "users"] {
        let mut session = counting(db);
        session.run(&format!("update {table} set n = n + 1"));
        session.run("commit");
        let mut session = counting(db);
        session.run(&format!("update {table} set n = n + 1"));
        if native {
            assert_eq!(called(&mut session), "", "{table}");
        }
        session.run("commit");
    }
    db.check_table("Part", "parts");
}

/// Each change by a session of its own, beside one session that makes them all.
fn first_change_is_as_any_later_one(db: &Db) {
    set_up(db);
    let mut known = db.owner();
    let told = |session: &mut Session| {
        session.table(
            "select distinct aggregate_type, event_type, event_name, event_data - 'old_values' - 'new_values', metadata,
                    (select array_agg(k order by k) from jsonb_object_keys(event_data -> 'new_values') as k),
                    (select array_agg(k order by k) from jsonb_object_keys(event_data -> 'old_values') as k)
               from domain_events.events
              where transaction_id = (select max(transaction_id::text::bigint)::text::xid8 from domain_events.events) order by 1, 2, 5",
        )
    };
    let changes = [
        "alter table users rename secret to hidden",
        "alter table users alter n type bigint",
        "alter table parts add more text default 'm'",
        "select domain_events.pause_capture('orders'); select domain_events.resume_capture('orders')",
        "alter table accounts rename to ledgers; alter table ledgers rename to accounts",
        "drop index if exists none",
    ];
    for change in changes {
        known.run(change);
        for table in tables() {
            // The first one may carry whole rows.
            known.run(&format!("update {table} set n = n + 1"));
            known.run(&format!("update {table} set n = n + 1"));
            let by_known = told(&mut known);
            let mut first = db.owner();
            first.run(&format!("update {table} set n = n + 1"));
            assert_eq!(told(&mut first), by_known, "{table} after {change}");
        }
    }
    assert!(!db.admin().table("select event_data from domain_events.events").contains("\"c\""), "the secret");
    db.check_table("Part", "parts");
}
