//! Under which operations of a trigger a statement can run.

use std::collections::HashMap;

use serde_json::Value;

use crate::source::{Catalogue, Trigger};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Body, Guard, StatementType};

/// What PL/pgSQL's TG_ variables hold in one firing of a trigger.
#[derive(Debug, Clone)]
pub struct Firing<'a> {
    /// INSERT, UPDATE, DELETE or TRUNCATE.
    pub operation: &'a str,
    trigger: &'a Trigger,
    table: &'a str,
    schema: &'a str,
}

/// One firing per operation of the trigger.
pub fn firings<'a>(trigger: &'a Trigger, catalogue: &'a Catalogue) -> Vec<Firing<'a>> {
    let relation = catalogue.relation(trigger.relation);
    let (table, schema) = relation.map_or(("", ""), |r| (r.name.as_str(), r.schema.as_str()));
    trigger.events.iter().map(|operation| Firing { operation, trigger, table, schema }).collect()
}

impl Firing<'_> {
    /// What a condition comes to, as far as the firing alone decides it.
    pub fn decides(&self, condition: &str) -> Option<bool> {
        self.truth(&ast::parse_expression(condition).ok()?)
    }

    fn truth(&self, expr: &Value) -> Option<bool> {
        if let Some(test) = ast::node(expr, "BoolExpr") {
            let args: Vec<_> = ast::list(test, "args").iter().map(|a| self.truth(a)).collect();
            return match test.get("boolop").and_then(Value::as_i64) {
                Some(1) if args.contains(&Some(false)) => Some(false),
                Some(1) => args.into_iter().try_fold(true, |all, a| a.map(|a| all && a)),
                Some(2) if args.contains(&Some(true)) => Some(true),
                Some(2) => args.into_iter().try_fold(false, |any, a| a.map(|a| any || a)),
                Some(3) => args.first().copied().flatten().map(|a| !a),
                _ => None,
            };
        }
        let test = ast::node(expr, "AExpr")?;
        let left = self.value(test.get("lexpr")?)?;
        let right = test.get("rexpr")?;
        let items = ast::node(right, "List").map(|l| ast::list(l, "items"));
        let among: Option<Vec<String>> = match items {
            Some(items) => items.iter().map(|i| self.value(i)).collect(),
            None => self.value(right).map(|v| vec![v]),
        };
        let equal = among?.contains(&left);
        // IS [NOT] DISTINCT FROM is written with "=" too: AEXPR_DISTINCT, AEXPR_NOT_DISTINCT
        match test.get("kind").and_then(Value::as_i64) {
            Some(4) => return Some(!equal),
            Some(5) => return Some(equal),
            _ => {}
        }
        match ast::operator(test) {
            "=" => Some(equal),
            "<>" | "!=" => Some(!equal),
            _ => None,
        }
    }

    fn value(&self, expr: &Value) -> Option<String> {
        if let Some(constant) = ast::string_constant(expr) {
            return Some(constant);
        }
        let column = ast::column(ast::without_casts(expr))?;
        let [name] = column.as_slice() else { return None };
        Some(match name.as_str() {
            "tg_op" => self.operation.to_owned(),
            "tg_table_name" | "tg_relname" => self.table.to_owned(),
            "tg_table_schema" => self.schema.to_owned(),
            "tg_name" => self.trigger.name.clone(),
            "tg_when" => self.trigger.timing.clone(),
            "tg_level" => if self.trigger.row { "ROW" } else { "STATEMENT" }.to_owned(),
            _ => return None,
        })
    }

    /// Which statements can run in this firing, and whether that depends on anything but the firing; a statement that
    /// cannot is none.
    pub fn reaches(&self, body: &Body) -> Vec<Option<Conditional>> {
        // a condition stands on the way to many statements, and is read once
        let mut decided: HashMap<&str, Option<bool>> = HashMap::new();
        let (mut returned, mut may_have_returned) = (false, false);
        let mut reached = vec![];
        for statement in &body.statements {
            let (mut allowed, mut demanded) = (true, true);
            for Guard { condition, negated } in &statement.guards {
                let truth = *decided.entry(condition).or_insert_with(|| self.decides(condition));
                allowed &= truth.is_none_or(|t| t != *negated);
                demanded &= truth.is_some_and(|t| t != *negated);
            }
            let conditional = !demanded || statement.looped || may_have_returned;
            reached.push((allowed && !returned).then_some(Conditional(conditional)));
            if statement.kind == StatementType::Return {
                returned |= demanded;
                may_have_returned |= allowed;
            }
        }
        reached
    }
}

/// Whether more than the firing decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditional(pub bool);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firing_decides_what_it_knows_and_nothing_else() {
        let trigger =
            Trigger { events: vec!["INSERT".into(), "DELETE".into()], timing: "AFTER".into(), ..Trigger::default() };
        let catalogue = Catalogue::default();
        let firing = firings(&trigger, &catalogue).remove(1);
        assert_eq!(firing.decides("TG_OP = 'DELETE'"), Some(true));
        assert_eq!(firing.decides("tg_op in ('INSERT', 'UPDATE')"), Some(false));
        assert_eq!(firing.decides("not (tg_op <> 'DELETE')"), Some(true));
        assert_eq!(firing.decides("tg_op = 'INSERT' and old.x = 1"), Some(false));
        assert_eq!(firing.decides("tg_op = 'DELETE' and old.x = 1"), None);
        assert_eq!(firing.decides("old.x is null"), None);
        assert_eq!(firing.decides("tg_op is distinct from 'DELETE'"), Some(false));
        assert_eq!(firing.decides("tg_op is not distinct from 'DELETE'"), Some(true));
        assert_eq!(firing.decides("tg_op = any (array['DELETE'])"), None);
    }
}
