//! A superuser switches engines of a store that belongs to a lesser role: whatever that role has put into the schema is
//! found before any of it is run.

use domain_events_tests::{Db, Engine, Session};

const ADOPT: &str = "create extension pg_domain_events version 'portable'";
const UPDATE: &str = "alter extension pg_domain_events update to '0.1.0'";
const BACK: &str = "alter extension pg_domain_events update to 'portable'";

/// Code of the store's owner that notices when somebody else runs it.
const TRAPS: &str = "
    create function public.trap(t text) returns int language plpgsql as $$
    begin
      if current_user <> 'app_owner' then raise exception 'run as %', current_user using errcode = 'EV001'; end if;
      return 1;
    end $$;
    create function public.fixed_trap(t text) returns int language plpgsql immutable as 'begin return public.trap(t); end';
    create function public.row_trap() returns trigger language plpgsql as 'begin perform public.trap(tg_name); return new; end';
    create function public.text_trap() returns text language sql as 'select public.trap(''x'')::text';
    create function public.cast_trap(domain_events.events) returns text language sql as 'select public.text_trap()';
    create table public.others (capture_id int primary key);";

/// One change each, made by the owner.
const CHANGES: &[&str] = &[
    // Tables, and what stands in for them.
    "alter table domain_events.capture_config rename to cc; create view domain_events.capture_config as select c.*, public.trap('view') as e from domain_events.cc c",
    "alter table domain_events.alerts rename to alerts_",
    "create table domain_events.more (a int)",
    "create materialized view domain_events.more as select 1 as a",
    "create sequence domain_events.more",
    "alter table domain_events.alerts drop column detail",
    "alter table domain_events.alerts rename column detail to details",
    "alter table domain_events.alerts alter column detail type varchar(100)",
    "alter table domain_events.alerts alter column detail drop not null",
    "alter table domain_events.alerts alter column detail type text collate \"C\"",
    "alter table domain_events.capture_config add column more int",
    "alter table domain_events.capture_config add column more int generated always as (public.fixed_trap('generated')) stored",
    "alter table domain_events.capture_config alter column captured_by set default public.text_trap()",
    "alter table domain_events.capture_config alter column captured_by set default current_user",
    "alter table domain_events.capture_config alter column captured_by drop default",
    "alter table domain_events.capture_config alter column capture_id drop identity",
    "create table public.child () inherits (domain_events.capture_config)",
    "alter table domain_events.capture_config add constraint more check (public.fixed_trap(state) = 1) not valid",
    "alter table domain_events.capture_config drop constraint capture_config_state_check",
    "alter table domain_events.capture_config drop constraint capture_config_state_check; alter table domain_events.capture_config add constraint capture_config_state_check check (public.fixed_trap(state) = 1) not valid",
    "alter table domain_events.capture_config add constraint more foreign key (capture_id) references public.others not valid",
    "create index more on domain_events.capture_config ((public.fixed_trap(state)))",
    "create index more on domain_events.events (event_type) where public.fixed_trap(event_type) = 1",
    "drop index domain_events.capture_failures_pending; create index capture_failures_pending on domain_events.capture_failures (failure_id) where public.fixed_trap(table_name) = 1",
    "create statistics public.more on (public.fixed_trap(state)), state from domain_events.capture_config",
    "create rule more as on insert to domain_events.capture_config do also select public.trap('rule')",
    "create rule more as on update to domain_events.capture_config do instead nothing",
    "create trigger more before insert on domain_events.capture_config for each row execute function public.row_trap()",
    "create constraint trigger more after insert on domain_events.events deferrable initially deferred for each row execute function public.row_trap()",
    "alter table domain_events.events disable trigger events_append_only",
    "alter table domain_events.events enable replica trigger events_append_only",
    "alter table domain_events.capture_config enable row level security",
    "alter table domain_events.capture_config force row level security",
    "create policy more on domain_events.capture_config using (public.trap('policy') = 1)",
    // Views.
    "create or replace view domain_events.streams as select aggregate_type, aggregate_id, max(aggregate_version) as version, min(recorded_at) as first_recorded_at, max(recorded_at) as last_recorded_at from domain_events.events where public.trap('view') = 1 group by aggregate_type, aggregate_id",
    "create or replace view domain_events.streams as select aggregate_type, aggregate_id, max(aggregate_version) as version, min(recorded_at) as first_recorded_at, max(recorded_at) as last_recorded_at from domain_events.events group by aggregate_type, aggregate_id having query_to_xml('select public.trap(1)', true, true, '') is not null",
    "alter view domain_events.streams set (security_barrier = true)",
    "create rule more as on insert to domain_events.streams do instead select public.trap('rule')",
    "create trigger more instead of insert on domain_events.streams for each row execute function public.row_trap()",
    // Functions.
    "create or replace function domain_events.engine(out engine text, out version text) language plpgsql immutable as $$ begin perform public.trap('engine'); engine := 'portable'; version := '0.1.0'; end $$",
    "create or replace function domain_events._has_columns(relation regclass, signature text[]) returns boolean language plpgsql immutable as $$ begin perform public.trap('x'); return true; end $$",
    "create or replace function domain_events._expected_objects(out kind text, out object text, out fingerprint text) returns setof record language sql immutable set search_path = pg_catalog, pg_temp as $$ values ('a', 'b', public.text_trap()) $$",
    "create or replace function domain_events._refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as 'begin perform public.trap(''x''); return null; end'",
    "alter function domain_events._qualified_name(oid) security definer",
    "alter function domain_events._follow_columns(int) set search_path = public",
    "alter function domain_events._follow_columns(int) reset search_path",
    "alter function domain_events._follow_columns(int) set row_security = off",
    "alter function domain_events._follow_columns(int) strict",
    "alter function domain_events._qualified_name(oid) immutable",
    "alter function domain_events._qualified_name(oid) parallel safe",
    "alter function domain_events._qualified_name(oid) rename to _other",
    "create function domain_events._qualified_name(relation regclass) returns text language sql as 'select public.text_trap()'",
    "create function domain_events.more() returns int language sql as 'select public.trap(''x'')'",
    "create procedure domain_events.more() language sql as 'select public.trap(''x'')'",
    "create aggregate domain_events.more(int) (sfunc = int4pl, stype = int)",
    "drop function domain_events.baseline_capture(regclass, int)",
    "create or replace function domain_events.uuid_v7() returns uuid language plpgsql volatile parallel safe as 'begin perform public.trap(''x''); return null; end'",
    "create function domain_events.capture_99() returns trigger language plpgsql as 'begin perform public.trap(''x''); return null; end'",
    "create function domain_events.capture_99(a int default 1) returns int language sql security definer as 'select 1'",
    // Anything else that a schema can hold, or that hangs on its types.
    "create function public.eq(domain_events.events, domain_events.events) returns boolean language sql as 'select public.trap(''x'') = 1'; create operator domain_events.=== (leftarg = domain_events.events, rightarg = domain_events.events, function = public.eq)",
    "create domain domain_events.more as int check (public.trap('domain') = 1)",
    "create type domain_events.more as enum ('a')",
    "create type domain_events.more as (a int)",
    "create type domain_events.more as range (subtype = int)",
    "create cast (domain_events.events as text) with function public.cast_trap(domain_events.events) as implicit",
    "create collation domain_events.more from \"C\"",
    "create text search configuration domain_events.more (copy = pg_catalog.simple)",
    // Rights.
    "grant execute on function domain_events._follow_columns(int) to public",
    "grant trigger on domain_events.events to public",
    "grant create on schema domain_events to public",
];

