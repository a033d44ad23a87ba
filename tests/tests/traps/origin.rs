//! T22: whatever an application says in events of its own, in its context, or in the names of a mapping, it does not speak for
//! the store: what happened to a captured row, only captured events tell.

use domain_events_tests::{Db, Session, engines};

engines! {
    t22_an_applications_event_changes_no_fold, t22_of_rows_in_partitions, t22_between_changes_of_one_transaction,
    t22_before_a_baseline_and_after_a_pause, t22_the_stores_own_streams_are_refused, t22_a_context_cannot_mark_events,
    t22_a_context_cannot_mark_dead_letters, t22_a_mapping_may_use_any_name, t22_events_say_how_they_came,
}

/// Payloads and metadata that mean something in captured events.
const PAYLOADS: &[&str] = &[
    r#"{"old_values": {"verified": false}}"#,
    r#"{"new_values": {"s": "forged"}}"#,
    r#"{"old_values": {"s": "a"}, "new_values": {"s": "forged", "x": 1}}"#,
    r#"{"old_values": {"id": 1}, "new_values": {"id": 17}, "new_aggregate_id": "17"}"#,
    r#"{"new_aggregate_id": null}"#,
    r#"{"new_values": {"id": 1, "s": "forged"}, "old_aggregate_id": "17"}"#,
    r#"{"new_values": null, "old_values": []}"#,
    r#"["new_values", "old_values", "new_aggregate_id"]"#,
    r#""new_values""#,
    r#"{"aggregate_type": "T", "partition": "public.t_0", "only_in": []}"#,
];
const MARKS: &[&str] = &[
    "{}",
    r#"{"complete": true}"#,
    r#"{"complete": true, "baseline": true}"#,
    r#"{"late": true, "after_version": 0}"#,
    r#"{"late": true, "after_version": 1e30, "failure_id": 7, "after_position": 0}"#,
    r#"{"failure_id": 1, "queued": true, "late": true, "after_version": "0", "after_position": "x"}"#,
    r#"{"in_table": "public.t_0", "complete": true, "late": true, "after_version": -1}"#,
];
const TYPES: &[&str] = &["TNoted", "TCreated", "TUpdated", "TDeleted", "TRekeyed", "TBaselined", "TableTruncated"];

/// Every payload under every mark, in the stream of row `id`.
fn append_all(s: &mut Session, id: &str) {
    for (n, payload) in PAYLOADS.iter().enumerate() {
        for (m, marks) in MARKS.iter().enumerate() {
            let kind = TYPES[(n + m) % TYPES.len()];
            s.run(&match (n + m) % 3 {
                0 => format!("select domain_events.append_event('T', '{id}', '{kind}', '{payload}', metadata => '{marks}')"),
                1 => format!(
                    r#"select domain_events.append_events('T', '{id}', '[{{"event_type": "{kind}", "event_data": {payload}, "metadata": {marks}}}]')"#
                ),
                _ => format!(
                    r#"select domain_events.append_events('[{{"aggregate_type": "T", "aggregate_id": "{id}", "event_type": "{kind}", "event_data": {payload}, "metadata": {marks}}}]')"#
                ),
            });
        }
    }
}

fn t22_an_applications_event_changes_no_fold(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text, n int default 0); select domain_events.enable_capture('t');
         insert into t values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
    );
    append_all(&mut s, "1");
    db.check_table("T", "t");
    s.run("update t set s = s || '!'");
    db.check_table("T", "t");
    append_all(&mut s, "1");
    append_all(&mut s, "2");
    append_all(&mut s, "5");
    s.run("update t set n = n + 1 where id = 1; delete from t where id = 2; insert into t values (5, 'new'); update t set id = 6 where id = 3");
    db.check_table("T", "t");
    append_all(&mut s, "2");
    append_all(&mut s, "3");
    append_all(&mut s, "6");
    db.check_table("T", "t");
    s.run("insert into t values (2, 'again'), (3, 'again'); update t set n = 7");
    db.check_table("T", "t");
    assert_eq!(
        s.one("select event_data::text from domain_events.events where aggregate_type = 'T' and aggregate_id = '1' and origin = 'captured' order by 1 desc limit 1"),
        r#"{"new_values": {"s": "a!"}, "old_values": {"s": "a"}}"#,
        "an event of the application made a change carry the whole row"
    );
    append_all(&mut s, "2");
    s.run("truncate t");
    append_all(&mut s, "2");
    db.check_table("T", "t");
    s.run("insert into t values (2, 'after')");
    append_all(&mut s, "2");
    db.check_table("T", "t");
}

