//! What `--from` names: a database, a dump, migrations, of PostgreSQL or of MySQL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::cli;
use crate::connect::connect_to;
use crate::conninfo;
use crate::context::Context;
use crate::error::Error;
use crate::files::Input;
use crate::from_mysql::files;
use crate::from_mysql::server;
use crate::source::folder::Folder;
use crate::source::languages::Language;
use crate::source::{self, Catalogue, Problem, Taken, encoding};
use crate::url;
use domain_events_mysql::source::{self as mysql, Dialect};

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
/// A larger file in another language is not read.
const LARGEST: usize = 16 * 1024 * 1024;
/// So much of a file tells its dialect.
const HEAD: usize = 1024 * 1024;

/// Reads a source: one, or two of a folder that holds files of both servers.
pub async fn read(from: &str, dialect: Option<cli::Dialect>, ctx: &Context) -> Result<Vec<Origin>, Error> {
    if conninfo::is_one(from) && !Path::new(from).exists() {
        let catalogue = source::read(&mut connect_to(from, ctx).await?).await?;
        return Ok(vec![Origin::Postgres(Box::new(catalogue), vec![])]);
    }
    if server::is_url(from) {
        return Ok(vec![Origin::MySql(Box::new(server::from_url(from).await?))]);
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
        return of_folder(path, given, ctx);
    }
    of_file(path, given, ctx).map(|origin| vec![origin])
}

fn of_folder(path: &Path, given: Option<Dialect>, ctx: &Context) -> Result<Vec<Origin>, Error> {
    let mut bar = Late::new(ctx);
    let folder = Folder::open(path, &mut |count| bar.step(count, "looking through files"))?;
    for said in folder.left_out() {
        ctx.out.note(said);
    }
    let parts = match given {
        Some(dialect) => vec![(dialect, folder)],
        None => folder.by_dialect(),
    };
    if parts.len() > 1 {
        let count = |own: Dialect| parts.iter().find(|(d, _)| *d == own).map_or(0, |(_, part)| part.files.len());
        let (postgres, mysql) = (count(Dialect::Postgres), count(Dialect::MySql));
        ctx.out.note(format!("of two servers: {postgres} files are read as PostgreSQL's, {mysql} as MySQL's"));
    }
    let mut origins = vec![];
    for (dialect, mut folder) in parts {
        let mut bar = Late::new(ctx);
        origins.push(if dialect == Dialect::MySql {
            Origin::MySql(Box::new(files::from_folder(path, folder, &mut |count| bar.step(count, "reading"))))
        } else {
            let kept = source::without_included(folder.files.iter().map(|(file, _)| file.clone()).collect());
            folder.files.retain(|(file, _)| kept.contains(file));
            of_postgres(folder, ctx)?
        });
    }
    Ok(origins)
}

fn of_file(path: &Path, given: Option<Dialect>, ctx: &Context) -> Result<Origin, Error> {
    // a pipe can be read but once
    let mut input = Input::open(path, &ctx.out)?;
    let language = match Language::of(path) {
        Some(Language::Php) => Language::of_text(path, &encoding::text(input.peek(HEAD)?)),
        Some(language) => Some(language),
        None => source::files::begins_php(&encoding::text(input.peek(HEAD_OF_FILE)?)).then_some(Language::Php),
    };
    if let Some(language) = language {
        return of_language(path, language, &mut input, given, ctx);
    }
    let dialect = match given {
        Some(dialect) => dialect,
        None => {
            let head = encoding::text(input.peek(HEAD)?);
            // what neither reads is told by its statements
            let marks = mysql::Marks::of(&head);
            let known = marks.of_another().map_or_else(|| marks.detect(), |_| None);
            known.unwrap_or(Dialect::Postgres)
        }
    };
    match dialect {
        Dialect::MySql => Ok(Origin::MySql(Box::new(files::from_input(input)?))),
        Dialect::Postgres => {
            let name = input.name.clone();
            fold(vec![(name, Ok(Taken::Sql(input)))].into_iter(), vec![], &mut Late::new(ctx), 1)
        }
    }
}

