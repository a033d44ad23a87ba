//! Files: a dump of any size, or migrations in the order in which their tool runs them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::dump::Dump;
use super::super::php;
use super::{Fold, Source};
use crate::error::Error;
use crate::source::files::{migrations, up_section};

/// A larger file is a dump: it has no sections that undo it.
const SMALL: u64 = 16 * 1024 * 1024;

/// Reads a dump, a migration or a directory of migrations.
pub fn from_path(path: &Path) -> Result<Source, Error> {
    let files = if path.is_dir() { migrations(path, &["sql", "php"])? } else { vec![path.to_owned()] };
    let mut fold = Fold::default();
    for file in &files {
        read(&mut fold, file, path)?;
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

fn read(fold: &mut Fold, file: &PathBuf, root: &Path) -> Result<(), Error> {
    let shown = file.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty()).unwrap_or(file);
    let name = shown.display().to_string();
    let io = |e| Error::io(file.display().to_string(), e);
    let size = std::fs::metadata(file).map_err(io)?.len();
    let is_php = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("php"));
    if size <= SMALL {
        let bytes = std::fs::read(file).map_err(io)?;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            take(fold, &name, text);
            return Ok(());
        }
        fold.header(&String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]));
        return fold.read(&name, &mut Dump::new(bytes.as_slice())).map_err(io);
    }
    if is_php {
        return Err(Error::usage(
            format!("{name} is a PHP file of {size} bytes"),
            "A migration is smaller than 16 MB: name the right file.",
        ));
    }
    let mut head = vec![0; 4096];
    let length = File::open(file).and_then(|mut f| f.read(&mut head)).map_err(io)?;
    fold.header(&String::from_utf8_lossy(&head[..length]));
    fold.read(&name, &mut Dump::open(file)?).map_err(io)
}

fn take(fold: &mut Fold, file: &str, text: &str) {
    if Path::new(file).extension().is_some_and(|e| e.eq_ignore_ascii_case("php")) {
        return php::read(fold, file, text);
    }
    fold.header(text.get(..text.floor_char_boundary(4096)).unwrap_or_default());
    let text = up_section(text);
    if let Err(error) = fold.read(file, &mut Dump::new(text.as_bytes())) {
        fold.problem(file, 0, None, error.to_string());
    }
}
