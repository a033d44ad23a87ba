//! CAST and CONVERT, and what rounds.

use sqlparser::ast::{DataType, Expr};

use super::Translator;
use super::value::{Collation, Sql, Ty, of_type};

impl Translator<'_> {
    pub(super) fn cast(&mut self, value: &Sql, to: &DataType, whole: &Expr) -> Sql {
        let custom = match to {
            DataType::Custom(name, arguments) => Some((name.to_string().to_uppercase(), arguments.clone())),
            _ => None,
        };
        match to {
            DataType::Char(length)
            | DataType::Character(length)
            | DataType::Nvarchar(length)
            | DataType::Varchar(length) => {
                let text = self.text(value);
                match length {
                    Some(sqlparser::ast::CharacterLength::IntegerLength { length, .. }) => Sql {
                        collation: text.collation,
                        ..Sql::atom(format!("left({}, {length})", text.text), Ty::Text)
                    },
                    _ => text,
                }
            }
            DataType::Signed
            | DataType::SignedInteger
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_) => self.whole(value),
            DataType::Unsigned | DataType::UnsignedInteger => {
                self.declare("CAST AS UNSIGNED", "a negative number stays negative; MySQL adds 2^64");
                self.whole(value)
            }
            DataType::Decimal(_) | DataType::Numeric(_) | DataType::Dec(_) => {
                let number = self.number(value);
                match of_type(to) {
                    Some((ty, name)) => number.cast(&name, ty),
                    None => self.refuse(&whole.to_string(), "this type is not known"),
                }
            }
            DataType::Double(_) | DataType::DoublePrecision | DataType::Float(_) | DataType::Real => {
                let number = self.number(value);
                number.cast("double precision", Ty::Double)
            }
            DataType::Date => {
                let moment = self.moment(value);
                moment.cast("date", Ty::Date)
            }
            DataType::Datetime(n) | DataType::Timestamp(n, _) => {
                let moment = self.moment(value);
                let digits = n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0).min(6);
                moment.cast(&format!("timestamp({digits})"), Ty::DateTime(digits))
            }
            DataType::Time(n, _) => {
                let digits = n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0).min(6);
                match value.ty {
                    Ty::Time(_) | Ty::DateTime(_) | Ty::Text | Ty::Null => {
                        value.cast(&format!("time({digits})"), Ty::Time(digits))
                    }
                    _ => self.refuse(&whole.to_string(), "a number as a time"),
                }
            }
            DataType::JSON => self.document(value),
            DataType::Binary(None) => match value.ty {
                Ty::Bytes => value.clone(),
                Ty::Uuid => Sql::atom(format!("uuid_send({})", value.text), Ty::Bytes),
                // BINARY x compares by bytes
                _ => Sql { collation: Collation::Exact, ..self.text(value) },
            },
            _ => match custom {
                Some((name, _)) if name == "SIGNED" || name == "INTEGER" => self.whole(value),
                Some((name, _)) if name == "UNSIGNED" => self.whole(value),
                _ => self.refuse(&whole.to_string(), format!("CAST to {to} is not known")),
            },
        }
    }

    /// CAST AS SIGNED: a number is rounded, of a text the whole part counts.
    pub(super) fn whole(&mut self, value: &Sql) -> Sql {
        match value.ty {
            Ty::Int => value.clone(),
            Ty::Text if !value.setting => {
                let number = self.number(value);
                if number.ty == Ty::Int {
                    number
                } else {
                    Sql::atom(format!("trunc({})::bigint", number.text), Ty::Int)
                }
            }
            Ty::Text => value.cast("bigint", Ty::Int),
            Ty::Date | Ty::DateTime(_) | Ty::Time(_) => self.number(value),
            _ => {
                let number = self.number(value);
                if number.ty == Ty::Int { number } else { number.cast("bigint", Ty::Int) }
            }
        }
    }

    pub(super) fn rounded(&mut self, name: &str, value: &Expr) -> Sql {
        let value = self.expr(value);
        let number = self.number(&value);
        match number.ty {
            Ty::Int => number,
            ty => {
                let result = if ty == Ty::Double { Ty::Double } else { Ty::Decimal(Some(0)) };
                Sql::atom(format!("{name}({})", number.text), result)
            }
        }
    }
}
