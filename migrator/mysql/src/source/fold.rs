//! Statements of files, folded in their order: what is dropped is gone, the later definition wins.

use super::super::ast::{Position, ProgramKind, SqlMode};
use super::super::dump::{Dump, Piece, Session, Statement};
use super::super::parser::{self, Text};
use super::words::{first_words, is_blank, is_same};
use super::{Problem, Server, Source, Sourced, kind_of, missing};

/// Schemas of the server itself.
const SYSTEM: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// Words with which a statement begins, but those that are looked at more closely.
const STATEMENTS: [&str; 56] = [
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "BINLOG",
    "CACHE",
    "CALL",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "COMMIT",
    "DEALLOCATE",
    "DESC",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GET",
    "GRANT",
    "HANDLER",
    "HELP",
    "IMPORT",
    "INSTALL",
    "KILL",
    "LOAD",
    "OPTIMIZE",
    "PREPARE",
    "PURGE",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "RESET",
    "RESIGNAL",
    "RESTART",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SHOW",
    "SHUTDOWN",
    "SIGNAL",
    "SLAVE",
    "START",
    "STOP",
    "TABLE",
    "TRUNCATE",
    "UNINSTALL",
    "VALUES",
    "WITH",
    "XA",
    "BACKUP",
    "GRANT",
    "SET",
    "USE",
    "SELECT",
];

/// How what is said of a source with several databases begins.
pub const SEVERAL_DATABASES: &str = "it holds several databases";

/// Files that are being folded.
#[derive(Debug, Default)]
pub struct Fold {
    pub(super) source: Source,
    pub(super) databases: Vec<String>,
}

impl Fold {
    /// Reads all statements of a file; the rows of its INSERTs are skipped.
    pub fn read<R: std::io::Read>(&mut self, file: &str, dump: &mut Dump<R>) -> std::io::Result<()> {
        while let Some(piece) = dump.piece()? {
            match piece {
                Piece::Statement(statement) => {
                    self.source.statements += 1;
                    self.statement(file, &statement);
                }
                Piece::Insert(_) => self.source.statements += 1,
                Piece::Problem(problem) => self.problem(file, problem.line, None, problem.reason),
            }
        }
        Ok(())
    }

    /// What wrote the file, if its first lines tell.
    pub fn header(&mut self, head: &str) {
        if let Some(server) = head.lines().take(40).find_map(server) {
            self.source.server = Some(server);
        }
    }

