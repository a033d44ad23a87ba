//! However the functions are called, the version is the next one.

use domain_events_tests::{Db, engines};

use crate::{append, waits};

engines! {
    from_a_stable_function, append_from_a_stable_function, from_a_stable_sql_function, from_plpgsql_after_a_query, in_a_cte, from_a_prepared_statement,
    from_a_cursor, never_in_a_parallel_worker, read_only_transactions_are_refused, from_triggers, in_a_subtransaction,
}

/// The holder commits; the caller that waited must not read from before the wait.
fn next_is_two(db: &Db, definition: &str, call: &str) {
    let mut owner = db.owner();
    owner.run(definition);
    for (n, end, expected) in [(1, "commit", "2"), (2, "rollback", "1")] {
        let mut a = db.owner();
        a.run("begin");
        a.run(&append(&n.to_string()));
        let waiting = waits(db, db.owner(), &call.replace("$id", &n.to_string()));
        a.run(end);
        assert_eq!(waiting.one(), expected, "after {end}");
    }
    db.check_versions();
}

fn from_a_stable_function(db: &Db) {
    next_is_two(
        db,
        "create function f(id text) returns bigint language plpgsql stable as $$
         begin return domain_events.next_aggregate_version('User', id); end $$",
        "select f('$id')",
    );
}

fn append_from_a_stable_function(db: &Db) {
    next_is_two(
        db,
        "create function f(id text) returns bigint language plpgsql stable as $$
         begin return (domain_events.append_event('User', id, 'A')).aggregate_version; end $$",
        "select f('$id')",
    );
}

fn from_a_stable_sql_function(db: &Db) {
    next_is_two(
        db,
        "create function f(id text) returns bigint language sql stable as $$
           select (domain_events.append_event('User', id, 'A')).aggregate_version $$",
        "select f('$id')",
    );
}

fn from_plpgsql_after_a_query(db: &Db) {
    next_is_two(
        db,
        "create function f(id text) returns bigint language plpgsql as $$
         declare before bigint; v bigint;
         begin
           select count(*) into before from domain_events.events where aggregate_id = id;
           v := domain_events.next_aggregate_version('User', id);
           if (domain_events.append_event('User', id, 'A')).aggregate_version <> v then raise exception 'not %', v; end if;
           return v;
         end $$",
        "begin; select f('$id'); commit",
    );
}

fn in_a_cte(db: &Db) {
    next_is_two(
        db,
        "select 1",
        "with before as materialized (select count(*) as n from domain_events.events),
              held as materialized (select domain_events.next_aggregate_version('User', '$id') as v from before)
         select v from held",
    );
}

fn from_a_prepared_statement(db: &Db) {
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        let mut s = db.owner();
        let mut other = db.owner();
        s.run(&format!("set plan_cache_mode = {mode}"));
        s.run("prepare p(text) as select (domain_events.append_event('User', $1, 'A')).aggregate_version");
        s.run("prepare n(text) as select domain_events.next_aggregate_version('User', $1)");
        for i in 0..8 {
            assert_eq!(s.number(&format!("execute p('{mode}')")), 2 * i + 1);
            assert_eq!(s.number(&format!("execute n('{mode}')")), 2 * i + 2);
            assert_eq!(other.number(&append(mode)), 2 * i + 2);
        }
    }
    db.check_versions();
}

fn from_a_cursor(db: &Db) {
    let mut s = db.owner();
    s.run(
        "begin; declare c cursor for
           select (domain_events.append_event('User', (i % 3)::text, 'A')).aggregate_version from generate_series(1, 12) as i",
    );
    assert_eq!(s.table("fetch 3 c"), "1\n1\n1");
    s.run("savepoint x");
    assert_eq!(s.table("fetch 3 c"), "2\n2\n2");
    s.run("rollback to savepoint x");
    assert_eq!(s.table("fetch 3 c"), "2\n2\n2");
    let waiting = waits(db, db.owner(), &append("1"));
    assert_eq!(s.table("fetch all c"), "3\n3\n3");
    s.run("commit");
    assert_eq!(waiting.one(), "4");

    // "with hold" runs at the commit.
    s.run(
        "begin; declare h cursor with hold for
           select (domain_events.append_event('User', 'h', 'A')).aggregate_version from generate_series(1, 3); commit",
    );
    assert_eq!(s.table("fetch all h"), "1\n2\n3");
    assert_eq!(db.owner().one(&append("h")), "4");
    db.check_versions();
}

