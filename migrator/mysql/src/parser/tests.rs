//! Whole programs: heads, blocks, positions, and what is said of what cannot be read.

use super::super::ast::*;
use super::{BadHead, Text, program};

const START: Position = Position { line: 1, column: 1 };

fn read_in(text: &str, mode: SqlMode) -> Result<Program, BadHead> {
    program(Text { text, position: START, mode }).expect("a program")
}

fn read(text: &str) -> Program {
    read_in(text, SqlMode::default()).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// The statements of the body, or the body itself.
fn statements(program: &Program) -> Vec<Statement> {
    match &program.body.kind {
        StatementKind::Block(block) => block.body.clone(),
        _ => vec![program.body.clone()],
    }
}

fn unread(statements: &[Statement]) -> Vec<String> {
    statements
        .iter()
        .filter_map(|s| match &s.kind {
            StatementKind::Unread { why, .. } => Some(why.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_heads_of_triggers() {
    let p = read(
        "CREATE OR REPLACE DEFINER=`app`@`10.0.%` TRIGGER IF NOT EXISTS `shop`.`t1` AFTER UPDATE ON `shop`.`users` \
         FOR EACH ROW FOLLOWS `t0` INSERT INTO e VALUES (1)",
    );
    assert!(p.or_replace && p.if_not_exists);
    assert_eq!(p.definer, Some(Definer::Account { user: "app".into(), host: Some("10.0.%".into()) }));
    assert_eq!(p.name, Name { database: Some("shop".into()), name: "t1".into() });
    let ProgramKind::Trigger(trigger) = &p.kind else { panic!("{p:?}") };
    assert_eq!((trigger.timing, trigger.events.as_slice()), (Timing::After, &[TriggerEvent::Update] as &[_]));
    assert_eq!(trigger.order, Some(TriggerOrder::Follows("t0".into())));
    assert_eq!(trigger.table.to_string(), "shop.users");
    assert!(matches!(p.body.kind, StatementKind::Sql(_)));

    let p = read(
        "create definer='a'@'%' trigger t before insert or update of a, b on u for each row precedes x set new.a = 1;",
    );
    let ProgramKind::Trigger(trigger) = &p.kind else { panic!("{p:?}") };
    assert_eq!(trigger.events, [TriggerEvent::Insert, TriggerEvent::Update]);
    assert_eq!(trigger.update_of, ["a", "b"]);
    assert_eq!(trigger.order, Some(TriggerOrder::Precedes("x".into())));
    for definer in ["CURRENT_USER", "CURRENT_USER()", "current_role"] {
        let p = read(&format!("CREATE DEFINER = {definer} TRIGGER t BEFORE DELETE ON u FOR EACH ROW SET @a = 1"));
        assert_eq!(p.definer, Some(Definer::Current));
    }
    let p = read("CREATE DEFINER=auditor TRIGGER t BEFORE DELETE ON u FOR EACH ROW SET @a = 1");
    assert_eq!(p.definer, Some(Definer::Account { user: "auditor".into(), host: None }));
}

#[test]
fn the_heads_of_routines() {
    let p = read(
        "CREATE DEFINER=root@localhost FUNCTION `GetNextAggregateVersion`(p_type VARCHAR(100) CHARSET utf8mb4 COLLATE \
         utf8mb4_unicode_ci, p_id varchar(100)) RETURNS bigint unsigned READS SQL DATA DETERMINISTIC SQL SECURITY INVOKER \
         COMMENT 'next' BEGIN DECLARE v BIGINT UNSIGNED DEFAULT 1; RETURN v; END",
    );
    let ProgramKind::Routine(routine) = &p.kind else { panic!("{p:?}") };
    assert_eq!(routine.deterministic, Some(true));
    assert_eq!(routine.data_access, Some(DataAccess::ReadsSqlData));
    assert!(routine.security_invoker);
    assert_eq!(routine.comment.as_deref(), Some("next"));
    assert_eq!(routine.parameters[0].data_type.collation.as_deref(), Some("utf8mb4_unicode_ci"));
    let returns = routine.returns.as_ref().expect("a type");
    assert_eq!(returns.kind, TypeKind::Plain(sqlparser::ast::DataType::BigIntUnsigned(None)));

    let p = read(
        "CREATE PROCEDURE p(IN a INT, OUT b DECIMAL(10,2) UNSIGNED ZEROFILL, INOUT c ENUM('x','y'), d JSON) \
         MODIFIES SQL DATA LANGUAGE SQL NOT DETERMINISTIC SET b = 1",
    );
    let ProgramKind::Routine(routine) = &p.kind else { panic!("{p:?}") };
    let modes: Vec<_> = routine.parameters.iter().map(|p| p.mode).collect();
    assert_eq!(modes, [ParameterMode::In, ParameterMode::Out, ParameterMode::InOut, ParameterMode::In]);
    assert!(routine.returns.is_none());

    let p = read("CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2025-01-01' ENABLE COMMENT 'x' DO DELETE FROM t");
    assert!(matches!((&p.kind, &p.body.kind), (ProgramKind::Event, StatementKind::Sql(_))));
    let p = read("CREATE FUNCTION f() RETURNS TYPE OF users.email RETURN 'x'");
    let ProgramKind::Routine(routine) = &p.kind else { panic!("{p:?}") };
    assert!(
        matches!(routine.returns.as_ref().map(|t| &t.kind), Some(TypeKind::OfColumn { column, .. }) if column == "email")
    );
}

#[test]
fn other_statements_are_no_programs() {
    for text in [
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v AS SELECT `trigger` FROM t",
        "CREATE UNIQUE INDEX event ON t (a)",
        "DROP TRIGGER t",
        "INSERT INTO t VALUES (1)",
        "",
        "-- nothing",
        ";",
    ] {
        assert!(program(Text { text, position: START, mode: SqlMode::default() }).is_none(), "{text}");
    }
}

#[test]
fn declarations() {
    let p = read(
        "CREATE PROCEDURE p() outer_block: BEGIN\n\
         DECLARE a, b INT UNSIGNED DEFAULT 1;\n\
         DECLARE dup CONDITION FOR SQLSTATE '23000';\n\
         DECLARE gone CONDITION FOR 1146;\n\
         DECLARE c CURSOR FOR SELECT id FROM t WHERE x = 'a;b' FOR UPDATE;\n\
         DECLARE r ROW (x INT, y VARCHAR(10));\n\
         DECLARE s ROW TYPE OF t;\n\
         DECLARE EXIT HANDLER FOR dup, 1062, SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;\n\
         DECLARE CONTINUE HANDLER FOR NOT FOUND SET a = 1;\n\
         DECLARE CONTINUE HANDLER FOR SQLWARNING, SQLSTATE VALUE '01000' BEGIN END;\n\
         SET r.x = 1;\n\
         END outer_block",
    );
    let StatementKind::Block(block) = &p.body.kind else { panic!("{p:?}") };
    assert_eq!(block.label.as_deref(), Some("outer_block"));
    let kinds: Vec<&DeclarationKind> = block.declarations.iter().map(|d| &d.kind).collect();
    assert_eq!(kinds.len(), 9);
    assert!(!kinds.iter().any(|k| matches!(k, DeclarationKind::Unread(_))), "{kinds:?}");
    assert!(matches!(kinds[0], DeclarationKind::Variables { names, default: Some(_), .. } if names.len() == 2));
    assert!(matches!(kinds[2], DeclarationKind::Condition { value: Condition::Error(1146), .. }));
    assert!(matches!(kinds[3], DeclarationKind::Cursor { query: Ok(_), .. }));
    let DeclarationKind::Handler { action, conditions, body } = kinds[6] else { panic!("{kinds:?}") };
    assert_eq!(*action, HandlerAction::Exit);
    assert_eq!(
        conditions.as_slice(),
        [Condition::Named("dup".into()), Condition::Error(1062), Condition::SqlException]
    );
    assert!(matches!(&body.kind, StatementKind::Block(b) if b.body.len() == 2));
    let StatementKind::Set(set) = &block.body[0].kind else { panic!("{block:?}") };
    assert_eq!(set[0].target, Target::Field { variable: "r".into(), field: "x".into() });
}

#[test]
fn spans_and_positions_find_the_source_text() {
    let text = "\n  CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW\n  BEGIN\n    SET @é = 'ü';  INSERT INTO e VALUES (1, 'x');\n  END";
    let p = program(Text { text, position: Position { line: 10, column: 5 }, mode: SqlMode::default() });
    let p = p.expect("a program").expect("a head");
    assert_eq!(p.position, Position { line: 11, column: 3 });
    assert!(p.text.starts_with("CREATE TRIGGER") && p.text.ends_with("END"));
    let body = statements(&p);
    assert_eq!(body[1].position, Position { line: 13, column: 20 });
    assert_eq!(p.source(&body[1].span), "INSERT INTO e VALUES (1, 'x')");
    let StatementKind::Set(set) = &body[0].kind else { panic!("{p:?}") };
    assert_eq!(p.source(&set[0].value.span), "'ü'");
    assert_eq!(set[0].target, Target::User("é".into()));
    assert_eq!(p.source(&p.body.span), p.text.split_once("ROW\n  ").expect("a body").1);
}

#[test]
fn versioned_comments_are_read_and_others_are_not() {
    let p = read(
        "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `t` AFTER INSERT ON `u` FOR EACH ROW BEGIN\n\
         /* a comment; */ SET @a = '/*!50003 x */'; -- it's nothing; END\n\
         # nor this; END\n\
         /*M!100301 SET @b = 1; */ /*M!999999\\- SET @c = 1; */ SET @d = 5--1;\n\
         END */",
    );
    let body = statements(&p);
    assert_eq!(unread(&body), Vec::<String>::new());
    let written: Vec<_> = body.iter().map(|s| p.source(&s.span)).collect();
    assert_eq!(written, ["SET @a = '/*!50003 x */'", "SET @b = 1", "SET @d = 5--1"]);
}

#[test]
fn a_bad_head_says_what_was_expected_where() {
    for (text, position, reason) in [
        ("CREATE TRIGGER t\n  ON u FOR EACH ROW SET @a = 1", (2, 3), "expected BEFORE or AFTER, found ON"),
        ("CREATE TRIGGER t AFTER TRUNCATE ON u", (1, 24), "expected INSERT, UPDATE or DELETE, found TRUNCATE"),
        ("CREATE TRIGGER t AFTER INSERT ON u SET @a = 1", (1, 36), "expected FOR, found SET"),
        ("CREATE FUNCTION f() BEGIN END", (1, 21), "expected RETURNS, found BEGIN"),
        ("CREATE FUNCTION f(a) RETURNS INT RETURN 1", (1, 20), "expected a type, found )"),
        ("CREATE FUNCTION f RETURNS STRING SONAME 'x.so'", (1, 34), "expected a function in SQL, not one of a library"),
        ("CREATE TRIGGER", (1, 15), "expected a name, found the end of the text"),
        ("CREATE TRIGGER `t AFTER INSERT", (1, 16), "expected a name, found a quoted name that does not end"),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY", (1, 39), "expected DO, found the end of the text"),
    ] {
        let bad = read_in(text, SqlMode::default()).expect_err(text);
        assert_eq!(bad.why.position, Position { line: position.0, column: position.1 }, "{text}: {}", bad.why);
        assert!(bad.why.reason.starts_with(reason), "{text}: {}", bad.why);
    }
    let oracle = SqlMode { oracle: true, ..SqlMode::default() };
    let bad = read_in("CREATE PROCEDURE p AS BEGIN NULL; END", oracle).expect_err("Oracle's language");
    assert_eq!((bad.what.as_str(), bad.name.map(|n| n.name).as_deref()), ("PROCEDURE", Some("p")));
    assert!(bad.why.reason.contains("ORACLE"));
}

#[test]
fn one_bad_statement_costs_no_other() {
    let p = read(
        "CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW\nBEGIN\n\
         SET @a = 1;\n\
         INSRT INTO e VALUES (1);\n\
         IF NEW.a = THEN INSERT INTO e VALUES (2); END IF;\n\
         IF NEW.a THN INSERT INTO e VALUES (3); INSERT INTO f VALUES (3); END IF;\n\
         INSERT INTO e VALUES (4,;\n\
         SET NAMES utf8;\n\
         SET @z = 1;\nEND",
    );
    let body = statements(&p);
    let kinds: Vec<_> = body.iter().map(|s| p.source(&s.span)).collect();
    assert_eq!(body.len(), 7, "{kinds:?}");
    assert_eq!(
        unread(&body),
        [
            "line 4, column 1: expected an SQL statement, found INSRT",
            "line 6, column 38: expected THEN, found ;",
            "line 7, column 25: expected an expression, found the end",
            "line 8, column 5: SET NAMES is not read",
        ]
    );
    // the condition is lost, what depends on it is not
    let StatementKind::If { branches, .. } = &body[2].kind else { panic!("{body:?}") };
    assert!(branches[0].condition.tree.is_err());
    assert!(matches!(&branches[0].body[0].kind, StatementKind::Sql(_)));
    let StatementKind::Unread { writes, .. } = &body[3].kind else { panic!("{body:?}") };
    assert_eq!(writes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["e", "f"]);
}

#[test]
fn what_does_not_end_keeps_what_was_read() {
    let p = read("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW BEGIN IF a THEN INSERT INTO e VALUES (1); END;");
    let body = statements(&p);
    let StatementKind::If { branches, .. } = &body[0].kind else { panic!("{body:?}") };
    assert!(matches!(branches[0].body[0].kind, StatementKind::Sql(_)));
    assert!(unread(&branches[0].body)[0].contains("expected END IF, found END"));

    let p = read("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW BEGIN SET @a = 1; INSERT INTO e VALUES ('x");
    let body = statements(&p);
    assert!(matches!(body[0].kind, StatementKind::Set(_)));
    assert!(unread(&body).iter().any(|why| why.contains("a string that does not end")), "{body:?}");

    let p = read("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW SET @a = 1; SET @b = 2;");
    assert_eq!(unread(&statements(&p)), ["line 1, column 61: expected the end of the program, found SET"]);
    let p = read("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW");
    assert!(unread(&statements(&p))[0].contains("expected a body"));
}

#[test]
fn names_that_look_like_words_of_the_language() {
    let p = read(
        "CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW BEGIN\n\
         IF NEW.`end` <> OLD.`end` OR NEW.then = 1 THEN SET @a = NEW.end; END IF;\n\
         INSERT INTO `case` (`begin`, `if`) VALUES (IF(NEW.a, CASE WHEN 1 THEN 2 END, REPEAT('x', 2)), REPLACE('a', 'b', 'c'));\n\
         IF(NEW.a > 1) THEN SET @a = 1; END IF;\n\
         CASE NEW.status WHEN 'a' THEN SET @a = 1; ELSE SET @b = 2; END CASE;\nEND",
    );
    let body = statements(&p);
    assert_eq!(body.len(), 4, "{body:#?}");
    assert_eq!(unread(&body), Vec::<String>::new());
}

#[test]
fn loops_and_their_labels() {
    let p = read(
        "CREATE PROCEDURE p() BEGIN\n\
         l1: LOOP FETCH c INTO a, @b; IF done THEN LEAVE l1; END IF; ITERATE l1; END LOOP l1;\n\
         WHILE i < 10 DO SET i = i + 1; END WHILE;\n\
         REPEAT SET i = i - 1; UNTIL i = 0 END REPEAT;\n\
         FOR i IN 1..3 DO SELECT i; END FOR;\n\
         inner_block: BEGIN LEAVE inner_block; END inner_block;\nEND",
    );
    let body = statements(&p);
    assert_eq!(unread(&body), Vec::<String>::new());
    assert!(matches!(&body[0].kind, StatementKind::Loop { label: Some(l), body } if l == "l1" && body.len() == 3));
    assert!(matches!(&body[1].kind, StatementKind::While { label: None, body, .. } if body.len() == 1));
    assert!(matches!(&body[2].kind, StatementKind::Repeat { until, .. } if until.tree.is_ok()));
    assert!(matches!(&body[3].kind, StatementKind::For { over: ForRange::Numbers { reverse: false, .. }, .. }));
}

#[test]
fn a_query_may_begin_with_a_parenthesis() {
    let p = read(
        "CREATE PROCEDURE p() BEGIN
           DECLARE n INT;
           (SELECT a FROM t) UNION (SELECT b FROM u) ORDER BY 1;
           ((SELECT a FROM t LIMIT 1));
           (SELECT MAX(a) INTO n FROM t);
           (SELECT a FROM t LIMIT 1) INTO n;
           IF (n > 1) THEN (SELECT 1); END IF;
           (WITH c AS (SELECT 1 AS a) SELECT a FROM c);
         END",
    );
    let all = statements(&p);
    assert_eq!((all.len(), unread(&all)), (6, vec![]));
    let into = |s: &&Statement| matches!(s.kind, StatementKind::SelectInto { .. });
    assert_eq!(all.iter().filter(into).count(), 2, "{all:?}");
    assert_eq!(unread(&statements(&read("CREATE PROCEDURE p() BEGIN (a + 1); END"))).len(), 1);
}
