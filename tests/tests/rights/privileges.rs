//! Nobody has a right on the store that the installation did not give: whatever the database's default privileges say, and after
//! a restore without privileges.

use domain_events_tests::{Db, Engine, Session, all_engines, superuser_engines};

all_engines! {
    default_privileges_give_nothing, a_restore_without_privileges_is_mended, install_mends_privileges_too,
    what_is_granted_by_hand_is_taken_back_or_stays,
}

mod guests {
    use super::*;
    superuser_engines! { default_privileges_give_no_way_to_call_as_the_guest }
    fn default_privileges_give_no_way_to_call_as_the_guest(db: &Db) {
        super::default_privileges_give_no_way_to_call_as_the_guest(db);
    }
}

/// Every right on the store that is not its owner's, and on the functions that belong to it elsewhere.
const RIGHTS: &str = "
    with object(kind, name, owner, acl) as (
      select 'relation', c.relname::text, c.relowner, c.relacl from pg_class c where c.relnamespace = 'domain_events'::regnamespace
      union all
      select 'column', c.relname || '.' || t.attname, c.relowner, t.attacl from pg_class c join pg_attribute t on t.attrelid = c.oid where c.relnamespace = 'domain_events'::regnamespace
      union all
      select 'schema', n.nspname, n.nspowner, n.nspacl from pg_namespace n where n.nspname = 'domain_events'
      union all
      select 'type', t.typname, t.typowner, t.typacl from pg_type t where t.typnamespace = 'domain_events'::regnamespace
      union all
      select 'function', p.oid::regprocedure::text, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p
       where p.pronamespace = 'domain_events'::regnamespace or p.proname ~ '_newest_version$')
    select o.kind, o.name, case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end, a.privilege_type, a.is_grantable
      from object o cross join lateral aclexplode(o.acl) as a
     where a.grantee <> o.owner and (o.kind <> 'type' or a.grantee <> 0) order by 1, 2, 3, 4";

fn rights(db: &Db) -> String {
    db.admin().table(RIGHTS)
}

/// Tells what differs, and not some hundred lines that do not.
#[track_caller]
fn same(now: &str, installed: &str) {
    let only = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((only(now, installed), only(installed, now)), (vec![], vec![]), "rights too many, and missing");
}

fn findings(db: &Db) -> String {
    db.admin().table("select code, object, detail from domain_events.check_infrastructure()")
}

/// What makes objects of the store: two captures, one of them of a partitioned table, and a legacy table.
fn use_it(db: &Db) {
    db.owner().run(
        "create table public.users (id int primary key, name text); select domain_events.enable_capture('public.users');
         create table public.sales (id int, at int, v text, primary key (id, at)) partition by range (at);
         create table public.sales_1 partition of public.sales for values from (0) to (10);
         select domain_events.enable_capture('public.sales');
         create table if not exists public.log (kind text not null, id text not null, version bigint not null, unique (kind, id, version));
         select domain_events.register_event_table('public.log', 'kind', 'id', 'version');
         insert into public.users values (1, 'a'); insert into public.sales values (1, 1, 'a')",
    );
}

/// Everything to this role, whoever creates it.
fn default_privileges(db: &Db, role: &str, place: &str) {
    for kind in ["tables", "sequences", "functions", "types", "schemas"] {
        if place.is_empty() || kind != "schemas" {
            db.admin().run(&format!(
                "alter default privileges for role postgres, app_owner {place} grant all on {kind} to {role} with grant option"
            ));
        }
    }
}

fn there_and_back(db: &Db) {
    let other = if db.engine == Engine::Native { "portable" } else { "native" };
    for engine in [other, db.engine.name()] {
        db.cli("postgres", &["install", "--engine", engine]).expect(0).saying("switched");
        db.owner().run("update public.users set name = name || '!'; update public.sales set v = v || '!'");
        assert_eq!(findings(db), "", "{engine}");
    }
}

