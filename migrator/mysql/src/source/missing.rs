//! What programs use and the source does not hold: mysqldump writes routines only with `--routines`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, TableObject, Visit};

use super::super::ast::{Name, ProgramKind, StatementKind};
use super::super::walk::{self, Leaf};
use super::{Missing, MissingKind, Source, is_builtin, kind_of};

/// Functions and procedures that are called, tables with triggers and tables written to, that are not there.
pub fn find(source: &Source) -> Vec<Missing> {
    let mut used: BTreeMap<(MissingKind, String), (String, Vec<String>)> = BTreeMap::new();
    for sourced in &source.programs {
        let program = &sourced.program;
        let by = format!("{} {}", kind_of(program), program.name.name);
        let mut uses = |kind: MissingKind, name: &str| {
            let entry = used.entry((kind, name.to_ascii_lowercase())).or_insert_with(|| (name.to_owned(), vec![]));
            if !entry.1.contains(&by) {
                entry.1.push(by.clone());
            }
        };
        if let ProgramKind::Trigger(trigger) = &program.kind {
            uses(MissingKind::Table, &trigger.table.name);
        }
        walk::statements(program, &mut |statement| match &statement.kind {
            StatementKind::Call { procedure, .. } => uses(MissingKind::Procedure, &procedure.name),
            StatementKind::Unread { writes, .. } => writes.iter().for_each(|t| uses(MissingKind::Table, &t.name)),
            _ => {}
        });
        walk::leaves(program, &mut |leaf| {
            if let Leaf::Sql(sqlparser::ast::Statement::Insert(insert)) = leaf
                && let TableObject::TableName(name) = &insert.table
                && let Some(name) = object(name)
            {
                uses(MissingKind::Table, &name.name);
            }
            functions(leaf, &mut |name| uses(MissingKind::Function, name));
        });
    }
    used.into_iter()
        .filter(|((kind, _), (name, _))| match kind {
            MissingKind::Function => source.routine(name, true).is_none() && !is_builtin(name),
            MissingKind::Procedure => source.routine(name, false).is_none(),
            MissingKind::Table => {
                source.schema.table(name).is_none() && !source.views.iter().any(|v| v.eq_ignore_ascii_case(name))
            }
        })
        .map(|((kind, _), (name, used_by))| Missing { kind, name, used_by })
        .collect()
}

fn functions(leaf: Leaf<'_>, found: &mut dyn FnMut(&str)) {
    let mut each = |expr: &Expr| {
        if let Expr::Function(function) = expr
            && let Some(name) = object(&function.name)
        {
            found(&name.name);
        }
        ControlFlow::<()>::Continue(())
    };
    // the walk never breaks
    let _: ControlFlow<()> = match leaf {
        Leaf::Expr(expr) => visit(expr, &mut each),
        Leaf::Query(query) => visit(query, &mut each),
        Leaf::Sql(sql) => visit(sql, &mut each),
    };
}

fn visit<T: Visit>(tree: &T, each: &mut dyn FnMut(&Expr) -> ControlFlow<()>) -> ControlFlow<()> {
    sqlparser::ast::visit_expressions(tree, each)
}

/// The name of a table or of a function, with its database.
fn object(name: &ObjectName) -> Option<Name> {
    let mut parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.clone()).collect();
    Some(Name { name: parts.pop()?, database: parts.pop() })
}
