//! Functions of dates and times. MySQL's NOW() is the time of the statement, and so is it here.

use sqlparser::ast::Expr;

use super::super::Translator;
use super::super::value::{Sql, Ty, literal};
use super::Call;

/// The moment the client's statement began, in the session's zone.
const NOW: &str = "statement_timestamp()::timestamp";

impl Translator<'_> {
    pub(in super::super) fn time_function(&mut self, it: &Call<'_>) -> Option<Sql> {
        let digits = it.raw.first().map_or(Some(0), |e| fraction(e));
        Some(match (it.name.as_str(), it.raw.as_slice()) {
            ("NOW" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP", [] | [_]) => {
                let Some(digits) = digits else { return Some(self.refuse(&it.whole, "the digits must be a constant")) };
                cut(NOW, digits)
            }
            ("SYSDATE", [] | [_]) => {
                let Some(digits) = digits else { return Some(self.refuse(&it.whole, "the digits must be a constant")) };
                cut("clock_timestamp()::timestamp", digits)
            }
            ("UTC_TIMESTAMP", [] | [_]) => {
                let Some(digits) = digits else { return Some(self.refuse(&it.whole, "the digits must be a constant")) };
                cut("(statement_timestamp() at time zone 'UTC')", digits)
            }
            ("CURDATE" | "CURRENT_DATE", []) => Sql::atom("statement_timestamp()::date", Ty::Date),
            ("UTC_DATE", []) => Sql::atom("(statement_timestamp() at time zone 'UTC')::date", Ty::Date),
            ("CURTIME" | "CURRENT_TIME", [] | [_]) => {
                let Some(digits) = digits else { return Some(self.refuse(&it.whole, "the digits must be a constant")) };
                let moment = cut(NOW, digits);
                Sql::atom(format!("{}::time", moment.operand()), Ty::Time(digits))
            }
            ("UTC_TIME", []) => {
                let moment = cut("(statement_timestamp() at time zone 'UTC')", 0);
                Sql::atom(format!("{}::time", moment.operand()), Ty::Time(0))
            }
            ("UNIX_TIMESTAMP", []) => Sql::atom("floor(extract(epoch from statement_timestamp()))::bigint", Ty::Int),
            ("UNIX_TIMESTAMP", [value]) => {
                let value = self.expr(value);
                let moment = self.moment(&value);
                match value.ty {
                    Ty::DateTime(n) if n > 0 => {
                        let text =
                            format!("round(extract(epoch from {}::timestamptz)::numeric, {n})", moment.operand());
                        Sql::atom(text, Ty::Decimal(Some(n)))
                    }
                    _ => Sql::atom(format!("extract(epoch from {}::timestamptz)::bigint", moment.operand()), Ty::Int),
                }
            }
            ("FROM_UNIXTIME", [value]) => {
                let value = self.expr(value);
                let number = self.number(&value);
                let digits = match number.ty {
                    Ty::Int => 0,
                    Ty::Decimal(Some(n)) => n.min(6),
                    _ => 6,
                };
                Sql::atom(format!("to_timestamp({})::timestamp", number.text), Ty::DateTime(digits))
            }
            ("FROM_UNIXTIME", [value, format]) => {
                let (value, format) = (self.expr(value), self.expr(format));
                let number = self.number(&value);
                let moment = Sql::atom(format!("to_timestamp({})::timestamp", number.text), Ty::DateTime(0));
                self.date_format(&moment, &format, it)
            }
            ("DATE_FORMAT", [value, format]) => {
                let (value, format) = (self.expr(value), self.expr(format));
                self.date_format(&value, &format, it)
            }
            ("STR_TO_DATE", [text, format]) => {
                let (text, format) = (self.expr(text), self.expr(format));
                let Some((pattern, timed)) = format.constant().and_then(pattern) else {
                    return Some(self.refuse(&it.whole, "this format"));
                };
                self.declare("STR_TO_DATE", "a text that does not fit is an error, not NULL");
                let text = self.text(&text);
                let made = format!("to_timestamp({}, {})", text.text, literal(&pattern));
                if timed {
                    Sql::atom(format!("{made}::timestamp"), Ty::DateTime(0))
                } else {
                    Sql::atom(format!("{made}::date"), Ty::Date)
                }
            }
            ("DATE_ADD" | "ADDDATE" | "DATE_SUB" | "SUBDATE", [value, Expr::Interval(interval)]) => {
                let value = self.expr(value);
                let back = it.name.contains("SUB");
                let whole = Expr::Interval(interval.clone());
                self.shifted(&value, interval, back, &whole)
            }
            ("ADDDATE" | "SUBDATE", [value, days]) => {
                let (value, days) = (self.expr(value), self.expr(days));
                let days = self.integer(&days);
                let moment = self.moment(&value);
                let op = if it.name == "ADDDATE" { "+" } else { "-" };
                let moved = format!("{} {op} {} * interval '1 day'", moment.operand(), days.operand());
                if value.ty == Ty::Date {
                    Sql::atom(format!("({moved})::date"), Ty::Date)
                } else {
                    Sql::compound(moved, value.ty)
                }
            }
            ("TIMESTAMPADD", [unit, amount, value]) => {
                let interval = sqlparser::ast::Interval {
                    value: Box::new((*amount).clone()),
                    leading_field: field(&unit_name(unit)),
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                };
                let value = self.expr(value);
                let whole = Expr::Interval(interval.clone());
                self.shifted(&value, &interval, false, &whole)
            }
            ("DATEDIFF", [a, b]) => {
                let (a, b) = (self.expr(a), self.expr(b));
                let (a, b) = (self.day(&a), self.day(&b));
                Sql::compound(format!("{a} - {b}"), Ty::Int)
            }
            ("TIMESTAMPDIFF", [unit, a, b]) => {
                let (a, b) = (self.expr(a), self.expr(b));
                let (a, b) = (self.moment(&a).operand(), self.moment(&b).operand());
                let seconds = |per: &str| {
                    format!("trunc(extract(epoch from ({b}::timestamp - {a}::timestamp))::numeric{per})::bigint")
                };
                let age = format!("age({b}::timestamp, {a}::timestamp)");
                let months =
                    |per: &str| format!("((extract(year from {age}) * 12 + extract(month from {age}))::int{per})");
                let text = match unit_name(unit).as_str() {
                    "MICROSECOND" => seconds(" * 1000000"),
                    "SECOND" => seconds(""),
                    "MINUTE" => seconds(" / 60"),
                    "HOUR" => seconds(" / 3600"),
                    "DAY" => seconds(" / 86400"),
                    "WEEK" => seconds(" / 604800"),
                    "MONTH" => months(""),
                    "QUARTER" => months(" / 3"),
                    "YEAR" => months(" / 12"),
                    _ => return Some(self.refuse(&it.whole, "this unit")),
                };
                Sql::atom(text, Ty::Int)
            }
            ("DATE", [value]) => {
                let value = self.expr(value);
                Sql::atom(self.day(&value), Ty::Date)
            }
            ("TIME", [value]) => {
                let value = self.expr(value);
                let digits = match value.ty {
                    Ty::DateTime(n) | Ty::Time(n) => n,
                    _ => 0,
                };
                let moment = if matches!(value.ty, Ty::Time(_)) { value } else { self.moment(&value) };
                moment.cast("time", Ty::Time(digits))
            }
            ("TIMESTAMP", [value]) => {
                let value = self.expr(value);
                let moment = self.moment(&value);
                moment.cast("timestamp", if let Ty::DateTime(n) = value.ty { Ty::DateTime(n) } else { Ty::DateTime(0) })
            }
            ("LAST_DAY", [value]) => {
                let value = self.expr(value);
                let moment = self.moment(&value);
                Sql::atom(
                    format!("(date_trunc('month', {}) + interval '1 month - 1 day')::date", moment.text),
                    Ty::Date,
                )
            }
            ("DAYNAME" | "MONTHNAME", [value]) => {
                let value = self.expr(value);
                let moment = self.moment(&value);
                let pattern = if it.name == "DAYNAME" { "FMDay" } else { "FMMonth" };
                Sql::atom(format!("to_char({}, '{pattern}')", moment.text), Ty::Text)
            }
            (
                "YEAR" | "MONTH" | "DAY" | "DAYOFMONTH" | "HOUR" | "MINUTE" | "SECOND" | "MICROSECOND" | "QUARTER"
                | "DAYOFYEAR" | "DAYOFWEEK" | "WEEKDAY" | "WEEKOFYEAR",
                [value],
            ) => {
                let value = self.expr(value);
                self.extract(&it.name, &value, &it.whole)
            }
            ("CONVERT_TZ", [value, from, to]) => {
                let (value, from, to) = (self.expr(value), self.expr(from), self.expr(to));
                if from.constant().is_none() || to.constant().is_none() {
                    return Some(self.refuse(&it.whole, "the zones must be constants"));
                }
                self.declare("CONVERT_TZ", "an unknown zone is an error, not NULL");
                let moment = self.moment(&value);
                let zone = |z: &Sql| offset(z.constant().unwrap_or_default());
                let text =
                    format!("{}::timestamp at time zone {} at time zone {}", moment.operand(), zone(&from), zone(&to));
                Sql::compound(text, if let Ty::DateTime(n) = value.ty { Ty::DateTime(n) } else { Ty::DateTime(0) })
            }
            (
                "TIMEDIFF" | "SEC_TO_TIME" | "TIME_TO_SEC" | "TO_DAYS" | "FROM_DAYS" | "MAKEDATE" | "MAKETIME"
                | "PERIOD_ADD" | "PERIOD_DIFF" | "WEEK" | "YEARWEEK" | "TIME_FORMAT" | "ADDTIME" | "SUBTIME"
                | "TO_SECONDS" | "GET_FORMAT",
                _,
            ) => self.refuse(&it.whole, "this function of time is not translated"),
            _ => return None,
        })
    }

    fn day(&mut self, value: &Sql) -> String {
        match value.ty {
            Ty::Date => value.operand(),
            Ty::Text if value.literal.is_some() => format!("{}::date", value.text),
            _ => format!("{}::date", self.moment(value).operand()),
        }
    }

    /// EXTRACT and the functions named after a part of a date.
    pub(in super::super) fn extract(&mut self, part: &str, value: &Sql, whole: &str) -> Sql {
        let moment = if matches!(value.ty, Ty::Time(_)) { value.clone() } else { self.moment(value) };
        let m = &moment.text;
        let text = match part.to_uppercase().as_str() {
            "YEAR" => format!("extract(year from {m})::int"),
            "MONTH" => format!("extract(month from {m})::int"),
            "DAY" | "DAYOFMONTH" => format!("extract(day from {m})::int"),
            "HOUR" => format!("extract(hour from {m})::int"),
            "MINUTE" => format!("extract(minute from {m})::int"),
            // extract(second) has the fraction, and the cast would round it
            "SECOND" => format!("floor(extract(second from {m}))::int"),
            "MICROSECOND" => format!("(extract(microseconds from {m})::int % 1000000)"),
            "QUARTER" => format!("extract(quarter from {m})::int"),
            "DAYOFYEAR" => format!("extract(doy from {m})::int"),
            "DAYOFWEEK" => format!("(extract(dow from {m})::int + 1)"),
            "WEEKDAY" => format!("(extract(isodow from {m})::int - 1)"),
            "WEEKOFYEAR" => format!("extract(week from {m})::int"),
            _ => return self.refuse(whole, "this part of a date"),
        };
        Sql::atom(text, Ty::Int)
    }

    fn date_format(&mut self, value: &Sql, format: &Sql, it: &Call<'_>) -> Sql {
        let Some((pattern, _)) = format.constant().and_then(pattern) else {
            return self.refuse(&it.whole, "the format is no constant, or has a specifier that to_char has not");
        };
        let moment = if matches!(value.ty, Ty::Time(_)) { value.clone() } else { self.moment(value) };
        Sql::atom(format!("to_char({}, {})", moment.text, literal(&pattern)), Ty::Text)
    }
}

