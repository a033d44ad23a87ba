//! Random texts through everything that reads what others wrote: no panic, no overflow, no text that takes too long.
//!
//! A few seconds each in `cargo test`; `FUZZ_SECONDS=3600 make fuzz` goes on for an hour each. The seed is printed; `FUZZ_SEED`
//! repeats it, and `FUZZ_TRACE=1` prints the seed of every text before it is read, for what ends the process.

mod texts;

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
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

use texts::{code, mutated, mysql, soup, sql};

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