/// One file in another language.
fn of_language(
    path: &Path,
    language: Language,
    input: &mut Input,
    given: Option<Dialect>,
    ctx: &Context,
) -> Result<Origin, Error> {
    let bytes = input.peek(LARGEST + 1)?;
    if bytes.len() > LARGEST {
        return Err(Error::usage(
            format!("{} is a {} file of more than {LARGEST} bytes", path.display(), language.name()),
            "A migration is smaller than 16 MB: name the right file.",
        ));
    }
    let folder = Folder::of_text(path, language, &encoding::text(bytes));
    if folder.files.iter().all(|(_, given)| given.as_ref().is_none_or(Vec::is_empty)) {
        return Err(Error::refused(
            "58P01",
            format!("{} is {} and holds no SQL that is read, and no tables", path.display(), language.name()),
            "Name the migrations, a dump, or the live database.",
        ));
    }
    match given.unwrap_or_else(|| folder.dialect()) {
        Dialect::MySql => Ok(Origin::MySql(Box::new(files::from_folder(Path::new(""), folder, &mut |_| {})))),
        Dialect::Postgres => of_postgres(folder, ctx),
    }
}

/// Folds the files of a folder.
fn of_postgres(folder: Folder, ctx: &Context) -> Result<Origin, Error> {
    let problem = |(file, reason): (PathBuf, String)| Problem { file: file.display().to_string(), line: 0, reason };
    let unread = folder.unread.into_iter().map(problem).collect();
    let count = folder.files.len();
    let files = folder.files.into_iter().map(|(file, given)| {
        let name = file.display().to_string();
        let taken = match given {
            Some(given) => Ok(Taken::Given(name.clone(), given)),
            None => Input::open(&file, &ctx.out).map(Taken::Sql),
        };
        (name, taken)
    });
    fold(files, unread, &mut Late::new(ctx), count)
}

/// Folds files; one that cannot be read is told, and the rest is judged.
fn fold(
    files: impl Iterator<Item = (String, Result<Taken, Error>)>,
    mut unread: Vec<Problem>,
    bar: &mut Late<'_>,
    count: usize,
) -> Result<Origin, Error> {
    let mut problem = |file: String, reason: String| unread.push(Problem { file, line: 0, reason });
    let readable = files.filter_map(|(name, taken)| {
        bar.step(count, "reading");
        let mut input = match taken {
            Ok(Taken::Sql(input)) => input,
            Ok(given) => return Some(given),
            Err(error) => {
                problem(name, format!("the file is not read: {error}"));
                return None;
            }
        };
        match input.peek(HEAD_OF_FILE).map(<[u8]>::to_vec) {
            Err(error) => problem(name, format!("the file is not read: {error}")),
            Ok(head) if head.iter().all(u8::is_ascii_whitespace) => problem(name, "the file is empty".into()),
            Ok(head) if encoding::is_binary(&head) => {
                problem(name, format!("the file is {}", encoding::what(&head)));
            }
            Ok(head) if source::files::begins_php(&String::from_utf8_lossy(&head)) => {
                problem(name, "this is PHP: name the file .php".into());
            }
            Ok(_) => return Some(Taken::Sql(input)),
        }
        None
    });
    let (mut catalogue, mut problems) = source::from_files(readable)?;
    catalogue.statements += unread.len();
    problems.extend(unread);
    Ok(Origin::Postgres(Box::new(catalogue), problems))
}

/// A progress bar for what takes longer than one waits without a word.
struct Late<'c> {
    ctx: &'c Context,
    begun: Instant,
    done: u64,
    bar: Option<ProgressBar>,
}

impl<'c> Late<'c> {
    fn new(ctx: &'c Context) -> Self {
        Self { ctx, begun: Instant::now(), done: 0, bar: None }
    }

    fn step(&mut self, count: usize, doing: &'static str) {
        self.done += 1;
        if self.bar.is_none() && self.begun.elapsed() > PATIENCE {
            self.bar = Some(self.ctx.out.progress(count as u64, doing));
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
