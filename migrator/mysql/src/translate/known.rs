//! The tables of a source as translation sees them: what MySQL takes a column for, what it is in PostgreSQL.

use super::context::{Column, Flavor, Known, Table};
use super::value::{Collation, Ty, of_postgres};
use crate::schema::{self, KeyKind};
use crate::types::{self, Codec};
use domain_events_sql::quote::quoted;

impl Known {
    /// What is known of tables, which lie in `schema` of PostgreSQL under their names.
    pub fn new(schema: &str, flavor: Flavor, tables: &[schema::Table]) -> Self {
        let mut known = Known { schema: schema.to_owned(), flavor, ..Known::default() };
        known.database = tables.iter().find_map(|t| t.database.clone());
        for table in tables {
            // names that differ by case alone are two tables where the server says so
            let lower = table.name.to_lowercase();
            let key = if known.tables.contains_key(&lower) { table.name.clone() } else { lower };
            if let Some(other) = known.tables.insert(key, of_table(table, schema))
                && other.name != table.name
            {
                known.tables.insert(other.name.clone(), other);
            }
        }
        known
    }

    /// The types of a table as it really is in PostgreSQL: its quoted name, its columns and their types.
    pub fn as_in<'c>(&mut self, name: &str, quoted_name: &str, columns: impl Iterator<Item = (&'c str, &'c str)>) {
        let exact = self.tables.get(name).is_some_and(|t| t.name == name);
        let key = if exact { name.to_owned() } else { name.to_lowercase() };
        let Some(table) = self.tables.get_mut(&key) else { return };
        for (name, data_type) in columns {
            if let Some(column) = table.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(name)) {
                data_type.clone_into(&mut column.postgres);
                column.quoted = quoted(name);
                if column.ty == Ty::Unknown {
                    column.ty = of_postgres(data_type);
                }
            }
        }
        quoted_name.clone_into(&mut table.quoted);
    }
}

fn of_table(table: &schema::Table, schema: &str) -> Table {
    let inherited = table.collation.as_deref().or(table.charset.as_deref());
    let columns = table
        .columns
        .iter()
        .map(|column| {
            let mapped = types::postgres(column);
            let digits = || column.kind.arguments.first().and_then(|n| n.parse().ok()).unwrap_or(0);
            let scale = || column.kind.arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
            let ty = match mapped.codec {
                _ if mapped.sql == "uuid" => Ty::Uuid,
                Codec::Number => match column.kind.name.as_str() {
                    "decimal" => Ty::Decimal(Some(scale())),
                    "float" | "double" => Ty::Double,
                    _ => Ty::Int,
                },
                Codec::Bits(_) => Ty::Int,
                Codec::Text => Ty::Text,
                Codec::Bytes => Ty::Bytes,
                Codec::Json => Ty::Json,
                Codec::Date => Ty::Date,
                Codec::DateTime | Codec::Timestamp => Ty::DateTime(digits()),
                Codec::Time => Ty::Time(digits()),
            };
            let collation = column.collation.as_deref().or(inherited).unwrap_or_default().to_lowercase();
            let exact = collation.ends_with("_bin")
                || collation.ends_with("_cs")
                || collation == "binary"
                || collation == "ascii_bin";
            Column {
                name: column.name.clone(),
                quoted: quoted(&column.name),
                ty,
                postgres: mapped.sql,
                collation: if exact { Collation::Exact } else { Collation::Insensitive },
                unsigned: column.kind.unsigned,
                listed: matches!(column.kind.name.as_str(), "enum" | "set"),
                not_null: !column.nullable,
                numbered: column.auto_increment,
            }
        })
        .collect();
    let plain = |k: &&schema::Key| {
        matches!(k.kind, KeyKind::Primary | KeyKind::Unique)
            && k.parts.iter().all(|p| !p.expression && p.prefix.is_none())
    };
    let keys = table.keys.iter().filter(plain).map(|k| k.parts.iter().map(|p| p.column.clone()).collect()).collect();
    Table { name: table.name.clone(), quoted: format!("{}.{}", quoted(schema), quoted(&table.name)), columns, keys }
}
