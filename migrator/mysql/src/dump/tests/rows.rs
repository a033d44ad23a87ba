//! Rows of INSERT: values of every kind, what is none, and memory that does not grow with their number.

use std::io::Read;

use super::super::*;
use super::{Chunks, read};

/// What a row must decode to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Want {
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

pub(super) type Rows = Vec<(u64, Vec<Want>)>;

pub(super) fn rows(script: &[u8], sizes: &[usize]) -> (Rows, Vec<BadRow>) {
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
