//! Every piece of SQL within a program, for those who look for something in all of them.

use super::ast::{DeclarationKind, Expression, ForRange, Program, ProgramKind, Statement, StatementKind};
use sqlparser::ast::{Expr, Query};

/// A tree of sqlparser within a program.
#[derive(Debug, Clone, Copy)]
pub enum Leaf<'p> {
    /// An expression.
    Expr(&'p Expr),
    /// A query.
    Query(&'p Query),
    /// A statement.
    Sql(&'p sqlparser::ast::Statement),
}

/// Visits the statements of a program in order, those inside before those after.
pub fn statements<'p>(program: &'p Program, visit: &mut dyn FnMut(&'p Statement)) {
    statement(&program.body, visit);
}

/// Visits a statement and those inside it.
pub fn statement<'p>(of: &'p Statement, visit: &mut dyn FnMut(&'p Statement)) {
    visit(of);
    match &of.kind {
        StatementKind::Block(block) => {
            for declaration in &block.declarations {
                if let DeclarationKind::Handler { body, .. } = &declaration.kind {
                    statement(body, visit);
                }
            }
            all(&block.body, visit);
        }
        StatementKind::If { branches, otherwise } | StatementKind::Case { branches, otherwise, .. } => {
            branches.iter().for_each(|b| all(&b.body, visit));
            otherwise.iter().for_each(|body| all(body, visit));
        }
        StatementKind::Loop { body, .. }
        | StatementKind::While { body, .. }
        | StatementKind::Repeat { body, .. }
        | StatementKind::For { body, .. } => {
            all(body, visit);
        }
        _ => {}
    }
}

fn all<'p>(body: &'p [Statement], visit: &mut dyn FnMut(&'p Statement)) {
    body.iter().for_each(|s| statement(s, visit));
}

/// Visits the trees of a program that could be read.
pub fn leaves<'p>(program: &'p Program, visit: &mut dyn FnMut(Leaf<'p>)) {
    if let ProgramKind::Routine(routine) = &program.kind {
        routine.parameters.iter().filter_map(|p| p.default.as_ref()).for_each(|e| expression(e, visit));
    }
    statements(program, &mut |s| own(s, visit));
}

fn expression<'p>(of: &'p Expression, visit: &mut dyn FnMut(Leaf<'p>)) {
    if let Ok(tree) = &of.tree {
        visit(Leaf::Expr(tree));
    }
}

/// The trees of a statement itself, not of those inside it.
fn own<'p>(of: &'p Statement, visit: &mut dyn FnMut(Leaf<'p>)) {
    match &of.kind {
        StatementKind::Block(block) => {
            for declaration in &block.declarations {
                match &declaration.kind {
                    DeclarationKind::Variables { default: Some(default), .. } => expression(default, visit),
                    DeclarationKind::Cursor { query: Ok(query), .. } => visit(Leaf::Query(query)),
                    _ => {}
                }
            }
        }
        StatementKind::Set(assignments) => assignments.iter().for_each(|a| expression(&a.value, visit)),
        StatementKind::If { branches, .. } => branches.iter().for_each(|b| expression(&b.condition, visit)),
        StatementKind::Case { operand, branches, .. } => {
            operand.iter().for_each(|e| expression(e, visit));
            branches.iter().for_each(|b| expression(&b.condition, visit));
        }
        StatementKind::While { condition, .. } => expression(condition, visit),
        StatementKind::Repeat { until, .. } => expression(until, visit),
        StatementKind::For { over, .. } => match over {
            ForRange::Numbers { from, to, .. } => {
                expression(from, visit);
                expression(to, visit);
            }
            ForRange::Cursor { arguments, .. } => arguments.iter().for_each(|e| expression(e, visit)),
            ForRange::Query(query) => visit(Leaf::Query(query)),
        },
        StatementKind::Return(value) => expression(value, visit),
        StatementKind::Open { arguments, .. }
        | StatementKind::Call { arguments, .. }
        | StatementKind::Do(arguments) => {
            arguments.iter().for_each(|e| expression(e, visit));
        }
        StatementKind::Signal(signal) | StatementKind::Resignal(signal) => {
            signal.items.iter().for_each(|(_, e)| expression(e, visit));
        }
        StatementKind::GetDiagnostics(diagnostics) => diagnostics.condition.iter().for_each(|e| expression(e, visit)),
        StatementKind::SelectInto { query, .. } => visit(Leaf::Query(query)),
        StatementKind::Sql(sql) => visit(Leaf::Sql(sql)),
        StatementKind::Prepare { from, .. } => expression(from, visit),
        StatementKind::Execute { using, .. } => using.iter().for_each(|e| expression(e, visit)),
        StatementKind::ExecuteImmediate { text, using } => {
            expression(text, visit);
            using.iter().for_each(|e| expression(e, visit));
        }
        StatementKind::Leave(_)
        | StatementKind::Iterate(_)
        | StatementKind::Close(_)
        | StatementKind::Fetch { .. }
        | StatementKind::Deallocate(_)
        | StatementKind::Transaction(_)
        | StatementKind::Loop { .. }
        | StatementKind::Empty
        | StatementKind::Unread { .. } => {}
    }
}
