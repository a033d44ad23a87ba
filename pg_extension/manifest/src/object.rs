//! What the files create: a row for each object, by the statement that makes it.

use crate::canon::{self, sha};
use crate::function::{Function, function, native_definition};
use crate::token::{Token, own_name, position, show, starts, statements, tokens, whole};

/// One object, or one part of it that is compared by itself.
pub(crate) struct ManifestRow {
    kind: &'static str,
    pub(crate) object: String,
    pub(crate) definition: String,
}

/// What sql/ makes, as rows to compare a schema with.
#[derive(Default)]
pub struct Manifest {
    pub(crate) rows: Vec<ManifestRow>,
    /// The functions among it.
    pub functions: Vec<Function>,
    /// Statements besides functions that an upgrade runs again, in their order.
    pub(crate) repeated: Vec<String>,
    /// The script that makes a portable store native.
    pub(crate) native: String,
}

/// Which engine the schema has to hold.
#[derive(Clone, Copy)]
pub enum Engine {
    /// PL/pgSQL alone.
    Portable,
    /// With the library.
    Native,
    /// What the extension says; while it is updated it says what it will be.
    Installed,
}

impl Engine {
    fn condition(self) -> &'static str {
        match self {
            Engine::Portable => "false",
            Engine::Native => "true",
            Engine::Installed => {
                "exists (select from pg_catalog.pg_extension x where x.extname = 'pg_domain_events' and x.extversion <> 'portable')"
            }
        }
    }
}

impl Manifest {
    /// Statements of one file.
    pub(crate) fn add(&mut self, sql: &str) -> Result<(), String> {
        let all = tokens(sql)?;
        for statement in statements(&all) {
            self.add_statement(sql, statement).map_err(|error| format!("{error} ({})", show(statement)))?;
        }
        Ok(())
    }

    fn add_statement(&mut self, sql: &str, statement: &[Token]) -> Result<(), String> {
        self.repeated.extend(crate::upgrade::repeated(whole(sql, statement)));
        if starts(statement, "create function") {
            let (function, definition) = function(sql, statement, 2)?;
            self.push("function", format!("function {}", function.object), definition);
            self.functions.push(function);
        } else if starts(statement, "create table") {
            self.table(&statement[2..], 'p')?;
        } else if starts(statement, "create unlogged table") {
            self.table(&statement[3..], 'u')?;
        } else if starts(statement, "create view") {
            let name = own_name(statement, 2)?;
            let query = position(statement, &["as"]) + 1;
            self.push("view", format!("view {name}"), sha(&canon::text(&statement[query..])));
        } else if starts(statement, "create sequence") {
            let name = own_name(statement, 2)?;
            let of = statement
                .iter()
                .position(|token| token.is("as"))
                .map_or("bigint".into(), |at| canon::types(&statement[at + 1..at + 2]));
            self.sequence(name, &of);
        } else if starts(statement, "create index") || starts(statement, "create unique index") {
            self.index(statement)?;
        } else if starts(statement, "create trigger") || starts(statement, "create constraint trigger") {
            let at = statement.iter().position(|token| token.is("trigger")).unwrap_or_default() + 1;
            let on = statement.iter().position(|token| token.is("on")).ok_or("a trigger on nothing")?;
            let object = format!("trigger {} on {}", statement[at].text, own_name(statement, on + 1)?);
            self.push("trigger", object, format!("o|{}", canon::text(statement)));
        } else if starts(statement, "create domain") {
            self.domain(statement)?;
        } else if starts(statement, "alter table") {
            self.alter_table(statement)?;
        } else if starts(statement, "create") {
            return Err("an object of an unknown kind".into());
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, kind: &'static str, object: String, definition: String) {
        self.rows.push(ManifestRow { kind, object, definition });
    }

    /// What makes the engine native: functions of its own, written as statements or as `@c name(types) symbol`.
    pub(crate) fn add_native(&mut self, script: &str) -> Result<(), String> {
        script.clone_into(&mut self.native);
        let mut sql = String::new();
        for line in script.lines() {
            match line.strip_prefix("@c ").and_then(|rest| rest.rsplit_once(' ')) {
                Some((object, symbol)) => {
                    let function = self.function(object)?;
                    let definition = native_definition(function, symbol);
                    self.push("native", format!("function {object}"), definition);
                }
                None if line.starts_with('@') => {}
                None => {
                    sql += line;
                    sql.push('\n');
                }
            }
        }
        // As CREATE EXTENSION does.
        let sql = sql.replace("MODULE_PATHNAME", "$libdir/pg_domain_events");
        let all = tokens(&sql)?;
        for statement in statements(&all) {
            let at = if starts(statement, "create or replace function") { 4 } else { 2 };
            if at == 4 || starts(statement, "create function") {
                let (function, definition) = function(&sql, statement, at)?;
                self.push("native", format!("function {}", function.object), definition);
            }
        }
        Ok(())
    }

    /// One of the portable engine's functions.
    pub fn function(&self, object: &str) -> Result<&Function, String> {
        self.functions.iter().find(|function| function.object == object).ok_or(format!("there is no function {object}"))
    }

    /// Functions that the native engine replaces.
    pub fn replaced(&self) -> impl Iterator<Item = &Function> {
        let is_replaced = |object: &str| {
            self.rows.iter().any(|row| row.kind == "native" && row.object.strip_prefix("function ") == Some(object))
        };
        self.functions.iter().filter(move |function| is_replaced(&function.object))
    }

    /// Functions that the portable engine has not.
    pub(crate) fn native_alone(&self) -> impl Iterator<Item = &str> {
        let native = self.rows.iter().filter(|row| row.kind == "native");
        native.filter_map(|row| row.object.strip_prefix("function ")).filter(|object| self.function(object).is_err())
    }

    /// The query that finds what differs: one row for each object (`object`, `problem`), none when all is as installed.
    pub fn proof(&self, engine: Engine) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| format!("({},{},{})", quote(row.kind), quote(&row.object), quote(&row.definition)))
            .collect();
        include_str!("proof.sql").replace("@native", engine.condition()).replace("@expected", &rows.join(",\n"))
    }
}
