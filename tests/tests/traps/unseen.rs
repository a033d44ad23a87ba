//! T21: a row that comes, goes or changes without an event that the trigger saw. Its next event makes the fold right again, and
//! `domain_events.check_rows()` finds what no event has told yet.

use domain_events_tests::{Db, engines};

engines! {
    t21_rows_under_replica_role, t21_rows_while_triggers_are_disabled, t21_within_one_transaction, t21_every_pair_of_changes,
    t21_copy_freeze, t21_generated_columns, t21_partitions_that_leave_and_return, t21_an_unlogged_table_after_a_crash,
    t21_changes_that_make_no_event_make_no_whole_rows, t21_a_check_finds_what_is_untold, t21_keys_that_are_taken_in_turn,
}

const TABLE: &str = "create table t (id int primary key deferrable, a int, b text, n int);
    select domain_events.enable_capture('t'); insert into t select g, g, 'b' || g, 0 from generate_series(1, 4) g;";

const HIDE: &str = "set session_replication_role = replica";
const SHOW: &str = "reset session_replication_role";

fn t21_rows_under_replica_role(db: &Db) {
    db.owner().run(TABLE);
    let mut s = db.admin();
    for (unseen, seen) in [
        ("update t set b = 'x' where id = 1", "update t set n = n + 1"),
        ("delete from t where id = 2", "insert into t values (2, 7, 'new', 3); update t set n = 4"),
        ("delete from t where id = 2", "update t set id = 2 where id = 3; update t set n = 5"),
        ("insert into t values (3, 3, 'unseen', 3)", "update t set n = n + 1"),
        ("delete from t where id = 3; insert into t values (3, 8, 'other', 3)", "delete from t where id = 3"),
        ("update t set id = 9 where id = 4", "insert into t values (4, 4, 'again', 4); update t set a = 1"),
        ("insert into t values (3, 1, 'q', 1)", "update t set id = 5 where id = 3; update t set b = b || '.'"),
        ("truncate t; insert into t values (2, 2, 'b', 2)", "truncate t; insert into t values (2, 2, 'c', 2)"),
    ] {
        s.run(&format!("{HIDE}; {unseen}; {SHOW}; {seen}"));
        db.check_table("T", "t");
    }
    // With a context, which takes another way through the portable engine.
    s.run(&format!("{HIDE}; insert into t values (1, 1, 'u', 1); update t set a = 77; {SHOW}"));
    s.run("select domain_events.set_context('ann', local => false); update t set n = n + 1");
    db.check_table("T", "t");
}

fn t21_rows_while_triggers_are_disabled(db: &Db) {
    let mut s = db.owner();
    s.run(TABLE);
    s.run("delete from t where id = 1");
    s.run(
        "alter table t disable trigger user; insert into t values (1, 1, 'b1', 0); update t set b = 'x' where id = 2;
         delete from t where id = 3; alter table t enable trigger user; update t set n = 1; insert into t values (3, 3, 'n', 3)",
    );
    db.check_table("T", "t");
    s.run(
        "begin; alter table t disable trigger user; update t set b = b || 'y'; delete from t where id = 1;
         insert into t values (1, 1, 'z', 1), (6, 6, '6', 6); alter table t enable trigger user; update t set n = n + 1; commit",
    );
    db.check_table("T", "t");
}

fn t21_within_one_transaction(db: &Db) {
    db.owner().run(TABLE);
    let mut s = db.admin();
    let (hide, show) = ("set local session_replication_role = replica", "set local session_replication_role = origin");
    for context in ["", "select domain_events.set_context('ann');"] {
        s.run(&format!("begin; {context} delete from t where id = 1; {hide}; insert into t values (1, 1, 'z', 1); {show}; update t set n = n + 1; commit"));
        db.check_table("T", "t");
        s.run(&format!("begin; {context} {hide}; update t set b = b || 'u'; {show}; update t set n = n + 1; commit"));
        db.check_table("T", "t");
        s.run(&format!("begin; {context} update t set n = n + 1; savepoint s; {hide}; update t set b = 'v'; release s; {show}; update t set n = n + 1; commit"));
        db.check_table("T", "t");
        s.run(&format!("begin; {context} update t set n = n + 1; {hide}; delete from t where id = 2; {show}; insert into t values (2, 2, 'w', 2); commit"));
        db.check_table("T", "t");
    }
}

