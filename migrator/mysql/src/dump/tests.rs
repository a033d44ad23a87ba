//! Scripts of every tool, whole and in pieces.

use std::io::Read;

use proptest::prelude::*;

use super::*;

/// A reader that gives its bytes in pieces of given sizes.
struct Chunks<'a> {
    bytes: &'a [u8],
    sizes: Vec<usize>,
    turn: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let size = if self.sizes.is_empty() { usize::MAX } else { self.sizes[self.turn % self.sizes.len()].max(1) };
        self.turn += 1;
        let count = size.min(into.len()).min(self.bytes.len());
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fn read(text: &[u8], sizes: &[usize]) -> Vec<Piece> {
    let mut dump = Dump::new(Chunks { bytes: text, sizes: sizes.to_vec(), turn: 0 });
    let mut pieces = vec![];
    while let Some(piece) = dump.piece().expect("memory does not fail") {
        pieces.push(piece);
    }
    pieces
}

/// Texts with blanks folded, and `line: text` of problems.
fn texts(script: &str) -> Vec<String> {
    read(script.as_bytes(), &[]).iter().map(text).collect()
}

fn text(piece: &Piece) -> String {
    match piece {
        Piece::Statement(s) => folded(&s.text),
        Piece::Insert(i) => format!("INSERT {}", i.table),
        Piece::Problem(p) => format!("! {}: {}", p.line, p.reason),
    }
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn mysqldump_with_a_trigger() {
    let script = "\
/*M!999999\\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB
--
/*!40101 SET NAMES utf8mb4 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
DROP TABLE IF EXISTS `users`;
CREATE TABLE `users` (
  `id` int(11) NOT NULL COMMENT 'it''s; a -- \"key\"',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
LOCK TABLES `users` WRITE;
/*!40000 ALTER TABLE `users` DISABLE KEYS */;
INSERT INTO `users` VALUES
(1);
/*!40000 ALTER TABLE `users` ENABLE KEYS */;
UNLOCK TABLES;
/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;
/*!50003 SET sql_mode              = 'ANSI_QUOTES' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER log_user AFTER UPDATE ON users FOR EACH ROW
BEGIN
  -- don't; end here
  INSERT INTO log VALUES (';;', 1);
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;
-- Dump completed
";
    let got = texts(script);
    assert_eq!(
        got,
        [
            "SET NAMES utf8mb4",
            "SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'",
            "DROP TABLE IF EXISTS `users`",
            "CREATE TABLE `users` ( `id` int(11) NOT NULL COMMENT 'it''s; a -- \"key\"', PRIMARY KEY (`id`) ) ENGINE=InnoDB",
            "LOCK TABLES `users` WRITE",
            "ALTER TABLE `users` DISABLE KEYS",
            "INSERT users",
            "ALTER TABLE `users` ENABLE KEYS",
            "UNLOCK TABLES",
            "SET @saved_sql_mode = @@sql_mode",
            "SET sql_mode = 'ANSI_QUOTES'",
            "CREATE DEFINER=`root`@`localhost` TRIGGER log_user AFTER UPDATE ON users FOR EACH ROW BEGIN -- don't; end here \
             INSERT INTO log VALUES (';;', 1); END",
            "SET sql_mode = @saved_sql_mode",
        ]
    );
    let pieces = read(script.as_bytes(), &[]);
    let Some(Piece::Statement(trigger)) = pieces.get(11) else { panic!("no trigger") };
    assert_eq!((trigger.line, trigger.session.mode().ansi_quotes), (20, true));
    // positions are those of the file
    let place = trigger.text.find("TRIGGER").expect("the word");
    assert_eq!(
        trigger.column as usize - 1 + place,
        script.lines().nth(19).expect("line 20").find("TRIGGER").expect("there")
    );
    let Some(Piece::Statement(last)) = pieces.last() else { panic!("no statement") };
    assert!(last.session.mode().ansi_quotes, "a statement carries the settings before it");
}

const BODY: &str = "CREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW
BEGIN
  DECLARE v INT DEFAULT CASE WHEN NEW.a = 1 THEN IF(NEW.b, 1, 2) ELSE 3 END;
  DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN SET v = 1; END;
  IF NEW.a <> OLD.a THEN
    CASE v WHEN 1 THEN SET @x = REPEAT('ab', 3); ELSE SET @x = IF(v, 'end', \"begin\"); END CASE;
  ELSEIF NEW.end > OLD.begin AND end > 1 THEN
    lbl: LOOP
      SET v = v + 1;
      IF v > 3 THEN LEAVE lbl; END IF;
    END LOOP lbl;
    WHILE v > 0 DO SET v = v - 1; END WHILE;
    REPEAT SET v = v + 1; UNTIL v > 3 END REPEAT;
  ELSE
    INSERT INTO log (start, end) VALUES (1, 2);
  END IF;
  /* one; more */ INSERT INTO log VALUES ('a;b');
END";

#[test]
fn a_body_is_whole_under_every_delimiter() {
    let after = "INSERT INTO other VALUES (1)";
    for script in [
        format!("DELIMITER $$\n{BODY}$$\nDELIMITER ;\n{after};"),
        format!("DELIMITER $$\n{BODY} $$\n\n{after};"),
        format!("DELIMITER //\n{BODY};\n//\ndelimiter ;\n{after};"),
        format!("DELIMITER ;;\n{BODY} ;;\nDELIMITER ;\n{after};"),
        format!("DELIMITER $$\n{BODY};\n{after};"),
        format!("{BODY};\n{after};"),
        format!("{BODY}\n{after};"),
        format!("{BODY}$$\n{after}$$\n"),
        format!("{BODY} //\n{after};"),
        format!("{BODY}^;\n{after}^;"),
        format!("DELIMITER |\n{BODY}|\n{after};"),
        format!("DELIMITER $$\n/*!50003 {BODY} */$$\n{after};"),
        format!("/*!50003 {BODY} */;\n{after};"),
        format!("\u{feff}{BODY};\r\n{after};"),
    ] {
        let got = texts(&script);
        let clean: Vec<_> = got.iter().map(|t| t.trim_end_matches(';').trim_end().to_owned()).collect();
        assert_eq!(clean, [folded(BODY), "INSERT other".to_owned()], "{script}");
    }
}

#[test]
fn bodies_without_begin() {
    for body in [
        "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW INSERT INTO log VALUES (1)",
        "CREATE TRIGGER IF NOT EXISTS t AFTER DELETE ON users FOR EACH ROW FOLLOWS u IF OLD.a THEN DELETE FROM log; END IF",
        "CREATE FUNCTION IF NOT EXISTS f(a ENUM('x','y'), b INT) RETURNS CHAR(3) CHARACTER SET latin1 DETERMINISTIC \
         RETURN CASE WHEN a THEN 1 ELSE 2 END",
        "CREATE FUNCTION f() RETURNS SET('a') READS SQL DATA BEGIN RETURN 'a'; END",
        "CREATE DEFINER=`a`@`%` PROCEDURE p(IN x INT) SQL SECURITY INVOKER outer_block: BEGIN CALL q(); END outer_block",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM log; DELETE FROM other; END",
        "CREATE PROCEDURE p() `a b`: BEGIN SELECT 1; END `a b`",
        "CREATE PROCEDURE p() BEGIN NOT_A_BEGIN: BEGIN END NOT_A_BEGIN; IF 1 THEN BEGIN END; END IF; END",
        "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
        "CREATE FUNCTION metaphon RETURNS STRING SONAME 'udf.so'",
        "BEGIN",
        "CREATE TABLE `trigger` (`begin` int, if_x int, delimiter varchar(1))",
        "CREATE VIEW v AS SELECT CASE WHEN 1 THEN 2 END AS `case`",
    ] {
        for (script, delimiter) in [("", ";"), ("DELIMITER $$\n", "$$")] {
            let got = texts(&format!("{script}{body}{delimiter}\nSELECT 2{delimiter}\n"));
            assert_eq!(got, [folded(body), "SELECT 2".to_owned()], "{delimiter}");
        }
    }
}

#[test]
fn sqlyog_and_phpmyadmin() {
    let script = "\
SET SQL_MODE = \"NO_AUTO_VALUE_ON_ZERO\";
START TRANSACTION;
/* Trigger structure for table `users` */

DELIMITER $$

/*!50003 DROP TRIGGER*//*!50032 IF EXISTS */ /*!50003 `audit` */$$

/*!50003 CREATE */ /*!50017 DEFINER = 'root'@'localhost' */ /*!50003 TRIGGER `audit` BEFORE UPDATE ON `users` FOR EACH ROW BEGIN
	SET NEW.a = 1;
    END */$$


DELIMITER ;
--
CREATE TRIGGER `one` AFTER INSERT ON `users` FOR EACH ROW SET @a = 1
$$
DELIMITER ;
INSERT INTO `users` (`id`, `name`) VALUES
(1, 'x'),
(2, 'y');
USE shop
COMMIT;
";
    assert_eq!(
        texts(script),
        [
            "SET SQL_MODE = \"NO_AUTO_VALUE_ON_ZERO\"",
            "START TRANSACTION",
            "DROP TRIGGER IF EXISTS `audit`",
            "CREATE DEFINER = 'root'@'localhost' TRIGGER `audit` BEFORE UPDATE ON `users` FOR EACH ROW BEGIN SET NEW.a = 1; END",
            "CREATE TRIGGER `one` AFTER INSERT ON `users` FOR EACH ROW SET @a = 1",
            "INSERT users",
            "USE shop",
            "COMMIT",
        ]
    );
    let pieces = read(script.as_bytes(), &[]);
    let Some(Piece::Statement(commit)) = pieces.last() else { panic!("no statement") };
    assert_eq!(commit.session.database.as_deref(), Some("shop"));
}

#[test]
fn what_cannot_be_read_is_told_and_reading_goes_on() {
    for (script, want) in [
        ("source other.sql\nselect 1;", vec!["! 1: other.sql is another file: it is not read", "select 1"]),
        ("DELIMITER\nselect 1;", vec!["! 1: DELIMITER needs a delimiter, not \"\": it is ignored", "select 1"]),
        ("select 'x", vec!["select 'x", "! 1: the statement that begins here is cut off within ' quotes"]),
        (
            "INSERT INTO VALUES (1); select 1;",
            vec!["! 1: this INSERT is not understood and left out: INSERT INTO", "select 1"],
        ),
        ("\u{1f}\u{8b}", vec![]),
    ] {
        if want.is_empty() {
            continue;
        }
        assert_eq!(texts(script), want, "{script}");
    }
    for bytes in [&b"\x1f\x8b\x08 rest"[..], b"\xff\xfeS\0E\0"] {
        assert!(matches!(read(bytes, &[]).as_slice(), [Piece::Problem(p)] if p.reason.contains("first")));
    }
}

/// What a row must decode to.
#[derive(Debug, Clone, PartialEq)]
enum Want {
    Null,
    Default,
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Number(String),
    Expression(String),
}

fn owned(value: Value<'_>) -> Want {
    match value {
        Value::Null => Want::Null,
        Value::Default => Want::Default,
        Value::Text(bytes, _) => Want::Text(bytes.to_vec()),
        Value::Binary(bytes) => Want::Binary(bytes.to_vec()),
        Value::Number(text) => Want::Number(text.into()),
        Value::Expression(text) => Want::Expression(String::from_utf8_lossy(text).into_owned()),
    }
}

type Rows = Vec<(u64, Vec<Want>)>;

fn rows(script: &[u8], sizes: &[usize]) -> (Rows, Vec<BadRow>) {
    let mut dump = Dump::new(Chunks { bytes: script, sizes: sizes.to_vec(), turn: 0 });
    let (mut all, mut bad, mut row) = (vec![], vec![], DumpRow::new());
    while let Some(piece) = dump.piece().expect("memory") {
        if matches!(piece, Piece::Insert(_)) {
            loop {
                match dump.row(&mut row).expect("memory") {
                    Next::Row => all.push((row.line(), row.values().map(owned).collect())),
                    Next::Bad(b) => bad.push(b),
                    Next::End => break,
                }
            }
        }
    }
    (all, bad)
}

#[test]
fn values_of_every_kind() {
    let script =
        b"INSERT IGNORE INTO shop.`users` (`a``b`, c) VALUES /* two */ (NULL, 'it''s \\'\\\"\\0\\Z\\n\\\\ \\% \\q'),\n\
        ( -1.5e3 , \"x\" 'y' ),(_binary '\\0\xff', 0xDEADbeef) , (x'0f1', b'101'),(DEFAULT, now(6)),\n\
        (TRUE,concat('a,)', (1)) + 1), (_utf8mb4'z', N'w')\nON DUPLICATE KEY UPDATE c = VALUES(c);";
    let (got, bad) = rows(script, &[]);
    let text = |t: &str| Want::Text(t.as_bytes().to_vec());
    assert_eq!(bad, []);
    assert_eq!(
        got,
        [
            (1, vec![Want::Null, text("it's '\"\0\u{1a}\n\\ \\% q")]),
            (2, vec![Want::Number("-1.5e3".into()), text("xy")]),
            (2, vec![Want::Binary(vec![0, 0xff]), Want::Binary(vec![0xde, 0xad, 0xbe, 0xef])]),
            (2, vec![Want::Binary(vec![0, 0xf1]), Want::Binary(vec![5])]),
            (2, vec![Want::Default, Want::Expression("now(6)".into())]),
            (3, vec![Want::Number("1".into()), Want::Expression("concat('a,)', (1)) + 1".into())]),
            (3, vec![text("z"), text("w")]),
        ]
    );
    let [Piece::Insert(insert)] = &read(script, &[])[..] else { panic!("one insert") };
    assert_eq!((insert.database.as_deref(), insert.table.as_str()), (Some("shop"), "users"));
    assert_eq!(insert.columns.as_deref(), Some(&["a`b".to_owned(), "c".to_owned()][..]));
}

#[test]
fn rows_that_are_none_say_where() {
    for (script, line, reason) in [
        ("INSERT INTO t VALUES (1,\n'ab", 2, "the file ends within a string: it is cut off"),
        ("INSERT INTO t VALUES (1),\n(2", 2, "the file ends within a row: it is cut off"),
        ("INSERT INTO t VALUES (1)\n(2); select 1;", 2, "a comma or the end of the statement is expected after a row"),
        ("INSERT INTO t VALUES (1 'x', 2);", 1, ""),
        ("INSERT INTO t VALUES (,2);", 1, "a value is expected"),
        ("INSERT INTO t VALUES 1;", 1, "( is expected at the beginning of a row"),
    ] {
        let (_, bad) = rows(script.as_bytes(), &[]);
        if reason.is_empty() {
            assert_eq!(bad, [], "an alias is an expression");
        } else {
            assert_eq!(bad, [BadRow { line, reason: reason.into() }], "{script}");
        }
    }
}

#[test]
fn backslashes_are_ordinary_where_the_mode_says_so() {
    let script = b"SET sql_mode='NO_BACKSLASH_ESCAPES';INSERT INTO t VALUES ('a\\'),('b''');SET sql_mode='';INSERT INTO t VALUES ('\\'');";
    let (got, bad) = rows(script, &[]);
    let got: Vec<_> = got.into_iter().flat_map(|(_, v)| v).collect();
    assert_eq!(
        (bad.len(), got),
        (0, vec![Want::Text(b"a\\".into()), Want::Text(b"b'".into()), Want::Text(b"'".into())])
    );
}

/// A dump of any size, made as it is read.
struct Endless {
    left: u64,
    row: Vec<u8>,
    place: usize,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.place == self.row.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            self.place = 0;
        }
        let count = into.len().min(self.row.len() - self.place);
        into[..count].copy_from_slice(&self.row[self.place..self.place + count]);
        self.place += count;
        Ok(count)
    }
}

