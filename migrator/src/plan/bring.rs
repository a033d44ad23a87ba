//! What a plan brings along: functions and triggers translated from another dialect. They do not exist before; apply
//! creates them, rollback drops the functions at once and disables the triggers, which `apply --finish` then drops. Helpers,
//! which PostgreSQL lacks, stay: another plan's functions may call them too, and they do nothing by themselves.

use super::Brought;
use super::draft::{Choice, Draft, locking, lockless, table_object};
use super::{Object, ObjectKind, Statement};
use crate::error::Error;
use crate::judge::{Report, Severity, Strategy};
use crate::marks;
use crate::source::{Catalogue, fold_into};
use domain_events_sql::quote::quote_ident;

impl Brought {
    fn drop_function(&self) -> String {
        let kind = if self.kind == "procedure" { "procedure" } else { "function" };
        format!("drop {kind} {};", self.function)
    }

    fn is(&self, trigger: &str, table: &str) -> bool {
        self.trigger.as_deref() == Some(trigger) && self.table.as_deref() == Some(table)
    }
}

/// Refuses where something of the name is there already.
pub fn expect_absent(catalogue: &Catalogue, brought: &[Brought]) -> Result<(), Error> {
    let mut found = vec![];
    for one in brought.iter().filter(|b| b.kind != "helper" && b.refused.is_empty()) {
        if catalogue.functions.iter().any(|f| f.identity == one.function) {
            found.push(format!("function {}", one.function));
        }
        if let (Some(trigger), Some(table)) = (&one.trigger, &one.table)
            && catalogue
                .triggers
                .iter()
                .any(|t| t.name == *trigger && catalogue.relation(t.relation).is_some_and(|r| r.quoted == *table))
        {
            found.push(format!("trigger {trigger} on {table}"));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        "42710",
        format!("exists already in the target: {}", found.join(", ")),
        "It was ported before, or it is somebody else's. A plan that was rolled back leaves it disabled: `domain-events apply --finish FILE` drops it.",
    ))
}

/// The catalogue as it will be once everything is there, and the report on what was brought alone.
pub fn judged(catalogue: &mut Catalogue, brought: &[Brought]) -> Result<Report, Error> {
    let unread = |name: &str, why: String| {
        Error::refused("42601", format!("the translation of {name} cannot be read: {why}"), "Please report this.")
    };
    for one in brought {
        fold_into(catalogue, &one.sql).map_err(|why| unread(&one.name, why))?;
        // as the server will spell it
        let bare = one.function.split('(').next().unwrap_or_default().to_owned();
        // a trigger's function belongs to the owner of its table, any other to whoever applies the plan
        let of_table = one.table.as_ref().and_then(|t| catalogue.relations.iter().find(|r| r.quoted == *t));
        let role = of_table.map_or_else(|| catalogue.role.clone(), |table| table.owner.clone());
        let made = catalogue.functions.iter_mut().rev().find(|f| f.identity.split('(').next() == Some(bare.as_str()));
        if let Some(function) = made {
            function.identity.clone_from(&one.function);
            function.owner = role;
        }
    }
    for one in brought {
        if let Some(sql) = &one.trigger_sql {
            fold_into(catalogue, sql).map_err(|why| unread(&one.name, why))?;
        }
    }
    let mut report = crate::judge::judge(catalogue);
    report.judged.retain(|judged| {
        let f = &judged.finding;
        brought.iter().any(|b| match (&f.trigger, &f.table) {
            (Some(trigger), Some(table)) => b.is(trigger, table),
            _ => b.trigger.is_none() && f.function.as_deref() == Some(b.function.as_str()),
        })
    });
    for judged in &mut report.judged {
        let finding = &mut judged.finding;
        let own = brought.iter().find(|b| match (&finding.trigger, &finding.table) {
            (Some(trigger), Some(table)) => b.is(trigger, table),
            _ => finding.function.as_deref() == Some(b.function.as_str()),
        });
        let Some(own) = own else { continue };
        finding.declared.clone_from(&own.declared);
        match judged.event_table.and_then(|oid| view(catalogue, oid)) {
            Some(View::OfTheStore) if own.refused.is_empty() => {
                finding.severity = Severity::Info;
                finding.strategy = None;
                finding.allowed = vec![Strategy::Manual];
                finding.reasons.push("the event table is a view of the store, which gives the version".into());
            }
            Some(View::Other) => {
                finding.severity = finding.severity.max(Severity::Warning);
                finding.strategy = Some(Strategy::Manual);
                finding.allowed = vec![Strategy::Manual];
                finding.reasons.push(NOT_THE_STORES.into());
            }
            _ => {}
        }
        if !own.refused.is_empty() && (judged.event_table.is_some() || finding.needs_work()) {
            finding.severity = finding.severity.max(Severity::Warning);
            finding.strategy = Some(Strategy::Manual);
            finding.allowed = vec![Strategy::Manual];
            finding.reasons.extend(own.refused.iter().map(|r| format!("not translated: {r}")));
        }
    }
    Ok(report)
}

