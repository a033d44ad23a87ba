//! A text is cut into statements, each is read, and what cannot be is told.

use std::borrow::Cow;
use std::io::Read;

use super::super::encoding;
use super::fold::{Fold, Problem, inner};
use super::placeholders::{self, Sure};
use super::quotes::Quotes;
use super::state::{Runs, Script};
use super::stream::{self, Found, Stream};
use super::transactions::may_undo;
use super::{split, undo};
use crate::sql_tree::{ast, newer};
use domain_events_mysql::source::Dialect;

/// After so many statements that cannot be read a file is something else.
const UNREAD: usize = 5_000;

impl Fold {
    pub(super) fn text(&mut self, file: &str, whole: &str, problems: &mut Vec<Problem>) {
        // memory that is read cannot fail
        let _ = self.file(file, whole.as_bytes(), problems);
    }

    pub(super) fn file(&mut self, file: &str, reader: impl Read, problems: &mut Vec<Problem>) -> std::io::Result<()> {
        let known = problems.len();
        let outer = std::mem::replace(&mut self.file, file.to_owned());
        let mut quotes = Quotes::default();
        let mut reader = encoding::Reader::new(reader)?;
        let mut head = vec![];
        let script = Script::new(self.script.runs());
        let outer_script = std::mem::replace(&mut self.script, script);
        let outer_may_undo = self.may_undo;
        reader.by_ref().take(undo::SMALL as u64).read_to_end(&mut head)?;
        if head.len() < undo::SMALL {
            let text = String::from_utf8_lossy(&head);
            self.may_undo |= may_undo(&text);
            let (forward, doubt) = undo::forward(&text, Dialect::Postgres);
            if let Some(doubt) = doubt {
                self.catalogue.statements += 1;
                problems.push(Problem { file: file.to_owned(), line: doubt.line, reason: doubt.to_string() });
            }
            if let Cow::Owned(forward) = forward {
                head = forward.into_bytes();
            }
        } else {
            self.may_undo = true;
        }
        Stream::new(head.as_slice().chain(reader), self.escapes).each(|found, line| {
            let runs = self.script.runs();
            if runs == Runs::Not && !matches!(found, Found::Command(_)) {
                return (stream::Taken::NotRun, self.escapes);
            }
            self.line = line;
            let mut problem = |reason: &str, text: &str| {
                // a name that another statement has too would tell less than the statement's own words
                let shown: String = text.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
                let shown: String = shown.chars().take(80).collect();
                problems.push(Problem { file: file.to_owned(), line, reason: format!("{reason}: {shown} ..") });
            };
            self.catalogue.statements += usize::from(!matches!(found, Found::Command(_)));
            if let Found::Statement(text) | Found::Broken(text, _) = found {
                quotes.look_at(text, line);
            }
            let taken = match found {
                Found::Command(text) => {
                    self.command(file, text, line, problems);
                    if runs == Runs::Not { stream::Taken::NotRun } else { stream::Taken::Read }
                }
                Found::Runs(text) => {
                    problem("it makes statements at run time, by \\gexec: read the live database instead", text);
                    stream::Taken::Read
                }
                // rows that are inserted change nothing of what is asked, and are most of many a dump
                Found::Statement(text) | Found::TooLong(text, _) if inserts(text) => stream::Taken::Read,
                Found::TooLong(text, why) | Found::Broken(text, why) => {
                    problem(&why, text);
                    quotes.unread(problems.len() - 1, text);
                    if why == split::OPEN_QUOTE {
                        quotes.has_no_end();
                    }
                    stream::Taken::Read
                }
                Found::Statement(text) => match self.statement_that(runs, text) {
                    Ok(reasons) => {
                        for reason in reasons {
                            problem(&reason, text);
                        }
                        stream::Taken::Read
                    }
                    Err(reason) => {
                        problem(&reason, text);
                        quotes.unread(problems.len() - 1, text);
                        stream::Taken::Unread
                    }
                },
            };
            if problems.len() - known > UNREAD {
                let reason = format!("more than {UNREAD} statements cannot be read: the rest of the file is not read");
                problems.push(Problem { file: file.to_owned(), line, reason });
                return (stream::Taken::Enough, self.escapes);
            }
            (taken, self.escapes)
        })?;
        (self.script, self.may_undo) = (outer_script, outer_may_undo);
        self.catalogue.statements -= quotes.told_once(problems);
        self.file = outer;
        Ok(())
    }

