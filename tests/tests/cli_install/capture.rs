//! `capture enable|disable|pause|resume|list`: as the functions do, and nobody waits for long.

use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Cluster, Db, Engine, engines, run};

engines! {
    a_table_is_captured_paused_resumed_and_let_go, every_option_is_that_of_enable_capture, a_writer_is_not_held_up,
    the_holder_of_a_lock_is_named, a_superuser_acts_as_the_owner, names_of_tables, a_baseline_is_told_in_batches, refusals_say_what_to_do,
}

fn a_table_is_captured_paused_resumed_and_let_go(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table public.users (id int primary key, email text); insert into public.users values (1, 'a@x')");
    let cli = |args: &[&str]| db.cli("app_owner", args);
    assert!(cli(&["capture", "list"]).expect(0).stdout.contains("no table is captured"));
    cli(&["capture", "enable", "users"]).expect(0);
    owner.run("update public.users set email = 'b@x'");
    let paused = cli(&["capture", "pause", "users", "--format", "json"]).expect(0).json();
    assert_eq!((&paused["state"], &paused["table"]), (&"paused".into(), &"public.users".into()));
    cli(&["capture", "pause", "users"]).expect(0);
    owner.run("update public.users set email = 'c@x'");
    assert_eq!(owner.number("select count(*) from domain_events.events where aggregate_type = 'User'"), 1);
    cli(&["capture", "resume", "users"]).expect(0);
    assert!(cli(&["capture", "resume", "users"]).expect(0).stdout.contains("already"));
    owner.run("update public.users set email = 'd@x'");
    db.check_table("User", "public.users");
    let listed = cli(&["capture", "list", "--format", "json"]).expect(0).json();
    assert_eq!(listed["captures"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["captures"][0]["state"], "active");
    let gone = cli(&["capture", "disable", "public.users", "--format", "json"]).expect(0).json();
    assert_eq!(gone["state"], "disabled");
    assert_eq!(owner.number("select count(*) from pg_trigger where tgrelid = 'public.users'::regclass"), 0);
    cli(&["capture", "enable", "users"]).expect(0);
    cli(&["capture", "disable", "users", "--keep-triggers"]).expect(0);
    assert!(
        owner.number("select count(*) from pg_trigger where tgrelid = 'public.users'::regclass and tgenabled = 'D'")
            > 0
    );
    assert_eq!(
        owner.table("select event_type from domain_events.events where aggregate_type = 'domain_events.Table' order by global_position"),
        "CapturePaused\nCaptureResumed\nCaptureDisabled\nCaptureDisabled"
    );
    db.check_versions();
}

/// What the command line gives is what the function gives, and no option of the function is missing.
fn every_option_is_that_of_enable_capture(db: &Db) {
    let mut owner = db.owner();
    owner.run(
        r#"create table public.one (id int, "Tenant's" text, a text, b text, c text, primary key (id, "Tenant's"));
           create table public.two (like public.one including all)"#,
    );
    let types = r#"[{"on":"update","when_changed":["a"],"type":"It's.Changed\\"}]"#;
    owner.run(&format!(
        "select domain_events.enable_capture('public.one', aggregate_type => 'O''ne', aggregate_id => array['Tenant''s', 'id'], exclude => '{{b}}', redact => '{{c}}',
           event_types => $j${types}$j$, event_name_style => 'dotted', payload => 'full', on_failure => 'abort')"
    ));
    db.cli(
        "app_owner",
        &[
            "capture",
            "enable",
            "public.two",
            "--aggregate-type",
            "T'wo",
            "--aggregate-id",
            "Tenant's,id",
            "--exclude",
            "b",
            "--redact",
            "c",
            "--event-types",
            types,
            "--event-name-style",
            "dotted",
            "--payload",
            "full",
            "--on-failure",
            "abort",
        ],
    )
    .expect(0);
    let how = |table: &str| {
        format!(
            "select to_jsonb(c) - 'target' - 'aggregate_type' - 'captured_since' from domain_events.captures c where target = '{table}'::regclass"
        )
    };
    assert_eq!(owner.json(&how("public.one")), owner.json(&how("public.two")));
    assert_eq!(
        owner.one("select aggregate_type from domain_events.captures where target = 'public.two'::regclass"),
        "T'wo"
    );
    // every argument of the function has its option
    let help = db.cli("app_owner", &["capture", "enable", "--help"]).expect(0).stdout;
    let arguments = owner.table(
        "select unnest(proargnames) from pg_proc where proname = 'enable_capture' and pronamespace = 'domain_events'::regnamespace",
    );
    for argument in arguments.lines().filter(|name| *name != "target") {
        assert!(
            help.contains(&format!("--{} <", argument.replace('_', "-"))),
            "there is no option for {argument}:\n{help}"
        );
    }
    owner.run("insert into public.two values (1, 't', 'a', 'b', 'secret'); update public.two set a = 'z'");
    assert_eq!(owner.number("select count(*) from domain_events.events where event_data::text like '%secret%'"), 0);
    db.check_versions();
}

