//! Strategy `rewrite`: the legacy function with `next_aggregate_version` in the place of its version expression.

use std::collections::BTreeMap;

use super::draft::{Choice, Draft, asked, lockless, may_ask, plain};
use super::splice::{self, Cut};
use super::{ObjectKind, shim};
use crate::error::Error;
use crate::source::Relation;
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::replace_source;
use domain_events_sql::quote::quote_literal;

/// Adds the rewritten functions of one event table to the plan.
pub(super) fn add(draft: &mut Draft<'_>, oid: u32, choices: &[&Choice<'_>]) -> Result<(), Error> {
    let table = draft.root(oid)?.clone();
    shim::register(draft, oid, &table)?;
    draft.event_locks.insert(table.quoted.clone());
    let mut functions: BTreeMap<u32, Vec<Cut>> = BTreeMap::new();
    for choice in choices {
        let Some(function) = choice.judged.function else { continue };
        let cut = cut(draft, choice, &table).map_err(|reason| refuse(draft, function, &reason))?;
        let cuts = functions.entry(function).or_default();
        // one function under several triggers is one function
        if !cuts.contains(&cut) {
            cuts.push(cut);
        }
    }
    for (oid, cuts) in functions {
        let Some(function) = draft.catalogue.function(oid) else { continue };
        let source = splice::apply(&function.source, cuts).map_err(|reason| refuse(draft, oid, &reason))?;
        let definition = replace_source(&function.definition, &function.source, &source)
            .ok_or_else(|| refuse(draft, oid, "its text cannot be replaced"))?;
        let (identity, definer, owner) = (function.identity.clone(), function.security_definer, function.owner.clone());
        let old = function.definition.clone();
        for trigger in draft.catalogue.triggers.iter().filter(|t| t.function == oid) {
            if let Some(relation) = draft.catalogue.relation(trigger.relation) {
                // a session in the middle of the old function holds this table
                draft.source_locks.insert(relation.quoted.clone());
                draft.objects.push(super::draft::trigger_object(trigger, relation));
            }
        }
        grants(draft, &table, definer.then_some(owner))?;
        draft.statements.push(lockless(ObjectKind::Function, &identity, definition, Some(old)));
    }
    Ok(())
}

fn refuse(draft: &Draft<'_>, function: u32, reason: &str) -> Error {
    let name = draft.catalogue.function(function).map(|f| f.identity.clone()).unwrap_or_default();
    Error::usage(format!("{name} cannot be rewritten: {reason}"), "Choose shim for its triggers.")
}

fn cut(draft: &Draft<'_>, choice: &Choice<'_>, table: &Relation) -> Result<Cut, String> {
    let collected = &draft.report.collected;
    let write = choice.judged.write.map(|n| &collected.writes[n]).ok_or("the statement was not read")?;
    let insert = write.insert.as_ref().ok_or("the statement is not an INSERT")?;
    let statement = collected.statement(write);
    let source =
        &choice.judged.function.and_then(|f| draft.catalogue.function(f)).ok_or("the function is gone")?.source;
    let roles = choice
        .judged
        .event_table
        .and_then(|t| draft.report.targets.get(&t))
        .map(|t| &t.roles)
        .ok_or("no event table")?;
    let value = |column: &Option<String>| {
        let column = column.as_deref().ok_or("the stream is not known")?;
        insert.values(column).into_iter().flatten().next().cloned().ok_or("an expression is not to be seen")
    };
    let text = |column: &Option<String>| -> Result<String, String> {
        let expr = value(column)?;
        let text = &statement.sql[splice::item(&statement.sql, &expr)?];
        Ok(if ast::node(&expr, "AConst").is_some() && ast::string_constant(&expr).is_some() {
            text.to_owned()
        } else {
            format!("({text})::text")
        })
    };
    let stream = choice.judged.event_table.and_then(|oid| draft.streams.get(&oid)).ok_or("the stream is not known")?;
    let values = stream.columns.iter().map(|c| text(&Some(c.clone()))).collect::<Result<Vec<_>, _>>()?;
    let named = asked(table, &values);
    let range = splice::item(&statement.sql, &value(&roles.version_column)?)?;
    let at = splice::locate(source, statement)?;
    let call = format!("domain_events.next_aggregate_version({named}, {}::regclass)", quote_literal(&table.quoted));
    Ok(Cut { start: at + range.start, end: at + range.end, text: call })
}

/// Whoever may insert must be able to ask for the version, unless the function runs with its owner's rights.
fn grants(draft: &mut Draft<'_>, table: &Relation, definer: Option<String>) -> Result<(), Error> {
    let wanted = match definer {
        Some(owner) => vec![plain(&owner)],
        None => table.inserters.iter().cloned().chain([plain(&table.owner)]).collect(),
    };
    wanted.into_iter().try_for_each(|role| may_ask(draft, table, &role))
}