fn t22_of_rows_in_partitions(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int, p int, s text, primary key (id, p)) partition by list (p);
         create table t_0 partition of t for values in (0); create table t_1 partition of t default;
         select domain_events.enable_capture('t', aggregate_id => '{id}'); insert into t values (1, 1, 'a'), (2, 0, 'b')",
    );
    append_all(&mut s, "1");
    append_all(&mut s, "2");
    s.run("truncate t_0");
    db.check_table("T", "t");
    append_all(&mut s, "1");
    s.run("update t set p = 0 where id = 1; insert into t values (2, 1, 'again')");
    append_all(&mut s, "1");
    db.check_table("T", "t");
    s.run("truncate t_0");
    db.check_table("T", "t");
}

/// The end of a row whose key was taken again before it fired finds its place by events of its own transaction.
fn t22_between_changes_of_one_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(
        r#"create table t (id int primary key, s text); select domain_events.enable_capture('t');
         create function forge() returns trigger language plpgsql as $$ begin
           perform domain_events.append_event('T', '2', 'TCreated', '{"new_values": {"id": 2}}', metadata => '{"complete": true, "late": true, "after_version": 0}');
           perform domain_events.append_event('T', '2', 'TDeleted', '{"old_values": {"id": 2}}');
           if old.id = 1 then
             insert into t values (2, 'taken again');
           end if;
           perform domain_events.append_event('T', '2', 'TDeleted', '{"old_values": {"id": 2}}');
           return null; end $$;
         create trigger forge after delete on t for each row execute function forge();
         insert into t values (1, 'a'), (2, 'b'), (3, 'c')"#,
    );
    s.run("delete from t where id in (1, 2)");
    db.check_table("T", "t");
    s.run("begin; insert into t values (1, 'd'); delete from t where id in (1, 2); update t set s = 'e'; commit");
    db.check_table("T", "t");
}

fn t22_before_a_baseline_and_after_a_pause(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id int primary key, s text); insert into t values (1, 'a'), (2, 'b'), (3, 'c')");
    append_all(&mut s, "1");
    s.run("select domain_events.enable_capture('t')");
    append_all(&mut s, "2");
    assert_eq!(s.one("select domain_events.baseline_capture('t')"), "3");
    db.check_table("T", "t");
    s.run("update t set s = 'x' where id = 2; select domain_events.pause_capture('t'); update t set s = 'unseen'; delete from t where id = 3");
    append_all(&mut s, "1");
    s.run("select domain_events.resume_capture('t')");
    append_all(&mut s, "2");
    append_all(&mut s, "3");
    s.run("update t set s = s || '!' where id = 1; insert into t values (3, 'again')");
    assert_eq!(s.one("select domain_events.baseline_capture('t')"), "1");
    db.check_table("T", "t");
}