    /// Takes one statement.
    pub fn statement(&mut self, file: &str, statement: &Statement) {
        let session = &statement.session;
        let mode = session.mode();
        let position = Position { line: statement.line, column: statement.column };
        let first = first_words(&statement.text);
        let words: Vec<&str> = first.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["INSERT" | "REPLACE" | "SET" | "USE" | "LOCK" | "UNLOCK" | "SELECT" | "UPDATE" | "DELETE", ..] => return,
            ["DROP", "TRIGGER" | "FUNCTION" | "PROCEDURE" | "EVENT", ..] => {
                return self.drop_program(file, statement);
            }
            ["DROP", "TABLE" | "TABLES", ..] => self.drop_tables(file, statement),
            ["RENAME", "TABLE" | "TABLES", ..] | ["ALTER", "TABLE", ..] => {
                self.follow_tables(&statement.text, position, mode);
            }
            ["CREATE", ..] => {
                if self.program(file, statement, position, mode) {
                    return;
                }
                self.view(&statement.text, position, mode);
                self.like(&statement.text, position, mode);
                self.of_query(&statement.text, position, mode);
            }
            [first, ..] if STATEMENTS.contains(first) => {}
            _ if is_blank(&statement.text, position, mode) => return,
            _ => {
                let shown: String = statement.text.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
                let shown: String = shown.chars().take(80).collect();
                return self.problem(file, statement.line, None, format!("this is no statement of MySQL: {shown} .."));
            }
        }
        if session.database.as_deref().is_some_and(is_system) {
            return;
        }
        let (known, unread) = (self.source.schema.tables.len(), self.source.schema.unread.len());
        self.source.schema.take(&statement.text, statement.line, session);
        if self.source.schema.tables.len() > known {
            self.database(session.database.as_deref());
        }
        for unread in self.source.schema.unread.split_off(unread) {
            let object = unread.table.as_ref().map(|t| format!("table {t}"));
            self.problem(file, unread.line, object, unread.reason);
        }
    }

    /// Adds what is no statement of a file, such as what a server says.
    pub fn problem(&mut self, file: &str, line: u64, object: Option<String>, reason: String) {
        self.source.problems.push(Problem { file: file.to_owned(), line, object, reason });
    }

    /// Takes problems back that turned out to be none.
    pub fn forget_problems(&mut self, is_none: impl Fn(&str) -> bool) {
        self.source.problems.retain(|p| !is_none(&p.reason));
    }

    /// Everything that was read, with what is missing in it.
    pub fn finish(mut self) -> Source {
        let doubts: Vec<Problem> = self.source.programs.iter_mut().filter_map(|p| p.doubt.take()).collect();
        self.source.problems.extend(doubts);
        if let [first, second, ..] = self.databases.as_slice() {
            let reason = format!(
                "{SEVERAL_DATABASES}, {first} and {second} among them: names that both have are taken for one; \
                 dump one database at a time"
            );
            let file = self.source.programs.first().map(|p| p.file.clone()).unwrap_or_default();
            self.source.problems.push(Problem { file, line: 0, object: None, reason });
        }
        if self.source.database.is_none() {
            self.source.database = self.databases.into_iter().next();
        }
        self.source.missing = missing::find(&self.source);
        self.source
    }

    fn database(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| !self.databases.iter().any(|known| known == name)) {
            self.databases.push(name.to_owned());
        }
    }

    /// Takes a CREATE of a program; whether it is one.
    fn program(&mut self, file: &str, statement: &Statement, position: Position, mode: SqlMode) -> bool {
        let session: &Session = &statement.session;
        match parser::program(Text { text: &statement.text, position, mode }) {
            None => return false,
            Some(_) if session.database.as_deref().is_some_and(is_system) => {}
            Some(Err(bad)) => {
                let name = bad.name.map(|n| format!(" {n}")).unwrap_or_default();
                let object = Some(format!("{}{name}", bad.what.to_ascii_lowercase()));
                let column = bad.why.position.column;
                self.problem(file, bad.why.position.line, object, format!("column {column}: {}", bad.why.reason));
            }
            Some(Ok(program)) => {
                self.database(program.name.database.as_deref().or(session.database.as_deref()));
                let sourced = Sourced {
                    file: file.to_owned(),
                    database: program.name.database.clone().or_else(|| session.database.clone()),
                    collation: session.collation.clone(),
                    program,
                    doubt: None,
                };
                self.add(sourced);
            }
        }
        true
    }

    /// Puts a program in the place of one of its name.
    pub fn add(&mut self, new: Sourced) {
        let same = self.source.programs.iter().position(|old| {
            kind_of(&old.program) == kind_of(&new.program)
                && old.program.name.name.eq_ignore_ascii_case(&new.program.name.name)
                && (old.database == new.database
                    || old.doubt.is_some() && is_same(&old.database, &new.database) != Some(false))
        });
        match same {
            Some(_) if new.program.if_not_exists => {}
            // a later definition comes later among the triggers of its table too
            Some(at) => {
                self.source.programs.remove(at);
                self.source.programs.push(new);
            }
            None => self.source.programs.push(new),
        }
    }

    /// Takes a view by name.
    pub fn view_named(&mut self, name: String) {
        if !self.source.views.contains(&name) {
            self.source.views.push(name);
        }
    }

    /// How many programs there are.
    pub fn programs(&self) -> usize {
        self.source.programs.len()
    }

    /// The rank that the server gives the trigger taken last.
    pub fn order_last(&mut self, order: Option<u64>) {
        if let Some(ProgramKind::Trigger(trigger)) = self.source.programs.last_mut().map(|p| &mut p.program.kind) {
            trigger.action_order = order;
        }
    }

    /// Sets what a server says of itself.
    pub fn came_from(&mut self, server: Server, database: String) {
        self.source.server = Some(server);
        self.source.database = Some(database);
    }
}

fn is_system(database: &str) -> bool {
    SYSTEM.iter().any(|s| database.eq_ignore_ascii_case(s))
}

/// `-- MySQL dump 10.13  Distrib 8.0.43, for Linux (x86_64)`, `-- Server version\t8.0.43`, `-- MariaDB dump 10.19 ..`.
fn server(line: &str) -> Option<Server> {
    let comment = line.trim().trim_start_matches(['-', '#', '/', '*', '!', ' ']);
    let version = |text: &str| {
        text.split([',', ' ', '\t']).find(|w| w.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
    };
    let lower = comment.to_ascii_lowercase();
    if let Some(at) = lower.find("distrib ") {
        let version = version(&comment[at + 8..])?;
        return Some(Server { mariadb: lower.contains("mariadb"), version });
    }
    if let Some(rest) = lower.strip_prefix("server version").or_else(|| lower.strip_prefix("server-version")) {
        let version = version(comment[comment.len() - rest.len()..].trim_start_matches([':', ' ', '\t']))?;
        return Some(Server { mariadb: lower.contains("mariadb"), version });
    }
    // SQLyog: `MySQL - 5.7.26 : Database - shop`
    let rest = lower.strip_prefix("mysql - ")?;
    Some(Server { mariadb: rest.contains("mariadb"), version: version(&comment[comment.len() - rest.len()..])? })
}
