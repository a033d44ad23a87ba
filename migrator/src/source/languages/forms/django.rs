//! Django's operations. Models are known by application and name over all files.

use super::super::common::Model;
use super::super::given::{Column, Name, What};
use super::super::state::Walk;
use super::super::types;
use super::super::value::{Called, Value};
use super::table::{begin, change, end, unique};

/// Takes a call.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let model_name = || called.named_or_at("model_name", 0)?.name();
    match called.name.as_str() {
        "CreateModel" => create(walk, called),
        "DeleteModel" => {
            let table = model(walk, &called.named_or_at("name", 0)?.name()?).table.clone();
            walk.give(called.row, What::Dropped(Name::of(&table)));
            Some(Value::nothing())
        }
        "AddField" | "AlterField" => {
            let owner = model_name()?;
            let (field, kind) = (called.named_or_at("name", 1)?.name()?, called.named_or_at("field", 2)?.call()?);
            let Some(mut column) = column(&field, kind) else { return Some(Value::nothing()) };
            column.changed = called.name == "AlterField";
            let known = model(walk, &owner);
            known.columns.insert(field, column.name.clone());
            let table = Name::of(&known.table.clone());
            change(walk, table, called.row, |made| made.columns.push(column));
            Some(Value::nothing())
        }
        "RemoveField" | "RenameField" => {
            let owner = model_name()?;
            let removes = called.name == "RemoveField";
            let old = called.named_or_at(if removes { "name" } else { "old_name" }, 1)?.name()?;
            let new = called.named_or_at("new_name", 2).and_then(Value::name);
            let known = model(walk, &owner);
            let table = Name::of(&known.table.clone());
            let column = known.columns.remove(&old).unwrap_or_else(|| old.clone());
            let new_column = new.map(|new| {
                let after = if column == format!("{old}_id") { format!("{new}_id") } else { new.clone() };
                known.columns.insert(new, after.clone());
                after
            });
            change(walk, table, called.row, |made| match new_column {
                Some(new) => made.renamed.push((column, new)),
                None => made.dropped.push(column),
            });
            Some(Value::nothing())
        }
        "AlterModelTable" => {
            let name = called.named_or_at("name", 0)?.name()?;
            let new = called.named_or_at("table", 1)?.name()?;
            let known = model(walk, &name);
            let old = std::mem::replace(&mut known.table, new.clone());
            walk.give(called.row, What::Renamed(Name::of(&old), new));
            Some(Value::nothing())
        }
        "RenameModel" => {
            let (old, new) = (called.named_or_at("old_name", 0)?.name()?, called.named_or_at("new_name", 1)?.name()?);
            let known = model(walk, &old).clone();
            let new_model = model(walk, &new);
            new_model.columns = known.columns;
            let table = new_model.table.clone();
            walk.give(called.row, What::Renamed(Name::of(&known.table), table));
            Some(Value::nothing())
        }
        "AlterUniqueTogether" => {
            let name = called.named_or_at("name", 0)?.name()?;
            let keys = together(called.named_or_at("unique_together", 1)?);
            add_keys(walk, &name, keys, called.row);
            Some(Value::nothing())
        }
        "AddConstraint" => {
            let owner = model_name()?;
            let keys = constraint(called.named_or_at("constraint", 1)?).into_iter().collect();
            add_keys(walk, &owner, keys, called.row);
            Some(Value::nothing())
        }
        _ => None,
    }
}

