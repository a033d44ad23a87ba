//! What MySQL does without a word: a value of one type where another is wanted.

use super::Translator;
use super::context::{Flavor, Slot};
use super::helpers::Helper;
use super::value::{Sql, Ty, literal};

impl Translator<'_> {
    /// As a condition.
    pub fn condition(&mut self, value: &Sql) -> Sql {
        if let Some(truth) = &value.truth {
            return Sql::atom(truth.clone(), Ty::Bool);
        }
        match value.ty {
            Ty::Bool => value.clone(),
            Ty::Null => Sql::atom("null::boolean", Ty::Bool),
            Ty::Int if value.literal.is_some() => {
                Sql::atom(if value.integer() == Some(0) { "false" } else { "true" }, Ty::Bool)
            }
            Ty::Int | Ty::Decimal(_) | Ty::Double => Sql::compound(format!("{} <> 0", value.operand()), Ty::Bool),
            // a flag that the application sets
            Ty::Text if value.setting => Sql::compound(format!("{} <> '0'", value.operand()), Ty::Bool),
            Ty::Text | Ty::Json => {
                let number = self.number(value);
                Sql::compound(format!("{} <> 0", number.operand()), Ty::Bool)
            }
            Ty::Unknown => Sql { ty: Ty::Bool, ..value.clone() },
            _ => self.refuse(&value.text, "a date, a time or bytes as a condition"),
        }
    }

    /// As a number.
    pub fn number(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Int | Ty::Decimal(_) | Ty::Double | Ty::Null | Ty::Unknown => value.clone(),
            Ty::Bool => match value.text.as_str() {
                "true" => Sql { literal: Some("1".into()), ..Sql::atom("1", Ty::Int) },
                "false" => Sql { literal: Some("0".into()), ..Sql::atom("0", Ty::Int) },
                _ => value.cast("int", Ty::Int),
            },
            Ty::Text if value.listed => self.refuse(&value.text, "the number of an ENUM's or SET's value"),
            Ty::Text => {
                if let Some(constant) = value.constant().map(str::trim)
                    && let Some(number) = plain_number(constant)
                {
                    return number;
                }
                self.help(Helper::Number, std::slice::from_ref(&value.text), Ty::Decimal(None))
            }
            Ty::Json => {
                let text = format!("{} #>> '{{}}'", value.operand());
                self.help(Helper::Number, &[text], Ty::Decimal(None))
            }
            Ty::Date | Ty::DateTime(_) | Ty::Time(_) => {
                self.refuse(&value.text, "a date or time as a number, such as 20240131235959")
            }
            Ty::Bytes | Ty::Uuid | Ty::Interval => self.refuse(&value.text, "bytes as a number"),
        }
    }

    /// As a whole number, for places where PostgreSQL wants an integer.
    pub fn integer(&mut self, value: &Sql) -> Sql {
        let number = self.number(value);
        match number.ty {
            Ty::Int if number.literal.is_some() => number,
            Ty::Unknown | Ty::Null => number,
            Ty::Int => number.cast("int", Ty::Int),
            // MySQL rounds, and so does the cast
            _ => number.cast("int", Ty::Int),
        }
    }

    /// As a text.
    pub fn text(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Text | Ty::Unknown => value.clone(),
            Ty::Null => Sql::atom("null::text", Ty::Text),
            Ty::Int | Ty::Decimal(_) if value.literal.is_some() => Sql::string(value.literal.as_deref().unwrap_or("")),
            Ty::Bool => {
                let number = self.number(value);
                number.cast("text", Ty::Text)
            }
            Ty::Double => {
                self.declare("a floating number as a text", "PostgreSQL may write other digits of it");
                value.cast("text", Ty::Text)
            }
            Ty::Date => Sql::atom(format!("to_char({}, 'YYYY-MM-DD')", value.text), Ty::Text),
            Ty::DateTime(n) => Sql::atom(shown("YYYY-MM-DD HH24:MI:SS", 19, n, &value.text), Ty::Text),
            Ty::Time(n) => Sql::atom(shown("HH24:MI:SS", 8, n, &value.text), Ty::Text),
            Ty::Json if value.postgres.as_deref() == Some("json") => value.cast("text", Ty::Text),
            Ty::Bytes => Sql::atom(format!("convert_from({}, 'UTF8')", value.text), Ty::Text),
            Ty::Int | Ty::Decimal(_) | Ty::Json | Ty::Uuid | Ty::Interval => value.cast("text", Ty::Text),
        }
    }

    /// As a date with a time.
    pub fn moment(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Date | Ty::DateTime(_) | Ty::Unknown | Ty::Null => value.clone(),
            Ty::Text if value.literal.is_some() => Sql::atom(format!("timestamp {}", value.text), Ty::DateTime(6)),
            Ty::Text => value.cast("timestamp", Ty::DateTime(6)),
            Ty::Time(_) => Sql::compound(format!("current_date + {}", value.operand()), Ty::DateTime(6)),
            _ => self.refuse(&value.text, "a number or bytes as a date"),
        }
    }

    /// As a document of JSON: a text is parsed.
    pub fn document(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Json if value.postgres.as_deref() == Some("json") => value.cast("jsonb", Ty::Json),
            Ty::Json | Ty::Unknown => value.clone(),
            Ty::Null => Sql::atom("null::jsonb", Ty::Json),
            Ty::Text => value.cast("jsonb", Ty::Json),
            _ => {
                let element = self.element(value);
                Sql::atom(format!("to_jsonb({})", element.text), Ty::Json)
            }
        }
    }

    /// As an argument of `jsonb_build_object`: what JSON_OBJECT would make of it.
    pub fn element(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Date => self.text(value),
            // MySQL writes six digits whatever the column has, MariaDB as many as it has
            Ty::DateTime(n) => {
                let digits = if self.known.flavor == Flavor::MySql { 6 } else { n };
                self.text(&Sql { ty: Ty::DateTime(digits), ..value.clone() })
            }
            Ty::Time(n) => {
                let digits = if self.known.flavor == Flavor::MySql { 6 } else { n };
                self.text(&Sql { ty: Ty::Time(digits), ..value.clone() })
            }
            Ty::Bytes => {
                self.declare(
                    "bytes in JSON",
                    "written as hexadecimal text; MySQL writes base64 with a prefix, MariaDB the bytes",
                );
                Sql::atom(format!("encode({}, 'hex')", value.text), Ty::Text)
            }
            _ => value.clone(),
        }
    }

    /// As `to_jsonb` of a value.
    pub fn json_value(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Json => self.document(value),
            Ty::Null => Sql::atom("'null'::jsonb", Ty::Json),
            _ => {
                let mut element = self.element(value);
                if element.literal.is_some() {
                    element = match element.ty {
                        Ty::Text => element.cast("text", Ty::Text),
                        _ => element,
                    };
                    return Sql::atom(format!("to_jsonb({})", element.text), Ty::Json);
                }
                // SQL NULL becomes JSON's null, as in MySQL
                Sql::atom(format!("coalesce(to_jsonb({}), 'null')", element.text), Ty::Json)
            }
        }
    }

    /// As what a column or variable takes: assignment in PostgreSQL converts less than in MySQL.
    pub fn store(&mut self, value: &Sql, into: &Slot) -> Sql {
        let base = into.postgres.split('(').next().unwrap_or_default().trim().to_owned();
        if matches!(value.ty, Ty::Null | Ty::Unknown) {
            return value.clone();
        }
        match base.as_str() {
            "boolean" => match value.text.as_str() {
                "1" => Sql::atom("true", Ty::Bool),
                "0" => Sql::atom("false", Ty::Bool),
                _ => self.condition(value),
            },
            "bit" => {
                let number = self.number(value);
                Sql::atom(format!("{}::bigint::{}", number.operand(), into.postgres), Ty::Int)
            }
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => match value.ty {
                Ty::Bool => self.number(value),
                Ty::Text if value.setting => value.cast(&into.postgres, into.ty),
                Ty::Text => self.number(value),
                Ty::Json => self.number(value),
                Ty::Date | Ty::DateTime(_) | Ty::Time(_) => self.number(value),
                _ => value.clone(),
            },
            "jsonb" => match value.ty {
                Ty::Json => self.document(value),
                Ty::Text => value.cast("jsonb", Ty::Json),
                _ => self.json_value(value),
            },
            "json" => match value.ty {
                Ty::Json => value.cast("json", Ty::Json),
                Ty::Text => value.cast("json", Ty::Json),
                _ => self.json_value(value).cast("json", Ty::Json),
            },
            "bytea" => match value.ty {
                Ty::Bytes => value.clone(),
                Ty::Uuid => Sql::atom(format!("uuid_send({})", value.text), Ty::Bytes),
                _ => {
                    let text = self.text(value);
                    Sql::atom(format!("convert_to({}, 'UTF8')", text.text), Ty::Bytes)
                }
            },
            "uuid" => match value.ty {
                Ty::Uuid => value.clone(),
                Ty::Bytes => Sql::atom(format!("encode({}, 'hex')::uuid", value.text), Ty::Uuid),
                _ if value.literal.is_some() => value.clone(),
                _ => value.cast("uuid", Ty::Uuid),
            },
            "date" | "timestamp" | "time" => self.store_time(value, into),
            _ if base.starts_with("timestamp") || base.starts_with("time ") => self.store_time(value, into),
            "text" | "character varying" | "varchar" | "character" | "char" | "bpchar" | "citext" => self.text(value),
            // a type of PostgreSQL that MySQL has not: an enum, an address
            _ => match value.ty {
                Ty::Text if value.literal.is_none() => value.cast(&into.postgres, into.ty),
                _ => value.clone(),
            },
        }
    }

    fn store_time(&mut self, value: &Sql, into: &Slot) -> Sql {
        match value.ty {
            Ty::Text => {
                if value.constant().is_some_and(|c| c.starts_with("0000-00-00")) {
                    return self.refuse(&value.text, "PostgreSQL has no date of zeros; NULL may stand for it");
                }
                if value.literal.is_some() {
                    return value.clone();
                }
                value.cast(&into.postgres, into.ty)
            }
            Ty::Int | Ty::Decimal(_) | Ty::Double | Ty::Bool | Ty::Json | Ty::Bytes | Ty::Uuid => {
                self.refuse(&value.text, "a number or bytes as a date or time")
            }
            // a point in time stays one: no zone is asked
            _ if into.postgres.contains("with time zone") && value.text.contains("_timestamp()::timestamp") => {
                let text = value.text.replace("_timestamp()::timestamp", "_timestamp()");
                Sql { text, ..value.clone() }
            }
            _ => value.clone(),
        }
    }

    /// One type for several results, as IF, COALESCE and CASE need it.
    pub fn unify(&mut self, values: Vec<Sql>) -> (Vec<Sql>, Ty) {
        let mut ty = Ty::Null;
        for value in &values {
            ty = common(ty, value.ty);
        }
        let values = values
            .into_iter()
            .map(|v| match ty {
                _ if matches!(v.ty, Ty::Null | Ty::Unknown) || v.ty == ty => v,
                Ty::Text => self.text(&v),
                Ty::Int | Ty::Decimal(_) | Ty::Double => self.number(&v),
                Ty::Json => self.document(&v),
                _ => v,
            })
            .collect();
        (values, ty)
    }
}

