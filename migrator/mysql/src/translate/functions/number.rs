//! Functions of numbers.

use super::super::Translator;
use super::super::value::{Sql, Ty};
use super::Call;

impl Translator<'_> {
    pub(in super::super) fn number_function(&mut self, it: &Call<'_>, args: &[Sql]) -> Option<Sql> {
        let numbers = |t: &mut Self| -> Vec<Sql> { args.iter().map(|a| t.number(a)).collect() };
        Some(match (it.name.as_str(), args.len()) {
            ("ABS" | "SIGN", 1) => {
                let values = numbers(self);
                let ty = if it.name == "SIGN" { Ty::Int } else { values[0].ty };
                self.plain(&it.name.to_lowercase(), &values, ty)
            }
            ("CEIL" | "CEILING" | "FLOOR", 1) => {
                let values = numbers(self);
                if values[0].ty == Ty::Int {
                    return Some(values[0].clone());
                }
                let name = if it.name == "FLOOR" { "floor" } else { "ceil" };
                self.plain(name, &values, if values[0].ty == Ty::Double { Ty::Double } else { Ty::Decimal(Some(0)) })
            }
            ("ROUND", 1 | 2) => {
                let values = numbers(self);
                let digits = values.get(1).map_or(Some(0), Sql::integer);
                let value = &values[0];
                let place = values.get(1).map_or(String::new(), |n| format!(", {}", n.text));
                match value.ty {
                    Ty::Int if digits.is_some_and(|d| d >= 0) => value.clone(),
                    // both round a half to the even neighbour
                    Ty::Double if digits == Some(0) => self.plain("round", &values[..1], Ty::Double),
                    Ty::Double if digits.is_some_and(|d| (1..=15).contains(&d)) => {
                        let power = digits.unwrap_or(0);
                        Sql::compound(format!("round({} * 1e{power}) / 1e{power}", value.operand()), Ty::Double)
                    }
                    Ty::Double => {
                        self.declare(
                            "ROUND of a floating number",
                            "halves are rounded away from zero, after the number's shortest text",
                        );
                        Sql::atom(format!("round({}::numeric{place})::double precision", value.operand()), Ty::Double)
                    }
                    ty => {
                        let scale = digits.and_then(|d| u32::try_from(d.max(0)).ok());
                        let scale = match (ty, scale) {
                            (Ty::Decimal(Some(own)), Some(wanted)) if wanted > own => {
                                // MySQL does not add zeros
                                return Some(Sql { ty: Ty::Decimal(Some(own)), ..value.clone() });
                            }
                            (_, scale) => scale,
                        };
                        let operand =
                            if ty == Ty::Int { format!("{}::numeric", value.operand()) } else { value.text.clone() };
                        Sql::atom(
                            format!("round({operand}{place})"),
                            if ty == Ty::Int { Ty::Int } else { Ty::Decimal(scale) },
                        )
                    }
                }
            }
            ("TRUNCATE", 2) => {
                let values = numbers(self);
                let scale = values[1].integer().and_then(|d| u32::try_from(d.max(0)).ok());
                Sql::atom(format!("trunc({}::numeric, {})", values[0].operand(), values[1].text), Ty::Decimal(scale))
            }
            ("MOD", 2) => {
                let values = numbers(self);
                let divisor = if values[1].literal.is_some() && values[1].integer() != Some(0) {
                    values[1].operand()
                } else {
                    format!("nullif({}, 0)", values[1].text)
                };
                Sql::compound(format!("{} % {divisor}", values[0].operand()), values[0].ty)
            }
            ("POW" | "POWER", 2) => {
                let values: Vec<Sql> = numbers(self).iter().map(|v| v.cast("double precision", Ty::Double)).collect();
                self.plain("power", &values, Ty::Double)
            }
            ("SQRT" | "EXP" | "LN" | "SIN" | "COS" | "TAN" | "DEGREES" | "RADIANS", 1) => {
                let values: Vec<Sql> = numbers(self).iter().map(|v| v.cast("double precision", Ty::Double)).collect();
                self.plain(&it.name.to_lowercase(), &values, Ty::Double)
            }
            ("LOG10", 1) => {
                let values: Vec<Sql> = numbers(self).iter().map(|v| v.cast("double precision", Ty::Double)).collect();
                self.plain("log", &values, Ty::Double)
            }
            ("LOG", 1) => {
                let values: Vec<Sql> = numbers(self).iter().map(|v| v.cast("double precision", Ty::Double)).collect();
                self.plain("ln", &values, Ty::Double)
            }
            ("PI", 0) => Sql::atom("pi()", Ty::Double),
            ("RAND", 0) => Sql::atom("random()", Ty::Double),
            ("BIT_COUNT" | "CONV" | "RAND", _) => self.refuse(&it.whole, "PostgreSQL has no such function built in"),
            ("FORMAT", 2) => {
                let values = numbers(self);
                let Some(digits) = values[1].integer().filter(|d| (0..=20).contains(d)) else {
                    return Some(self.refuse(&it.whole, "the number of digits must be a constant"));
                };
                let zeros = "0".repeat(usize::try_from(digits).unwrap_or(0));
                let point = if digits > 0 { "." } else { "" };
                let pattern = format!("FM999,999,999,999,999,990{point}{zeros}");
                Sql::atom(format!("to_char(round({}::numeric, {digits}), '{pattern}')", values[0].operand()), Ty::Text)
            }
            _ => return None,
        })
    }
}
