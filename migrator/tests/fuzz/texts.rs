//! Random texts: words in any order, and files of the corpora with cuts, doubled parts and words put into them.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const WORDS: &[&str] = &[
    "create",
    "or replace",
    "table",
    "view",
    "trigger",
    "function",
    "procedure",
    "index",
    "unique",
    "returns trigger",
    "language plpgsql",
    "as $$",
    "$$",
    "$f$",
    "begin",
    "end",
    "if",
    "then",
    "elsif",
    "elseif",
    "else",
    "end if",
    "case",
    "when",
    "end case",
    "loop",
    "end loop",
    "while",
    "do",
    "declare",
    "exception",
    "return new",
    "return",
    "perform",
    "execute",
    "insert into",
    "values",
    "select",
    "from",
    "where",
    "update",
    "delete",
    "set",
    "on conflict do nothing",
    "union",
    "join",
    "on",
    "and",
    "or",
    "not",
    "in",
    "is null",
    "max(",
    "coalesce(",
    "domain_events",
    "users",
    "new.id",
    "old.id",
    "new",
    ".",
    "version",
    "1",
    "0x1F",
    "1e9",
    "'User'",
    "'it''s'",
    "E'\\'",
    "\"q\"",
    "`q`",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "::",
    "||",
    "+",
    "-",
    "*",
    "=",
    ":=",
    "<>",
    "/*",
    "*/",
    "/*!50003",
    "--",
    "\n",
    "\\",
    "$",
    "@x",
    "@@x",
    "{{ x }}",
    "${x}",
    "?",
    ":x",
    "#",
    "%s",
    "GO",
    "/",
    "DELIMITER $$",
    "DELIMITER ;",
    "before",
    "after",
    "for each row",
    "copy t from stdin;",
    "\\.",
    "begin atomic",
    "int",
    "text",
    "primary key",
    "default",
    "generated always as",
    "on update current_timestamp",
    "null",
    "\u{0}",
    "\u{1b}",
    "é",
    "\u{202e}",
    "<?php",
    "->execute(\"",
    "\");",
    "<<<SQL",
    "SQL;",
    "public function up() {",
    "}",
    "signal sqlstate '45000'",
    "declare continue handler for sqlexception",
    "open",
    "fetch",
    "close",
    "cursor for",
    "repeat",
    "until",
    "end repeat",
    "leave",
    "iterate",
    "alter table",
    "add column",
    "drop",
    "rename to",
    "comment on",
    "schema",
    "search_path",
    "partition of",
    "inherits",
    "rule",
    "instead",
];

pub fn soup(rng: &mut StdRng) -> String {
    let mut out = String::new();
    for _ in 0..rng.random_range(1..80) {
        let word = WORDS.choose(rng).copied().unwrap_or_default();
        let times = if rng.random_ratio(1, 40) { rng.random_range(1..3_000) } else { 1 };
        for _ in 0..times {
            out.push_str(word);
            out.push_str(if rng.random_ratio(1, 6) { "" } else { " " });
        }
    }
    out
}

fn corpus(under: &str, extension: &str) -> Vec<PathBuf> {
    fn collect(path: &Path, extension: &str, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, extension, files);
            } else if path.extension().is_some_and(|e| e == extension) {
                files.push(path);
            }
        }
    }
    let mut files = vec![];
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(under), extension, &mut files);
    files.sort();
    files
}

/// A file of the corpus with cuts, doubled parts and words put into it.
pub fn mutated(rng: &mut StdRng, under: &str, extension: &str) -> Vec<u8> {
    let files = corpus(under, extension);
    let Some(file) = files.choose(rng) else { return soup(rng).into_bytes() };
    let mut bytes = fs::read(file).expect("a file of the corpus");
    bytes.truncate(60_000);
    for _ in 0..rng.random_range(0..8) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..200)).min(bytes.len());
        match rng.random_range(0..5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let part = bytes[at..end].repeat(rng.random_range(1..20));
                bytes.splice(at..at, part);
            }
            2 => drop(bytes.splice(at..at, soup(rng).into_bytes())),
            3 if at < bytes.len() => bytes[at] = rng.random(),
            _ => {
                let word = WORDS.choose(rng).copied().unwrap_or_default();
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

pub fn sql(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => soup(rng).into_bytes(),
        1 => {
            let body = soup(rng);
            format!(
                "create table users (id int primary key); create table domain_events (aggregate_type text, aggregate_id text, \
                 aggregate_version int, event_type text, unique (aggregate_type, aggregate_id, aggregate_version));\n\
                 create function f() returns trigger language plpgsql as $body$ begin {body}; insert into domain_events values \
                 ('User', new.id, 1, 'X'); return new; end $body$; create trigger t after update on users for each row execute function f();"
            )
            .into_bytes()
        }
        _ => mutated(rng, "corpus", "sql"),
    }
}

pub fn mysql(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => soup(rng).into_bytes(),
        1 => format!(
            "CREATE TABLE `users` (`id` int PRIMARY KEY);\nDELIMITER $$\nCREATE TRIGGER t AFTER UPDATE ON users FOR EACH ROW BEGIN {}; END$$\n",
            soup(rng)
        )
        .into_bytes(),
        _ => mutated(rng, "corpus_mysql", "sql"),
    }
}

const CODE: &[&str] = &[
    "def up",
    "def upgrade():\n  ",
    "end\n",
    "exports.up = async (knex) => {",
    "};",
    "class A",
    "execute <<~SQL\n",
    "\nSQL\n",
    "op.execute(\"\"\"",
    "\"\"\")",
    "knex.raw(`",
    "`)",
    "${x}",
    "#{x}",
    "f'{x}'",
    "do |t|",
    "t.integer :version",
    "create_table :a",
    "sa.Column('a', sa.Integer())",
    "op.create_table('a',",
    "knex.schema.createTable('a', (t) => {",
    "migrations.RunSQL(",
    "for x in ['a', 'b']:\n    ",
    ".each do |x|",
    "forEach((x) =>",
    "x += x\n",
    "up()",
    "model A {\n",
    "@@unique([a, b])\n",
    "@map(\"a\")",
    "@id",
    "reversible do |dir|",
    "dir.down {",
    "if x ==",
    "return",
    "await",
    "new Table({",
    "'%s' % (",
    "'{}'.format(",
    "sprintf('%s',",
    "Schema::create('a', function ($t) {",
];

/// Code with SQL in it, of each language.
pub fn code(rng: &mut StdRng) -> String {
    let mut text = String::from("create ");
    for _ in 0..rng.random_range(1..60) {
        let word = CODE.choose(rng).copied().unwrap_or_default();
        let times = if rng.random_ratio(1, 40) { rng.random_range(1..800) } else { 1 };
        for _ in 0..times {
            text.push_str(word);
            text.push_str(if rng.random_ratio(1, 3) { "\n" } else { " " });
        }
        if rng.random_ratio(1, 4) {
            text.push_str(&soup(rng));
        }
    }
    text.truncate(text.floor_char_boundary(32 * 1024));
    text
}
