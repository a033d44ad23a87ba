//! Names in the database that a terminal would obey, functions that are too deep, files that are not ours.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use domain_events_tests::{Db, Run};

use crate::installed;

/// What must not reach a terminal.
fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn expect_harmless(run: &Run, what: &str) {
    assert!(!run.stdout.contains(is_obeyed), "{what}: {:?}", run.stdout);
    assert!(!run.stderr.contains(is_obeyed), "{what}: {:?}", run.stderr);
}

fn place(db: &Db) -> PathBuf {
    let place = std::env::temp_dir().join(format!("domain-events-{}", db.name));
    fs::create_dir_all(&place).expect("a directory");
    place
}

/// A legacy trigger, every name of which ends in what a terminal obeys.
fn legacy(db: &Db) {
    db.owner().run(
        "do $do$ declare e text := chr(27)||'[31m'||chr(27)||']0;pwned'||chr(7)||chr(13)||chr(10)||'x'||chr(155)||'31m'||chr(8238);
         begin
           execute format('create table public.%I (id int primary key, n text)', 'u'||e);
           create table public.ev (id bigserial primary key, aggregate_type text, aggregate_id text, aggregate_version int,
             event_type text, event_data jsonb, created_at timestamptz default now(),
             unique (aggregate_type, aggregate_id, aggregate_version));
           execute format('create function public.%I() returns trigger language plpgsql as %L', 'f'||e,
             'begin insert into ev(aggregate_type,aggregate_id,aggregate_version,event_type) values (''U'', new.id::text, 1, '
             || quote_literal('t'||e) || '); return new; end');
           execute format('create trigger %I after update on public.%I for each row execute function public.%I()', 't'||e, 'u'||e, 'f'||e);
           execute format('comment on table public.%I is %L', 'u'||e, 'c'||e);
         end $do$",
    );
}

#[test]
fn no_verb_shows_what_a_terminal_obeys() {
    let db = installed();
    legacy(&db);
    let place = place(&db);
    let plan = place.join("plan.toml");
    let path = plan.to_str().expect("UTF-8");
    for (args, code) in [
        (vec!["scan"], 3),
        (vec!["scan", "--format", "json"], 3),
        (vec!["plan", "--out", path], 3),
        (vec!["apply", "--dry-run", path], 3),
        (vec!["verify", path], 0),
        (vec!["apply", "--yes", path], 0),
        (vec!["status"], 0),
        (vec!["monitor"], 0),
        (vec!["rollback", "--yes"], 0),
    ] {
        let run = db.cli("app_owner", &args);
        expect_harmless(&run, &args.join(" "));
        assert!(run.code == code || matches!(args[0], "monitor" | "status" | "verify"), "{args:?}: {run:?}");
    }
    let text = fs::read_to_string(&plan).expect("the plan");
    assert!(!text.contains(is_obeyed), "{text:?}");
    fs::remove_dir_all(place).ok();
}

#[test]
fn a_plan_is_for_its_owner_and_is_written_over_nothing_of_others() {
    let db = installed();
    legacy(&db);
    let place = place(&db);
    let at = |name: &str| place.join(name);
    let plan = |name: &str| db.cli("app_owner", &["plan", "--out", at(name).to_str().expect("UTF-8")]);
    plan("plan.toml").expect(3);
    assert_eq!(fs::metadata(at("plan.toml")).expect("the plan").permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(at("plan.toml")).expect("the plan");
    plan("plan.toml").expect_error(1, "58P02").saying("--revise");
    assert_eq!(fs::read_to_string(at("plan.toml")).expect("the plan"), first);
    fs::write(at("notes.txt"), "mine").expect("a file");
    plan("notes.txt").expect_error(1, "58P02").saying("hint: ");
    symlink(at("notes.txt"), at("link.toml")).expect("a link");
    symlink(at("nowhere"), at("dangling.toml")).expect("a link");
    for link in ["link.toml", "dangling.toml"] {
        plan(link).expect(1).saying("a symbolic link").saying("hint: ");
    }
    assert_eq!(fs::read_to_string(at("notes.txt")).expect("text"), "mine");
    assert!(!at("nowhere").exists());
    db.cli("app_owner", &["plan", "--out", "/dev/full"]).expect(1).saying("a device").saying("hint: ");
    db.cli("app_owner", &["plan", "--out", place.to_str().expect("UTF-8")]).expect(1).saying("a directory");
    db.cli("app_owner", &["plan", "--out", "/proc/1/nope"]).expect(1).saying("/proc/1/nope");
    fs::remove_dir_all(place).ok();
}

#[test]
fn a_function_of_the_database_that_is_too_deep_is_a_finding() {
    let db = installed();
    db.owner().run(&format!(
        "create table public.users (id int primary key);
         create table public.ev (aggregate_type text, aggregate_id text, aggregate_version int, event_type text,
           unique (aggregate_type, aggregate_id, aggregate_version));
         create function public.f() returns trigger language plpgsql as $f$ declare x int; begin
           x := 1{}; insert into public.ev values ('U', new.id::text, 1, 'X'); return new; end $f$;
         create function public.g() returns trigger language plpgsql as $f$ begin
           if tg_op = 'UPDATE' then null; {} end if; insert into public.ev values ('U', new.id::text, 1, 'X'); return new; end $f$;
         create trigger f after update on public.users for each row execute function public.f();
         create trigger g after update on public.users for each row execute function public.g();
         create function public.h() returns void language plpgsql as $f$ begin perform 1{}; end $f$;",
        "+1".repeat(100_000),
        "elsif new.id = 1 then null; ".repeat(100_000),
        "||'a'".repeat(50_000),
    ));
    let run = db.cli("app_owner", &["scan", "--format", "json"]).expect(3);
    let found = run.json();
    let unread = |function: &str| {
        let found = found["findings"].as_array().expect("findings").iter();
        found.filter(|f| f["code"] == "EV203" && f["function"].as_str().is_some_and(|n| n.contains(function))).count()
    };
    assert_eq!((unread("f("), unread("g("), unread("h(")), (1, 1, 1), "{found:#}");
}