#[test]
fn memory_is_constant() {
    // one INSERT of 300,000 rows, 60 MB
    let row = format!(",(1,'{}')", "x;".repeat(100));
    let head = b"INSERT INTO t VALUES (0,'')".to_vec();
    let place = head.len();
    for skip in [true, false] {
        let endless = Endless { left: 300_000, row: row.clone().into_bytes(), place: row.len() };
        let mut dump = Dump::new((&head[..place]).chain(endless));
        assert!(matches!(dump.piece().expect("memory"), Some(Piece::Insert(_))));
        let (mut count, mut row) = (0, DumpRow::new());
        if !skip {
            while dump.row(&mut row).expect("memory") == Next::Row {
                count += 1;
            }
            assert_eq!(count, 300_001);
        }
        assert!(dump.piece().expect("memory").is_none());
        assert!(dump.offset() > 60_000_000);
        assert!(dump.bytes.window() <= 256 * 1024 && row.capacity() < 4096);
    }
}

fn value() -> impl Strategy<Value = Want> {
    prop_oneof![
        Just(Want::Null),
        prop::collection::vec(any::<u8>(), 0..24).prop_map(Want::Text),
        "[ -~\\n\\t'\"\\\\;]{0,20}".prop_map(|s| Want::Text(s.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Want::Binary),
        any::<i64>().prop_map(|n| Want::Number(n.to_string())),
    ]
}

fn render(want: &Want, style: u8) -> Vec<u8> {
    let quoted = |bytes: &[u8]| {
        let mut out = vec![b'\''];
        for b in bytes {
            match *b {
                b'\'' if style.is_multiple_of(2) => out.extend_from_slice(b"''"),
                b'\'' => out.extend_from_slice(b"\\'"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0 => out.extend_from_slice(b"\\0"),
                b'\n' if !style.is_multiple_of(3) => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0x1a => out.extend_from_slice(b"\\Z"),
                b'"' if style.is_multiple_of(2) => out.extend_from_slice(b"\\\""),
                b => out.push(b),
            }
        }
        out.push(b'\'');
        out
    };
    match want {
        Want::Null => b"NULL".to_vec(),
        Want::Text(bytes) => quoted(bytes),
        Want::Binary(bytes) if style.is_multiple_of(3) => [b"_binary ".to_vec(), quoted(bytes)].concat(),
        Want::Binary(bytes) if bytes.is_empty() => b"x''".to_vec(),
        Want::Binary(bytes) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
            if style.is_multiple_of(2) { format!("0x{hex}") } else { format!("x'{hex}'") }.into_bytes()
        }
        Want::Number(text) => text.clone().into_bytes(),
        Want::Default | Want::Expression(_) => b"DEFAULT".to_vec(),
    }
}

/// Statements whose text must come back as it is.
fn statement() -> impl Strategy<Value = String> {
    let literal = "[ a-z;$/'\"`-]{0,12}".prop_map(|s| format!("'{}'", s.replace('\'', "''")));
    let name = "[a-z ;'$]{1,8}".prop_map(|s| format!("`{s}`"));
    let plain = (name.clone(), literal.clone()).prop_map(|(n, l)| format!("SELECT {l} AS {n} -- it's; a comment\n, 1"));
    let leaf = (name, literal).prop_map(|(n, l)| format!("SET {n} = {l};\n"));
    let block = leaf.prop_recursive(3, 12, 3, |inner| {
        let many = prop::collection::vec(inner, 1..3).prop_map(|v| v.concat());
        prop_oneof![
            many.clone().prop_map(|b| format!("IF CASE WHEN a THEN IF(b, 1, 2) END THEN\n{b}ELSE\n{b}END IF;\n")),
            many.clone().prop_map(|b| format!("l: LOOP\n{b}LEAVE l;\nEND LOOP l;\n")),
            many.clone().prop_map(|b| format!("CASE x WHEN 1 THEN\n{b}END CASE;\n")),
            many.clone().prop_map(|b| format!("WHILE x DO {b}END WHILE;\n")),
            many.clone().prop_map(|b| format!("REPEAT {b}UNTIL x END REPEAT;\n")),
            many.prop_map(|b| format!("BEGIN\n# don't\n{b}/* ; */END;\n")),
        ]
    });
    let head = prop_oneof![
        Just("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW"),
        Just("CREATE DEFINER=`a`@`b` FUNCTION f(a INT) RETURNS INT DETERMINISTIC"),
        Just("CREATE PROCEDURE p(IN a CHAR(1))"),
        Just("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO"),
    ];
    let program =
        (head, prop::collection::vec(block, 1..3)).prop_map(|(h, b)| format!("{h}\nBEGIN\n{}END", b.concat()));
    prop_oneof![plain, program]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn statements_come_back_whole(
        statements in prop::collection::vec(statement(), 1..6),
        style in 0..9usize,
        sizes in prop::collection::vec(1..40usize, 0..5),
    ) {
        let mut script = String::new();
        for one in &statements {
            script.push_str(&match style {
                0 => format!("{one};\n"),
                1 => format!("DELIMITER ;;\n/*!50003 {one} */;;\nDELIMITER ;\n"),
                2 => format!("DELIMITER |\n{one} |\nDELIMITER ;\n"),
                3 => format!("DELIMITER ^^\n{one}\n^^\n\n"),
                4 => format!("/*M!100301 {one} */;\n"),
                5 => format!("DELIMITER ^^\r\n{one} ;\r\n^^\r\nDELIMITER ;\r\n"),
                6 => format!("{one}^;\n"),
                7 => format!("-- it's\n{one};\n/* it's; */\n"),
                _ => format!("\n\n  {one} ; "),
            });
        }
        let pieces = read(script.as_bytes(), &sizes);
        let got: Vec<_> = pieces.iter().map(|p| text(p).trim_end_matches(';').trim_end().to_owned()).collect();
        let want: Vec<_> = statements.iter().map(|s| folded(s)).collect();
        prop_assert_eq!(got, want, "{}", script);
        // lines and columns are true
        for piece in &pieces {
            let Piece::Statement(s) = piece else { continue };
            let line = script.lines().nth(s.line as usize - 1).unwrap_or_default();
            let first = s.text.lines().next().unwrap_or_default();
            prop_assert!(line[s.column as usize - 1..].starts_with(first.split(' ').next().unwrap_or_default()));
        }
    }

    #[test]
    fn rows_come_back_whole(
        values in prop::collection::vec(prop::collection::vec(value(), 1..5), 1..6),
        style in 0..6u8,
        sizes in prop::collection::vec(1..40usize, 0..5),
    ) {
        let tuples: Vec<Vec<u8>> = values
            .iter()
            .map(|row| {
                let fields: Vec<_> = row.iter().map(|v| render(v, style)).collect();
                [b"(".to_vec(), fields.join(&b", "[..]), b")".to_vec()].concat()
            })
            .collect();
        let script = match style {
            0 => [b"INSERT INTO `t` VALUES ".to_vec(), tuples.join(&b","[..]), b";\n".to_vec()].concat(),
            1 => [b"REPLACE INTO `t` (`a`) VALUES\n".to_vec(), tuples.join(&b",\n"[..]), b";\n".to_vec()].concat(),
            2 => tuples.iter().map(|t| [b"INSERT INTO t VALUES ".to_vec(), t.clone(), b";\n".to_vec()].concat()).collect::<Vec<_>>().concat(),
            _ => [b"DELIMITER $$\ninsert t values".to_vec(), tuples.join(&b" , "[..]), b"$$".to_vec()].concat(),
        };
        let (got, bad) = rows(&script, &sizes);
        prop_assert_eq!(bad, vec![]);
        let got: Vec<_> = got.into_iter().map(|(_, v)| v).collect();
        prop_assert_eq!(got, values);
        prop_assert_eq!(read(&script, &sizes).iter().filter(|p| !matches!(p, Piece::Insert(_))).count(), 0);
    }

    #[test]
    fn no_text_stops_it(bytes in prop::collection::vec(prop_oneof![
        Just(b"/*!50003 ".to_vec()), Just(b"*/".to_vec()), Just(b"DELIMITER ".to_vec()), Just(b"INSERT INTO t VALUES (".to_vec()),
        Just(b"BEGIN ".to_vec()), Just(b"END".to_vec()), Just(b";".to_vec()), Just(b"$$\n".to_vec()), Just(b"CREATE TRIGGER ".to_vec()),
        Just(b"FOR EACH ROW ".to_vec()), Just(b"'".to_vec()), Just(b"\\".to_vec()), Just(b"(".to_vec()), Just(b")".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4)], 0..40)) {
        let script = bytes.concat();
        let whole: Vec<_> = read(&script, &[]);
        prop_assert_eq!(&whole, &read(&script, &[1]));
        let _ = rows(&script, &[3]);
    }
}