/// Whatever was told, whatever went unseen, and whatever comes next, wide values as well, which are compressed.
fn t21_every_pair_of_changes(db: &Db) {
    db.owner().run(
        "create table t (id int primary key, a int, b text, n int);
         select domain_events.enable_capture('t'); insert into t select g, g, repeat('b' || g, 3000), 0 from generate_series(1, 4) g;",
    );
    const CHANGES: [&str; 6] = [
        "insert into t values (1, 1, 'i', 1) on conflict do nothing",
        "update t set n = n + 1 where id = 1",
        "update t set b = repeat('u', 5000), a = a + 1 where id = 1",
        "delete from t where id = 1",
        "update t set id = 1 where id = (select max(id) from t) and not exists (select from t where id = 1)",
        "update t set id = (select max(id) + 100 from t) where id = 1",
    ];
    let mut s = db.admin();
    for (n, told) in CHANGES.iter().enumerate() {
        for (m, unseen) in CHANGES.iter().enumerate() {
            for next in [CHANGES[(n + m) % 6], CHANGES[(n + m + 3) % 6]] {
                s.run("insert into t values (1, 0, '', 0) on conflict do nothing");
                for statement in [told, HIDE, unseen, SHOW, next] {
                    s.run(statement);
                }
                // Every row is heard of once more, and every key that is gone is used once.
                s.run(
                    "insert into t select e.aggregate_id::int, 9, 'f', 9 from (select distinct aggregate_id from domain_events.events where aggregate_type = 'T') e
                       where domain_events.fold_stream('T', e.aggregate_id) is not null and not exists (select from t where t.id::text = e.aggregate_id);
                     update t set n = n + 1; delete from t where id > 4",
                );
            }
            db.check_table("T", "t");
        }
    }
}

fn t21_copy_freeze(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table f (id int primary key, v text);
         create function touch() returns trigger language plpgsql as $$ begin
           if new.id % 3 = 1 and tg_op = 'INSERT' then update f set v = v || '+' where id in (new.id + 1, new.id + 2); end if; return null; end $$;
         select domain_events.enable_capture('f'); create trigger zz after insert on f for each row execute function touch();",
    );
    for round in 0..3 {
        s.run("begin; truncate f");
        s.copy_in("copy f from stdin with (freeze)", "1\ta\n2\tb\n3\tc\n4\td\n5\te\n6\tf\n");
        s.run(if round == 1 {
            "update f set v = 'within' where id in (3, 4); delete from f where id = 5; commit"
        } else {
            "commit"
        });
        db.check_table("F", "f");
        s.run("update f set v = 'later' where id = 3; delete from f where id in (2, 3)");
        db.check_table("F", "f");
        s.run("insert into f values (2, 'x'); update f set v = v || 'y'");
        db.check_table("F", "f");
    }
}

fn t21_generated_columns(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create function twice(int) returns int language sql immutable as 'select $1 * 2';
         create table t (id int primary key, n int, label text, g int generated always as (twice(n)) stored);
         select domain_events.enable_capture('t'); insert into t (id, n) select g, g from generate_series(1, 4) g",
    );
    // Rows are written anew with other values, and no trigger fires: as SET EXPRESSION does from 17 on.
    s.run("alter table t alter label type text using coalesce(label, 'l') || id");
    s.run("update t set n = n + 1 where id < 3; delete from t where id = 3; update t set id = 5 where id = 4; update t set n = n + 1");
    db.check_table("T", "t");
    s.run("create or replace function twice(int) returns int language sql immutable as 'select $1 * 5'; update t set label = 'z'; update t set n = 4");
    db.check_table("T", "t");
    if s.major_version() >= 17 {
        s.run("alter table t alter g set expression as (n * 7); update t set label = 'w'");
        db.check_table("T", "t");
    }
    s.run(
        "alter table t drop g; alter table t add g int generated always as (n * 11) stored; update t set label = 'v'",
    );
    db.check_table("T", "t");
}

