//! Directories of migrations, whatever tool runs them: their order, and the part of a file that goes forward.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Files below a directory with one of the extensions, if any, in the order in which they are run; those that undo are left out.
pub fn migrations(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let mut files = vec![];
    collect(directory, extensions, &mut files)?;
    files.retain(|file| !undoes(file));
    files.sort_by(|a, b| repeatable(a).cmp(&repeatable(b)).then_with(|| natural(&key(a), &key(b))));
    Ok(files)
}

/// Endings of languages in which migrations are written that hold SQL.
const LANGUAGES: [&str; 17] = [
    "js", "cjs", "mjs", "ts", "py", "rb", "php", "go", "java", "kt", "cs", "ex", "exs", "groovy", "xml", "yaml", "yml",
];
/// Directories of what others wrote.
pub const FOREIGN: [&str; 5] = ["node_modules", "vendor", "target", "dist", "build"];
/// So much of such a file is looked at.
const LOOKED_AT: u64 = 1024 * 1024;

/// Files beside the migrations that are in another language and make triggers or functions: these are not judged.
pub fn passed_over(directory: &Path, taken: &[&str]) -> Result<Vec<PathBuf>, Error> {
    const MAKES: [&str; 2] = ["create", "replace"];
    const WHAT: [&str; 4] = ["trigger", "function", "procedure", "rule"];
    let others: Vec<&str> = LANGUAGES.into_iter().filter(|e| !taken.contains(e)).collect();
    let mut files = vec![];
    collect(directory, &others, &mut files)?;
    // nothing of what others wrote is opened
    files.retain(|file| !file.components().any(|c| FOREIGN.iter().any(|f| c.as_os_str() == *f)) && !undoes(file));
    files.retain(|file| {
        let mut text = vec![];
        let read = std::fs::File::open(file).and_then(|f| f.take(LOOKED_AT).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        read.is_ok() && words.windows(2).any(|w| MAKES.contains(&w[0]) && WHAT.contains(&w[1]))
    });
    files.sort_by(|a, b| natural(&key(a), &key(b)));
    Ok(files)
}

/// Whether a file is PHP, by its name.
pub fn is_php(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("php"))
}

/// Whether a text is PHP, whatever its file is called.
pub fn begins_php(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with("<?php")
}

fn collect(directory: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |e| Error::io(directory.display().to_string(), e);
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() && !hidden {
            collect(&path, extensions, files)?;
        } else if !hidden && path.extension().is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x))) {
            files.push(path);
        }
    }
    Ok(())
}

/// `x.down.sql`, `x_down.sql`, `down.sql`, and the same with other words; Flyway's `U1__x.sql`.
fn undoes(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let flyway = name.starts_with('u') && name.contains("__") && name[1..].starts_with(|c: char| c.is_ascii_digit());
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    let letters: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
    let sibling = |word: &str| {
        let ending = file.extension().unwrap_or_default().to_string_lossy();
        let other = stem.strip_prefix(word).map(|rest| file.with_file_name(format!("create_{rest}.{ending}")));
        other.is_some_and(|other| other.exists())
    };
    flyway
        || stem.ends_with("_down")
        || ["drop", "dropall", "dropeverything", "droptables", "dropschema", "destroy", "cleandatabase"].contains(&letters.as_str())
        || ["uninstall", "teardown"].iter().any(|w| stem.starts_with(w) || stem.ends_with(w))
        // of a pair create_x, remove_x
        || sibling("remove_")
        || sibling("drop_")
        || ["down", "undo", "rollback", "revert"].iter().any(|w| stem.split('.').any(|part| part == *w))
}

/// Flyway's `R__x.sql` run after all others.
fn repeatable(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("R__"))
}

fn key(file: &Path) -> String {
    file.to_string_lossy().to_ascii_lowercase()
}

/// Compares numbers as numbers: `V9__a.sql` comes before `V10__b.sql`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else { return a.len().cmp(&b.len()) };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (digits(a), digits(b));
            let (p, q) = (a[..m].trim_start_matches('0'), b[..n].trim_start_matches('0'));
            let order = p.len().cmp(&q.len()).then_with(|| p.cmp(q));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[m..], &b[n..]);
        } else if x != y {
            // the second underscore of `V1__a` ends a version: it comes before `V1_1__b`
            let rank = |c: char| if c == '_' { '\0' } else { c };
            return rank(x).cmp(&rank(y));
        } else {
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The text with what undoes it blanked out, line by line: sections of dbmate, goose and sql-migrate.
pub fn up_section(text: &str) -> Cow<'_, str> {
    let marks = ["-- migrate:", "-- +goose ", "-- +migrate "];
    if !marks.iter().any(|mark| text.contains(mark)) {
        return Cow::Borrowed(text);
    }
    let mut down = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if let Some(section) = marks.iter().find_map(|mark| line.trim_start().strip_prefix(mark)) {
            let section = section.trim().to_ascii_lowercase();
            if section.starts_with("down") {
                down = true;
            } else if section.starts_with("up") {
                down = false;
            }
        }
        if down {
            kept.extend(line.chars().filter(|c| *c == '\n'));
        } else {
            kept.push_str(line);
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_come_in_the_order_of_their_tools() {
        let directory = std::env::temp_dir().join(format!("domain-events-files-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("later/deep")).expect("a directory");
        for name in [
            "V10__b.sql",
            "V9__a.sql",
            "V1__z.sql",
            "V1_96__c.sql",
            "V1_97__d.sql",
            "U9__a.sql",
            "R__views.sql",
            "later/V11__x.SQL",
            "000002_x.down.sql",
            "uninstall_store.sql",
            "store_teardown.sql",
            "later/Drop-All.sql",
            "later/create_audit.sql",
            "later/remove_audit.sql",
            "notes.txt",
            ".hidden.sql",
        ] {
            std::fs::write(directory.join(name), "select 1").expect("a file");
        }
        let files = migrations(&directory, &["sql"]).expect("files");
        let names: Vec<_> =
            files.iter().map(|f| f.strip_prefix(&directory).expect("below").display().to_string()).collect();
        assert_eq!(
            names,
            [
                "later/create_audit.sql",
                "later/V11__x.SQL",
                "V1__z.sql",
                "V1_96__c.sql",
                "V1_97__d.sql",
                "V9__a.sql",
                "V10__b.sql",
                "R__views.sql"
            ]
        );
        assert!(migrations(&directory.join("later/deep"), &["sql"]).expect("no file").is_empty());
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn what_undoes_is_blanked_out_and_lines_stay() {
        let text = "-- migrate:up\na;\n-- migrate:down\nb;\nc;\n-- migrate:up transaction:false\nd;\n";
        assert_eq!(up_section(text), "-- migrate:up\na;\n\n\n\n-- migrate:up transaction:false\nd;\n");
        assert_eq!(
            up_section("-- +goose Up\n-- +goose StatementBegin\na;\n-- +goose Down\nb;\n"),
            "-- +goose Up\n-- +goose StatementBegin\na;\n\n\n"
        );
        assert!(matches!(up_section("a;\nb;"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_undoes_is_known_by_its_name() {
        for name in ["1_a.down.sql", "1_a_down.sql", "down.sql", "U2__x.sql", "a.undo.sql", "a.rollback.sql"] {
            assert!(undoes(Path::new(name)), "{name}");
        }
        for name in ["up.sql", "1_a.up.sql", "users__x.sql", "touchdown.sql", "V2__undo_x.sql"] {
            assert!(!undoes(Path::new(name)), "{name}");
        }
    }
}
