//! Adoption: the event table becomes a view over the store, and everybody goes on as before.

use domain_events_tests::{Db, Engine, Session, engines};

use crate::Legacy;

engines! { an_adopted_table_works_as_before_and_is_right, rows_become_events_column_by_column, an_adoption_is_taken_back_with_all_rows,
finish_leaves_the_payload_to_the_store, what_cannot_be_adopted_is_refused, the_mapping_is_decided_in_the_file,
privileges_defaults_and_keys_are_kept, a_forged_event_among_adopted_ones_is_found,
an_old_order_that_is_not_that_of_the_numbers_is_kept, a_head_function_of_the_caller_is_refused, triggers_on_the_event_table_go_on }

/// The plan with --adopt, applied.
fn adopt(legacy: &Legacy<'_>) {
    legacy.plan(&["--adopt"]);
    legacy.apply().expect(0);
}

/// A session of the store's owner, who alone adopts.
fn store_owner(db: &Db) -> Session {
    if db.engine == Engine::Portable { db.owner() } else { db.admin() }
}

/// A function that tells of old events must never run with the rights of the store's owner.
fn a_head_function_of_the_caller_is_refused(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table log (id int);
               create function head(a text, b text, c bigint) returns domain_events.events language sql as 'select null::domain_events.events'");
    let begin = "select domain_events._begin_adoption('log', 'log', 1, 10, 'public.head')";
    let mut store = store_owner(db);
    store.error(begin).expect("55000").naming("SECURITY DEFINER");
    owner.run("alter function head security definer");
    store.run(begin);
    owner.run("select domain_events.append_event('A', '1', 'A')");
    owner.run("alter function head security invoker");
    owner.error("select domain_events.append_event('A', '2', 'A')").expect("55000");
}

pub fn nothing_is_found(db: &Db) {
    nothing_is_found_but(db, "");
}

/// The code of the only finding, or none.
pub fn nothing_is_found_but(db: &Db, known: &str) {
    let mut owner = db.owner();
    assert_eq!(owner.table("select code from domain_events.check_infrastructure()"), known);
    for check in ["check_integrity()", "check_integrity_incremental()", "check_integrity_incremental(true)"] {
        assert_eq!(owner.table(&format!("select * from domain_events.{check}")), "", "{check}");
    }
}

fn an_adopted_table_works_as_before_and_is_right(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    let before = owner.table("select * from domain_events order by id");
    adopt(&legacy);
    assert_eq!(owner.table("select * from domain_events order by id"), before, "old readers see the same");
    assert_eq!(owner.number("select count(*) from domain_events.events"), 2500);
    // the legacy trigger, the application and a processor
    owner.run("update users set login_count = login_count + 1 where id in (1, 2); update users set login_count = login_count + 1 where id = 2");
    let written = owner.table(
        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by_user_id)
         values ('User', '2', 1, 'UserNoted', '{\"note\": 1}', 7), ('Order', '1', 9, 'OrderPlaced', '{}', null)
         returning id, aggregate_version, is_processed, occurred_at is not null, event_id is not null",
    );
    assert_eq!(written, "2504|4|f|t|t\n2505|1|f|t|t");
    let claimed = owner.table(
        "with next as (select id from domain_events where not is_processed order by id desc limit 2 for update skip locked)
         update domain_events d set is_processed = true from next where d.id = next.id returning d.id, d.aggregate_version",
    );
    assert_eq!(claimed.lines().count(), 2);
    assert_eq!(owner.number("select count(*) from domain_events where is_processed"), 2);
    assert_eq!(
        owner.table("select aggregate_version, event_type, caused_by from domain_events.events where aggregate_id = '2' order by 1"),
        "1|UserUpdated|2\n2|UserUpdated|2\n3|UserUpdated|2\n4|UserNoted|7"
    );
    assert_eq!(legacy.broken_streams(), 0);
    // what the store holds is not changed
    owner.error("update domain_events set event_type = 'x' where id = 2").expect("23001").naming("is_processed");
    owner.error("delete from domain_events where id = 2").expect("23001");
    owner.error("insert into domain_events_adopted (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data, is_processed)
                 values (gen_random_uuid(), 'User', '2', 77, 'x', '{}', false)").expect("55000");
    owner.error("truncate domain_events_adopted").expect("23001");
    // who names the table to the store, and who appends to its streams, is counted on too
    assert_eq!(owner.number("select domain_events.next_aggregate_version('User', '2', 'domain_events')"), 5);
    owner.run("select domain_events.append_event('User', '2', 'UserRenamed', expected_version => 4)");
    owner.run("update users set login_count = login_count + 1 where id = 2");
    assert_eq!(owner.number("select max(aggregate_version) from domain_events where aggregate_id = '2'"), 6);
    let findings = legacy.scan();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["code"], "EV190");
    nothing_is_found(db);
    let run = legacy.cli(&["verify", legacy.file()]).expect(0);
    assert!(run.stdout.contains("2506") && run.stdout.contains("equal"), "{}", run.stdout);
    db.admin().run("alter table domain_events_adopted disable trigger user; update domain_events_adopted set event_data = '{}' where id = 2");
    let run = legacy.cli(&["verify", legacy.file()]).expect(3);
    assert!(run.stdout.contains("event_data differs"), "{}", run.stdout);
}

