//! Operators.

use sqlparser::ast::{BinaryOperator as Op, Expr, UnaryOperator};

use super::Translator;
use super::value::{Collation, Sql, Ty};

impl Translator<'_> {
    pub(super) fn unary(&mut self, op: UnaryOperator, inner: &Expr, whole: &Expr) -> Sql {
        let value = self.expr(inner);
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => {
                let condition = self.condition(&value);
                if let Some(negated) = negate(&condition) {
                    return negated;
                }
                Sql::compound(format!("not {}", condition.operand()), Ty::Bool)
            }
            UnaryOperator::Minus => {
                let number = self.number(&value);
                let text = format!("-{}", number.operand());
                match number.literal {
                    Some(digits) => Sql { literal: Some(format!("-{digits}")), ..Sql::compound(text, number.ty) },
                    None => Sql::compound(text, number.ty),
                }
            }
            UnaryOperator::Plus => value,
            UnaryOperator::BitwiseNot => {
                let number = self.number(&value);
                // MySQL's result is unsigned, of 64 bits
                let n = number.operand();
                let text = format!("case when {n} < 0 then -{n} - 1 else 18446744073709551615::numeric - {n} end");
                Sql::atom(text, Ty::Decimal(Some(0)))
            }
            _ => self.refuse(&whole.to_string(), "this operator is not known"),
        }
    }

    pub(super) fn binary(&mut self, left: &Expr, op: &Op, right: &Expr, whole: &Expr) -> Sql {
        let junction = match op {
            Op::And => Some("and"),
            Op::Or => Some("or"),
            _ => None,
        };
        if let Some(word) = junction {
            let sides: Vec<String> = [left, right]
                .into_iter()
                .map(|side| {
                    let value = self.expr(side);
                    let condition = self.condition(&value);
                    // the same junction needs no parentheses
                    let nested = matches!(side, Expr::Nested(_));
                    let same = matches!(side, Expr::BinaryOp { op: inner, .. } if inner == op) && !nested;
                    let plain = matches!(
                        side,
                        Expr::BinaryOp { op: Op::Eq | Op::NotEq | Op::Lt | Op::Gt | Op::LtEq | Op::GtEq, .. }
                    );
                    let bare = condition.atom
                        || same
                        || plain
                        || condition.text.ends_with(" is null")
                        || condition.text.ends_with(" is not null");
                    if bare { condition.text } else { format!("({})", condition.text) }
                })
                .collect();
            return Sql::compound(sides.join(&format!(" {word} ")), Ty::Bool);
        }
        if let (Op::Plus | Op::Minus, Expr::Interval(interval)) = (op, right) {
            let value = self.expr(left);
            return self.shifted(&value, interval, *op == Op::Minus, whole);
        }
        if let (Op::Plus, Expr::Interval(interval)) = (op, left) {
            let value = self.expr(right);
            return self.shifted(&value, interval, false, whole);
        }
        let (a, b) = (self.expr(left), self.expr(right));
        match op {
            Op::Eq => self.compare(&a, "=", &b),
            Op::NotEq => self.compare(&a, "<>", &b),
            Op::Lt => self.compare(&a, "<", &b),
            Op::Gt => self.compare(&a, ">", &b),
            Op::LtEq => self.compare(&a, "<=", &b),
            Op::GtEq => self.compare(&a, ">=", &b),
            Op::Spaceship => {
                let (a, b) = self.comparable(&a, &b);
                Sql::compound(format!("{} is not distinct from {}", a.operand(), b.operand()), Ty::Bool)
            }
            Op::Xor => {
                let (a, b) = (self.condition(&a), self.condition(&b));
                Sql::compound(format!("{} <> {}", a.operand(), b.operand()), Ty::Bool)
            }
            Op::StringConcat => self.concat(&[a, b]),
            Op::Plus | Op::Minus | Op::Multiply => self.arithmetic(&a, op, &b),
            Op::Divide => self.divide(&a, &b),
            Op::MyIntegerDivide => {
                let (a, b) = self.divisor(&a, &b, "DIV");
                Sql::atom(format!("trunc({}::numeric / {b})::bigint", a.operand()), Ty::Int)
            }
            Op::Modulo => {
                let (a, b) = self.divisor(&a, &b, "%");
                if a.ty == Ty::Double {
                    return Sql::compound(format!("{}::numeric % {b}::numeric", a.operand()), Ty::Double);
                }
                Sql::compound(format!("{} % {b}", a.operand()), a.ty)
            }
            Op::BitwiseAnd => self.bits(&a, "&", &b),
            Op::BitwiseOr => self.bits(&a, "|", &b),
            Op::BitwiseXor | Op::PGBitwiseXor => self.bits(&a, "#", &b),
            Op::PGBitwiseShiftLeft => self.bits(&a, "<<", &b),
            Op::PGBitwiseShiftRight => self.bits(&a, ">>", &b),
            Op::Regexp => self.matches(left, right, false),
            Op::Arrow => self.json_extract(&a, &b, false),
            Op::LongArrow => self.json_extract(&a, &b, true),
            _ => self.refuse(&whole.to_string(), "this operator is not known"),
        }
    }

    pub(super) fn arithmetic(&mut self, a: &Sql, op: &Op, b: &Sql) -> Sql {
        let (mut a, b) = (self.number(a), self.number(b));
        let unsigned = a.unsigned || b.unsigned;
        if unsigned && *op == Op::Minus {
            self.declare("- of UNSIGNED", "below zero the result is negative; MySQL raises an error");
        }
        // MySQL counts in 64 bits, PostgreSQL in the columns' own
        let narrow = |s: &Sql| matches!(s.postgres.as_deref(), Some("smallint" | "integer"));
        let large = |s: &Sql| s.integer().is_some_and(|n| n.unsigned_abs() >= 1 << 30);
        if narrow(&a) && (narrow(&b) || b.literal.is_none() || *op == Op::Multiply || large(&b)) {
            a = a.cast("bigint", Ty::Int);
        } else if large(&a) && narrow(&b) {
            a = Sql { literal: None, ..a.cast("bigint", Ty::Int) };
        }
        let ty = match (a.ty, b.ty) {
            (Ty::Double, _) | (_, Ty::Double) => Ty::Double,
            (Ty::Decimal(x), Ty::Decimal(y)) if *op == Op::Multiply => Ty::Decimal(x.zip(y).map(|(x, y)| x + y)),
            (x, y) => super::coerce::common(x, y),
        };
        Sql { unsigned, ..Sql::compound(format!("{} {op} {}", a.operand(), b.operand()), ty) }
    }

    /// MySQL's `/` of exact numbers has four digits more than its left side.
    pub(super) fn divide(&mut self, a: &Sql, b: &Sql) -> Sql {
        let (a, divisor) = self.divisor(a, b, "/");
        let scale = match a.ty {
            Ty::Int => Some(0),
            Ty::Decimal(scale) => scale,
            _ => None,
        };
        match scale {
            Some(scale) if b.ty != Ty::Double => {
                let digits = (scale + 4).min(30);
                Sql::atom(format!("round({}::numeric / {divisor}, {digits})", a.operand()), Ty::Decimal(Some(digits)))
            }
            _ if a.ty == Ty::Double || b.ty == Ty::Double => {
                Sql::compound(format!("{} / {divisor}", a.operand()), Ty::Double)
            }
            _ => {
                self.declare("/", "the quotient has more digits than MySQL's");
                Sql::compound(format!("{}::numeric / {divisor}", a.operand()), Ty::Decimal(None))
            }
        }
    }

    /// Dividing by zero gives NULL in MySQL, unless the mode makes it an error in a statement that writes.
    pub(super) fn divisor(&mut self, a: &Sql, b: &Sql, op: &str) -> (Sql, String) {
        let (a, b) = (self.number(a), self.number(b));
        let never_zero = b.literal.as_deref().is_some_and(|l| l.bytes().any(|c| (b'1'..=b'9').contains(&c)));
        if never_zero {
            return (a, b.operand());
        }
        self.declare(
            op,
            "division by zero gives NULL; under strict modes MySQL raises an error in statements that write",
        );
        (a, format!("nullif({}, 0)", b.text))
    }

    pub(super) fn bits(&mut self, a: &Sql, op: &str, b: &Sql) -> Sql {
        let (a, b) = (self.number(a), self.number(b));
        self.declare(
            "bit operators",
            "64 bits with a sign; MySQL's have none, so that results from 2^63 on are negative",
        );
        let wide = |s: &Sql| if s.literal.is_some() { s.operand() } else { format!("{}::bigint", s.operand()) };
        let right = if op == "<<" || op == ">>" { format!("{}::int", b.operand()) } else { wide(&b) };
        let left = if a.literal.is_some() { format!("{}::bigint", a.operand()) } else { wide(&a) };
        Sql::compound(format!("{left} {op} {right}"), Ty::Int)
    }

    /// `||` and CONCAT: NULL if a part is.
    pub fn concat(&mut self, parts: &[Sql]) -> Sql {
        let texts: Vec<Sql> = parts.iter().map(|p| self.text(p)).collect();
        match texts.as_slice() {
            [] => Sql::string(""),
            [one] => one.clone(),
            many => {
                let joined: Vec<String> = many.iter().map(|t| t.operand()).collect();
                Sql::compound(joined.join(" || "), Ty::Text)
            }
        }
    }

    pub(super) fn like(&mut self, value: &Expr, pattern: &Expr, escape: Option<Sql>, negated: bool) -> Sql {
        let (value, pattern) = (self.expr(value), self.expr(pattern));
        let exact = value.collation == Collation::Exact || pattern.collation == Collation::Exact;
        let (value, pattern) = (self.text(&value), self.text(&pattern));
        let operator = if exact { "like" } else { "ilike" };
        if !exact {
            self.declare("LIKE", "without regard to case, as in MySQL; accents count in PostgreSQL, in most of MySQL's collations they do not");
        }
        let not = if negated { "not " } else { "" };
        let escape = escape.map_or(String::new(), |e| format!(" escape {}", e.text));
        Sql::compound(format!("{} {not}{operator} {}{escape}", value.operand(), pattern.operand()), Ty::Bool)
    }

    pub(super) fn matches(&mut self, value: &Expr, pattern: &Expr, negated: bool) -> Sql {
        let (value, pattern) = (self.expr(value), self.expr(pattern));
        self.declare("REGEXP", "the pattern is read by PostgreSQL's rules, which differ in details");
        let exact = value.collation == Collation::Exact;
        let (value, pattern) = (self.text(&value), self.text(&pattern));
        let operator = format!("{}~{}", if negated { "!" } else { "" }, if exact { "" } else { "*" });
        Sql::compound(format!("{} {operator} {}", value.operand(), pattern.operand()), Ty::Bool)
    }
}

/// The opposite of a comparison with NULL, or of IS NOT DISTINCT FROM, is one word.
pub(super) fn negate(condition: &Sql) -> Option<Sql> {
    if let Some(left) = condition.text.strip_suffix(" is null")
        && !left.contains(' ')
    {
        return Some(Sql::compound(format!("{left} is not null"), Ty::Bool));
    }
    let parts: Vec<&str> = condition.text.split(" is not distinct from ").collect();
    let simple =
        |p: &str| !p.contains([' ', '\'']) || p.starts_with('\'') && p.matches('\'').count() == 2 && p.ends_with('\'');
    match parts.as_slice() {
        [a, b] if simple(a) && simple(b) => Some(Sql::compound(format!("{a} is distinct from {b}"), Ty::Bool)),
        _ => None,
    }
}
