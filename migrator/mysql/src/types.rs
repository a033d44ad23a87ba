//! PostgreSQL's types for MySQL's, and what changes with them.

use super::schema::{Column, Type};

/// What a value is, so that it can be brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// A number, written as it is.
    Number,
    /// Text in the column's character set.
    Text,
    /// Bytes.
    Bytes,
    /// JSON.
    Json,
    /// A date.
    Date,
    /// A date with a time, without a zone.
    DateTime,
    /// A point in time.
    Timestamp,
    /// A time.
    Time,
    /// BIT(n), so many digits.
    Bits(u32),
}

/// How a column is in PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its type there.
    pub sql: String,
    /// What is in it.
    pub codec: Codec,
    /// A condition that MySQL's type holds to and PostgreSQL's does not, on `"column"`.
    pub check: Option<String>,
    /// What is different.
    pub note: Option<String>,
}

/// PostgreSQL's type for a column.
pub fn postgres(column: &Column) -> Mapped {
    let name = domain_events_sql::quote::quote_ident(&column.name);
    let mapped = |sql: &str, codec| Mapped { sql: sql.into(), codec, check: None, note: None };
    let kind = &column.kind;
    let digits = |kind: &Type| kind.arguments.first().and_then(|n| n.parse::<u32>().ok());
    let precise = |base: &str, zone: &str| format!("{base}({}){zone}", digits(kind).unwrap_or(0).min(6));
    if column.json {
        return Mapped {
            note: Some("jsonb does not keep blanks, the order of keys and doubled keys of a JSON text".into()),
            ..mapped("jsonb", Codec::Json)
        };
    }
    match kind.name.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => integer(&name, kind),
        "decimal" => {
            let precision = kind.arguments.first().map_or("10", String::as_str);
            let scale = kind.arguments.get(1).map_or("0", String::as_str);
            Mapped { check: positive(&name, kind), ..mapped(&format!("numeric({precision},{scale})"), Codec::Number) }
        }
        "float" => Mapped {
            check: positive(&name, kind),
            ..mapped(if digits(kind).is_some_and(|d| d > 24) { "double precision" } else { "real" }, Codec::Number)
        },
        "double" => Mapped { check: positive(&name, kind), ..mapped("double precision", Codec::Number) },
        "bit" => {
            let length = digits(kind).unwrap_or(1);
            mapped(&format!("bit({length})"), Codec::Bits(length))
        }
        "char" => Mapped {
            note: (digits(kind) != Some(36))
                .then(|| "char becomes varchar: PostgreSQL's char would give the blanks back that MySQL cuts".into()),
            ..mapped(&format!("character varying({})", digits(kind).unwrap_or(1)), Codec::Text)
        },
        "varchar" => mapped(
            &kind.arguments.first().map_or_else(|| "character varying".into(), |n| format!("character varying({n})")),
            Codec::Text,
        ),
        "tinytext" | "text" | "mediumtext" | "longtext" => mapped("text", Codec::Text),
        "enum" => Mapped {
            check: Some(format!("{name} in ({})", literals(&kind.arguments))),
            note: Some(
                "an enum becomes text with a check; MySQL sorts it by the place of the value, PostgreSQL by its text"
                    .into(),
            ),
            ..mapped("text", Codec::Text)
        },
        "set" => Mapped {
            check: Some(format!(
                "pg_catalog.string_to_array({name}, ',') <@ array[{}]::text[]",
                literals(&kind.arguments)
            )),
            note: Some("a set becomes text with its values and commas, and a check".into()),
            ..mapped("text", Codec::Text)
        },
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => mapped("bytea", Codec::Bytes),
        "date" => mapped("date", Codec::Date),
        "datetime" => mapped(&precise("timestamp", " without time zone"), Codec::DateTime),
        "timestamp" => mapped(&precise("timestamp", " with time zone"), Codec::Timestamp),
        "time" => Mapped {
            note: Some("MySQL's time goes to 838:59:59, PostgreSQL's to 24:00:00: others are rejected".into()),
            ..mapped(&precise("time", " without time zone"), Codec::Time)
        },
        "year" => mapped("smallint", Codec::Number),
        "json" => Mapped {
            note: Some("jsonb sorts the keys of an object by length, as MySQL does; numbers keep their digits".into()),
            ..mapped("jsonb", Codec::Json)
        },
        "uuid" => mapped("uuid", Codec::Text),
        "inet4" | "inet6" => mapped("inet", Codec::Text),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => Mapped {
            note: Some(format!("{} has no counterpart: its bytes are kept as MySQL stores them", kind.name)),
            ..mapped("bytea", Codec::Bytes)
        },
        other => Mapped {
            note: Some(format!("{other} is a type that is not known here: its text is kept")),
            ..mapped("text", Codec::Text)
        },
    }
}

fn integer(name: &str, kind: &Type) -> Mapped {
    let sql = match (kind.name.as_str(), kind.unsigned) {
        ("tinyint", _) | ("smallint", false) => "smallint",
        ("smallint" | "mediumint", _) | ("int", false) => "integer",
        _ => "bigint",
    };
    let note = match (kind.name.as_str(), kind.unsigned, kind.arguments.first().map(String::as_str)) {
        ("bigint", true, _) => Some("bigint unsigned becomes bigint: numbers above 9223372036854775807 are rejected"),
        ("tinyint", _, Some("1")) => {
            Some("tinyint(1) stays a number, so that it compares with 1 and is written into JSON as before")
        }
        _ => None,
    };
    Mapped { sql: sql.into(), codec: Codec::Number, check: positive(name, kind), note: note.map(str::to_owned) }
}

fn positive(name: &str, kind: &Type) -> Option<String> {
    kind.unsigned.then(|| format!("{name} >= 0"))
}

fn literals(values: &[String]) -> String {
    values
        .iter()
        .map(|v| domain_events_sql::quote::quote_literal(v).trim_start().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse_type;

    fn column(text: &str) -> Column {
        Column { name: "c".into(), kind: parse_type(text).expect(text), ..Column::default() }
    }

    #[test]
    fn types_are_mapped() {
        for (mysql, want) in [
            ("tinyint(1)", "smallint"),
            ("tinyint unsigned", "smallint"),
            ("bool", "smallint"),
            ("smallint(5) unsigned zerofill", "integer"),
            ("mediumint", "integer"),
            ("int(10) unsigned", "bigint"),
            ("INTEGER", "integer"),
            ("bigint(20) unsigned", "bigint"),
            ("decimal(10,2)", "numeric(10,2)"),
            ("numeric", "numeric(10,0)"),
            ("double precision", "double precision"),
            ("float", "real"),
            ("float(53)", "double precision"),
            ("bit(8)", "bit(8)"),
            ("char(36)", "character varying(36)"),
            ("character varying(20)", "character varying(20)"),
            ("national varchar(20)", "character varying(20)"),
            ("mediumtext", "text"),
            ("enum('a','it''s')", "text"),
            ("binary(16)", "bytea"),
            ("datetime(6)", "timestamp(6) without time zone"),
            ("timestamp", "timestamp(0) with time zone"),
            ("time(3)", "time(3) without time zone"),
            ("year(4)", "smallint"),
            ("json", "jsonb"),
            ("point", "bytea"),
        ] {
            assert_eq!(postgres(&column(mysql)).sql, want, "{mysql}");
        }
        assert_eq!(postgres(&column("enum('a','it''s')")).check.as_deref(), Some("\"c\" in ('a', 'it''s')"));
        assert_eq!(postgres(&column("int unsigned")).check.as_deref(), Some("\"c\" >= 0"));
    }
}
