//! Translation without a server; what it means is compared on real ones in `tests/tests/mysql`.

use super::context::{Flavor, Known};
use super::notes::Fate;
use super::program;
use crate::mysql::ast::{Position, Program, SqlMode};
use crate::mysql::dump::Session;
use crate::mysql::parser::{self, Text};
use crate::mysql::schema::Schema;

const SEED_TABLES: &str = "
create table users (id bigint unsigned not null auto_increment, name varchar(255) not null, email varchar(255),
  last_login_at timestamp null, login_count int not null default 0, is_active tinyint(1) not null default 1, primary key (id));
create table domain_events (id bigint unsigned not null auto_increment, event_id char(36) not null,
  aggregate_type varchar(100) not null, aggregate_id varchar(100) not null, aggregate_version bigint unsigned not null default 1,
  event_type varchar(150) not null, event_name varchar(200), event_data json not null, caused_by_user_id bigint unsigned,
  occurred_at timestamp not null default current_timestamp, primary key (id), unique key event_id (event_id),
  unique key uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version));";

fn known(tables: &str) -> Known {
    let mut schema = Schema::default();
    for statement in tables.split(";\n").chain([]) {
        schema.take(statement.trim().trim_end_matches(';'), 1, &Session::default());
    }
    assert!(schema.unread.is_empty(), "{:?}", schema.unread);
    Known::new("public", Flavor::MySql, &schema.tables)
}

fn parse(text: &str) -> Program {
    let text = Text { text, position: Position { line: 1, column: 1 }, mode: SqlMode::default() };
    parser::program(text).expect("a program").expect("its head")
}

fn translate(program: &str, known: &Known) -> program::Translated {
    let program = parse(program);
    let name = program.name.name.clone();
    let made = program::translate(&program, known, &name, &name.to_lowercase()).expect("a translation");
    let script = format!("{}\n{}", made.create, made.trigger.as_ref().map_or("", |(_, sql)| sql));
    pg_query::parse(&script).unwrap_or_else(|e| panic!("{e}\n{script}"));
    pg_query::parse_plpgsql(&made.create).unwrap_or_else(|e| panic!("{e}\n{script}"));
    made
}

#[test]
fn the_seeds_trigger_and_function_are_translated() {
    let mut known = known(SEED_TABLES);
    let function = "CREATE FUNCTION GetNextAggregateVersion(p_aggregate_type VARCHAR(100), p_aggregate_id VARCHAR(100))
RETURNS BIGINT UNSIGNED
READS SQL DATA
DETERMINISTIC
BEGIN
    DECLARE next_version BIGINT UNSIGNED DEFAULT 1;
    SELECT COALESCE(MAX(aggregate_version), 0) + 1 INTO next_version
    FROM domain_events
    WHERE aggregate_type = p_aggregate_type
    AND aggregate_id = p_aggregate_id;
    RETURN next_version;
END";
    let signature = program::signature(&parse(function), &known).expect("a routine");
    known.routines.insert("getnextaggregateversion".into(), signature);
    let made = translate(function, &known);
    assert_eq!(made.fate(), Fate::Declared, "{:#?}", made.notes);
    insta::assert_snapshot!("seed_function", made.create);
    let trigger = "CREATE TRIGGER log_user_changes AFTER UPDATE ON users FOR EACH ROW
BEGIN
    INSERT IGNORE INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name,
        event_data, caused_by_user_id, occurred_at)
    VALUES (UUID(), \"User\", NEW.id, GetNextAggregateVersion(\"User\", NEW.id), \"UserUpdated\", \"User profile updated\",
        JSON_OBJECT('old', JSON_OBJECT('name', OLD.name, 'last_login_at', OLD.last_login_at, 'is_active', OLD.is_active),
          'changed_fields', JSON_ARRAY(CASE WHEN OLD.name != NEW.name THEN 'name' END, IF(NOT (OLD.email <=> NEW.email), 'email', NULL))),
        NEW.id, NOW());
END";
    let made = translate(trigger, &known);
    assert_eq!(made.fate(), Fate::Declared, "{:#?}", made.notes);
    insta::assert_snapshot!("seed_trigger", format!("{}\n{}", made.create, made.trigger.expect("a trigger").1));
}

#[test]
fn every_construct_of_the_table_is_read_and_its_translation_is_sql() {
    use super::constructs;
    let known = constructs::known(Flavor::MySql);
    for example in constructs::EXPRESSIONS {
        let shown = constructs::expression(&known, example.text).unwrap_or_else(|e| panic!("{}: {e}", example.text));
        pg_query::parse(&format!("select {}, {}", shown.sql, shown.shown))
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", example.text, shown.sql));
    }
    for (name, body) in constructs::STATEMENTS {
        let made = constructs::trigger(&known, body).unwrap_or_else(|e| panic!("{name}: {e}"));
        pg_query::parse_plpgsql(&made.create).unwrap_or_else(|e| panic!("{name}: {e}\n{}", made.create));
    }
}

