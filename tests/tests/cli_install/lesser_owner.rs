//! The command line run by a superuser over a store whose owner has changed it: every verb refuses before it runs any of it.

use domain_events_tests::Db;

use crate::{capture_users, catalogue, installed};

/// Code of the store's owner that notices when somebody else runs it.
const TRAP: &str = "
    create table public.proof (t text, who text);
    create function public.trap(t text) returns int language plpgsql security invoker as $$
    begin if current_user <> 'app_owner' then insert into public.proof values (t, current_user); end if; return 1; end $$;
    create function public.fixed_trap(t text) returns int language plpgsql immutable as 'begin return public.trap(t); end';";

const CHANGES: &[&str] = &[
    "create or replace function domain_events.engine(out engine text, out version text) language plpgsql immutable as $$ begin perform public.trap('engine'); engine := 'portable'; version := '0.1.0'; end $$",
    "create or replace function domain_events._present_functions(out object text, out function oid, out fingerprint text, out is_native boolean) returns setof record language plpgsql stable as $$ begin perform public.trap('_present_functions'); return; end $$",
    "alter table domain_events.capture_config rename to cc; create view domain_events.capture_config as select cc.*, public.trap('view') as e from domain_events.cc",
    "alter table domain_events.event_tables rename to et; create view domain_events.event_tables as select et.*, public.trap('view') as e from domain_events.et",
    "create index on domain_events.events ((public.fixed_trap(event_type)))",
    "create index on domain_events.migration_plans ((public.fixed_trap(plan_id)))",
    "create policy p on domain_events.migration_plans using (public.trap('policy') = 1); alter table domain_events.migration_plans enable row level security; alter table domain_events.migration_plans force row level security",
    "alter view domain_events.commands alter column result set default pg_catalog.to_jsonb(public.trap('a default of a view'))",
    // A store no more, to who looks for its function.
    "drop function domain_events.engine() cascade; alter table domain_events.migration_plans rename to mp; create view domain_events.migration_plans as select mp.*, public.trap('view') as e from domain_events.mp; alter table domain_events.event_tables rename to et; create view domain_events.event_tables as select et.*, public.trap('view') as e from domain_events.et",
];

const VERBS: &[&[&str]] = &[
    &["status"],
    &["monitor"],
    &["tail"],
    &["tail", "--follow", "--from", "beginning"],
    &["scan"],
    &["install"],
    &["install", "--engine", "native"],
    &["install", "--engine", "native", "--dry-run"],
    &["uninstall", "--drop-events", "--yes"],
    &["uninstall", "--keep-events", "--dry-run"],
    &["rollback", "--yes"],
    &["verify"],
];

fn hostile(change: &str) -> Db {
    let db = installed();
    capture_users(&db);
    db.owner().run(TRAP);
    db.owner().run(change);
    db
}

#[test]
fn no_verb_of_a_superuser_runs_the_owners_code() {
    for change in CHANGES {
        let db = hostile(change);
        let before = catalogue(&db);
        for verb in VERBS {
            db.cli("postgres", verb).expect_error(1, "55000").saying("does not hold what was installed");
            assert_eq!(db.owner().table("select distinct t, who from public.proof"), "", "{verb:?} after {change}");
        }
        assert_eq!(before, catalogue(&db), "{change}");
    }
}

#[test]
fn what_the_owner_runs_is_the_owners() {
    let db = hostile(CHANGES[4]);
    db.cli("app_owner", &["status"]).expect(0);
    db.cli("postgres", &["status"]).expect_error(1, "55000").saying("index");
    // Once it is undone, it is a store again.
    db.owner().run("drop index domain_events.events_fixed_trap_idx");
    db.cli("postgres", &["status"]);
    db.cli("postgres", &["install", "--engine", "native"]).expect(0);
    db.cli("postgres", &["status"]).expect(0);
}

#[test]
fn kept_events_are_proven_too() {
    let db = installed();
    capture_users(&db);
    db.owner().run(TRAP);
    db.cli("app_owner", &["uninstall", "--keep-events", "--yes"]).expect(0);
    db.cli("postgres", &["status"]).expect(3);
    db.owner().run("create index on domain_events.events ((public.fixed_trap(event_type)))");
    db.cli("postgres", &["uninstall", "--drop-events", "--yes"]).expect_error(1, "55000");
    assert_eq!(db.owner().table("select distinct t, who from public.proof"), "");
}