    fn statement_that(&mut self, runs: Runs, text: &str) -> Result<Vec<String>, String> {
        match runs {
            Runs::Perhaps => self.perhaps("whether this runs is known to whoever runs the script", text),
            _ => self.statements(text),
        }
    }

    /// Folds what a text holds, in most cases one statement; gives what could not be used. An error when it cannot be read.
    pub(super) fn statements(&mut self, text: &str) -> Result<Vec<String>, String> {
        let certain = placeholders::filled(text, Sure::Certain, &self.variables);
        let text = certain.as_deref().unwrap_or(text);
        let (trees, said) = match ast::parse(text) {
            Ok(trees) => (trees, None),
            Err(_) if without_rulers(text).is_some() => {
                return self.statements(&without_rulers(text).unwrap_or_default());
            }
            Err(reason) => match newer::in_known_words(text) {
                Some(said) => (ast::parse(&said.text).map_err(|_| reason)?, Some(said)),
                None => {
                    let filled = |sure| placeholders::filled(text, sure, &self.variables);
                    let read = |text: &String| ast::parse(text).is_ok();
                    let likely = filled(Sure::Likely).filter(read).or_else(|| filled(Sure::AsNumber).filter(read));
                    let Some(likely) = likely else {
                        return Err(other_server(text).unwrap_or(reason));
                    };
                    return self.statements(&likely);
                }
            },
        };
        let mut reasons = vec![];
        for tree in &trees {
            reasons.extend(self.statement(tree, text).err());
            let Some(said) = &said else { continue };
            let made = inner(tree).get("base_stmt").unwrap_or(inner(tree));
            let Some(relation) = made.get("relation").and_then(|r| self.relation(r)) else { continue };
            for column in &mut relation.columns {
                column.not_null |= said.not_null.contains(&column.name);
                if said.virtual_columns.contains(&column.name) {
                    column.generated = "v".into();
                }
            }
        }
        Ok(reasons)
    }
}

/// A text without lines that are nothing but `####` or `====`: tools cut files there, and psql takes them for SQL.
fn without_rulers(text: &str) -> Option<String> {
    let is_ruler = |line: &str| {
        let line = line.trim();
        line.len() > 2 && (line.bytes().all(|b| b == b'#') || line.bytes().all(|b| b == b'='))
    };
    text.lines().any(is_ruler).then(|| {
        let kept: Vec<&str> = text.lines().map(|line| if is_ruler(line) { "" } else { line }).collect();
        kept.join("\n")
    })
}

/// Whether a statement does nothing but insert rows.
fn inserts(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("insert"))
}

/// Whose program it is, where that is seen.
fn other_server(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let program = lower.starts_with("create")
        && ["trigger", "procedure", "function", "package"].iter().any(|w| lower.contains(w));
    let has = |signs: &[&str]| signs.iter().any(|s| lower.contains(s));
    if lower.starts_with("<?php") {
        Some("this is PHP: name the file .php".into())
    } else if !program {
        None
    } else if has(&[":new.", ":old.", "varchar2", "referencing new as", "sysdate", " is\n", "%type"]) && !has(&["$$"]) {
        Some("this is a program of Oracle's, which is not read: read the PostgreSQL database that it goes to".into())
    } else if has(&["inserted", "@@rowcount", "declare @", "nvarchar", "[dbo]"]) {
        Some("this is a program of SQL Server's, which is not read".into())
    } else if has(&["for each row"]) && !has(&["execute function", "execute procedure"]) {
        Some("this is a program of MySQL's, or of another server's: --dialect mysql reads MySQL's".into())
    } else {
        None
    }
}
