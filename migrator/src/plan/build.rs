//! Making a plan. Pure: the same catalogue and the same choices give the same steps, which is how `apply` finds drift.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Choice, Choices, Draft};
use super::{EventTable, FORMAT, Plan, Port, Step, adopt, bring, calls, capture, rewrite, shim, stream};
use crate::adopt::Legacy;
use crate::error::Error;
use crate::judge::{Judged, Report, Strategy, recognise};
use crate::source::Catalogue;

/// Makes a plan of everything that needs work.
pub fn build(catalogue: &Catalogue, report: &Report, choices: &Choices, plan_id: &str) -> Result<Plan, Error> {
    let chosen = choose(catalogue, report, choices)?;
    let mut draft = Draft {
        catalogue,
        report,
        objects: vec![],
        source_locks: BTreeSet::new(),
        event_locks: BTreeSet::new(),
        statements: vec![],
        finish: vec![],
        clear: vec![],
        streams: BTreeMap::new(),
    };
    let adopted = adopt::chosen(&draft, choices)?;
    let event_tables = event_tables(&mut draft, &chosen, choices, &adopted)?;
    let mut ports: Vec<Port> = chosen.iter().map(port).collect();
    for (choice, port) in chosen.iter().zip(&mut ports).filter(|(c, _)| c.strategy == Strategy::Shim) {
        let others = report.judged.iter().filter(|j| j.event_table == choice.judged.event_table);
        let kept = others.filter(|j| {
            let same = chosen.iter().any(|c| c.judged.write == j.write && c.strategy == Strategy::Manual);
            same && j.finding.needs_work()
        });
        port.declared_differences
            .extend(kept.map(|j| format!("the shim also assigns the version of what {} writes", j.finding.place())));
    }
    for (port, choice) in ports.iter_mut().zip(&chosen) {
        let decided = choice.judged.event_table.and_then(|oid| draft.streams.get(&oid));
        if matches!(choice.strategy, Strategy::Shim | Strategy::Rewrite) {
            port.declared_differences.extend(decided.and_then(|d| d.declared.clone()));
        }
    }
    for (port, choice) in ports.iter_mut().zip(&chosen).filter(|(_, c)| is_adopted(&adopted, c.judged.event_table)) {
        adopt::declare(port, choice)?;
    }
    for choice in &chosen {
        draft.rely_on(choice);
    }
    let by_table = |strategy: Strategy| {
        let mut tables: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (n, choice) in chosen.iter().enumerate().filter(|(_, c)| c.strategy == strategy) {
            tables.entry(choice.judged.event_table.unwrap_or(0)).or_default().push(n);
        }
        tables
    };
    for table in by_table(Strategy::Shim).into_keys().filter(|t| !is_adopted(&adopted, Some(*t))) {
        shim::add(&mut draft, table)?;
    }
    for (table, of_table) in by_table(Strategy::Rewrite) {
        let of_table: Vec<&Choice<'_>> = of_table.into_iter().map(|n| &chosen[n]).collect();
        rewrite::add(&mut draft, table, &of_table)?;
    }
    for n in by_table(Strategy::Capture).into_values().flatten() {
        let declared = capture::add(&mut draft, &chosen[n])?;
        ports[n].declared_differences = declared.differences;
        ports[n].not_compared = declared.not_compared;
    }
    bring::add(&mut draft, &chosen, &choices.brought);
    let mut locks: Vec<String> = draft.source_locks.iter().cloned().collect();
    // sources first, as every writer takes them: it holds the row's table when its trigger comes to the event table
    locks.extend(draft.event_locks.iter().filter(|t| !draft.source_locks.contains(*t)).cloned());
    let mut steps = vec![];
    if !draft.statements.is_empty() {
        steps.push(Step {
            title: if choices.brought.is_empty() {
                "switch from the old version source to the new one".into()
            } else {
                "create what was translated, and what gives its events their versions".into()
            },
            transaction: 1,
            locks,
            exclusive: vec![],
            statements: std::mem::take(&mut draft.statements),
        });
    }
    for (n, (table, legacy)) in adopted.iter().enumerate() {
        steps.push(adopt::add(&mut draft, *table, legacy, plan_id, n as u32 + 2)?);
    }
    draft.objects.sort_by(|a, b| (a.kind as u8, &a.table, &a.name).cmp(&(b.kind as u8, &b.table, &b.name)));
    draft.objects.dedup();
    let mut plan = Plan {
        format: FORMAT,
        plan_id: plan_id.to_owned(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        database: catalogue.database.clone(),
        decisions: String::new(),
        content: String::new(),
        event_tables,
        ports,
        treat: catalogue.treats.clone(),
        translated: choices.brought.clone(),
        objects: draft.objects,
        steps,
        adoptions: adopted.into_iter().map(|(_, legacy)| legacy).collect(),
        finish: draft.finish,
        clear: draft.clear,
    };
    expect_known(&plan)?;
    plan.decisions = plan.digest_of_decisions();
    plan.content = plan.digest_of_content();
    Ok(plan)
}

/// Every text of the plan holds what plans are made of and nothing else.
fn expect_known(plan: &Plan) -> Result<(), Error> {
    let steps = plan.steps.iter().flat_map(|s| &s.statements);
    for statement in steps.chain(&plan.finish).chain(&plan.clear) {
        for sql in [Some(&statement.sql), statement.undo.as_ref()].into_iter().flatten() {
            calls::pieces(sql, statement.object.kind, &statement.object.identity())?;
        }
    }
    Ok(())
}

fn choose<'a>(catalogue: &Catalogue, report: &'a Report, choices: &Choices) -> Result<Vec<Choice<'a>>, Error> {
    let mut unused: Vec<&(String, Strategy)> = choices.strategies.iter().collect();
    let mut chosen = vec![];
    for judged in &report.judged {
        let finding = &judged.finding;
        let foreign = |p: &Plan| !p.event_tables.iter().any(|t| Some(&t.table) == finding.event_table.as_ref());
        if choices.only_earlier_tables && choices.earlier.as_ref().is_some_and(foreign) {
            continue;
        }
        let named = choices.strategies.iter().rfind(|(name, _)| names(name, catalogue, judged));
        unused.retain(|u| named.is_none_or(|n| n.0 != u.0));
        let earlier = choices.earlier.as_ref().and_then(|plan| {
            plan.ports.iter().find(|p| {
                p.trigger == finding.trigger
                    && p.table == finding.table
                    && p.function == finding.function
                    && p.line == finding.line
            })
        });
        let wanted = named.map(|(_, s)| *s).or(earlier.map(|p| p.strategy));
        if !finding.needs_work() && named.is_none() {
            continue;
        }
        let Some(strategy) = wanted.or(finding.strategy) else { continue };
        if strategy != Strategy::Manual && !finding.allowed.contains(&strategy) {
            let allowed: Vec<_> = finding.allowed.iter().map(|s| s.name()).collect();
            return Err(Error::usage(
                format!("{} cannot be ported by {}: {}", place(judged), strategy.name(), finding.reasons.join("; ")),
                format!(
                    "Possible here: {}.",
                    if allowed.is_empty() { "nothing to do".into() } else { allowed.join(", ") }
                ),
            ));
        }
        chosen.push(Choice { judged, strategy, stated: wanted.is_some() });
    }
    if let Some((name, _)) = unused.first() {
        return Err(Error::usage(
            format!("no event-writing trigger is called \"{name}\""),
            "Name a trigger as `domain-events scan` prints it, or TABLE.TRIGGER.",
        ));
    }
    Ok(chosen)
}

