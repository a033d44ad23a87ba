//! What `--from` names: a database, a dump, migrations, of PostgreSQL or of MySQL.

use std::path::Path;

use crate::Context;
use crate::cli;
use crate::conninfo;
use crate::db;
use crate::error::Error;
use crate::files::Input;
use crate::mysql::server;
use crate::mysql::source::{self as mysql, Dialect};
use crate::output::Output;
use crate::source::{self, Catalogue, Problem};
use crate::url;

/// A source that was read.
pub enum Origin {
    /// PostgreSQL: a database or files.
    Postgres(Box<Catalogue>, Vec<Problem>),
    /// MySQL or MariaDB.
    MySql(Box<mysql::Source>),
}

/// So much of a file tells its dialect.
const HEAD: usize = 1024 * 1024;

/// Reads a source.
pub async fn read(from: &str, dialect: Option<cli::Dialect>, ctx: &Context) -> Result<Origin, Error> {
    if conninfo::is_one(from) && !Path::new(from).exists() {
        let catalogue = source::read(&mut db::connect_to(from, ctx).await?).await?;
        return Ok(Origin::Postgres(Box::new(catalogue), vec![]));
    }
    if server::is_url(from) {
        return Ok(Origin::MySql(Box::new(server::from_url(from).await?)));
    }
    if from.contains("://") {
        return Err(Error::usage(
            format!("{}:// is no source that can be read", url::scheme(from)),
            "Name a file, a directory, a postgres:// or a mysql:// URL.",
        ));
    }
    let path = Path::new(from);
    if !path.exists() && url::has_secret(from) {
        return Err(Error::usage(
            "this is no file, and no URL that can be read",
            "Name a file, a directory, or a URL: postgres://USER:PASSWORD@HOST:PORT/DATABASE or mysql://USER:PASSWORD@HOST:PORT/DATABASE.",
        ));
    }
    let given = dialect.map(|dialect| match dialect {
        cli::Dialect::Postgres => Dialect::Postgres,
        cli::Dialect::Mysql => Dialect::MySql,
    });
    if path.is_dir() {
        return match given.map_or_else(|| detect(path, &ctx.out), Ok)? {
            Dialect::MySql => Ok(Origin::MySql(Box::new(mysql::from_path(path)?))),
            Dialect::Postgres => {
                let files = source::files::migrations(path, &["sql"])?;
                of_postgres(files.iter().map(|file| Input::open(file, &ctx.out)))
            }
        };
    }
    // a pipe can be read but once
    let mut input = Input::open(path, &ctx.out)?;
    let dialect = match given {
        Some(dialect) => dialect,
        None if source::files::is_php(path) => Dialect::MySql,
        None => mysql::detect(&String::from_utf8_lossy(input.peek(HEAD)?)).unwrap_or(Dialect::Postgres),
    };
    match dialect {
        Dialect::MySql => Ok(Origin::MySql(Box::new(mysql::from_input(input)?))),
        Dialect::Postgres => of_postgres([Ok(input)]),
    }
}

fn of_postgres(inputs: impl IntoIterator<Item = Result<Input, Error>>) -> Result<Origin, Error> {
    let (catalogue, problems) = source::from_inputs(inputs)?;
    Ok(Origin::Postgres(Box::new(catalogue), problems))
}

/// The dialect that most of a directory's texts speak; PostgreSQL's where nothing tells.
fn detect(directory: &Path, out: &Output) -> Result<Dialect, Error> {
    let files = source::files::migrations(directory, &["sql", "php"])?;
    if files.iter().any(|file| source::files::is_php(file)) {
        return Ok(Dialect::MySql);
    }
    let mut text = String::new();
    for file in files {
        text.push_str(&String::from_utf8_lossy(Input::open(&file, out)?.peek(HEAD)?));
        text.push('\n');
        if text.len() > 16 * HEAD {
            break;
        }
    }
    Ok(mysql::detect(&text).unwrap_or(Dialect::Postgres))
}