fn never_in_a_parallel_worker(db: &Db) {
    let mut s = db.owner();
    assert_eq!(
        s.table(
            "select proname, proparallel from pg_proc
              where pronamespace = 'domain_events'::regnamespace
                and (proname ~ '^(append|next_|_append|_write|_lock|_next|enable|disable|pause|resume|retry|baseline|capture_\\d)')
                and proparallel <> 'u'"
        ),
        "",
        "functions that write must be parallel unsafe"
    );
    let parallel = s.parallel_setting();
    s.run(&format!(
        "create table big as select i from generate_series(1, 2000) as i; analyze big;
         set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         set {parallel} = on; set max_parallel_workers_per_gather = 2;"
    ));
    let query = "select count(domain_events.append_event('User', i::text, 'A')) from big where i % 2 = 0";
    let plan = s.table(&format!("explain {query}"));
    assert!(!plan.contains("Gather"), "{plan}");
    assert_eq!(s.one(query), "1000");
    // What only reads may be called there.
    s.run("select count(*) from big, lateral domain_events.read_stream('User', i::text) where i <= 10");
    s.run("select domain_events.fold_stream('User', i::text) from big where i <= 10");
    db.check_versions();
}

fn read_only_transactions_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run(&append("1"));
    for begin in ["begin read only", "begin isolation level serializable, read only, deferrable"] {
        for call in [
            "domain_events.append_event('User', '1', 'A')",
            "domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}]')",
            "domain_events.append_events('[{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"A\"}]'::jsonb)",
            "domain_events.next_aggregate_version('User', '1')",
        ] {
            s.run(begin);
            s.error(&format!("select {call}")).expect("25006");
            s.run("rollback");
        }
    }
    // And reading is not.
    s.run("begin read only");
    assert_eq!(s.one("select count(*) from domain_events.read_stream('User', '1')"), "1");
    assert_eq!(s.one("select version from domain_events.streams where aggregate_id = '1'"), "1");
    s.run("commit");
    db.check_versions();
}

fn from_triggers(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table account (id int primary key, balance int);
         create function told() returns trigger language plpgsql as $$
         begin
           perform domain_events.append_event('Account', new.id::text, 'AccountTouched', jsonb_build_object('op', tg_op));
           return new;
         end $$;
         create trigger before_row before insert or update on account for each row execute function told();
         create trigger after_row after insert or update on account for each row execute function told();
         create constraint trigger at_commit after insert or update on account deferrable initially deferred
           for each row execute function told();",
    );
    s.run("insert into account select i, 0 from generate_series(1, 5) as i");
    s.run("begin; update account set balance = 1; update account set balance = 2 where id = 1");
    let waiting = waits(db, db.owner(), "update account set balance = 3 where id = 1");
    s.run("commit");
    waiting.result().1.expect("goes on");
    assert_eq!(
        s.table(
            "select aggregate_id, max(aggregate_version), count(*) from domain_events.events group by 1 order by 1"
        ),
        "1|12|12\n2|6|6\n3|6|6\n4|6|6\n5|6|6"
    );
    db.check_versions();
}

fn in_a_subtransaction(db: &Db) {
    let mut s = db.owner();
    s.run("begin");
    assert_eq!(s.one(&append("1")), "1");
    s.run("savepoint a");
    assert_eq!(s.one(&append("1")), "2");
    s.run("savepoint b");
    assert_eq!(s.one(&append("1")), "3");
    assert_eq!(s.one(&append("2")), "1");
    s.run("rollback to a");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "2");
    s.run("savepoint c");
    assert_eq!(s.one(&append("1")), "2");
    s.run("release c");
    let first = waits(db, db.owner(), &append("1"));
    s.run("commit");
    assert_eq!(first.one(), "3");
    assert_eq!(s.one(&append("2")), "1");
    // Thousands of subtransactions, more than a backend keeps in memory.
    s.run(
        "do $$ begin for i in 1..300 loop begin
           perform domain_events.append_event('User', '3', 'A');
           if i % 2 = 0 then raise exception 'x'; end if;
         exception when raise_exception then null; end; end loop; end $$",
    );
    assert_eq!(s.one(&append("3")), "151");
    db.check_versions();
}
