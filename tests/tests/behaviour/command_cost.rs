//! What a command costs that is no change of a row, in what does not depend on the machine: calls of the store's functions.

use domain_events_tests::{Db, Engine, Session, engines};

engines! { unrelated_commands_ask_nothing_of_each_capture, a_truncation_renews_no_text }

fn captured(session: &mut Session, tables: std::ops::Range<u32>) {
    for n in tables {
        session.run(&format!(
            "create table t{n} (id int primary key, name text); select domain_events.enable_capture('t{n}'); insert into t{n} values (1, 'a')"
        ));
    }
}

/// How often the store's functions were called by these statements, which are undone. In a new session: the counts of one add up.
fn calls(session: &mut Session, statements: &str) -> String {
    session.run("set track_functions = 'all'; begin");
    session.run(statements);
    let calls = session.table(
        "select funcname, sum(calls) from pg_stat_xact_user_functions where schemaname = 'domain_events' group by 1 order by 1",
    );
    session.run("rollback");
    calls
}

fn unrelated_commands_ask_nothing_of_each_capture(db: &Db) {
    const COMMANDS: &str = "create table other (a int); alter table other add b int; alter table other rename b to c;
                            create table more as select 1 as a; alter table more rename to less; drop table other, less";
    let mut admin = db.admin();
    captured(&mut db.owner(), 0..2);
    let few = calls(&mut db.admin(), COMMANDS);
    captured(&mut db.owner(), 2..12);
    assert_eq!(calls(&mut db.admin(), COMMANDS), few);
    // Event triggers are a superuser's to make.
    assert_eq!(few.is_empty(), db.engine == Engine::Portable, "{few}");
    // A command that does concern one is followed at once.
    db.owner().run(
        "alter table t3 add more int default 7; alter table t4 rename name to label; alter table t5 rename to t5b",
    );
    if db.engine == Engine::Native {
        let seen = "select count(*) from domain_events.capture_config c
                     where c.columns_seen = domain_events._columns_signature(array[c.relation::oid])
                       and c.table_name = domain_events._qualified_name(c.relation)";
        assert_eq!(admin.number(seen), 12);
    }
    db.owner().run("update t3 set name = 'b'; update t4 set label = 'b'; update t5b set name = 'b'");
    for (aggregate_type, table) in [("T3", "t3"), ("T4", "t4"), ("T5", "t5b")] {
        db.check_table(aggregate_type, table);
    }
}

fn a_truncation_renews_no_text(db: &Db) {
    let mut owner = db.owner();
    captured(&mut owner, 0..1);
    let called = calls(&mut db.admin(), "truncate t0");
    for rendering in ["_expressions", "_pieces", "_live_columns", "_json_expression"] {
        assert!(!called.contains(rendering), "{called}");
    }
    let text = "select md5(regexp_replace(prosrc, '_since constant bigint := [0-9]+', '')) from pg_proc where proname ~ '^capture_[0-9]+$'";
    let written = "select xmin from pg_proc where proname ~ '^capture_[0-9]+$'";
    let (before, made_by) = (owner.one(text), owner.one(written));
    owner.run("truncate t0");
    assert_eq!(owner.one(text), before);
    if db.engine == Engine::Native {
        assert_eq!(owner.one(written), made_by);
    }
    owner.run("insert into t0 values (1, 'b'), (2, 'c'); truncate t0; insert into t0 values (2, 'd'); update t0 set name = 'e'");
    db.check_table("T0", "t0");
    // Paused, resumed and with another column, the text is another.
    owner.run("select domain_events.pause_capture('t0'); truncate t0; insert into t0 values (3, 'f'); select domain_events.resume_capture('t0')");
    owner.run("truncate t0; alter table t0 add more text default 'm'; insert into t0 values (4, 'g'); truncate t0; insert into t0 values (4, 'h')");
    db.check_table("T0", "t0");
}
