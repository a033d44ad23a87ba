//! Folding of files, what they say of themselves, and what they do not hold.

use super::super::ast::{ProgramKind, SqlMode, StatementKind};
use super::*;
use crate::dump::Dump;

fn from_texts<const N: usize>(files: [(&str, &str); N]) -> Source {
    let mut fold = Fold::default();
    for (file, text) in files {
        fold.header(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
        fold.read(file, &mut Dump::new(text.as_bytes())).expect("memory");
    }
    fold.finish()
}

fn from(text: &str) -> Source {
    from_texts([("a.sql", text)])
}

fn names(source: &Source) -> Vec<String> {
    source.programs.iter().map(|p| format!("{} {}", kind_of(&p.program), p.program.name)).collect()
}

const DUMP: &str = "-- MySQL dump 10.13  Distrib 8.0.43, for Linux (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t8.0.43-0ubuntu0.24.04.1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `users`;
CREATE TABLE `users` (`id` bigint unsigned NOT NULL AUTO_INCREMENT, `name` varchar(10), PRIMARY KEY (`id`)) ENGINE=InnoDB;
LOCK TABLES `users` WRITE;
INSERT INTO `users` VALUES (1,'CREATE TRIGGER x; '),(2,'b');
UNLOCK TABLES;
/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;
/*!50003 SET sql_mode              = 'ANSI_QUOTES,STRICT_TRANS_TABLES' */ ;
/*!50003 SET collation_connection  = utf8mb4_unicode_ci */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `log_user_changes` AFTER UPDATE ON `users` FOR EACH ROW BEGIN
    INSERT INTO \"domain_events\" (v) VALUES (GetNextAggregateVersion('User', NEW.id));
    CALL notify(NEW.id);
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;
";

#[test]
fn a_dump_says_what_wrote_it_and_what_it_lacks() {
    let source = from(DUMP);
    assert_eq!(source.problems, []);
    assert_eq!(source.server, Some(Server { mariadb: false, version: "8.0.43".into() }));
    assert_eq!(names(&source), ["trigger log_user_changes"]);
    let sourced = &source.programs[0];
    assert_eq!(sourced.collation.as_deref(), Some("utf8mb4_unicode_ci"));
    let program = &sourced.program;
    assert!(program.sql_mode.ansi_quotes && program.sql_mode.strict);
    assert_eq!(program.position.line, 18);
    let StatementKind::Block(block) = &program.body.kind else { panic!("{program:?}") };
    assert_eq!(block.body[0].position.line, 19);
    let missing: Vec<String> = source.missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        [
            "function GetNextAggregateVersion is not in the source, but trigger log_user_changes needs it: dump with \
             --routines, or read the live database",
            "procedure notify is not in the source, but trigger log_user_changes needs it: dump with --routines, or read \
             the live database",
            "table domain_events is not in the source, but trigger log_user_changes needs it: dump it too, or read the \
             live database",
        ]
    );
}

#[test]
fn headers_of_other_tools() {
    for (line, mariadb, version) in [
        ("-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)", true, "10.11.6-MariaDB"),
        ("-- Server version: 10.4.32-MariaDB", true, "10.4.32-MariaDB"),
        ("MySQL - 5.7.26 : Database - shop", false, "5.7.26"),
        ("-- Server version\t9.0.1", false, "9.0.1"),
    ] {
        let source = from(&format!("-- header\n{line}\nSELECT 1;"));
        assert_eq!(source.server, Some(Server { mariadb, version: version.into() }), "{line}");
    }
    assert_eq!(from("SELECT 1;").server, None);
}

#[test]
fn the_later_definition_wins_and_what_is_dropped_is_gone() {
    let source = from_texts([
        ("1.sql", "CREATE TABLE u (a INT); CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = 1;"),
        (
            "2.sql",
            "CREATE FUNCTION f() RETURNS INT RETURN 1; CREATE PROCEDURE p() BEGIN END; CREATE VIEW v AS SELECT 1;",
        ),
        ("3.sql", "DROP TRIGGER IF EXISTS `shop`.`T`; CREATE TRIGGER t BEFORE UPDATE ON u FOR EACH ROW SET @a = 2;"),
        ("4.sql", "DROP FUNCTION f; CREATE OR REPLACE PROCEDURE p() SET @b = 1;"),
        ("5.sql", "CREATE TRIGGER IF NOT EXISTS t AFTER DELETE ON u FOR EACH ROW SET @a = 3;"),
    ]);
    assert_eq!(names(&source), ["trigger t", "procedure p"]);
    assert_eq!(source.programs[0].file, "3.sql");
    assert_eq!(source.views, ["v"]);
    let source = from_texts([(
        "1.sql",
        "CREATE TABLE u (a INT); CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = 1; DROP TABLE u;",
    )]);
    assert!(source.programs.is_empty() && source.schema.tables.is_empty());
}

