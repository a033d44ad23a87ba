//! What is dropped, and in which database: what another one has by that name stays.

use super::super::ast::{Name, Position, ProgramKind};
use super::super::dump::Statement;
use super::super::lexer::{Lexeme, Source as Lexed};
use super::fold::Fold;
use super::words::{is_same, names};
use super::{Problem, Sourced, kind_of};

impl Fold {
    /// DROP TRIGGER, FUNCTION, PROCEDURE, EVENT.
    pub(super) fn drop_program(&mut self, file: &str, statement: &Statement) {
        let position = Position { line: statement.line, column: statement.column };
        let lexed = Lexed::new(&statement.text, position, statement.session.mode());
        let tokens = lexed.tokens.get(1..).unwrap_or_default();
        let Some(kind) = tokens.first().and_then(Lexeme::keyword).map(|k| k.to_ascii_lowercase()) else { return };
        if let Some(name) = names(behind_if_exists(&tokens[1..])).into_iter().next() {
            let is = |p: &Sourced| kind_of(&p.program) == kind && p.program.name.name.eq_ignore_ascii_case(&name.name);
            self.drop(file, statement, &name, is);
        }
    }

    /// DROP TABLE takes the triggers of the tables along.
    pub(super) fn drop_tables(&mut self, file: &str, statement: &Statement) {
        let position = Position { line: statement.line, column: statement.column };
        let lexed = Lexed::new(&statement.text, position, statement.session.mode());
        for name in names(behind_if_exists(lexed.tokens.get(2..).unwrap_or_default())) {
            let home = name.database.clone().or_else(|| statement.session.database.clone());
            if self.source.schema.table(&name.name).is_some_and(|t| is_same(&t.home, &home) == Some(true)) {
                self.source.dropped.insert(name.name.clone(), file.to_owned());
            }
            let is = |p: &Sourced| matches!(&p.program.kind, ProgramKind::Trigger(t) if t.table.name.eq_ignore_ascii_case(&name.name));
            self.drop(file, statement, &name, is);
        }
    }

    /// Drops the programs that are meant, where they are in the database that is meant; keeps those of which that is not known.
    fn drop(&mut self, file: &str, statement: &Statement, name: &Name, is: impl Fn(&Sourced) -> bool) {
        let database = name.database.clone().or_else(|| statement.session.database.clone());
        self.source.programs.retain(|p| !is(p) || is_same(&p.database, &database) != Some(true));
        for program in self.source.programs.iter_mut().filter(|p| is(p) && is_same(&p.database, &database).is_none()) {
            let object = format!("{} {}", kind_of(&program.program), program.program.name.name);
            let known = program.database.as_ref().or(database.as_ref()).map(String::as_str).unwrap_or_default();
            let reason = format!(
                "{object} is dropped here if {known} is the database that the files name nowhere else: it is judged as if it \
                 were still there; read the live database"
            );
            program.doubt = Some(Problem { file: file.to_owned(), line: statement.line, object: None, reason });
        }
    }
}

fn behind_if_exists(tokens: &[Lexeme]) -> &[Lexeme] {
    let skip = tokens.len() > 2 && tokens[0].is("IF") && tokens[1].is("EXISTS");
    if skip { &tokens[2..] } else { tokens }
}
