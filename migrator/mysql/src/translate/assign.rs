//! Where values go: variables, columns of NEW, settings of the session.

use super::body::slot;
use super::context::{Slot, Variable};
use super::value::{Sql, Ty, literal};
use super::writer::Writer;
use crate::ast::{Assignment, Target};
use domain_events_sql::quote::quoted;

impl Writer<'_, '_> {
    pub(super) fn assign(&mut self, assignment: &Assignment) {
        let value = self.value(&assignment.value);
        match &assignment.target {
            Target::Variable(name) => match self.t.variable(name).cloned() {
                Some(variable) => {
                    let value = self.t.store(&value, &variable.slot);
                    self.put(&format!("{} := {};", variable.quoted, value.text));
                    self.filled.push(variable.quoted);
                }
                None => self.setting(name, None),
            },
            Target::Row { new: true, column } => {
                let found = self.t.row.and_then(|t| t.column(column)).map(|c| (c.quoted.clone(), c.slot()));
                match found {
                    Some((name, slot)) => {
                        let value = self.t.store(&value, &slot);
                        self.put(&format!("new.{name} := {};", value.text));
                    }
                    None => {
                        self.t.refuse(
                            &format!("NEW.{column}"),
                            "the trigger's table has no such column, or is not known",
                        );
                        self.put(&format!("new.{} := {};", quoted(column), value.text));
                    }
                }
            }
            Target::Row { new: false, column } => {
                let refused = self.t.refuse(&format!("SET OLD.{column}"), "OLD cannot be changed");
                self.put(&format!("perform {};", refused.text));
            }
            Target::Field { variable, field } => {
                let name = format!("{}.{}", quoted(&variable.to_lowercase()), quoted(field));
                self.put(&format!("{name} := {};", value.text));
            }
            Target::User(name) => self.set_user(name, &value),
            Target::System { scope, name } => self.setting(name, scope.as_deref()),
        }
    }

    pub(super) fn set_user(&mut self, name: &str, value: &Sql) {
        let bare = name.to_lowercase();
        self.given.entry(bare.clone()).or_default().push(value.ty);
        if let Some(variable) = self.t.locals.get(&bare).cloned() {
            let value = self.t.store(value, &variable.slot);
            self.put(&format!("{} := {};", variable.quoted, value.text));
            return;
        }
        let setting = self.t.setting(&bare);
        let text = self.t.text(value);
        self.put(&format!("perform set_config({}, coalesce({}, ''), false);", literal(&setting), text.text));
    }

    pub(super) fn setting(&mut self, name: &str, scope: Option<&str>) {
        let written = format!("SET {}{name}", scope.map_or(String::new(), |s| format!("{} ", s.to_uppercase())));
        match name.to_lowercase().as_str() {
            "sql_mode"
            | "sql_notes"
            | "sql_warnings"
            | "character_set_client"
            | "collation_connection"
            | "time_zone"
            | "sql_safe_updates"
            | "max_sp_recursion_depth" => {
                self.t.declare(&written, "left out: PostgreSQL has no such variable");
                self.put("null;");
            }
            _ => {
                let refused = self.t.refuse(&written, "neither a variable of the program nor one that PostgreSQL has");
                self.put(&format!("perform {};", refused.text));
            }
        }
    }

    /// Variables that a row goes to, and what is to be done after it is there.
    pub(super) fn targets(&mut self, targets: &[Target]) -> (Vec<Variable>, Vec<String>) {
        let mut after = vec![];
        let variables = targets
            .iter()
            .map(|target| match target {
                Target::Variable(name) => match self.t.variable(name).cloned() {
                    Some(variable) => variable,
                    None => {
                        self.t.refuse(name, "this variable is not declared");
                        Variable { quoted: quoted(&name.to_lowercase()), slot: slot(Ty::Unknown, "") }
                    }
                },
                Target::Row { new, column } => {
                    let row = if *new { "new" } else { "old" };
                    let found = self.t.row.and_then(|t| t.column(column));
                    match found {
                        Some(found) => Variable { quoted: format!("{row}.{}", found.quoted), slot: found.slot() },
                        None => Variable { quoted: format!("{row}.{}", quoted(column)), slot: slot(Ty::Unknown, "") },
                    }
                }
                Target::User(name) => {
                    let bare = name.to_lowercase();
                    self.given.entry(bare.clone()).or_default().push(Ty::Text);
                    match self.t.locals.get(&bare).cloned() {
                        Some(variable) => variable,
                        None => {
                            let setting = self.t.setting(&bare);
                            let variable = format!("mysql_{}", setting.trim_start_matches("app."));
                            self.extra.insert(variable.clone(), "text".into());
                            after.push(format!(
                                "perform set_config({}, coalesce({variable}, ''), false);",
                                literal(&setting)
                            ));
                            Variable { quoted: variable, slot: slot(Ty::Text, "text") }
                        }
                    }
                }
                Target::Field { variable, field } => Variable {
                    quoted: format!("{}.{}", quoted(&variable.to_lowercase()), quoted(field)),
                    slot: slot(Ty::Unknown, ""),
                },
                Target::System { name, .. } => {
                    self.t.refuse(name, "a variable of MySQL's server");
                    Variable { quoted: quoted(name), slot: slot(Ty::Unknown, "") }
                }
            })
            .collect();
        (variables, after)
    }