fn default_privileges_give_nothing(db: &Db) {
    use_it(db);
    let installed = rights(db);
    let other = Db::new(Engine::None).holding(db.engine);
    let app = other.role("app");
    // Who may write it may ask its reader.
    other.owner().run("create table public.log (kind text not null, id text not null, version bigint not null, unique (kind, id, version))");
    default_privileges(&other, &app, "");
    other.engine.install(other.cluster(), &other.name);
    use_it(&other);
    same(&rights(&other), &installed);
    assert_eq!(findings(&other), "");
    for forbidden in [
        "select domain_events.append_event('User', '1', 'Forged')",
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', '1', 2, 'Forged')",
        "update domain_events.capture_config set state = 'paused'",
        "select nextval('domain_events.events_global_position_seq')",
        "select count(*) from domain_events.events",
        "create table domain_events.mine (id int)",
        "create temp table mine (id int); create trigger x after insert on mine for each row execute function domain_events.capture_1()",
    ] {
        other.session(&app).error(forbidden).expect_code("42501");
    }
    there_and_back(&other);
    same(&rights(&other), &installed);
    // And those that come after the installation.
    let late = db.role("late");
    default_privileges(db, &late, "");
    default_privileges(db, &late, "in schema domain_events");
    for _ in 0..2 {
        there_and_back(db);
        same(&rights(db), &installed);
    }
    db.owner().run(
        "create table public.more (id int primary key); select domain_events.enable_capture('public.more');
         create table public.sales_2 partition of public.sales for values from (10) to (20); select domain_events.follow_partitions('public.sales')",
    );
    same(&rights(db), &installed);
    assert_eq!(findings(db), "");
    db.owner().run("select domain_events.disable_capture('public.more')");
    db.check_table("User", "public.users");
    db.cli("postgres", &["uninstall", "--keep-events", "--yes"]).expect(0);
}

fn default_privileges_give_no_way_to_call_as_the_guest(db: &Db) {
    let app = db.role("app");
    default_privileges(db, &app, "");
    db.owner().run(
        "create function public.head(text, text, bigint) returns domain_events.events language sql as 'select null::domain_events.events'",
    );
    let mut admin = db.admin();
    admin.run("select domain_events._invite_guest('public.head')");
    assert_eq!(
        admin.table("select distinct pg_get_userbyid(a.grantee) from pg_proc p, aclexplode(p.proacl) a where p.proname = '_ask_as_guest'"),
        "domain_events_guest"
    );
    assert_eq!(findings(db), "");
    admin.run("drop function domain_events._ask_as_guest(text, text, text, bigint)");
    db.check_versions();
}

/// Restored without privileges, where everybody may execute every function, and the store still belongs to whom it did.
fn without_privileges(db: &Db) -> Db {
    let path = db.file("no-privileges.dump");
    db.quietly("pg_dump", &["-Fc", "-f", &path]);
    let copy = Db::new(Engine::None).holding(db.engine);
    copy.quietly("pg_restore", &["--no-privileges", "--exit-on-error", "-d", &copy.name, &path]);
    copy
}

fn forges(db: &Db, reader: &str) {
    let mut r = db.session(reader);
    r.error("select domain_events.append_event('User', '1', 'Forged')").expect_code("42501");
    r.error("select domain_events._propagates('x')").expect_code("42501");
    r.error("create temp table mine (id int); create trigger x after insert on mine for each row execute function domain_events.capture_1()")
        .expect_code("42501");
}

fn a_restore_without_privileges_is_mended(db: &Db) {
    use_it(db);
    let installed = rights(db);
    let copy = without_privileges(db);
    let told = findings(&copy);
    assert!(told.contains("privilege_excessive|domain_events.capture_1()|everybody may execute it"), "{told}");
    for finding in told.lines().filter(|f| f.starts_with("privilege_")) {
        assert!(finding.contains("select domain_events.grant_privileges()"), "{finding}");
    }
    let mut owner = copy.session(if copy.engine == Engine::Portable { "app_owner" } else { "postgres" });
    assert_eq!(
        owner.one("select domain_events.grant_privileges()"),
        "{domain_events_reader,domain_events_writer,domain_events_admin}"
    );
    // The legacy table's reader is its owner's, beside it.
    copy.owner().run("select domain_events.register_event_table('public.log', 'kind', 'id', 'version')");
    same(&rights(&copy), &installed);
    assert_eq!(findings(&copy), "");
    let reader = copy.role("reader");
    copy.admin()
        .run(&format!("grant domain_events_reader to {reader}; grant temporary on database {} to {reader}", copy.name));
    forges(&copy, &reader);
    copy.session(&reader).run("select * from domain_events.events; select domain_events.set_context('me')");
    copy.session(&copy.role("anybody")).run("select domain_events.engine(), domain_events.uuid_v7()");
    copy.owner().run("create table public.sales_2 partition of public.sales for values from (10) to (20); insert into public.sales values (2, 12, 'b'); update public.users set name = 'b'");
    copy.check_table("User", "public.users");
}

