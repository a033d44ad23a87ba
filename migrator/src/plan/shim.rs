//! Strategy `shim`: the event table itself assigns the version, whoever inserts.

use super::draft::{Draft, asked, locking, lockless, may_ask, plain};
use super::{Object, ObjectKind};
use crate::error::Error;
use crate::marks;
use crate::source::{Function, Relation};
use domain_events_sql::quote::{quote_body, quote_ident, quote_literal};

/// Sorts behind every name of letters: BEFORE triggers fire by name, and the last one has the last word.
pub const TRIGGER: &str = "~domain_events_version";

/// Adds the shim of an event table to the plan.
pub(super) fn add(draft: &mut Draft<'_>, oid: u32) -> Result<(), Error> {
    let table = draft.root(oid)?.clone();
    let last = draft.catalogue.triggers.iter().find(|t| {
        let fires = t.relation == table.oid && t.timing == "BEFORE" && t.row && t.enabled != "D";
        fires && t.events.iter().any(|e| e == "INSERT") && t.name.as_str() > TRIGGER
    });
    if let Some(last) = last {
        return Err(Error::usage(
            format!("trigger {} of {} fires after the shim would, and has the last word", last.name, table.quoted),
            format!("Rename it so that it sorts before {TRIGGER}, or leave its writers to strategy manual."),
        ));
    }
    register(draft, oid, &table)?;
    draft.event_locks.insert(table.quoted.clone());
    may_ask(draft, &table, &plain(&table.owner))?;
    let name = function_name(draft, &table);
    let identity = format!("{}.{}()", plain(&table.schema), plain(&name));
    let create = function(draft, oid, &table, &identity);
    let ours = existing(draft, &identity);
    if let Some(function) = ours {
        draft.objects.push(super::draft::function_object(function));
    } else {
        draft.objects.push(Object { kind: ObjectKind::Function, name: identity.clone(), table: None, before: None });
    }
    draft.statements.push(lockless(ObjectKind::Function, &identity, create, None));
    let drop_function = format!("drop function {identity};");
    let disable = format!("alter table {} disable trigger {};", table.quoted, quote_ident(TRIGGER));
    let left = draft.catalogue.triggers.iter().find(|t| t.relation == table.oid && t.name == TRIGGER);
    let (sql, object) = match left {
        // left disabled by a rollback
        Some(trigger) => (
            format!("alter table {} enable trigger {};", table.quoted, quote_ident(TRIGGER)),
            super::draft::trigger_object(trigger, &table),
        ),
        None => (
            format!(
                "create trigger {} before insert on {}\n  for each row execute function {identity};",
                quote_ident(TRIGGER),
                table.quoted
            ),
            Object { kind: ObjectKind::Trigger, name: TRIGGER.into(), table: Some(table.quoted.clone()), before: None },
        ),
    };
    draft.objects.push(object);
    draft.statements.push(locking(ObjectKind::Trigger, TRIGGER, &table.quoted, sql, Some(disable)));
    draft.clear.push(super::Statement {
        lock: format!("ACCESS EXCLUSIVE on {}: readers wait too, for a moment", table.quoted),
        ..locking(
            ObjectKind::Trigger,
            TRIGGER,
            &table.quoted,
            format!("drop trigger {} on {};\n{drop_function}", quote_ident(TRIGGER), table.quoted),
            None,
        )
    });
    Ok(())
}

