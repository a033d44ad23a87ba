//! Scripts of every tool, whole and in pieces.

use std::io::Read;

use super::*;

mod random;
mod rows;

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
