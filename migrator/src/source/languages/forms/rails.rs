//! Rails' migrations and `schema.rb`, and Sequel's.

use std::path::PathBuf;

use super::super::given::{Column, Name, What};
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Text, Value, plain};
use super::builder::{self, options};
use super::table::{begin, change, dropped_or_renamed, nameless, primary, unique, with_block};
use domain_events_mysql::source::Dialect;

/// A larger file is not put into a text.
const LARGEST: usize = 4 * 1024 * 1024;

/// Takes a call.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let table = || called.at(0).and_then(Value::name).map(|n| Name::of(&n));
    let language = walk.language;
    match name.as_str() {
        "createtable" => {
            let Some(table) = table() else { return nameless(walk, called) };
            let at = begin(walk, table, true);
            let block = called.arguments.iter().find_map(|(_, v)| match v {
                Value::Function(function) => Some(function.clone()),
                _ => None,
            });
            let rails = block.is_none_or(|b| !b.parameters.is_empty());
            let id = called.option("id");
            let key = called.option("primary_key");
            match key {
                Some(Value::List(_)) => {
                    let columns = key.and_then(Value::names);
                    walk.tables[at].keys.extend(columns.map(primary));
                }
                _ if rails && !id.is_some_and(Value::is_false) => {
                    let given = id.and_then(|i| i.name().or_else(|| i.get("type").and_then(Value::name)));
                    let (data_type, serial) = match given.as_deref().and_then(types::of) {
                        Some((known, _)) => (known, matches!(known, "bigint" | "integer")),
                        None => ("bigint", true),
                    };
                    let name = key.and_then(Value::name).unwrap_or("id".into());
                    let id = Column { name, data_type: data_type.into(), serial, primary: true, ..Column::default() };
                    walk.tables[at].columns.push(id);
                }
                _ => {}
            }
            Some(with_block(walk, at, called))
        }
        "changetable" | "altertable" => {
            let at = begin(walk, table().unwrap_or_default(), false);
            Some(with_block(walk, at, called))
        }
        // inside a block of Sequel
        _ if called.on.is_none() && !walk.open.is_empty() => {
            let at = *walk.open.last()?;
            builder::table(walk, at, called)
        }
        "addcolumn" | "changecolumn" => {
            let (column, data_type) = (called.at(1)?.name()?, called.at(2)?);
            let (data_type, serial) = types::of_value(data_type);
            let changed = name == "changecolumn";
            let column =
                options(Column { name: column, data_type, serial, changed, ..Column::default() }, called, language);
            change(walk, table()?, called.row, |made| made.columns.push(column));
            Some(Value::nothing())
        }
        "addindex" | "adduniqueconstraint" => {
            let is_unique = name != "addindex" || called.option("unique").is_some_and(Value::is_true);
            if let Some(columns) = called.at(1).and_then(Value::names)
                && is_unique
                && called.option("where").is_none()
            {
                change(walk, table()?, called.row, |made| made.keys.push(unique(columns)));
            }
            Some(Value::nothing())
        }
        "addreference" | "addbelongsto" => {
            let inner = Called { name: "add_reference".into(), ..called.clone() };
            let at = begin(walk, table()?, false);
            builder::table(walk, at, &inner);
            super::table::end(walk, at, called.row);
            Some(Value::nothing())
        }
        "addtimestamps" => {
            let at = begin(walk, table()?, false);
            builder::table(walk, at, &Called { arguments: vec![], ..called.clone() });
            super::table::end(walk, at, called.row);
            Some(Value::nothing())
        }
        "removecolumn" | "removecolumns" | "dropcolumn" => {
            // type and options follow the name of one
            let count = if name == "removecolumns" { usize::MAX } else { 1 };
            let columns: Vec<String> = called.plain().skip(1).take(count).filter_map(Value::name).collect();
            change(walk, table()?, called.row, |made| made.dropped = columns);
            Some(Value::nothing())
        }
        "renamecolumn" => {
            let (old, new) = (called.at(1)?.name()?, called.at(2)?.name()?);
            change(walk, table()?, called.row, |made| made.renamed.push((old, new)));
            Some(Value::nothing())
        }
        "createtrigger" | "createfunction" | "updatetrigger" | "updatefunction" | "createview" | "updateview" => {
            fx(walk, called, &name)
        }
        "droptrigger" | "dropfunction" | "dropview" => gone(walk, called, &name[4..]),
        _ => dropped_or_renamed(walk, called, &name),
    }
}

/// `create_function :x, version: 2`: its SQL stands in `db/functions/x_v02.sql`, and a view's query in `db/views`. Where the folder
/// holds the file, it is run here.
fn fx<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>, name: &str) -> Option<Value<'t>> {
    if let Some(definition) = called.option("sql_definition").cloned() {
        walk.take(&definition);
        if let Value::Text(text) = definition {
            walk.give(text.row.unwrap_or(called.row), What::Sql(text));
        }
        return Some(Value::nothing());
    }
    let object = called.at(0)?.name()?;
    let version = match called.option("version") {
        Some(Value::Word(number)) => number.parse().unwrap_or(1),
        _ => 1,
    };
    let kind = &name[6..];
    let (file, folder) = (format!("{object}_v{version:02}.sql"), format!("{kind}s"));
    let is_it = |path: &&PathBuf| {
        path.file_name().is_some_and(|n| *n == *file) && path.parent().is_some_and(|p| p.ends_with(&folder))
    };
    let path = walk.common.own_turn.iter().find(is_it)?.clone();
    let bytes = std::fs::read(&path).ok().filter(|b| b.len() < LARGEST)?;
    let text = crate::source::encoding::text(&bytes);
    let named = Name::of(&object).quoted(Dialect::Postgres);
    let sql = match kind {
        "view" => format!("create or replace view {named} as {text}"),
        _ => text.into_owned(),
    };
    if name == "updatetrigger" {
        gone(walk, called, kind);
    }
    let known = path.canonicalize().unwrap_or_else(|_| path.clone());
    walk.give(called.row, What::Sql(Text { file: Some(path), sources: vec![known], ..Text::known(&sql) }));
    Some(Value::nothing())
}

/// `drop_trigger :x, on: :y`, and Sequel's `drop_trigger(:y, :x)`.
fn gone<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>, kind: &str) -> Option<Value<'t>> {
    let of = |value: Option<&Value<'t>>| Some(Name::of(&value?.name()?).quoted(Dialect::Postgres));
    let first = of(called.at(0))?;
    let sql = match (kind, of(called.option("on")), of(called.at(1))) {
        ("trigger", Some(table), _) => format!("drop trigger if exists {first} on {table}"),
        ("trigger", None, Some(trigger)) => format!("drop trigger if exists {trigger} on {first}"),
        ("trigger", None, None) => return None,
        _ => format!("drop {kind} if exists {first}"),
    };
    walk.give(called.row, What::Sql(Text::known(&sql)));
    Some(Value::nothing())
}
