//! That what MySQL's manual calls an expression or a statement is read, and grouped as the servers group it.

use super::super::ast::{Position, SqlMode, StatementKind};
use super::super::leaf;
use super::super::lexer::Source;
use super::{Text, body};

/// One a line.
const EXPRESSIONS: &str = include_str!("leaf_tests/expressions.txt");
const STATEMENTS: &str = include_str!("leaf_tests/statements.txt");

const START: Position = Position { line: 1, column: 1 };

fn expression(text: &str, mode: SqlMode) -> Result<String, String> {
    let source = Source::new(text, START, mode);
    leaf::expression(&source.tokens, mode, START).map(|e| e.to_string()).map_err(|e| e.to_string())
}

#[test]
fn every_kind_of_expression_is_read() {
    let unread: Vec<String> = EXPRESSIONS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter_map(|line| expression(line, SqlMode::default()).err().map(|why| format!("{line}\n    {why}")))
        .collect();
    assert!(unread.is_empty(), "{}", unread.join("\n"));
}

#[test]
fn every_kind_of_statement_is_read() {
    let unread: Vec<String> = STATEMENTS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter_map(|text| match body(Text { text, position: START, mode: SqlMode::default() }).kind {
            StatementKind::Unread { why, .. } => Some(format!("{text}\n    {why}")),
            _ => None,
        })
        .collect();
    assert!(unread.is_empty(), "{}", unread.join("\n"));
}

#[test]
fn what_is_not_read_is_refused_with_its_place() {
    for (text, column) in [
        ("DATE_SUB(NOW(), INTERVAL 1 DAY_HOUR)", 28),
        ("CHAR(65 USING utf8mb4)", 9),
        ("NEW.a SOUNDS LIKE OLD.a", 7),
        ("NEW.a +", 8),
        ("f(NEW.a", 8),
        ("'abc", 5),
        ("NEW.a b", 7),
        ("", 1),
    ] {
        let source = Source::new(text, START, SqlMode::default());
        let end = source.position(text.len());
        let why = leaf::expression(&source.tokens, SqlMode::default(), end).expect_err(text);
        assert_eq!(why.position, Position { line: 1, column }, "{text}: {why}");
    }
}

#[test]
fn operators_group_as_the_servers_group_them() {
    for (text, grouped) in [
        ("a->'$.x' = b", "a -> '$.x' = b"),
        ("!a = b", "(NOT (a)) = b"),
        ("!(a <=> b)", "(NOT ((a <=> b)))"),
        ("a MOD 2 = 1", "a % 2 = 1"),
        ("MOD(a, 2)", "MOD(a, 2)"),
        ("a && b || c", "a AND b OR c"),
        ("@n := @n + 1", "@n := @n + 1"),
        ("'a' 'b' \"c\"", "'abc'"),
        ("\"it's\"", "'it''s'"),
        ("'it\\'s'", "'it''s'"),
        ("BINARY a = b", "CAST(a AS BINARY) = b"),
        ("TRIM(BOTH FROM a)", "TRIM(BOTH ' ' FROM a)"),
        ("NEXT VALUE FOR a.s", "NEXTVAL(a.s)"),
        ("CAST(a AS CHAR(10) CHARSET utf8mb4)", "CAST(a AS CHAR(10))"),
        ("@`my var`", "@my var"),
    ] {
        assert_eq!(expression(text, SqlMode::default()), Ok(grouped.to_owned()), "{text}");
    }
}

