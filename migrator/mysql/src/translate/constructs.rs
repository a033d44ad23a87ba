//! MySQL's constructs by example. The table of docs/from-mysql.md is what translation says of these, and the tests run every expression
//! on MariaDB and its translation on PostgreSQL: neither can say other than the code does.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Translator;
use super::context::{Flavor, Known};
use super::notes::{Fidelity, Note};
use super::program;
use super::value::{Sql, Ty};
use crate::ast::{Expression, Position, SqlMode, StatementKind};
use crate::dump::Session;
use crate::parser::{self, Text};
use crate::schema::Schema;

/// The table that the examples speak of, in MySQL's words.
pub const TABLES: &[&str] = &[
    "create table t (id int not null primary key, n int, m int, big bigint unsigned, d decimal(10,2), f double,
  s varchar(50), s2 varchar(50), cs varchar(50) collate utf8mb4_bin, flag tinyint(1), dt datetime, dt6 datetime(6), day date,
  tm time, j json, bin binary(16), u char(36), kind enum('a','b')) default charset=utf8mb4 collate=utf8mb4_general_ci",
    "create table log (id bigint not null auto_increment primary key, what varchar(50), version bigint, data json, at datetime,
  actor varchar(50), n int, unique key what (what))",
];

/// An expression, under the name of the construct that it shows.
pub struct Example {
    /// The construct.
    pub name: &'static str,
    /// The expression, over the row NEW of table t.
    pub text: &'static str,
}

macro_rules! examples {
    ($($name:literal: $($text:literal),+;)*) => {
        /// Expressions.
        pub const EXPRESSIONS: &[Example] = &[$($(Example { name: $name, text: $text }),+),*];
    };
}

