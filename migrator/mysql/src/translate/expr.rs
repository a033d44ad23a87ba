//! Expressions: which of them it is, and constants.

use sqlparser::ast::{CastKind, DataType, Expr, InTarget, TrimWhereField, Value};

use super::Translator;
use super::value::{Collation, Sql, Ty, literal};

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
            Expr::In { expr: value, target: InTarget::List(list), negated, global: false } => {
                let value = self.expr(value);
                let list: Vec<Sql> = list.iter().map(|i| self.expr(i)).collect();
                self.among(&value, &list, *negated)
            }
            Expr::In { expr: value, target: InTarget::Subquery(subquery), negated, global: false } => {
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
}

fn bytes(hex: &str) -> Sql {
    let padded = if hex.len() % 2 == 1 { format!("0{hex}") } else { hex.to_owned() };
    Sql::atom(format!("'\\x{padded}'::bytea"), Ty::Bytes)
}
