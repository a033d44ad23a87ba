//! A superuser runs the command line over a store whose owner is no superuser, and changes the store after it was proven: nothing
//! of the store runs as anybody but its owner, and what cannot be done so is refused.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use domain_events_tests::{Cluster, Db, Engine};

/// Code of the store's owner that tells who runs it, also in a READ ONLY transaction.
const SPY: &str = "
    create function public.spy(what text) returns int language plpgsql as $$
    begin
      if current_user <> 'app_owner' then raise log 'FOREIGN % % as %', pg_catalog.current_database(), what, current_user; end if;
      return 1;
    end $$;
    create table public.seen (id int primary key, name text); create table public.other (id int primary key);
    select domain_events.enable_capture('public.seen'); insert into public.seen values (1, 'a');";

/// What the owner puts in the place of the store's own, in one transaction.
const SWAP: &str = "
    alter table domain_events.migration_plans rename to mp; create view domain_events.migration_plans as select m.*, public.spy('migration_plans') as e from domain_events.mp m;
    alter table domain_events.capture_config rename to cc; create view domain_events.capture_config as select c.*, public.spy('capture_config') as e from domain_events.cc c;
    alter table domain_events.event_tables rename to et; create view domain_events.event_tables as select t.*, public.spy('event_tables') as e from domain_events.et t;
    alter table domain_events.thresholds rename to th; create view domain_events.thresholds as select t.*, public.spy('thresholds') as e from domain_events.th t;
    alter table domain_events.integrity_state rename to st; create view domain_events.integrity_state as select t.*, public.spy('integrity_state') as e from domain_events.st t;
    create index on domain_events.events ((public.fixed(event_type)));
    do $$ declare f record; begin
      for f in select p.proname, pg_get_function_result(p.oid) as result, pg_get_function_arguments(p.oid) as arguments, p.prosrc, l.lanname, p.provolatile
                 from pg_proc p join pg_language l on l.oid = p.prolang
                where p.pronamespace = 'domain_events'::regnamespace and p.proname in ('engine', 'stats', 'check_infrastructure', 'check_integrity_incremental', 'check_performance', 'check_rows', 'raise_alerts') loop
        execute format('alter function domain_events.%1$I rename to %2$I', f.proname, 'kept_' || f.proname);
        execute format('create function domain_events.%I(%s) returns %s language plpgsql as %L', f.proname, f.arguments, f.result,
                       format('begin perform public.spy(%L); %s end', f.proname, 'return;'));
      end loop;
    end $$;";

fn spied() -> Db {
    spying(Db::new(Engine::Portable))
}

fn spying(db: Db) -> Db {
    db.owner().run(SPY);
    db.owner().run("create function public.fixed(t text) returns int language plpgsql immutable as $$ begin return public.spy('index'); end $$");
    db
}

fn foreign(db: &Db) -> Vec<String> {
    let mark = format!("FOREIGN {} ", db.name);
    db.cluster().log().lines().filter(|l| l.contains(" LOG: ") && l.contains(&mark)).map(str::to_owned).collect()
}

fn spawn(db: &Db, args: &[&str]) -> Child {
    db.cli_command("postgres", args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the tool")
}

/// Waits until the tool waits for a lock; whether it does.
fn waits(db: &Db, tool: &mut Child) -> bool {
    let mut admin = db.admin();
    for _ in 0..1000 {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'domain-events' and wait_event_type = 'Lock'";
        if admin.number(waiting) > 0 {
            return true;
        }
        if tool.try_wait().expect("a process").is_some() {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("the tool neither waits nor ends");
}

const LOCKED: &str = "begin; lock table domain_events.migration_plans, domain_events.events, domain_events.capture_config, \
     domain_events.event_tables, domain_events.thresholds, domain_events.integrity_state in access exclusive mode";

#[test]
fn what_is_swapped_after_the_proof_runs_as_the_stores_owner() {
    let mut waited = 0;
    for args in [
        &["status"] as &[&str],
        &[
            "monitor",
            "--full",
            "--stats",
            "--failures",
            "--check-infrastructure",
            "--check-performance",
            "--check-integrity",
            "--alert",
        ],
        &["tail"],
        &["scan"],
        &["plan", "--out", "/nonexistent/plan.toml"],
        &["verify"],
        &["uninstall", "--keep-events", "--dry-run"],
        &["uninstall", "--drop-events", "--yes"],
        &["install", "--engine", "native"],
    ] {
        let db = spied();
        let before = foreign(&db).len();
        let mut owner = db.owner();
        owner.run(LOCKED);
        let mut tool = spawn(&db, args);
        waited += u32::from(waits(&db, &mut tool));
        owner.run(&format!("{SWAP}; commit"));
        let out = tool.wait_with_output().expect("the tool");
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!told.contains("panicked") && !told.contains("XX000"), "{args:?}: {told}");
        let found = foreign(&db);
        assert_eq!(found.len(), before, "{args:?} runs code of the store's owner: {:#?}\n{told}", &found[before..]);
    }
    assert!(waited >= 4, "{waited} verbs waited: nothing was swapped under the others");
}

#[test]
fn a_watch_that_was_begun_runs_as_the_stores_owner() {
    let db = spied();
    let before = foreign(&db).len();
    let tool = spawn(&db, &["monitor", "--watch", "--interval", "1", "--count", "3"]);
    sleep(Duration::from_millis(800));
    db.owner().run(&format!("begin; {SWAP}; commit"));
    tool.wait_with_output().expect("the tool");
    assert_eq!(foreign(&db).len(), before, "{:#?}", foreign(&db));
}

/// What the store itself says to a superuser is what it says to its owner.
#[test]
fn a_superuser_sees_what_the_owner_sees() {
    // Alone on its server: transactions of other databases, too, keep positions from being verified.
    let db = spying(Db::on(Cluster::start(&[]), Engine::Portable));
    db.owner().run("alter table public.seen disable trigger all; update public.seen set name = 'unseen'; alter table public.seen enable trigger all");
    for args in [
        &["--format", "json", "status"] as &[&str],
        &["--format", "json", "monitor", "--full"],
        &["--format", "json", "monitor", "--stats", "--failures"],
        &["--format", "json", "scan"],
        &["--format", "json", "uninstall", "--keep-events", "--dry-run"],
    ] {
        let of = |user: &str| db.cli(user, args);
        let (owner, superuser) = (of("app_owner"), of("postgres"));
        assert_eq!(owner.code, superuser.code, "{args:?}: {owner:?}\n{superuser:?}");
        let (owner, superuser) = (owner.json(), superuser.json());
        for part in [
            "events",
            "streams",
            "captures",
            "event_tables",
            "plans",
            "rows",
            "findings",
            "captured_tables",
            "failures",
        ] {
            let without_times = |v: &serde_json::Value| {
                let mut v = v[part].clone();
                if let Some(map) = v.as_object_mut() {
                    map.remove("seconds");
                }
                v
            };
            if part != "findings" || args.contains(&"scan") {
                assert_eq!(without_times(&owner), without_times(&superuser), "{args:?} {part}");
            }
        }
    }
    // what a run has found is remembered for the next: a position is verified once no transaction from before runs, its own included
    let all = db.owner().number("select max(global_position) from domain_events.events");
    // more often than once in a second, as `monitor --watch` may be
    let verified = (0..60).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        db.cli("postgres", &["monitor", "--check-integrity", "--alert"]).expect(0);
        db.owner().number("select verified_position from domain_events.integrity_state") == all
    });
    assert!(verified, "no run of the superuser's is remembered");
    assert_eq!(db.admin().number("select count(*) from pg_namespace where nspname like 'domain\\_events\\_%'"), 0);
}

