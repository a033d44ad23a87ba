//! The changes that are replayed: existing rows changed in every column, and rows that come and go.

use crate::source::{Column, Relation};
use domain_events_sql::quote::quote_ident;

/// Rows that are changed column by column.
const ROWS: usize = 3;

/// What stands for the table in a change's SQL.
pub const TABLE: &str = "__table__";

/// One statement to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// For people.
    pub what: String,
    /// INSERT, UPDATE, DELETE or TRUNCATE.
    pub operation: &'static str,
    /// Whether it changes nothing.
    pub no_op: bool,
    /// The SQL, with [`TABLE`] for the table.
    pub sql: String,
}

/// The changes for a table. `keys` are conditions that pick one existing row each.
pub fn changes(relation: &Relation, keys: &[String], operations: &[String]) -> Vec<Change> {
    let mut all = vec![];
    let mut add = |what: String, operation: &'static str, no_op: bool, sql: String| {
        all.push(Change { what, operation, no_op, sql })
    };
    let key = primary(relation);
    let free: Vec<&Column> = relation
        .columns
        .iter()
        .filter(|c| c.generated.is_empty() && !key.contains(&c.name) && c.identity != "a")
        .collect();
    for (n, row) in keys.iter().enumerate() {
        if let Some(first) = free.first() {
            let column = quote_ident(&first.name);
            add(
                format!("row {}: no change", n + 1),
                "UPDATE",
                true,
                format!("update {TABLE} set {column} = {column} where {row}"),
            );
        }
        for column in free.iter().take(if n < ROWS { usize::MAX } else { 2 }) {
            let name = quote_ident(&column.name);
            if let Some(value) = mutated(column) {
                add(
                    format!("row {}: {} changed", n + 1, column.name),
                    "UPDATE",
                    false,
                    format!("update {TABLE} set {name} = {value} where {row}"),
                );
            }
            if n < ROWS && !column.not_null {
                let condition = format!("{row} and {name} is not null");
                add(
                    format!("row {}: {} set to NULL", n + 1, column.name),
                    "UPDATE",
                    false,
                    format!("update {TABLE} set {name} = null where {condition}"),
                );
                if let Some(value) = mutated(column) {
                    add(
                        format!("row {}: {} set from NULL", n + 1, column.name),
                        "UPDATE",
                        false,
                        format!("update {TABLE} set {name} = {value} where {row}"),
                    );
                }
            }
        }
        let every: Vec<String> =
            free.iter().filter_map(|c| Some(format!("{} = {}", quote_ident(&c.name), mutated(c)?))).collect();
        if !every.is_empty() {
            add(
                format!("row {}: every column changed", n + 1),
                "UPDATE",
                false,
                format!("update {TABLE} set {} where {row}", every.join(", ")),
            );
        }
    }
    if let Some(column) = free.iter().find(|c| mutated(c).is_some()) {
        let (name, value) = (quote_ident(&column.name), mutated(column).unwrap_or_default());
        add(
            format!("all rows: {} changed in one statement", column.name),
            "UPDATE",
            false,
            format!("update {TABLE} set {name} = {value}"),
        );
    }
    if let Some(row) = keys.first() {
        inserts(relation, row, &mut add);
    }
    if let Some(row) = keys.last() {
        add("a row deleted".into(), "DELETE", false, format!("delete from {TABLE} where {row}"));
    }
    if operations.iter().any(|o| o == "TRUNCATE") {
        add("all rows truncated".into(), "TRUNCATE", false, format!("truncate {TABLE}"));
    }
    all
}

