//! A folder of migrations, or one file: what is SQL, what is in another language and gives some, and whose SQL it is.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::encoding;
use super::files::{self, FOREIGN};
use super::languages::{self, Common, ENDINGS, Given, Language, What};
use crate::error::Error;
use domain_events_mysql::source::{Dialect, Marks, of_path};

/// So much of a file tells its dialect.
const HEAD: u64 = 1024 * 1024;
/// A larger file in another language is not read.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Whose database a project uses is looked for so many folders above the migrations.
const ABOVE: usize = 4;

/// A folder that was looked through.
#[derive(Debug, Default)]
pub struct Folder {
    /// Its files, in the order in which they are run, with what those in other languages give.
    pub files: Vec<(PathBuf, Option<Vec<Given>>)>,
    /// Files that are not read, and why.
    pub unread: Vec<(PathBuf, String)>,
    /// Files that undo others, by their names: these are left out.
    pub undoing: Vec<PathBuf>,
    /// Files with nothing in them.
    pub empty: Vec<PathBuf>,
    /// The folder, or that of the one file.
    directory: PathBuf,
    /// What the files of SQL have of each server's marks.
    marks: HashMap<PathBuf, Marks>,
}

impl Folder {
    /// Looks through a folder; `step` is called for each file.
    pub fn open(directory: &Path, step: &mut dyn FnMut(usize)) -> Result<Self, Error> {
        let endings: Vec<&str> = files::PLAIN.into_iter().chain(ENDINGS).collect();
        let (all, undoing) = files::migrations(directory, &endings)?;
        let count = all.len();
        let mut common = Common::default();
        common.own_turn.extend(all.iter().filter(|f| Language::of(f).is_none()).cloned());
        let mut folder = Self { directory: directory.to_owned(), undoing, ..Self::default() };
        let mut texts = vec![];
        for file in all {
            if is_empty(&file) {
                folder.empty.push(file);
                continue;
            }
            if Language::of(&file).is_none() {
                let marks = head(&file).map(|text| Marks::of(&text)).unwrap_or_default();
                folder.marks.insert(file.clone(), marks);
                match marks.of_another() {
                    Some(whose) => folder.unread.push((file, format!("this is {whose}, which is not read"))),
                    None => texts.push((file, None)),
                }
                continue;
            }
            let below = file.strip_prefix(directory).unwrap_or(&file);
            if below.components().any(|c| FOREIGN.iter().any(|f| c.as_os_str() == *f)) {
                continue;
            }
            match text_of(&file) {
                Ok(text) if Language::of_text(&file, &text).is_none() => texts.push((file, None)),
                Ok(text) if languages::may_hold(&text) => texts.push((file, Some(text))),
                Ok(_) => {}
                Err(reason) => folder.unread.push((file, reason)),
            }
        }
        for (file, text) in languages::in_order_of_revisions(texts, |text| text.as_deref()) {
            step(count);
            let given = text
                .zip(Language::of(&file))
                .map(|(text, language)| languages::read(&mut common, language, &file, &text));
            folder.files.push((file, given));
        }
        // a file whose text is part of another's comes where that is run
        let included = common.included;
        folder.files.retain(|(file, given)| {
            given.is_some() || included.is_empty() || !file.canonicalize().is_ok_and(|f| included.contains(&f))
        });
        folder.files.retain(|(_, given)| given.as_ref().is_none_or(|g| !g.is_empty()));
        for file in files::passed_over(directory, &endings)? {
            folder.unread.push((file, OTHER_LANGUAGE.into()));
        }
        if folder.files.is_empty() && folder.unread.is_empty() {
            let what = match folder.empty.is_empty() {
                true => "no file that ends with .sql, and none in another language that holds SQL",
                false => "nothing but empty files",
            };
            return Err(Error::refused(
                "58P01",
                format!("{} holds {what}", directory.display()),
                "Name a dump, or the directory of the migrations.",
            ));
        }
        Ok(folder)
    }

    /// What is said of the files that are left out: those that undo others, and those with nothing in them.
    pub fn left_out(&self) -> Vec<String> {
        const SHOWN: usize = 3;
        let name = |f: &PathBuf| f.strip_prefix(&self.directory).unwrap_or(f).display().to_string();
        let told = |files: &[PathBuf], why: &str| {
            let shown: Vec<String> = files.iter().take(SHOWN).map(name).collect();
            let more = if files.len() > SHOWN { ", .." } else { "" };
            let count = files.len();
            (count > 0).then(|| format!("left out, {why}: {count} ({}{more})", shown.join(", ")))
        };
        let undoing = told(&self.undoing, "by the name, as what undoes others");
        undoing.into_iter().chain(told(&self.empty, "as empty")).collect()
    }

    /// Reads one text in another language.
    pub fn of_text(file: &Path, language: Language, text: &str) -> Self {
        let given = languages::read(&mut Common::default(), language, file, text);
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        Self { files: vec![(file.to_owned(), Some(given))], directory, ..Self::default() }
    }

