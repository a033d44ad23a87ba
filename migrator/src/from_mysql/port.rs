//! Which programs of a source are created in a database of PostgreSQL: triggers that write events, those that change the
//! rows they are written for, and every routine on the way.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Destination, SCHEMA, TranslatedCatalogue, TranslatedProgram};
use crate::error::Error;
use crate::judge;
use crate::plan::Brought;
use crate::source::Catalogue;
use crate::url::redacted;
use domain_events_mysql::source::Source;
use domain_events_mysql::translate::helpers::Helper;
use domain_events_mysql::translate::notes::{Fidelity, Note};
use domain_events_sql::quote::quoted;

/// What goes to PostgreSQL.
#[derive(Debug, Default)]
pub struct Moved {
    /// Functions, triggers and what they need.
    pub brought: Vec<Brought>,
    /// User variables and their settings.
    pub settings: BTreeMap<String, String>,
    /// What stays behind and why.
    pub left_out: Vec<String>,
}

/// Chooses and translates for a target.
pub fn port(source: &Source, target: &Catalogue, from: &str) -> Result<Moved, Error> {
    let schema = target.search_path.iter().find(|s| !s.starts_with("pg_")).cloned().unwrap_or_else(|| SCHEMA.into());
    let terms =
        Destination { schema, relations: target.relations.clone(), ignoring: false, treats: target.treats.clone() };
    let translated = TranslatedCatalogue::new(source, &terms);
    let report = judge::judge(&translated.catalogue);
    let mut wanted: BTreeSet<usize> = BTreeSet::new();
    let mut tables: BTreeSet<String> = BTreeSet::new();
    let mut needed: BTreeSet<String> = BTreeSet::new();
    let place = |item: &TranslatedProgram| translated.programs.iter().position(|i| std::ptr::eq(i, item));
    for judged in report.judged.iter().filter(|j| j.event_table.is_some() || j.finding.needs_work()) {
        let f = &judged.finding;
        let trigger = f.trigger.as_ref().zip(f.table.as_ref()).and_then(|(n, t)| translated.of_trigger(n, t));
        let function = judged
            .function
            .and_then(|oid| translated.catalogue.function(oid))
            .and_then(|f| translated.of_function(&f.name));
        for item in trigger.into_iter().chain(function) {
            wanted.extend(place(item));
        }
        for table in [&f.table, &f.event_table].into_iter().flatten() {
            tables.insert(table.clone());
            needed.insert(translated.table_name(table));
        }
    }
    missing_tables(source, &translated, target, &needed, from)?;
    // triggers that make the values that events tell of, or that the event table itself gives
    let mut moved = Moved::default();
    for (n, item) in translated.programs.iter().enumerate() {
        let (Some(table), false) = (&item.made.table, wanted.contains(&n)) else { continue };
        if tables.contains(table) {
            wanted.insert(n);
        } else {
            moved.left_out.push(format!(
                "trigger {} of {} stays behind: it writes no event and changes no row that one tells of",
                item.made.name,
                item.table.as_deref().unwrap_or("-")
            ));
        }
    }
    let roots: Vec<usize> = wanted.iter().copied().collect();
    for n in roots {
        wanted.extend(translated.reached(&translated.programs[n]).into_iter().filter_map(place));
    }
    let programs: Vec<&TranslatedProgram> = wanted.iter().map(|n| &translated.programs[*n]).collect();
    for helper in TranslatedCatalogue::helpers(programs.iter().copied()) {
        match target.functions.iter().find(|f| f.schema == terms.schema && f.name == helper.name()) {
            None => moved.brought.push(of_helper(helper, &terms.schema)),
            Some(there) if there.comment.as_deref().unwrap_or_default().ends_with(crate::marks::HELPER) => {}
            Some(there) => {
                return Err(Error::refused(
                    "42723",
                    format!(
                        "function {} exists and is not the tool's, whose functions of that name stand in for MySQL's",
                        there.identity
                    ),
                    "Rename it, then plan again.",
                ));
            }
        }
    }
    // routines first: their triggers call them
    let (triggers, routines): (Vec<&TranslatedProgram>, Vec<&TranslatedProgram>) =
        programs.into_iter().partition(|i| i.made.trigger.is_some());
    for item in routines.into_iter().chain(triggers) {
        moved.settings.extend(item.made.settings.clone());
        moved.brought.push(of_item(&translated, item));
    }
    Ok(moved)
}

fn missing_tables(
    source: &Source,
    translated: &TranslatedCatalogue,
    target: &Catalogue,
    needed: &BTreeSet<String>,
    from: &str,
) -> Result<(), Error> {
    let schema = &translated.known.schema;
    let there = |name: &String| target.relations.iter().any(|r| r.schema == *schema && r.name == *name);
    let missing: Vec<&String> = needed.iter().filter(|n| source.schema.table(n).is_some() && !there(n)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|n| n.as_str()).collect();
    Err(Error::refused(
        "42P01",
        format!("the database has no table {} in schema {schema}", names.join(", ")),
        format!(
            "Make them first: domain-events import --from {} --tables {} [--no-rows]",
            redacted(from),
            names.join(",")
        ),
    ))
}

fn of_helper(helper: Helper, schema: &str) -> Brought {
    let schema = quoted(schema);
    Brought {
        kind: "helper".into(),
        name: helper.name().into(),
        function: format!("{schema}.{}({})", helper.name(), helper.arguments()),
        sql: helper.definition(&schema),
        ..Brought::default()
    }
}

fn of_item(translated: &TranslatedCatalogue, item: &TranslatedProgram) -> Brought {
    let mut notes: Vec<&Note> = item.made.notes.iter().collect();
    // what its routines cannot do, it cannot do either
    for reached in translated.reached(item).into_iter().skip(1) {
        notes.extend(reached.made.notes.iter().filter(|n| n.fidelity == Fidelity::Refused));
    }
    let of = |fidelity: Fidelity| {
        notes.iter().filter(|n| n.fidelity == fidelity).map(ToString::to_string).collect::<Vec<_>>()
    };
    Brought {
        kind: if item.made.trigger.is_some() { "trigger" } else { item.made.routine }.into(),
        name: item.made.name.clone(),
        file: Some(item.file.clone()),
        line: Some(item.line),
        declared: of(Fidelity::Declared),
        refused: of(Fidelity::Refused),
        settings: item.made.settings.iter().map(|(v, s)| format!("{v} -> {s}")).collect(),
        function: item.made.identity.clone(),
        trigger: item.made.trigger.as_ref().map(|(name, _)| name.clone()),
        table: item.made.table.clone(),
        sql: item.made.create.clone(),
        trigger_sql: item.made.trigger.as_ref().map(|(_, sql)| sql.clone()),
    }
}
