//! `scan --from` of folders: what goes forward, whose SQL each file is, and what is said of what was not read.

mod place;
#[path = "place/run.rs"]
mod run;

use place::Place;
use run::scan;

const LAMP: &str = "create table lamp (id int primary key, lit bool);
create table lamp_log (id bigserial primary key, lamp_id int, action text, payload jsonb, at timestamptz default now());
create function lamp_log() returns trigger language plpgsql as $$ begin
  insert into lamp_log (lamp_id, action, payload) values (new.id, tg_op, to_jsonb(new)); return new; end $$;
create trigger lamp_log after insert or update on lamp for each row execute function lamp_log();
";

const LAMP_OF_MYSQL: &str = "CREATE TABLE `bulb` (`id` int AUTO_INCREMENT PRIMARY KEY, `lit` tinyint(1)) ENGINE=InnoDB;
CREATE TABLE `bulb_log` (`id` int AUTO_INCREMENT PRIMARY KEY, `bulb_id` int, `action` varchar(9), `at` datetime) ENGINE=InnoDB;
CREATE TRIGGER bulb_log AFTER UPDATE ON bulb FOR EACH ROW INSERT INTO bulb_log (bulb_id, action, at) VALUES (NEW.id, 'x', NOW());
";

#[test]
fn what_takes_a_file_back_is_not_read_as_if_it_ran() {
    let place = Place::new("divided");
    let back = "drop trigger lamp_log on lamp;\ndrop function lamp_log();\ndrop table lamp_log;\ndrop table lamp;\n";
    for line in ["---", "-- down", "//@UNDO", "--//@UNDO", "-- +goose Down"] {
        let run = scan(&place.file("a.sql", format!("{LAMP}\n{line}\n{back}")), &["--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{line} {run:?}");
    }
    // where that is not sure it is told, and the rest is judged as it stands
    let other = format!("{LAMP}---\ndrop trigger lamp_log on lamp;\ncreate table other (id int);\n");
    let run = scan(&place.file("a.sql", other), &["--format", "json"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let told = &run.json()["unjudged"];
    assert!(told.to_string().contains("undoes the file or goes forward cannot be told"), "{told}");
    assert!(told.as_array().expect("a list").iter().any(|t| t["line"] == 6 && t["code"] == "EV204"), "{told}");
    let back = "DROP TRIGGER bulb_log;\nDROP TABLE bulb_log;\nDROP TABLE bulb;\n";
    for line in ["---", "-- rollback", "-- //@UNDO"] {
        let file = place.file("a.sql", format!("{LAMP_OF_MYSQL}{line}\n{back}"));
        let run = scan(&file, &["--dialect", "mysql", "--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{line} {run:?}");
    }
}

#[test]
fn each_file_is_a_session_of_its_own() {
    let place = Place::new("sessions");
    let member = LAMP.replace("on lamp ", "on public.lamp ");
    for end in ["reset search_path;\n", "set search_path to default;\n", "discard all;\n", "reset all;\n", ""] {
        place.file("1.sql", format!("set search_path to depot;\ncreate table depot.x (id int);\n{end}"));
        place.file("2.sql", &member);
        let run = place.scan(&["--format", "json"]);
        let json = run.json();
        let finding = &json["findings"][0];
        assert_eq!((run.code, finding["event_table"].as_str()), (Some(0), Some("public.lamp_log")), "{end} {run:?}");
        let one = if end.is_empty() { continue } else { [&format!("set search_path to depot;\n{end}"), &member] };
        let run = scan(&place.file("one.txt", one.map(String::as_str).concat()), &["--format", "json"]);
        assert_eq!(run.json()["findings"][0]["event_table"], "public.lamp_log", "{end} {run:?}");
    }
}

#[test]
fn a_name_without_a_schema_is_found_in_the_one_that_has_it() {
    let place = Place::new("visible");
    let (tables, rest) = LAMP.split_at(LAMP.find("create function").expect("a function"));
    for first in [
        format!("set search_path to depot;\n{tables}"),
        format!("select pg_catalog.set_config('search_path', 'depot', false);\n{tables}"),
        format!(
            "select pg_catalog.set_config('search_path', '', false);\n{}",
            tables.replace("create table ", "create table depot.")
        ),
        format!("alter database house set search_path to depot;\n\\c house\ndiscard all;\n{tables}"),
    ] {
        place.file("1.sql", &first);
        place.file("2.sql", rest);
        let run = place.scan(&["--format", "json"]);
        let finding = &run.json()["findings"][0];
        assert_eq!((run.code, finding["event_table"].as_str()), (Some(0), Some("depot.lamp_log")), "{first} {run:?}");
    }
}

#[test]
fn tables_are_where_the_other_files_say_they_are() {
    let place = Place::new("placed");
    let tables = ["lamp", "room", "door"];
    place.file("tables.sql", tables.map(|t| format!("create table {t} (id int primary key);\n")).concat());
    place.file("log.sql", "create table lamp_log (lamp_id int, action text, payload jsonb, at timestamptz);\n");
    let insert =
        "insert into house.lamp_log (lamp_id, action, payload) values (new.id, tg_op, to_jsonb(new)); return new;";
    let function = format!("create function noted() returns trigger language plpgsql as $$ begin {insert} end $$;\n");
    let trigger =
        |t: &str| format!("create trigger noted after update on house.{t} for each row execute function noted();\n");
    place.file("noted.sql", format!("{function}{}", tables.map(trigger).concat()));
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned(); 3]), "{run:?}");
    // what a file of tests makes in a schema of its path is replaced by what comes later
    place.file("0_test.sql", "set search_path to house;\ncreate function noted() returns trigger language plpgsql as $$ begin return new; end $$;\n");
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned(); 3]), "{run:?}");
    // a single one may be another table of that name
    place.file("noted.sql", format!("{function}{}", trigger("lamp")));
    assert_eq!(place.scan(&[]).code, Some(3));
}

