//! That what MySQL's manual calls an expression or a statement is read, and grouped as the servers group it.

use super::super::ast::{Position, SqlMode, StatementKind};
use super::super::leaf;
use super::super::lexer::Source;
use super::{Text, body};

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

const EXPRESSIONS: &str = r"
    NULL
    CURRENT_TIMESTAMP
    CURRENT_TIMESTAMP(6)
    NOW(6)
    LOCALTIME()
    UTC_TIMESTAMP(6)
    CURDATE() + INTERVAL 1 DAY
    NEW.created_at - INTERVAL 90 MINUTE
    DATE_ADD(NOW(), INTERVAL NEW.days DAY)
    INTERVAL 1 DAY + NOW()
    TIMESTAMPDIFF(SECOND, OLD.a, NEW.a)
    TIMESTAMPADD(MINUTE, 5, NEW.a)
    EXTRACT(YEAR FROM NEW.a)
    DATE_FORMAT(NEW.a, '%Y-%m-%dT%H:%i:%s.%fZ')
    DATE(NEW.a) = CURDATE()
    TIME(NEW.a)
    TIMESTAMP(NEW.a)
    YEAR(NEW.a)
    DATE '2025-01-01'
    TIMESTAMP '2025-01-01 00:00:00'
    USER()
    CURRENT_USER()
    SESSION_USER()
    DATABASE()
    SCHEMA()
    CONNECTION_ID()
    LAST_INSERT_ID()
    ROW_COUNT()
    UUID()
    UUID_TO_BIN(UUID(), 1)
    BIN_TO_UUID(NEW.id)
    UNHEX(REPLACE(UUID(), '-', ''))
    HEX(NEW.id)
    MD5(CONCAT_WS('|', NEW.a, NEW.b))
    SHA2(NEW.a, 256)
    IF(NEW.a IS NULL, 'x', NEW.a)
    IFNULL(NEW.a, 0)
    NULLIF(NEW.a, '')
    COALESCE(NEW.a, OLD.a, 0)
    ELT(2, 'a', 'b')
    FIELD(NEW.s, 'a', 'b')
    FIND_IN_SET('a', NEW.s)
    SUBSTRING_INDEX(NEW.e, '@', -1)
    SUBSTRING(NEW.a FROM 2 FOR 3)
    SUBSTRING(NEW.a, 2)
    SUBSTR(NEW.a, 2, 3)
    MID(NEW.a, 2, 3)
    LEFT(NEW.a, 3)
    RIGHT(NEW.a, 3)
    LOWER(NEW.a)
    UPPER(NEW.a)
    TRIM(NEW.a)
    TRIM(BOTH 'x' FROM NEW.a)
    TRIM(LEADING FROM NEW.a)
    LPAD(NEW.a, 5, '0')
    REPEAT('a', 3)
    REPLACE(NEW.a, 'a', 'b')
    INSERT(NEW.a, 1, 2, 'x')
    POSITION('a' IN NEW.a)
    LOCATE('a', NEW.a)
    INSTR(NEW.a, 'a')
    CHAR_LENGTH(NEW.a)
    CONVERT(NEW.a USING utf8mb4)
    CONVERT(NEW.a, CHAR(10))
    CAST(NEW.a AS CHAR)
    CAST(NEW.a AS CHAR(36))
    CAST(NEW.a AS CHAR CHARACTER SET utf8mb4)
    CAST(NEW.a AS UNSIGNED)
    CAST(NEW.a AS SIGNED INTEGER)
    CAST(NEW.a AS UNSIGNED INTEGER)
    CAST(NEW.a AS SIGNED)
    CAST(NEW.a AS DECIMAL(10,2))
    CAST(NEW.a AS DATE)
    CAST(NEW.a AS DATETIME(6))
    CAST(NEW.a AS JSON)
    CAST(NEW.a AS BINARY(16))
    CAST(NEW.a AS DOUBLE)
    BINARY NEW.a = 'x'
    _utf8mb4'abc'
    _utf8mb4 0x41
    x'41'
    b'1'
    0xFF
    N'abc'
    NEW.a COLLATE utf8mb4_bin = OLD.a
    NEW.a <=> OLD.a
    NOT (NEW.a <=> OLD.a)
    ! (NEW.a <=> OLD.a)
    NEW.a != OLD.a
    NEW.a <> OLD.a
    NEW.a BETWEEN 1 AND 2
    NEW.a NOT BETWEEN 1 AND 2
    NEW.a IN (1, 2)
    NEW.a NOT IN (SELECT id FROM t)
    NEW.a LIKE '%x\_%' ESCAPE '|'
    NEW.a NOT LIKE 'x'
    NEW.a REGEXP '^a'
    NEW.a NOT REGEXP '^a'
    NEW.a RLIKE '^a'
    NEW.a IS TRUE
    NEW.a IS NOT NULL
    NEW.a IS UNKNOWN
    (NEW.a, NEW.b) = (OLD.a, OLD.b)
    ROW(NEW.a, 1) IN ((1, 2), (3, 4))
    EXISTS (SELECT 1 FROM t WHERE t.id = NEW.id LIMIT 1)
    NOT EXISTS (SELECT 1 FROM t)
    (SELECT MAX(v) FROM e WHERE id = NEW.id)
    (SELECT COALESCE(MAX(v), 0) + 1 FROM e WHERE id = NEW.id FOR UPDATE)
    (SELECT v FROM e ORDER BY v DESC LIMIT 1 LOCK IN SHARE MODE)
    (SELECT GROUP_CONCAT(DISTINCT x ORDER BY x DESC SEPARATOR ',') FROM t)
    (SELECT COUNT(*) FROM t USE INDEX (a) WHERE x)
    COUNT(DISTINCT a)
    CASE WHEN NEW.a > 1 THEN 'x' WHEN NEW.a IS NULL THEN 'y' ELSE 'z' END
    CASE NEW.a WHEN 1 THEN 'x' END
    a DIV b
    a MOD b
    a % b
    a XOR b
    a | b & ~c
    a << 1
    -NEW.a
    +1
    1.5e-3
    .5
    @user_id
    @@session.sql_mode
    @@global.read_only
    @@version
    @x := @x + 1
    COALESCE(@user_id, 0)
    JSON_OBJECT('a', NEW.a, 'b', JSON_ARRAY(1, NULL, TRUE))
    JSON_OBJECT()
    JSON_EXTRACT(NEW.d, '$.a')
    JSON_UNQUOTE(NEW.d->'$.a')
    NEW.d->>'$.a.b[0]' = 'x'
    JSON_CONTAINS(NEW.d, '1', '$.a')
    JSON_MERGE_PATCH(NEW.d, '{}')
    JSON_OVERLAPS(a, b)
    17 MEMBER OF('[1, 17]')
    JSON_VALUE(NEW.d, '$.a')
    JSON_ARRAYAGG(x)
    JSON_OBJECTAGG(k, v)
    VALUES(a)
    DEFAULT(a)
    `db`.`f`(NEW.`order`)
    db.f(1)
    MATCH (a) AGAINST ('x' IN BOOLEAN MODE)
    NEXTVAL(s)
    NEXT VALUE FOR s
    LASTVAL(s)
    ROW_NUMBER() OVER (PARTITION BY a ORDER BY b)
    NEW.position
    NEW.`end`
    NEW.order
    NEW.key
    NEW.type
    NEW.status
    NEW.value
    NEW.data
    NEW.date
    NEW.timestamp
    NEW.from
    NEW.group
    NEW.user
    NEW.default
    NEW.left
    NEW.end
    NEW.limit
    NEW.offset
    NEW.year
    NEW.interval
    NEW.set
    NEW.case
    position + 1
    status = 'x'
    type IS NULL
    value > 1
    data->'$.a'
    user = 'x'
    session = 1
    level + 1
    action = 'x'
    names = 1
    GREATEST(1, 2)
    TRUNCATE(NEW.a, 2)
    ROUND(NEW.a, 2)
    FORMAT(NEW.a, 2)
    RAND()
    SLEEP(1)
    GET_LOCK('x', 10)
    RELEASE_LOCK('x')
    UNIX_TIMESTAMP(NEW.a)
    FROM_UNIXTIME(NEW.a)
    STR_TO_DATE('x', '%Y')
    WEEKDAY(NEW.a)
    CONCAT('a', NEW.b, ' -> ', NEW.c)
    COUNT (*)
    'it''s'
    a.b.c
    \N