fn install_mends_privileges_too(db: &Db) {
    use_it(db);
    let installed = rights(db);
    let copy = without_privileges(db);
    let owner = if copy.engine == Engine::Portable { "app_owner" } else { "postgres" };
    if copy.engine == Engine::Portable {
        // What others may run is told before anything of it is run.
        copy.cli("postgres", &["install"]).expect_error(1, "55000").saying("grant_privileges()");
    }
    copy.cli(owner, &["install", "--dry-run"]).expect(3).saying("already installed");
    assert_ne!(findings(&copy), "");
    let told = copy.cli(owner, &["--format", "json", "install"]).expect(0).json();
    assert!(told["privileges_mended"].as_i64() > Some(0), "{told}");
    assert_eq!(told["changed"], true);
    let told = copy.cli(owner, &["--format", "json", "install"]).expect(0).json();
    assert_eq!(told["changed"], false);
    copy.owner().run("select domain_events.register_event_table('public.log', 'kind', 'id', 'version')");
    same(&rights(&copy), &installed);
    assert_eq!(findings(&copy), "");
    // The switch does so before anything else.
    if copy.engine != Engine::Portable {
        let copy = without_privileges(db);
        there_and_back(&copy);
        copy.check_table("User", "public.users");
    }
}

fn what_is_granted_by_hand_is_taken_back_or_stays(db: &Db) {
    let (a, b, c) = (db.role("a"), db.role("b"), db.role("c"));
    let mut admin = db.admin();
    use_it(db);
    admin.run(&format!(
        "grant select on domain_events.events to {a} with grant option; grant execute on function domain_events.append_event to {a};
         grant execute on function domain_events.next_aggregate_version(text, text, regclass) to {b};
         grant select (event_data) on domain_events.events to {b}; grant usage on schema domain_events to {a}"
    ));
    assert_eq!(findings(db), "");
    let installed = rights(db);
    admin.run(&format!(
        "grant insert, update, delete, truncate, trigger on all tables in schema domain_events to {a} with grant option;
         grant usage, update on all sequences in schema domain_events to {b}, domain_events_reader;
         grant execute on all functions in schema domain_events to public;
         grant execute on function domain_events._seal_capture(regclass), domain_events._write_event to {c};
         grant execute on function domain_events.capture_1() to {c};
         grant create on schema domain_events to {c}, domain_events_admin;
         grant update (plan) on domain_events.migration_plans to domain_events_admin;
         grant insert (event_data) on domain_events.events to {c};
         grant select on domain_events.capture_config to public;
         set role {a}; grant insert on domain_events.events to {b} with grant option; grant select on domain_events.events to {b} with grant option;
         set role {b}; grant insert on domain_events.events to {c}; grant select on domain_events.events to public; reset role"
    ));
    let told = findings(db);
    for right in ["truncate", "trigger", "usage", "create objects"] {
        assert!(told.contains(&format!("may {right}")), "{told}");
    }
    assert!(told.contains("everybody may select it") && told.contains(&format!("{c} may insert it")), "{told}");
    let mut owner: Session = db.session(if db.engine == Engine::Portable { "app_owner" } else { "postgres" });
    owner.run("select domain_events.grant_privileges()");
    assert_eq!(findings(db), "");
    // What was given on purpose stays; a may not pass it on any more, since b has.
    let with_option = format!("relation|events|{a}|SELECT|t");
    assert!(installed.contains(&with_option));
    same(&rights(db), &installed.replace(&with_option, &format!("relation|events|{a}|SELECT|f")));
}
