//! A MySQL schema as PostgreSQL would have it; what is found in it is told in MySQL's names by `findings`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Catalogue, Relation, Treat, fold_into};
use domain_events_mysql::ast::{ProgramKind, Timing};
use domain_events_mysql::ddl;
use domain_events_mysql::source::{Source, Sourced};
use domain_events_mysql::translate::context::{Flavor, Known};
use domain_events_mysql::translate::flow;
use domain_events_mysql::translate::helpers::Helper;
use domain_events_mysql::translate::notes::{Fidelity, NOT_READ, Note};
use domain_events_mysql::translate::program::{self, Translated};
use domain_events_sql::limits;
use domain_events_sql::quote::quoted;

/// The schema that a source is judged in.
pub const SCHEMA: &str = "public";

/// A program and its translation.
#[derive(Debug, Clone)]
pub struct TranslatedProgram {
    /// The file, or the server.
    pub file: String,
    /// Line of its CREATE.
    pub line: u64,
    /// The table of a trigger, by its name in the source.
    pub table: Option<String>,
    /// Its translation.
    pub made: Translated,
}

/// A source in PostgreSQL's terms.
#[derive(Debug)]
pub struct TranslatedCatalogue {
    /// Tables, triggers and functions.
    pub catalogue: Catalogue,
    /// What was translated.
    pub programs: Vec<TranslatedProgram>,
    /// Tables and routines by their names in the source.
    pub known: Known,
    names: OnceCell<Vec<(String, String)>>,
}

/// How translation goes.
#[derive(Debug, Clone, Default)]
pub struct Destination {
    /// The schema in PostgreSQL; [`SCHEMA`] if empty.
    pub schema: String,
    /// Tables as they are in PostgreSQL already.
    pub relations: Vec<Relation>,
    /// INSERT IGNORE is shown to the judge as what it is.
    pub ignoring: bool,
    /// What a person says of tables, by their names in the source.
    pub treats: BTreeMap<String, Treat>,
}