/// Behind a long writer a session queues for at most the lock timeout, again and again: others get in between.
fn a_writer_is_not_held_up(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table public.users (id int primary key, n int); insert into public.users select g, 0 from generate_series(1, 10) g");
    let mut long = db.owner();
    long.run("begin; update public.users set n = 1 where id = 1");
    thread::scope(|scope| {
        let enable = scope.spawn(|| db.cli("app_owner", &["capture", "enable", "users", "--lock-timeout", "200"]));
        let mut writer = db.owner();
        let mut slowest = Duration::ZERO;
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            let began = Instant::now();
            writer.run("update public.users set n = n + 1 where id = 2");
            slowest = slowest.max(began.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        long.run("commit");
        let done = enable.join().expect("the command").expect(0);
        assert!(done.stderr.contains("trying again"), "{done:?}");
        assert!(slowest < Duration::from_millis(1200), "a writer waited {slowest:?}");
    });
    owner.run("update public.users set n = n + 1");
    db.check_table("User", "public.users");
}

fn the_holder_of_a_lock_is_named(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table public.users (id int primary key, n int) ; create table public.parts (id int primary key) partition by list (id); create table public.parts1 partition of public.parts for values in (1)");
    let fail = |args: &[&str]| {
        let mut all = vec!["capture"];
        all.extend(args);
        all.extend(["--lock-timeout", "10"]);
        db.cli("app_owner", &all).expect(5).saying("trying again").saying("hint: ")
    };
    let mut writer = db.owner();
    let pid = writer.pid();
    writer.run("begin; insert into public.users values (1, 1)");
    fail(&["enable", "users"])
        .saying(&format!("server process {pid} (role \"app_owner\""))
        .saying("idle in transaction")
        .saying(&format!("pg_terminate_backend({pid})"));
    assert_eq!(owner.number("select count(*) from domain_events.captures"), 0);
    writer.run("commit; begin; insert into public.parts1 values (1)");
    fail(&["enable", "parts"]).saying(&format!("server process {pid}"));
    writer.run("commit");
    db.cli("app_owner", &["capture", "enable", "users"]).expect(0);
    // readers are in the way of dropping triggers, and not of disabling them
    writer.run("begin; select from public.users");
    fail(&["disable", "users"]).saying(&format!("server process {pid}"));
    let json = db
        .cli("app_owner", &["capture", "disable", "users", "--lock-timeout", "10", "--format", "json"])
        .expect(5)
        .json();
    assert_eq!(json["error"]["exit_code"], 5);
    db.cli("app_owner", &["capture", "disable", "users", "--keep-triggers"]).expect(0);
    writer.run("commit");
    db.cli("app_owner", &["capture", "enable", "users"]).expect(0);
    db.cli("app_owner", &["capture", "pause", "users"]).expect(0);
    writer.run("begin; insert into public.users values (2, 1)");
    fail(&["resume", "users"]).saying(&format!("server process {pid}"));
    // pausing waits for no writer
    db.cli("app_owner", &["capture", "pause", "users", "--lock-timeout", "10"]).expect(0);
    writer.run("commit");
    db.cli("app_owner", &["capture", "resume", "users"]).expect(0);
    owner.run("update public.users set n = 5");
    db.check_versions();
}

/// A prepared transaction has no session, and is named too.
#[test]
fn a_prepared_transaction_is_named() {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "2")]), Engine::Portable);
    let mut owner = db.owner();
    owner.run("create table public.users (id int primary key)");
    owner.run("begin; insert into public.users values (1); prepare transaction 'it''s left'");
    db.cli("app_owner", &["capture", "enable", "users", "--lock-timeout", "10"])
        .expect(5)
        .saying("the prepared transaction \"it's left\"")
        .saying("rollback prepared 'it''s left'");
    owner.run("commit prepared 'it''s left'");
    db.cli("app_owner", &["capture", "enable", "users"]).expect(0);
}