#[test]
fn a_folder_without_sql_of_its_own_is_told_too() {
    let place = Place::new("alone");
    for name in ["store.go", "Store.scala"] {
        let text =
            "val makes = \"create trigger lamp_log after update on lamp for each row execute function lamp_log()\"\n";
        let file = place.file(name, text);
        let run = place.scan(&["--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(3), vec!["EV204".to_owned()]), "{name} {run:?}");
        std::fs::remove_file(file).expect("removed");
    }
    // a file that is called PHP and holds nothing but SQL
    let file = place.file("log.php", LAMP_OF_MYSQL);
    for run in [place.scan(&["--format", "json"]), scan(&file, &["--format", "json"])] {
        assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{run:?}");
    }
    std::fs::remove_file(file).expect("removed");
    // SQL that configure fills in
    place.file("make.sql.in", LAMP.replace("create table lamp ", "create table @schema@.lamp "));
    assert_eq!(place.scan(&["--format", "json"]).codes(), ["EV121"]);
}

#[test]
fn files_of_two_servers_are_each_judged_in_their_own() {
    let place = Place::new("servers");
    place.file("1_lamp.sql", LAMP);
    place.file("2_bulb.sql", LAMP_OF_MYSQL);
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned(); 2]), "{run:?}");
    assert_eq!(run.json()["statements"]["of"], 7, "{run:?}");
    assert!(run.stderr.contains("1 files are read as PostgreSQL's, 1 as MySQL's"), "{run:?}");
    for (table, code) in [("lamp_log", 0), ("bulb_log", 0), ("sofa_log", 2)] {
        let treat = format!("{table}=entity");
        assert_eq!(place.scan(&["--treat", &treat]).code, Some(code), "{table}");
    }
    // one dialect that is demanded is that of all
    assert_eq!(place.scan(&["--dialect", "postgres"]).code, Some(3));
    // the folder's name speaks where the text does not
    let place = Place::new("named");
    place.file(
        "mysql/1.sql",
        "create table held (serialized_at longtext);\nalter table held modify serialized_at json;\n",
    );
    place.file("mysql/2.sql", "use store;\ncreate table a (id bigint auto_increment primary key);\n");
    let run = place.scan(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn tables_of_mysql_that_differ_by_case_are_two() {
    let place = Place::new("case");
    let upper = "CREATE TABLE `Gem` (gemId int PRIMARY KEY, owner int);\nCREATE PROCEDURE give(o int) INSERT INTO Gem (gemId, owner) VALUES (1, o);\n";
    let lower = "CREATE TABLE `gem` (id int PRIMARY KEY, gem_name text);\nCREATE PROCEDURE name_it(n text) INSERT INTO gem (id, gem_name) VALUES (1, n);\n";
    for [first, second] in [[upper, lower], [lower, upper]] {
        place.file("1.sql", first);
        place.file("2.sql", second);
        let run = place.scan(&["--dialect", "mysql"]);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[test]
fn a_file_that_another_one_names_is_read_in_its_own_place() {
    let place = Place::new("sourced");
    place.file("db/make.sql", "SOURCE @DATADIR@/db/logs/bulb.sql\nsource ../bulbs.sql;\n");
    place.file("db/logs/bulb.sql", LAMP_OF_MYSQL);
    let run = place.scan(&["--dialect", "mysql", "--format", "json"]);
    let told = run.json()["unjudged"].to_string();
    assert!(told.contains("bulbs.sql") && !told.contains("bulb.sql"), "{run:?}");
}

#[test]
fn what_undoes_is_known_by_its_number_too() {
    let place = Place::new("number");
    place.file("004_create_lamp_schema.sql", LAMP);
    place.file("004_lamp_rollback.sql", "create table lamp_backup (id int);\ndrop table lamp, lamp_log cascade;\n");
    let run = place.scan(&["--format", "json"]);
    assert_eq!(run.codes(), ["EV121"], "{run:?}");
    assert!(run.stderr.contains("004_lamp_rollback.sql"), "{run:?}");
}

#[test]
fn one_broken_quote_is_told_once() {
    let place = Place::new("quote");
    for broken in [r"the lamp\'s on", "the lamp's on"] {
        let says = |text: &str| format!("insert into note select '{text}';\n");
        let texts = says("on; then off; then on; and so on").repeat(20);
        let text = format!("{LAMP}{}{texts}", says(broken));
        let run = scan(&place.file("a.sql", text), &["--format", "json"]);
        let json = run.json();
        let told = json["unjudged"].as_array().expect("a list");
        assert_eq!((run.code, told.len()), (Some(3), 1), "{run:?}");
        assert!(told[0]["reasons"].to_string().contains("from here on"), "{run:?}");
        assert!(run.codes().contains(&"EV121".to_owned()), "{run:?}");
    }
}

#[test]
fn a_body_within_a_body_of_the_same_mark_is_told_once() {
    let place = Place::new("nested");
    let within = "do $$ begin\n  if true then\n    create function light() returns int as $$ declare n int;
      now_lit timestamptz := now();\n    begin\n      perform 1;\n      return n;\n    end; $$ language plpgsql;
    raise notice 'made';\n  else\n    raise notice 'there';\n  end if;\nend $$;\n";
    place.file("1.sql", format!("{within}{LAMP}"));
    let run = place.scan(&["--format", "json"]);
    let told = run.json()["unjudged"].to_string();
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(told.contains("the mark behind AS in line 3 ends the body around it"), "{told}");
}

#[test]
fn a_table_that_was_dropped_is_told_as_that() {
    let place = Place::new("dropped");
    place.file("1.sql", LAMP);
    place.file("2_away.sql", "drop table lamp_log;\n");
    let run = place.scan(&["--format", "json"]);
    let told = &run.json()["findings"];
    assert!(run.code == Some(3) && told.to_string().contains("was dropped by"), "{run:?}");
    assert!(told.to_string().contains("2_away.sql"), "{run:?}");
}

#[test]
fn logs_without_a_version_are_summed_up_by_their_table() {
    let place = Place::new("summed");
    let more = |n: usize| {
        format!(
            "create table t{n} (id int);\ncreate trigger t{n} after update on t{n} for each row execute function lamp_log();\n"
        )
    };
    place.file("1.sql", format!("{LAMP}{}", (0..30).map(more).collect::<String>()));
    let run = place.scan(&[]);
    let lines: Vec<&str> = run.stdout.lines().filter(|l| l.starts_with("EV121")).collect();
    assert_eq!(lines.len(), 1, "{}", run.stdout);
    assert!(lines[0].contains("and 30 more"), "{}", run.stdout);
    let all = place.scan(&["--verbose"]);
    assert_eq!(all.stdout.lines().filter(|l| l.starts_with("EV121")).count(), 31, "{}", all.stdout);
}

#[test]
fn triggers_whose_bodies_stand_bare_are_mysqls_in_any_language() {
    let place = Place::new("bare");
    place.file(
        "1_tables.ts",
        "import { Knex } from 'knex';\nexport async function up(knex: Knex) {
           for (const name of ['lamp', 'lamp_history']) {
             await knex.schema.createTable(name, (t) => { t.integer('id'); t.string('label'); t.string('action'); t.timestamp('at').defaultTo(knex.fn.now()); });
           }\n}\n",
    );
    place.file(
        "2_triggers.ts",
        "import { Knex } from 'knex';\nexport async function up(knex: Knex) {
           await knex.raw('DROP TRIGGER IF EXISTS lamp_goes');
           return knex.raw(`CREATE TRIGGER lamp_goes BEFORE DELETE ON lamp FOR EACH ROW
             INSERT INTO lamp_history (id, label, action) VALUES (OLD.id, OLD.label, \"DELETE\")`);\n}\n",
    );
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{run:?}");
}
