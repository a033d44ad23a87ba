//! The objects that the files create.

use sha2::{Digest, Sha256};

use crate::canon;
use crate::token::{Token, TokenKind, parts, statements, tokens, within};

/// A function of the portable engine.
pub struct Function {
    /// `name(type,type)`
    pub object: String,
    /// `create function ..`, whole.
    pub statement: String,
    /// `domain_events.name(..) returns ..`
    head: String,
    result: String,
    arguments: String,
}

/// One object, or one part of it that is compared by itself.
struct ManifestRow {
    kind: &'static str,
    object: String,
    definition: String,
}

/// What sql/ makes, as rows to compare a schema with.
#[derive(Default)]
pub struct Manifest {
    rows: Vec<ManifestRow>,
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

const SCHEMA: &str = "domain_events";
/// What ends the type of a column, or a default.
const COLUMN_ENDS: [&str; 6] = ["collate", "not", "null", "default", "generated", "primary"];
const UNNAMED: [&str; 4] = ["references", "check", "unique", "constraint"];
const FUNCTION_ENDS: [&str; 12] = [
    "language",
    "volatile",
    "stable",
    "immutable",
    "strict",
    "security",
    "parallel",
    "set",
    "as",
    "leakproof",
    "cost",
    "rows",
];

/// The name after `domain_events.` at this place.
fn own_name(tokens: &[Token], at: usize) -> Result<String, String> {
    match tokens.get(at..at + 3) {
        Some([schema, dot, name]) if schema.is(SCHEMA) && dot.is(".") => Ok(name.text.to_owned()),
        _ => Err(format!("no object of {SCHEMA}: {}", show(tokens))),
    }
}

fn show(tokens: &[Token]) -> String {
    tokens.iter().take(12).map(|token| token.text).collect::<Vec<_>>().join(" ")
}

fn position(tokens: &[Token], words: &[&str]) -> usize {
    let mut depth = 0;
    tokens
        .iter()
        .position(|token| {
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            depth == 0 && token.kind == TokenKind::Word && words.iter().any(|word| token.is(word))
        })
        .unwrap_or(tokens.len())
}

fn starts(tokens: &[Token], words: &str) -> bool {
    words.split(' ').enumerate().all(|(index, word)| tokens.get(index).is_some_and(|token| token.is(word)))
}

fn sha(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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

    fn push(&mut self, kind: &'static str, object: String, definition: String) {
        self.rows.push(ManifestRow { kind, object, definition });
    }

    fn sequence(&mut self, name: String, type_name: &str) {
        self.push("relation", format!("sequence {name}"), format!("s|p|{type_name}"));
    }

    fn table(&mut self, statement: &[Token], persistence: char) -> Result<(), String> {
        let table = own_name(statement, 0)?;
        self.push("relation", format!("table {table}"), format!("r|{persistence}|heap"));
        let (inside, _) = within(statement, 3)?;
        let mut keys: Vec<String> = Vec::new();
        let mut columns = Vec::new();
        for part in parts(inside) {
            if part[0].is("constraint") {
                if part[2].is("primary") {
                    keys = parts(within(part, 4)?.0).iter().map(|column| column[0].text.to_owned()).collect();
                }
                self.constraint(&table, part[1].text, &part[2..]);
            } else if part[0].is("primary") {
                keys = parts(within(part, 2)?.0).iter().map(|column| column[0].text.to_owned()).collect();
                self.constraint(&table, &format!("{table}_pkey"), part);
            } else if UNNAMED.iter().any(|word| part[0].is(word)) || part[0].is("foreign") {
                return Err(format!("a constraint of {table} has no name"));
            } else {
                columns.push(part);
            }
        }
        for (index, column) in columns.iter().enumerate() {
            self.column(&table, index + 1, column, &keys)?;
        }
        Ok(())
    }

    fn constraint(&mut self, table: &str, name: &str, definition: &[Token]) {
        self.push("constraint", format!("constraint {name} on {table}"), canon::text(definition));
    }

    fn column(&mut self, table: &str, number: usize, column: &[Token], keys: &[String]) -> Result<(), String> {
        let name = column[0].text;
        if let Some(word) = UNNAMED.iter().find(|word| column.iter().any(|token| token.is(word))) {
            return Err(format!("column {name} of {table}: write {word} as a constraint of the table, with a name"));
        }
        let of = 1 + position(&column[1..], &COLUMN_ENDS);
        let (mut required, mut collation, mut default, mut identity) =
            (keys.iter().any(|key| key == name), String::new(), String::new(), "");
        let mut rest = &column[of..];
        while let Some(word) = rest.first() {
            let taken = match word.text {
                "collate" => {
                    collation = rest[1].text.to_lowercase();
                    2
                }
                "not" => {
                    required = true;
                    2
                }
                "null" => 1,
                "default" => {
                    let end = 1 + position(
                        &rest[1..],
                        &COLUMN_ENDS[2..]
                            .iter()
                            .filter(|w| **w != "null")
                            .copied()
                            .chain(["not", "collate"])
                            .collect::<Vec<_>>(),
                    );
                    default = canon::text(&rest[1..end]);
                    end
                }
                "generated" if starts(rest, "generated always as identity") => {
                    (identity, required) = ("a", true);
                    self.sequence(format!("{table}_{name}_seq"), &canon::types(&column[1..of]));
                    4
                }
                "primary" => {
                    required = true;
                    self.push("constraint", format!("constraint {table}_pkey on {table}"), format!("primarykey{name}"));
                    2
                }
                _ => return Err(format!("column {name} of {table} is not understood at {}", word.text)),
            };
            rest = &rest[taken..];
        }
        let definition = format!(
            "{number}|{}|{}|{collation}|{default}|{identity}",
            canon::types(&column[1..of]),
            if required { "notnull" } else { "" },
        );
        self.push("column", format!("column {name} of {table}"), definition);
        Ok(())
    }

    fn index(&mut self, statement: &[Token]) -> Result<(), String> {
        let on = statement.iter().position(|token| token.is("on")).ok_or("an index on nothing")?;
        let table = own_name(statement, on + 1)?;
        let object = format!("index {} on {table}", statement[on - 1].text);
        let using = if statement[on + 4].is("using") { "" } else { "usingbtree" };
        let definition = format!("{}{using}{}", canon::text(&statement[..on + 4]), canon::text(&statement[on + 4..]));
        self.push("index", object, definition);
        Ok(())
    }

    fn domain(&mut self, statement: &[Token]) -> Result<(), String> {
        let name = own_name(statement, 2)?;
        let mut at = 5 + usize::from(statement[5].is("as"));
        let of = at + position(&statement[at..], &["constraint", "check", "not", "default", "collate"]);
        self.push("type", format!("type {name}"), format!("d|{}", canon::types(&statement[at..of])));
        at = of;
        while at < statement.len() {
            if !statement[at].is("constraint") {
                return Err("a domain has named constraints, and nothing else".into());
            }
            let end = at + 1 + position(&statement[at + 1..], &["constraint"]);
            let object = format!("constraint {} of type {name}", statement[at + 1].text);
            self.push("constraint", object, canon::text(&statement[at + 2..end]));
            at = end;
        }
        Ok(())
    }

    fn alter_table(&mut self, statement: &[Token]) -> Result<(), String> {
        let table = own_name(statement, 2)?;
        let rest = &statement[5..];
        if starts(rest, "enable always trigger") {
            let object = format!("trigger {} on {table}", rest[3].text);
            let row = self.rows.iter_mut().find(|row| row.object == object).ok_or("an unknown trigger")?;
            row.definition = row.definition.replacen("o|", "a|", 1);
            return Ok(());
        }
        if starts(rest, "set (") { Ok(()) } else { Err("an unknown way to alter a table".into()) }
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

impl Function {
    /// The statement that makes it, or makes it again.
    pub fn replacement(&self) -> String {
        self.statement.replacen("create function", "create or replace function", 1)
    }

    /// Written in C.
    pub fn in_c(&self, symbol: &str) -> String {
        format!(
            "create or replace function {} language c volatile parallel unsafe as 'MODULE_PATHNAME', '{symbol}';\n",
            self.head
        )
    }
}

fn native_definition(function: &Function, symbol: &str) -> String {
    let Function { result, arguments, .. } = function;
    sha(&format!("c|f|0|0|0|v|u|{result}|{arguments}|||$libdir/pg_domain_events|{symbol}"))
}

/// The function that a statement makes, whose name begins at `at`, and what the proof compares.
fn function(sql: &str, statement: &[Token], at: usize) -> Result<(Function, String), String> {
    let name = own_name(statement, at)?;
    let (list, close) = within(statement, at + 3)?;
    let (mut inputs, mut arguments, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for argument in parts(list) {
        let mode = ["out", "inout", "variadic"].into_iter().find(|mode| argument[0].is(mode)).unwrap_or_default();
        let named = usize::from(!mode.is_empty());
        let default = position(argument, &["default"]);
        let of = &argument[named + 1..default];
        if mode.contains("out") {
            outputs.push(canon::types(of));
        }
        if mode != "out" {
            inputs.push(canon::type_name(of));
        }
        arguments.push(format!(
            "{}{}{}{}",
            mode,
            argument[named].text.to_lowercase(),
            canon::types(of),
            canon::text(&argument[default..])
        ));
    }
    let rest = &statement[close + 1..];
    let mut end = 0;
    let result = if starts(rest, "returns") {
        end = position(rest, &FUNCTION_ENDS);
        if rest[1].is("table") {
            let columns = within(rest, 2)?.0;
            let columns: Vec<_> = parts(columns)
                .iter()
                .map(|column| column[0].text.to_lowercase() + &canon::types(&column[1..]))
                .collect();
            format!("table{}", columns.join(","))
        } else {
            canon::types(&rest[1..end])
        }
    } else {
        match outputs.as_slice() {
            [] => return Err("a function that returns nothing".into()),
            [only] => only.clone(),
            _ => "record".into(),
        }
    };
    let head = sql[statement[at].at..end_of(rest, end, statement[close].at)].trim().to_owned();
    let (mut language, mut volatility, mut parallel) = ("", 'v', 'u');
    let (mut definer, mut strict) = (0, 0);
    let (mut settings, mut body) = (Vec::new(), "");
    let mut rest = &rest[end..];
    while let Some(word) = rest.first() {
        let taken = match word.text {
            "language" => {
                language = rest[1].text;
                2
            }
            "volatile" => 1,
            "stable" => {
                volatility = 's';
                1
            }
            "immutable" => {
                volatility = 'i';
                1
            }
            "strict" => {
                strict = 1;
                1
            }
            "security" => {
                definer = i32::from(rest[1].is("definer"));
                2
            }
            "parallel" => {
                parallel = if rest[1].is("safe") { 's' } else { 'u' };
                2
            }
            "set" => {
                let end = 3 + position(&rest[3..], &FUNCTION_ENDS);
                let value: String = rest[3..end].iter().map(|token| token.text.trim_matches('\'')).collect();
                settings.push(format!("{}={value}", rest[1].text).to_lowercase().replace(' ', ""));
                end
            }
            "as" if rest[1].kind == TokenKind::Body => {
                let tag = rest[1].text[1..].find('$').map_or(0, |n| n + 2);
                body = &rest[1].text[tag..rest[1].text.len() - tag];
                2
            }
            other => return Err(format!("a function is not understood at {other}")),
        };
        rest = &rest[taken..];
    }
    let arguments = arguments.join(",");
    let definition = sha(&format!(
        "{language}|f|{definer}|0|{strict}|{volatility}|{parallel}|{result}|{arguments}|{}||{body}",
        settings.join("|")
    ));
    let statement = whole(sql, statement);
    Ok((Function { object: format!("{name}({})", inputs.join(",")), statement, head, result, arguments }, definition))
}

/// A statement as it stands in the file.
fn whole(sql: &str, statement: &[Token]) -> String {
    let first = statement[0].at;
    let last = statement.last().map_or(first, |token| token.at + token.text.len());
    format!("{};\n", &sql[first..last])
}

fn end_of(rest: &[Token], end: usize, close: usize) -> usize {
    if end == 0 { close + 1 } else { rest[end - 1].at + rest[end - 1].text.len() }
}