#[test]
fn triggers_move_with_their_tables() {
    for rename in ["RENAME TABLE x TO y, u TO users", "ALTER TABLE u RENAME TO users", "ALTER TABLE `u` RENAME users"] {
        let source = from(&format!(
            "CREATE TABLE u (a INT);CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = 1;{rename};"
        ));
        let (_, trigger) = source.triggers().next().expect("a trigger");
        assert_eq!(trigger.table.name, "users", "{rename}");
    }
    let source = from(
        "CREATE TABLE u (a INT);CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = 1;ALTER TABLE u RENAME COLUMN a TO b;",
    );
    assert_eq!(source.triggers().next().expect("a trigger").1.table.name, "u");
}

#[test]
fn one_bad_statement_costs_no_other() {
    let source = from(
        "CREATE TABLE u (a INT);\nCREATE TRIGGER bad AFTR INSERT ON u FOR EACH ROW SET @a = 1;\n\
         CREATE TRIGGER good AFTER INSERT ON u FOR EACH ROW SET @a = 1;",
    );
    assert_eq!(names(&source), ["trigger good"]);
    let problems: Vec<_> = source.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["a.sql:2: trigger bad: column 20: expected BEFORE or AFTER, found AFTR"]);
}

#[test]
fn a_table_like_another_has_its_columns() {
    let source = from(
        "CREATE TABLE a (id INT PRIMARY KEY, b INT); CREATE TABLE IF NOT EXISTS `c` LIKE `a`; CREATE TABLE d (LIKE a);",
    );
    let tables: Vec<_> =
        source.schema.tables.iter().map(|t| (t.name.as_str(), t.columns.len(), t.keys.len())).collect();
    assert_eq!(tables, [("a", 2, 1), ("c", 2, 1), ("d", 2, 1)]);
}

#[test]
fn the_servers_own_schemas_are_left_alone() {
    let source = from(
        "USE `mysql`; CREATE TABLE `user` (a INT); CREATE PROCEDURE p() SET @a = 1;\nUSE `shop`; CREATE TABLE u (a INT);\n\
         CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = 1;",
    );
    assert_eq!(names(&source), ["trigger t"]);
    assert_eq!(source.database.as_deref(), Some("shop"));
    assert_eq!(source.schema.tables.len(), 1);
    let source = from("USE a; CREATE TABLE u (a INT); USE b; CREATE TABLE w (a INT);");
    assert!(source.problems.iter().any(|p| p.reason.contains("several databases")), "{:?}", source.problems);
}

#[test]
fn modes() {
    let ansi = SqlMode::parse(Some("REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI"));
    assert!(ansi.ansi_quotes && ansi.pipes_as_concat && ansi.ignore_space && !ansi.strict);
    assert!(SqlMode::parse(None).strict && !SqlMode::parse(Some("")).strict);
    assert!(SqlMode::parse(Some("traditional")).strict && SqlMode::parse(Some("ORACLE")).oracle);
}

#[test]
fn a_file_tells_whose_it_is() {
    for (text, dialect) in [
        (DUMP, Some(Dialect::MySql)),
        ("CREATE TABLE `a` (`b` int);", Some(Dialect::MySql)),
        ("create trigger t after insert on u for each row set @a = 1;", Some(Dialect::MySql)),
        (
            "create function f() returns trigger as $$ begin return new; end $$ language plpgsql;",
            Some(Dialect::Postgres),
        ),
        ("create table a (b jsonb, c timestamptz default now());", Some(Dialect::Postgres)),
        ("create trigger t after insert on u for each row execute function f();", Some(Dialect::Postgres)),
        ("create table a (b int);", None),
        ("", None),
    ] {
        assert_eq!(detect(text), dialect, "{text}");
    }
}

#[test]
fn builtin_functions_and_variables_are_not_missing() {
    let source = from(
        "CREATE TABLE u (a INT); CREATE TABLE e (a INT);\n\
         CREATE FUNCTION own() RETURNS INT RETURN IF(@a, own(), UUID_SHORT());\n\
         CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW BEGIN\n\
         IF EXISTS (SELECT 1 FROM e WHERE other.f(a) > 1) THEN INSERT INTO e VALUES (COALESCE(JSON_LENGTH('[]'), own())); END IF;\n\
         CASE WHEN lost(1) THEN CALL p(also_lost()); END CASE; END;",
    );
    let missing: Vec<_> = source.missing.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(missing, ["also_lost", "f", "lost", "p"]);
    assert_eq!(source.programs.iter().filter(|p| matches!(p.program.kind, ProgramKind::Trigger(_))).count(), 1);
}
