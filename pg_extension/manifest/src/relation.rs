//! Tables with their columns and constraints, indexes, sequences and domains.

use crate::canon;
use crate::object::Manifest;
use crate::token::{Token, own_name, parts, position, starts, within};

/// What ends the type of a column, or a default.
const COLUMN_ENDS: [&str; 6] = ["collate", "not", "null", "default", "generated", "primary"];
const UNNAMED: [&str; 4] = ["references", "check", "unique", "constraint"];

impl Manifest {
    pub(crate) fn sequence(&mut self, name: String, type_name: &str) {
        self.push("relation", format!("sequence {name}"), format!("s|p|{type_name}"));
    }

    pub(crate) fn table(&mut self, statement: &[Token], persistence: char) -> Result<(), String> {
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

    pub(crate) fn index(&mut self, statement: &[Token]) -> Result<(), String> {
        let on = statement.iter().position(|token| token.is("on")).ok_or("an index on nothing")?;
        let table = own_name(statement, on + 1)?;
        let object = format!("index {} on {table}", statement[on - 1].text);
        let using = if statement[on + 4].is("using") { "" } else { "usingbtree" };
        let definition = format!("{}{using}{}", canon::text(&statement[..on + 4]), canon::text(&statement[on + 4..]));
        self.push("index", object, definition);
        Ok(())
    }

    pub(crate) fn domain(&mut self, statement: &[Token]) -> Result<(), String> {
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

    pub(crate) fn alter_table(&mut self, statement: &[Token]) -> Result<(), String> {
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
}
