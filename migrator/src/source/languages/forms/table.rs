//! What is the same for the tables of all libraries: to begin one, to end it, to change it in one call.

use std::rc::Rc;

use super::super::given::{Column, Key, Made, Name, What};
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Value, plain};

/// Begins a table.
pub fn begin(walk: &mut Walk<'_, '_>, table: Name, is_new: bool) -> usize {
    walk.tables.push(Made { table, is_new, ..Made::default() });
    walk.tables.len() - 1
}

/// Ends it: from here on it is there.
pub fn end(walk: &mut Walk<'_, '_>, table: usize, row: usize) {
    let made = std::mem::take(&mut walk.tables[table]);
    let empty = made.columns.is_empty() && made.keys.is_empty() && made.dropped.is_empty() && made.renamed.is_empty();
    if made.table.name.is_empty() || empty && !made.is_new {
        return;
    }
    walk.common.tables.insert(made.table.clone());
    walk.give(row, What::Made(made));
}

/// A table whose name is not known is told where a migration makes it.
pub fn nameless<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    if walk.forward {
        let reason =
            "a table is made whose name is put together at run time: read the live database instead".to_owned();
        walk.give(called.row, What::Problem { about: Some("table (named at run time)".into()), reason });
    }
    None
}

/// Runs the block of a table and ends it.
pub fn with_block<'t>(walk: &mut Walk<'_, 't>, table: usize, called: &Called<'t>) -> Value<'t> {
    walk.open.push(table);
    for (_, argument) in &called.arguments {
        if let Value::Function(function) = argument {
            walk.run(function, &[(None, Value::Table(table))], false);
        }
    }
    walk.open.pop();
    end(walk, table, called.row);
    // the next call of a chain asks for its schema
    Value::Call(Rc::new(called.clone()))
}

/// A change of one table that stands in one call.
pub fn change(walk: &mut Walk<'_, '_>, table: Name, row: usize, fill: impl FnOnce(&mut Made)) {
    let at = begin(walk, table, false);
    fill(&mut walk.tables[at]);
    end(walk, at, row);
}

/// Drops a table, or gives it another name, where the call says so.
pub fn dropped_or_renamed<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>, name: &str) -> Option<Value<'t>> {
    match name {
        "droptable" | "droptableifexists" | "dropifexists" => {
            let table = called.at(0).and_then(table_name)?;
            walk.give(called.row, What::Dropped(in_schema(table, called)));
            Some(Value::nothing())
        }
        "renametable" => {
            let (old, new) = (called.at(0).and_then(table_name)?, called.at(1)?.name()?);
            walk.give(called.row, What::Renamed(in_schema(old, called), Name::of(&new).name));
            Some(Value::nothing())
        }
        _ => None,
    }
}

/// The name of a table: a text, or `{ tableName, schema }`.
pub fn table_name(value: &Value<'_>) -> Option<Name> {
    if let Some(written) = value.name() {
        return Some(Name::of(written.trim_matches(['{', '}', '%'])));
    }
    let name = value.get("tableName").or_else(|| value.get("name"))?.name()?;
    Some(Name { schema: value.get("schema").and_then(Value::name), name })
}

/// A table in the schema that the call names, or the chain that it is the last of.
pub fn in_schema(mut table: Name, called: &Called<'_>) -> Name {
    if table.schema.is_none() {
        table.schema = called.option("schema").and_then(Value::name).or_else(|| {
            let mut at = called.on.as_ref().and_then(Value::call);
            while let Some(call) = at {
                if plain(&call.name) == "withschema" {
                    return call.at(0)?.name();
                }
                at = call.on.as_ref().and_then(Value::call);
            }
            None
        });
    }
    table
}

pub fn column(name: String, data_type: &Value<'_>) -> Column {
    let (data_type, serial) = types::of_value(data_type);
    Column { name, data_type, serial, ..Column::default() }
}

pub fn unique(columns: Vec<String>) -> Key {
    Key { primary: false, columns }
}

pub fn primary(columns: Vec<String>) -> Key {
    Key { primary: true, columns }
}