/// Whether a name on the command line means this trigger (or, where there is none, this function).
fn names(name: &str, catalogue: &Catalogue, judged: &Judged) -> bool {
    let finding = &judged.finding;
    let Some(trigger) = &finding.trigger else { return finding.function.as_deref() == Some(name) };
    let relation = finding.table.as_ref().and_then(|t| catalogue.relations.iter().find(|r| r.quoted == *t));
    name == trigger
        || relation.is_some_and(|r| {
            name == format!("{}.{trigger}", r.name) || name == format!("{}.{}.{trigger}", r.schema, r.name)
        })
}

fn place(judged: &Judged) -> String {
    let f = &judged.finding;
    match (&f.trigger, &f.table, &f.function) {
        (Some(trigger), Some(table), _) => format!("trigger {trigger} of {table}"),
        (_, _, Some(function)) => function.clone(),
        _ => f.event_table.clone().unwrap_or_default(),
    }
}

fn port(choice: &Choice<'_>) -> Port {
    let f = &choice.judged.finding;
    let mut declared = choice.judged.declared.clone();
    if matches!(choice.strategy, Strategy::Shim | Strategy::Rewrite) {
        declared.insert(
            0,
            format!(
                "the version counts 1, 2, 3 .. within its stream; it was: {}",
                f.reasons.first().cloned().unwrap_or_default()
            ),
        );
        if choice.strategy == Strategy::Shim {
            declared.insert(1, "an INSERT that gives a version of its own, taken or not, gets the next one".into());
        }
    } else {
        declared.clear();
    }
    Port {
        code: f.code.clone(),
        trigger: f.trigger.clone(),
        table: f.table.clone(),
        function: f.function.clone(),
        line: f.line,
        event_table: f.event_table.clone(),
        event_type: f.event_type.clone(),
        version_source: f.version_source,
        strategy: choice.strategy,
        allowed: f.allowed.clone(),
        reasons: f.reasons.clone(),
        declared_differences: declared,
        not_compared: vec![],
    }
}