    /// Whose SQL it is: what the SQL itself tells, or else what the project's settings name.
    pub fn dialect(&self) -> Dialect {
        let mut marks = Marks::default();
        for (file, given) in &self.files {
            marks = match given {
                Some(given) => given.iter().fold(marks, |marks, g| match &g.what {
                    What::Sql(sql) => marks.and(Marks::of(&sql.known_parts())),
                    _ => marks,
                }),
                None => marks.and(self.marks_of(file)),
            };
        }
        let named = || {
            let mut named = self.files.iter().map(|(file, _)| of_path(file));
            let first = named.next().flatten()?;
            named.all(|other| other == Some(first)).then_some(first)
        };
        let of_php = || {
            let php = |(file, given): &(PathBuf, Option<Vec<Given>>)| given.is_some() && files::is_php(file);
            let all = !self.files.is_empty() && self.files.iter().all(php);
            if all { Dialect::MySql } else { Dialect::Postgres }
        };
        let said = marks.clearly().or_else(named).or_else(|| marks.detect());
        said.or_else(|| settings(&self.directory)).unwrap_or_else(of_php)
    }

    fn marks_of(&self, file: &PathBuf) -> Marks {
        let read = || head(file).map(|text| Marks::of(&text)).unwrap_or_default();
        self.marks.get(file).copied().unwrap_or_else(read)
    }

    /// The folder, or two of them where files are clearly another server's than the rest, the rest first.
    pub fn by_dialect(mut self) -> Vec<(Dialect, Self)> {
        let main = self.dialect();
        let all = std::mem::take(&mut self.files);
        let own = |(file, given): &(PathBuf, Option<Vec<Given>>)| {
            if given.is_some() {
                return main;
            }
            let below = file.strip_prefix(&self.directory).unwrap_or(file);
            self.marks_of(file).clearly().or_else(|| of_path(below)).unwrap_or(main)
        };
        let (files, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|file| own(file) == main);
        let other = match main {
            Dialect::MySql => Dialect::Postgres,
            Dialect::Postgres => Dialect::MySql,
        };
        let directory = self.directory.clone();
        let rest = Self { files, ..self };
        let others = Self { files: others, directory, ..Self::default() };
        match (rest.files.is_empty() && rest.unread.is_empty(), others.files.is_empty()) {
            (_, true) => vec![(main, rest)],
            (true, _) => vec![(other, others)],
            _ => vec![(main, rest), (other, others)],
        }
    }
}

/// Why a file is not read that makes triggers.
pub const OTHER_LANGUAGE: &str =
    "it makes triggers or functions in a language that is not read: scan the database that it was run on";

/// Whether a file has nothing in it but white space.
fn is_empty(file: &Path) -> bool {
    const BLANK: u64 = 64;
    let small = std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= BLANK);
    small && std::fs::read(file).is_ok_and(|bytes| bytes.iter().all(u8::is_ascii_whitespace))
}

fn head(file: &Path) -> Option<String> {
    let mut bytes = vec![];
    // a pipe would wait
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    File::open(file).and_then(|f| f.take(HEAD).read_to_end(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn text_of(file: &Path) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("the file is not read: {e}");
    let found = std::fs::metadata(file).map_err(failed)?;
    if !found.is_file() {
        return Ok(String::new());
    }
    if found.len() > LARGEST {
        return Err(format!("the file is not read: it has more than {LARGEST} bytes"));
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    if encoding::is_binary(&bytes) {
        return Err(format!("the file is {}", encoding::what(&bytes)));
    }
    Ok(encoding::text(&bytes).into_owned())
}

/// The database that the settings of a project name, in the folder or above it.
fn settings(directory: &Path) -> Option<Dialect> {
    const FILES: [&str; 19] = [
        ".env",
        ".env.example",
        "knexfile.js",
        "knexfile.ts",
        "config/database.yml",
        "config/database.php",
        "config/config.json",
        "database.json",
        "ormconfig.json",
        "alembic.ini",
        "phinx.php",
        "phinx.yml",
        "schema.prisma",
        "prisma/schema.prisma",
        "package.json",
        "Gemfile",
        "requirements.txt",
        "pyproject.toml",
        "docker-compose.yml",
    ];
    const POSTGRES: [&str; 6] = ["postgres", "pgsql", "'pg'", "\"pg\"", "psycopg", "asyncpg"];
    const MYSQL: [&str; 2] = ["mysql", "mariadb"];
    let directory = directory.canonicalize().ok()?;
    for folder in directory.ancestors().take(ABOVE) {
        let (mut postgres, mut mysql) = (0, 0);
        for name in FILES {
            let text = head(&folder.join(name)).unwrap_or_default().to_ascii_lowercase();
            let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
            match (has(&POSTGRES), has(&MYSQL)) {
                (true, false) => postgres += 1,
                (false, true) => mysql += 1,
                _ => {}
            }
        }
        match mysql.cmp(&postgres) {
            std::cmp::Ordering::Greater => return Some(Dialect::MySql),
            std::cmp::Ordering::Less => return Some(Dialect::Postgres),
            std::cmp::Ordering::Equal if folder.join(".git").exists() => return None,
            std::cmp::Ordering::Equal => {}
        }
    }
    None
}