";

const STATEMENTS: &str = r"
    INSERT INTO t (a, b) VALUES (NEW.a, 1)
    INSERT t VALUES (1, 2)
    INSERT INTO t () VALUES ()
    INSERT INTO t VALUE (1)
    INSERT INTO t (a) VALUE (1)
    INSERT IGNORE INTO t (a) VALUES (1), (2)
    INSERT LOW_PRIORITY INTO t SET a = 1, b = NEW.b
    INSERT HIGH_PRIORITY IGNORE INTO t SET a = 1
    INSERT DELAYED INTO t SET a = 1
    INSERT INTO db.t SET `a` = 1, t.b = 2
    INSERT INTO t (a) SELECT a FROM u WHERE id = NEW.id
    INSERT INTO t (a) (SELECT a FROM u)
    INSERT INTO t SELECT 1, MAX(v) + 1 FROM e FOR UPDATE
    INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a) + 1, b = b + 1
    INSERT INTO t (a) VALUES (1) AS new ON DUPLICATE KEY UPDATE a = new.a
    INSERT INTO t (a) VALUES (1) AS new(m) ON DUPLICATE KEY UPDATE a = m
    INSERT INTO t SET a = 1 ON DUPLICATE KEY UPDATE a = 2
    INSERT INTO t (a) VALUES (DEFAULT)
    INSERT INTO t (a) VALUES (1) RETURNING id
    INSERT INTO t PARTITION (p0) (a) VALUES (1)
    INSERT INTO t (a) WITH c AS (SELECT 1) SELECT * FROM c
    INSERT INTO t (a) VALUES ROW(1), ROW(2)
    INSERT INTO t TABLE u
    REPLACE INTO t (a) VALUES (1)
    REPLACE t SET a = 1
    REPLACE DELAYED INTO t (a) SELECT 1
    UPDATE t SET a = 1 WHERE id = NEW.id
    UPDATE t SET t.a = t.a + 1, b = DEFAULT ORDER BY id LIMIT 1
    UPDATE LOW_PRIORITY t SET a = 1
    UPDATE IGNORE t SET a = 1
    UPDATE LOW_PRIORITY IGNORE t SET a = 1
    UPDATE t AS x JOIN u AS y ON x.id = y.id SET x.a = y.a WHERE y.b
    UPDATE t, u SET t.a = u.a WHERE t.id = u.id
    DELETE FROM t WHERE id = OLD.id
    DELETE FROM t ORDER BY id LIMIT 1
    DELETE QUICK FROM t
    DELETE t FROM t JOIN u ON t.id = u.id
    DELETE FROM t USING t JOIN u ON t.id = u.id
    SELECT 1
    SELECT a INTO x FROM t WHERE id = 1
    SELECT a, b FROM t WHERE id = 1 LIMIT 1 INTO x, @y
    SELECT a INTO x FROM t FOR UPDATE
    SELECT a FROM t FOR UPDATE INTO x
    SELECT COALESCE(MAX(v), 0) + 1 INTO x FROM e WHERE k = 'a' LOCK IN SHARE MODE
    SELECT SQL_NO_CACHE a INTO x FROM t
    SELECT HIGH_PRIORITY a INTO x FROM t
    WITH c AS (SELECT 1 AS a) SELECT a INTO x FROM c
    SELECT 1 UNION SELECT 2 INTO x
    SELECT EXISTS (SELECT 1 FROM t) INTO x
    SELECT a INTO x FROM t USE INDEX FOR ORDER BY (i) ORDER BY a
    SELECT a INTO x FROM t PARTITION (p0)
    SELECT a INTO x FROM t FOR UPDATE SKIP LOCKED
    SELECT a INTO x FROM t FOR UPDATE WAIT 5
    SELECT a INTO x FROM t FOR SHARE NOWAIT
    SELECT a INTO x FROM JSON_TABLE(NEW.d, '$[*]' COLUMNS (a INT PATH '$.a')) AS j
    SELECT a FROM t GROUP BY a WITH ROLLUP HAVING COUNT(*) > 1
    SELECT a INTO x FROM t STRAIGHT_JOIN u
    SET x = 1
    SET @a = 1, @b := 2, NEW.c = 3
    SET SESSION sql_mode = ''
    SET @@session.time_zone = '+00:00', GLOBAL x = ON
    SET NEW.version = OLD.version + 1
    SET @x = (SELECT MAX(v) FROM e)
    SET sql_log_bin = OFF
    SET x = DEFAULT
    SET names = 1
    CALL p()
    CALL p
    CALL db.p(NEW.id, 'a,b', (SELECT 1), @out)
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 1644
    SIGNAL SQLSTATE VALUE '45000'
    SIGNAL my_condition
    RESIGNAL
    RESIGNAL SET MESSAGE_TEXT = 'x'
    RESIGNAL SQLSTATE '45000'
    GET DIAGNOSTICS @n = NUMBER, rc = ROW_COUNT
    GET CURRENT DIAGNOSTICS CONDITION 1 @s = RETURNED_SQLSTATE, m = MESSAGE_TEXT
    GET STACKED DIAGNOSTICS CONDITION n m = MYSQL_ERRNO
    OPEN c
    OPEN c(1, NEW.a)
    FETCH c INTO a, b
    FETCH NEXT FROM c INTO a
    FETCH FROM c INTO a
    CLOSE c
    DO SLEEP(1), @a := 1
    PREPARE s FROM 'SELECT 1'
    PREPARE s FROM @sql
    EXECUTE s
    EXECUTE s USING @a, @b
    EXECUTE IMMEDIATE CONCAT('a', 'b') USING 1
    DEALLOCATE PREPARE s
    DROP PREPARE s
    START TRANSACTION
    COMMIT
    ROLLBACK TO SAVEPOINT a
    SAVEPOINT a
    TRUNCATE TABLE t
    CREATE TEMPORARY TABLE IF NOT EXISTS tmp (a INT)
    CREATE TEMPORARY TABLE t1 (SELECT a FROM b)
    DROP TEMPORARY TABLE IF EXISTS tmp
    LEAVE a
    ITERATE a
    RETURN a + 1
    BEGIN END
    a: BEGIN END a
    BEGIN NOT ATOMIC SELECT 1; END
    IF a THEN SELECT 1; ELSEIF b THEN SELECT 2; ELSE SELECT 3; END IF
    IF (a) THEN SELECT 1; END IF
    CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE
    CASE WHEN CASE WHEN a THEN 1 ELSE 0 END THEN SELECT 1; END CASE
    l: LOOP LEAVE l; END LOOP l
    WHILE a < 3 DO SET a = a + 1; END WHILE
    l: REPEAT SET a = a + 1; UNTIL a > 3 END REPEAT l
    FOR i IN 1..10 DO SELECT i; END FOR
    FOR i IN REVERSE a .. b + 1 DO SELECT i; END FOR
    FOR r IN (SELECT a FROM t) DO INSERT INTO u VALUES (r.a); END FOR
    FOR r IN c(1) DO SELECT r.a; END FOR
    IF !a THEN SET @x = 'END IF; --'; END IF
";
