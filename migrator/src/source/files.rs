//! Directories of migrations, whatever tool runs them: their order, and which of them undo others.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::languages::makes_programs;
use crate::error::Error;

/// Endings of files that are SQL as they stand.
pub const PLAIN: [&str; 9] = ["sql", "ddl", "pgsql", "psql", "plpgsql", "trigger", "trg", "fnc", "mysql"];

/// Files below a directory with one of the extensions, if any, in the order in which they are run, and those that undo others.
pub fn migrations(directory: &Path, extensions: &[&str]) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let mut files = vec![];
    collect(directory, &|file| ends_with(file, extensions) || is_configured(file), &mut files)?;
    let names: HashSet<(PathBuf, Vec<String>)> = files.iter().filter(|f| is_sql(f)).map(|f| place(f)).collect();
    let in_order = |a: &PathBuf, b: &PathBuf| repeatable(a).cmp(&repeatable(b)).then_with(|| of_paths(a, b));
    let (mut undoing, mut files): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| undoes(f) || pairs(f, &names));
    files.sort_by(in_order);
    undoing.sort_by(in_order);
    Ok((files, undoing))
}

/// Endings of languages in which migrations are written that hold SQL.
const LANGUAGES: [&str; 25] = [
    "js", "cjs", "mjs", "jsx", "ts", "tsx", "py", "rb", "php", "go", "java", "kt", "kts", "scala", "cs", "fs", "ex",
    "exs", "clj", "rs", "pl", "groovy", "xml", "yaml", "yml",
];
/// Endings of templates that SQL is made of; so is `x.sql.y`, whatever y is.
const TEMPLATES: [&str; 9] = ["tpl", "j2", "sqlt", "jinja", "jinja2", "tmpl", "template", "mustache", "dump"];
/// Endings of what an editor or a person puts aside.
const ASIDE: [&str; 5] = ["bak", "orig", "old", "swp", "rej"];
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
    let of_sql = |file: &Path| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let made_of_sql = stem.ends_with(".sql") && !ends_with(file, &ASIDE) && !is_configured(file);
        ends_with(file, &TEMPLATES) || made_of_sql && !ends_with(file, taken)
    };
    collect(directory, &|file| ends_with(file, &others) || of_sql(file), &mut files)?;
    // nothing of what others wrote is opened
    files.retain(|file| !file.components().any(|c| FOREIGN.iter().any(|f| c.as_os_str() == *f)) && !undoes(file));
    files.retain(|file| {
        let mut text = vec![];
        let read = std::fs::File::open(file).and_then(|f| f.take(LOOKED_AT).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let makes = |w: &[&str]| MAKES.contains(&w[0]) && WHAT.contains(&w[1]);
        read.is_ok() && (words.windows(2).any(makes) || of_sql(file) && makes_programs(&text))
    });
    files.sort_by(|a, b| of_paths(a, b));
    Ok(files)
}

/// Whether a file is PHP, by its name.
pub fn is_php(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("php"))
}

/// Whether a text is PHP: one that is called so may be nothing but SQL.
pub fn holds_php(file: &Path, text: &str) -> bool {
    is_php(file) && text.contains("<?") || begins_php(text)
}

/// Whether a text is PHP, whatever its file is called.
pub fn begins_php(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with("<?php")
}

fn ends_with(file: &Path, extensions: &[&str]) -> bool {
    file.extension().is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)))
}

fn is_sql(file: &Path) -> bool {
    ends_with(file, &PLAIN) || is_configured(file)
}

/// `x.sql.in`: SQL with names between `@` that configure puts in.
fn is_configured(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n.to_string_lossy().to_ascii_lowercase().ends_with(".sql.in"))
}

