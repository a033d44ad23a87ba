//! What `--from` names: a database, a dump, migrations, of PostgreSQL or of MySQL.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Context;
use crate::cli;
use crate::db;
use crate::error::Error;
use crate::mysql::server;
use crate::mysql::source::{self as mysql, Dialect};
use crate::source::{self, Catalogue, Problem};

/// A source that was read.
pub enum Origin {
    /// PostgreSQL: a database or files.
    Postgres(Box<Catalogue>, Vec<Problem>),
    /// MySQL or MariaDB.
    MySql(Box<mysql::Source>),
}

/// So much of a file tells its dialect.
const HEAD: u64 = 1024 * 1024;

/// Reads a source.
pub async fn read(from: &str, dialect: Option<cli::Dialect>, ctx: &Context) -> Result<Origin, Error> {
    if from.starts_with("postgres://") || from.starts_with("postgresql://") {
        let catalogue = source::read(&mut db::connect_to(from, ctx).await?).await?;
        return Ok(Origin::Postgres(Box::new(catalogue), vec![]));
    }
    if server::is_url(from) {
        return Ok(Origin::MySql(Box::new(server::from_url(from).await?)));
    }
    if let Some((scheme, _)) = from.split_once("://") {
        return Err(Error::usage(
            format!("{scheme}:// is no source that can be read"),
            "Name a file, a directory, a postgres:// or a mysql:// URL.",
        ));
    }
    let path = Path::new(from);
    let dialect = match dialect {
        Some(cli::Dialect::Postgres) => Dialect::Postgres,
        Some(cli::Dialect::Mysql) => Dialect::MySql,
        None => detect(path)?,
    };
    match dialect {
        Dialect::MySql => Ok(Origin::MySql(Box::new(mysql::from_path(path)?))),
        Dialect::Postgres => {
            let texts = source::read_files(path)?;
            let (catalogue, problems) =
                source::from_sql(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
            Ok(Origin::Postgres(Box::new(catalogue), problems))
        }
    }
}

/// The dialect that most of the text speaks; PostgreSQL's where nothing tells.
fn detect(path: &Path) -> Result<Dialect, Error> {
    let files = if path.is_dir() { source::files::migrations(path, &["sql", "php"])? } else { vec![path.to_owned()] };
    if files.iter().any(|f| f.extension().is_some_and(|e| e.eq_ignore_ascii_case("php"))) {
        return Ok(Dialect::MySql);
    }
    let mut text = String::new();
    for file in files {
        let io = |e| Error::io(file.display().to_string(), e);
        let mut bytes = vec![];
        File::open(&file).map_err(io)?.take(HEAD).read_to_end(&mut bytes).map_err(io)?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        text.push('\n');
        if text.len() as u64 > 16 * HEAD {
            break;
        }
    }
    Ok(mysql::detect(&text).unwrap_or(Dialect::Postgres))
}