fn t21_partitions_that_leave_and_return(db: &Db) {
    let mut s = db.admin();
    s.run(
        "create table c (id int, at date, v text, w text, primary key (id, at)) partition by range (at);
         create table c_1 partition of c for values from ('2026-01-01') to ('2026-02-01');
         create table c_2 partition of c for values from ('2026-02-01') to ('2026-03-01');
         select domain_events.enable_capture('c', aggregate_id => '{id}');
         insert into c values (1, '2026-01-05', 'a', 'keep'), (2, '2026-02-05', 'b', 'keep'), (3, '2026-01-06', 'c', 'keep');",
    );
    let attach = "alter table c attach partition c_1 for values from ('2026-01-01') to ('2026-02-01')";
    s.run(&format!("alter table c detach partition c_1; create index on c_1 (v); {attach}; update c set v = v || '2'"));
    db.check_table("C", "c");
    s.run(&format!("alter table c detach partition c_1; update c_1 set w = 'out'; delete from c_1 where id = 3; insert into c_1 values (4, '2026-01-07', 'd', 'new'); {attach}"));
    s.run(&format!(
        "insert into c values (3, '2026-01-06', 'c', 'back'); {}; update c set v = v || '3'",
        "select domain_events.follow_partitions('c')"
    ));
    if db.engine.name() == "native" {
        db.check_table("C", "c");
    }
    // A partition that is emptied, filled behind the trigger's back, and changed.
    s.run(&format!("truncate c_1; {HIDE}; insert into c values (1, '2026-01-05', 'r', 'unseen'); {SHOW}; update c set v = v || '4'; delete from c where id in (3, 4)"));
    db.check_fold("C", "select t.id::text, to_jsonb(t) from c t");
    s.run(&format!("delete from c where id = 1; {HIDE}; insert into c values (1, '2026-01-05', 's', 'unseen'); {SHOW}; update c set v = v || '5'"));
    db.check_table("C", "c");
}

fn t21_an_unlogged_table_after_a_crash(db: &Db) {
    let db = Db::on(domain_events_tests::Cluster::start(&[]), db.engine);
    db.owner().run(&TABLE.replace("create table", "create unlogged table"));
    db.cluster().crash();
    db.cluster().restart();
    let mut s = db.owner();
    assert_eq!(s.one("select count(*) from t"), "0");
    s.run("insert into t select g, 0, 'new', g from generate_series(1, 4) g");
    db.check_table("T", "t");
    s.run("update t set n = n + 1; delete from t where id = 1; update t set id = 8 where id = 2");
    db.check_table("T", "t");
}

fn t21_changes_that_make_no_event_make_no_whole_rows(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table e (id int primary key, v int, hidden int); select domain_events.enable_capture('e', exclude => '{hidden}');
         insert into e values (1, 1, 1); update e set hidden = 2; update e set v = v; update e set v = 2; update e set hidden = 3;
         begin; savepoint a; update e set v = 3; release a; savepoint b; update e set hidden = 7; update e set v = 9; release b; commit;
         update e set id = 2; update e set v = 4; select domain_events.append_event('E', '2', 'Noted'); update e set hidden = 5; update e set v = 5;
         delete from e; insert into e values (2, 6, 6); update e set v = 7",
    );
    assert_eq!(
        s.table("select event_data -> 'new_values' from domain_events.events where event_type = 'EUpdated' order by global_position"),
        "{\"v\": 2}\n{\"v\": 3}\n{\"v\": 9}\n{\"v\": 4}\n{\"v\": 5}\n{\"v\": 7}"
    );
    assert_eq!(s.one("select count(*) from domain_events.events where metadata ? 'complete'"), "0");
    db.check_fold("E", "select id::text, to_jsonb(e) - 'hidden' from e");
}

