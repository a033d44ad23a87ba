//! What is needed to replay one trigger: its old and new definitions, its tables, the terms of comparison.

use super::replay::{CaptureTerms, Numbers, Terms, Versions};
use super::retarget::{self, Names};
use super::scratch;
use crate::as_owner::Owner;
use crate::error::Error;
use crate::judge::stream::is_time;
use crate::judge::{Report, Roles, Strategy, VersionSource, sql};
use crate::plan::splice::{self, Cut};
use crate::plan::{EventTable, ObjectKind, Plan, Port, State};
use crate::source::{Catalogue, Function, Relation, Treat, Trigger};
use crate::sql_tree::{ast, plpgsql};
use sqlx::PgConnection;

/// The trigger that fires last on a copy of the event table.
pub(super) const SHIM: &str = "~domain_events_version";

/// One trigger to replay.
pub struct Case<'a> {
    pub catalogue: &'a Catalogue,
    pub plan: &'a Plan,
    pub port: &'a Port,
    /// The table whose changes fire it.
    pub table: &'a Relation,
    /// The event table and its columns.
    pub event_table: &'a Relation,
    pub known: &'a EventTable,
    pub roles: Roles,
    /// The columns by which the code that is there now reads the newest version.
    pub read_by: Option<Vec<String>>,
    /// Tables that its functions write, the event table included.
    pub written: Vec<&'a Relation>,
    /// The trigger as it was.
    pub trigger: &'a State,
    pub operations: Vec<String>,
    /// The trigger's function first, then those it calls that touch the tables, with the old text.
    pub functions: Vec<Function>,
    /// The triggers by which the event table itself changes what is inserted, with their functions' old text.
    pub inner: Vec<(&'a Trigger, Function)>,
    /// Tables and functions by name.
    pub names: Names,
}

fn unverified(reason: impl Into<String>) -> Error {
    Error::refused("0A000", reason, "")
}

impl<'a> Case<'a> {
    pub fn new(
        catalogue: &'a Catalogue,
        report: &Report,
        plan: &'a Plan,
        port: &'a Port,
        real: bool,
    ) -> Result<Self, Error> {
        let came =
            |b: &&crate::plan::Brought| b.trigger == port.trigger && b.table == port.table && b.trigger.is_some();
        if let Some(brought) = plan.translated.iter().find(came) {
            return Err(unverified(format!(
                "the old trigger {} runs on another server: compare what both write there and here",
                brought.name
            )));
        }
        let (Some(trigger), Some(table)) = (&port.trigger, &port.table) else {
            return Err(unverified("no trigger leads to it: only the application could replay it"));
        };
        let relation = |name: &str| {
            catalogue.relations.iter().find(|r| r.quoted == name).ok_or_else(|| unverified(format!("{name} is gone")))
        };
        let event_name = port.event_table.as_deref().unwrap_or_default();
        let event_table = relation(event_name)?;
        let table = relation(table)?;
        let object = plan
            .objects
            .iter()
            .find(|o| o.kind == ObjectKind::Trigger && o.name == *trigger && o.table.as_deref() == Some(&table.quoted));
        let state =
            object.and_then(|o| o.before.as_ref()).ok_or_else(|| unverified("the plan holds no old trigger"))?;
        let definition = state.definition.as_deref().unwrap_or_default();
        let (schema, name, operations) = parts(definition)?;
        let root = catalogue
            .functions
            .iter()
            .find(|f| f.schema == schema && f.name == name && f.is_trigger)
            .ok_or_else(|| unverified(format!("function {schema}.{name} is gone")))?;
        let old_root = with_old_text(root, plan);
        let mut tables = vec![table, event_table];
        let inner: Vec<(&Trigger, &Function)> = if real { vec![] } else { inner(catalogue, event_table) };
        let roots: Vec<&Function> = std::iter::once(root).chain(inner.iter().map(|(_, f)| *f)).collect();
        let (mut functions, mut names) = scratch::closure(catalogue, &roots, &tables);
        // what they write besides must be copied too, and may bring more functions
        // on the real tables nothing is copied, and nothing need be known of where a function writes
        for _ in 0..if real { 0 } else { 3 } {
            for function in &functions {
                for written in writes(&with_old_text(function, plan), catalogue, &table.schema)? {
                    if !tables.iter().any(|t| t.oid == written.oid) {
                        tables.push(written);
                    }
                }
            }
            (functions, names) = scratch::closure(catalogue, &roots, &tables);
        }
        names.extend(roots.iter().map(|f| (f.schema.clone(), f.name.clone())));
        let known = plan
            .event_tables
            .iter()
            .find(|t| t.table == event_name)
            .ok_or_else(|| unverified("the plan does not know the event table"))?;
        let roles = report.targets.get(&event_table.oid).map(|t| t.roles.clone()).unwrap_or_default();
        let others = functions.iter().filter(|f| !roots.iter().any(|r| r.oid == f.oid));
        let old = std::iter::once(old_root).chain(others.map(|f| with_old_text(f, plan))).collect();
        let inner = inner.into_iter().map(|(t, f)| (t, with_old_text(f, plan))).collect();
        Ok(Self {
            catalogue,
            plan,
            port,
            table,
            event_table,
            known,
            roles,
            read_by: report.targets.get(&event_table.oid).and_then(|t| t.stream.read_by.clone()),
            written: tables.into_iter().skip(1).collect(),
            trigger: state,
            operations,
            functions: old,
            inner,
            names,
        })
    }