examples! {
    "a != b": "NEW.n != NEW.m", "NEW.s <> NEW.s2", "NEW.dt <> NEW.dt6";
    "a <=> b": "NEW.n <=> NEW.m", "NOT (NEW.s <=> NEW.s2)", "NEW.s <=> NULL";
    "a = 'text'": "NEW.s = 'ABC'", "NEW.cs = 'ABC'", "NEW.s IN ('abc', 'Def', '1')", "NEW.kind = 'a'";
    "text beside a number": "NEW.s + 1", "NEW.s = 12", "NEW.s2 * 2.5", "CONCAT(NEW.n, NEW.d)";
    "conditions as numbers": "(NEW.n = NEW.m) + 1", "IF(NEW.n > NEW.m, 1, 0)", "NEW.flag", "NOT NEW.flag", "NEW.flag AND NEW.n", "NEW.flag = 1";
    "BETWEEN, LIKE": "NEW.n BETWEEN 1 AND 5", "NEW.s LIKE 'ab%'", "NEW.s NOT LIKE '%C'", "NEW.cs LIKE 'ab%'";
    "REGEXP": "NEW.s REGEXP '^[a-c]+$'";
    "XOR, ||, &&": "NEW.flag XOR NEW.n", "NEW.n || NEW.m", "NEW.n && NEW.m";
    "+ - *": "NEW.n + NEW.m * 2", "NEW.d - 1", "-NEW.n", "2147483647 + NEW.n";
    "- of UNSIGNED": "NEW.big + 5 - NEW.m";
    "ENUM as a number": "NEW.kind + 0";
    "/": "NEW.n / NEW.m", "NEW.d / 3", "7 / 2", "NEW.f / 4";
    "DIV, %, MOD": "NEW.n DIV NEW.m", "NEW.n % NEW.m", "NEW.n MOD 3", "MOD(NEW.n, 4)", "7 DIV 2";
    "& | ^ << >>": "NEW.m & 6", "NEW.m | 8", "NEW.m ^ 5", "NEW.m << 2", "NEW.m >> 1";
    "~": "~NEW.n";
    "JSON_OBJECT": "JSON_OBJECT('n', NEW.n, 's', NEW.s, 'f', NEW.flag, 'd', NEW.d, 'j', NEW.j)", "JSON_OBJECT('at', NEW.dt, 'at6', NEW.dt6, 'day', NEW.day, 'tm', NEW.tm)", "JSON_OBJECT()", "JSON_OBJECT('t', TRUE, 'x', NULL, 'c', NEW.n > NEW.m, 'i', NEW.s IS NULL)";
    "JSON_ARRAY": "JSON_ARRAY(NEW.n, NEW.s, NULL)", "JSON_ARRAY(CASE WHEN NEW.n != NEW.m THEN 'n' END, IF(NEW.s <> NEW.s2, 's', NULL))", "JSON_ARRAY()";
    "JSON_SET": "JSON_SET(NEW.j, '$.a', 5)", "JSON_SET(NEW.j, '$.new', NEW.s)", "JSON_SET(JSON_OBJECT(), CONCAT('$.', 'k'), NEW.n)", "JSON_SET(NEW.j, '$.a', 1, '$.b', NULL)";
    "JSON_INSERT": "JSON_INSERT(NEW.j, '$.a', 5)", "JSON_INSERT(NEW.j, '$.zz', 5)";
    "JSON_REPLACE": "JSON_REPLACE(NEW.j, '$.a', 5)", "JSON_REPLACE(NEW.j, '$.zz', 5)";
    "JSON_REMOVE": "JSON_REMOVE(NEW.j, '$.a')", "JSON_REMOVE(NEW.j, '$.zz')";
    "JSON_ARRAY_APPEND": "JSON_ARRAY_APPEND(JSON_ARRAY(1), '$', NEW.n)", "JSON_ARRAY_APPEND(NEW.j, '$.l', 9)";
    "JSON_MERGE_PATCH": "JSON_MERGE_PATCH(NEW.j, JSON_OBJECT('a', NULL, 'q', 1))", "JSON_MERGE_PATCH(NEW.j, '{\"o\": {\"x\": 2}}')";
    "JSON_MERGE_PRESERVE": "JSON_MERGE_PRESERVE(NEW.j, JSON_OBJECT('a', 3))";
    "JSON_LENGTH": "JSON_LENGTH(NEW.j)", "JSON_LENGTH(JSON_ARRAY(1, 2))", "JSON_LENGTH(NEW.j, '$.l')";
    "JSON_KEYS": "JSON_KEYS(NEW.j)", "JSON_KEYS(JSON_OBJECT())";
    "JSON_CONTAINS": "JSON_CONTAINS(NEW.j, '1', '$.a')", "JSON_CONTAINS(JSON_ARRAY(1, 2), '2')", "JSON_CONTAINS_PATH(NEW.j, 'one', '$.a', '$.zz')";
    "JSON_EXTRACT": "JSON_EXTRACT(NEW.j, '$.a')", "JSON_EXTRACT(NEW.j, '$.l[1]')", "JSON_EXTRACT(NEW.j, '$.s') = 'Text'", "JSON_EXTRACT(NEW.j, '$.a') > 0", "JSON_EXTRACT(NEW.j, '$.o.x') IS NULL";
    "JSON_UNQUOTE, ->>": "JSON_UNQUOTE(JSON_EXTRACT(NEW.j, '$.s'))", "JSON_UNQUOTE(JSON_EXTRACT(NEW.j, '$.l'))";
    "JSON_VALUE": "JSON_VALUE(NEW.j, '$.a')", "JSON_VALUE(NEW.j, '$.s')";
    "JSON_VALID": "JSON_VALID(NEW.s)", "JSON_VALID('{}')", "JSON_VALID(NEW.j)";
    "JSON_QUOTE": "JSON_QUOTE(NEW.s)";
    "JSON_TYPE": "JSON_TYPE(NEW.j)", "JSON_TYPE(JSON_EXTRACT(NEW.j, '$.a'))";
    "JSON_SEARCH": "JSON_SEARCH(NEW.j, 'one', 'x')";
    "CONCAT": "CONCAT(NEW.s, '-', NEW.s2)", "CONCAT('id:', NEW.id)", "CONCAT(NEW.s, NULL)", "CONCAT(NEW.dt, '')";
    "CONCAT_WS": "CONCAT_WS('-', NEW.s, NEW.s2, 'x')", "CONCAT_WS(NULL, 'a', 'b')";
    "CAST AS CHAR": "CAST(NEW.n AS CHAR)", "CAST(NEW.s AS CHAR(2))", "CAST(NEW.dt AS CHAR)", "CAST(NEW.flag AS CHAR)", "CONVERT(NEW.n, CHAR)", "CONVERT(NEW.s USING utf8mb4)";
    "CAST AS SIGNED": "CAST(NEW.s AS SIGNED)", "CAST(NEW.d AS SIGNED)", "CAST('12abc' AS SIGNED)";
    "CAST AS UNSIGNED": "CAST(NEW.s2 AS UNSIGNED)";
    "CAST AS DECIMAL": "CAST(NEW.s AS DECIMAL(10,2))", "CAST(NEW.n AS DECIMAL(10,1))";
    "CAST AS DATE, DATETIME": "CAST(NEW.dt AS DATE)", "CAST('2024-02-29 10:11:12' AS DATETIME)", "CAST(NEW.day AS DATETIME)";
    "DATE_FORMAT": "DATE_FORMAT(NEW.dt, '%Y-%m-%dT%H:%i:%sZ')", "DATE_FORMAT(NEW.dt6, '%H:%i:%s.%f')", "DATE_FORMAT(NEW.dt, '%e %M %y, day %j')", "DATE_FORMAT(NEW.day, '%d.%m.%Y 100%%')", "DATE_FORMAT(NEW.dt, '%h:%i %p')";
    "IF, IFNULL, NULLIF, COALESCE": "IF(NEW.n IS NULL, 'none', NEW.n)", "IFNULL(NEW.s, 'none')", "IFNULL(NEW.n, 'x')", "NULLIF(NEW.n, NEW.m)", "NULLIF(NEW.s, 'ABC')", "COALESCE(NEW.s, NEW.s2, '-')", "ISNULL(NEW.s)";
    "CASE": "CASE NEW.n WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END", "CASE WHEN NEW.s = 'abc' THEN 1 WHEN NEW.flag THEN 2 END";
    "ELT, FIELD": "ELT(NEW.n, 'a', 'b', 'c')", "FIELD(NEW.s, 'x', 'ABC')", "FIELD(NEW.n, 5, 1)";
    "FIND_IN_SET": "FIND_IN_SET('ABC', 'x,abc,y')", "FIND_IN_SET(NEW.s, NEW.s2)";
    "SUBSTRING_INDEX": "SUBSTRING_INDEX(NEW.s2, '-', 1)", "SUBSTRING_INDEX(NEW.s2, '-', -1)", "SUBSTRING_INDEX(NEW.s2, '-', 2)", "SUBSTRING_INDEX(NEW.s2, '-', -2)";
    "SUBSTRING, LEFT, RIGHT": "SUBSTRING(NEW.s, 2)", "SUBSTRING(NEW.s, 2, 1)", "SUBSTR(NEW.s2, -3)", "SUBSTRING(NEW.s, NEW.m, 2)", "SUBSTRING(NEW.s FROM 0 FOR 3)", "LEFT(NEW.s, 2)", "RIGHT(NEW.s2, 3)", "LEFT(NEW.s, NEW.n)", "MID(NEW.s, 1, 2)";
    "LPAD, RPAD, REPEAT": "LPAD(NEW.n, 5, '0')", "RPAD(NEW.s, 6, '*')", "LPAD(NEW.s2, 2, 'x')", "REPEAT(NEW.s, 2)", "SPACE(3)";
    "LOCATE, INSTR, POSITION": "LOCATE('B', NEW.s)", "INSTR(NEW.s, 'c')", "LOCATE('-', NEW.s2, 3)", "POSITION('b' IN NEW.s)", "LOCATE('B', NEW.cs)";
    "REPLACE, TRIM, UPPER": "REPLACE(NEW.s2, '-', '/')", "TRIM(CONCAT('  ', NEW.s, ' '))", "TRIM(LEADING '0' FROM '0012')", "UPPER(NEW.s)", "LCASE(NEW.s)", "LTRIM('  a ')", "REVERSE(NEW.s)";
    "INSERT(text, ..)": "INSERT(NEW.s2, 2, 1, 'XX')";
    "LENGTH, CHAR_LENGTH": "LENGTH('äé')", "CHAR_LENGTH('äé')", "LENGTH(NEW.s)", "LENGTH(NEW.bin)";
    "GREATEST, LEAST": "GREATEST(NEW.n, NEW.m)", "LEAST(NEW.n, 3)", "GREATEST(NEW.d, 5)";
    "ROUND, TRUNCATE, FLOOR": "ROUND(NEW.d)", "ROUND(NEW.d, 1)", "ROUND(2.5)", "ROUND(NEW.n, 1)", "TRUNCATE(NEW.d, 1)", "FLOOR(NEW.d)", "CEIL(NEW.d)", "ABS(NEW.n)", "SIGN(NEW.d)", "ROUND(NEW.d / 3, 2)";
    "ROUND of a floating number": "ROUND(NEW.f, 1)";
    "POW, SQRT": "POW(NEW.m, 2)", "SQRT(16)";
    "FORMAT": "FORMAT(12345.678, 2)", "FORMAT(NEW.n, 0)";
    "HEX, UNHEX": "HEX(NEW.n)", "HEX(NEW.s)", "HEX(NEW.bin)", "UNHEX('0aff')";
    "MD5, SHA2": "MD5(NEW.s)", "SHA2(NEW.s, 256)", "SHA2('x', 512)";
    "TO_BASE64, FROM_BASE64": "TO_BASE64(NEW.s)";
    "SHA1": "SHA1(NEW.s)";
    "UUID()": "CHAR_LENGTH(UUID())";
    "UUID_TO_BIN, BIN_TO_UUID": "UUID_TO_BIN(NEW.u)", "UUID_TO_BIN(NEW.u, 1)", "BIN_TO_UUID(NEW.bin)", "BIN_TO_UUID(NEW.bin, 1)";
    "UUID_SHORT()": "UUID_SHORT()";
    "NOW, SYSDATE, UTC_TIMESTAMP": "CHAR_LENGTH(NOW())", "CHAR_LENGTH(NOW(3))", "CHAR_LENGTH(NOW(6))", "CHAR_LENGTH(SYSDATE(2))", "TIMESTAMPDIFF(SECOND, NOW(), SYSDATE()) < 3", "TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()) < 3", "CHAR_LENGTH(CURTIME())", "DATEDIFF(CURDATE(), NOW())";
    "UNIX_TIMESTAMP, FROM_UNIXTIME": "UNIX_TIMESTAMP(NEW.dt)", "FROM_UNIXTIME(1700000000)", "ABS(UNIX_TIMESTAMP() - UNIX_TIMESTAMP(NOW())) < 3";
    "DATE_ADD, + INTERVAL": "DATE_ADD(NEW.dt, INTERVAL 1 DAY)", "NEW.dt + INTERVAL NEW.n HOUR", "DATE_SUB(NEW.day, INTERVAL 1 MONTH)", "NEW.day + INTERVAL 2 HOUR", "DATE_ADD('2024-01-31', INTERVAL 1 MONTH)", "ADDDATE(NEW.day, 3)", "TIMESTAMPADD(MINUTE, 5, NEW.dt)";
    "DATEDIFF, TIMESTAMPDIFF": "DATEDIFF(NEW.dt, '2024-01-01')", "TIMESTAMPDIFF(MINUTE, '2024-01-01', NEW.dt)", "TIMESTAMPDIFF(MONTH, '2023-01-15', NEW.dt)", "TIMESTAMPDIFF(YEAR, NEW.day, '2030-01-01')", "TIMESTAMPDIFF(DAY, NEW.dt, NEW.dt6)";
    "YEAR, MONTH, EXTRACT ..": "YEAR(NEW.dt)", "MONTH(NEW.day)", "DAYOFWEEK(NEW.day)", "WEEKDAY(NEW.day)", "EXTRACT(HOUR FROM NEW.dt)", "SECOND(NEW.dt6)", "MICROSECOND(NEW.dt6)", "QUARTER(NEW.dt)", "DAYOFYEAR(NEW.dt)", "DATE(NEW.dt)", "TIME(NEW.dt)", "LAST_DAY(NEW.day)", "DAYNAME(NEW.day)";
    "STR_TO_DATE": "STR_TO_DATE('2024-03-05 06:07:08', '%Y-%m-%d %H:%i:%s')", "STR_TO_DATE('05.03.2024', '%d.%m.%Y')";
    "WEEK, TIMEDIFF, SEC_TO_TIME ..": "WEEK(NEW.day)", "TIMEDIFF(NEW.dt, NEW.dt6)", "SEC_TO_TIME(5)";
    "USER(), SESSION_USER()": "SUBSTRING_INDEX(USER(), '@', 1) IS NOT NULL", "SESSION_USER() IS NOT NULL";
    "CURRENT_USER()": "CURRENT_USER() LIKE '%@%'";
    "CONNECTION_ID()": "CONNECTION_ID() > 0";
    "DATABASE()": "DATABASE() IS NOT NULL";
    "@@hostname": "@@hostname IS NOT NULL";
    "@session": "@actor IS NULL", "IFNULL(@actor, 'nobody')";
    "LAST_INSERT_ID()": "LAST_INSERT_ID()";
    "FOUND_ROWS()": "FOUND_ROWS()";
    "GET_LOCK()": "GET_LOCK('x', 1)";
    "queries in expressions": "(SELECT COUNT(*) FROM t x WHERE x.n = NEW.n)", "(SELECT MAX(x.id) FROM t x)", "EXISTS (SELECT 1 FROM t x WHERE x.id = NEW.id + 1)", "NEW.id IN (SELECT x.id FROM t x WHERE x.flag)", "(SELECT x.s FROM t x WHERE x.s IS NOT NULL ORDER BY x.n DESC, x.id LIMIT 1)";
    "GROUP_CONCAT": "(SELECT GROUP_CONCAT(x.id ORDER BY x.id DESC SEPARATOR ';') FROM t x)";
    "JSON_ARRAYAGG": "(SELECT JSON_ARRAYAGG(x.n) FROM t x WHERE x.id = 2)";
}

