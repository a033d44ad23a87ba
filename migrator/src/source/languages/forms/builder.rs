//! A table that is an object with methods for its columns: Rails, Sequel, Knex, Laravel, Phinx, Doctrine, Alembic's batches.

use super::super::given::Column;
use super::super::language::Language;
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Value, plain};
use super::python;
use super::table::{end, primary, unique};

/// A method of a table.
pub fn table<'t>(walk: &mut Walk<'_, 't>, at: usize, called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let language = walk.language;
    let first = called.at(0);
    if language == Language::Python {
        return python::batch(walk, at, called);
    }
    let made = &mut walk.tables[at];
    match name.as_str() {
        "unique" | "adduniqueindex" | "adduniqueconstraint" | "uniqueconstraint" => {
            if called.option("where").is_none() {
                made.keys.extend(first.and_then(Value::names).map(unique));
            }
        }
        "primarykey" if language == Language::Ruby && !matches!(first, Some(Value::List(_))) => {
            let given = called.at(1).or_else(|| called.option("type")).map(types::of_value);
            let (data_type, serial) = given.unwrap_or(("bigint".into(), true));
            made.columns.push(Column { name: first?.name()?, data_type, serial, primary: true, ..Column::default() });
        }
        "primary" | "primarykey" | "setprimarykey" | "addprimarykey" => {
            made.keys.extend(first.and_then(Value::names).map(primary));
        }
        "index" | "addindex" => {
            let is_unique = called.option("unique").is_some_and(Value::is_true) && called.option("where").is_none();
            made.keys.extend(first.and_then(Value::names).filter(|_| is_unique).map(unique));
        }
        "dropcolumn" | "removecolumn" | "dropcolumns" | "remove" => {
            for value in called.plain() {
                made.dropped.extend(value.names().unwrap_or_default());
            }
        }
        "renamecolumn" | "rename" => made.renamed.push((first?.name()?, called.at(1)?.name()?)),
        "timestamps" | "timestampstz" | "addtimestamps" | "nullabletimestamps" | "datetimes" => {
            let camel =
                called.at(2).is_some_and(Value::is_true) || called.option("useCamelCase").is_some_and(Value::is_true);
            let names = if camel { ["createdAt", "updatedAt"] } else { ["created_at", "updated_at"] };
            made.columns.extend(names.map(|n| Column {
                name: n.into(),
                data_type: "timestamp".into(),
                ..Column::default()
            }));
        }
        "softdeletes" | "softdeletestz" => {
            let name = first.and_then(Value::name).unwrap_or("deleted_at".into());
            made.columns.push(Column { name, data_type: "timestamp".into(), ..Column::default() });
        }
        "morphs" | "nullablemorphs" | "uuidmorphs" | "nullableuuidmorphs" => {
            let stem = first?.name()?;
            let id = if name.contains("uuid") { "uuid" } else { "bigint" };
            for (end, data_type) in [("type", "varchar"), ("id", id)] {
                let not_null = !name.starts_with("nullable");
                made.columns.push(Column {
                    name: format!("{stem}_{end}"),
                    data_type: data_type.into(),
                    not_null,
                    ..Column::default()
                });
            }
        }
        "references" | "belongsto" | "addreference" if language == Language::Ruby => {
            references(made, called)?;
        }
        "foreignkey" if language == Language::Ruby => {
            let data_type = called.option("type").map_or("integer".into(), |t| types::of_value(t).0);
            made.columns.push(options(
                Column { name: first?.name()?, data_type, ..Column::default() },
                called,
                language,
            ));
        }
        "column" | "addcolumn" | "specifictype" | "add" | "changecolumn" | "setcolumntype" | "change" => {
            let column_name = first?.name()?;
            let (data_type, serial) = types::of_value(called.at(1).or_else(|| called.option("type"))?);
            let mut column =
                options(Column { name: column_name, data_type, serial, ..Column::default() }, called, language);
            if name == "specifictype" || name == "column" {
                let written = called.at(1).and_then(Value::text).unwrap_or_default().to_ascii_lowercase();
                column.primary |= written.contains("primary key");
                column.serial |= written.contains("as identity");
            }
            column.changed = matches!(name.as_str(), "changecolumn" | "setcolumntype" | "change");
            made.columns.push(column);
            return Some(if language == Language::Php {
                Value::Table(at)
            } else {
                Value::Column(at, made.columns.len() - 1)
            });
        }
        "create" | "save" | "update" if language == Language::Php => {
            let known = walk.common.tables.contains(&walk.tables[at].table);
            let made = &mut walk.tables[at];
            made.is_new = name == "create" || name == "save" && !known;
            if !made.is_new {
                made.columns.retain(|c| !c.serial);
                made.keys.retain(|k| !k.primary);
            }
            end(walk, at, called.row);
        }
        _ => {
            let (data_type, serial) = types::of(&name)?;
            let mut names: Vec<String> = match language {
                Language::Ruby => called.plain().filter_map(Value::name).collect(),
                _ => first.and_then(Value::name).into_iter().collect(),
            };
            if names.is_empty() && serial {
                names.push("id".into());
            }
            // a name that is put together at run time
            let named = !names.is_empty();
            for name in names {
                let column = Column { name, data_type: data_type.into(), serial, primary: serial, ..Column::default() };
                let column = options(column, called, language);
                // Laravel's columns are never null unless it is said
                made.columns.push(Column { not_null: column.not_null || language == Language::Php, ..column });
            }
            return named.then(|| Value::Column(at, made.columns.len() - 1));
        }
    }
    Some(Value::Table(at))
}