/// The type of a result that is sometimes of one type and sometimes of another.
pub fn common(a: Ty, b: Ty) -> Ty {
    match (a, b) {
        (a, b) if a == b => a,
        (Ty::Null, other) | (other, Ty::Null) => other,
        (Ty::Unknown, _) | (_, Ty::Unknown) => Ty::Unknown,
        (Ty::Bool, number) | (number, Ty::Bool) if number.is_number() => number,
        (Ty::Double, n) | (n, Ty::Double) if n.is_number() => Ty::Double,
        (Ty::Decimal(x), Ty::Decimal(y)) => Ty::Decimal(x.zip(y).map(|(x, y)| x.max(y))),
        (Ty::Decimal(s), Ty::Int) | (Ty::Int, Ty::Decimal(s)) => Ty::Decimal(s),
        (Ty::Date, Ty::DateTime(n)) | (Ty::DateTime(n), Ty::Date) => Ty::DateTime(n),
        (Ty::DateTime(x), Ty::DateTime(y)) => Ty::DateTime(x.max(y)),
        (Ty::Time(x), Ty::Time(y)) => Ty::Time(x.max(y)),
        _ => Ty::Text,
    }
}

/// A constant that is a number.
fn plain_number(text: &str) -> Option<Sql> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if whole {
        return Some(Sql { literal: Some(text.to_owned()), ..Sql::atom(text, Ty::Int) });
    }
    let (before, after) = digits.split_once('.')?;
    let exact =
        before.bytes().chain(after.bytes()).all(|b| b.is_ascii_digit()) && !before.is_empty() && !after.is_empty();
    let scale = u32::try_from(after.len()).ok();
    exact.then(|| Sql { literal: Some(text.to_owned()), ..Sql::atom(text, Ty::Decimal(scale)) })
}

/// A time as MySQL shows it, with as many digits of a second as it has.
pub fn shown(pattern: &str, length: u32, digits: u32, value: &str) -> String {
    match digits {
        0 => format!("to_char({value}, '{pattern}')"),
        3 => format!("to_char({value}, '{pattern}.MS')"),
        6 => format!("to_char({value}, '{pattern}.US')"),
        n => format!("left(to_char({value}, '{pattern}.US'), {})", length + 1 + n),
    }
}

/// The names of a list as the elements of an array of texts.
pub fn array_of(parts: &[String]) -> String {
    let quoted: Vec<String> = parts
        .iter()
        .map(|p| {
            let plain = !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if plain && !p.eq_ignore_ascii_case("null") {
                p.clone()
            } else {
                format!("\"{}\"", p.replace('\\', "\\\\").replace('"', "\\\""))
            }
        })
        .collect();
    literal(&format!("{{{}}}", quoted.join(",")))
}
