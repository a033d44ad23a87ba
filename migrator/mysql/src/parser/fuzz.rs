//! Whatever the text: no panic, no endless loop, no overflow of the stack, and no byte of the program unaccounted for.

use proptest::prelude::*;

use super::super::ast::{Position, SqlMode, Statement, StatementKind};
use super::{Text, body, program};

const START: Position = Position { line: 1, column: 1 };

const WORDS: &[&str] = &[
    "BEGIN",
    "END",
    "IF",
    "THEN",
    "ELSEIF",
    "ELSE",
    "END IF",
    "CASE",
    "WHEN",
    "END CASE",
    "LOOP",
    "END LOOP",
    "WHILE",
    "DO",
    "END WHILE",
    "REPEAT",
    "UNTIL",
    "END REPEAT",
    "FOR",
    "IN",
    "..",
    "END FOR",
    "DECLARE",
    "HANDLER",
    "CONTINUE",
    "EXIT",
    "CURSOR",
    "CONDITION",
    "SQLSTATE",
    "'45000'",
    "NOT FOUND",
    "SQLEXCEPTION",
    "SET",
    "NEW",
    ".",
    "x",
    "@x",
    "@@x",
    "=",
    ":=",
    "SIGNAL",
    "RESIGNAL",
    "GET DIAGNOSTICS",
    "CALL",
    "LEAVE",
    "ITERATE",
    "RETURN",
    "SELECT",
    "INTO",
    "FROM",
    "OPEN",
    "FETCH",
    "CLOSE",
    "PREPARE",
    "EXECUTE",
    "INSERT",
    "REPLACE",
    "UPDATE",
    "DELETE",
    "VALUES",
    "VALUE",
    "ON DUPLICATE KEY UPDATE",
    "IGNORE",
    "INT",
    "VARCHAR(10)",
    "UNSIGNED",
    "DEFAULT",
    "ROW",
    "TYPE OF",
    "(",
    ")",
    ",",
    ";",
    ":",
    "lbl",
    "`q`",
    "'s'",
    "\"d\"",
    "1",
    "1.5e3",
    "0x1F",
    "+",
    "-",
    "!",
    "NOT",
    "MOD",
    "<=>",
    "->>",
    "&&",
    "||",
    "NULL",
    "*",
    "/* c */",
    "-- c\n",
    "/*!50003",
    "*/",
    "'",
    "`",
    "\"",
    "\\",
    "é",
    "\u{0}",
    "INTERVAL",
    "DAY",
    "BINARY",
    "COLLATE",
    "CREATE",
    "TRIGGER",
    "FUNCTION",
    "DEFINER",
    "BEFORE",
    "FOR EACH ROW",
    "EXISTS",
    "USING",
    "PARTITION",
    "USE INDEX",
    "NEXT VALUE FOR",
    "LEADING FROM",
];

