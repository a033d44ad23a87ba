//! Names of types as the server prints them, and the numbers of the parser's enumerations.

use serde_json::Value;

use crate::judge::ast::{self, list, node, text};

pub const NOTNULL: i64 = 2;
pub const DEFAULT: i64 = 3;
pub const IDENTITY: i64 = 4;
pub const GENERATED: i64 = 5;
pub const PRIMARY: i64 = 7;
pub const UNIQUE: i64 = 8;
pub const FOREIGN: i64 = 10;
pub const COLUMN_DEFAULT: i64 = 3;
pub const DROP_COLUMN: i64 = 15;
pub const DROP_CONSTRAINT: i64 = 24;
pub const ENABLE_TRIGGER: i64 = 39;
pub const DISABLE_TRIGGER: i64 = 42;
pub const OBJECT_COLUMN: i64 = 7;
pub const OBJECT_FUNCTION: i64 = 20;
pub const OBJECT_TABLE: i64 = 42;
pub const OBJECT_TRIGGER: i64 = 45;

/// A type as the server prints it, its category, and whether it is one of the serials.
pub fn of(type_name: Option<&Value>, enums: &[String]) -> (String, String, bool) {
    let Some(type_name) = type_name else { return (String::new(), "U".into(), false) };
    let parts: Vec<&str> =
        list(type_name, "names").iter().filter_map(|n| node(n, "String")).map(|s| text(s, "sval")).collect();
    let last = parts.last().copied().unwrap_or_default();
    let lower = last.to_lowercase();
    let modifiers: Vec<String> = list(type_name, "typmods").iter().filter_map(ast::constant).collect();
    let serial = matches!(lower.as_str(), "serial" | "serial4" | "bigserial" | "serial8" | "smallserial" | "serial2");
    let (name, category) = match lower.as_str() {
        "int8" | "bigint" | "bigserial" | "serial8" => ("bigint", "N"),
        "int4" | "int" | "integer" | "serial" | "serial4" => ("integer", "N"),
        "int2" | "smallint" | "smallserial" | "serial2" => ("smallint", "N"),
        "numeric" | "decimal" => ("numeric", "N"),
        "float8" => ("double precision", "N"),
        "float4" => ("real", "N"),
        "varchar" => ("character varying", "S"),
        "bpchar" | "char" => ("character", "S"),
        "text" | "citext" | "name" => (last, "S"),
        "bool" => ("boolean", "B"),
        "timestamptz" => ("timestamp with time zone", "D"),
        "timestamp" => ("timestamp without time zone", "D"),
        "date" | "time" | "timetz" => (last, "D"),
        "interval" => (last, "T"),
        _ if enums.iter().any(|e| e == last) => (last, "E"),
        _ => (last, "U"),
    };
    // a second precision is no part of what is asked of a type here
    let sized = if modifiers.is_empty() || category == "D" {
        name.to_owned()
    } else {
        format!("{name}({})", modifiers.join(","))
    };
    if list(type_name, "array_bounds").is_empty() {
        (sized, category.into(), serial)
    } else {
        (format!("{sized}[]"), "A".into(), serial)
    }
}

/// The text of a default, as far as the judge asks: constants and calls.
pub fn deparse(expr: &Value) -> Option<String> {
    let bare = ast::without_casts(expr);
    if let Some(string) = ast::string_constant(bare) {
        return Some(crate::db::quote_literal(&string));
    }
    if let Some(constant) = ast::constant(bare) {
        return Some(constant);
    }
    let Some(call) = node(bare, "FuncCall") else {
        return (!ast::is_null(bare)).then(|| "current_timestamp".to_owned());
    };
    let (schema, name) = ast::call_name(call);
    let arguments: Option<Vec<String>> = list(call, "args").iter().map(deparse).collect();
    let name = if schema.is_empty() { quoted(&name) } else { format!("{}.{}", quoted(&schema), quoted(&name)) };
    Some(format!("{name}({})", arguments?.join(", ")))
}

/// An identifier, quoted only where it must be.
pub fn quoted(name: &str) -> String {
    let simple = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && pg_query::parse(&format!("select {name}.{name} from {name}")).is_ok();
    if simple { name.to_owned() } else { crate::db::quote_ident(name) }
}
