//! Files: a dump of any size, or migrations in the order in which their tool runs them.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files::Input;
use crate::output::Format;
use crate::output::Output;
use crate::source::encoding;
use crate::source::files::{holds_php, is_php};
use crate::source::folder::Folder;
use crate::source::languages::{self, Common, Given, Language, What};
use crate::source::undo::{self, SMALL};
use domain_events_mysql::dump::{ANOTHER_FILE, Dump};
use domain_events_mysql::source::{Dialect, Fold, Source};

/// Reads a dump or a migration.
pub fn from_input(input: Input) -> Result<Source, Error> {
    let mut fold = Fold::default();
    let name = input.name.clone();
    read(&mut fold, input, &name)?;
    Ok(fold.finish())
}

/// Reads a dump, a migration or a directory of migrations.
pub fn from_path(root: &Path) -> Result<Source, Error> {
    if !root.is_dir() {
        return from_input(Input::open(root, &Output::new(Format::Human))?);
    }
    Ok(from_folder(root, Folder::open(root, &mut |_| {})?, &mut |_| {}))
}

/// Reads what was looked through already; `step` is called for each file.
pub fn from_folder(root: &Path, folder: Folder, step: &mut dyn FnMut(usize)) -> Source {
    let out = &Output::new(Format::Human);
    let shown = |file: &Path| file.strip_prefix(root).unwrap_or(file).display().to_string();
    let count = folder.files.len();
    let mut fold = Fold::default();
    let files: Vec<PathBuf> = folder.files.iter().map(|(file, _)| file.clone()).collect();
    for (file, given) in folder.files {
        step(count);
        let name = shown(&file);
        if let Some(given) = given {
            take_given(&mut fold, &name, &given);
            continue;
        }
        // one that cannot be read is told, and the rest is judged
        if let Err(error) = Input::open(&file, out).and_then(|input| read(&mut fold, input, &name)) {
            fold.problem(&name, 0, None, format!("the file is not read: {error}"));
        }
    }
    for (file, reason) in folder.unread {
        fold.problem(&shown(&file), 0, None, reason);
    }
    // what a file sources is no problem where it is read in a place of its own
    fold.forget_problems(|reason| {
        reason.strip_suffix(ANOTHER_FILE).is_some_and(|named| files.iter().any(|file| is_named(file, named)))
    });
    fold.finish()
}

/// Whether a file is the one that a SOURCE names, as far as the folders are known.
fn is_named(file: &Path, named: &str) -> bool {
    let named: Vec<&str> = named.trim_matches(['\'', '"', '`', ';', ' ']).split(['/', '\\']).rev().collect();
    let known = named.iter().take_while(|part| !part.contains(['@', '$', '{']) && !matches!(**part, "." | ".." | ""));
    let own = file.components().rev().map(|c| c.as_os_str().to_string_lossy().into_owned());
    let same: Vec<bool> = known.zip(own).map(|(part, own)| part.eq_ignore_ascii_case(&own)).collect();
    // the innermost folder of the two is enough: others are where it is installed
    same.first() == Some(&true) && same.get(1) != Some(&false)
}

/// Reads texts by the names of their files, in the order given.
pub fn from_texts<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Source {
    let mut fold = Fold::default();
    for (file, text) in files {
        take(&mut fold, file, text);
    }
    fold.finish()
}

fn read(fold: &mut Fold, mut input: Input, name: &str) -> Result<(), Error> {
    let io = |e| Error::io(name, e);
    let bytes = input.peek(SMALL + 1)?;
    if bytes.len() <= SMALL && bytes.iter().all(u8::is_ascii_whitespace) {
        fold.problem(name, 0, None, "the file is empty".into());
        return Ok(());
    }
    if encoding::is_binary(bytes) {
        fold.problem(name, 0, None, format!("the file is {}", encoding::what(bytes)));
        return Ok(());
    }
    if bytes.len() <= SMALL {
        let wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        // a dump names its character sets itself
        let named = bytes.len() > 64 * 1024 || bytes.windows(9).any(|w| w.eq_ignore_ascii_case(b"set names"));
        if wide || !named || std::str::from_utf8(bytes).is_ok() || is_php(Path::new(name)) {
            let text = encoding::text(bytes).into_owned();
            take(fold, name, &text);
            return Ok(());
        }
    } else if is_php(Path::new(name)) {
        return Err(Error::usage(
            format!("{name} is a PHP file of more than {SMALL} bytes"),
            "A migration is smaller than 16 MB: name the right file.",
        ));
    }
    fold.header(&String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]));
    fold.read(name, &mut Dump::new(input)).map_err(io)
}

fn take(fold: &mut Fold, file: &str, text: &str) {
    if holds_php(Path::new(file), text) {
        let given = languages::read(&mut Common::default(), Language::Php, Path::new(file), text);
        return take_given(fold, file, &given);
    }
    fold.header(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
    let (text, doubt) = undo::forward(text, Dialect::MySql);
    if let Some(doubt) = doubt {
        fold.problem(file, doubt.line as u64, None, doubt.to_string());
    }
    if let Err(error) = fold.read(file, &mut Dump::new(text.as_bytes())) {
        fold.problem(file, 0, None, error.to_string());
    }
}

/// What a file in another language gives.
fn take_given(fold: &mut Fold, file: &str, given: &[Given]) {
    for one in given.iter().filter(|g| g.only.counts(Dialect::MySql)) {
        let line = one.row as u64 + 1;
        match &one.what {
            What::Problem { about, reason } => fold.problem(file, line, about.clone(), reason.clone()),
            What::Sql(text) => match text.whole() {
                Some(whole) => statements(fold, file, one.row, &whole),
                // MySQL has no names that could stand for what is not known
                None => {
                    let unknown = text.first_unknown().unwrap_or_default();
                    let reason =
                        format!("its SQL is put together at run time, from {unknown}: read the live database instead");
                    fold.problem(file, line, about(&text.known_parts()), reason);
                }
            },
            tables => tables.of_tables(Dialect::MySql).iter().for_each(|sql| statements(fold, file, one.row, sql)),
        }
    }
}

/// Lines stay those of the file.
fn statements(fold: &mut Fold, file: &str, row: usize, sql: &str) {
    let padded = format!("{}{sql}", "\n".repeat(row));
    if let Err(error) = fold.read(file, &mut Dump::new(padded.as_bytes())) {
        fold.problem(file, row as u64 + 1, None, error.to_string());
    }
}

/// What a half-known text is about, for the person who reads the problem; its name is not known.
fn about(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let makes = words.iter().any(|w| matches!(*w, "CREATE" | "ALTER"));
    let kinds = ["TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "VIEW", "TABLE"];
    kinds.iter().find(|k| makes && words.contains(k)).map(|k| format!("{} (named at run time)", k.to_ascii_lowercase()))
}
