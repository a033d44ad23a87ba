//! Statements of files, folded in their order: what is dropped is gone, the later definition wins.

use sqlparser::tokenizer::Token;

use super::super::ast::{Name, Position, ProgramKind, SqlMode};
use super::super::dump::{Dump, Piece, Session, Statement};
use super::super::lexer::{Lexeme, Source as Lexed};
use super::super::parser::{self, Text};
use super::super::schema::{Column, Schema, Table, Type};
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
    source: Source,
    databases: Vec<String>,
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
        let mode = SqlMode::parse(session.sql_mode.as_deref());
        let position = Position { line: statement.line, column: statement.column };
        let first = first_words(&statement.text);
        let words: Vec<&str> = first.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["INSERT" | "REPLACE" | "SET" | "USE" | "LOCK" | "UNLOCK" | "SELECT" | "UPDATE" | "DELETE", ..] => return,
            ["DROP", "TRIGGER" | "FUNCTION" | "PROCEDURE" | "EVENT", ..] => {
                return self.drop_program(&statement.text, position, mode);
            }
            ["DROP" | "RENAME", "TABLE" | "TABLES", ..] | ["ALTER", "TABLE", ..] => {
                self.follow_tables(file, &statement.text, position, mode);
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
                && old.database == new.database
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

    fn drop_program(&mut self, text: &str, position: Position, mode: SqlMode) {
        let lexed = Lexed::new(text, position, mode);
        let mut tokens = lexed.tokens.get(1..).unwrap_or_default();
        let Some(kind) = tokens.first().and_then(Lexeme::keyword).map(|k| k.to_ascii_lowercase()) else { return };
        tokens = &tokens[1..];
        if tokens.len() > 2 && tokens[0].is("IF") && tokens[1].is("EXISTS") {
            tokens = &tokens[2..];
        }
        if let Some(name) = names(tokens).into_iter().next() {
            self.source
                .programs
                .retain(|p| kind_of(&p.program) != kind || !p.program.name.name.eq_ignore_ascii_case(&name.name));
        }
    }

    /// Triggers go and move with their tables.
    fn follow_tables(&mut self, file: &str, text: &str, position: Position, mode: SqlMode) {
        let lexed = Lexed::new(text, position, mode);
        let tokens = &lexed.tokens;
        let rest = tokens.get(2..).unwrap_or_default();
        if tokens[0].is("DROP") {
            let skip = if rest.len() > 2 && rest[0].is("IF") { 2 } else { 0 };
            let dropped = names(&rest[skip..]);
            let known = dropped.iter().filter(|d| self.source.schema.table(&d.name).is_some());
            let known: Vec<(String, String)> = known.map(|d| (d.name.clone(), file.to_owned())).collect();
            self.source.dropped.extend(known);
            let gone = |name: &Name| dropped.iter().any(|d| d.name.eq_ignore_ascii_case(&name.name));
            self.source.programs.retain(|p| !matches!(&p.program.kind, ProgramKind::Trigger(t) if gone(&t.table)));
            return;
        }
        let renamed: Vec<(Name, Name)> = if tokens[0].is("RENAME") {
            rest.split(|l| l.token == Token::Comma)
                .filter_map(|pair| {
                    let to = pair.iter().position(|l| l.is("TO"))?;
                    Some((names(&pair[..to]).pop()?, names(&pair[to + 1..]).pop()?))
                })
                .collect()
        } else {
            let at = rest
                .iter()
                .position(|l| l.is("RENAME"))
                .filter(|at| rest.get(at + 1).is_some_and(|l| !["COLUMN", "INDEX", "KEY"].iter().any(|k| l.is(k))));
            let pair = at.and_then(|at| {
                let to = rest.get(at + 1).filter(|l| l.is("TO") || l.is("AS")).map_or(at + 1, |_| at + 2);
                Some((names(rest).into_iter().next()?, names(&rest[to..]).into_iter().next()?))
            });
            pair.into_iter().collect()
        };
        for (old, new) in renamed {
            for sourced in &mut self.source.programs {
                if let ProgramKind::Trigger(trigger) = &mut sourced.program.kind
                    && trigger.table.name.eq_ignore_ascii_case(&old.name)
                {
                    trigger.table = new.clone();
                }
            }
        }
    }

    fn view(&mut self, text: &str, position: Position, mode: SqlMode) {
        let lexed = Lexed::new(text, position, mode);
        let Some(at) = lexed.tokens.iter().take(16).position(|l| l.is("VIEW")) else { return };
        if lexed.tokens[..at].iter().any(|l| l.is("TABLE")) {
            return;
        }
        let mut tokens = &lexed.tokens[at + 1..];
        if tokens.len() > 3 && tokens[0].is("IF") {
            tokens = &tokens[3..];
        }
        if let Some(name) = names(tokens).into_iter().next() {
            self.view_named(name.name);
        }
    }

    /// `CREATE TABLE a LIKE b`: the columns and keys of b, without its foreign keys and triggers.
    fn like(&mut self, text: &str, position: Position, mode: SqlMode) {
        let lexed = Lexed::new(text, position, mode);
        let mut tokens = lexed.tokens.get(1..).unwrap_or_default();
        if !tokens.first().is_some_and(|l| l.is("TABLE")) || tokens.len() > 16 {
            return;
        }
        tokens = &tokens[1..];
        if tokens.len() > 3 && tokens[0].is("IF") {
            tokens = &tokens[3..];
        }
        let Some(at) = tokens.iter().position(|l| l.is("LIKE")) else { return };
        let names = |tokens| names(tokens).into_iter().next();
        let (Some(new), Some(old)) = (names(&tokens[..at]), names(&tokens[at + 1..])) else { return };
        let Some(model) = self.source.schema.table(&old.name) else { return };
        let line = position.line;
        let foreign_keys = vec![];
        let copy =
            Table { name: new.name, database: new.database, line, foreign_keys, auto_increment: None, ..model.clone() };
        if !self.source.schema.tables.iter().any(|t| t.name == copy.name) {
            self.source.schema.tables.push(copy);
        }
    }

    /// `CREATE TABLE a AS SELECT .. FROM b`: the columns that the query gives, those of b as they are there, without keys.
    fn of_query(&mut self, text: &str, position: Position, mode: SqlMode) {
        // the words of a table are read once more only where there may be a query
        if !text.to_ascii_uppercase().contains("SELECT") {
            return;
        }
        let lexed = Lexed::new(text, position, mode);
        let mut tokens = lexed.tokens.get(1..).unwrap_or_default();
        if !tokens.first().is_some_and(|l| l.is("TABLE")) {
            return;
        }
        tokens = &tokens[1..];
        if tokens.len() > 3 && tokens[0].is("IF") {
            tokens = &tokens[3..];
        }
        let Some(new) = names(tokens).into_iter().next() else { return };
        let Some(at) = tokens.iter().position(|l| l.is("SELECT")) else { return };
        // columns that are given come first: the definition is read as any
        let given = tokens.iter().take(at).position(|l| l.token == Token::LParen).is_some_and(|p| p + 1 < at);
        if given {
            return;
        }
        if self.source.schema.tables.iter().any(|t| t.name == new.name) {
            return;
        }
        let columns = of_query(&tokens[at + 1..], &self.source.schema);
        if !columns.is_empty() {
            let (name, database, line) = (new.name, new.database, position.line);
            self.source.schema.tables.push(Table { name, database, line, columns, ..Table::default() });
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

/// The columns of a query, as far as they can be told: none where a star is of a table that is not known.
fn of_query(tokens: &[Lexeme], schema: &Schema) -> Vec<Column> {
    let mut depth = 0_usize;
    let mut level = |token: &Token| {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    };
    let levels: Vec<usize> = tokens.iter().map(|l| level(&l.token)).collect();
    let ends = |from: usize, words: &[&str]| {
        (from..tokens.len()).find(|n| levels[*n] == 0 && words.iter().any(|w| tokens[*n].is(w)))
    };
    let from = ends(0, &["FROM"]).unwrap_or(tokens.len());
    let end = ends(from, &["WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION"]).unwrap_or(tokens.len());
    let sources = &tokens[(from + 1).min(end)..end];
    let tables: Vec<&Table> = sources.iter().filter_map(|l| named(&l.token)).filter_map(|n| schema.table(n)).collect();
    let mut columns: Vec<Column> = vec![];
    let mut item = vec![];
    let plain = |column: &Column| Column { auto_increment: false, generated: None, ..column.clone() };
    for n in 0..=from {
        let ends = n == from || levels[n] == 0 && tokens[n].token == Token::Comma;
        if !ends {
            item.push(&tokens[n]);
            continue;
        }
        let words = std::mem::take(&mut item);
        let skip = usize::from(words.first().is_some_and(|l| l.is("DISTINCT") || l.is("ALL")));
        let words = words.get(skip..).unwrap_or_default();
        match words {
            [star] if star.token == Token::Mul => {
                if tables.is_empty() {
                    return vec![];
                }
                columns.extend(tables.iter().flat_map(|t| &t.columns).map(plain));
            }
            [.., dot, star] if star.token == Token::Mul && dot.token == Token::Period => {
                let of = words.first().and_then(|l| named(&l.token)).unwrap_or_default();
                let Some(table) = schema.table(of).or(tables.first().copied()) else { return vec![] };
                columns.extend(table.columns.iter().map(plain));
            }
            [.., last] => {
                let Some(name) = named(&last.token) else { continue };
                // the column itself, or what it is called here
                let own = words.iter().filter(|l| !l.is("AS")).filter_map(|l| named(&l.token));
                let found = own.filter_map(|n| tables.iter().find_map(|t| t.column(n))).next().map(plain);
                let kind = Type { name: "text".into(), ..Type::default() };
                let made = Column { kind, nullable: true, ..Column::default() };
                columns.push(Column { name: name.to_owned(), ..found.unwrap_or(made) });
            }
            [] => {}
        }
    }
    columns
}

fn named(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) => Some(word.value.as_str()),
        _ => None,
    }
}

/// Nothing but comments, or a query in parentheses.
fn is_blank(text: &str, position: Position, mode: SqlMode) -> bool {
    let lexed = Lexed::new(text, position, mode);
    lexed.broken.is_none() && lexed.tokens.first().is_none_or(|l| l.token == Token::LParen)
}

fn is_system(database: &str) -> bool {
    SYSTEM.iter().any(|s| database.eq_ignore_ascii_case(s))
}

/// The first three words of a statement, in upper case, comments left out.
fn first_words(text: &str) -> Vec<String> {
    let mut head = text.len().min(400);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    // a statement may begin with comments longer than that
    let whole = text.trim_start().starts_with(['/', '#', '-']);
    let lexed =
        Lexed::new(if whole { text } else { &text[..head] }, Position { line: 1, column: 1 }, SqlMode::default());
    lexed.tokens.iter().take(3).map_while(Lexeme::keyword).collect()
}

/// The names of a list of tables, up to anything else.
fn names(mut tokens: &[Lexeme]) -> Vec<Name> {
    let mut names = vec![];
    while let Some(Token::Word(first)) = tokens.first().map(|l| &l.token) {
        let second = match (tokens.get(1).map(|l| &l.token), tokens.get(2).map(|l| &l.token)) {
            (Some(Token::Period), Some(Token::Word(second))) => Some(second.value.clone()),
            _ => None,
        };
        tokens = &tokens[if second.is_some() { 3 } else { 1 }..];
        names.push(match second {
            Some(name) => Name { database: Some(first.value.clone()), name },
            None => Name { database: None, name: first.value.clone() },
        });
        if tokens.first().map(|l| &l.token) != Some(&Token::Comma) {
            break;
        }
        tokens = &tokens[1..];
    }
    names
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
