//! IF and its like: which of several values it is.

use super::super::Translator;
use super::super::value::{Sql, Ty};
use super::Call;

impl Translator<'_> {
    pub(in super::super) fn flow_function(&mut self, it: &Call<'_>) -> Option<Sql> {
        Some(match (it.name.as_str(), it.raw.as_slice()) {
            ("IF", [test, yes, no]) => {
                let test = self.expr(test);
                let test = self.condition(&test);
                let results = vec![self.expr(yes), self.expr(no)];
                self.cases(&[test], results)
            }
            ("IFNULL" | "NVL" | "COALESCE", values) if !values.is_empty() => {
                let values: Vec<Sql> = values.iter().map(|v| self.expr(v)).collect();
                let collation = values[0].collation;
                let (values, ty) = self.unify(values);
                Sql { collation, ..self.plain("coalesce", &values, ty) }
            }
            ("NULLIF", [a, b]) => {
                let (a, b) = (self.expr(a), self.expr(b));
                let (x, y) = self.comparable(&a, &b);
                if x.text == a.text {
                    Sql::atom(format!("nullif({}, {})", x.text, y.text), a.ty)
                } else {
                    let equal = format!("{} = {}", x.operand(), y.operand());
                    Sql::atom(format!("case when {equal} then null else {} end", a.text), a.ty)
                }
            }
            ("ISNULL", [value]) => {
                let value = self.expr(value);
                Sql::compound(format!("{} is null", value.truth.clone().unwrap_or_else(|| value.operand())), Ty::Bool)
            }
            ("ELT", [n, values @ ..]) if !values.is_empty() => {
                let n = self.expr(n);
                let n = self.number(&n);
                let values: Vec<Sql> = values.iter().map(|v| self.expr(v)).collect();
                let texts: Vec<String> = values
                    .iter()
                    .enumerate()
                    .map(|(k, v)| format!("when {} then {}", k + 1, self.text(v).text))
                    .collect();
                Sql::atom(format!("case {} {} end", n.operand(), texts.join(" ")), Ty::Text)
            }
            ("FIELD", [value, list @ ..]) if !list.is_empty() => {
                let value = self.expr(value);
                let list: Vec<Sql> = list.iter().map(|v| self.expr(v)).collect();
                let mut text = "case".to_owned();
                for (k, item) in list.iter().enumerate() {
                    text.push_str(&format!(" when {} then {}", self.compare(&value, "=", item).text, k + 1));
                }
                Sql::atom(format!("{text} else 0 end"), Ty::Int)
            }
            ("GREATEST" | "LEAST", values) if values.len() > 1 => {
                let values: Vec<Sql> = values.iter().map(|v| self.expr(v)).collect();
                let (values, ty) = self.unify(values);
                if ty == Ty::Text {
                    self.declare(&it.name, "texts are ordered by the database's collation");
                }
                let chosen = self.plain(&it.name.to_lowercase(), &values, ty);
                // PostgreSQL's skip NULL, MySQL's give it
                let doubtful: Vec<String> = values
                    .iter()
                    .filter(|v| v.literal.is_none())
                    .map(|v| format!("{} is not null", v.operand()))
                    .collect();
                if doubtful.is_empty() {
                    chosen
                } else {
                    Sql::atom(format!("case when {} then {} end", doubtful.join(" and "), chosen.text), ty)
                }
            }
            ("INTERVAL", _) => self.refuse(&it.whole, "INTERVAL() as a function"),
            _ => return None,
        })
    }
}