fn t22_the_stores_own_streams_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id int primary key, s text); select domain_events.enable_capture('t'); insert into t values (1, 'a')");
    let forged = r#"{"aggregate_type": "T"}"#;
    for kind in ["domain_events.Table", "domain_events.", "domain_events.Anything", "domain_events.Table\n"] {
        for id in ["public.t", "x"] {
            for sql in [
                format!("select domain_events.append_event('{kind}', '{id}', 'TableTruncated', '{forged}')"),
                format!(
                    "select domain_events.append_event('{kind}', '{id}', 'TableTruncated', '{forged}', expected_version => 0, event_id => gen_random_uuid())"
                ),
                format!("select domain_events.append_events('{kind}', '{id}', '[]')"),
                format!(
                    r#"select domain_events.append_events('{kind}', '{id}', '[{{"event_type": "TableTruncated", "event_data": {forged}}}]')"#
                ),
                format!(
                    "select domain_events.append_events(jsonb_build_array(jsonb_build_object('aggregate_type', '{kind}', 'aggregate_id', '{id}', 'event_type', 'TableTruncated')))"
                ),
                format!(
                    "select domain_events.append_events('[]', jsonb_build_array(jsonb_build_object('aggregate_type', '{kind}', 'aggregate_id', '{id}', 'version', 0)))"
                ),
                format!("select domain_events.next_aggregate_version('{kind}', '{id}')"),
                format!("select domain_events.enable_capture('t', aggregate_type => '{kind}')"),
            ] {
                s.error(&sql).expect("22023");
            }
            s.run(&format!(
                "select domain_events.fold_stream('{kind}', '{id}'); select domain_events.read_stream('{kind}', '{id}')"
            ));
        }
    }
    // Another case, or another place in the name, is the application's.
    s.run("select domain_events.append_event('Domain_events.Table', 'public.t', 'X'); select domain_events.append_event('my.domain_events.Table', 'public.t', 'X');
           select domain_events.append_event('domain_events', 'public.t', 'X')");
    // A legacy table may hold what it likes.
    s.run("create table log (type text, id text, version bigint, unique (type, id, version)); select domain_events.register_event_table('log', 'type', 'id', 'version')");
    assert_eq!(s.one("select domain_events.next_aggregate_version('domain_events.Table', 'public.t', 'log')"), "1");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'domain_events.Table'"), "0");
    db.check_table("T", "t");
}

/// Every key of a context is kept; those that are marks of the store below `$context`.
fn t22_a_context_cannot_mark_events(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text); insert into t values (1, 'a'), (2, 'b'), (3, 'c'); select domain_events.enable_capture('t');
         create table p (id int, k int, primary key (id, k)) partition by list (k); create table p_0 partition of p for values in (0);
         create table p_1 partition of p default; select domain_events.enable_capture('p', aggregate_id => '{id}')",
    );
    for (n, marks) in [
        r#"{"complete": true}"#,
        r#"{"late": true, "after_version": 0}"#,
        r#"{"in_table": "public.p_0"}"#,
        r#"{"failure_id": 1, "after_position": 0, "queued": true, "late": true, "after_version": 1}"#,
        r#"{"baseline": true}"#,
        r#"{"$context": {"late": true}, "late": true, "after_version": 0, "z": {"late": true}, "zzzzzzzzzzzzzzzz": [1]}"#,
        r#"{"$context": 1}"#,
        r#"{"mine": true}"#,
        "{}",
    ]
    .iter()
    .enumerate()
    {
        s.run(&format!("select domain_events.set_context(metadata => '{marks}', local => false)"));
        s.run(&format!(
            "update t set s = 'n{n}'; delete from t where id = 2; insert into t values (2, 'again'); update t set s = 'm{n}' where id = 3; update t set id = -id where id = 1; update t set id = -id where id = -1;
             insert into p values ({n}, 1); update p set k = 0 where id = {n}; update p set k = 2 where id = {n}; truncate p_0"
        ));
        db.check_table("T", "t");
        db.check_table("P", "p");
        let lost = format!(
            "select aggregate_type, event_type, metadata from domain_events.events e,
                    lateral (select (metadata || case when jsonb_typeof(metadata -> '$context') = 'object' then metadata -> '$context' else '{{}}' end) as kept) k
              where aggregate_version > 0 and global_position > (select max(global_position) - 5 from domain_events.events)
                and exists (select from jsonb_each('{marks}') as m where k.kept -> m.key is distinct from m.value and not (m.key = 'in_table'))"
        );
        assert_eq!(s.table(&lost), "", "a key of the context was lost");
    }
}

