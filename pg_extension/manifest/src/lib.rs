//! What an installation consists of, read from `sql/` when it is built, so that nobody keeps a second list; and the proof,
//! in SQL over PostgreSQL's catalogue alone, that a schema holds just that. Whoever has more rights than the store's owner
//! asks for it before anything in the schema is run or planned.

mod canon;
mod function;
mod object;
mod relation;
mod script;
mod token;
mod upgrade;

use std::path::{Path, PathBuf};

pub use function::Function;
pub use object::{Engine, Manifest};
pub use script::{WRITERS, expand};
pub use upgrade::SKELETON;

/// The portable engine's files, in the order of `sql/install.sql`.
pub fn files(sql: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(read(&sql.join("install.sql"))?
        .lines()
        .filter_map(|line| line.strip_prefix("\\ir "))
        .map(|name| sql.join(name.trim()))
        .collect())
}

/// What the portable engine consists of, and what `native` makes of it.
pub fn manifest(sql: &Path, native: &Path) -> Result<Manifest, String> {
    let mut manifest = Manifest::default();
    for file in files(sql)? {
        manifest.add(&read(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    manifest.add_native(&read(native)?).map_err(|error| format!("{}: {error}", native.display()))?;
    Ok(manifest)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
