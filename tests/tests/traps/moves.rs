//! T10: rows that leave a partition and do not arrive, because a trigger of the destination keeps them from being inserted:
//! they are deleted.

use domain_events_tests::{Cluster, Db, Engine, engines};

engines! {
    t10_a_cancelled_move_is_a_deletion, t10_a_cancelled_move_comes_before_what_follows, t10_a_cancelled_move_that_is_told_again,
    t10_a_cancelled_move_within_triggers, t10_a_cancelled_move_and_other_sessions, t10_a_cancelled_move_and_the_table_changes,
    t10_a_cancelled_move_and_the_capture_ends, t10_a_cancelled_move_within_a_procedure, t10_a_cancelled_move_in_a_prepared_transaction,
}

/// What has a 7 never arrives in 'b'.
const CANCELS: &str = "create table pt (id int, r text, a int) partition by list (r);
    create table pt_a partition of pt for values in ('a');
    create table pt_b partition of pt for values in ('b');
    create function cancel() returns trigger language plpgsql as $$
      begin if new.a = 7 then return null; end if; return new; end $$;
    create trigger cancel before insert on pt_b for each row execute function cancel();
    select domain_events.enable_capture('pt', 'Pt', aggregate_id => '{id}');
    insert into pt values (1, 'a', 7), (2, 'a', 8), (3, 'a', 7), (4, 'a', 9);";

const HISTORY: &str =
    "select aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events
    where aggregate_type = 'Pt' group by 1 order by 1";

fn t10_a_cancelled_move_is_a_deletion(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run("update pt set r = 'b'");
    assert_eq!(
        s.table(HISTORY),
        "1|PtCreated,PtDeleted\n2|PtCreated,PtUpdated\n3|PtCreated,PtDeleted\n4|PtCreated,PtUpdated"
    );
    db.check_table("Pt", "pt");
}

fn t10_a_cancelled_move_comes_before_what_follows(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run("begin; update pt set r = 'b' where id = 1; insert into pt values (1, 'a', 8); update pt set a = 99 where id = 1; commit");
    assert_eq!(
        s.one("select string_agg(event_type, ',' order by aggregate_version) from domain_events.events where aggregate_id = '1'"),
        "PtCreated,PtDeleted,PtCreated,PtUpdated"
    );
    db.check_table("Pt", "pt");
    // Another row takes the key over; and a move that is rolled back has not left.
    s.run(
        "begin; update pt set r = 'b' where id = 3; update pt set id = 3 where id = 2; commit;
         begin; savepoint s; update pt set r = 'b', a = 7 where id = 4; rollback to s; update pt set a = 10 where id = 4; commit;",
    );
    db.check_table("Pt", "pt");
    // One client statement, several of the server's.
    s.run(
        "insert into pt values (5, 'a', 7);
         do $$ begin
           update pt set r = 'b' where id = 5; insert into pt values (5, 'a', 1); update pt set r = 'b', a = 7 where id = 5;
           insert into pt values (5, 'b', 2); delete from pt where id = 5; insert into pt values (5, 'a', 3);
         end $$;",
    );
    db.check_table("Pt", "pt");
}

fn t10_a_cancelled_move_that_is_told_again(db: &Db) {
    // What tells it is rolled back, the move is not.
    let mut s = db.owner();
    s.run(CANCELS);
    s.run(
        "insert into pt values (6, 'a', 7), (7, 'a', 7), (8, 'a', 7);
         begin; update pt set r = 'b' where id = 6; savepoint s; insert into pt values (6, 'a', 1); rollback to s; commit;
         begin; update pt set r = 'b' where id = 7; savepoint s; insert into pt values (7, 'a', 1); release s; savepoint s;
         insert into pt values (9, 'a', 1); rollback to s; update pt set r = 'b', a = 7 where id = 7; commit;
         do $$ begin
           update pt set r = 'b' where id = 8;
           begin insert into pt values (8, 'a', 1); raise 'no'; exception when others then null; end;
           begin select 1 / 0; exception when others then null; end;
           insert into pt values (8, 'a', 2);
         end $$;",
    );
    assert_eq!(s.table("select id, a from pt where id in (6, 7, 8)"), "8|2");
    db.check_table("Pt", "pt");
}

