//! Alembic's operations.

use super::super::given::{Column, Made, Name};
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Value, plain};
use super::table::{begin, change, dropped_or_renamed, end, in_schema, nameless, primary, unique, with_block};

/// Takes a call.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let at = |n: usize| called.at(n).and_then(Value::name);
    let table = |n: usize| {
        let written = called.option("table_name").and_then(Value::name).or_else(|| at(n));
        written.map(|t| in_schema(Name::of(&t), called))
    };
    match name.as_str() {
        "createtable" => {
            let Some(table) = table(0) else { return nameless(walk, called) };
            let at = begin(walk, table, true);
            elements(&mut walk.tables[at], called.plain().skip(1));
            end(walk, at, called.row);
        }
        "batchaltertable" => {
            let at = begin(walk, table(0).unwrap_or_default(), false);
            return Some(with_block(walk, at, called));
        }
        "addcolumn" => {
            let table = table(0)?;
            change(walk, table, called.row, |made| elements(made, called.plain().skip(1)));
        }
        "createindex" => {
            let columns = called.named_or_at("columns", 2).and_then(Value::names);
            let partial = called.arguments.iter().any(|(n, _)| n.as_deref().is_some_and(|n| n.ends_with("_where")));
            if called.option("unique").is_some_and(Value::is_true) && !partial {
                let table = table(1)?;
                change(walk, table, called.row, |made| made.keys.extend(columns.map(unique)));
            }
        }
        "createuniqueconstraint" => {
            let columns = called.named_or_at("columns", 2).and_then(Value::names);
            let table = table(1)?;
            change(walk, table, called.row, |made| made.keys.extend(columns.map(unique)));
        }
        "createprimarykey" => {
            let columns = called.named_or_at("columns", 2).and_then(Value::names);
            let table = table(1)?;
            change(walk, table, called.row, |made| made.keys.extend(columns.map(primary)));
        }
        "dropcolumn" => {
            let column = called.named_or_at("column_name", 1)?.name()?;
            let table = table(0)?;
            change(walk, table, called.row, |made| made.dropped.push(column));
        }
        "altercolumn" => {
            let old = called.named_or_at("column_name", 1)?.name()?;
            let table = table(0)?;
            change(walk, table, called.row, |made| alter(made, old, called));
        }
        _ => return dropped_or_renamed(walk, called, &name),
    }
    Some(Value::nothing())
}

/// A method of `batch_alter_table`'s table.
pub fn batch<'t>(walk: &mut Walk<'_, 't>, at: usize, called: &Called<'t>) -> Option<Value<'t>> {
    let made = &mut walk.tables[at];
    let columns = called.named_or_at("columns", 1).and_then(Value::names);
    match plain(&called.name).as_str() {
        "addcolumn" => elements(made, called.plain()),
        "createindex" if called.option("unique").is_some_and(Value::is_true) => made.keys.extend(columns.map(unique)),
        "createuniqueconstraint" => made.keys.extend(columns.map(unique)),
        "createprimarykey" => made.keys.extend(columns.map(primary)),
        "dropcolumn" => made.dropped.extend(called.named_or_at("column_name", 0).and_then(Value::name)),
        "altercolumn" => alter(made, called.named_or_at("column_name", 0)?.name()?, called),
        _ => {}
    }
    Some(Value::Table(at))
}

fn alter(made: &mut Made, old: String, called: &Called<'_>) {
    if let Some(new) = called.option("new_column_name").and_then(Value::name) {
        made.renamed.push((old, new));
    } else if let Some(data_type) = called.option("type_") {
        made.columns.push(Column { changed: true, ..super::table::column(old, data_type) });
    }
}

/// Columns and constraints of `create_table`.
fn elements<'v, 't: 'v>(made: &mut Made, elements: impl Iterator<Item = &'v Value<'t>>) {
    for element in elements {
        let Some(call) = element.call() else { continue };
        let names = || call.plain().map(Value::name).collect::<Option<Vec<String>>>();
        match call.name.as_str() {
            "Column" => made.columns.extend(column(call)),
            "UniqueConstraint" => made.keys.extend(names().map(unique)),
            "PrimaryKeyConstraint" => made.keys.extend(names().map(primary)),
            "Index" if call.option("unique").is_some_and(Value::is_true) => {
                let columns = call.plain().skip(1).map(Value::name).collect::<Option<Vec<String>>>();
                made.keys.extend(columns.map(unique));
            }
            _ => {}
        }
    }
}

fn column(call: &Called<'_>) -> Option<Column> {
    let name = call.named_or_at("name", 0)?.name()?;
    let given = call.named_or_at("type_", 1);
    let (data_type, serial) = given.map_or(("text".into(), false), types::of_value);
    let primary = call.option("primary_key").is_some_and(Value::is_true);
    let counts = !call.option("autoincrement").is_some_and(Value::is_false);
    let default = call.option("server_default").and_then(types::default_of);
    Some(Column {
        name,
        serial: serial || primary && counts && default.is_none() && matches!(data_type.as_str(), "integer" | "bigint"),
        data_type,
        not_null: call.option("nullable").is_some_and(Value::is_false),
        default,
        primary,
        unique: call.option("unique").is_some_and(Value::is_true),
        changed: false,
    })
}
