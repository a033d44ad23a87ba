//! `scan --from` reads what runs as psql and mysql run it: what certainly does not run is not read, and what perhaps does makes no
//! trigger vanish.

use std::sync::atomic::{AtomicUsize, Ordering};

mod place;
#[path = "place/run.rs"]
mod run;

use place::Place;
use run::{Run, scan};

/// A trigger that gives each event of an aggregate version 1.
const WRITES: &str = "create table users (id int primary key, name text);
create table ev (id bigserial primary key, aggregate_type text not null, aggregate_id text not null, aggregate_version int not null,
  event_type text not null, event_data jsonb, unique (aggregate_type, aggregate_id, aggregate_version));
create function log_user() returns trigger language plpgsql as $f$ begin
  insert into ev (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
  values ('User', new.id::text, 1, 'UserUpdated', to_jsonb(new)); return new; end $f$;
create trigger log_user after update on users for each row execute function log_user();
";
const AWAY: &str = "drop trigger log_user on users; drop function log_user();";

fn of(text: &str) -> Run {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new(&format!("undone{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let file = place.file("a.sql", text);
    let (one, folder) = (scan(&file, &["--format", "json"]), place.scan(&["--format", "json"]));
    assert_eq!((one.code, one.codes()), (folder.code, folder.codes()), "{text}\n{one:?}");
    assert!(!one.stderr.contains("panicked"), "{text}\n{one:?}");
    one
}

/// It is there, and nothing else is said.
fn is_there(text: &str) {
    let run = of(text);
    assert_eq!((run.code, run.codes()), (Some(3), vec!["EV101".to_owned()]), "{text}\n{run:?}");
}

/// It is there, and what is not sure is told.
fn is_doubted(text: &str) {
    let run = of(text);
    let codes = run.codes();
    assert!(codes.contains(&"EV101".to_owned()) && codes.contains(&"EV204".to_owned()), "{text}\n{run:?}");
    assert!(run.json()["unjudged"].to_string().contains("read the live database"), "{text}\n{run:?}");
}

/// It is gone, and nothing is left to be told.
fn is_gone(text: &str) {
    let run = of(text);
    assert_eq!((run.code, run.codes()), (Some(0), vec![]), "{text}\n{run:?}");
}

#[test]
fn what_is_rolled_back_was_not_done() {
    let harmless =
        "create or replace function log_user() returns trigger language plpgsql as $$ begin return new; end $$;";
    for undone in [
        format!("begin; {AWAY} rollback;"),
        format!("begin; {AWAY} abort;"),
        format!("start transaction; {harmless} rollback work;"),
        format!("begin; savepoint a; {AWAY} rollback to a; commit;"),
        format!("begin; savepoint a; savepoint b; {AWAY} release b; rollback to savepoint a; end;"),
        format!("begin; select 1; commit and chain; {AWAY} rollback;"),
        "begin; drop table users cascade; rollback;".to_owned(),
        "begin; alter table users disable trigger log_user; rollback;".to_owned(),
    ] {
        is_there(&format!("{WRITES}{undone}\n"));
    }
    for done in [
        format!("begin; {AWAY} commit; begin; select 1; rollback;"),
        format!("begin; savepoint a; {AWAY} release a; commit;"),
        format!("begin; savepoint a; select 1; rollback to a; {AWAY} commit;"),
        format!("{AWAY} rollback;"),
    ] {
        is_gone(&format!("{WRITES}{done}\n"));
    }
    is_gone(&format!("begin;\n{WRITES}rollback;\n"));
    is_doubted(&format!("{WRITES}begin;\n{AWAY}\n"));
}

#[test]
fn branches_that_are_not_taken_are_not_read() {
    for undone in [
        format!("\\if false\n{AWAY}\n\\endif"),
        format!("\\if true\n\\else\n{AWAY}\n\\endif"),
        format!("\\if 1\n\\elif yes\n{AWAY}\n\\endif"),
        format!("\\set on 0\n\\if :on\n{AWAY}\n\\endif"),
        format!("\\if off \\\\ {AWAY}\n\\endif"),
        format!("\\if false\n\\if true\n{AWAY}\n\\endif\n{AWAY}\n\\endif"),
        format!("\\if false\ncopy users from stdin;\n\\endif\nselect 1;\n\\if false\n{AWAY}\n\\endif\n"),
        format!("\\q\n{AWAY}"),
        format!("\\echo done \\q\n{AWAY}"),
        "drop trigger log_user on users \\r\ndrop function log_user() \\reset".into(),
        "drop trigger log_user on users \\q".into(),
        "drop trigger log_user on users \\gdesc".into(),
    ] {
        is_there(&format!("{WRITES}{undone}\n"));
    }
    for done in [
        format!("\\if true\n{AWAY}\n\\endif"),
        format!("\\if no\n\\else\n{AWAY}\n\\endif"),
        format!("\\if false\n\\q\n\\endif\n{AWAY}"),
        "drop trigger log_user on users \\g\ndrop function log_user() \\;\n".into(),
    ] {
        is_gone(&format!("{WRITES}{done}\n"));
    }
    for perhaps in [
        format!("\\if :{{?clean}}\n{AWAY}\n\\endif"),
        format!("\\if :clean\n\\else\n{AWAY}\n\\endif"),
        format!("select false as clean \\gset\n\\if :clean\n{AWAY}\n\\endif"),
        format!("\\if :keep\n\\q\n\\endif\n{AWAY}"),
        format!("begin;\n{AWAY}\n\\if :keep\nrollback;\n\\else\ncommit;\n\\endif"),
    ] {
        is_doubted(&format!("{WRITES}{perhaps}\n"));
    }
    is_there(&format!("\\if false\n\\copy t from stdin\n\\endif\n{WRITES}"));
    // the server passes over that line, and the script is run by it alone
    is_there(&format!("\\echo Use \"CREATE EXTENSION x\" to load this file. \\quit\n{WRITES}"));
    // what follows settles it
    is_gone(&format!("{WRITES}\\if :clean\n{AWAY}\n\\endif\n{AWAY}\n"));
    // the rows of a COPY that does not run are no rows
    is_there(&format!("\\if false\ncopy t from stdin;\n\\endif\n{WRITES}"));
}

#[test]
fn a_name_that_the_session_does_not_see_drops_nothing() {
    for other in ["set search_path to b;", "select set_config('search_path', 'b', false);"] {
        is_there(&format!(
            "create schema b;\n{WRITES}{other}\ndrop trigger log_user on users; drop table users cascade;\n"
        ));
    }
    is_gone(&format!("{WRITES}set search_path to b, public;\n{AWAY}\n"));
}

#[test]
fn parts_of_a_block_that_do_not_run_are_not_read() {
    for undone in [
        format!("if false then {AWAY} end if;"),
        "if 1=2 then execute 'drop trigger log_user on users'; execute 'drop function log_user()'; end if;".into(),
        format!("if true then null; else {AWAY} end if;"),
        format!("while false loop {AWAY} end loop;"),
        format!("return; {AWAY}"),
        format!("if true then return; end if; {AWAY}"),
        format!("begin {AWAY} raise exception 'x'; exception when others then null; end;"),
        format!("{AWAY} raise exception 'x';"),
        format!("{AWAY} rollback;"),
    ] {
        is_there(&format!("{WRITES}do $$ begin {undone} end $$;\n"));
    }
    for perhaps in [
        format!("if now() > '2020-01-01' then {AWAY} end if;"),
        format!("if now() > '2020-01-01' then return; end if; {AWAY}"),
        format!("for i in 1..0 loop {AWAY} end loop;"),
        format!("begin {AWAY} perform 1/0; exception when others then null; end;"),
        format!(
            "perform 1; if now() > '2020-01-01' then rollback; end if; {AWAY} if random() > 2 then rollback; end if;"
        ),
        "if exists (select from pg_class where relname = 'nowhere') then drop trigger log_user on users; end if;"
            .into(),
        "if not exists (select from pg_trigger where tgname = 'log_user') then drop trigger log_user on users; end if;"
            .into(),
    ] {
        is_doubted(&format!("{WRITES}do $$ begin {perhaps} end $$;\n"));
    }
    for done in [
        AWAY.to_owned(),
        format!("if true then {AWAY} end if; return;"),
        format!("raise notice 'x'; {AWAY}"),
        "if exists (select from pg_trigger where tgname = 'log_user') then drop trigger log_user on users; end if; drop function log_user();".into(),
        "if to_regclass('public.users') is null then return; end if; drop trigger log_user on users; end $$; drop function log_user(); do $$ begin null;".into(),
        "begin drop trigger log_user on users; exception when undefined_object then null; end; drop function log_user();"
            .into(),
    ] {
        let run = of(&format!("{WRITES}do $$ begin {done} end $$;\n"));
        assert!(!run.codes().contains(&"EV101".to_owned()) && !run.codes().contains(&"EV204".to_owned()), "{done} {run:?}");
    }
}

#[test]
fn texts_end_where_the_server_ends_them() {
    let mac = WRITES.replace('\n', "\r");
    is_there(&format!("select 1;\n-- hello\r{mac}"));
    is_there(&format!("copy (select 1 from stdin) to '/tmp/x';\n{WRITES}"));
    is_there(&format!("copy users from stdin;\n1\tx;\n\\.\n{WRITES}"));
    is_there(&format!("\\copy users from stdin\n1\t'x;\n\\.\n{WRITES}"));
    for off in [
        "set standard_conforming_strings = off;",
        "set standard_conforming_strings to 'off';",
        "select set_config('standard_conforming_strings', 'off', false);",
    ] {
        is_there(&format!("{off}\nselect 'a\\'; /* ';\n{WRITES}-- */\n"));
    }
    is_there(&format!("set standard_conforming_strings = off; reset all;\nselect 'a\\'; /* */\n{WRITES}"));
}

const MYSQL: &str = "-- MySQL dump 10.13  Distrib 8.0.30, for Linux (x86_64)
CREATE TABLE `users` (`id` int NOT NULL, `name` text, PRIMARY KEY (`id`));
CREATE TABLE `ev` (`id` bigint NOT NULL AUTO_INCREMENT, `aggregate_type` varchar(50) NOT NULL, `aggregate_id` varchar(50) NOT NULL,
  `aggregate_version` int NOT NULL, `event_type` varchar(50) NOT NULL, `event_data` json,
  `created_at` timestamp DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (`id`),
  UNIQUE KEY `uk` (`aggregate_type`,`aggregate_id`,`aggregate_version`));
CREATE TRIGGER `t` AFTER UPDATE ON `users` FOR EACH ROW
  insert into ev (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', new.id, 1, 'x');
";

#[test]
fn what_another_database_drops_stays() {
    let used = format!("CREATE DATABASE a; USE a;\n{MYSQL}");
    for other in
        ["USE b; DROP TRIGGER IF EXISTS t;", "DROP TRIGGER b.t;", "DROP TABLE b.users;", "USE b; DROP TABLE ev;"]
    {
        is_there(&format!("{used}{other}\n"));
    }
    for perhaps in
        ["CREATE DATABASE x; DROP TRIGGER IF EXISTS x.t; DROP TABLE IF EXISTS x.ev;", "USE b; DROP TABLE users;"]
    {
        is_doubted(&format!("{MYSQL}{perhaps}\n"));
    }
    is_gone(&format!("{used}DROP TRIGGER a.t;\n"));
    is_gone(&format!("{MYSQL}DROP TRIGGER t;\n"));
    is_gone(&format!("{used}USE b; DROP TRIGGER IF EXISTS t; USE A; DROP TABLE users, ev;\n"));
    is_gone(&format!("{MYSQL}DROP TRIGGER x.t; DROP TRIGGER t;\n"));
}