/// Fewer digits of a second: MySQL cuts them off, a cast would round.
fn cut(moment: &str, digits: u32) -> Sql {
    match digits {
        0 => Sql::atom(format!("date_trunc('second', {moment})"), Ty::DateTime(0)),
        3 => Sql::atom(format!("date_trunc('milliseconds', {moment})"), Ty::DateTime(3)),
        6 => Sql::atom(moment, Ty::DateTime(6)),
        n => {
            let shown = super::super::coerce::shown("YYYY-MM-DD HH24:MI:SS", 19, n, moment);
            Sql::atom(format!("{shown}::timestamp"), Ty::DateTime(n))
        }
    }
}

fn fraction(digits: &Expr) -> Option<u32> {
    let Expr::Value(value) = digits else { return None };
    match &value.value {
        sqlparser::ast::Value::Number(n, _) => n.to_string().parse().ok().filter(|n| *n <= 6),
        _ => None,
    }
}

fn unit_name(unit: &Expr) -> String {
    unit.to_string().to_uppercase().trim_matches('`').trim_start_matches("SQL_TSI_").to_owned()
}

fn field(unit: &str) -> Option<sqlparser::ast::DateTimeField> {
    use sqlparser::ast::DateTimeField as F;
    Some(match unit {
        "MICROSECOND" | "FRAC_SECOND" => F::Microsecond,
        "SECOND" => F::Second,
        "MINUTE" => F::Minute,
        "HOUR" => F::Hour,
        "DAY" => F::Day,
        "WEEK" => F::Week(None),
        "MONTH" => F::Month,
        "QUARTER" => F::Quarter,
        "YEAR" => F::Year,
        _ => return None,
    })
}