fn create<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    let name = called.named_or_at("name", 0)?.name()?;
    let options = called.named_or_at("options", 2).cloned().unwrap_or_else(Value::nothing);
    if options.get("managed").is_some_and(Value::is_false) || options.get("proxy").is_some_and(Value::is_true) {
        return Some(Value::nothing());
    }
    let table = options.get("db_table").and_then(Value::name);
    let known = model(walk, &name);
    if let Some(table) = table {
        known.table = table.replace("\".\"", ".").trim_matches('"').to_owned();
    }
    let mut columns = vec![];
    for field in called.named_or_at("fields", 1)?.items() {
        let (Some(name), Some(kind)) = (field.items().first().and_then(Value::name), field.items().get(1)) else {
            continue;
        };
        let Some(column) = kind.call().and_then(|kind| column(&name, kind)) else { continue };
        known.columns.insert(name, column.name.clone());
        columns.push(column);
    }
    let table = Name::of(&known.table.clone());
    let at = begin(walk, table, true);
    walk.tables[at].columns = columns;
    let mut keys = options.get("unique_together").map(together).unwrap_or_default();
    keys.extend(options.get("constraints").into_iter().flat_map(Value::items).filter_map(constraint));
    let keys = fields_to_columns(walk, &name, keys);
    walk.tables[at].keys = keys.into_iter().map(unique).collect();
    end(walk, at, called.row);
    Some(Value::nothing())
}

/// What is known of a model of this file's application.
fn model<'w>(walk: &'w mut Walk<'_, '_>, name: &str) -> &'w mut Model {
    let folders: Vec<String> = walk.file.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let at = folders.iter().rposition(|f| f == "migrations");
    let app = at.and_then(|at| at.checked_sub(1)).map(|at| folders[at].clone()).unwrap_or_default();
    let lower = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let table = if app.is_empty() { lower.clone() } else { format!("{app}_{lower}") };
    walk.common.models.entry((app, lower)).or_insert_with(|| Model { table, ..Model::default() })
}

fn add_keys(walk: &mut Walk<'_, '_>, owner: &str, keys: Vec<Vec<String>>, row: usize) {
    let keys = fields_to_columns(walk, owner, keys);
    let table = Name::of(&model(walk, owner).table.clone());
    change(walk, table, row, |made| made.keys = keys.into_iter().map(unique).collect());
}

fn fields_to_columns(walk: &mut Walk<'_, '_>, owner: &str, keys: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let known = model(walk, owner);
    let column = |field: String| known.columns.get(&field).cloned().unwrap_or(field);
    keys.into_iter().map(|key| key.into_iter().map(column).collect()).collect()
}

/// `("a", "b")`, or a set or list of such.
fn together(value: &Value<'_>) -> Vec<Vec<String>> {
    match value.names() {
        Some(one) if !one.is_empty() => vec![one],
        _ => value.items().iter().filter_map(Value::names).filter(|k| !k.is_empty()).collect(),
    }
}

fn constraint(value: &Value<'_>) -> Option<Vec<String>> {
    let call = value.call().filter(|c| c.name == "UniqueConstraint" && c.option("condition").is_none())?;
    call.option("fields")?.names().filter(|k| !k.is_empty())
}

/// A field's column; none where it has none of its own.
fn column(field: &str, kind: &Called<'_>) -> Option<Column> {
    let word = kind.name.as_str();
    let refers = matches!(word, "ForeignKey" | "OneToOneField");
    if matches!(word, "ManyToManyField" | "GenericForeignKey" | "GenericRelation") {
        return None;
    }
    let (data_type, serial) = match word.strip_suffix("Field").and_then(types::of) {
        _ if refers => ("bigint".to_owned(), false),
        Some((known, serial)) => (known.to_owned(), serial),
        None => ("text".to_owned(), false),
    };
    let name = kind.option("db_column").and_then(Value::name);
    let name = name.unwrap_or_else(|| if refers { format!("{field}_id") } else { field.to_owned() });
    Some(Column {
        name,
        data_type,
        serial,
        not_null: !kind.option("null").is_some_and(Value::is_true),
        // Django gives defaults itself
        default: kind.option("db_default").and_then(types::default_of),
        primary: kind.option("primary_key").is_some_and(Value::is_true),
        unique: kind.option("unique").is_some_and(Value::is_true) || word == "OneToOneField",
        changed: false,
    })
}
