//! Bulk statements whose rows follow each other in the key, among sessions that write to the same streams meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, Session, engines};

use super::waits;

engines! {
    events_that_come_between_two_rows, an_open_event_that_stays, an_open_event_that_goes, streams_of_every_length, a_long_stream_among_short_ones, what_a_savepoint_takes_back,
}

/// Rows 1001 to 1060, each with an event; whoever updates them and has `app.gate` set waits at row 1020. The wait is a
/// read-only trigger function's: the statement goes on as the same command.
fn gated(db: &Db) -> Session {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, a int); insert into t select 1000 + i, 0 from generate_series(1, 60) i;
         select domain_events.enable_capture('t', 'T', baseline => 'now');
         create function gate() returns trigger language plpgsql stable as $$ begin
           if new.id = 1020 and current_setting('app.gate', true) = 'on' then perform pg_advisory_xact_lock(1); end if; return null; end $$;
         create trigger a_gate after update on t for each row execute function gate();",
    );
    s
}

fn note(s: &mut Session, id: i32) {
    s.run(&format!("select domain_events.append_event('T', '{id}', 'Noted', '{{}}')"));
}

fn events_that_come_between_two_rows(db: &Db) {
    let mut s = gated(db);
    s.run("select pg_advisory_lock(1)");
    let mut writer = db.owner();
    writer.run("set app.gate = 'on'");
    let writer = waits(db, writer, "update t set a = a + 1");
    let mut other = db.owner();
    for _ in 0..3 {
        note(&mut other, 1030);
        note(&mut other, 1055);
    }
    s.run("select pg_advisory_unlock(1)");
    let (_, result) = writer.result();
    result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        versions(&mut s),
        "1030: Baselined 1, Noted 2, Noted 3, Noted 4, Updated 5\n1055: Baselined 1, Noted 2, Noted 3, Noted 4, Updated 5"
    );
    db.check_table("T", "t");
}

fn an_open_event_that_stays(db: &Db) {
    an_open_event(db, "commit", "1030: Baselined 1, Noted 2, Updated 3\n1055: Baselined 1, Noted 2, Updated 3");
}

fn an_open_event_that_goes(db: &Db) {
    an_open_event(db, "rollback", "1030: Baselined 1, Updated 2\n1055: Baselined 1, Updated 2");
}

fn an_open_event(db: &Db, end: &str, expected: &str) {
    let mut s = gated(db);
    s.run("select pg_advisory_lock(1)");
    let mut writer = db.owner();
    writer.run("set app.gate = 'on'");
    let pid = writer.pid();
    let writer = waits(db, writer, "update t set a = a + 1");
    let mut others = [1030, 1055].map(|id| {
        let mut other = db.owner();
        other.run("begin");
        note(&mut other, id);
        other
    });
    s.run("select pg_advisory_unlock(1)");
    for other in &mut others {
        blocked_by(&mut s, pid, other.pid());
        other.run(end);
    }
    let (_, result) = writer.result();
    result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(versions(&mut s), expected);
    db.check_table("T", "t");
}

fn blocked_by(s: &mut Session, pid: i64, blocker: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while s.one(&format!("select {blocker} = any(pg_blocking_pids({pid}::int))")) != "t" {
        assert!(Instant::now() < deadline, "process {pid} never waited for {blocker}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn versions(s: &mut Session) -> String {
    s.table(
        "select aggregate_id || ': ' || string_agg(replace(event_type, 'T', '') || ' ' || aggregate_version, ', ' order by aggregate_version)
           from domain_events.events where aggregate_type = 'T' and aggregate_id in ('1030', '1055') group by aggregate_id order by 1",
    )
}

/// A stream of 200,000 events among short ones is not read to its end.
fn a_long_stream_among_short_ones(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, a int); insert into t select 1000 + i, 0 from generate_series(1, 40) i;
         select domain_events.enable_capture('t', 'T', baseline => 'now')",
    );
    db.admin().run(
        "set session_replication_role = replica;
         insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
         select 'T', '1012', i, 'Noted' from generate_series(2, 200000) i",
    );
    s.run("update t set a = a + 1; update t set a = a + 1 where id <> 1012; update t set a = a + 1 where id % 3 = 0");
    db.check_table("T", "t");
    let mut s = db.owner();
    s.run("begin; update t set a = a + 1");
    let read = s.number("select pg_stat_get_xact_tuples_returned('domain_events.uk_aggregate_version'::regclass)");
    assert!(read < 2000, "{read} entries of the index read for 40 rows");
    s.run("commit");
}

/// Ids in the order of bytes and out of it, streams of 1 to 40 events, statements that touch all rows, some, or few.
fn streams_of_every_length(db: &Db) {
    let mut s = db.owner();
    for (keys, name) in [
        ("(1000 + i)::text", "dense"),
        ("i::text", "sparse"),
        ("md5(i::text)", "random"),
        ("lpad((500 - i)::text, 4, '0')", "falling"),
    ] {
        s.run(&format!(
            "create table {name} (id text primary key, a int, b int); insert into {name} select {keys}, i, 0 from generate_series(1, 400) i;
             select domain_events.enable_capture('{name}', '{name}', baseline => 'now');
             select count(domain_events.append_event('{name}', id, 'Noted', '{{}}')) from {name}, generate_series(1, a % 40) where a % 7 = 0;
             update {name} set a = a + 1;
             update {name} set b = a where a % 3 = 0;
             update {name} set b = b + 1 where a % 20 = 0;
             delete from {name} where a % 5 = 0;
             insert into {name} select {keys}, i, 0 from generate_series(1, 400) i on conflict (id) do update set b = excluded.a;
             update {name} set a = a + 1, b = b - 1 where a between 100 and 300;
             delete from {name};
             insert into {name} select {keys}, i, 0 from generate_series(1, 400) i;
             update {name} set a = -a;"
        ));
        db.check_table(name, name);
    }
}

fn what_a_savepoint_takes_back(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, a int); insert into t select 1000 + i, 0 from generate_series(1, 200) i;
         select domain_events.enable_capture('t', 'T', baseline => 'now');
         begin; update t set a = 1; savepoint x; update t set a = 2; rollback to x; update t set a = 3; savepoint y;
         update t set a = 4; release y; rollback to x; delete from t where id % 2 = 0; update t set a = 5; commit;
         do $$ begin
           begin update t set a = 6; raise 'no'; exception when others then update t set a = 7 where id % 3 > 0; end; update t set a = 8; end $$;",
    );
    db.check_table("T", "t");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'T'"), "767");
}
