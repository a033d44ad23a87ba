//! Dates moved by an INTERVAL.

use sqlparser::ast::{DateTimeField, Expr, Interval};

use super::Translator;
use super::value::{Sql, Ty};

impl Translator<'_> {
    /// A date moved by an INTERVAL.
    pub fn shifted(&mut self, value: &Sql, interval: &Interval, back: bool, whole: &Expr) -> Sql {
        let field = interval.leading_field.clone();
        let amount = self.expr(&interval.value);
        let Some(step) = self.step(&amount, field.as_ref()) else {
            return self.refuse(&whole.to_string(), "an interval of several units");
        };
        let of_days = matches!(
            field,
            Some(
                DateTimeField::Day
                    | DateTimeField::Month
                    | DateTimeField::Year
                    | DateTimeField::Week(_)
                    | DateTimeField::Quarter
            )
        );
        let op = if back { "-" } else { "+" };
        // a text that is a date alone stays one
        let is_date = |c: &str| c.len() == 10 && c.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if value.constant().is_some_and(is_date) {
            let date = Sql::atom(format!("date {}", value.text), Ty::Date);
            return self.shifted(&date, interval, back, whole);
        }
        let moment = if let Ty::Time(_) = value.ty { value.clone() } else { self.moment(value) };
        let text = format!("{} {op} {step}", moment.operand());
        match value.ty {
            Ty::Date if of_days => Sql::atom(format!("({text})::date"), Ty::Date),
            Ty::Time(n) => Sql::compound(text, Ty::Time(n)),
            Ty::DateTime(n) => {
                let fraction = matches!(field, Some(DateTimeField::Microsecond));
                Sql::compound(text, Ty::DateTime(if fraction { 6 } else { n }))
            }
            // of a text MySQL makes a text again
            Ty::Text => {
                let shown = Sql::compound(text, Ty::DateTime(0));
                self.text(&shown)
            }
            _ => Sql::compound(text, Ty::DateTime(0)),
        }
    }

    pub(super) fn step(&mut self, amount: &Sql, field: Option<&DateTimeField>) -> Option<String> {
        let unit = match field? {
            DateTimeField::Second => "second",
            DateTimeField::Minute => "minute",
            DateTimeField::Hour => "hour",
            DateTimeField::Day => "day",
            DateTimeField::Week(_) => "week",
            DateTimeField::Month => "month",
            DateTimeField::Year => "year",
            DateTimeField::Quarter => "quarter",
            DateTimeField::Microsecond => "microsecond",
            _ => return None,
        };
        let constant = amount.literal.as_deref().map(str::trim).filter(|l| {
            let digits = l.strip_prefix('-').unwrap_or(l);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        });
        let (unit, times) = if unit == "quarter" { ("month", 3) } else { (unit, 1) };
        if let Some(number) = constant.and_then(|c| c.parse::<i64>().ok()) {
            return Some(format!("interval '{} {unit}'", number.checked_mul(times)?));
        }
        let number = self.number(amount);
        let amount = if unit == "second" { number.operand() } else { format!("{}::int", number.operand()) };
        let unit = if times == 1 { unit } else { "3 month" };
        let one = if times == 1 { format!("1 {unit}") } else { unit.to_owned() };
        Some(format!("{amount} * interval '{one}'"))
    }
}