fn t21_keys_that_are_taken_in_turn(db: &Db) {
    let mut s = db.owner();
    s.run(TABLE);
    s.run("update t set id = id + 1");
    db.check_table("T", "t");
    s.run(
        "begin; update t set id = id + 1; update t set id = id - 1; delete from t where id = 3; insert into t (id) values (3);
         update t set id = id + 1; commit; update t set n = 0",
    );
    db.check_table("T", "t");
    s.run("update t set id = 12 - id; begin; update t set id = 12 - id; update t set id = 12 - id; commit; update t set n = 1");
    db.check_table("T", "t");
}

const CHECK: &str = "select code, aggregate_id from domain_events.check_rows('t') order by 1, 2";

fn t21_a_check_finds_what_is_untold(db: &Db) {
    db.owner().run(
        "create table t (id int primary key, v text, at timestamptz default now(), doc jsonb, hidden int);
         select domain_events.enable_capture('t', exclude => '{hidden}');
         insert into t select g, 'v' || g, now(), jsonb_build_object('a', g) from generate_series(1, 10) g",
    );
    let mut s = db.owner();
    assert_eq!(s.table(CHECK), "");
    s.run("update t set hidden = 1; update t set v = 'w' where id < 4; delete from t where id = 10");
    assert_eq!(s.table(CHECK), "");
    let mut admin = db.admin();
    admin.run(HIDE);
    admin.run("update t set v = 'unseen' where id = 2; delete from t where id = 3; insert into t values (10), (11); update t set hidden = 5");
    let untold = "row_differs|2\nrow_gone|3\nrow_unknown|10\nrow_unknown|11";
    assert_eq!(s.table(CHECK), untold);
    assert!(
        s.one("select detail from domain_events.check_rows('t') where code = 'row_differs'")
            .contains("stream says in v:")
    );
    // In batches, each going on where the one before ended; the session's settings do not matter.
    s.run("set timezone = 'Asia/Tokyo'; set datestyle = 'German'");
    let (mut found, mut after, mut calls) = (Vec::new(), "null".to_owned(), 0);
    loop {
        calls += 1;
        let rows = s.rows(&format!("select code, aggregate_id, next from domain_events.check_rows('t', 3, {after})"));
        found.extend(rows.iter().filter_map(|row| Some(format!("{}|{}", row[0].clone()?, row[1].clone()?))));
        match rows.last().and_then(|row| row[2].clone()) {
            Some(next) => after = format!("'{next}'"),
            None => break,
        }
    }
    found.sort();
    let mut expected: Vec<_> = untold.lines().collect();
    expected.sort();
    assert_eq!(found, expected);
    assert!(calls > 5, "{calls} calls");
    s.error("select * from domain_events.check_rows('t', 0)").expect("22023");
    s.error("select * from domain_events.check_rows('t', 1, 'elsewhere')").expect("22023");
    s.error("select * from domain_events.check_rows('pg_class')").expect("42809");
    // It reads as its caller, who owns the table.
    let stranger = db.role("stranger");
    admin.run(&format!("reset session_replication_role; grant domain_events_admin to {stranger}"));
    db.session(&stranger).error("select * from domain_events.check_rows('t')").expect("42501");
    s.run("update t set v = coalesce(v, '') || '.'; insert into t values (3, 'again')");
    assert_eq!(s.table(CHECK), "");
    db.check_fold("T", "select id::text, to_jsonb(t) - 'hidden' from t");
}
