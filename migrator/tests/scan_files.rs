//! `scan --from` as people meet it: files in any state, what was not judged, and many findings told well.

use std::fs;
use std::process::Command;

use serde_json::Value;

mod place;

use place::Place;

impl Place {
    fn scan(&self, more: &[&str]) -> Run {
        scan(&self.0, more)
    }
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn codes(&self) -> Vec<String> {
        let json = self.json();
        let all = json["findings"].as_array().expect("findings").iter();
        all.map(|f| f["code"].as_str().expect("a code").to_owned()).collect()
    }
}

fn scan(path: &std::path::Path, more: &[&str]) -> Run {
    let out = Command::new(env!("CARGO_BIN_EXE_domain-events"))
        .args(["scan", "--from", path.to_str().expect("UTF-8")])
        .args(more)
        .env_remove("DATABASE_URL")
        .output()
        .expect("domain-events runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

const LAMP: &str = "create table lamp (id int primary key, lit bool);
create table lamp_events (lamp_id int, version int, event_type text, payload jsonb, at timestamptz default now(), unique (lamp_id, version));
create function lamp_changed() returns trigger language plpgsql as $$ begin
  insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$;
create trigger lamp_changed after update on lamp for each row execute function lamp_changed();
";

#[test]
fn the_last_line_counts_what_was_judged_and_what_was_not() {
    let place = Place::new("count");
    place.file("a.sql", "create table t (id int);\ninsert into t values (1);\n");
    let clean = place.scan(&[]);
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert_eq!(clean.stdout, "No trigger or function writes events.\n2 statements judged, 0 not, of 2\n");
    place.file(
        "b.sql",
        "create tabel u (id int);\ncreate trigger x after update on t for each row execute function gone();\n",
    );
    let run = place.scan(&[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(!run.stdout.contains("No trigger or function"), "{run:?}");
    assert_eq!(run.stdout.lines().last(), Some("2 statements judged, 2 not, of 4"));
    let json = place.scan(&["--format", "json"]);
    assert_eq!(json.code, Some(3));
    let mut codes: Vec<String> =
        json.json()["unjudged"].as_array().expect("a list").iter().map(|u| u["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, ["\"EV204\"", "\"EV208\""]);
    assert_eq!(json.json()["statements"]["unjudged"], 2);
    assert_eq!(json.stderr.lines().last(), Some("2 statements judged, 2 not, of 4"));
}

#[test]
fn files_that_cannot_be_read_are_told_by_name_and_the_rest_is_judged() {
    for dialect in ["postgres", "mysql"] {
        let place = Place::new(dialect);
        let nothing = place.scan(&["--dialect", dialect]);
        assert_eq!(nothing.code, Some(1), "{nothing:?}");
        assert!(nothing.stderr.contains("holds no file"), "{nothing:?}");
        place.file("1_good.sql", "create table t (id int);\n");
        for (name, bytes) in [
            ("2_empty.sql", &b""[..]),
            ("3_archive.sql", b"PGDMP\x01\x0e\x00\x04\x08\x00"),
            ("4_packed.sql", b"\x1f\x8b\x08\x00\x00\x00"),
        ] {
            let file = place.file(name, bytes);
            for run in [scan(&file, &["--dialect", dialect]), place.scan(&["--dialect", dialect])] {
                assert_eq!(run.code, Some(3), "{run:?}");
                assert!(run.stdout.contains(name), "{run:?}");
            }
            fs::remove_file(file).expect("removed");
        }
        std::os::unix::fs::symlink("nowhere.sql", place.0.join("5_link.sql")).expect("a link");
        let run = place.scan(&["--dialect", dialect]);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stdout.contains("5_link.sql"), "{run:?}");
        assert!(scan(&place.0.join("5_link.sql"), &["--dialect", dialect]).code == Some(1));
    }
}

#[test]
fn files_that_read_others_come_once_and_in_their_order() {
    let place = Place::new("include");
    let parts: Vec<&str> = LAMP.split_inclusive(";\n").collect();
    place.file("install.sql", "\\set ON_ERROR_STOP on\n\\ir parts/b_tables.sql\n\\i parts/a_rest.sql\n");
    place.file("parts/b_tables.sql", parts[..2].concat());
    place.file("parts/a_rest.sql", parts[2..].concat());
    for run in [place.scan(&["--format", "json"]), scan(&place.0.join("install.sql"), &["--format", "json"])] {
        assert_eq!(run.codes(), ["EV101"], "{run:?}");
        assert_eq!(run.json()["statements"]["of"], 4, "{run:?}");
    }
    let missing = place.file("other.sql", "\\ir not/there.sql\n");
    let run = scan(&missing, &[]);
    assert!(run.code == Some(3) && run.stdout.contains("not/there.sql"), "{run:?}");
}

#[test]
fn texts_in_other_encodings_are_read() {
    let place = Place::new("encodings");
    // a comment and a string in GBK, whose last byte looks like a backslash, and in Latin 1
    let gbk =
        [b"create table t (id int); comment on table t is '\xd6\xd0\xce\xc4\x81\x5c';\n", LAMP.as_bytes()].concat();
    let latin = [b"-- caf\xe9\ncomment on table t is 'na\xefve';\n", LAMP.as_bytes()].concat();
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(LAMP.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (name, bytes) in [("gbk.sql", gbk), ("latin.sql", latin), ("wide.sql", wide)] {
        let run = scan(&place.file(name, bytes), &["--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{name}: {run:?}");
    }
    let mysql = "CREATE TABLE `lamp` (`id` int, `n` varchar(9) COMMENT '{}', PRIMARY KEY (`id`)) ENGINE=InnoDB;
CREATE TABLE `lamp_log` (`lamp_id` int, `version` int, `action` varchar(9) COMMENT '{}', `at` datetime, UNIQUE KEY k (`lamp_id`, `version`));
CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW INSERT INTO lamp_log (lamp_id, version, action, at) VALUES (NEW.id, 1, 'x', NOW());\n";
    for said in [&b"\xb5\xc6\x81\x5c"[..], b"l\xe1mpara"] {
        let mut bytes = vec![];
        for (n, part) in mysql.split("{}").enumerate() {
            bytes.extend_from_slice(if n > 0 { said } else { b"" });
            bytes.extend_from_slice(part.as_bytes());
        }
        let run = scan(&place.file("mysql.sql", bytes), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{run:?}");
    }
}

#[test]
fn php_is_php_whatever_its_file_is_called() {
    let place = Place::new("php");
    let php = "<?php\nreturn new class { public function up() { DB::unprepared(\"\n  CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW INSERT INTO lamp_events (lamp_id, version) VALUES (NEW.id, 1)\n\"); } };\n";
    let file = place.file("migration.sql", php);
    assert_eq!(scan(&file, &["--dialect", "mysql", "--format", "json"]).codes(), ["EV101"]);
    let run = scan(&file, &["--dialect", "postgres"]);
    assert!(run.code == Some(3) && run.stdout.contains("a program of MySQL's"), "{run:?}");
}

#[test]
fn statements_of_mysql_end_where_their_tools_end_them() {
    let place = Place::new("delimiters");
    let table = "CREATE TABLE lamp (id int PRIMARY KEY, revision int NOT NULL)";
    let log = "CREATE TABLE lamp_history (lamp_id int NOT NULL, revision int NOT NULL, at datetime, UNIQUE KEY k (lamp_id, revision))";
    let trigger = "CREATE TRIGGER lamp_au BEFORE UPDATE ON lamp FOR EACH ROW BEGIN\n  IF NEW.revision <> OLD.revision THEN\n    INSERT INTO lamp_history (lamp_id, revision, at) VALUES (OLD.id, OLD.revision, NOW());\n  END IF;\nEND";
    for (head, end) in [
        ("/* DELIMITER GO */\n", "\nGO\n"),
        ("", "\nGO\n"),
        ("", "\ngo\n\n"),
        ("", "\n/\n"),
        ("--liquibase formatted sql\n--changeset me:1 endDelimiter:@@\n", "@@\n"),
        ("--liquibase formatted sql\n--changeset me:1 splitStatements:true endDelimiter:/\n", "\n/\n"),
        ("-- DELIMITER $$\n", "$$\n"),
        ("DELIMITER //\n", "//\n"),
    ] {
        let text = format!("{head}{table}{end}{log}{end}{trigger}{end}");
        let run = scan(&place.file("a.sql", &text), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV104"], "{text}\n{run:?}");
    }
}

#[test]
fn mysql_without_its_tables_is_judged_by_itself() {
    let place = Place::new("mysql");
    let insert = "INSERT INTO {t} (lamp_id, version, event_type, payload) VALUES (NEW.id, 1, 'LampChanged', JSON_OBJECT('lit', NEW.lit))";
    let trigger = |table: &str| {
        format!("CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW {};\n", insert.replace("{t}", table))
    };
    let lamp = "CREATE TABLE lamp (id int PRIMARY KEY, lit bool);\n";
    for text in [
        trigger("lamp_events"),
        format!("{lamp}{}", trigger("lamp_events")),
        format!("{lamp}{}", trigger("logs.lamp_events")),
    ] {
        let run = scan(&place.file("a.sql", &text), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{text}\n{run:?}");
        let finding = &run.json()["findings"][0];
        assert_eq!(
            (finding["trigger"].as_str(), finding["strategy"].as_str()),
            (Some("lamp_au"), Some("manual")),
            "{finding}"
        );
        assert!(finding["reasons"].to_string().contains("assumed: "), "{finding}");
    }
    // a procedure that is not there may write anything
    let call = format!("{lamp}CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW CALL note_lamp(NEW.id);\n");
    let run = scan(&place.file("a.sql", &call), &["--dialect", "mysql", "--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(3), vec!["EV208".to_owned()]), "{run:?}");
}

#[test]
fn many_findings_of_one_kind_are_said_once() {
    let place = Place::new("many");
    for n in 0..40 {
        place.file(&format!("{n}.sql"), format!("create table t{n} (id int,, b int);\n"));
    }
    let run = place.scan(&[]);
    assert_eq!(run.code, Some(3));
    assert!(run.stdout.lines().count() < 15, "{}", run.stdout);
    assert!(run.stdout.contains("EV204 in 40 places"), "{}", run.stdout);
    assert_eq!(run.stdout.lines().last(), Some("0 statements judged, 40 not, of 40"));
    assert!(run.stderr.contains("--verbose"), "{run:?}");
    let all = place.scan(&["--verbose"]);
    for n in 0..40 {
        assert!(all.stdout.contains(&format!("/{n}.sql:1")), "{n}: {}", all.stdout);
    }
    assert_eq!(place.scan(&["--format", "json"]).codes().len(), 40);
}

#[test]
fn a_person_answers_what_nobody_else_can() {
    let place = Place::new("treat");
    let file = place.file(
        "a.sql",
        "create table lamp (id int primary key);
         create table lamp_repair_log (id serial primary key, lamp_id int not null, repair_no int not null, at timestamptz default now(), unique (lamp_id, repair_no));
         create function f() returns trigger language plpgsql as $$ begin insert into lamp_repair_log (lamp_id, repair_no) values (new.id, 1); return new; end $$;
         create trigger t after insert on lamp for each row execute function f();\n",
    );
    let with = |more: &[&str]| scan(&file, &[&["--format", "json"], more].concat());
    assert_eq!(with(&[]).codes(), ["EV109"]);
    assert_eq!(with(&["--treat", "lamp_repair_log=events"]).codes(), ["EV101"]);
    let entity = with(&["--treat", "public.lamp_repair_log=entity"]);
    assert_eq!((entity.codes(), entity.code), (vec!["EV100".to_owned()], Some(0)));
    for wrong in ["lamps=events", "lamp_repair_log", "lamp_repair_log=things"] {
        assert_eq!(with(&["--treat", wrong]).code, Some(2), "{wrong}");
    }
}