fn rows_become_events_column_by_column(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create type kind as enum ('order', 'cart');
         create table audit_events (
           seq serial primary key, entity kind not null, entity_id int not null, version int not null check (version > 0),
           uuid char(36) unique, action text, payload text, meta json, who int, request_id text, schema_version smallint,
           created_at timestamp not null default now(), is_processed bool default false, attempts int not null default 0,
           unique (entity, entity_id, version));
         insert into audit_events (entity, entity_id, version, uuid, action, payload, meta, who, request_id, schema_version, created_at) values
           ('order', 7, 1, '00000000-0000-4000-8000-000000000001', 'placed', '{\"a\" : 1}', '{\"ip\":\"::1\"}', 3, 'r1', 2, '2020-07-01 12:00'),
           ('order', 7, 2, 'legacy-2', null, 'no json', '[1]', null, null, null, '2020-07-01 11:00'),
           ('cart', 7, 1, null, '', null, null, 4, null, 1, '2020-01-01');
         create function note(id int) returns void language sql as $$
           insert into audit_events (entity, entity_id, version, action, payload) values ('order', id, (select coalesce(max(version), 0) + 1 from audit_events a where a.entity = 'order' and a.entity_id = id), 'noted', '{}') $$;",
    );
    let mut owner = db.owner();
    let before = owner.table("select * from audit_events order by seq");
    adopt(&legacy);
    assert_eq!(owner.table("select * from audit_events order by seq"), before);
    let events = owner.table(
        "select aggregate_type, aggregate_id, aggregate_version, event_type, event_data, metadata, caused_by, correlation_id, schema_version,
                occurred_at at time zone 'UTC', event_id = '00000000-0000-4000-8000-000000000001'
           from domain_events.events order by global_position",
    );
    assert_eq!(
        events,
        "order|7|1|placed|{\"a\": 1}|{\"ip\": \"::1\"}|3|r1|2|2020-07-01 12:00:00|t\n\
         order|7|2|Event|\"no json\"|{\"value\": [1]}|~|~|1|2020-07-01 11:00:00|f\n\
         cart|7|1|Event|{}|{}|4|~|1|2020-01-01 00:00:00|f"
    );
    owner.run("select note(7); select note(8); update audit_events set attempts = attempts + 1 where seq = 1");
    let rows = owner.table(
        "select seq, entity_id, version, attempts, is_processed from audit_events where entity = 'order' order by seq",
    );
    assert_eq!(rows, "1|7|1|1|f\n2|7|2|0|f\n4|7|3|0|f\n5|8|1|0|f");
    owner.error("insert into audit_events (entity, version) values ('cart', 1)").expect("23502");
    nothing_is_found(db);
}

