//! Files: a dump of any size, or migrations in the order in which their tool runs them.

use std::path::Path;

use super::super::dump::Dump;
use super::super::php;
use super::{Fold, Source};
use crate::cli::Format;
use crate::error::Error;
use crate::files::Input;
use crate::output::Output;
use crate::source::files::{is_php, migrations, up_section};

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
        read(&mut fold, Input::open(&file, out)?, &shown)?;
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
    if bytes.len() <= SMALL {
        if let Ok(text) = std::str::from_utf8(bytes) {
            take(fold, name, text);
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
    if is_php(Path::new(file)) {
        return php::read(fold, file, text);
    }
    fold.header(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
    let text = up_section(text);
    if let Err(error) = fold.read(file, &mut Dump::new(text.as_bytes())) {
        fold.problem(file, 0, None, error.to_string());
    }
}