const VALID: &str = "CREATE DEFINER=`a`@`b` TRIGGER t AFTER UPDATE ON u FOR EACH ROW lbl: BEGIN
    DECLARE a, b INT UNSIGNED DEFAULT 1; DECLARE c CURSOR FOR SELECT id, 'x;' FROM t WHERE x IN (1, 2);
    DECLARE EXIT HANDLER FOR SQLEXCEPTION, SQLSTATE '23000' BEGIN ROLLBACK; RESIGNAL; END;
    SET NEW.x = OLD.x + 1, @y := JSON_OBJECT('a', NEW.a, \"b\", CASE WHEN a THEN 1 ELSE 'é' END);
    IF NOT (NEW.a <=> OLD.a) AND !b THEN INSERT IGNORE INTO e (a, b) VALUES (UUID(), NOW(6)) ON DUPLICATE KEY UPDATE a = VALUES(a);
    ELSEIF NEW.b MOD 2 THEN SELECT MAX(v) + 1 INTO a FROM e WHERE id = NEW.id LIMIT 1 FOR UPDATE;
    ELSE l: LOOP FETCH c INTO a, @b; IF done THEN LEAVE l; END IF; END LOOP l; END IF;
    CASE a WHEN 1 THEN CALL p(1, 'x'); ELSE SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END CASE;
    WHILE a < 3 DO SET a = a + 1; END WHILE; REPEAT SET a = 0; UNTIL a = 0 END REPEAT;
    FOR i IN 1..3 DO REPLACE INTO e SELECT * FROM f; END FOR; /*!50003 GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT; */
    PREPARE s FROM @q; EXECUTE s USING @a; DELETE FROM e WHERE id = 1; # done
    END lbl";

/// Reads it as a program and as a body, and walks every statement.
fn read(text: &str, mode: SqlMode) {
    let text = Text { text, position: START, mode };
    if let Some(Ok(program)) = program(text) {
        walk(&program.body, program.text.len());
        drop(format!("{program:?}"));
    }
    walk(&body(text), text.text.len());
}

fn walk(statement: &Statement, len: usize) {
    assert!(statement.span.start <= statement.span.end && statement.span.end <= len, "{:?} of {len}", statement.span);
    let inner: Vec<&Statement> = match &statement.kind {
        StatementKind::Block(block) => block.body.iter().collect(),
        StatementKind::If { branches, otherwise } | StatementKind::Case { branches, otherwise, .. } => {
            branches.iter().flat_map(|b| &b.body).chain(otherwise.iter().flatten()).collect()
        }
        StatementKind::Loop { body, .. }
        | StatementKind::While { body, .. }
        | StatementKind::Repeat { body, .. }
        | StatementKind::For { body, .. } => body.iter().collect(),
        _ => vec![],
    };
    inner.into_iter().for_each(|s| walk(s, len));
}

fn modes() -> impl Strategy<Value = SqlMode> {
    any::<(bool, bool, bool)>().prop_map(|(ansi_quotes, pipes_as_concat, no_backslash_escapes)| SqlMode {
        ansi_quotes,
        pipes_as_concat,
        no_backslash_escapes,
        ..SqlMode::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soups_of_tokens(words in prop::collection::vec(prop::sample::select(WORDS), 0..80), mode in modes()) {
        read(&words.join(" "), mode);
        read(&format!("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW BEGIN {} END", words.join(" ")), mode);
    }

    #[test]
    fn soups_of_characters(text in "\\PC{0,200}", mode in modes()) {
        read(&text, mode);
        read(&format!("CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW {text}"), mode);
    }

    #[test]
    fn cut_and_spliced_programs(cut in 0..VALID.len(), rest in 0..VALID.len(), mode in modes()) {
        let at = |mut n: usize| { while !VALID.is_char_boundary(n) { n -= 1; } n };
        read(&VALID[..at(cut)], mode);
        read(&format!("{}{}", &VALID[..at(cut)], &VALID[at(rest)..]), mode);
    }
}

#[test]
fn deep_nesting_ends_with_a_message() {
    for (open, close) in [
        ("BEGIN ", "END; "),
        ("IF a THEN ", "END IF; "),
        ("CASE a WHEN 1 THEN ", "END CASE; "),
        ("l: LOOP ", "END LOOP; "),
        ("WHILE a DO ", "END WHILE; "),
        ("REPEAT ", "UNTIL a END REPEAT; "),
        ("BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION ", "; END; "),
    ] {
        for text in [open.repeat(20_000), format!("{}SET @a = 1; {}", open.repeat(20_000), close.repeat(20_000))] {
            let read = body(Text { text: &text, position: START, mode: SqlMode::default() });
            assert!(format!("{read:?}").contains("nested more than 100 levels deep"), "{open}");
        }
    }
}

#[test]
fn long_programs_take_a_time_in_proportion() {
    let time = |n: usize| {
        let text = format!("BEGIN {} END", "SET @a = IF(NEW.a THEN 1; INSRT 'x'; ".repeat(n));
        let start = std::time::Instant::now();
        let read = body(Text { text: &text, position: START, mode: SqlMode::default() });
        assert!(matches!(read.kind, StatementKind::Block(b) if b.body.len() == 2 * n));
        start.elapsed()
    };
    time(10);
    let (small, large) = (time(1_000), time(10_000));
    assert!(large < small * 40, "{small:?} for 2,000 statements, {large:?} for 20,000");
}
