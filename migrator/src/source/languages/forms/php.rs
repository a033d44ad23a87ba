//! PHP's libraries: Laravel, Phinx, Doctrine, Yii.

use super::super::given::{Column, What};
use super::super::state::Walk;
use super::super::value::{Called, Value, plain};
use super::objects;
use super::table::{
    begin, change, dropped_or_renamed, end, in_schema, nameless, primary, table_name, unique, with_block,
};

/// Takes a call.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let has_block = called.plain().any(|v| matches!(v, Value::Function(_)));
    let table = || called.at(0).and_then(table_name).map(|t| in_schema(t, called));
    let on = called.on.as_ref().and_then(Value::last_name).unwrap_or_default();
    match name.as_str() {
        "create" | "table" if has_block => {
            let table = table();
            if table.is_none() && name == "create" {
                return nameless(walk, called);
            }
            let at = begin(walk, table.unwrap_or_default(), name == "create");
            Some(with_block(walk, at, called))
        }
        "rename" if on == "Schema" => {
            let new = called.at(1)?.name()?;
            walk.give(called.row, What::Renamed(table()?, new));
            Some(Value::nothing())
        }
        "drop" if on == "Schema" => {
            walk.give(called.row, What::Dropped(table()?));
            Some(Value::nothing())
        }
        // Phinx, whose tables have a column id unless it is said
        "table" if on == "$this" => {
            let at = begin(walk, table()?, false);
            let (id, keys) = (called.option("id"), called.option("primary_key"));
            if let Some(columns) = keys.and_then(Value::names) {
                walk.tables[at].keys.push(primary(columns));
            } else if !id.is_some_and(Value::is_false) {
                let name = id.and_then(Value::name).unwrap_or("id".into());
                let id = Column { name, data_type: "integer".into(), serial: true, primary: true, ..Column::default() };
                walk.tables[at].columns.push(id);
            }
            Some(Value::Table(at))
        }
        "createtable" => {
            let Some(table) = table() else { return nameless(walk, called) };
            let at = begin(walk, table, true);
            if let Some(columns @ Value::Map(_)) = called.at(1) {
                objects::of_map(&mut walk.tables[at], columns, None);
                end(walk, at, called.row);
                return Some(Value::nothing());
            }
            // Doctrine: it is made at the end of the file
            Some(Value::Table(at))
        }
        "gettable" => Some(Value::Table(begin(walk, table()?, false))),
        "createindex" if called.at(3).is_some_and(Value::is_true) => {
            let table = called.at(1).and_then(table_name)?;
            let columns = called.at(2)?.names()?;
            change(walk, table, called.row, |made| made.keys.push(unique(columns)));
            Some(Value::nothing())
        }
        _ => dropped_or_renamed(walk, called, &name),
    }
}
