//! Tables that are rewritten or emptied within a transaction: their rows are stored elsewhere afterwards, and are the same.

use domain_events_tests::{Db, engines};

engines! {
    t14_a_rewrite_is_no_change, t14_a_rewrite_in_a_new_session, t14_a_rewrite_that_is_rolled_back, t7b_order_holds_after_a_rewrite,
    t7b_order_holds_after_a_truncate, t14_a_rewrite_within_one_client_statement,
}

/// An update of a row makes a trigger change the next one; it minds no type.
const NESTED: &str = "create table t (id int primary key, a int, b text);
    create function tf() returns trigger language plpgsql as $$ begin
      if (to_jsonb(new) ->> 'a')::int > 100 and pg_trigger_depth() = 1 then update t set b = coalesce(b, '') || '!' where id = new.id + 1; end if;
      return null; end $$;
    create trigger zz after update on t for each row execute function tf();
    select domain_events.enable_capture('t');
    insert into t values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');";

const REWRITES: [&str; 5] = [
    "alter table t alter a type bigint",
    "alter table t alter a type int",
    "alter table t alter b type text using b || ''",
    "cluster t using t_pkey",
    "alter table t set unlogged",
];

/// Each stream folds to its row, and no row is created that is there.
fn check(db: &Db) {
    db.check_table("T", "t");
    let twice = db.admin().table(
        "select aggregate_id, aggregate_version from (
           select *, lag(event_type) over (partition by aggregate_id order by aggregate_version) as before
             from domain_events.events where aggregate_type = 'T') e
          where event_type = 'TCreated' and before <> 'TDeleted'",
    );
    assert_eq!(twice, "", "rows created twice");
}

fn t14_a_rewrite_is_no_change(db: &Db) {
    let mut s = db.owner();
    s.run(NESTED);
    for (n, rewrite) in REWRITES.iter().enumerate() {
        let n = (n + 1) * 10;
        s.run(&format!("begin; {rewrite}; update t set a = a + 1000; commit; update t set a = 1"));
        check(db);
        s.run(&format!(
            "begin; insert into t (id, a, b) values ({n}, 1, 'n'), ({n} + 1, 1, 'n'); {rewrite};
             update t set a = a + 1000 where id = {n}; delete from t where id = {n} + 1; commit",
        ));
        check(db);
    }
}

fn t14_a_rewrite_in_a_new_session(db: &Db) {
    db.owner().run(NESTED);
    for rewrite in REWRITES {
        db.owner().run(&format!("begin; {rewrite}; update t set a = a + 1000; commit"));
        db.owner().run(&format!("begin; {rewrite}; update t set a = 1; update t set a = a + 1000 where id = 1; {rewrite}; delete from t where id = 3; insert into t (id, a) values (3, 1); commit"));
        check(db);
    }
}

fn t14_a_rewrite_that_is_rolled_back(db: &Db) {
    let mut s = db.owner();
    s.run(NESTED);
    for rewrite in REWRITES {
        s.run(&format!(
            "begin; update t set a = 200, b = 'v'; savepoint s; {rewrite}; update t set a = a + 1000; rollback to s;
             update t set a = a + 1000; commit; update t set a = 1"
        ));
        check(db);
    }
}

/// The trigger's change of a row whose own change is still queued.
fn order(db: &Db, before: &str) {
    let mut s = db.owner();
    s.run(NESTED);
    s.run(&format!("begin; {before}; update t set a = a + 1000; commit"));
    db.check_table("T", "t");
    s.run("update t set a = 0");
    s.run(&format!("begin; {before}; update t set a = 0; update t set a = a + 1000; update t set b = 'w'; commit"));
    db.check_table("T", "t");
    // Native says so by the order alone.
    let late = s.number("select count(*) from domain_events.events where metadata ? 'late'");
    assert!(db.engine.name() == "portable" || late == 0, "{late} late events after {before}");
}

fn t7b_order_holds_after_a_rewrite(db: &Db) {
    order(db, "alter table t alter a type bigint");
    db.owner().run("drop table t; drop function tf");
    order(db, "update t set b = b || '+'; cluster t using t_pkey");
}

fn t7b_order_holds_after_a_truncate(db: &Db) {
    order(
        db,
        "insert into t (id, a) values (11, 1), (12, 1); truncate t; insert into t values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z')",
    );
}

fn t14_a_rewrite_within_one_client_statement(db: &Db) {
    // The places of rows before the rewrite say nothing of those after it.
    let mut s = db.owner();
    s.run(NESTED);
    s.run(
        "insert into t values (4, 4, 'w'), (5, 5, 'v');
         do $$ begin
           update t set a = a + 1000; update t set a = a + 1;
           alter table t alter a type bigint;
           update t set b = 'q' where id in (4, 5); update t set a = a + 1000; delete from t where id = 2;
           insert into t values (2, 1, 'again'); truncate t; insert into t values (1, 1, 'x'), (2, 2, 'y'); update t set a = 2000;
         end $$;",
    );
    db.check_table("T", "t");
}