/// MySQL's `+02:00` counts east, and so does an interval.
fn offset(zone: &str) -> String {
    if zone.starts_with(['+', '-']) { format!("interval {}", literal(zone)) } else { literal(zone) }
}

/// A format of DATE_FORMAT as to_char's, and whether it has a time of day; none if it has what to_char has not.
fn pattern(format: &str) -> Option<(String, bool)> {
    let mut made = String::new();
    let mut plain = String::new();
    let mut timed = false;
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            plain.push(c);
            continue;
        }
        let specifier = chars.next()?;
        timed |= matches!(specifier, 'H' | 'h' | 'I' | 'i' | 'k' | 'l' | 's' | 'S' | 'f' | 'T' | 'r' | 'p');
        let word = match specifier {
            'Y' => "YYYY",
            'y' => "YY",
            'm' => "MM",
            'c' => "FMMM",
            'd' => "DD",
            'e' => "FMDD",
            'D' => "FMDDth",
            'H' => "HH24",
            'k' => "FMHH24",
            'h' | 'I' => "HH12",
            'l' => "FMHH12",
            'i' => "MI",
            's' | 'S' => "SS",
            'f' => "US",
            'p' => "AM",
            'T' => "HH24:MI:SS",
            'r' => "HH12:MI:SS AM",
            'M' => "FMMonth",
            'b' => "Mon",
            'W' => "FMDay",
            'a' => "Dy",
            'j' => "DDD",
            'v' => "IW",
            'x' => "IYYY",
            '%' => {
                plain.push('%');
                continue;
            }
            _ => return None,
        };
        flush(&mut made, &mut plain);
        made.push_str(word);
    }
    flush(&mut made, &mut plain);
    Some((made, timed))
}

/// Literal text in quotes: `T` after `DD` would be an ordinal.
fn flush(made: &mut String, plain: &mut String) {
    if plain.chars().all(|c| matches!(c, ' ' | '-' | ':' | '/' | '.' | ',')) {
        made.push_str(plain);
    } else {
        made.push_str(&format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    plain.clear();
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn literals_in_a_date_format_are_quoted() {
        assert_eq!(pattern("%Y-%m-%dT%H:%i:%sZ"), Some(("YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"".into(), true)));
        assert_eq!(pattern("%e. %M"), Some(("FMDD. FMMonth".into(), false)));
        assert_eq!(pattern("%X"), None);
    }
}