fn t10_a_cancelled_move_within_triggers(db: &Db) {
    // A user's trigger writes between the two halves of a move, moves rows itself, and some of them do not arrive.
    let mut s = db.owner();
    s.run(CANCELS);
    s.run(
        "insert into pt select i, 'a', case when i % 2 = 0 then 7 else 1 end from generate_series(10, 20) i;
         create function chain() returns trigger language plpgsql as $$ begin
           if old.id < 15 then
             update pt set r = 'b' where id = old.id + 5 and r = 'a';
             update pt set a = a + 1 where id = old.id + 6 and r = 'a';
           end if;
           return null;
         end $$;
         create trigger chain after delete on pt_a for each row execute function chain();
         update pt set r = 'b' where id between 10 and 14;",
    );
    db.check_table("Pt", "pt");
}

fn t10_a_cancelled_move_and_other_sessions(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run("begin; update pt set r = 'b' where id = 1");
    db.owner().run("analyze pt_a");
    s.run("select count(*) from pt; commit");
    db.check_table("Pt", "pt");
    assert_eq!(s.one("select count(*) from pt"), "3");
}

fn t10_a_cancelled_move_and_the_table_changes(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run(
        "begin; update pt set r = 'b' where id = 1;
         alter table pt_a add constraint c check (a > 0); alter table pt add column zz int; commit;
         begin; update pt set r = 'b' where id = 3; alter table pt drop column a; alter table pt rename column zz to z; commit;
         update pt set z = 1",
    );
    db.check_table("Pt", "pt");
    s.run("alter table pt add column a int default 7");
    s.run("begin; update pt set r = 'b' where id = 4; drop table pt; commit");
    assert_eq!(s.one("select to_regclass('pt')"), "~");
    assert_eq!(s.one("select domain_events.fold_stream('Pt', '4')"), "~");
    db.check_versions();
    // With the type of a column gone too, native cannot finish the event, and it waits; portable finished it before.
    s.run(
        "create type pair as (x int, y int);
         create table px (id int, r text, a int, p pair) partition by list (r);
         create table px_a partition of px for values in ('a'); create table px_b partition of px for values in ('b');
         create trigger cancel before insert on px_b for each row execute function cancel();
         select domain_events.enable_capture('px', 'Px', aggregate_id => '{id}');
         insert into px values (1, 'a', 7, '(1,2)')",
    );
    s.run("begin; update px set r = 'b'; drop table px; drop type pair; commit");
    assert_eq!(s.one("select to_regclass('px')"), "~");
    let waiting = if db.engine == Engine::Native { "1|DELETE" } else { "" };
    assert_eq!(s.table("select aggregate_id, operation from domain_events.capture_failures"), waiting);
    if db.engine == Engine::Portable {
        assert_eq!(s.one("select domain_events.fold_stream('Px', '1')"), "~");
    }
}

fn t10_a_cancelled_move_and_the_capture_ends(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run("begin; update pt set r = 'b' where id = 1; select domain_events.disable_capture('pt'); commit");
    assert_eq!(s.one("select count(*) from pt"), "3");
    db.check_fold("Pt", "select id::text, to_jsonb(pt) from pt");
    s.run("select domain_events.enable_capture('pt', 'Pt', aggregate_id => '{id}')");
    s.run("begin; update pt set r = 'b' where id = 3; select domain_events.pause_capture('pt'); commit; select domain_events.resume_capture('pt')");
    db.check_fold("Pt", "select id::text, to_jsonb(pt) from pt");
}

fn t10_a_cancelled_move_within_a_procedure(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELS);
    s.run(
        "create procedure moves() language plpgsql as $$ begin
           update pt set r = 'b' where id = 1; commit;
           begin update pt set r = 'b' where id = 3; raise 'no'; exception when others then null; end; commit;
           update pt set a = a + 10 where id = 3; update pt set r = 'b', a = 7 where id = 4; commit;
         end $$",
    );
    s.run("call moves()");
    assert_eq!(s.table("select id, a from pt order by 1"), "2|8\n3|17");
    db.check_table("Pt", "pt");
}

fn t10_a_cancelled_move_in_a_prepared_transaction(one: &Db) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "2")]), one.engine);
    let mut s = db.owner();
    s.run(CANCELS);
    s.run("begin; update pt set r = 'b' where id = 1; prepare transaction 'p'");
    s.run("commit prepared 'p'");
    db.check_table("Pt", "pt");
}
