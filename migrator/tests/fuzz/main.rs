//! Random texts through everything that reads what others wrote: no panic, no overflow, no text that takes too long.
//!
//! A few seconds each in `cargo test`; `FUZZ_SECONDS=3600 make fuzz` goes on for an hour each. The seed is printed; `FUZZ_SEED`
//! repeats it, and `FUZZ_TRACE=1` prints the seed of every text before it is read, for what ends the process.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain_events::from_mysql::catalogue::{Destination, TranslatedCatalogue};
use domain_events::from_mysql::files::from_texts;
use domain_events::from_mysql::findings;
use domain_events::import::json;
use domain_events::judge::judge;
use domain_events::source::folder::Folder;
use domain_events::source::languages::Language;
use domain_events::source::{Taken, from_files, from_sql};
use domain_events::{plan, text, url};
use domain_events_mysql::dump::{Dump, DumpRow, Next, Piece};
use domain_events_sql::limits;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// No text may take longer, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a target on texts made from seeds, until the time is over.
fn fuzz(name: &'static str, make: fn(&mut StdRng) -> Vec<u8>, read: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS").unwrap_or(2);
    let seed = number("FUZZ_SEED").unwrap_or_else(|| rand::rng().random());
    let trace = number("FUZZ_TRACE").is_some();
    println!("{name}: FUZZ_SEED={seed}");
    let work = move || {
        let began = Instant::now();
        let (mut texts, mut bytes, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
        while texts == 0 || began.elapsed() < Duration::from_secs(seconds) {
            let own = seed.wrapping_add(texts);
            let input = make(&mut StdRng::seed_from_u64(own));
            if trace {
                eprintln!("{name}: FUZZ_SEED={own}, {} bytes", input.len());
            }
            let at = Instant::now();
            if catch_unwind(AssertUnwindSafe(|| read(&input))).is_err() {
                let shown = String::from_utf8_lossy(&input);
                panic!("{name}: FUZZ_SEED={own} panics on {} bytes: {:.2000}", input.len(), shown);
            }
            let took = at.elapsed();
            assert!(took < PATIENCE, "{name}: FUZZ_SEED={own}: {} bytes took {took:?}", input.len());
            slowest = slowest.max(took);
            texts += 1;
            bytes += input.len() as u64;
        }
        println!("{name}: {texts} texts, {bytes} bytes, slowest {slowest:?}");
    };
    limits::on_large_stack(work).expect("a thread");
}

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

fn soup(rng: &mut StdRng) -> String {
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
fn mutated(rng: &mut StdRng, under: &str, extension: &str) -> Vec<u8> {
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

fn sql(rng: &mut StdRng) -> Vec<u8> {
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

fn mysql(rng: &mut StdRng) -> Vec<u8> {
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

#[test]
fn files_of_postgresql() {
    fuzz("postgres", sql, |bytes| {
        let (catalogue, _) = from_sql([("a.sql", String::from_utf8_lossy(bytes).as_ref())]);
        judge(&catalogue);
    });
}

#[test]
fn files_of_mysql() {
    fuzz("mysql", mysql, |bytes| {
        let source = from_texts([("a.sql", String::from_utf8_lossy(bytes).as_ref())]);
        let translated = TranslatedCatalogue::new(&source, &Destination { ignoring: true, ..Destination::default() });
        findings::findings(&source, &translated);
    });
}

#[test]
fn migrations_in_php() {
    let make = |rng: &mut StdRng| {
        if rng.random_ratio(1, 3) {
            format!("<?php {}", soup(rng)).into_bytes()
        } else {
            mutated(rng, "corpus_mysql", "php")
        }
    };
    fuzz("php", make, |bytes| {
        let source = from_texts([("a.php", String::from_utf8_lossy(bytes).as_ref())]);
        findings::findings(&source, &TranslatedCatalogue::new(&source, &Destination::default()));
    });
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
fn code(rng: &mut StdRng) -> String {
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

#[test]
fn files_in_other_languages() {
    let make = |rng: &mut StdRng| {
        let ending = ["rb", "py", "js", "ts", "php", "prisma"].choose(rng).copied().unwrap_or_default();
        let begin = if ending == "php" { "<?php " } else { "" };
        format!("{ending}\n{begin}{}", code(rng)).into_bytes()
    };
    fuzz("languages", make, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (ending, text) = text.split_once('\n').expect("an ending");
        let name = format!("app/migrations/a.{ending}");
        let language = Language::of(Path::new(&name)).expect("a language");
        let folder = Folder::of_text(Path::new(&name), language, text);
        folder.dialect();
        let taken = folder.files.into_iter().filter_map(|(_, given)| Some(Taken::Given(name.clone(), given?)));
        let (catalogue, _) = from_files(taken).expect("no file is opened");
        judge(&catalogue);
    });
}

/// A few bytes at a time, so that every window ends somewhere else.
struct Drops<'t>(&'t [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn rows(bytes: &[u8], at_once: usize) -> (usize, usize) {
    let mut dump = Dump::new(Drops(bytes, at_once));
    let (mut pieces, mut read, mut row) = (0, 0, DumpRow::new());
    while let Some(piece) = dump.piece().expect("no error of memory") {
        pieces += 1;
        if matches!(piece, Piece::Insert(_)) {
            while dump.row(&mut row).expect("no error of memory") == Next::Row {
                read += 1;
            }
        }
    }
    (pieces, read)
}

#[test]
fn dumps_with_rows() {
    let make = |rng: &mut StdRng| {
        let mut bytes = mysql(rng);
        for _ in 0..rng.random_range(0..5) {
            bytes.extend_from_slice(
                format!("INSERT INTO t VALUES ({}),(1,'x',0x1F,NULL),({});\n", soup(rng), soup(rng)).as_bytes(),
            );
        }
        bytes
    };
    fuzz("dump", make, |bytes| assert_eq!(rows(bytes, 7), rows(bytes, usize::MAX), "the same, however it is read"));
}

#[test]
fn plan_files() {
    let make = |rng: &mut StdRng| {
        let mut text = String::from("# A plan of domain-events 0.1.0\nformat = 1\nplan_id = \"x\"\n");
        for _ in 0..rng.random_range(0..30) {
            match rng.random_range(0..6) {
                0 => text.push_str("[[port]]\n"),
                1 => text.push_str(&format!("sql = '''{}'''\n", soup(rng))),
                2 => text.push_str(&format!("a = {}\n", "[".repeat(rng.random_range(1..20_000)))),
                3 => text.push_str(&format!("{} = 1\n", "a.".repeat(rng.random_range(1..2_000)))),
                4 => text.push_str(&format!("b = {}1\n", "{ x = ".repeat(rng.random_range(1..20_000)))),
                _ => text.push_str(&format!("\"{}\" = \"{}\"\n", soup(rng), soup(rng))),
            }
        }
        text.into_bytes()
    };
    fuzz("plan", make, |bytes| {
        let path = std::env::temp_dir().join(format!("domain-events-fuzz-{}.toml", std::process::id()));
        fs::write(&path, bytes).expect("a file");
        let read = plan::read(&path);
        fs::remove_file(&path).ok();
        assert!(read.is_err());
    });
}

#[test]
fn urls_and_texts() {
    let make = |rng: &mut StdRng| {
        let parts = [
            "://", ":", "@", "/", "?", "#", "&", "=", "%", "me", "h", "5432", "password", "[::1]", "x", " ", "'",
            "\u{1b}", "postgres",
        ];
        let mut text = String::new();
        for _ in 0..rng.random_range(0..20) {
            text.push_str(parts.choose(rng).copied().unwrap_or_default());
        }
        text.into_bytes()
    };
    fuzz("url", make, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = url::check(&text);
        // what stands between a user and the host is never shown, wherever it is
        for url in [
            format!("postgres://me:{text}S3cr3t@h/db"),
            format!("me:{text}S3cr3t@h"),
            format!("host=h password='S3cr3t{text}"),
            format!("see redis://{text}S3cr3t@h"),
            format!("error: cannot read 'postgres://me:{text}S3cr3t@h/db' now"),
        ] {
            assert!(!url::redacted(&url).contains("S3cr3t"), "{url}: {}", url::redacted(&url));
        }
        assert!(!text::shown(&text).contains(text::is_unsafe) && !text::in_line(&text).contains('\n'));
    });
}

#[test]
fn payloads_in_json() {
    let make = |rng: &mut StdRng| {
        let parts = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "1",
            "-1e999",
            "0.10",
            "null",
            "true",
            " ",
            "\"",
            "\\",
            "é",
        ];
        let mut text = String::new();
        for _ in 0..rng.random_range(0..60) {
            let times = if rng.random_ratio(1, 30) { rng.random_range(1..50_000) } else { 1 };
            text.push_str(&parts.choose(rng).copied().unwrap_or_default().repeat(times));
        }
        text.into_bytes()
    };
    fuzz("json", make, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(canonical) = json::canonical(&text) {
            assert_eq!(json::canonical(&canonical).as_deref(), Some(canonical.as_str()), "{text:.500}");
        }
    });
}