const NOT_THE_STORES: &str =
    "the event table is a view that the store did not make: what becomes of a version there is not known";

/// A view that stands for an event table.
enum View {
    /// An adoption made it: inserting appends to the store.
    OfTheStore,
    /// Somebody else did.
    Other,
}

/// What kind of view a relation is, if it is one. The store's has a trigger INSTEAD OF INSERT whose function is the tool's.
fn view(catalogue: &Catalogue, oid: u32) -> Option<View> {
    catalogue.relation(oid).filter(|r| r.kind == "v")?;
    let stores = catalogue.triggers.iter().any(|t| {
        let function = catalogue.function(t.function);
        t.relation == oid
            && t.timing == "INSTEAD OF"
            && t.events.iter().any(|e| e == "INSERT")
            && function.and_then(|f| f.comment.as_deref()).is_some_and(|c| c.starts_with(marks::ADOPTION))
    });
    Some(if stores { View::OfTheStore } else { View::Other })
}

/// What writes events into a view that is not the store's is not created.
pub fn refuse_views(catalogue: &Catalogue, report: &Report, brought: &mut [Brought]) {
    for judged in &report.judged {
        if !matches!(judged.event_table.and_then(|oid| view(catalogue, oid)), Some(View::Other)) {
            continue;
        }
        let f = &judged.finding;
        let own = brought.iter_mut().find(|b| match (&f.trigger, &f.table) {
            (Some(trigger), Some(table)) => b.is(trigger, table),
            _ => f.function.as_deref() == Some(b.function.as_str()),
        });
        if let Some(own) = own.filter(|o| o.refused.is_empty()) {
            own.refused.push(NOT_THE_STORES.into());
        }
    }
}

/// Adds the creation of everything that is not refused and not replaced by capture.
pub(super) fn add(draft: &mut Draft<'_>, chosen: &[Choice<'_>], brought: &[Brought]) {
    if brought.is_empty() {
        return;
    }
    let captured = |b: &Brought| {
        chosen.iter().any(|c| {
            let f = &c.judged.finding;
            c.strategy == Strategy::Capture
                && f.trigger.as_deref().zip(f.table.as_deref()).is_some_and(|(trigger, table)| b.is(trigger, table))
        })
    };
    let created: Vec<&Brought> = brought.iter().filter(|b| b.refused.is_empty() && !captured(b)).collect();
    // what capture would do to a trigger that will not be there
    let absent = |s: &Statement| {
        s.object.kind == ObjectKind::Trigger
            && brought.iter().any(|b| s.object.table.as_deref().is_some_and(|table| b.is(&s.object.name, table)))
    };
    draft.statements.retain(|s| !absent(s));
    draft.finish.retain(|s| !absent(s));
    draft.objects.retain(|o| {
        !brought.iter().any(|b| match o.kind {
            ObjectKind::Trigger => o.table.as_deref().is_some_and(|table| b.is(&o.name, table)),
            ObjectKind::Function => o.name == b.function,
            _ => false,
        })
    });
    let mut functions = vec![];
    for one in &created {
        if one.kind == "helper" {
            functions.push(lockless(ObjectKind::Function, &one.function, one.sql.clone(), None));
            continue;
        }
        draft.objects.push(Object {
            kind: ObjectKind::Function,
            name: one.function.clone(),
            table: None,
            before: None,
        });
        // a trigger's function goes with the trigger
        let undo = one.trigger.is_none().then(|| one.drop_function());
        functions.push(lockless(ObjectKind::Function, &one.function, one.sql.clone(), undo));
    }
    draft.statements.splice(0..0, functions);
    for one in &created {
        let (Some(trigger), Some(table), Some(sql)) = (&one.trigger, &one.table, &one.trigger_sql) else { continue };
        draft.source_locks.insert(table.clone());
        if let Some(relation) = draft.catalogue.relations.iter().find(|r| r.quoted == *table) {
            draft.objects.push(table_object(relation));
        }
        draft.objects.push(Object {
            kind: ObjectKind::Trigger,
            name: trigger.clone(),
            table: Some(table.clone()),
            before: None,
        });
        let name = quote_ident(trigger);
        let disable = format!("alter table {table} disable trigger {name};");
        draft.statements.push(locking(ObjectKind::Trigger, trigger, table, sql.clone(), Some(disable)));
        draft.clear.push(Statement {
            lock: format!("ACCESS EXCLUSIVE on {table}: readers wait too, for a moment"),
            ..locking(
                ObjectKind::Trigger,
                trigger,
                table,
                format!("drop trigger {name} on {table};\n{}", one.drop_function()),
                None,
            )
        });
    }
}