#[test]
fn changes_of_rows_keep_what_matters() {
    for (text, read) in [
        ("UPDATE LOW_PRIORITY IGNORE t SET a = 1", "UPDATE OR IGNORE t SET a = 1"),
        ("UPDATE t, u SET t.a = u.a", "UPDATE t CROSS JOIN u SET t.a = u.a"),
        ("INSERT DELAYED INTO t SET a = 1", "INSERT INTO t SET a = 1"),
        ("INSERT INTO t PARTITION (p0, p1) (a) VALUE (1)", "INSERT INTO t (a) VALUES (1)"),
        ("DELETE QUICK FROM t LIMIT 1", "DELETE FROM t LIMIT 1"),
        ("SELECT a FROM t IGNORE INDEX FOR JOIN (i) WHERE b", "SELECT a FROM t WHERE b"),
    ] {
        match body(Text { text, position: START, mode: SqlMode::default() }).kind {
            StatementKind::Sql(statement) => assert_eq!(statement.to_string(), read, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let ignored = body(Text { text: "DELETE IGNORE FROM t WHERE a", position: START, mode: SqlMode::default() });
    assert!(matches!(ignored.kind, StatementKind::Unread { writes, .. } if writes.len() == 1 && writes[0].name == "t"));
}

#[test]
fn a_tree_shows_what_binds_tighter() {
    use sqlparser::ast::{BinaryOperator as Op, Expr};
    for (text, top) in [
        ("a->'$.x' = b", Op::Eq),
        ("a->>'$.x' + 1", Op::Plus),
        ("a = 1 XOR b = 2", Op::Xor),
        ("a XOR b AND c", Op::Xor),
        ("a OR b XOR c", Op::Or),
        ("a ^ 2 * 3", Op::Multiply),
        ("1 << 2 + 3", Op::PGBitwiseShiftLeft),
        ("a & 1 << 2", Op::BitwiseAnd),
        ("a & 1 = 1", Op::Eq),
        ("@a := b = c", Op::Assignment),
        ("@a := b OR c", Op::Assignment),
        ("!a AND b", Op::And),
        ("a MOD b * c", Op::Multiply),
        ("a + b MOD c", Op::Plus),
        ("a <=> b AND c", Op::And),
        ("a LIKE b = c", Op::Eq),
    ] {
        let source = Source::new(text, START, SqlMode::default());
        match leaf::expression(&source.tokens, SqlMode::default(), START).map(|e| *e) {
            Ok(Expr::BinaryOp { op, .. }) => assert_eq!(op, top, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn the_sql_mode_decides_what_quotes_pipes_and_backslashes_are() {
    let ansi = SqlMode { ansi_quotes: true, ..SqlMode::default() };
    let pipes = SqlMode { pipes_as_concat: true, ..SqlMode::default() };
    let plain = SqlMode { no_backslash_escapes: true, ..SqlMode::default() };
    assert_eq!(expression("\"User\" = 1", SqlMode::default()), Ok("'User' = 1".into()));
    assert_eq!(expression("\"User\" = 1", ansi), Ok("`User` = 1".into()));
    assert_eq!(expression("a || b", SqlMode::default()), Ok("a OR b".into()));
    assert_eq!(expression("a || b", pipes), Ok("a || b".into()));
    assert_eq!(expression("'a\\\\' = b", SqlMode::default()), Ok("'a\\' = b".into()));
    assert_eq!(expression("'a\\' = b", plain), Ok("'a\\' = b".into()));
}

#[test]
fn deep_and_long_expressions_are_refused_and_not_overflown() {
    let mode = SqlMode::default();
    for text in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("1{}", " + 1".repeat(100_000)),
        "- ".repeat(100_000),
        "! ".repeat(100_000),
        "NOT ".repeat(100_000),
        "CASE WHEN ".repeat(50_000),
        "f(".repeat(50_000),
        format!("a{}", " COLLATE b".repeat(50_000)),
        format!("a{}", " IS NULL".repeat(50_000)),
        format!("a{}", "[1]".repeat(50_000)),
        format!("a{}", ".b".repeat(50_000)),
        format!("a{}", " -> '$.a'".repeat(50_000)),
    ] {
        let result = expression(&text, mode);
        assert!(result.is_err() || text.starts_with("a."), "{}..", &text[..20]);
    }
    // flat lists may be long
    let list = vec!["NOT (NEW.a <=> OLD.a)"; 700].join(" OR ");
    assert!(expression(&list, mode).is_ok());
    let list = format!("JSON_ARRAY({})", vec!["NEW.a + 1"; 20_000].join(", "));
    assert!(expression(&list, mode).is_ok());
    let nested = format!("{}NEW.d{}", "JSON_SET(".repeat(60), ", '$.a', 1)".repeat(60));
    assert_eq!(expression(&nested, mode).err(), None);
}