impl TranslatedCatalogue {
    /// Translates a source.
    pub fn new(source: &Source, terms: &Destination) -> Self {
        let schema = if terms.schema.is_empty() { SCHEMA } else { &terms.schema };
        let flavor = match &source.server {
            Some(server) if server.mariadb => Flavor::MariaDb,
            _ => Flavor::MySql,
        };
        let mut known = Known::new(schema, flavor, &source.schema.tables);
        known.database = source.database.clone().or(known.database);
        known.ignoring = terms.ignoring;
        for relation in terms.relations.iter().filter(|r| r.schema == schema) {
            let columns = relation.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str()));
            known.as_in(&relation.name, &relation.quoted, columns);
        }
        for sourced in &source.programs {
            if let Some(signature) = program::signature(&sourced.program, &known) {
                known.routines.insert(sourced.program.name.name.to_lowercase(), signature);
            }
        }
        known.session_variables = shared_variables(source);
        let names = trigger_names(source);
        let mut functions = BTreeSet::new();
        for sourced in source.programs.iter().filter(|s| matches!(s.program.kind, ProgramKind::Routine(_))) {
            functions.insert(sourced.program.name.name.to_lowercase());
        }
        let mut programs = vec![];
        for (n, sourced) in source.programs.iter().enumerate() {
            let own = &sourced.program.name.name;
            let (trigger_name, function_name) = match names.get(&n) {
                Some(name) => {
                    let base = shortened(&own.to_lowercase());
                    let free = if functions.insert(base.clone()) { base } else { format!("{base}_trigger") };
                    (name.clone(), free)
                }
                None => (own.clone(), own.to_lowercase()),
            };
            let Some(mut made) = program::translate(&sourced.program, &known, &trigger_name, &function_name) else {
                continue;
            };
            made.notes.extend(cascades(source, sourced));
            let table = match &sourced.program.kind {
                ProgramKind::Trigger(trigger) => Some(trigger.table.name.clone()),
                _ => None,
            };
            programs.push(TranslatedProgram {
                file: sourced.file.clone(),
                line: sourced.program.position.line,
                table,
                made,
            });
        }
        let names = OnceCell::new();
        let mut translated = Self { catalogue: Catalogue::default(), programs, known, names };
        translated.catalogue = translated.judged_catalogue(source, schema);
        translated.catalogue.treats.clone_from(&terms.treats);
        translated
    }

    /// The tables as they would be made, with the translated programs. A text that PostgreSQL's parser refuses is a refusal.
    fn judged_catalogue(&mut self, source: &Source, schema: &str) -> Catalogue {
        let mut catalogue = Catalogue {
            database: source.database.clone().unwrap_or_default(),
            search_path: vec![schema.to_owned()],
            ..Catalogue::default()
        };
        for table in &source.schema.tables {
            let made = ddl::ddl(table, schema);
            let foreign = made.foreign_keys.iter().map(|(_, sql)| sql);
            for sql in made.table.iter().chain(&made.unique_keys).chain(&made.keys).chain(foreign) {
                // the tool's own text: what is not kept of it is not judged
                let _ = fold_into(&mut catalogue, sql);
            }
        }
        for item in &mut self.programs {
            let why = fold_into(&mut catalogue, &item.made.create)
                .and_then(|()| catalogue.functions.last().map_or(Ok(()), |made| limits::check_body(&made.source)))
                .and_then(|()| pg_query::parse_plpgsql(&item.made.create).map(drop).map_err(|e| e.to_string()));
            // a text that is run is MySQL's own: its tables have no schema
            if let Some(made) = catalogue.functions.last_mut() {
                made.search_path.get_or_insert_default().insert(0, schema.to_owned());
            }
            if let Err(why) = why {
                item.made.notes.push(Note {
                    fidelity: Fidelity::Refused,
                    construct: item.made.name.clone(),
                    text: format!("{NOT_READ}: its translation is not understood by PostgreSQL's parser: {why}"),
                    line: item.line,
                });
            }
        }
        for item in &self.programs {
            let Some((_, sql)) = &item.made.trigger else { continue };
            // a trigger whose table is not in the source is judged by itself
            if let Some(table) = &item.table
                && source.schema.table(table).is_none()
                && catalogue.resolve_relation(schema, table, &[]).is_none()
            {
                let made_up = Relation::bare(catalogue.next_oid(), schema.to_owned(), table.clone());
                catalogue.relations.push(made_up);
            }
            let _ = fold_into(&mut catalogue, sql);
        }
        catalogue.statements = source.statements;
        catalogue
    }

    /// The helpers that programs need.
    pub fn helpers<'i>(programs: impl IntoIterator<Item = &'i TranslatedProgram>) -> BTreeSet<Helper> {
        programs.into_iter().flat_map(|i| i.made.helpers.iter().copied()).collect()
    }

    /// A trigger's item, by its name in PostgreSQL and its table there.
    pub fn of_trigger(&self, name: &str, table: &str) -> Option<&TranslatedProgram> {
        self.programs
            .iter()
            .find(|i| i.made.trigger.as_ref().is_some_and(|(n, _)| n == name) && i.made.table.as_deref() == Some(table))
    }

    /// The item of a function in PostgreSQL.
    pub fn of_function(&self, name: &str) -> Option<&TranslatedProgram> {
        self.programs.iter().find(|i| i.made.function == name)
    }

    /// A routine and all that it calls.
    pub fn reached<'w>(&'w self, item: &'w TranslatedProgram) -> Vec<&'w TranslatedProgram> {
        let mut found: Vec<&TranslatedProgram> = vec![item];
        let mut at = 0;
        while at < found.len() {
            for name in &found[at].made.calls {
                let next = self.programs.iter().find(|i| i.made.trigger.is_none() && i.made.function == *name);
                if let Some(next) = next.filter(|n| !found.iter().any(|f| std::ptr::eq(*f, *n))) {
                    found.push(next);
                }
            }
            at += 1;
        }
        found
    }

    /// Tables and programs as PostgreSQL's side of it calls them, each with its name in the source; the longest first, for one
    /// may be the beginning of another.
    pub fn names(&self) -> &[(String, String)] {
        self.names.get_or_init(|| {
            let schema = quoted(&self.known.schema);
            let mut names: Vec<(String, String)> =
                self.known.tables.values().map(|t| (t.quoted.clone(), t.name.clone())).collect();
            for function in &self.catalogue.functions {
                if let Some(item) = self.of_function(&function.name) {
                    names.push((function.identity.clone(), item.made.name.clone()));
                }
            }
            for item in &self.programs {
                names.push((format!("{schema}.{}", quoted(&item.made.function)), item.made.name.clone()));
            }
            names.sort_by_key(|(quoted, _)| std::cmp::Reverse(quoted.len()));
            names
        })
    }

    /// The name in the source of a table that is qualified and quoted for PostgreSQL.
    pub fn table_name(&self, quoted: &str) -> String {
        let table = self.known.tables.values().find(|t| t.quoted == quoted);
        table.map_or_else(|| self.bare(quoted), |t| t.name.clone())
    }

    /// A table that is not in the source, without the schema in which it is judged.
    fn bare(&self, table: &str) -> String {
        let schema = quoted(&self.known.schema);
        let Some(name) = table.strip_prefix(&schema).and_then(|rest| rest.strip_prefix('.')) else {
            return table.to_owned();
        };
        let plain = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).map(|n| n.replace("\"\"", "\""));
        plain.unwrap_or_else(|| name.to_owned())
    }
}