/// What an owner may well do: nothing in it runs.
const HARMLESS: &str = "
    create index more on domain_events.events (event_type);
    create index even_more on domain_events.events using gin (event_data);
    create statistics domain_events.more on event_type, aggregate_type from domain_events.events;
    alter table domain_events.capture_failures add constraint one_failure unique (failure_id, failed_at);
    alter table domain_events.events set (fillfactor = 90);
    comment on table domain_events.events is 'ours';
    grant select on domain_events.events to public;
    grant execute on function domain_events.append_event to public;";

fn store() -> Db {
    let db = Db::new(Engine::Portable);
    db.owner().run("create table users (id int primary key, n int); select domain_events.enable_capture('users'); insert into users values (1, 1)");
    db.owner().run(TRAPS);
    db
}

/// Lets the owner make a change and a superuser run a statement, and takes both back.
fn try_after(admin: &mut Session, change: &str, statement: &str) {
    admin.run("begin; set local session authorization app_owner");
    admin.run(change);
    admin.run("set local session authorization default");
    let failure = admin.error(statement);
    admin.run("rollback");
    assert_eq!(failure.code, "55000", "after {change}: {failure}");
    assert!(failure.message.contains("does not hold what was installed"), "after {change}: {failure}");
    assert!(!failure.detail.is_empty() && !failure.hint.is_empty(), "after {change}: {failure}");
}

fn on_this_server(admin: &mut Session) -> Vec<&'static str> {
    let version = admin.major_version();
    // Statistics over expressions came with 14.
    CHANGES.iter().copied().filter(|change| version >= 14 || !change.starts_with("create statistics")).collect()
}

