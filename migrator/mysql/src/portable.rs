//! Expressions of a table's definition that mean the same in PostgreSQL: defaults, checks and generated columns.
//!
//! Little is taken, and only what is certain; anything else is none, and told.

use sqlparser::tokenizer::Token;

use super::ast::{Position, SqlMode};
use super::lexer::Source;
use super::schema::{Initial, Table};
use super::types::{self, Codec};
use domain_events_sql::quote::{quote_ident, quote_literal};

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
    // a comment to PostgreSQL, two signs to MySQL
    if text.contains("--") {
        return None;
    }
    let source = Source::new(text.trim(), Position { line: 1, column: 1 }, SqlMode::default());
    let mut out = String::new();
    let mut at = 0;
    for lexeme in &source.tokens {
        let between = &source.text[at..lexeme.start];
        let written = &source.text[lexeme.start..lexeme.end];
        at = lexeme.end;
        if !between.trim().is_empty() {
            return None;
        }
        out.push_str(between);
        match &lexeme.token {
            Token::Word(word) if word.quote_style.is_some() => out.push_str(&column(&word.value, table)?),
            Token::Word(word) => match word.value.to_ascii_lowercase().as_str() {
                word @ ("and" | "or" | "not" | "is" | "null" | "between" | "in" | "coalesce" | "abs" | "greatest"
                | "least") => out.push_str(word),
                _ => out.push_str(&column(&word.value, table)?),
            },
            Token::Number(number, _) if !number.contains(['e', 'E']) => out.push_str(written),
            Token::LParen | Token::RParen | Token::Comma | Token::Plus | Token::Minus | Token::Mul => {
                out.push_str(written);
            }
            Token::Lt | Token::LtEq | Token::Gt | Token::GtEq | Token::Eq => out.push_str(written),
            Token::Neq if written == "<>" => out.push_str(written),
            _ => return None,
        }
    }
    (source.broken.is_none() && source.text[at..].trim().is_empty()).then_some(out)
}

fn column(name: &str, table: &Table) -> Option<String> {
    let column = table.column(name)?;
    let numeric = matches!(types::postgres(column).codec, Codec::Number | Codec::Date | Codec::DateTime);
    numeric.then(|| quote_ident(&column.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse_table;

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
