//! Strategy `capture`: the generic trigger takes over, the legacy one is disabled.

use serde_json::json;

use super::draft::{Choice, Draft, locking};
use super::{Object, ObjectKind, Statement};
use crate::error::Error;
use crate::sql_tree::ast;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// What capture does otherwise than the legacy trigger.
pub(super) struct Declared {
    pub differences: Vec<String>,
    pub not_compared: Vec<String>,
}

/// Adds the capture of a table to the plan.
pub(super) fn add(draft: &mut Draft<'_>, choice: &Choice<'_>) -> Result<Declared, Error> {
    let judged = choice.judged;
    let gone = || Error::drift("a trigger of the plan is gone", "Run scan again.");
    let trigger =
        judged.trigger.and_then(|oid| draft.catalogue.triggers.iter().find(|t| t.oid == oid)).ok_or_else(gone)?;
    let relation = draft.relation(trigger.relation)?.clone();
    let write = judged.write.map(|n| &draft.report.collected.writes[n]).ok_or_else(gone)?;
    let insert = write.insert.as_ref().ok_or_else(gone)?;
    let roles = &judged.event_table.and_then(|oid| draft.report.targets.get(&oid)).ok_or_else(gone)?.roles;
    let mut differences = vec![];
    let constant = |column: &Option<String>| {
        let values = column.as_deref().map(|c| insert.values(c)).unwrap_or_default();
        values.first().copied().flatten().and_then(ast::string_constant)
    };
    let mut arguments = vec![quote_literal(&relation.quoted)];
    match constant(&roles.type_column) {
        Some(kind) => arguments.push(format!("aggregate_type => {}", quote_literal(&kind))),
        None => differences.push("aggregate_type is made from the table's name".into()),
    }
    let id = roles
        .id_column
        .as_deref()
        .and_then(|c| insert.values(c).first().copied().flatten())
        .map(ast::without_casts)
        .and_then(ast::column);
    if let Some([_, column]) = id.as_deref() {
        let key = relation.keys.iter().find(|k| k.primary);
        if key.is_none_or(|k| k.columns != [column.clone()]) {
            arguments.push(format!("aggregate_id => array[{}]", quote_literal(column)));
        }
    }
    if let Some(event_type) = constant(&roles.event_type_column) {
        let mapping: Vec<_> = write
            .operations
            .iter()
            .filter(|o| *o != "TRUNCATE")
            .map(|o| {
                let mut entry = json!({"on": o.to_lowercase(), "type": event_type});
                if let Some(name) = constant(&roles.event_name_column) {
                    entry["name"] = name.into();
                }
                entry
            })
            .collect();
        arguments.push(format!("event_types => {}", quote_literal(&json!(mapping).to_string())));
    } else {
        differences.push("event_type is made from the operation: Created, Updated, Deleted".into());
    }
    let silent: Vec<&str> =
        ["INSERT", "UPDATE", "DELETE"].into_iter().filter(|o| !write.operations.iter().any(|w| w == o)).collect();
    if !silent.is_empty() {
        differences.push(format!("{} write events too", silent.join(" and ")));
    }
    differences.push("events go to domain_events.events; the legacy table gets no new rows".into());
    differences.push("the version counts 1, 2, 3 .. within its stream, from the first captured event on".into());
    let written = |c: &&String| insert.columns.contains(*c);
    for column in roles.data_columns.iter().filter(written) {
        differences.push(format!(
            "{column} becomes event_data: {{old_values, new_values}} of the changed columns, all columns of the table"
        ));
    }
    differences.push("an update that changes nothing writes no event".into());
    for column in roles.actor_columns.iter().filter(written) {
        differences
            .push(format!("{column} becomes caused_by: the setting domain_events.actor, else the session's user"));
    }
    differences.push(
        "an event that cannot be written goes to domain_events.capture_failures and the user's statement passes".into(),
    );

    let capture = format!("select domain_events.enable_capture({});", arguments.join(", "));
    let undo = format!("select domain_events.disable_capture({}, true);", quote_literal(&relation.quoted));
    draft.source_locks.insert(relation.quoted.clone());
    draft.objects.push(Object { kind: ObjectKind::Capture, name: relation.quoted.clone(), table: None, before: None });
    let mut enable = locking(ObjectKind::Capture, &relation.quoted, &relation.quoted, capture, Some(undo));
    enable.object.table = None;
    draft.statements.push(enable);
    let (table, name) = (&relation.quoted, quote_ident(&trigger.name));
    let restore = match trigger.enabled.as_str() {
        "A" => format!("alter table {table} enable always trigger {name};"),
        "R" => format!("alter table {table} enable replica trigger {name};"),
        "D" => {
            return Err(Error::usage(
                format!("trigger {} is disabled already", trigger.name),
                "There is nothing to port.",
            ));
        }
        _ => format!("alter table {table} enable trigger {name};"),
    };
    let disable = format!("alter table {table} disable trigger {name};");
    draft.statements.push(locking(ObjectKind::Trigger, &trigger.name, table, disable, Some(restore)));
    draft.finish.push(Statement {
        lock: format!("ACCESS EXCLUSIVE on {table}: readers wait too, for a moment"),
        ..locking(
            ObjectKind::Trigger,
            &trigger.name,
            table,
            format!("drop trigger {name} on {table};"),
            Some(recreate(trigger, table)),
        )
    });
    let not_compared = roles.data_columns.iter().chain(&roles.actor_columns).cloned().collect();
    Ok(Declared { differences, not_compared })
}

/// What brings a dropped trigger back as it was: enabled as before the plan, with its comment.
fn recreate(trigger: &crate::source::Trigger, table: &str) -> String {
    let mut sql = format!("{};", trigger.definition);
    if let Some(comment) = &trigger.comment {
        sql.push_str(&format!(
            "\ncomment on trigger {} on {table} is {};",
            quote_ident(&trigger.name),
            quote_literal(comment)
        ));
    }
    // rollback enables it in its own statement
    sql.push_str(&format!("\nalter table {table} disable trigger {};", quote_ident(&trigger.name)));
    sql
}