/// Makes the event table known to `next_aggregate_version`, unless it is.
pub(super) fn register(draft: &mut Draft<'_>, oid: u32, table: &Relation) -> Result<(), Error> {
    let decided = draft.stream(oid)?.clone();
    let Some(version) = draft.report.targets[&oid].roles.version_column.clone() else {
        return Err(Error::refused(
            "42P16",
            format!("the version of {} is not known", table.quoted),
            "Leave it to strategy manual.",
        ));
    };
    if let Some(known) = draft.catalogue.registered(table.oid) {
        if known.stream_columns == decided.columns && known.version_column == version {
            return Ok(());
        }
        return Err(Error::usage(
            format!(
                "{} is registered by ({}) and {}, the plan says ({}) and {version}",
                table.quoted,
                known.stream_columns.join(", "),
                known.version_column,
                decided.columns.join(", ")
            ),
            format!(
                "If that registration is not needed: select domain_events.unregister_event_table({});",
                quote_literal(&table.quoted)
            ),
        ));
    }
    let call = format!("select {};", registration(&table.quoted, &decided.columns, decided.keyed, &version));
    let undo = format!("select domain_events.unregister_event_table({});", quote_literal(&table.quoted));
    draft.statements.push(lockless(ObjectKind::EventTable, &table.quoted, call, Some(undo)));
    Ok(())
}

/// The call that makes a table known to the store. Where the key follows once the data allows it, `register_event_table()` would
/// demand it.
pub fn registration(table: &str, stream: &[String], keyed: bool, version: &str) -> String {
    let function = if keyed { "register_event_table" } else { "_register_event_table" };
    let columns: Vec<String> = stream.iter().map(|c| quote_literal(c)).collect();
    format!(
        "domain_events.{function}({}, array[{}], {})",
        quote_literal(table),
        columns.join(", "),
        quote_literal(version)
    )
}

fn existing<'a>(draft: &Draft<'a>, identity: &str) -> Option<&'a Function> {
    draft.catalogue.functions.iter().find(|f| f.identity == identity)
}

/// A name in the event table's schema that is free, or ours already.
fn function_name(draft: &Draft<'_>, table: &Relation) -> String {
    let mut end = table.name.len().min(40);
    while !table.name.is_char_boundary(end) {
        end -= 1;
    }
    let base = format!("{}_assign_version", &table.name[..end]);
    let taken = |name: &str| {
        draft.catalogue.functions.iter().any(|f| {
            f.schema == table.schema
                && f.name == name
                && !f.comment.as_deref().unwrap_or_default().starts_with(marks::SHIM)
        })
    };
    if !taken(&base) {
        return base;
    }
    (2..).map(|n| format!("{base}_{n}")).find(|name| !taken(name)).unwrap_or(base)
}

fn function(draft: &Draft<'_>, oid: u32, table: &Relation, identity: &str) -> String {
    let version = draft.report.targets[&oid].roles.version_column.as_deref().unwrap_or_default();
    let stream: &[String] = draft.streams.get(&oid).map(|d| d.columns.as_slice()).unwrap_or_default();
    // by the type's output function: a cast could be a user's
    let values: Vec<String> = stream.iter().map(|c| format!("format('%s', new.{})", plain(c))).collect();
    let named = asked(table, &values);
    let present: Vec<String> = stream.iter().map(|c| format!("new.{} is not null", plain(c))).collect();
    let event_table = if table.kind == "p" { "pg_catalog.pg_partition_root(tg_relid)" } else { "tg_relid" };
    // with the rights of the table's owner and no other's: whoever may insert needs no right on the store, and the owner,
    // who could change the table's types, gains none
    let owner = if draft.catalogue.role == table.owner {
        String::new()
    } else {
        format!("\nalter function {identity} owner to {};", plain(&table.owner))
    };
    let body = format!(
        "\n\
         begin\n  \
           -- An event without a stream is left to the table's own constraints.\n  \
           if {} then\n    \
             new.{} := domain_events.next_aggregate_version({named}, {event_table}::regclass);\n  \
           end if;\n  \
           return new;\n\
         end\n",
        present.join(" and "),
        plain(version),
    );
    format!(
        "create or replace function {identity} returns trigger\n\
         language plpgsql security definer set search_path = pg_catalog, pg_temp\n\
         as {};\n\
         revoke all on function {identity} from public;\n\
         comment on function {identity} is {};{owner}",
        quote_body("shim", &body),
        quote_literal(&format!("{} {}{}", marks::SHIM, table.quoted, marks::HELPER)),
    )
}