    /// In whose name the table is changed, and in whose name its events are read.
    pub async fn owners(&self, conn: &mut PgConnection) -> Result<(Owner, Owner), Error> {
        Ok((Owner::of_table(conn, &self.table.quoted).await?, Owner::of_table(conn, &self.event_table.quoted).await?))
    }

    /// The text of a function after the plan: what the plan makes of it, else what is there now.
    pub fn new_text(&self, function: &Function) -> String {
        let statements = self.plan.steps.iter().flat_map(|s| &s.statements);
        let rewritten = statements
            .filter(|s| s.object.kind == ObjectKind::Function && s.object.name == function.identity)
            .map(|s| s.sql.clone())
            .next();
        let now = || self.catalogue.function(function.oid).unwrap_or(function).definition.clone();
        rewritten.unwrap_or_else(now)
    }

    /// The old text of a function, where an event gives way to another of its number. The copy lacks the key that would
    /// tell so, and ON CONFLICT with it.
    pub fn without_conflict(&self, function: &Function) -> Result<String, Error> {
        if function.language != "plpgsql" || !retarget::words(&function.source).contains("conflict") {
            return Ok(function.definition.clone());
        }
        let path = &self.catalogue.path_at(function, Some(&self.table.schema));
        let body = plpgsql::parse(function, self.catalogue).map_err(unverified)?;
        let mut cuts = vec![];
        for statement in body.statements.iter().filter(|s| s.kind == plpgsql::StatementType::Sql) {
            let trees = ast::parse(&statement.sql).unwrap_or_default();
            let mut inserts = trees.iter().flat_map(|t| sql::inserts(t, self.catalogue, path));
            let gives_way =
                inserts.any(|i| i.relation == Some(self.event_table.oid) && i.conflict == sql::Conflict::Nothing);
            if gives_way {
                let at = splice::locate(&function.source, statement).map_err(unverified)?;
                cuts.extend(retarget::conflict(&statement.sql).map_err(unverified)?.map(|cut| Cut {
                    start: at + cut.start,
                    end: at + cut.end,
                    text: cut.text,
                }));
            }
        }
        let source = splice::apply(&function.source, cuts).map_err(unverified)?;
        plpgsql::replace_source(&function.definition, &function.source, &source)
            .ok_or_else(|| unverified(format!("the text of {} cannot be replaced", function.identity)))
    }

    /// Where functions without a search path of their own find names when the table is written.
    pub fn path(&self) -> Vec<String> {
        let home = Some(&self.table.schema).filter(|h| !self.catalogue.search_path.contains(h));
        home.into_iter().chain(&self.catalogue.search_path).cloned().collect()
    }

    /// Whether a unique key of the event table keeps a version of a stream from being stored twice.
    pub fn is_keyed(&self) -> bool {
        self.event_table.is_keyed_by(&self.known.stream, self.known.version_column.as_deref())
    }

    /// The versions, where the legacy code gave right ones as long as one session wrote alone.
    fn versions(&self) -> Option<Versions> {
        let column = self.known.version_column.clone()?;
        let same = |p: &&Port| {
            p.trigger == self.port.trigger && p.table == self.port.table && p.event_table == self.port.event_table
        };
        let right = self.plan.ports.iter().filter(same).all(|p| {
            matches!(
                p.version_source,
                VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked | VersionSource::AssignedOnEventTable
            )
        });
        let keys = self.event_table.keys.iter().filter(|k| k.columns.contains(&column));
        let streams = keys.map(|k| k.columns.iter().filter(|c| **c != column).cloned().collect()).collect();
        right.then_some(Versions { column, streams })
    }

    /// Whether a person said that the rows of the event table are events.
    pub fn is_said_to_hold_events(&self) -> bool {
        self.catalogue.treat(self.event_table) == Some(Treat::Events)
    }

    /// The numbers, unless a person said that they are versions.
    fn numbers(&self) -> Option<Numbers> {
        let column = self.known.version_column.clone()?;
        (!self.is_said_to_hold_events()).then(|| Numbers { column, stream: self.known.stream.clone() })
    }

    /// What of the plan's stream cannot be one, whatever was judged: events of one transaction share their time, so no replay
    /// tells that each begins a stream.
    pub fn impossible_stream(&self) -> Vec<String> {
        if self.port.strategy == Strategy::Capture {
            return vec![];
        }
        let times = |c: &&String| {
            self.event_table.column(c).is_some_and(is_time)
                || self.roles.time_columns.contains(c)
                || self.event_table.column(c).and_then(|c| c.default.as_deref()).is_some_and(is_of_the_clock)
        };
        let mut found: Vec<String> = self
            .known
            .stream
            .iter()
            .filter(times)
            .map(|c| format!("the plan's stream has {c}, which is another with every event: every version would be 1"))
            .collect();
        if let Some(by) = &self.read_by {
            let same = by.len() == self.known.stream.len() && by.iter().all(|c| self.known.stream.contains(c));
            if !same {
                found.push(format!(
                    "the plan's stream is ({}), the legacy code reads its newest version by ({})",
                    self.known.stream.join(", "),
                    by.join(", ")
                ));
            }
        }
        found
    }

