//! Tables that go, move, or are made like others; views.

use sqlparser::tokenizer::Token;

use super::super::ast::{Name, Position, ProgramKind, SqlMode};
use super::super::lexer::{Lexeme, Source as Lexed};
use super::super::schema::{Column, Schema, Table, Type};
use super::fold::Fold;
use super::words::names;

impl Fold {
    /// Triggers move with their tables.
    pub(super) fn follow_tables(&mut self, text: &str, position: Position, mode: SqlMode) {
        let lexed = Lexed::new(text, position, mode);
        let tokens = &lexed.tokens;
        let rest = tokens.get(2..).unwrap_or_default();
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

    pub(super) fn view(&mut self, text: &str, position: Position, mode: SqlMode) {
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
    pub(super) fn like(&mut self, text: &str, position: Position, mode: SqlMode) {
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
    pub(super) fn of_query(&mut self, text: &str, position: Position, mode: SqlMode) {
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
