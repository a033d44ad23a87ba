//! The traps of [`crate::circumstances`] that take more than the statements of one session: others beside it, another role,
//! another server, another database.

use domain_events_tests::{Cluster, Db, Engine, Session, engines};

use crate::{
    bulk::kilobytes,
    circumstances::{CIRCUMSTANCES, PLAIN, Trap, at, settle},
    security::{casts_to_json, shadow, still_harmless, tampering_is_found, temporary_objects},
};

engines! {
    t5_in_all_circumstances, t11_in_all_circumstances, t12_in_all_circumstances, t15_in_all_circumstances,
    t15_prepared_in_all_circumstances, t18_in_all_circumstances,
}

/// What one session does and, while that waits for its commit, another in the same stream.
fn contests(circumstance: &str, id: i64) -> [[String; 2]; 5] {
    let table = format!("{circumstance}.t");
    let update = format!("update {table} set n = n + 1 where id = {id}");
    let append = format!("select domain_events.append_event('{circumstance}', '{id}', 'Noted')");
    let delete = format!("delete from {table} where id = {id}");
    let insert = format!("insert into {table} values ({id}, 'again')");
    // A stream that is new to both.
    let first = format!("insert into {table} values (-{id}, 'first')");
    let come_and_go = format!("{first}; delete from {table} where id = -{id}");
    [
        [update.clone(), update.clone()],
        [format!("{update}; {append}"), append.clone()],
        [append, update],
        [delete, insert],
        [come_and_go, first],
    ]
}

fn t5_in_all_circumstances(db: &Db) {
    let trap = Trap { rows: "insert into @t select i, 'x' from generate_series(1, 30) i", ..PLAIN };
    trap.with(db, |s, circumstance| {
        let mut id = 0;
        for level in ["read committed", "repeatable read", "serializable"] {
            for earlier in ["", "; select 1"] {
                let begin = format!("begin isolation level {level}{earlier}");
                for n in 0..5 {
                    id += 1;
                    let [held, waiting] = &contests(circumstance, id)[n];
                    let (mut b, result) = db.contend(held, &begin, waiting);
                    if let Err(failure) = result.and_then(|_| b.attempt("commit")) {
                        // The server itself refuses the same row; the portable engine may refuse without need.
                        let may = match level {
                            "read committed" => false,
                            "repeatable read" => n == 0 || db.engine == Engine::Portable,
                            _ => true,
                        };
                        assert!(may, "{held} against {waiting}, {level}: {failure}");
                        failure.expect_code("40001");
                        b.run("rollback");
                        b.run(&format!("{begin}; {waiting}; commit"));
                    }
                }
            }
        }
        assert_eq!(
            s.one(&format!("select count(*) from domain_events.events where aggregate_type = '{circumstance}' and event_type = 'Noted'")),
            "18"
        );
        // Of a row that nobody has changed, nothing is told.
        s.run(&at(circumstance, "update @t set n = n + 1"));
    });
}

fn t11_in_all_circumstances(db: &Db) {
    let owner =
        db.admin().one("select tableowner from pg_tables where schemaname = 'domain_events' and tablename = 'events'");
    let trap = Trap {
        tables: "create table @t (id int primary key, s text, n int default 0);
                 create table @child (t int references @t on delete cascade)",
        ..PLAIN
    };
    trap.with(db, |s, circumstance| {
        let last = db.admin().one("select coalesce(max(global_position), 0) from domain_events.events");
        let history = format!(
            "select count(*), md5(string_agg(e::text, ',' order by global_position))
               from domain_events.events e where global_position <= {last}"
        );
        let before = db.admin().table(&history);
        for user in [&owner, "postgres"] {
            refuses_change(&mut db.session(user), circumstance);
        }
        for user in ["app_owner", &owner, "postgres"] {
            tampering_is_found(&mut db.session(user), &at(circumstance, "@t"));
        }
        s.run(&at(
            circumstance,
            "insert into @child values (1), (2); update @t set n = 1; delete from @t where id = 1; truncate @t cascade;
             insert into @t values (2, 'after'), (5, 'new'); update @t set n = 2",
        ));
        assert_eq!(db.admin().table(&history), before, "the history is another");
    });
}

fn refuses_change(store: &mut Session, circumstance: &str) {
    let of_type = format!("where aggregate_type = '{circumstance}'");
    let is_superuser = store.one("show is_superuser") == "on";
    for change in [
        format!("update domain_events.events set event_data = '{{}}' {of_type}"),
        format!("delete from domain_events.events {of_type}"),
        format!("with gone as (delete from domain_events.events {of_type} returning 1) select count(*) from gone"),
        "truncate domain_events.events".into(),
        "truncate domain_events.events cascade".into(),
    ] {
        store.error(&change).expect("23001");
        if is_superuser {
            store.run("set session_replication_role = replica");
            store.error(&change).expect("23001");
            store.run("reset session_replication_role");
        }
    }
    // A cascade that the owner made himself, from rows that are not captured.
    store.run(
        "begin; create table domain_events.parent (id text primary key); insert into domain_events.parent values ('1');
         alter table domain_events.events
           add foreign key (aggregate_id) references domain_events.parent on delete cascade not valid",
    );
    store.error("delete from domain_events.parent").expect("23001");
    store.run("rollback");
}

