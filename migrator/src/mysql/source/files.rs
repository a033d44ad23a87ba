//! Files: a dump of any size, or migrations in the order in which their tool runs them.

use std::path::Path;

use super::super::dump::Dump;
use super::super::php;
use super::{Fold, Source};
use crate::cli::Format;
use crate::error::Error;
use crate::files::Input;
use crate::output::Output;
use crate::source::encoding;
use crate::source::files::{begins_php, is_php, migrations, up_section};

/// A larger file is a dump: it has no sections that undo it.
const SMALL: usize = 16 * 1024 * 1024;

/// Reads a dump or a migration.
pub fn from_input(input: Input) -> Result<Source, Error> {
    let mut fold = Fold::default();
    let name = input.name.clone();
    read(&mut fold, input, &name)?;
    Ok(fold.finish())
}

/// Reads a dump, a migration or a directory of migrations.
pub fn from_path(root: &Path) -> Result<Source, Error> {
    let out = &Output::new(Format::Human);
    if !root.is_dir() {
        return from_input(Input::open(root, out)?);
    }
    let mut fold = Fold::default();
    for file in migrations(root, &["sql", "php"])? {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        // one that cannot be read is told, and the rest is judged
        if let Err(error) = Input::open(&file, out).and_then(|input| read(&mut fold, input, &shown)) {
            fold.problem(&shown, 0, None, format!("the file is not read: {error}"));
        }
    }
    Ok(fold.finish())
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
    if bytes.is_empty() {
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
    if is_php(Path::new(file)) || begins_php(text) {
        return php::read(fold, file, text);
    }
    fold.header(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
    let text = up_section(text);
    if let Err(error) = fold.read(file, &mut Dump::new(text.as_bytes())) {
        fold.problem(file, 0, None, error.to_string());
    }
}