/// The user variables of all programs and the settings they become.
pub fn session_variables(translated: &TranslatedCatalogue) -> BTreeMap<String, String> {
    translated.programs.iter().flat_map(|i| i.made.settings.clone()).collect()
}

/// User variables that a program may read before it assigns them: somebody else does.
fn shared_variables(source: &Source) -> BTreeSet<String> {
    source.programs.iter().flat_map(|sourced| flow::read_early(&sourced.program)).collect()
}

/// Names for the triggers, by the number of their program. PostgreSQL fires by name, MySQL in the order of creation unless
/// FOLLOWS or PRECEDES say otherwise: where that differs, a number goes in front.
fn trigger_names(source: &Source) -> BTreeMap<usize, String> {
    let mut groups: BTreeMap<(String, Timing, String), Vec<usize>> = BTreeMap::new();
    let mut triggers: Vec<(usize, &Sourced)> =
        source.programs.iter().enumerate().filter(|(_, s)| matches!(s.program.kind, ProgramKind::Trigger(_))).collect();
    // one that was BEFORE and became AFTER still goes first
    triggers.sort_by_key(|(_, s)| match &s.program.kind {
        ProgramKind::Trigger(t) => (t.timing, t.action_order.unwrap_or(0)),
        _ => (Timing::After, 0),
    });
    for (n, sourced) in &triggers {
        let ProgramKind::Trigger(trigger) = &sourced.program.kind else { continue };
        let timing = program::timing(&sourced.program, trigger);
        let key = (trigger.table.name.to_lowercase(), timing, format!("{:?}", trigger.events));
        groups.entry(key).or_default().push(*n);
    }
    let name_of = |n: usize| source.programs[n].program.name.name.clone();
    let mut names = BTreeMap::new();
    for group in groups.into_values() {
        let ordered = in_order(group, source);
        let alphabetical = ordered.windows(2).all(|w| name_of(w[0]) < name_of(w[1]));
        for (place, n) in ordered.iter().enumerate() {
            let name = if alphabetical { name_of(*n) } else { format!("{:02}_{}", place + 1, name_of(*n)) };
            names.insert(*n, shortened(&name));
        }
    }
    names
}

/// FOLLOWS and PRECEDES move a trigger beside the one they name.
fn in_order(group: Vec<usize>, source: &Source) -> Vec<usize> {
    use domain_events_mysql::ast::TriggerOrder;
    let mut ordered: Vec<usize> = vec![];
    for n in group {
        let ProgramKind::Trigger(trigger) = &source.programs[n].program.kind else { continue };
        let find = |name: &str, ordered: &[usize]| {
            ordered.iter().position(|o| source.programs[*o].program.name.name.eq_ignore_ascii_case(name))
        };
        let at = match &trigger.order {
            _ if trigger.action_order.is_some() => None,
            Some(TriggerOrder::Follows(other)) => find(other, &ordered).map(|p| p + 1),
            Some(TriggerOrder::Precedes(other)) => find(other, &ordered),
            None => None,
        };
        ordered.insert(at.unwrap_or(ordered.len()), n);
    }
    ordered
}

/// At most 63 bytes.
fn shortened(name: &str) -> String {
    let mut end = name.len().min(63);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// Foreign keys whose actions change rows of the trigger's table: in PostgreSQL they fire it, in MySQL they do not.
fn cascades(source: &Source, sourced: &Sourced) -> Vec<Note> {
    use domain_events_mysql::ast::TriggerEvent;
    let ProgramKind::Trigger(trigger) = &sourced.program.kind else { return vec![] };
    let Some(table) = source.schema.table(&trigger.table.name) else { return vec![] };
    let mut notes = vec![];
    for key in &table.foreign_keys {
        for (when, action) in [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)] {
            let fires = match action.as_deref() {
                Some("CASCADE") if when == "DELETE" => TriggerEvent::Delete,
                Some("CASCADE" | "SET NULL") => TriggerEvent::Update,
                _ => continue,
            };
            if trigger.events.contains(&fires) {
                let action = action.as_deref().unwrap_or_default();
                let name = key.name.clone().unwrap_or_else(|| key.columns.join(", "));
                notes.push(Note {
                    fidelity: Fidelity::Declared,
                    construct: format!("FOREIGN KEY {name}"),
                    text: format!(
                        "ON {when} {action} from {}: the rows of {} that it changes fire this trigger in PostgreSQL and not in MySQL, so that there are more events",
                        key.table, table.name
                    ),
                    line: sourced.program.position.line,
                });
            }
        }
    }
    notes
}