fn t12_in_all_circumstances(db: &Db) {
    let evil = db.role("evil");
    db.admin().run(&format!(
        "grant create, temporary on database {} to {evil}; grant create on schema public to {evil}",
        db.name
    ));
    let mut e = db.session(&evil);
    shadow(&mut e, &evil);
    casts_to_json(&mut e, &evil);
    temporary_objects(&mut e, &evil);
    e.run("grant usage on schema e to public");
    // Who enables, pauses and retries finds the schema first as well.
    let first = "e, pg_catalog, public";
    db.admin().run(&format!("alter role app_owner in database {} set search_path = {first}", db.name));
    let trap = Trap {
        tables: "create table @t (id int primary key, s text, n int default 0, m e.mood default 'sad', r e.span default '[1,2]')",
        unseen: "update @t set s = 'unseen', m = 'ok'",
        // Nothing that compares: that would be the role's own call of its own code.
        work: "update @t set n = 7, m = 'ok', r = 'empty'; delete from @t; insert into @t values (1, 'back'), (4, 'new'); update @t set s = 'end'",
        want: "select id::text, jsonb_build_object('id', id, 's', s, 'n', n, 'm', m::text, 'r', r::text) from @t t",
        ..PLAIN
    };
    for circumstance in CIRCUMSTANCES {
        let mut s = trap.prepare(db, circumstance);
        s.run(&at(circumstance, &format!("grant usage on schema {circumstance} to {evil}; grant all on @t to {evil}")));
        for path in [first, "pg_temp, e, public, pg_catalog"] {
            e.run(&format!("set search_path = {path}; {}", at(circumstance, trap.work)));
        }
        let mut admin = db.admin();
        admin.run(&format!("set search_path = {first}"));
        settle(&mut admin, circumstance);
        admin.run(&format!("select domain_events.fold_stream('{circumstance}', '1')"));
        still_harmless(db, &evil);
        trap.check(db, circumstance);
    }
}

fn t15_in_all_circumstances(db: &Db) {
    let stored = "select e from domain_events.events e order by global_position";
    let told =
        "select aggregate_type, aggregate_id, aggregate_version, event_type from domain_events.events order by 1, 2, 3";
    let trap = Trap {
        work: "update @t set n = n + 1; delete from @t where id = 2; insert into @t values (2, 'again'), (4, 'new')",
        ..PLAIN
    };
    for circumstance in CIRCUMSTANCES {
        let work = at(
            circumstance,
            "update @t set n = n + 1; delete from @t where id = 1; insert into @t values (1, 'later')",
        );
        let mut s = trap.prepare(db, circumstance);
        if circumstance == "dead" {
            s.run(&at(circumstance, trap.work));
        }
        let copies = [db.restored(), db.restored_data_only()];
        for copy in &copies {
            assert_eq!(copy.admin().table(stored), db.admin().table(stored));
        }
        // The same work in each of the three is told with the same versions.
        for each in copies.iter().chain([db]) {
            settle(&mut each.admin(), circumstance);
            each.owner().run(&work);
            trap.check(each, circumstance);
        }
        for copy in &copies {
            assert_eq!(copy.admin().table(told), db.admin().table(told));
        }
    }
}

fn t15_prepared_in_all_circumstances(db: &Db) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "2")]), db.engine);
    PLAIN.with(&db, |s, circumstance| {
        let work = at(
            circumstance,
            "update @t set n = n + 1; delete from @t where id = 2; insert into @t values (2, 'again'), (4, 'new')",
        );
        s.run(&format!("begin; {work}; prepare transaction 'undone'"));
        s.run("rollback prepared 'undone'");
        s.run(&format!("begin; {work}; prepare transaction 'kept'"));
        db.cluster().restart();
        let mut s = db.owner();
        s.run("set lock_timeout = '100ms'");
        s.error(&at(circumstance, "update @t set n = 9 where id = 1")).expect_code("55P03");
        // It holds its streams, too.
        if circumstance != "dead" {
            s.error(&format!("select domain_events.append_event('{circumstance}', '1', 'Noted')")).expect_code("55P03");
        }
        s.run("commit prepared 'kept'");
        s.run(&at(circumstance, "update @t set n = n + 1; delete from @t where id = 4"));
    });
}

/// The greatest size that the process ever had grows little, also by what is freed with its statement.
fn stays_flat(s: &mut Session, small: impl FnOnce(&mut Session), large: impl FnOnce(&mut Session)) {
    small(s);
    let before = kilobytes(s, "VmPeak");
    large(s);
    let grown = kilobytes(s, "VmPeak") - before;
    assert!(grown < 8_000, "the process grew by {grown} kB");
}

fn t18_in_all_circumstances(db: &Db) {
    for circumstance in CIRCUMSTANCES {
        // Refused events cost a subtransaction and some calls of SQL functions each.
        let rows = if circumstance == "dead" { 10_000 } else { 40_000 };
        let trap =
            Trap { rows: &format!("insert into @t select i, 'some text' from generate_series(1, {rows}) i"), ..PLAIN };
        trap.prepare(db, circumstance);
        let update = at(circumstance, "update @t set n = n + 1");
        stays_flat(&mut db.owner(), |s| s.run(&format!("{update} where id <= 1000")), |s| s.run(&update));
        // What is retried too early is refused again.
        let early = "select domain_events.retry_capture_failures(1000)";
        stays_flat(&mut db.admin(), |s| s.run(early), |s| settle(s, circumstance));
        trap.check(db, circumstance);
    }
}
