//! What a program does, as far as its translation depends on it.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Visit, Visitor};

use super::context::Known;
use crate::ast::{ForRange, Program, ProgramKind, Statement, StatementKind, Target, TriggerEvent};

struct Variables<'v>(&'v mut Vec<(String, bool)>);

impl Visitor for Variables<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> std::ops::ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some(bare) = name.value.strip_prefix('@').filter(|b| !b.starts_with('@'))
        {
            self.0.push((bare.trim_matches('`').to_lowercase(), false));
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// User variables in the order of the text: name in lower case, and whether it is assigned there.
pub fn user_variables(program: &Program) -> Vec<(String, bool)> {
    let mut found = vec![];
    walk(&program.body, &mut |statement| in_statement(statement, &mut found));
    found
}

/// Calls `visit` for a statement and all in it.
pub fn walk<'s>(statement: &'s Statement, visit: &mut dyn FnMut(&'s Statement)) {
    visit(statement);
    let mut all = |list: &'s [Statement]| list.iter().for_each(|s| walk(s, visit));
    match &statement.kind {
        StatementKind::Block(block) => {
            all(&block.body);
            for declaration in &block.declarations {
                if let crate::ast::DeclarationKind::Handler { body, .. } = &declaration.kind {
                    all(std::slice::from_ref(body));
                }
            }
        }
        StatementKind::If { branches, otherwise } | StatementKind::Case { branches, otherwise, .. } => {
            branches.iter().for_each(|b| all(&b.body));
            otherwise.iter().for_each(|b| all(b));
        }
        StatementKind::Loop { body, .. }
        | StatementKind::While { body, .. }
        | StatementKind::Repeat { body, .. }
        | StatementKind::For { body, .. } => all(body),
        _ => {}
    }
}

pub(super) fn assigns_new(body: &Statement) -> bool {
    let mut found = false;
    walk(body, &mut |s| {
        let row = |t: &Target| matches!(t, Target::Row { .. });
        found |= match &s.kind {
            StatementKind::Set(assignments) => assignments.iter().any(|a| row(&a.target)),
            StatementKind::SelectInto { targets, .. } | StatementKind::Fetch { into: targets, .. } => {
                targets.iter().any(row)
            }
            // what is not read may do anything
            StatementKind::Unread { .. } => true,
            _ => false,
        };
    });
    found
}

pub(super) fn writes(body: &Statement) -> bool {
    let mut found = false;
    walk(body, &mut |s| {
        found |= match &s.kind {
            StatementKind::Sql(sql) => matches!(
                sql.as_ref(),
                sqlparser::ast::Statement::Insert(_)
                    | sqlparser::ast::Statement::Update(_)
                    | sqlparser::ast::Statement::Delete(_)
            ),
            StatementKind::Call { .. } => true,
            _ => false,
        };
    });
    found
}

pub(super) fn returns_reads(program: &Program) -> bool {
    program.text.to_uppercase().contains("SELECT")
}

/// Routines of the source whose names are called.
pub(super) fn calls(program: &Program, known: &Known) -> BTreeSet<String> {
    let text = program.text.to_lowercase();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').collect();
    let own = program.name.name.to_lowercase();
    known.routines.keys().filter(|n| words.contains(n.as_str()) && **n != own).cloned().collect()
}

pub(super) fn in_statement(statement: &Statement, found: &mut Vec<(String, bool)>) {
    let read = |e: &crate::ast::Expression, found: &mut Vec<(String, bool)>| {
        if let Ok(tree) = &e.tree {
            let _ = tree.visit(&mut Variables(found));
        }
    };
    let written = |targets: &[Target], found: &mut Vec<(String, bool)>| {
        found.extend(targets.iter().filter_map(|t| match t {
            Target::User(name) => Some((name.to_lowercase(), true)),
            _ => None,
        }));
    };
    match &statement.kind {
        StatementKind::Set(assignments) => {
            for assignment in assignments {
                read(&assignment.value, found);
                written(std::slice::from_ref(&assignment.target), found);
            }
        }
        StatementKind::SelectInto { query, targets } => {
            let _ = query.visit(&mut Variables(found));
            written(targets, found);
        }
        StatementKind::Fetch { into, .. } => written(into, found),
        StatementKind::GetDiagnostics(diagnostics) => {
            let targets: Vec<Target> = diagnostics.items.iter().map(|(t, _)| t.clone()).collect();
            written(&targets, found);
        }
        StatementKind::Sql(sql) => {
            let _ = sql.visit(&mut Variables(found));
        }
        StatementKind::If { branches, .. } => branches.iter().for_each(|b| read(&b.condition, found)),
        StatementKind::Case { operand, branches, .. } => {
            operand.iter().for_each(|o| read(o, found));
            branches.iter().for_each(|b| read(&b.condition, found));
        }
        StatementKind::While { condition, .. } => read(condition, found),
        StatementKind::Repeat { until, .. } => read(until, found),
        StatementKind::Return(value) => read(value, found),
        StatementKind::Do(values) | StatementKind::Call { arguments: values, .. } => {
            values.iter().for_each(|v| read(v, found))
        }
        StatementKind::Signal(signal) | StatementKind::Resignal(signal) => {
            signal.items.iter().for_each(|(_, v)| read(v, found))
        }
        StatementKind::Prepare { from, .. } => read(from, found),
        StatementKind::ExecuteImmediate { text, .. } => read(text, found),
        StatementKind::Execute { using, .. } => using.iter().for_each(|v| read(v, found)),
        StatementKind::For { over: ForRange::Query(query), .. } => {
            let _ = query.visit(&mut Variables(found));
        }
        StatementKind::For { over: ForRange::Numbers { from, to, .. }, .. } => {
            [from, to].into_iter().for_each(|v| read(v, found))
        }
        StatementKind::Block(block) => {
            for declaration in &block.declarations {
                use crate::ast::DeclarationKind;
                match &declaration.kind {
                    DeclarationKind::Variables { default: Some(default), .. } => read(default, found),
                    DeclarationKind::Cursor { query: Ok(query), .. } => {
                        let _ = query.visit(&mut Variables(found));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// NEW under DELETE, OLD under INSERT: PostgreSQL gives NULL, MySQL refuses the trigger.
pub(super) fn missing_row(program: &Program) -> Option<(&'static str, &'static str)> {
    let ProgramKind::Trigger(trigger) = &program.kind else { return None };
    let text = program.text.to_uppercase();
    if trigger.events == [TriggerEvent::Delete] && text.contains("NEW.") {
        return Some((
            "NEW under DELETE",
            "it is NULL, as there is no new row: a fault of the trigger that is left as it is",
        ));
    }
    if trigger.events == [TriggerEvent::Insert] && text.contains("OLD.") {
        return Some((
            "OLD under INSERT",
            "it is NULL, as there is no old row: a fault of the trigger that is left as it is",
        ));
    }
    None
}
