//! Expressions of a table's definition that mean the same in PostgreSQL: defaults, checks and generated columns.
//!
//! Little is taken, and only what is certain; anything else is none, and told.

use super::schema::{Initial, Table};
use super::types::{self, Codec};
use crate::quote::{quote_ident, quote_literal};

/// A default in PostgreSQL for a column of this kind; `Err` when it cannot be kept, `Ok(None)` when there is none.
pub fn default(initial: &Initial, codec: Codec, sql_type: &str) -> Result<Option<String>, String> {
    Ok(Some(match initial {
        Initial::Null => return Ok(None),
        Initial::Now(digits) => match codec {
            Codec::Timestamp => format!("date_trunc('{}', statement_timestamp())", unit(*digits)),
            Codec::DateTime => format!("date_trunc('{}', statement_timestamp())::timestamp", unit(*digits)),
            _ => return Err("CURRENT_TIMESTAMP".into()),
        },
        Initial::Number(number) if matches!(codec, Codec::Text) => quote_literal(number),
        Initial::Number(number) => number.clone(),
        Initial::Bits(bits) => match codec {
            Codec::Bits(length) => {
                let length = length as usize;
                let padded = format!("{bits:0>length$}");
                format!("B'{}'", &padded[padded.len() - length..])
            }
            _ => return Err(format!("b'{bits}'")),
        },
        Initial::Text(text) => match codec {
            Codec::Date | Codec::DateTime | Codec::Timestamp if text.starts_with("0000-00-00") => {
                return Err(format!("'{text}'"));
            }
            Codec::Timestamp => format!("timestamptz {}", quote_literal(&format!("{text}+00")).trim_start()),
            Codec::Bytes => format!("'\\x{}'::bytea", text.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
            Codec::Bits(_) => return Err(format!("'{text}'")),
            _ => format!("{}::{sql_type}", quote_literal(text).trim_start()),
        },
        Initial::Expression(text) => {
            let squeezed: String = text.to_ascii_lowercase().split_whitespace().collect();
            match (squeezed.trim_matches(['(', ')']), codec) {
                ("uuid", _) => format!("gen_random_uuid()::{sql_type}"),
                ("json_object", Codec::Json) => "'{}'::jsonb".into(),
                ("json_array", Codec::Json) => "'[]'::jsonb".into(),
                ("curdate" | "current_date", Codec::Date) => "current_date".into(),
                _ => return Err(text.clone()),
            }
        }
    }))
}

fn unit(digits: u32) -> &'static str {
    match digits {
        0 => "second",
        1..=3 => "milliseconds",
        _ => "microseconds",
    }
}

/// A check or generated column, if it is made of columns, numbers, strings, arithmetic and comparison alone. Texts compare
/// by case in PostgreSQL, so no comparison of texts is taken.
pub fn expression(text: &str, table: &Table) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        let length = if c == '`' {
            let end = rest[1..].find('`')? + 2;
            out.push_str(&column(&rest[1..end - 1], table)?);
            end
        } else if c.is_ascii_digit() {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            end
        } else if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let word = rest[..end].to_ascii_lowercase();
            match word.as_str() {
                "and" | "or" | "not" | "is" | "null" | "between" | "in" | "coalesce" | "abs" | "greatest" | "least" => {
                    out.push_str(&word);
                }
                _ => out.push_str(&column(&rest[..end], table)?),
            }
            end
        } else if c.is_whitespace() || matches!(c, '(' | ')' | ',' | '+' | '-' | '*' | '<' | '>' | '=') {
            // <=> is another operator, - - a comment
            if rest.starts_with("<=>") || rest.starts_with("--") {
                return None;
            }
            out.push(c);
            1
        } else {
            return None;
        };
        rest = &rest[length..];
    }
    Some(out)
}

fn column(name: &str, table: &Table) -> Option<String> {
    let column = table.column(name)?;
    let numeric = matches!(types::postgres(column).codec, Codec::Number | Codec::Date | Codec::DateTime);
    numeric.then(|| quote_ident(&column.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::schema::parse_table;

    #[test]
    fn only_what_is_certain_is_taken() {
        let table = parse_table("create table t (a int, `b c` decimal(10,2), s varchar(3))").expect("a table");
        assert_eq!(expression("(`a` * `b c`) >= 0", &table).as_deref(), Some("(\"a\" * \"b c\") >= 0"));
        assert_eq!(
            expression("`a` is not null and a between 1 and 5", &table).as_deref(),
            Some("\"a\" is not null and \"a\" between 1 and 5")
        );
        for odd in ["`s` = 'x'", "`a` / 2", "`a` <=> 1", "json_extract(`s`, '$.a')", "`nothing` > 1", "concat(a, a)"] {
            assert_eq!(expression(odd, &table), None, "{odd}");
        }
    }
}