fn collect(directory: &Path, wanted: &dyn Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |e| Error::io(directory.display().to_string(), e);
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() && !hidden {
            collect(&path, wanted, files)?;
        } else if !hidden && wanted(&path) {
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
    // of a pair create_x, remove_x
    let sibling = |word: &str| {
        let ending = file.extension().unwrap_or_default().to_string_lossy();
        let other = stem.strip_prefix(word).map(|rest| file.with_file_name(format!("create_{rest}.{ending}")));
        other.is_some_and(|other| other.exists())
    };
    flyway
        || stem.ends_with("_down")
        || ["drop", "dropall", "dropeverything", "droptables", "dropschema", "destroy", "cleandatabase"]
            .contains(&letters.as_str())
        || ["uninstall", "teardown"].iter().any(|w| stem.starts_with(w) || stem.ends_with(w))
        || sibling("remove_")
        || sibling("drop_")
        || ["down", "undo", "rollback", "revert"].iter().any(|w| stem.split('.').any(|part| part == *w))
}

/// Where a file is, and the words of its name.
fn place(file: &Path) -> (PathBuf, Vec<String>) {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let words = stem.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    (file.parent().unwrap_or(Path::new("")).to_owned(), words)
}

/// Whether a file of SQL undoes another one, by the words of its name: `Rollback-create-x`, `undo_x` and `x_rollback` beside `x` or
/// `create_x`, and `Drop-x` beside it that does nothing but drop. A table may be called undo_log, and a later migration may undo an
/// earlier one: without the other file, a name alone says so where it names what is undone by its verb, or where nothing is made.
fn pairs(file: &Path, names: &HashSet<(PathBuf, Vec<String>)>) -> bool {
    const UNDOES: [&str; 3] = ["rollback", "revert", "undo"];
    const DROPS: [&str; 3] = ["drop", "remove", "delete"];
    const MAKES: [&str; 10] =
        ["create", "add", "make", "alter", "update", "insert", "set", "modify", "install", "apply"];
    const FORWARD: [&str; 5] = ["up", "forward", "deploy", "migrate", "apply"];
    if !is_sql(file) {
        return false;
    }
    let (folder, words) = place(file);
    let known = |words: Vec<String>| !words.is_empty() && names.contains(&(folder.clone(), words));
    let beside = |rest: &[String]| {
        let with = |before: Option<&str>, after: Option<&str>| {
            let words = before.map(str::to_owned).into_iter().chain(rest.iter().cloned());
            known(words.chain(after.map(str::to_owned)).collect())
        };
        with(None, None) || MAKES.iter().any(|m| with(Some(m), None)) || FORWARD.iter().any(|f| with(None, Some(f)))
    };
    let text = || {
        let bytes = std::fs::metadata(file).ok().filter(|m| m.is_file() && m.len() < LOOKED_AT);
        let text =
            bytes.and_then(|_| std::fs::read(file).ok()).map(|b| String::from_utf8_lossy(&b).to_ascii_lowercase());
        text.map(|t| t.lines().filter(|l| !l.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n"))
    };
    let makes_nothing = || text().is_some_and(|t| !words_of(&t).any(|w| matches!(w, "create" | "insert" | "replace")));
    let Some(at) = words.iter().position(|w| UNDOES.contains(&w.as_str())) else {
        let [verb, rest @ ..] = &words[..] else { return false };
        return DROPS.contains(&verb.as_str()) && beside(rest) && text().is_some_and(|t| only_drops(&t));
    };
    let (before, rest) = (&words[..at], &words[at + 1..]);
    let numbered = before.first().filter(|w| w.bytes().all(|b| b.is_ascii_digit()));
    if rest.is_empty() {
        return beside(before)
            || !before.is_empty() && makes_nothing()
            || numbered.is_some_and(|number| is_alone_beside(&folder, number, names));
    }
    // V2__undo_x comes after V1__x and goes forward
    if before.iter().any(|w| w.contains(|c: char| c.is_ascii_digit())) {
        return before.len() == 1 && numbered.is_some_and(|number| is_alone_beside(&folder, number, names));
    }
    let verb = |w: &str| MAKES.contains(&w) || DROPS.contains(&w);
    beside(rest) || at == 0 && rest.len() > 1 && verb(&rest[0]) || makes_nothing()
}

/// `004_x_rollback` beside `004_create_y`: one other file has its number, and that goes forward.
fn is_alone_beside(folder: &Path, number: &str, names: &HashSet<(PathBuf, Vec<String>)>) -> bool {
    let same = |(at, words): &&(PathBuf, Vec<String>)| at == folder && words.first().is_some_and(|w| w == number);
    names.iter().filter(same).count() == 2
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// Whether the statements of a text are nothing but drops.
fn only_drops(text: &str) -> bool {
    let mut statements = text.split(';').filter_map(|s| words_of(s).next()).peekable();
    statements.peek().is_some() && statements.all(|s| matches!(s, "drop" | "begin" | "commit" | "set" | "start"))
}

/// Flyway's `R__x.sql` run after all others.
fn repeatable(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("R__"))
}

/// Compares folder by folder, a name before longer ones that begin with it, and a file before the folder of its name.
fn of_paths(a: &Path, b: &Path) -> Ordering {
    let parts = |path: &Path| {
        let mut parts: Vec<(String, bool)> = path
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .map(|c| (c.as_os_str().to_string_lossy().to_ascii_lowercase(), true))
            .collect();
        parts.push((path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase(), false));
        parts
    };
    let (left, right) = (parts(a), parts(b));
    let differs = left.iter().zip(&right).map(|((x, dx), (y, dy))| natural(x, y).then(dx.cmp(dy))).find(|o| o.is_ne());
    differs.unwrap_or_else(|| left.len().cmp(&right.len()).then_with(|| a.cmp(b)))
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
        let (files, undoing) = migrations(&directory, &["sql"]).expect("files");
        assert_eq!(undoing.len(), 6, "{undoing:?}");
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
        assert!(migrations(&directory.join("later/deep"), &["sql"]).expect("no file").0.is_empty());
        std::fs::remove_dir_all(&directory).expect("removed");
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

    #[test]
    fn a_pair_of_names_tells_what_undoes() {
        let directory = std::env::temp_dir().join(format!("domain-events-pairs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let makes = "create table doc_log (id int);";
        let takes = "-- create it again if need be\ndrop table doc_log;\n";
        let undoing = [
            ("Rollback-create-doc.sql", makes),
            ("Rollback-drop-column.sql", makes),
            ("Revert-doc.sql", makes),
            ("note_rollback.sql", makes),
            ("zz_undo_note.sql", makes),
            ("revert-all.sql", takes),
            ("Drop-doc.sql", takes),
        ];
        let forward = [
            ("Create-doc.sql", makes),
            ("note.sql", makes),
            // a table of that name, later migrations, and a drop that does more or has no other file
            ("undo_log.sql", makes),
            ("V1__undo.sql", makes),
            ("V2__undo_note.sql", takes),
            ("Drop-note.sql", "drop table doc_log; create table other (id int);"),
            ("Drop-more.sql", takes),
        ];
        for (name, text) in undoing.iter().chain(&forward) {
            std::fs::write(directory.join(name), text).expect("a file");
        }
        let (_, found) = migrations(&directory, &PLAIN).expect("files");
        for (name, _) in undoing {
            assert!(found.contains(&directory.join(name)), "{name}");
        }
        for (name, _) in forward {
            assert!(!found.contains(&directory.join(name)), "{name}");
        }
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn folders_come_in_the_order_of_their_own_names() {
        let mut paths = [
            "way_name/a.sql",
            "way/b.sql",
            "way10/a.sql",
            "way9/a.sql",
            "way.sql",
            "way_x.sql",
            "V1/V1_1__a.sql",
            "V1/V1__a.sql",
        ];
        paths.sort_by(|a, b| of_paths(Path::new(a), Path::new(b)));
        assert_eq!(
            paths,
            [
                "V1/V1__a.sql",
                "V1/V1_1__a.sql",
                "way.sql",
                "way/b.sql",
                "way_name/a.sql",
                "way_x.sql",
                "way9/a.sql",
                "way10/a.sql"
            ]
        );
    }
}