    pub(super) fn select_into(&mut self, query: &sqlparser::ast::Query, targets: &[Target]) {
        let (variables, after) = self.targets(targets);
        let names: Vec<String> = variables.iter().map(|v| v.quoted.clone()).collect();
        let slots: Vec<Slot> = variables.iter().map(|v| v.slot.clone()).collect();
        let (text, columns) = self.t.query(query, &slots, &format!(" into {}", names.join(", ")));
        let one_row = is_aggregate(query) || query_has_no_table(query);
        if !one_row && !has_limit(query) {
            self.t.declare("SELECT .. INTO", "of several rows the first is taken; MySQL raises error 1172");
        }
        for (variable, column) in variables.iter().zip(&columns) {
            if let Some(name) = self.user_of(&variable.quoted) {
                self.given.entry(name).or_default().push(column.ty);
            }
        }
        // without a row MySQL leaves the variables as they are
        let kept: Vec<String> = if one_row {
            vec![]
        } else {
            let held = |n: &&String| self.looped || self.filled.contains(n) || n.starts_with("new.");
            names.iter().filter(held).cloned().collect()
        };
        let mut restore = vec![];
        for (n, name) in kept.iter().enumerate() {
            let before = format!("mysql_before_{}", n + 1);
            let postgres =
                variables.iter().find(|v| v.quoted == *name).map(|v| v.slot.postgres.clone()).unwrap_or_default();
            let before = format!("{before}_{}", postgres.split(['(', ' ']).next().unwrap_or("text"));
            self.extra.insert(before.clone(), if postgres.is_empty() { "text".into() } else { postgres });
            self.put(&format!("{before} := {name};"));
            restore.push(format!("{name} := {before};"));
        }
        self.lines.push((self.line, self.t.line));
        self.put(&format!("{text};"));
        self.pass_on(&after, one_row);
        if !one_row || !restore.is_empty() {
            self.not_found(&restore);
        }
        self.filled.extend(names);
    }

    /// What was read goes on to settings, unless no row was there.
    pub(super) fn pass_on(&mut self, after: &[String], one_row: bool) {
        if after.is_empty() || one_row {
            after.iter().for_each(|a| self.put(a));
            return;
        }
        self.put("if found then");
        self.nested(|w| after.iter().for_each(|a| w.put(a)));
        // PERFORM finds something too, as the row was found
        self.put("end if;");
    }

    pub(super) fn user_of(&self, quoted: &str) -> Option<String> {
        self.t.locals.iter().find(|(_, v)| v.quoted == quoted).map(|(n, _)| n.clone())
    }
}

pub(super) fn is_aggregate(query: &sqlparser::ast::Query) -> bool {
    let sqlparser::ast::SetExpr::Select(select) = query.body.as_ref() else { return false };
    let grouped = !matches!(&select.group_by, sqlparser::ast::GroupByExpr::Expressions(by, _) if by.is_empty());
    let text: Vec<String> = select.projection.iter().map(|p| p.to_string().to_uppercase()).collect();
    let aggregates = ["COUNT(", "MAX(", "MIN(", "SUM(", "AVG(", "GROUP_CONCAT(", "JSON_ARRAYAGG(", "JSON_OBJECTAGG("];
    !grouped
        && select.having.is_none()
        && !text.is_empty()
        && text.iter().any(|t| aggregates.iter().any(|a| t.contains(a)))
}

pub(super) fn query_has_no_table(query: &sqlparser::ast::Query) -> bool {
    matches!(query.body.as_ref(), sqlparser::ast::SetExpr::Select(s) if s.from.is_empty() && s.selection.is_none())
}

pub(super) fn has_limit(query: &sqlparser::ast::Query) -> bool {
    query.limit_clause.is_some()
}