fn t22_a_context_cannot_mark_dead_letters(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text); select domain_events.enable_capture('t'); insert into t values (1, 'a'), (2, 'b')",
    );
    let mut admin = db.admin();
    admin.run("alter table domain_events.events add constraint refuse check (event_data::text not like '%refused%')");
    s.run(
        r#"select domain_events.set_context(metadata => '{"late": true, "after_version": 0, "complete": true, "failure_id": 99, "queued": true, "after_position": 0, "in_table": "x", "mine": 1}', local => false);
         update t set s = 'refused' where id = 1; delete from t where id = 2; insert into t values (2, 'refused'); update t set s = 'c' where id = 1; update t set s = 'd' where id = 2"#,
    );
    assert_eq!(
        s.table("select distinct metadata - '$context' - 'complete', metadata #>> '{$context,failure_id}' from domain_events.capture_failures"),
        "{\"mine\": 1}|99"
    );
    admin.run("alter table domain_events.events drop constraint refuse");
    s.run("reset domain_events.metadata");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "4");
    assert_eq!(
        s.table("select distinct origin, metadata -> 'failure_id' = to_jsonb(99), metadata #>> '{$context,failure_id}' from domain_events.events where metadata ? 'failure_id'"),
        "captured|f|99"
    );
    db.check_table("T", "t");
}

/// What a mapping calls an event says nothing about it.
fn t22_a_mapping_may_use_any_name(db: &Db) {
    for (n, kind) in ["MBaselined", "TableTruncated", "MDeleted", "m.baselined"].iter().enumerate() {
        let mut s = db.owner();
        s.run(&format!(
            r#"create table m{n} (id int primary key, s text);
             select domain_events.enable_capture('m{n}', 'M{n}', event_types => '[{{"on": "insert", "type": "{kind}"}}]');
             create function again{n}() returns trigger language plpgsql as $$ begin
               if old.id = 1 then insert into m{n} values (2, 'taken again'); end if; return null; end $$;
             create trigger again after delete on m{n} for each row execute function again{n}();
             insert into m{n} values (1, 'a'), (2, 'b'); delete from m{n} where id in (1, 2)"#
        ));
        db.check_table(&format!("M{n}"), &format!("m{n}"));
    }
}

fn t22_events_say_how_they_came(db: &Db) {
    let mut s = db.owner();
    s.run(
        r#"create table t (id int primary key, s text); insert into t values (1, 'a'); select domain_events.enable_capture('t', baseline => 'now');
         insert into t values (2, 'b'); update t set s = 'c'; update t set id = 3 where id = 2; delete from t where id = 3; truncate t;
         select domain_events.append_event('T', '1', 'TNoted', metadata => '{"origin": "captured"}');
         select domain_events.append_events('T', '1', '[{"event_type": "TNoted"}]'); select domain_events.append_events('[{"aggregate_type": "T", "aggregate_id": "1", "event_type": "TNoted"}]')"#,
    );
    s.error(r#"select domain_events.append_events('T', '1', '[{"event_type": "TNoted", "origin": "captured"}]')"#)
        .expect("22023");
    assert_eq!(
        s.table("select origin, string_agg(distinct event_type, ' ' order by event_type) from domain_events.events group by 1 order by 1"),
        "appended|TNoted\ncaptured|TBaselined TCreated TDeleted TRekeyed TUpdated TableTruncated"
    );
    assert_eq!(s.one("select (domain_events.append_event('T', '9', 'TNoted')).origin"), "appended");
    assert_eq!(s.one("select (domain_events.read_stream('T', '1')).origin limit 1"), "captured");
    db.admin().error("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, origin) values ('T', '10', 1, 'x', 'forged')").expect_code("23514");
    db.check_table("T", "t");
}