/// PostgreSQL itself refuses that.
fn drops_a_member(change: &str) -> bool {
    change.starts_with("drop function") || change.ends_with("drop identity")
}

#[test]
fn a_portable_store_is_not_adopted_with_what_its_owner_changed() {
    let db = store();
    let mut admin = db.admin();
    for change in on_this_server(&mut admin) {
        try_after(&mut admin, change, ADOPT);
    }
    admin.run(ADOPT);
    for change in on_this_server(&mut admin) {
        if !drops_a_member(change) {
            try_after(&mut admin, change, UPDATE);
        }
    }
    admin.run(UPDATE);
    db.owner().run("insert into users values (2, 2)");
    db.check_table("User", "users");
}

#[test]
fn a_native_store_does_not_go_back_with_what_its_owner_changed() {
    let db = store();
    let mut admin = db.admin();
    admin.run(ADOPT);
    admin.run(UPDATE);
    for change in on_this_server(&mut admin) {
        if !drops_a_member(change) {
            try_after(&mut admin, change, BACK);
        }
    }
    admin.run(BACK);
    db.owner().run("insert into users values (2, 2)");
    db.check_table("User", "users");
}

#[test]
fn objects_of_other_owners_are_found() {
    let db = store();
    let other = db.role("other");
    let mut admin = db.admin();
    for change in [
        "alter table domain_events.alerts owner to {}",
        "alter view domain_events.streams owner to {}",
        "alter function domain_events._follow_columns(int) owner to {}",
        "alter function domain_events.capture_1() security invoker",
        "alter schema domain_events owner to {}",
        "create event trigger more on ddl_command_end execute function domain_events._follow_ddl()",
    ] {
        admin.run("begin");
        admin.run(&change.replace("{}", &other));
        let failure = admin.error(ADOPT);
        admin.run("rollback");
        assert_eq!(failure.code, "55000", "after {change}: {failure}");
    }
}

#[test]
fn a_planted_schema_is_not_gone_back_with() {
    // Once, the definitions of the portable functions came from a table of the store.
    let db = store();
    let mut admin = db.admin();
    admin.run(ADOPT);
    admin.run(UPDATE);
    admin.run("begin; set local session authorization app_owner");
    admin.run(
        "alter schema domain_events rename to moved; create schema domain_events;
         create table domain_events.events (id int);
         create table domain_events.capture_config (capture_id int);
         create table domain_events._portable_functions (signature text, definition text);
         insert into domain_events._portable_functions values ('x', 'alter role app_owner superuser');
         create function domain_events._write_capture_function(int) returns void language sql as '';
         create function domain_events._plan_basis(oid) returns text language sql as $$select 'x'::text$$",
    );
    admin.run("set local session authorization default");
    admin.error(BACK).expect("55000");
    admin.run("rollback");
    assert_eq!(admin.one("select rolsuper from pg_roles where rolname = 'app_owner'"), "f");
    db.check_table("User", "users");
}

#[test]
fn what_runs_nothing_is_no_reason_to_refuse() {
    let db = store();
    db.owner().run(HARMLESS);
    db.admin().run("create publication all_events for table domain_events.events");
    let mut admin = db.admin();
    for _ in 0..2 {
        let extensions = admin.number("select count(*) from pg_extension where extname = 'pg_domain_events'");
        admin.run(if extensions == 0 { ADOPT } else { BACK });
        db.owner().run("update users set n = n + 1");
        admin.run(UPDATE);
        db.owner().run("update users set n = n + 1");
    }
    db.check_table("User", "users");
}

#[test]
fn nothing_of_the_native_engine_runs_the_owners_code_as_superuser() {
    let db = store();
    let mut admin = db.admin();
    admin.run(ADOPT);
    admin.run(UPDATE);
    // A function of the superuser that the owner may call.
    let mut owner = db.owner();
    owner.run("alter table domain_events.capture_config rename to cc;
               create view domain_events.capture_config as select c.*, public.trap('view') as e from domain_events.cc c");
    owner.run("select domain_events._write_capture_function(1)");
    owner.run("drop view domain_events.capture_config; alter table domain_events.cc rename to capture_config");
    let definers = admin.table(
        "select p.oid::regprocedure from pg_proc p join pg_roles r on r.oid = p.proowner
          where p.pronamespace = 'domain_events'::regnamespace and p.prosecdef and r.rolsuper",
    );
    assert_eq!(definers, "domain_events._write_capture_function(integer)");
    owner.run("insert into users values (2, 2)");
    db.check_table("User", "users");
}