/// Code of the table's owner that a baseline runs never has a superuser's rights, whether or not the owner administers captures.
fn a_superuser_acts_as_the_owner(db: &Db) {
    let role = db.role("mallory");
    db.admin().run(&format!("grant create on database {} to {role}", db.name));
    let mut mallory = db.session(&role);
    // tells in the server's log who ran it
    mallory.run(&format!(
        "create schema own;
         create function own.spy(int) returns int language plpgsql immutable as $$ begin raise log 'SPY {} as %', current_user; return $1; end $$;
         create table own.things (id int primary key, n int);
         insert into own.things select g, g from generate_series(1, 5) g;
         alter table own.things enable row level security;
         create policy all_rows on own.things using (own.spy(n) = n); alter table own.things force row level security",
        db.name
    ));
    let cli = |args: &[&str]| db.cli("postgres", args);
    cli(&["capture", "list"]).expect(0);
    if db.engine == Engine::Portable {
        // where the store is a lesser role's, it is that role's functions that a superuser would run
        for verb in ["enable", "pause", "resume", "disable"] {
            cli(&["capture", verb, "own.things"]).expect_error(1, "42501").saying("app_owner");
        }
        return;
    }
    cli(&["capture", "enable", "own.things", "--baseline", "now"])
        .expect_error(1, "42501")
        .saying("domain_events_admin");
    cli(&["capture", "enable", "own.things"]).expect(0);
    cli(&["capture", "pause", "own.things"]).expect(0);
    cli(&["capture", "resume", "own.things"]).expect(0);
    cli(&["capture", "disable", "own.things"]).expect(0);
    db.admin().run(&format!("grant domain_events_admin to {role}"));
    cli(&["capture", "enable", "own.things"]).expect(0);
    cli(&["capture", "pause", "own.things"]).expect(0);
    cli(&["capture", "resume", "own.things"]).expect(0);
    cli(&["capture", "disable", "own.things"]).expect(0);
    mallory.run("alter table own.things disable row level security, no force row level security; create index on own.things (own.spy(n)) where own.spy(n) > 0");
    cli(&["capture", "enable", "own.things", "--aggregate-type", "Mine", "--baseline", "now"]).expect(0);
    mallory.run("update own.things set n = n + 1");
    let log = db.cluster().log();
    let ran: Vec<&str> = log.lines().filter(|line| line.contains(&format!("LOG:  SPY {} as ", db.name))).collect();
    assert!(!ran.is_empty(), "the owner's code did not run");
    let others: Vec<&&str> = ran.iter().filter(|line| !line.ends_with(&format!("as {role}"))).collect();
    assert!(others.is_empty(), "code of the owner's ran as somebody else: {others:?}");
    assert_eq!(
        db.admin().number(
            "select count(*) from domain_events.events where aggregate_type = 'Mine' and event_type = 'MineBaselined'"
        ),
        5
    );
    // nothing that was made for it is left, and no right
    assert_eq!(db.admin().number("select count(*) from pg_namespace where nspname like 'domain_events_as_owner%'"), 0);
    db.check_versions();
}

fn names_of_tables(db: &Db) {
    let mut owner = db.owner();
    owner.run(
        r#"create schema a; create schema b; create table a.orders (id int primary key); create table b.orders (id int primary key);
           create table a."Wéird ""Name" (id int primary key); create table b.customers (id int primary key); create view a.shown as select 1 as id"#,
    );
    let cli = |args: &[&str]| db.cli("app_owner", args);
    cli(&["capture", "enable", "orders"]).expect(2).saying("a.orders, b.orders").saying("hint: ");
    cli(&["capture", "enable", "a.orders"]).expect(0);
    cli(&["capture", "enable", "B.Orders", "--aggregate-type", "OtherOrder"]).expect(0);
    cli(&["capture", "enable", r#"Wéird "Name"#, "--aggregate-type", "W"]).expect(0);
    cli(&["capture", "pause", r#"a."Wéird ""Name""#]).expect(0);
    cli(&["capture", "enable", "Customers"]).expect(0);
    assert_eq!(
        owner.table("select target::text from domain_events.captures order by target::text collate \"C\""),
        "a.\"Wéird \"\"Name\"\na.orders\nb.customers\nb.orders"
    );
    cli(&["capture", "enable", "nowhere"]).expect_error(1, "42P01");
    cli(&["capture", "enable", "'; drop table a.orders; --"]).expect_error(1, "42P01");
    cli(&["capture", "enable", "shown"]).expect_error(1, "42809");
    cli(&["capture", "enable", "domain_events.events"]).expect_error(1, "42809");
}

fn a_baseline_is_told_in_batches(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table public.users (id int primary key, n int); insert into public.users select g, g from generate_series(1, 4500) g");
    let run = db.cli("app_owner", &["capture", "enable", "users", "--baseline", "now"]).expect(0);
    assert!(run.stdout.contains("4500 rows"), "{run:?}");
    let transactions = owner
        .number("select count(distinct transaction_id) from domain_events.events where event_type = 'UserBaselined'");
    assert_eq!(transactions, 3);
    db.check_table("User", "public.users");
}

fn refusals_say_what_to_do(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table public.keyless (id int); create table public.users (id int primary key, team int)");
    let cli = |args: &[&str]| db.cli("app_owner", args);
    cli(&["capture", "enable", "keyless"]).expect_error(1, "42P16");
    cli(&["capture", "pause", "users"]).expect_error(1, "42704");
    cli(&["capture", "resume", "users"]).expect_error(1, "42704");
    cli(&["capture", "disable", "users"]).expect_error(1, "42704");
    cli(&["capture", "enable", "users", "--event-types", "{"]).expect(2).saying("no JSON");
    cli(&["capture", "enable", "users", "--exclude", "a", "--include", "b"]).expect(2);
    cli(&["capture", "enable", "users", "--aggregate-id", "team"])
        .expect(0)
        .saying("several rows of public.users can share a stream");
    cli(&["capture", "enable", "users"]).expect_error(1, "42710");
    let stranger = db.role("stranger");
    for args in [&["capture", "list"] as &[&str], &["capture", "disable", "users"]] {
        db.cli(&stranger, args).expect_error(1, "42501");
    }
    let empty = Db::new(Engine::None);
    run(&mut empty.cli_command("app_owner", &["capture", "list"])).expect_error(1, "3F000");
}
