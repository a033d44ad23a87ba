//! JavaScript's libraries: Knex, Sequelize, TypeORM, node-pg-migrate, db-migrate.

use super::super::given::{Column, Made, Name};
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Value, plain};
use super::table::{
    begin, change, dropped_or_renamed, end, in_schema, nameless, primary, table_name, unique, with_block,
};

/// Takes a call.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let has_block = called.plain().any(|v| matches!(v, Value::Function(_)));
    let table = || called.at(0).and_then(table_name).map(|t| in_schema(t, called));
    match name.as_str() {
        "createtable" | "createtableifnotexists" => {
            // new Table({ .. })
            if let Some(given) = called.at(0).and_then(Value::call).filter(|c| c.name == "Table") {
                return typeorm(walk, given, called.row);
            }
            let Some(table) = table() else { return nameless(walk, called) };
            let at = begin(walk, table, true);
            if let Some(columns @ Value::Map(_)) = called.at(1) {
                of_map(&mut walk.tables[at], columns.get("columns").unwrap_or(columns), called.at(2));
                end(walk, at, called.row);
                return Some(Value::nothing());
            }
            Some(with_block(walk, at, called))
        }
        "altertable" | "table" if has_block => {
            let at = begin(walk, table().unwrap_or_default(), false);
            Some(with_block(walk, at, called))
        }
        "addcolumn" | "addcolumns" | "changecolumn" => {
            let columns = columns_of(called)?;
            let changed = name == "changecolumn";
            let columns = columns.into_iter().map(|c| Column { changed, ..c });
            change(walk, table()?, called.row, |made| made.columns.extend(columns));
            Some(Value::nothing())
        }
        "addindex" | "createindex" => {
            let given = called.at(1)?;
            let inner = given.call().and_then(|c| c.at(0)).unwrap_or(given);
            let options = [inner, called.at(2).unwrap_or(inner)];
            let says = |key: &str| options.iter().any(|o| o.get(key).is_some_and(Value::is_true));
            let is_unique = says("unique")
                || says("isUnique")
                || options
                    .iter()
                    .any(|o| o.get("type").and_then(Value::name).is_some_and(|t| t.eq_ignore_ascii_case("unique")))
                || called.at(3).is_some_and(Value::is_true);
            let partial = options.iter().any(|o| o.get("where").is_some());
            // db.addIndex(table, name, columns, unique)
            let third = called.at(2).filter(|v| matches!(v, Value::List(_)));
            if let Some(columns) = names_of(third.unwrap_or(inner)).filter(|_| is_unique && !partial) {
                change(walk, table()?, called.row, |made| made.keys.push(unique(columns)));
            }
            Some(Value::nothing())
        }
        "addconstraint" | "createconstraint" => {
            let table = table()?;
            change(walk, table, called.row, |made| called.plain().skip(1).for_each(|v| constraint(made, v, called)));
            Some(Value::nothing())
        }
        "createuniqueconstraint" | "createprimarykey" => {
            let given = called.at(1)?;
            let columns = names_of(given.call().and_then(|c| c.at(0)).unwrap_or(given))?;
            let key = if name == "createprimarykey" { primary(columns) } else { unique(columns) };
            change(walk, table()?, called.row, |made| made.keys.push(key));
            Some(Value::nothing())
        }
        "removecolumn" | "dropcolumn" | "dropcolumns" => {
            let columns = called.at(1)?.names()?;
            change(walk, table()?, called.row, |made| made.dropped = columns);
            Some(Value::nothing())
        }
        "renamecolumn" => {
            let (old, new) = (called.at(1)?.name()?, called.at(2)?.name()?);
            change(walk, table()?, called.row, |made| made.renamed.push((old, new)));
            Some(Value::nothing())
        }
        _ => dropped_or_renamed(walk, called, &name),
    }
}

/// The columns of `addColumn(table, name, type)`, `addColumns(table, { .. })`, `addColumn(table, new TableColumn({ .. }))`.
fn columns_of(called: &Called<'_>) -> Option<Vec<Column>> {
    let given = called.at(1)?;
    if let Some(name) = given.name() {
        return Some(vec![of_value(&name, called.at(2)?)]);
    }
    if let Some(call) = given.call() {
        let inner = call.at(0)?;
        return Some(vec![Column { not_null: !inner.get("isNullable").is_some_and(Value::is_true), ..named(inner)? }]);
    }
    if given.items().is_empty() {
        return Some(given.entries().iter().filter_map(|(key, v)| Some(of_value(key.as_deref()?, v))).collect());
    }
    Some(given.items().iter().filter_map(|i| named(i.call().and_then(|c| c.at(0)).unwrap_or(i))).collect())
}

/// A column that has its name among its properties.
fn named(value: &Value<'_>) -> Option<Column> {
    Some(of_value(&value.get("name")?.name()?, value))
}

/// A column from its properties, its type alone, or a chain of calls.
pub fn of_value(name: &str, value: &Value<'_>) -> Column {
    let mut column = Column { name: name.to_owned(), ..Column::default() };
    let Value::Map(_) = value else {
        chain(&mut column, value);
        return column;
    };
    let first = |keys: &[&str]| keys.iter().find_map(|k| value.get(k));
    let yes = |keys: &[&str]| first(keys).is_some_and(|v| !v.is_false() && !matches!(v, Value::Word(w) if w == "null"));
    if let Some(data_type) = first(&["type"]) {
        (column.data_type, column.serial) = types::of_value(data_type);
    } else {
        column.data_type = "text".into();
    }
    if let Some(field) = value.get("field").and_then(Value::name) {
        column.name = field;
    }
    column.primary = yes(&["primaryKey", "primary", "isPrimary"]);
    column.unique = yes(&["unique", "isUnique"]);
    column.serial |= yes(&["autoIncrement", "sequenceGenerated", "identity"])
        || value.get("generationStrategy").and_then(Value::name).is_some_and(|s| s == "increment" || s == "identity");
    column.not_null = yes(&["notNull"]) || first(&["allowNull", "isNullable", "null"]).is_some_and(Value::is_false);
    column.default = first(&["defaultValue", "default"]).and_then(types::default_of);
    column
}