#[test]
fn what_writes_into_it_is_left_to_the_stores_owner() {
    let db = spied();
    let plan = std::env::temp_dir().join(format!("lesser-{}.toml", std::process::id()));
    let file = plan.to_str().expect("UTF-8");
    let sql = std::fs::read_to_string(domain_events_tests::repository().join("tests/demo/legacy.sql"))
        .expect("the demo's database");
    db.owner().run(&sql);
    db.cli("postgres", &["plan", "--out", file]).expect(3);
    for args in [
        &["apply", "--yes", file] as &[&str],
        &["apply", "--dry-run", file],
        &["rollback", "--yes"],
        &["verify"],
        &["repair"],
        &["repair", "--sequence"],
        &["import", "--from", file, "--tables", "x", "--yes"],
    ] {
        let run = db.cli("postgres", args);
        run.expect_error(1, "42501").saying("owner of schema domain_events");
    }
    db.cli("postgres", &["verify", file]).expect(0);
    std::fs::remove_file(&plan).ok();
}

/// What is not committed yet is not seen by the proof; the tool waits for it later.
#[test]
fn what_is_committed_after_the_proof_runs_as_the_stores_owner() {
    const TRIGGER: &str = "create function public.spying() returns trigger language plpgsql as $$ begin perform public.spy('a trigger of a view'); return new; end $$;
        create trigger commands_0 instead of insert on domain_events.commands for each row execute function public.spying()";
    const FUNCTION: &str = "create or replace function domain_events._grant_partitioning(capture_id int) returns void language plpgsql volatile
        set search_path = pg_catalog, pg_temp as $$ begin perform public.spy('_grant_partitioning'); end $$";
    for engine in ["portable", "native"] {
        let install = || {
            let db = spied();
            if engine == "native" {
                db.admin().run(
                    "create extension pg_domain_events version 'portable'; alter extension pg_domain_events update",
                );
            }
            let before = foreign(&db).len();
            (db, before)
        };
        let ended = |db: &Db, before: usize, tool: Child, what: &str| {
            let out = tool.wait_with_output().expect("the tool");
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            let found = foreign(db);
            assert_eq!(
                found.len(),
                before,
                "{engine}: {what} runs code of the store's owner: {:#?}\n{told}",
                &found[before..]
            );
            assert_eq!(out.status.code(), Some(0), "{engine}: {what}: {told}");
        };

        let (db, before) = install();
        let mut owner = db.owner();
        owner.run(&format!("begin; {TRIGGER}"));
        let mut tool = spawn(&db, &["uninstall", "--keep-events", "--yes"]);
        assert!(waits(&db, &mut tool), "{engine}");
        owner.run("commit");
        ended(&db, before, tool, "uninstall");

        let (db, before) = install();
        let role = db.role("other");
        let (mut first, mut second) = (db.owner(), db.owner());
        first.run(&format!("grant insert on domain_events.thresholds to {role}"));
        first.run(&format!("begin; {FUNCTION}"));
        second.run(&format!("begin; grant references on domain_events.thresholds to {role}"));
        let mut tool = spawn(&db, &["install"]);
        assert!(waits(&db, &mut tool), "{engine}");
        first.run("commit");
        second.run("rollback");
        ended(&db, before, tool, "install");
    }
}
