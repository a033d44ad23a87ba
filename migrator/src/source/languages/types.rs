//! Names of types in the languages' libraries, in words of PostgreSQL.

use super::value::{Value, plain};

/// A column's type, and whether it counts by itself; none if the word is no type.
pub fn of(word: &str) -> Option<(&'static str, bool)> {
    let word = plain(word);
    let word = word.strip_prefix("unsigned").unwrap_or(&word);
    let known = match word {
        "int" | "integer" | "int4" | "mediuminteger" | "mediumint" | "positiveinteger" | "number" => ("integer", false),
        "bigint" | "biginteger" | "int8" | "long" | "positivebiginteger" | "foreignid" => ("bigint", false),
        "smallint" | "smallinteger" | "int2" | "tinyinteger" | "tinyint" | "positivesmallinteger" | "year" => {
            ("smallint", false)
        }
        "increments" | "serial" | "auto" | "integerincrements" | "mediumincrements" => ("integer", true),
        "bigincrements" | "bigserial" | "bigauto" | "id" => ("bigint", true),
        "smallincrements" | "tinyincrements" | "smallserial" | "smallauto" => ("smallint", true),
        "string" | "varchar" | "character varying" | "nvarchar" | "slug" | "email" | "url" | "char" | "character"
        | "unicode" | "filepath" | "file" | "image" => ("varchar", false),
        "text" | "mediumtext" | "longtext" | "tinytext" | "unicodetext" | "enum" | "set" | "enu" | "choice"
        | "clob" => ("text", false),
        "citext" => ("citext", false),
        "boolean" | "bool" | "nullboolean" | "trueclass" | "falseclass" => ("boolean", false),
        "timestamp" | "datetime" => ("timestamp", false),
        "timestamptz" | "timestampwithtimezone" | "datetimetz" | "timestamp with time zone" => ("timestamptz", false),
        "date" | "dateonly" => ("date", false),
        "time" | "timetz" => ("time", false),
        "interval" | "duration" => ("interval", false),
        "json" => ("json", false),
        "jsonb" | "jsonarray" => ("jsonb", false),
        "hstore" => ("hstore", false),
        "uuid" | "guid" | "foreignuuid" | "ulid" => ("uuid", false),
        "decimal" | "numeric" | "bigdecimal" | "money" => ("numeric", false),
        "float" | "double" | "doubleprecision" | "double precision" | "real" => ("double precision", false),
        "binary" | "blob" | "bytea" | "largebinary" | "bytes" | "longblob" | "varbinary" => ("bytea", false),
        "inet" | "ipaddress" | "genericipaddress" => ("inet", false),
        "xml" => ("xml", false),
        "macaddr" | "macaddress" => ("macaddr", false),
        _ => return None,
    };
    Some(known)
}

/// The type that a value names: a word, a text such as `varchar(20)`, or a call.
pub fn of_value(value: &Value<'_>) -> (String, bool) {
    let mut at = value.clone();
    // Sequelize.INTEGER.UNSIGNED, postgresql.ARRAY(sa.Integer), new sql.Type()
    for _ in 0..4 {
        let word = at.last_name().unwrap_or_default();
        let word = word.trim();
        let bare = word.split('(').next().unwrap_or_default().trim();
        if matches!(plain(bare).as_str(), "unsigned" | "zerofill" | "binary") {
            let outer = match &at {
                Value::Word(word) => word.rsplit_once('.').map(|(on, _)| Value::Word(on.to_owned())),
                Value::Call(call) => call.on.clone(),
                _ => None,
            };
            if let Some(outer) = outer {
                at = outer;
                continue;
            }
        }
        if plain(bare) == "timestamp" || plain(bare) == "datetime" {
            let zoned = at.call().and_then(|c| c.option("timezone")).is_some_and(Value::is_true);
            if zoned {
                return ("timestamptz".into(), false);
            }
        }
        if let Some((known, serial)) = of(bare) {
            return (known.to_owned(), serial);
        }
        break;
    }
    ("text".into(), false)
}

/// A default as SQL: a literal, or a time.
pub fn default_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Word(word) if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            word.parse::<f64>().is_ok().then(|| word.clone())
        }
        Value::Word(_) if value.is_true() => Some("true".into()),
        Value::Word(_) if value.is_false() => Some("false".into()),
        Value::Text(text) => {
            let whole = text.whole()?;
            let plain = whole.trim();
            let call = plain.eq_ignore_ascii_case("now()") || plain.eq_ignore_ascii_case("current_timestamp");
            Some(if call { "current_timestamp".into() } else { domain_events_sql::quote::quote_literal(&whole) })
        }
        Value::Call(call) if matches!(plain(&call.name).as_str(), "now" | "currenttimestamp" | "utcnow") => {
            Some("current_timestamp".into())
        }
        Value::Call(call) => call.at(0).and_then(default_of),
        _ => None,
    }
}