/// `integer().notNull().unique()`.
fn chain(column: &mut Column, value: &Value<'_>) {
    if value.text().is_some_and(|t| t == "id") {
        (column.data_type, column.serial, column.primary) = ("integer".into(), true, true);
        return;
    }
    let mut at = value.clone();
    while let Some(call) = at.call().cloned() {
        match plain(&call.name).as_str() {
            "notnull" => column.not_null = true,
            "unique" => column.unique = true,
            "primarykey" | "bigprimarykey" => {
                let data_type = if call.name.starts_with("big") { "bigint" } else { "integer" };
                (column.data_type, column.serial, column.primary) = (data_type.into(), true, true);
                return;
            }
            "defaultvalue" => column.default = call.at(0).and_then(types::default_of),
            word if types::of(word).is_some() => break,
            _ => {}
        }
        let Some(on) = call.on else { break };
        at = on;
    }
    (column.data_type, column.serial) = types::of_value(&at);
}

/// `createTable(name, { column: .. }, { .. })`.
pub fn of_map(made: &mut Made, columns: &Value<'_>, options: Option<&Value<'_>>) {
    made.columns.extend(columns.entries().iter().filter_map(|(key, v)| Some(of_value(key.as_deref()?, v))));
    // Sequelize: columns of one key have its name
    let mut named: Vec<(String, Vec<String>)> = vec![];
    for (key, value) in columns.entries() {
        let name = value.get("unique").and_then(|u| u.name().or_else(|| u.get("name").and_then(Value::name)));
        let (Some(key), Some(name)) = (key, name) else { continue };
        let own = value.get("field").and_then(Value::name).unwrap_or_else(|| key.clone());
        match named.iter_mut().find(|(n, _)| *n == name) {
            Some((_, columns)) => columns.push(own),
            None => named.push((name, vec![own])),
        }
    }
    for (_, columns) in named.into_iter().filter(|(_, c)| c.len() > 1) {
        made.columns.iter_mut().filter(|c| columns.contains(&c.name)).for_each(|c| c.unique = false);
        made.keys.push(unique(columns));
    }
    let Some(options) = options else { return };
    for (_, key) in options.get("uniqueKeys").map(Value::entries).unwrap_or_default() {
        made.keys.extend(key.get("fields").or(Some(key)).and_then(Value::names).map(unique));
    }
    if let Some(constraints) = options.get("constraints") {
        keys(made, constraints);
    }
}

/// `{ unique: [..], primaryKey: [..] }`; several keys stand in a list of lists.
fn keys(made: &mut Made, constraints: &Value<'_>) {
    if let Some(given) = constraints.get("unique") {
        match given.names() {
            Some(columns) => made.keys.push(unique(columns)),
            None => made.keys.extend(given.items().iter().filter_map(Value::names).map(unique)),
        }
    }
    made.keys.extend(constraints.get("primaryKey").and_then(Value::names).map(primary));
}

fn constraint(made: &mut Made, value: &Value<'_>, called: &Called<'_>) {
    let kind = value.get("type").and_then(Value::name).unwrap_or_default().to_ascii_lowercase();
    let fields = value.get("fields").and_then(Value::names).or_else(|| called.at(1).and_then(Value::names));
    match kind.as_str() {
        "unique" => made.keys.extend(fields.map(unique)),
        "primary key" => made.keys.extend(fields.map(primary)),
        _ => keys(made, value),
    }
}

fn names_of(value: &Value<'_>) -> Option<Vec<String>> {
    value.get("columnNames").or_else(|| value.get("fields")).unwrap_or(value).names().filter(|n| !n.is_empty())
}

/// `new Table({ name, columns: [..], uniques: [..], indices: [..] })`.
fn typeorm<'t>(walk: &mut Walk<'_, 't>, table: &Called<'t>, row: usize) -> Option<Value<'t>> {
    let given = table.at(0)?;
    let Some(name) = given.get("name").and_then(Value::name) else { return nameless(walk, table) };
    let schema = given.get("schema").and_then(Value::name);
    let name = Name { schema: schema.or(Name::of(&name).schema), ..Name::of(&name) };
    let at = begin(walk, name, true);
    let made = &mut walk.tables[at];
    let items = |key: &str| given.get(key).map(Value::items).unwrap_or_default();
    let object = |value: &Value<'t>| value.call().and_then(|c| c.at(0).cloned()).unwrap_or_else(|| value.clone());
    for column in items("columns") {
        let inner = object(column);
        let nullable = inner.get("isNullable").is_some_and(Value::is_true);
        made.columns.extend(named(&inner).map(|c| Column { not_null: !nullable, ..c }));
    }
    for key in items("uniques") {
        made.keys.extend(names_of(&object(key)).map(unique));
    }
    for index in items("indices") {
        let inner = object(index);
        if inner.get("isUnique").is_some_and(Value::is_true) && inner.get("where").is_none() {
            made.keys.extend(names_of(&inner).map(unique));
        }
    }
    end(walk, at, row);
    Some(Value::nothing())
}
