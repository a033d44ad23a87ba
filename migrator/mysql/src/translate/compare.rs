//! Comparisons: MySQL compares anything with anything, and texts without regard to case.

use super::Translator;
use super::value::{Collation, Sql, Ty, literal};

impl Translator<'_> {
    /// `a op b`, with the operands made comparable.
    pub fn compare(&mut self, left: &Sql, op: &str, right: &Sql) -> Sql {
        // (a = b) = 1 says no more than a = b
        if op == "=" {
            for (condition, number) in [(left, right), (right, left)] {
                let is_condition = condition.ty == Ty::Bool || condition.truth.is_some();
                match number.integer() {
                    Some(1) if is_condition => return self.condition(condition),
                    Some(0) if is_condition => {
                        let condition = self.condition(condition);
                        return Sql::compound(format!("not {}", condition.operand()), Ty::Bool);
                    }
                    _ => {}
                }
            }
        }
        let (left, right) = self.comparable(left, right);
        if op != "=" && op != "<>" && left.ty == Ty::Json && right.ty == Ty::Json {
            return self.refuse("JSON < JSON", "the order of two JSON values is another");
        }
        Sql::compound(format!("{} {op} {}", left.operand(), right.operand()), Ty::Bool)
    }

    /// Both sides in one type that PostgreSQL compares as MySQL compares the two.
    pub fn comparable(&mut self, left: &Sql, right: &Sql) -> (Sql, Sql) {
        match (left.ty, right.ty) {
            (Ty::Null | Ty::Unknown, _) | (_, Ty::Null | Ty::Unknown) => (left.clone(), right.clone()),
            (Ty::Text, Ty::Text) => self.texts(left, right),
            (Ty::Bool, Ty::Bool) => (left.clone(), right.clone()),
            (Ty::Json, Ty::Json) => (self.document(left), self.document(right)),
            (Ty::Json, Ty::Text) => (self.json_as_text(left), right.clone()),
            (Ty::Text, Ty::Json) => (left.clone(), self.json_as_text(right)),
            // what the application put there, beside a number
            (Ty::Text, Ty::Int) if left.setting && right.literal.is_some() => (left.clone(), self.text(right)),
            (Ty::Int, Ty::Text) if right.setting && left.literal.is_some() => (self.text(left), right.clone()),
            (Ty::Uuid, Ty::Uuid) | (Ty::Bytes, Ty::Bytes) => (left.clone(), right.clone()),
            (Ty::Uuid, Ty::Text) => (self.uuid_beside(left, right), right.clone()),
            (Ty::Text, Ty::Uuid) => (left.clone(), self.uuid_beside(right, left)),
            (Ty::Uuid, Ty::Bytes) => (Sql::atom(format!("uuid_send({})", left.text), Ty::Bytes), right.clone()),
            (Ty::Bytes, Ty::Uuid) => (left.clone(), Sql::atom(format!("uuid_send({})", right.text), Ty::Bytes)),
            (Ty::Bytes, Ty::Text) => (left.clone(), self.bytes(right)),
            (Ty::Text, Ty::Bytes) => (self.bytes(left), right.clone()),
            (a, Ty::Text) if a.is_time() => (left.clone(), self.time_beside(right, a)),
            (Ty::Text, b) if b.is_time() => (self.time_beside(left, b), right.clone()),
            (Ty::Date | Ty::DateTime(_), Ty::Date | Ty::DateTime(_)) | (Ty::Time(_), Ty::Time(_)) => {
                (left.clone(), right.clone())
            }
            _ => (self.number(left), self.number(right)),
        }
    }

    fn uuid_beside(&mut self, uuid: &Sql, text: &Sql) -> Sql {
        if text.literal.is_some() { uuid.clone() } else { self.text(uuid) }
    }

    fn bytes(&mut self, value: &Sql) -> Sql {
        Sql::atom(format!("convert_to({}, 'UTF8')", value.text), Ty::Bytes)
    }

    fn time_beside(&mut self, text: &Sql, other: Ty) -> Sql {
        if text.literal.is_some() {
            return text.clone();
        }
        let to = match other {
            Ty::Time(_) => "time",
            _ => "timestamp",
        };
        text.cast(to, other)
    }

    fn json_as_text(&mut self, value: &Sql) -> Sql {
        let text = format!("{} #>> '{{}}'", self.document(value).operand());
        Sql { collation: Collation::Exact, ..Sql::compound(text, Ty::Text) }
    }

    /// Two texts: lower case on both sides where MySQL does not tell the cases apart, except where that would keep an index
    /// from being used.
    pub fn texts(&mut self, left: &Sql, right: &Sql) -> (Sql, Sql) {
        if left.collation == Collation::Exact || right.collation == Collation::Exact {
            return (left.clone(), right.clone());
        }
        if is_caseless(left) || is_caseless(right) {
            return (left.clone(), right.clone());
        }
        if left.indexed || right.indexed {
            self.declare(
                "a text compared in a query",
                "PostgreSQL tells upper and lower case, accents and trailing blanks apart, MySQL's default collations do not",
            );
            return (left.clone(), right.clone());
        }
        self.declare(
            "a comparison of texts",
            "without regard to case, as in MySQL; accents and trailing blanks count in PostgreSQL, in most of MySQL's collations they do not",
        );
        (lower(left), lower(right))
    }

    /// `a IN (..)`, its list made comparable.
    pub fn among(&mut self, value: &Sql, list: &[Sql], negated: bool) -> Sql {
        let uniform = list.iter().all(|i| i.ty == list[0].ty || i.ty == Ty::Null);
        if uniform && !list.is_empty() {
            // one that has letters decides whether all are put into lower case
            let lettered = list.iter().find(|i| i.ty != Ty::Null && !is_caseless(i));
            let (left, _) = self.comparable(value, lettered.unwrap_or(&list[0]));
            let lowered = left.text != value.text && left.ty == Ty::Text && value.ty == Ty::Text;
            let items: Vec<String> = list
                .iter()
                .map(|i| {
                    let item = self.comparable(value, i).1;
                    if lowered && item.text == i.text && item.ty == Ty::Text { lower(&item).text } else { item.text }
                })
                .collect();
            let not = if negated { "not " } else { "" };
            return Sql::compound(format!("{} {not}in ({})", left.operand(), items.join(", ")), Ty::Bool);
        }
        let tests: Vec<String> = list.iter().map(|i| self.compare(value, "=", i).operand()).collect();
        let any = tests.join(" or ");
        Sql::compound(if negated { format!("not ({any})") } else { any }, Ty::Bool)
    }
}

/// A constant without letters.
fn is_caseless(value: &Sql) -> bool {
    value.literal.as_deref().is_some_and(|l| !l.chars().any(char::is_alphabetic))
}

/// In lower case.
pub fn lower(value: &Sql) -> Sql {
    match &value.literal {
        Some(constant) => {
            let low = constant.to_lowercase();
            Sql { literal: Some(low.clone()), ..Sql::atom(literal(&low), Ty::Text) }
        }
        None => Sql::atom(format!("lower({})", value.text), Ty::Text),
    }
}