/// A trigger's body on table t, under the name of the construct that it shows.
pub const STATEMENTS: &[(&str, &str)] = &[
    (
        "DECLARE, SET, IF, ELSEIF",
        "BEGIN DECLARE v INT DEFAULT 1; SET v = v + NEW.n; IF v > 3 THEN INSERT INTO log (what) VALUES ('big'); ELSEIF v > 1 THEN INSERT INTO log (what) VALUES ('mid'); END IF; END",
    ),
    (
        "CASE statement",
        "BEGIN CASE NEW.n WHEN 1 THEN INSERT INTO log (what) VALUES ('one'); ELSE BEGIN END; END CASE; END",
    ),
    (
        "LOOP, WHILE, REPEAT, labels",
        "BEGIN DECLARE i INT DEFAULT 0; w: WHILE i < 3 DO SET i = i + 1; IF i = 2 THEN ITERATE w; END IF; INSERT INTO log (version) VALUES (i); END WHILE; REPEAT SET i = i - 1; UNTIL i = 0 END REPEAT; l: LOOP LEAVE l; END LOOP; END",
    ),
    ("LEAVE of the body", "b: BEGIN IF NEW.n IS NULL THEN LEAVE b; END IF; INSERT INTO log (what) VALUES ('x'); END"),
    (
        "SELECT .. INTO",
        "BEGIN DECLARE v BIGINT; SELECT MAX(version) INTO v FROM log; INSERT INTO log (version) VALUES (v + 1); END",
    ),
    (
        "cursors, CONTINUE HANDLER FOR NOT FOUND",
        "BEGIN DECLARE done INT DEFAULT FALSE; DECLARE w VARCHAR(50); DECLARE c CURSOR FOR SELECT what FROM log; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE; OPEN c; r: LOOP FETCH c INTO w; IF done THEN LEAVE r; END IF; UPDATE log SET version = version + 1 WHERE what = w; END LOOP; CLOSE c; END",
    ),
    (
        "EXIT HANDLER FOR SQLEXCEPTION",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN INSERT INTO log (what) VALUES ('failed'); END; INSERT INTO log (what) VALUES (NEW.s); END",
    ),
    (
        "CONTINUE HANDLER FOR SQLEXCEPTION",
        "BEGIN DECLARE CONTINUE HANDLER FOR 1062 BEGIN END; INSERT INTO log (what) VALUES (NEW.s); INSERT INTO log (what) VALUES ('after'); END",
    ),
    ("SIGNAL", "BEGIN IF NEW.n < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'negative'; END IF; END"),
    ("INSERT .. SET", "INSERT INTO log SET what = NEW.s, version = 1"),
    ("INSERT .. SELECT", "INSERT INTO log (what, version) SELECT NEW.s, COALESCE(MAX(version), 0) + 1 FROM log"),
    ("INSERT IGNORE", "INSERT IGNORE INTO log (what) VALUES (NEW.s)"),
    (
        "ON DUPLICATE KEY UPDATE",
        "INSERT INTO log (what, n) VALUES (NEW.s, 1) ON DUPLICATE KEY UPDATE n = n + VALUES(n)",
    ),
    ("REPLACE", "REPLACE INTO log (what, n) VALUES (NEW.s, NEW.n)"),
    ("UPDATE, DELETE", "BEGIN UPDATE log SET n = n + 1 WHERE what = NEW.s; DELETE FROM log WHERE n > 100; END"),
    ("UPDATE .. LIMIT", "UPDATE log SET n = 1 ORDER BY id LIMIT 1"),
    (
        "ROW_COUNT()",
        "BEGIN UPDATE log SET n = 1 WHERE what = NEW.s; IF ROW_COUNT() = 0 THEN INSERT INTO log (what, n) VALUES (NEW.s, 1); END IF; END",
    ),
    (
        "@x assigned and read in one program",
        "BEGIN SET @v = (SELECT COALESCE(MAX(version), 0) + 1 FROM log); INSERT INTO log (version) VALUES (@v); END",
    ),
    ("@x set by the application", "INSERT INTO log (what, actor) VALUES (NEW.s, @user_id)"),
    ("PREPARE, EXECUTE", "BEGIN PREPARE p FROM 'insert into log (what) values (1)'; EXECUTE p; END"),
    ("COMMIT", "BEGIN COMMIT; END"),
];

