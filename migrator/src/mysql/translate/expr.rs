//! Expressions: names, constants, operators.

use sqlparser::ast::{
    BinaryOperator as Op, CastKind, DataType, DateTimeField, Expr, Ident, Interval, TrimWhereField, UnaryOperator,
    Value,
};

use super::Translator;
use super::value::{Collation, Sql, Ty, literal, of_type};

impl Translator<'_> {
    /// An expression.
    pub fn expr(&mut self, expr: &Expr) -> Sql {
        match expr {
            Expr::Value(value) => self.constant(&value.value, expr),
            Expr::Identifier(name) => self.name(name),
            Expr::CompoundIdentifier(parts) => self.compound_name(parts),
            Expr::Nested(inner) => self.expr(inner),
            Expr::Prefixed { value, .. } => self.expr(value),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr),
            Expr::UnaryOp { op, expr: inner } => self.unary(*op, inner, expr),
            Expr::IsNull(inner) => self.test(inner, "is null"),
            Expr::IsNotNull(inner) => self.test(inner, "is not null"),
            Expr::IsTrue(inner) => self.truth_test(inner, "is true"),
            Expr::IsNotTrue(inner) => self.truth_test(inner, "is not true"),
            Expr::IsFalse(inner) => self.truth_test(inner, "is false"),
            Expr::IsNotFalse(inner) => self.truth_test(inner, "is not false"),
            Expr::IsUnknown(inner) => self.test(inner, "is null"),
            Expr::IsNotUnknown(inner) => self.test(inner, "is not null"),
            Expr::InList { expr: value, list, negated } => {
                let value = self.expr(value);
                let list: Vec<Sql> = list.iter().map(|i| self.expr(i)).collect();
                self.among(&value, &list, *negated)
            }
            Expr::InSubquery { expr: value, subquery, negated } => {
                let value = self.expr(value);
                let not = if *negated { "not " } else { "" };
                let (query, columns) = self.subquery(subquery);
                let value = match columns.first() {
                    Some(column) => self.comparable(&value, column).0,
                    None => value,
                };
                Sql::compound(format!("{} {not}in ({query})", value.operand()), Ty::Bool)
            }
            Expr::Between { expr: value, negated, low, high } => {
                let (value, low, high) = (self.expr(value), self.expr(low), self.expr(high));
                let (from, low) = self.comparable(&value, &low);
                let (to, high) = self.comparable(&value, &high);
                let not = if *negated { "not " } else { "" };
                if from == to {
                    let range = format!("{} {not}between {} and {}", from.operand(), low.operand(), high.operand());
                    return Sql::compound(range, Ty::Bool);
                }
                let range =
                    format!("{} >= {} and {} <= {}", from.operand(), low.operand(), to.operand(), high.operand());
                Sql::compound(if *negated { format!("not ({range})") } else { range }, Ty::Bool)
            }
            Expr::Like { negated, expr: value, pattern, escape_char, .. } => {
                let escape = escape_char.as_ref().map(|e| self.expr(e));
                self.like(value, pattern, escape, *negated)
            }
            Expr::RLike { negated, expr: value, pattern, .. } => self.matches(value, pattern, *negated),
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut results: Vec<&Expr> = conditions.iter().map(|c| &c.result).collect();
                results.extend(else_result.as_deref());
                let operand = operand.as_ref().map(|o| self.expr(o));
                let tests: Vec<Sql> = conditions
                    .iter()
                    .map(|c| {
                        let test = self.expr(&c.condition);
                        match &operand {
                            Some(operand) => self.compare(operand, "=", &test),
                            None => self.condition(&test),
                        }
                    })
                    .collect();
                let results: Vec<Sql> = results.into_iter().map(|r| self.expr(r)).collect();
                self.cases(&tests, results)
            }
            Expr::Function(call) => self.function(call, expr),
            Expr::Cast { kind: CastKind::Cast, expr: value, data_type, .. } => {
                let value = self.expr(value);
                self.cast(&value, data_type, expr)
            }
            Expr::Convert { expr: value, data_type: Some(data_type), .. } => {
                let value = self.expr(value);
                self.cast(&value, data_type, expr)
            }
            // CONVERT(x USING utf8mb4): there is one character set here
            Expr::Convert { expr: value, data_type: None, .. } => {
                let value = self.expr(value);
                self.text(&value)
            }
            Expr::Collate { expr: value, collation } => {
                let value = self.expr(value);
                let name = collation.to_string().to_lowercase();
                let exact = name.ends_with("_bin") || name.ends_with("_cs") || name == "binary";
                Sql { collation: if exact { Collation::Exact } else { Collation::Insensitive }, ..value }
            }
            Expr::Interval(_) => self.refuse(&expr.to_string(), "INTERVAL stands beside a date only"),
            Expr::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().unwrap_or_default();
                let (name, ty) = match typed.data_type {
                    DataType::Date => ("date", Ty::Date),
                    DataType::Time(..) => ("time", Ty::Time(0)),
                    _ => ("timestamp", Ty::DateTime(0)),
                };
                Sql::atom(format!("{name} {}", literal(&text)), ty)
            }
            Expr::Extract { field, expr: value, .. } => {
                let value = self.expr(value);
                self.extract(&field.to_string(), &value, &expr.to_string())
            }
            Expr::Substring { expr: value, substring_from, substring_for, .. } => {
                let value = self.expr(value);
                let from = substring_from.as_ref().map(|e| self.expr(e));
                let length = substring_for.as_ref().map(|e| self.expr(e));
                self.substring(&value, from.as_ref(), length.as_ref())
            }
            Expr::Position { expr: needle, r#in } => {
                let (needle, text) = (self.expr(needle), self.expr(r#in));
                self.position(&needle, &text)
            }
            Expr::Trim { expr: value, trim_where, trim_what, .. } => {
                let value = self.expr(value);
                let what = trim_what.as_ref().map(|w| self.expr(w));
                self.trim(&value, *trim_where, what.as_ref())
            }
            Expr::Ceil { expr: value, .. } => self.rounded("ceil", value),
            Expr::Floor { expr: value, .. } => self.rounded("floor", value),
            Expr::Exists { subquery, negated } => {
                let (query, _) = self.subquery(subquery);
                Sql::compound(format!("{}exists ({query})", if *negated { "not " } else { "" }), Ty::Bool)
            }
            Expr::Subquery(query) => {
                let (query, columns) = self.subquery(query);
                let first = columns.into_iter().next();
                let (ty, collation) = first.map_or((Ty::Unknown, Collation::Neutral), |c| (c.ty, c.collation));
                // a condition in a query's list is stored by it as 0 or 1
                Sql { collation, ..Sql::atom(format!("({query})"), ty) }
            }
            Expr::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|i| self.expr(i).text).collect();
                Sql::atom(format!("({})", items.join(", ")), Ty::Unknown)
            }
            Expr::MemberOf(member) => {
                let (value, array) = (self.expr(&member.value), self.expr(&member.array));
                let (value, array) = (self.json_value(&value), self.document(&array));
                Sql::compound(format!("{} @> {}", array.operand(), value.operand()), Ty::Bool)
            }
            other => self.refuse(&other.to_string(), "this expression is not known"),
        }
    }

    /// An expression as a condition.
    pub fn condition_of(&mut self, expr: &Expr) -> String {
        let value = self.expr(expr);
        self.condition(&value).text
    }

    /// CASE over conditions; one result more than conditions is ELSE.
    pub fn cases(&mut self, tests: &[Sql], results: Vec<Sql>) -> Sql {
        let collation =
            results.iter().map(|r| r.collation).find(|c| *c == Collation::Exact).unwrap_or(Collation::Neutral);
        let (results, ty) = self.unify(results);
        let mut text = "case".to_owned();
        for (test, result) in tests.iter().zip(&results) {
            text.push_str(&format!(" when {} then {}", test.text, result.text));
        }
        if let Some(otherwise) = results.get(tests.len()) {
            text.push_str(&format!(" else {}", otherwise.text));
        }
        text.push_str(" end");
        Sql { collation, ..Sql::atom(text, ty) }
    }

    fn constant(&mut self, value: &Value, expr: &Expr) -> Sql {
        match value {
            Value::Null => Sql::null(),
            Value::Boolean(b) => Sql::atom(b.to_string(), Ty::Bool),
            Value::Number(digits, _) => {
                let digits = digits.to_string();
                if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
                    return bytes(hex);
                }
                let ty = match digits.split_once('.') {
                    _ if digits.contains(['e', 'E']) => Ty::Double,
                    Some((_, after)) => Ty::Decimal(u32::try_from(after.len()).ok()),
                    None => Ty::Int,
                };
                let text = if ty == Ty::Double { format!("{digits}::double precision") } else { digits.clone() };
                Sql { literal: Some(digits), ..Sql::atom(text, ty) }
            }
            Value::HexStringLiteral(hex) => bytes(hex),
            Value::SingleQuotedByteStringLiteral(bits) if bits.bytes().all(|b| b == b'0' || b == b'1') => {
                let number = u64::from_str_radix(bits, 2).unwrap_or(0).to_string();
                Sql { literal: Some(number.clone()), ..Sql::atom(number, Ty::Int) }
            }
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::NationalStringLiteral(text) => {
                if text.contains('\0') {
                    return self.refuse("'\\0'", "PostgreSQL's texts hold no zero byte");
                }
                Sql::string(text)
            }
            Value::Placeholder(name) if name.starts_with('@') => self.user_variable(name),
            _ => self.refuse(&expr.to_string(), "this constant is not known"),
        }
    }

    fn name(&mut self, name: &Ident) -> Sql {
        let text = name.value.as_str();
        if text.starts_with("@@") {
            return self.system_variable(text);
        }
        if text.starts_with('@') {
            return self.user_variable(text);
        }
        // a variable hides a column of the same name
        if let Some(variable) = self.variable(text) {
            return of_variable(variable);
        }
        for scope in self.from.iter().rev() {
            for (_, table) in scope {
                if let Some(column) = table.and_then(|t| t.column(text)) {
                    let name = match &self.qualifier {
                        Some(qualifier) => format!("{qualifier}.{}", column.quoted),
                        None => column.quoted.clone(),
                    };
                    return of_column(&name, column, true);
                }
            }
        }
        Sql::atom(crate::source::types::quoted(text), Ty::Unknown)
    }

    fn compound_name(&mut self, parts: &[Ident]) -> Sql {
        let words: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
        if words[0].starts_with("@@") {
            return self.system_variable(&words.join("."));
        }
        let [.., qualifier, column] = words.as_slice() else { return self.refuse(&words.join("."), "no such name") };
        if self.excluded.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(qualifier)) {
            return self.excluded_column(column);
        }
        for row in ["new", "old"] {
            if qualifier.eq_ignore_ascii_case(row) && self.row.is_some() {
                let Some(table) = self.row else { break };
                return match table.column(column) {
                    Some(found) => of_column(&format!("{row}.{}", found.quoted), found, false),
                    None => {
                        let reason = format!("table {} has no column {column}", table.name);
                        self.refuse(&words.join("."), reason)
                    }
                };
            }
        }
        for scope in self.from.iter().rev() {
            if let Some((alias, table)) = scope.iter().find(|(a, _)| a.eq_ignore_ascii_case(qualifier)) {
                let alias = crate::source::types::quoted(alias);
                return match table.and_then(|t| t.column(column)) {
                    Some(found) => of_column(&format!("{alias}.{}", found.quoted), found, true),
                    None => Sql::atom(format!("{alias}.{}", crate::source::types::quoted(column)), Ty::Unknown),
                };
            }
        }
        let quoted: Vec<String> = [qualifier, column].map(|w| crate::source::types::quoted(w)).to_vec();
        Sql::atom(quoted.join("."), Ty::Unknown)
    }

    /// The value that an INSERT would have written.
    pub fn excluded_column(&mut self, column: &str) -> Sql {
        let found = self.from.last().and_then(|s| s.first()).and_then(|(_, t)| *t).and_then(|t| t.column(column));
        match found {
            Some(found) => of_column(&format!("excluded.{}", found.quoted), found, true),
            None => Sql::atom(format!("excluded.{}", crate::source::types::quoted(column)), Ty::Unknown),
        }
    }

    fn test(&mut self, inner: &Expr, what: &str) -> Sql {
        let value = self.expr(inner);
        // a cast that reads a flag is of no use here
        let operand = value.truth.clone().unwrap_or_else(|| value.operand());
        Sql::compound(format!("{operand} {what}"), Ty::Bool)
    }

    fn truth_test(&mut self, inner: &Expr, what: &str) -> Sql {
        let value = self.expr(inner);
        let condition = self.condition(&value);
        Sql::compound(format!("{} {what}", condition.operand()), Ty::Bool)
    }

    fn unary(&mut self, op: UnaryOperator, inner: &Expr, whole: &Expr) -> Sql {
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
                Sql::compound(format!("18446744073709551615::numeric - {}", number.operand()), Ty::Decimal(Some(0)))
            }
            _ => self.refuse(&whole.to_string(), "this operator is not known"),
        }
    }

    fn binary(&mut self, left: &Expr, op: &Op, right: &Expr, whole: &Expr) -> Sql {
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

    fn arithmetic(&mut self, a: &Sql, op: &Op, b: &Sql) -> Sql {
        let (mut a, b) = (self.number(a), self.number(b));
        // MySQL counts in 64 bits, PostgreSQL in the columns' own
        let narrow = |s: &Sql| matches!(s.postgres.as_deref(), Some("smallint" | "integer"));
        if narrow(&a) && (narrow(&b) || b.literal.is_none() || *op == Op::Multiply) {
            a = a.cast("bigint", Ty::Int);
        }
        let ty = match (a.ty, b.ty) {
            (Ty::Double, _) | (_, Ty::Double) => Ty::Double,
            (Ty::Decimal(x), Ty::Decimal(y)) if *op == Op::Multiply => Ty::Decimal(x.zip(y).map(|(x, y)| x + y)),
            (x, y) => super::coerce::common(x, y),
        };
        Sql::compound(format!("{} {op} {}", a.operand(), b.operand()), ty)
    }

    /// MySQL's `/` of exact numbers has four digits more than its left side.
    fn divide(&mut self, a: &Sql, b: &Sql) -> Sql {
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
    fn divisor(&mut self, a: &Sql, b: &Sql, op: &str) -> (Sql, String) {
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

    fn bits(&mut self, a: &Sql, op: &str, b: &Sql) -> Sql {
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

    fn like(&mut self, value: &Expr, pattern: &Expr, escape: Option<Sql>, negated: bool) -> Sql {
        let (value, pattern) = (self.expr(value), self.expr(pattern));
        let exact = value.collation == Collation::Exact || pattern.collation == Collation::Exact;
        let (value, pattern) = (self.text(&value), self.text(&pattern));
        let operator = if exact { "like" } else { "ilike" };
        let not = if negated { "not " } else { "" };
        let escape = escape.map_or(String::new(), |e| format!(" escape {}", e.text));
        Sql::compound(format!("{} {not}{operator} {}{escape}", value.operand(), pattern.operand()), Ty::Bool)
    }

    fn matches(&mut self, value: &Expr, pattern: &Expr, negated: bool) -> Sql {
        let (value, pattern) = (self.expr(value), self.expr(pattern));
        self.declare("REGEXP", "the pattern is read by PostgreSQL's rules, which differ in details");
        let exact = value.collation == Collation::Exact;
        let (value, pattern) = (self.text(&value), self.text(&pattern));
        let operator = format!("{}~{}", if negated { "!" } else { "" }, if exact { "" } else { "*" });
        Sql::compound(format!("{} {operator} {}", value.operand(), pattern.operand()), Ty::Bool)
    }

    fn cast(&mut self, value: &Sql, to: &DataType, whole: &Expr) -> Sql {
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
    fn whole(&mut self, value: &Sql) -> Sql {
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

    fn rounded(&mut self, name: &str, value: &Expr) -> Sql {
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

    fn trim(&mut self, value: &Sql, side: Option<TrimWhereField>, what: Option<&Sql>) -> Sql {
        let text = self.text(value);
        let side = match side {
            Some(TrimWhereField::Leading) => "leading",
            Some(TrimWhereField::Trailing) => "trailing",
            _ => "both",
        };
        match what {
            None => Sql::atom(format!("trim({side} from {})", text.text), Ty::Text),
            // MySQL takes a whole text away, PostgreSQL any of its characters
            Some(what) if what.constant().is_some_and(|w| w.chars().count() == 1) => {
                Sql::atom(format!("trim({side} {} from {})", what.text, text.text), Ty::Text)
            }
            Some(_) => self.refuse("TRIM(text FROM ..)", "only a single character can be trimmed"),
        }
    }

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

    fn step(&mut self, amount: &Sql, field: Option<&DateTimeField>) -> Option<String> {
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

/// A variable's value.
pub fn of_variable(variable: &super::context::Variable) -> Sql {
    let slot = &variable.slot;
    let mut value = Sql { collation: slot.collation, ..Sql::atom(&variable.quoted, slot.ty) };
    value.postgres = Some(slot.postgres.split('(').next().unwrap_or_default().to_owned());
    value
}

fn of_column(text: &str, column: &super::context::Column, indexed: bool) -> Sql {
    let mut value = Sql { collation: column.collation, indexed, ..Sql::atom(text, column.ty) };
    if column.postgres == "boolean" {
        value.truth = Some(text.to_owned());
        value.text = format!("{text}::int");
    }
    if column.postgres.starts_with("bit") {
        value.text = format!("{text}::bigint");
    }
    value.postgres = Some(column.postgres.split('(').next().unwrap_or_default().to_owned());
    value
}

fn bytes(hex: &str) -> Sql {
    let padded = if hex.len() % 2 == 1 { format!("0{hex}") } else { hex.to_owned() };
    Sql::atom(format!("'\\x{padded}'::bytea"), Ty::Bytes)
}

/// The opposite of a comparison with NULL, or of IS NOT DISTINCT FROM, is one word.
fn negate(condition: &Sql) -> Option<Sql> {
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