/// A new row made from an old one, twice with the same key with a delete between.
fn inserts(relation: &Relation, row: &str, add: &mut impl FnMut(String, &'static str, bool, String)) {
    let key = primary(relation);
    let columns: Vec<&Column> = relation.columns.iter().filter(|c| c.generated.is_empty()).collect();
    let fresh = |column: &Column| -> Option<String> {
        let name = quote_ident(&column.name);
        match column.category.as_str() {
            "N" => Some(format!("(select coalesce(max(m.{name}), 0) + 1 from {TABLE} m)")),
            "S" => Some(format!("pg_catalog.left({name} || '~', coalesce(nullif({}, 0), 1000000))", length(column))),
            _ if column.data_type == "uuid" => Some(format!("pg_catalog.md5({name}::text)::uuid")),
            _ => None,
        }
    };
    let in_key = |c: &Column| relation.keys.iter().any(|k| k.columns.contains(&c.name));
    let values: Option<Vec<String>> = columns
        .iter()
        .map(|c| {
            if in_key(c) {
                fresh(c).or_else(|| (!key.contains(&c.name)).then(|| quote_ident(&c.name)))
            } else {
                Some(quote_ident(&c.name))
            }
        })
        .collect();
    let Some(values) = values else { return };
    let list: Vec<String> = columns.iter().map(|c| quote_ident(&c.name)).collect();
    let insert = format!(
        "insert into {TABLE} ({}) overriding system value select {} from {TABLE} where {row}",
        list.join(", "),
        values.join(", ")
    );
    add("a row inserted".into(), "INSERT", false, insert.clone());
    add("another row inserted".into(), "INSERT", false, insert);
    if let [key] = key.as_slice()
        && let Some(column) = relation.column(key)
        && column.category == "N"
    {
        let name = quote_ident(key);
        let newest = format!("{name} = (select max(m.{name}) from {TABLE} m)");
        // its events are of two operations, which may be two streams
        let free = columns.iter().filter(|c| c.name != *key && c.identity != "a" && !in_key(c));
        if let Some((column, value)) = free.filter_map(|c| Some((quote_ident(&c.name), mutated(c)?))).next() {
            add(
                "the new row changed".into(),
                "UPDATE",
                false,
                format!("update {TABLE} set {column} = {value} where {newest}"),
            );
        }
        add("the new row deleted".into(), "DELETE", false, format!("delete from {TABLE} where {newest}"));
        if column.identity != "a" {
            add(
                "a key changed".into(),
                "UPDATE",
                false,
                format!("update {TABLE} set {name} = {name} + 1000000 where {newest}"),
            );
        }
    }
}

/// The columns of the primary key.
pub fn primary(relation: &Relation) -> Vec<String> {
    relation.keys.iter().find(|k| k.primary).map(|k| k.columns.clone()).unwrap_or_default()
}

/// Declared length of a character type, 0 if there is none.
fn length(column: &Column) -> u32 {
    let inside = column.data_type.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(n, _)| n);
    inside.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Another value of the column's type, made from the one that is there; none for types that are not known.
fn mutated(column: &Column) -> Option<String> {
    let name = quote_ident(&column.name);
    if column.references {
        // a value that the other table knows: one of another row
        return Some(format!(
            "coalesce((select m.{name} from {TABLE} m where m.{name} is distinct from {TABLE}.{name} order by 1 limit 1), {name})"
        ));
    }
    Some(match (column.category.as_str(), column.data_type.as_str()) {
        ("B", _) => format!("not coalesce({name}, false)"),
        ("N", "money" | "oid" | "regclass") => return None,
        ("N", _) => format!("coalesce({name}, 0) + 1"),
        ("S", _) => match length(column) {
            0 => format!("coalesce({name}, '') || 'x'"),
            n => format!(
                "case when {name} = pg_catalog.left('verify', {n}) then pg_catalog.left('xverify', {n}) else pg_catalog.left('verify', {n}) end"
            ),
        },
        ("D", "date") => format!("coalesce({name}, date '2020-01-01') + 1"),
        ("D", t) if t.starts_with("timestamp") => {
            format!("coalesce({name}, timestamp '2020-01-01') + interval '1 day'")
        }
        ("T", _) => format!("coalesce({name}, interval '0') + interval '1 day'"),
        ("E", _) => format!(
            "(case when {name} = (pg_catalog.enum_range({name}))[1] then pg_catalog.enum_last({name}) else pg_catalog.enum_first({name}) end)"
        ),
        (_, "jsonb" | "json") => format!(
            "case when {name}::text = '{{\"verify\": 1}}' then '{{\"verify\": 2}}' else '{{\"verify\": 1}}' end::{}",
            column.data_type
        ),
        (_, "uuid") => format!("pg_catalog.md5(coalesce({name}::text, ''))::uuid"),
        (_, "bytea") => format!("coalesce({name}, '') || '\\x00'::bytea"),
        ("A", _) => format!("pg_catalog.array_cat({name}, {name})"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Key;

    #[test]
    fn every_column_is_changed_and_every_statement_parses() {
        let column = |name: &str, data_type: &str, category: &str| Column {
            name: name.into(),
            data_type: data_type.into(),
            category: category.into(),
            ..Column::default()
        };
        let relation = Relation {
            columns: vec![
                column("id", "bigint", "N"),
                column("name", "text", "S"),
                column("code", "character varying(3)", "S"),
                column("active", "boolean", "B"),
                column("at", "timestamp with time zone", "D"),
                column("data", "jsonb", "U"),
                column("Tag", "uuid", "U"),
            ],
            keys: vec![Key { name: "pk".into(), primary: true, columns: vec!["id".into()] }],
            ..Relation::default()
        };
        let all = changes(&relation, &["id = 1".into()], &["UPDATE".into(), "TRUNCATE".into()]);
        for change in &all {
            assert!(pg_query::parse(&change.sql).is_ok(), "{}", change.sql);
        }
        for name in ["name", "code", "active", "at", "data", "Tag"] {
            assert!(all.iter().any(|c| c.what == format!("row 1: {name} changed")), "{name}");
        }
        assert!(all.iter().any(|c| c.operation == "TRUNCATE"));
    }
}