fn is_adopted(adopted: &[(u32, Legacy)], table: Option<u32>) -> bool {
    adopted.iter().any(|(oid, _)| Some(*oid) == table)
}

fn event_tables(
    draft: &mut Draft<'_>,
    chosen: &[Choice<'_>],
    choices: &Choices,
    adopted: &[(u32, Legacy)],
) -> Result<Vec<EventTable>, Error> {
    let mut tables: BTreeSet<u32> = chosen.iter().filter_map(|c| c.judged.event_table).collect();
    tables.extend(adopted.iter().map(|(oid, _)| *oid));
    let mut all = vec![];
    for oid in tables {
        let relation = &draft.relation(oid)?.clone();
        let of_table: Vec<&Choice<'_>> = chosen.iter().filter(|c| c.judged.event_table == Some(oid)).collect();
        let has = |strategy: Strategy| of_table.iter().any(|c| c.strategy == strategy && c.stated);
        let earlier = choices.earlier.as_ref().and_then(|p| p.event_tables.iter().find(|t| t.table == relation.quoted));
        let roles = match draft.report.targets.get(&oid) {
            Some(target) => target.roles.clone(),
            None => recognise(relation, draft.catalogue, &draft.report.collected).roles,
        };
        let read_by = draft.report.targets.get(&oid).and_then(|t| t.stream.read_by.as_deref());
        let decided = stream::decide(relation, &roles, read_by, choices.earlier.as_ref())?;
        let writers = draft.other_writers(relation, &of_table, Strategy::Rewrite);
        let users = draft.other_users(relation, &of_table);
        if has(Strategy::Rewrite) && !writers.is_empty() {
            return Err(Error::usage(
                format!(
                    "rewrite is not possible: {} is written by others too: {}",
                    relation.quoted,
                    writers.join(", ")
                ),
                "Choose shim: it is right whoever writes. Or rewrite all writers in one plan.",
            ));
        }
        let unused = earlier.is_some_and(|t| t.unused_elsewhere);
        let adopt = is_adopted(adopted, Some(oid));
        if has(Strategy::Capture) && !users.is_empty() && !adopt && !unused {
            return Err(Error::usage(
                format!(
                    "capture would leave {} without new rows, and it is used: {}",
                    relation.quoted,
                    users.join(", ")
                ),
                "Choose shim, or let the table's events move into the store with --adopt, or state in the plan that nothing will miss the new rows.",
            ));
        }
        all.push(EventTable {
            table: relation.quoted.clone(),
            stream: decided.columns.clone(),
            version_column: roles.version_column.clone(),
            sole_writer: has(Strategy::Rewrite) || earlier.is_some_and(|t| t.sole_writer),
            unused_elsewhere: has(Strategy::Capture) || unused,
            adopt,
            other_users: users,
        });
        draft.streams.insert(oid, decided);
    }
    Ok(all)
}