/// Where a translation of an expression stands.
#[derive(Debug, Clone)]
pub struct Shown {
    /// PostgreSQL's expression.
    pub sql: String,
    /// The same as the text that MySQL's client shows; bytes as hexadecimal digits.
    pub shown: String,
    /// What it is.
    pub ty: Ty,
    /// What was said.
    pub notes: Vec<Note>,
    /// Functions that it needs.
    pub helpers: Vec<super::helpers::Helper>,
}

/// The world of the examples.
pub fn known(flavor: Flavor) -> Known {
    let mut schema = Schema::default();
    for table in TABLES {
        schema.take(table, 1, &Session::default());
    }
    Known::new("public", flavor, &schema.tables)
}

/// An expression over the row NEW of table t.
pub fn expression(known: &Known, text: &str) -> Result<Shown, String> {
    let whole = format!("DO {text}");
    let body = parser::body(Text { text: &whole, position: Position { line: 1, column: 1 }, mode: SqlMode::default() });
    let StatementKind::Do(values) = body.kind else { return Err(format!("not read: {:?}", body.kind)) };
    let [Expression { tree: Ok(tree), .. }] = values.as_slice() else { return Err(format!("not read: {values:?}")) };
    let mut t = Translator::new(known);
    t.row = known.table("t");
    let value = t.expr(tree);
    let notes = t.notes.clone();
    let shown = match value.ty {
        Ty::Bytes => format!("upper(encode({}, 'hex'))", value.text),
        Ty::Json | Ty::Decimal(_) => value.cast("text", Ty::Text).text,
        _ => {
            let text: Sql = t.text(&value);
            text.text
        }
    };
    Ok(Shown { sql: value.text, shown, ty: value.ty, notes, helpers: t.helpers.into_iter().collect() })
}