    pub fn terms(&self) -> Terms {
        let mut ignored: Vec<String> = self.known.version_column.iter().cloned().collect();
        ignored.extend(self.port.not_compared.iter().cloned());
        let mut terms = Terms {
            ignored,
            moving: self.roles.time_columns.clone(),
            versions: self.versions(),
            numbers: self.numbers(),
            capture: None,
        };
        if self.port.strategy == Strategy::Capture {
            let pair = |legacy: &Option<String>, own: &'static str| legacy.clone().map(|l| (l, own));
            let columns = [
                pair(&self.roles.id_column, "aggregate_id"),
                pair(&self.roles.event_type_column, "event_type"),
                pair(&self.roles.event_name_column, "event_name"),
            ];
            // a type that is not constant becomes the store's own, as declared
            let constant = self.port.event_type.is_some();
            let columns = columns.into_iter().flatten().filter(|(_, own)| constant || *own == "aggregate_id").collect();
            (terms.versions, terms.numbers) = (None, None);
            terms.capture = Some(CaptureTerms { columns, operations: self.operations.clone() });
        }
        terms
    }
}

impl Case<'_> {
    /// Whether the trigger is one of the event table itself, which gives its rows their versions.
    pub fn is_of_the_event_table(&self) -> bool {
        self.table.oid == self.event_table.oid
    }
}

/// The BEFORE INSERT triggers of an event table that are not the tool's, and their functions.
fn inner<'a>(catalogue: &'a Catalogue, event_table: &Relation) -> Vec<(&'a Trigger, &'a Function)> {
    let own = |t: &&Trigger| t.relation == event_table.oid && t.changes_inserts() && t.name != SHIM;
    let before = catalogue.triggers.iter().filter(own);
    before.filter_map(|t| Some((t, catalogue.function(t.function)?))).collect()
}

/// Whether a default is taken from the clock.
fn is_of_the_clock(default: &str) -> bool {
    let text = default.to_lowercase();
    ["now(", "current_", "_timestamp(", "localtime"].iter().any(|word| text.contains(word))
}

/// Schema, name and operations from a CREATE TRIGGER.
fn parts(definition: &str) -> Result<(String, String, Vec<String>), Error> {
    let tree = ast::parse(definition).map_err(unverified)?;
    let trigger = tree
        .first()
        .and_then(|t| ast::node(t, "CreateTrigStmt"))
        .ok_or_else(|| unverified("the old trigger cannot be parsed"))?;
    let (schema, name) = ast::call_name(trigger);
    let events = trigger.get("events").and_then(serde_json::Value::as_i64).unwrap_or(0);
    let all = [(4, "INSERT"), (8, "DELETE"), (16, "UPDATE"), (32, "TRUNCATE")];
    Ok((schema, name, all.into_iter().filter(|(bit, _)| events & bit != 0).map(|(_, o)| o.to_owned()).collect()))
}

fn with_old_text(function: &Function, plan: &Plan) -> Function {
    let object = plan.objects.iter().find(|o| o.kind == ObjectKind::Function && o.name == function.identity);
    let old = object.and_then(|o| o.before.as_ref()).and_then(|s| s.definition.clone());
    let mut function = function.clone();
    if let Some(definition) = old {
        if let Some(body) = scratch::body_of(&definition) {
            function.source = body.to_owned();
        }
        function.definition = definition;
    }
    function
}

/// The tables a function writes; an error where that cannot be seen.
fn writes<'a>(function: &Function, catalogue: &'a Catalogue, home: &str) -> Result<Vec<&'a Relation>, Error> {
    let path = &catalogue.path_at(function, Some(home));
    let mut oids = vec![];
    let mut see = |sql: &str| {
        for tree in ast::parse(sql).unwrap_or_default() {
            oids.extend(sql::inserts(&tree, catalogue, path).into_iter().filter_map(|i| i.relation));
            oids.extend(sql::changes(&tree, catalogue, path).into_iter().map(|c| c.relation));
        }
    };
    match function.language.as_str() {
        "plpgsql" => {
            let body = plpgsql::parse(function, catalogue).map_err(unverified)?;
            if body.statements.iter().any(|s| s.kind == plpgsql::StatementType::Dynamic) {
                return Err(unverified(format!("{} uses EXECUTE: where it writes cannot be seen", function.identity)));
            }
            body.statements.iter().for_each(|s| see(&s.sql));
        }
        "sql" => see(&function.source),
        other => return Err(unverified(format!("{} is in language {other}", function.identity))),
    }
    Ok(oids.into_iter().filter_map(|oid| catalogue.relation(oid)).collect())
}