const WORLD: &str = "
create table parent (id int not null primary key);
create table child (id int not null primary key, parent_id int, name varchar(20), n int,
  constraint child_parent foreign key (parent_id) references parent (id) on delete cascade);
create table log (id bigint not null auto_increment primary key, what varchar(50), actor varchar(50));";

fn world(programs: &str) -> crate::from_mysql::catalogue::World {
    let script = format!("{WORLD}\ndelimiter $$\n{programs}\ndelimiter ;\n");
    let source = crate::mysql::source::from_texts([("world.sql", script.as_str())]);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    crate::from_mysql::catalogue::World::new(&source, &crate::from_mysql::catalogue::Terms::default())
}

fn notes(world: &crate::from_mysql::catalogue::World, name: &str) -> String {
    let item = world.items.iter().find(|i| i.made.name == name).expect("an item");
    item.made.notes.iter().map(|n| format!("{} {n}\n", n.fate.name())).collect()
}

#[test]
fn a_foreign_key_that_now_fires_a_trigger_is_told() {
    let world = world(
        "create trigger d after delete on child for each row insert into log (what) values (old.name)$$
         create trigger i after insert on child for each row insert into log (what) values (new.name)$$",
    );
    assert!(notes(&world, "d").contains("declared FOREIGN KEY child_parent: ON DELETE CASCADE from parent"));
    assert!(!notes(&world, "i").contains("FOREIGN KEY"));
}

#[test]
fn triggers_fire_in_the_order_they_had() {
    let world = world(
        "create trigger z after insert on child for each row insert into log (what) values ('first')$$
         create trigger a after insert on child for each row insert into log (what) values ('third')$$
         create trigger m after insert on child for each row precedes a insert into log (what) values ('second')$$
         create trigger alone after update on child for each row insert into log (what) values ('x')$$",
    );
    let mut names: Vec<(&str, &str)> = world
        .items
        .iter()
        .filter_map(|i| i.made.trigger.as_ref().map(|(n, _)| (n.as_str(), i.made.name.as_str())))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [("01_z", "z"), ("02_m", "m"), ("03_a", "a"), ("alone", "alone")]);
}

#[test]
fn a_before_trigger_that_only_writes_elsewhere_fires_after() {
    let world = world(
        "create trigger w before update on child for each row insert into log (what) values (new.name)$$
         create trigger c before insert on child for each row set new.name = upper(new.name)$$",
    );
    let sql = |name: &str| {
        world.items.iter().find(|i| i.made.name == name).and_then(|i| i.made.trigger.clone()).expect("a trigger").1
    };
    assert!(sql("w").contains("after update"), "{}", sql("w"));
    assert!(notes(&world, "w").contains("declared BEFORE: it fires AFTER"));
    assert!(sql("c").contains("before insert"), "{}", sql("c"));
    let made = &world.items.iter().find(|i| i.made.name == "c").expect("c").made.create;
    assert!(made.contains("new.name := upper(new.name);") && made.contains("return new;"), "{made}");
}

#[test]
fn a_user_variable_that_another_program_reads_is_a_setting() {
    let world = world(
        "create trigger u before update on child for each row begin set @who = new.name; set @own = 1; set new.n = @own; end$$
         create trigger v after update on child for each row insert into log (what, actor) values ('v', @who)$$",
    );
    let made = |name: &str| world.items.iter().find(|i| i.made.name == name).expect("an item").made.clone();
    assert!(
        made("u").create.contains("perform set_config('app.who', coalesce(new.name, ''), false);"),
        "{}",
        made("u").create
    );
    assert!(made("u").create.contains("user_own bigint; -- @own"), "{}", made("u").create);
    assert!(made("v").create.contains("nullif(current_setting('app.who', true), '')"), "{}", made("v").create);
    assert_eq!(made("v").settings.get("@who").map(String::as_str), Some("app.who"));
}

#[test]
fn new_under_delete_is_flagged_and_not_repaired() {
    // the servers refuse it, files may hold it
    let world = world("create trigger d after delete on child for each row insert into log (what) values (new.name)$$");
    assert!(notes(&world, "d").contains("declared NEW under DELETE"));
}

#[test]
fn what_is_not_translated_is_told_and_its_event_is_seen() {
    let world =
        world("create trigger i after insert on child for each row insert into log (what) values (sha1(new.name))$$");
    assert!(
        notes(&world, "i").contains("refused sha1(new.name)") || notes(&world, "i").contains("refused SHA1"),
        "{}",
        notes(&world, "i")
    );
    let item = world.items.iter().find(|i| i.made.name == "i").expect("i");
    assert!(item.made.create.contains("insert into public.log"), "{}", item.made.create);
}
