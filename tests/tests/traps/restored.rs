//! T15: a store that comes from another cluster holds numbers of transactions that mean nothing here, also those that running
//! transactions have.

use domain_events_tests::{Db, Session, engines};

engines! {
    t15_a_foreign_number_is_no_event_of_ours, t15_a_foreign_number_holds_no_stream, t15_a_foreign_number_is_no_step_of_ours,
}

fn captured_rows(db: &Db) {
    db.owner().run(
        "create table t (id int primary key, n int default 0); select domain_events.enable_capture('t');
         insert into t select g from generate_series(1, 400) g",
    );
}

/// Begins a transaction whose number an event has, as after a restore, and returns that event's stream. Each event that is alone in
/// its stream gets the number of one of the transactions to come.
fn meet(db: &Db, s: &mut Session) -> String {
    let mut admin = db.admin();
    for _ in 0..100 {
        admin.run(
            "alter table domain_events.events disable trigger events_append_only;
             update domain_events.events e set transaction_id = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + a.n)::text::xid8
               from (select min(global_position) as position, row_number() over () as n from domain_events.events
                      where aggregate_type = 'T' group by aggregate_id having count(*) = 1) a
              where e.global_position = a.position;
             alter table domain_events.events enable always trigger events_append_only",
        );
        s.run("begin");
        let met = s.table(
            "select min(aggregate_id) from domain_events.events where aggregate_type = 'T'
              group by aggregate_id having count(*) = 1 and bool_and(transaction_id = pg_current_xact_id())",
        );
        if !met.is_empty() {
            return met;
        }
        s.run("rollback");
    }
    panic!("no transaction had the number of an event");
}

fn t15_a_foreign_number_is_no_event_of_ours(db: &Db) {
    captured_rows(db);
    let mut s = db.owner();
    for work in [
        "delete from t where id = @",
        "delete from t where id = @; insert into t values (@, 5); update t set n = 6 where id = @",
        "update t set id = -id where id = @",
        "update t set n = 2 where id = @; delete from t where id = @",
        "savepoint a; update t set n = 2 where id = @; rollback to a; delete from t where id = @; insert into t values (@, 7)",
        "update t set id = 1000000 where id = @; insert into t values (@, 8); delete from t where id = 1000000",
    ] {
        let id = meet(db, &mut s);
        s.run(&work.replace('@', &id));
        s.run("commit");
        db.check_table("T", "t");
    }
    assert_eq!(s.one("select count(*) from domain_events.events where metadata ? 'late'"), "0");
}

fn t15_a_foreign_number_holds_no_stream(db: &Db) {
    captured_rows(db);
    let (mut s, mut other) = (db.owner(), db.owner());
    other.run("set lock_timeout = '600ms'");
    let id = meet(db, &mut s);
    assert_eq!(s.one(&format!("select domain_events.next_aggregate_version('T', '{id}')")), "2");
    other.error(&format!("select domain_events.append_event('T', '{id}', 'TNoted')")).expect_code("55P03");
    s.run("commit");
    other.run(&format!("begin; select domain_events.next_aggregate_version('T', '{}')", 400));
    s.run("set lock_timeout = '600ms'");
    s.error("select domain_events.append_event('T', '400', 'TNoted')").expect_code("55P03");
    other.run("commit");
    db.check_table("T", "t");
}

/// Where the portable engine keeps what happens within a statement: an unlogged table is dumped as well.
fn t15_a_foreign_number_is_no_step_of_ours(db: &Db) {
    db.owner().run(
        "create table p (id int, k int, primary key (id, k)) partition by list (k); create table p_0 partition of p for values in (0);
         create table p_1 partition of p default; select domain_events.enable_capture('p', aggregate_id => '{id}');
         insert into p select g, 0 from generate_series(1, 20) g",
    );
    db.admin().run(
        "insert into domain_events.row_moves (capture_id, leaf, place, left_order, depth, after_version, old_id, new_id, transaction_id, old_row, old_key, new_key, changed)
         select c.capture_id, 'p_0'::regclass, format('(0,%s)', row_number() over ())::tid, 1, 1, 0, id::text, id::text, x::text::xid8, '{\"k\": 9, \"id\": 9}', '{}', '{}', '{}'
           from domain_events.capture_config c, generate_series(1, 20) id,
                generate_series(pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 400) x
          where c.relation = 'p'::regclass
         on conflict do nothing;
         insert into domain_events.row_steps (file, place, transaction_id, after_version)
         select pg_relation_filenode(r), format('(0,%s)', n)::tid, (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + n % 5)::text::xid8, 0
           from unnest('{p_0,p_1}'::regclass[]) r, generate_series(1, 60) n",
    );
    let mut s = db.owner();
    s.run("update p set k = 1 where id = 1");
    db.check_table("P", "p");
    s.run("delete from p where id = 2; insert into p values (2, 0), (21, 0), (22, 1); update p set k = 1 - k; update p set id = -id");
    db.check_table("P", "p");
    assert_eq!(s.one("select count(*) from domain_events.events where metadata ? 'late'"), "0");
}
