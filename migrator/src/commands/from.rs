//! What `--from` names: a database, a dump, migrations, of PostgreSQL or of MySQL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::Context;
use crate::cli;
use crate::conninfo;
use crate::db;
use crate::error::Error;
use crate::files::Input;
use crate::mysql::server;
use crate::mysql::source::{self as mysql, Dialect};
use crate::output::Output;
use crate::source::{self, Catalogue, Problem, encoding};
use crate::url;

/// A source that was read.
pub enum Origin {
    /// PostgreSQL: a database or files.
    Postgres(Box<Catalogue>, Vec<Problem>),
    /// MySQL or MariaDB.
    MySql(Box<mysql::Source>),
}

/// So much of a file tells whether it is text.
const HEAD_OF_FILE: usize = 8 * 1024;
/// A progress bar comes after so long.
const PATIENCE: Duration = Duration::from_secs(2);
const OTHER_LANGUAGE: &str =
    "it makes triggers or functions in a language that is not read: scan the database that it was run on";
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
                let files = source::without_included(source::files::migrations(path, &["sql"])?);
                let count = files.len();
                let inputs = files.into_iter().map(|file| (file.display().to_string(), Input::open(&file, &ctx.out)));
                of_postgres(inputs, source::files::passed_over(path, &["sql"])?, count, ctx)
            }
        };
    }
    // a pipe can be read but once
    let mut input = Input::open(path, &ctx.out)?;
    let dialect = match given {
        Some(dialect) => dialect,
        None if source::files::is_php(path) => Dialect::MySql,
        None => mysql::detect(&encoding::text(input.peek(HEAD)?)).unwrap_or(Dialect::Postgres),
    };
    match dialect {
        Dialect::MySql => Ok(Origin::MySql(Box::new(mysql::from_input(input)?))),
        Dialect::Postgres => of_postgres([(input.name.clone(), Ok(input))], vec![], 1, ctx),
    }
}

/// Folds files; one that cannot be read is told, and the rest is judged.
fn of_postgres(
    inputs: impl IntoIterator<Item = (String, Result<Input, Error>)>,
    passed_over: Vec<PathBuf>,
    count: usize,
    ctx: &Context,
) -> Result<Origin, Error> {
    let mut bar = Late::new(count, ctx);
    let mut unread: Vec<Problem> = passed_over
        .iter()
        .map(|file| Problem { file: file.display().to_string(), line: 0, reason: OTHER_LANGUAGE.into() })
        .collect();
    let mut problem = |file: String, reason: String| unread.push(Problem { file, line: 0, reason });
    let readable = inputs.into_iter().filter_map(|(name, input)| {
        bar.step();
        let looked = input.and_then(|mut input| input.peek(HEAD_OF_FILE).map(<[u8]>::to_vec).map(|head| (input, head)));
        match looked {
            Err(error) => problem(name, format!("the file is not read: {error}")),
            Ok((_, head)) if head.iter().all(u8::is_ascii_whitespace) => problem(name, "the file is empty".into()),
            Ok((_, head)) if encoding::is_binary(&head) => {
                problem(name, format!("the file is {}", encoding::what(&head)));
            }
            Ok((_, head)) if source::files::begins_php(&String::from_utf8_lossy(&head)) => {
                problem(
                    name,
                    "this is PHP: name the file .php, and give --dialect mysql where its SQL is MySQL's".into(),
                );
            }
            Ok((input, _)) => return Some(Ok(input)),
        }
        None
    });
    let (mut catalogue, mut problems) = source::from_inputs(readable)?;
    catalogue.statements += unread.len();
    problems.extend(unread);
    Ok(Origin::Postgres(Box::new(catalogue), problems))
}

/// A progress bar for what takes longer than one waits without a word.
struct Late<'c> {
    ctx: &'c Context,
    begun: Instant,
    count: usize,
    done: u64,
    bar: Option<ProgressBar>,
}

impl<'c> Late<'c> {
    fn new(count: usize, ctx: &'c Context) -> Self {
        Self { ctx, begun: Instant::now(), count, done: 0, bar: None }
    }

    fn step(&mut self) {
        self.done += 1;
        if self.bar.is_none() && self.begun.elapsed() > PATIENCE {
            self.bar = Some(self.ctx.out.progress(self.count as u64, "reading"));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The dialect that most of a directory's texts speak; PostgreSQL's where nothing tells.
fn detect(directory: &Path, out: &Output) -> Result<Dialect, Error> {
    let files = source::files::migrations(directory, &["sql", "php"])?;
    if files.iter().any(|file| source::files::is_php(file)) {
        return Ok(Dialect::MySql);
    }
    let mut text = String::new();
    for file in files {
        // one that cannot be opened is told when it is read
        if let Ok(mut input) = Input::open(&file, out) {
            text.push_str(&String::from_utf8_lossy(input.peek(HEAD).unwrap_or_default()));
        }
        text.push('\n');
        if text.len() > 16 * HEAD {
            break;
        }
    }
    Ok(mysql::detect(&text).unwrap_or(Dialect::Postgres))
}
