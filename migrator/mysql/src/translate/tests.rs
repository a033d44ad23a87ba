//! Translation without a server; what it means is compared on real ones in `tests/tests/mysql`.

use super::context::{Flavor, Known};
use super::notes::Fidelity;
use super::program;
use crate::ast::{Position, Program, SqlMode};
use crate::dump::Session;
use crate::parser::{self, Text};
use crate::schema::Schema;

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
    assert_eq!(made.fidelity(), Fidelity::Declared, "{:#?}", made.notes);
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
    assert_eq!(made.fidelity(), Fidelity::Declared, "{:#?}", made.notes);
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