fn references(made: &mut super::super::given::Made, called: &Called<'_>) -> Option<()> {
    let stem = called.at(usize::from(plain(&called.name) == "addreference"))?.name()?;
    let data_type = called.option("type").map_or("bigint".into(), |t| types::of_value(t).0);
    let not_null = called.option("null").is_some_and(Value::is_false);
    let is_unique = called.option("index").and_then(|i| i.get("unique")).is_some_and(Value::is_true);
    let column = |end: &str, data_type: String| Column {
        name: format!("{stem}_{end}"),
        data_type,
        not_null,
        ..Column::default()
    };
    if called.option("polymorphic").is_some_and(|p| !p.is_false()) {
        made.columns.push(column("type", "varchar".into()));
    }
    made.columns.push(Column { unique: is_unique, ..column("id", data_type) });
    Some(())
}

/// The options of a column: `null: false`, `['null' => false]`.
pub fn options(mut column: Column, called: &Called<'_>, language: Language) -> Column {
    let says = |name: &str| called.option(name);
    if let Some(null) = says("null").or_else(|| says("nullable")) {
        column.not_null = null.is_false();
    } else if let Some(not_null) = says("notnull") {
        column.not_null = not_null.is_true();
    }
    column.default = says("default").and_then(types::default_of);
    column.primary |= says("primary_key").or_else(|| says("primary")).is_some_and(Value::is_true);
    column.unique |= says("unique").is_some_and(Value::is_true);
    column.unique |= says("index").and_then(|i| i.get("unique")).is_some_and(Value::is_true);
    if says("array").is_some_and(Value::is_true) {
        column.data_type.push_str("[]");
    }
    if language == Language::Php && says("identity").is_some_and(Value::is_true) {
        column.serial = true;
    }
    column
}

/// A method of a column.
pub fn column<'t>(walk: &mut Walk<'_, 't>, table: usize, at: usize, called: &Called<'t>) -> Option<Value<'t>> {
    let first = called.at(0);
    let no = first.is_some_and(Value::is_false);
    let column = walk.tables.get_mut(table)?.columns.get_mut(at)?;
    match plain(&called.name).as_str() {
        "notnullable" | "notnull" => column.not_null = true,
        "nullable" => column.not_null = no,
        "unique" => column.unique = !no,
        "primary" | "primarykey" => column.primary = !no,
        "defaultto" | "default" => column.default = first.and_then(types::default_of),
        "usecurrent" => column.default = Some("current_timestamp".into()),
        "autoincrement" | "generatedas" => column.serial = true,
        "alter" | "change" => column.changed = true,
        _ => {}
    }
    Some(Value::Column(table, at))
}