/// A trigger AFTER UPDATE ON t with this body.
pub fn trigger(known: &Known, body: &str) -> Result<program::Translated, String> {
    let text = format!("CREATE TRIGGER example AFTER UPDATE ON t FOR EACH ROW {body}");
    let text = Text { text: &text, position: Position { line: 1, column: 1 }, mode: SqlMode::default() };
    let parsed = parser::program(text).ok_or("no program")?.map_err(|bad| format!("{bad:?}"))?;
    program::translate(&parsed, known, "example", "example").ok_or_else(|| "not translated".into())
}

/// The table of docs/from-mysql.md.
pub fn table() -> Result<String, String> {
    let known = known(Flavor::MySql);
    let mut order: Vec<&str> = vec![];
    let mut of: BTreeMap<&str, Vec<Note>> = BTreeMap::new();
    for example in EXPRESSIONS {
        let shown = expression(&known, example.text).map_err(|why| format!("{}: {why}", example.text))?;
        if !order.contains(&example.name) {
            order.push(example.name);
        }
        of.entry(example.name).or_default().extend(shown.notes);
    }
    for (name, body) in STATEMENTS {
        let made = trigger(&known, body).map_err(|why| format!("{body}: {why}"))?;
        order.push(name);
        // every trigger is declared to run as somebody else
        of.entry(name).or_default().extend(made.notes.into_iter().filter(|n| n.construct != "DEFINER"));
    }
    let fidelity = |name: &str| of[name].iter().map(|n| n.fidelity).max().unwrap_or(Fidelity::Kept);
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    let kept: Vec<String> = order.iter().filter(|n| fidelity(n) == Fidelity::Kept).map(|n| code(n)).collect();
    let mut out = format!("| construct | | what is different |\n|---|---|---|\n| {} | kept | |\n", kept.join(" · "));
    for wanted in [Fidelity::Declared, Fidelity::Refused] {
        for name in order.iter().filter(|n| fidelity(n) == wanted) {
            let mut texts: Vec<String> = vec![];
            for note in of[name].iter().filter(|n| n.fidelity == wanted) {
                if !texts.contains(&note.text) {
                    texts.push(note.text.clone());
                }
            }
            let _ = writeln!(out, "| {} | {} | {} |", code(name), wanted.name(), texts.join("; ").replace('|', "\\|"));
        }
    }
    Ok(out)
}
