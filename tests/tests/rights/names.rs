//! A superuser plans, applies, verifies and takes back over tables of a lesser role whose names end the texts that the tool makes
//! of them, wherever they stand: nothing runs as anybody but that role, and everything works.
//!
//! `HOSTILE_NAMES=all` tries every name in every place.

use std::path::PathBuf;

use domain_events_tests::{Db, Run, superuser_engines};

use crate::hostile::watch_calls;

superuser_engines! { no_name_is_run }

/// Names, none longer than the server keeps; `w.e()` tells who runs it.
pub(super) fn names() -> Vec<String> {
    let tags = ["shim", "adopted", "grants", "helper", "mysql", "touch", "function", ""];
    let call = |tag: &str| if tag.len() > 7 { "w.e()" } else { "domain_events.engine(),w.e()" };
    let ended = tags.map(|tag| format!("x${tag}$;select {};select ${tag}$", call(tag)));
    let others = [
        "x'); select w.e(); select ('",
        "x\"); select w.e(); --",
        "%s %I %L %% %",
        "$1 $2 $shim",
        "\\'; select w.e(); --",
        "a\nselect w.e();\n--",
        "x')); end; select w.e(); --",
        "é /* ü",
        "b -- c",
    ];
    ended.into_iter().chain(others.map(str::to_owned)).collect()
}

/// The function that the names call: it counts who runs it, and the calls by anybody but its owner.
pub(super) fn tell_who_runs(db: &Db, owner: &str) {
    db.admin().run(&format!(
        "create schema w; grant usage on schema w to public;
         create function w.e() returns int language plpgsql as $$ begin
           perform pg_catalog.nextval('watch.called');
           if current_user <> '{owner}' then perform pg_catalog.nextval('watch.foreign_calls'); raise warning 'w.e() runs as %', current_user; end if;
           return 1; end $$"
    ));
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

struct Names<'a> {
    db: &'a Db,
    place: PathBuf,
    n: usize,
}

impl Names<'_> {
    fn cli(&self, args: &[&str]) -> Run {
        let file = self.place.to_str().expect("UTF-8");
        let args: Vec<&str> = args.iter().map(|a| if *a == "FILE" { file } else { a }).collect();
        let run = self.db.cli("postgres", &args);
        let foreign =
            self.db.admin().one("select case when is_called then last_value else 0 end from watch.foreign_calls");
        assert_eq!(foreign, "0", "{} {args:?}: a name was run: {run:?}", self.n);
        run
    }
}

fn no_name_is_run(db: &Db) {
    watch_calls(db);
    let owner = db.role("owner");
    tell_who_runs(db, &owner);
    db.admin().run(&format!(
        "grant domain_events_writer, domain_events_reader to {owner}; grant create on database {} to {owner}",
        db.name
    ));
    let names = names();
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    let rounds = if std::env::var("HOSTILE_NAMES").is_ok_and(|v| v == "all") { names.len() } else { 2 };
    for n in 0..rounds {
        // the tags that the port and the adoption use stand first
        let at = |place: usize| names[(n + place * 4) % names.len()].as_str();
        one(
            &Names {
                db,
                place: std::env::temp_dir().join(format!("names-{}-{}-{n}.toml", std::process::id(), db.name)),
                n,
            },
            &owner,
            at,
        );
    }
}

fn one<'a>(names: &Names<'_>, owner: &str, at: impl Fn(usize) -> &'a str) {
    let db = names.db;
    let schema = quoted(&format!("{}{}", &at(1).chars().take(40).collect::<String>(), names.n));
    let [column, table, function, trigger, kind, source, more] =
        [at(0), at(2), at(3), at(4), at(5), at(1), at(6)].map(quoted);
    let (log, users) = (format!("{schema}.{table}"), format!("{schema}.{source}"));
    let mut o = db.session(owner);
    o.run(&format!(
        "create schema {schema};
         create domain {schema}.{kind} as text;
         create table {users} (id int primary key, name text);
         create table {log} (id bigserial primary key, aggregate_type text not null default {text}, {column} {schema}.{kind} not null,
           aggregate_version int not null, event_type text not null, event_data jsonb, {extra} text,
           constraint {more} unique (aggregate_type, {column}, aggregate_version));
         comment on table {log} is {text}; comment on column {log}.{column} is {text};
         create function {schema}.{function}() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as {body};
         create trigger {trigger} after update on {users} for each row execute function {schema}.{function}();
         insert into {users} values (1, 'a'); update {users} set name = 'b'",
        text = literal(at(0)),
        extra = quoted(&format!("{}é", at(7).chars().take(40).collect::<String>())),
        body = literal(&format!(
            "begin insert into {log} (aggregate_type, {column}, aggregate_version, event_type, event_data)
               values ({kind}, new.id::text, coalesce((select max(l.aggregate_version) from {log} l where l.aggregate_type = {kind} and l.{column} = new.id::text), 0) + 1,
                 'Changed', pg_catalog.to_jsonb(new)); return new; end",
            kind = literal(at(0)),
        )),
    ));
    let update = |o: &mut domain_events_tests::Session| o.run(&format!("update {users} set name = name || 'x'"));
    names.cli(&["scan"]);
    for adopt in [false, true] {
        std::fs::remove_file(&names.place).ok();
        names.cli(if adopt { &["plan", "--adopt", "--out", "FILE"] } else { &["plan", "--out", "FILE"] }).expect(3);
        if !adopt {
            names.cli(&["verify", "FILE"]);
        }
        names.cli(&["apply", "--yes", "FILE"]).expect(0);
        update(&mut o);
        names.cli(&["verify", "FILE"]);
        names.cli(&["rollback", "--yes"]).expect(0);
        names.cli(&["apply", "--finish", "--yes", "FILE"]).expect(0);
        update(&mut o);
    }
    std::fs::remove_file(&names.place).ok();
    // and captured instead
    names.cli(&["plan", "--out", "FILE", "--strategy", &format!("{}=capture", at(4))]);
    if names.place.exists() {
        names.cli(&["verify", "FILE"]);
        names.cli(&["apply", "--yes", "FILE"]);
        names.cli(&["rollback", "--yes"]);
    }
    std::fs::remove_file(&names.place).ok();
    assert_eq!(db.admin().one("select is_called from watch.called"), "f", "{}: a name was run as its owner", names.n);
    db.admin().run(&format!("set client_min_messages = error; drop schema {schema} cascade; delete from domain_events.capture_failures; delete from domain_events.event_tables; delete from domain_events.capture_config; delete from domain_events.adoptions; delete from domain_events.migration_plans"));
}