fn an_adoption_is_taken_back_with_all_rows(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    let before = legacy.definitions();
    let shape = "select pg_catalog.pg_relation_filenode(c.oid), c.relkind from pg_class c where c.oid = 'domain_events'::regclass";
    let table = owner.table(shape);
    adopt(&legacy);
    owner.run("update users set login_count = login_count + 1 where id in (1, 2)");
    owner.run("update domain_events set is_processed = true where id = 2");
    let rows = owner.table("select * from domain_events order by id");
    legacy.rollback().expect(0).saying("stay");
    assert_eq!(owner.table("select * from domain_events order by id"), rows, "with what was written since");
    assert_eq!(owner.table(shape), table, "the very same table");
    assert_eq!(legacy.definitions(), before);
    assert_eq!(owner.error("update users set login_count = login_count + 1 where id = 1").code, "23505", "as before");
    nothing_is_found(db);
    // and once more, with the rows of both times
    owner.run("update users set login_count = login_count + 1 where id = 5");
    legacy.apply().expect(0);
    owner.run("update users set login_count = login_count + 1 where id in (1, 5)");
    assert_eq!(legacy.broken_streams(), 0);
    assert_eq!(owner.number("select count(*) from domain_events.events e full join domain_events d
        on (d.aggregate_type, d.aggregate_id, d.aggregate_version) = (e.aggregate_type, e.aggregate_id, e.aggregate_version)
        where e.event_id is distinct from d.event_id"), 0);
    nothing_is_found(db);
}

fn finish_leaves_the_payload_to_the_store(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    adopt(&legacy);
    owner.run("update users set login_count = login_count + 1 where id in (1, 2)");
    let rows = owner.table("select * from domain_events order by id");
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
    assert_eq!(owner.number("select count(*) from information_schema.columns where table_name = 'domain_events_adopted' and column_name = 'event_data'"), 0);
    assert_eq!(owner.table("select * from domain_events order by id"), rows);
    owner.run("update users set login_count = login_count + 1 where id in (1, 2); update domain_events set is_processed = true where id > 2500");
    let payload = owner.one("select event_data -> 'new_values' ->> 'login_count' from domain_events where aggregate_id = '1' order by aggregate_version desc limit 1");
    assert_eq!(payload, "2");
    owner.error("update domain_events set event_name = 'x'").expect("23001");
    // for readers of the view alone too
    let role = db.role("reader");
    owner.run(&format!("grant select on domain_events to {role}"));
    assert_eq!(db.session(&role).number("select count(event_data) from domain_events"), 2504);
    legacy.rollback().expect_error(1, "55000");
    nothing_is_found(db);
}

fn what_cannot_be_adopted_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    let refused =
        |word: &str| legacy.cli(&["plan", "--out", legacy.file(), "--adopt"]).expect(2).saying(word).saying("hint: ");
    legacy.cli(&["plan", "--out", legacy.file(), "--adopt=nowhere"]).expect(2).saying("nowhere");
    owner.run("create function f(e domain_events) returns int language sql as 'select 1'");
    refused("row type");
    owner.run("drop function f(domain_events); alter table domain_events add foreign key (caused_by_user_id) references users on delete cascade");
    refused("foreign key");
    owner.run("alter table domain_events drop constraint domain_events_caused_by_user_id_fkey; alter table domain_events enable row level security");
    refused("row level security");
    owner.run("alter table domain_events disable row level security;
               create function lower_type() returns trigger language plpgsql as $$ begin new.event_type := lower(new.event_type); return new; end $$;
               create trigger lower_type before insert on domain_events for each row execute function lower_type()");
    refused("lower_type");
    owner.run("drop trigger lower_type on domain_events;
               create function upsert(n text) returns void language sql as $$ insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
                 values ('User', n, 1, 'X', '{}') on conflict do nothing $$");
    refused("ON CONFLICT");
    // the view's function, whose path is pinned, would not find what such a trigger names
    owner.run("drop function upsert(text); create table outbox (event bigint);
               create function tell() returns trigger language plpgsql as $$ begin insert into outbox values (new.id); return null; end $$;
               create trigger tell after insert on domain_events for each row execute function tell()");
    refused("tell").saying("search_path");
    owner.run("drop trigger tell on domain_events");
    // data that has gaps: refused when it is planned, and when it came after the plan
    let plan = || legacy.cli(&["plan", "--out", legacy.file(), "--adopt"]);
    let gap = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', '2', 5, 'X', '{}')";
    owner.run(gap);
    plan().expect_error(1, "55000").saying("(User, 2)").saying("repair");
    assert!(!legacy.plan.exists(), "a plan that apply would refuse was written");
    owner.run("delete from domain_events where aggregate_version = 5");
    legacy.plan(&["--adopt"]);
    owner.run(gap);
    legacy.apply().expect_error(1, "55000").saying("(User, 2)").saying("repair");
    owner.run("delete from domain_events where aggregate_version = 5");
    // another event in the same place
    owner.run("select domain_events.append_event('User', '4', 'UserRenamed')");
    legacy.apply().expect_error(1, "23505").saying("(User, 4)");
    plan().expect_error(1, "23505").saying("(User, 4)");
    assert_eq!(owner.number("select count(*) from domain_events.adoptions"), 0);
    assert_eq!(
        owner.one("select relkind from pg_class where oid = 'domain_events'::regclass"),
        "r",
        "nothing was changed"
    );
}

fn the_mapping_is_decided_in_the_file(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&["--adopt"]);
    let text = std::fs::read_to_string(&legacy.plan).expect("the plan");
    std::fs::write(
        &legacy.plan,
        text.replace("caused_by = \"caused_by_user_id\"", "correlation_id = \"caused_by_user_id\""),
    )
    .expect("the plan");
    legacy.apply().expect(2).saying("--revise");
    legacy.plan(&["--revise", legacy.file()]);
    legacy.apply().expect(0);
    let event = db.owner().table("select caused_by, correlation_id from domain_events.events where aggregate_id = '2'");
    assert_eq!(event, "~|2");
}

/// A trigger of the application on its event table goes on, if it knows its path.
fn triggers_on_the_event_table_go_on(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    owner.run("create table outbox (event bigint);
               create function tell() returns trigger language plpgsql set search_path = public as $$ begin insert into outbox values (new.id); return null; end $$;
               create trigger tell after insert on domain_events for each row execute function tell()");
    adopt(&legacy);
    owner.run("update users set login_count = login_count + 1 where id in (1, 2)");
    assert_eq!(owner.number("select count(*) from outbox"), 2);
    legacy.rollback().expect(0);
}

fn privileges_defaults_and_keys_are_kept(db: &Db) {
    let role = db.role("clerk");
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    owner.run(&format!(
        "grant select, insert on domain_events to {role}; grant update (is_processed) on domain_events to {role};
         comment on table domain_events is 'what happened'; comment on column domain_events.is_processed is 'told to others';
         create table told (event bigint references domain_events (id), at timestamptz default now());
         create view recent_events as select id, event_type from domain_events where occurred_at > now() - interval '1 day';
         alter table domain_events add foreign key (caused_by_user_id) references users;
         insert into told values (2)"
    ));
    adopt(&legacy);
    let mut clerk = db.session(&role);
    let id = clerk.one("insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', '2', 1, 'X', '{}') returning id");
    clerk.run("update domain_events set is_processed = true where aggregate_id = '2'");
    clerk.error("update domain_events set event_type = 'x' where aggregate_id = '2'").expect_code("42501");
    clerk.error("delete from domain_events").expect_code("42501");
    clerk.error("select * from domain_events.events").expect_code("42501");
    owner.run(&format!("insert into told values ({id})"));
    assert_eq!(owner.error("insert into told values (99999)").code, "23503", "foreign keys that lead here");
    let unknown = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by_user_id) values ('User', '2', 1, 'X', '{}', 99999)";
    assert_eq!(owner.error(unknown).code, "23503", "and that lead away");
    assert_eq!(owner.number("select count(*) from recent_events where event_type = 'X'"), 1, "views over it");
    assert_eq!(
        owner
            .table("select obj_description('domain_events'::regclass), col_description('domain_events'::regclass, 11)"),
        "what happened|told to others"
    );
    assert_eq!(
        owner.number("select count(*) from domain_events.events where aggregate_id = '2'"),
        2,
        "what failed left nothing"
    );
    nothing_is_found(db);
}

fn a_forged_event_among_adopted_ones_is_found(db: &Db) {
    let legacy = Legacy::new(db);
    let mut admin = db.admin();
    // a number that the old events left out
    db.owner().run(
        "select nextval(pg_get_serial_sequence('domain_events', 'id')); update users set login_count = 1 where id = 1",
    );
    adopt(&legacy);
    nothing_is_found(db);
    let found = |admin: &mut Session| admin.table("select code from domain_events.check_integrity() order by 1");
    admin.run("insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type)
               values ((select last_position - 1 from domain_events.adoptions), 'Nobody', '1', 1, 'X')");
    assert_eq!(found(&mut admin), "forged_event");
    admin.run("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', '2', 2, 'X')");
    assert!(found(&mut admin).lines().count() == 2, "one that names nobody, above the block");
}

fn an_old_order_that_is_not_that_of_the_numbers_is_kept(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    // sessions draw the number before they are told the version
    owner.run("insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
               select 'Order', i, v, 'E' || v, '{}' from generate_series(1, 3) i, (values (3), (1), (4), (2), (5)) x(v) order by i % 2, v * v % 7, i");
    adopt(&legacy);
    let order = "select aggregate_id, string_agg(event_type, ' ' order by global_position) from domain_events.events where aggregate_type = 'Order' group by 1 order by 1";
    assert_eq!(owner.table(order), "1|E1 E2 E3 E4 E5\n2|E1 E2 E3 E4 E5\n3|E1 E2 E3 E4 E5");
    nothing_is_found(db);
}
