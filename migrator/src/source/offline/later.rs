//! What names a table or a function that comes later: one file for each object, in the order of their names, or several
//! folders. It is done once all is read; what is missing even then is known by its name alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fold::{Fold, Problem, inner};
use super::state::Later;
use crate::catalogue::Relation;
use crate::source::types;
use crate::sql_tree::ast::{self, list, node, text};
use domain_events_sql::quote::quoted;

impl Fold {
    /// Whether its table is not there yet. What belongs to the store, and sequences, are not waited for.
    pub(super) fn is_for_later(&self, statement: &Value) -> bool {
        let Some(range) = statement.get("relation").filter(|r| r.is_object()) else { return false };
        let name = text(range, "relname");
        let table = statement.get("objtype").is_none_or(|o| o.as_i64() == Some(types::OBJECT_TABLE))
            && statement.get("missing_ok") != Some(&Value::Bool(true))
            && !self.sequences.iter().any(|s| s == name)
            && !matches!(text(range, "schemaname"), "domain_events" | "pg_catalog");
        table && self.find(range).is_none()
    }

    pub(super) fn put_off(&mut self, tree: &Value, whole: &str) {
        self.later.push(Later { tree: tree.clone(), whole: whole.to_owned(), path: self.path.clone() });
    }

    /// A trigger that waits and is dropped.
    pub(super) fn drop_later(&mut self, trigger: &str, table: &str) {
        self.later.retain(|l| {
            let create = inner(&l.tree);
            let on = create.get("relation").map(|r| text(r, "relname")).unwrap_or_default();
            text(create, "trigname") != trigger || on != table
        });
    }

    /// Why a table that something waits for is not known.
    pub(super) fn unknown_table(&self) -> Option<String> {
        let range = inner(&self.later.first()?.tree).get("relation")?;
        Some(format!("table {} is not known", text(range, "relname")))
    }

    /// Does what waits. A table that is nowhere is made up, by its name alone: whoever asks sees that.
    pub(super) fn settle(&mut self, problems: &mut Vec<Problem>) {
        self.end_session();
        self.place_what_others_name();
        let last = std::mem::take(&mut self.path);
        for later in std::mem::take(&mut self.later) {
            self.path.clone_from(&later.path);
            let statement = inner(&later.tree).clone();
            if self.is_for_later(&statement)
                && let Some(range) = statement.get("relation")
            {
                self.make_up(range);
            }
            if let Err(reason) = self.statement(&later.tree, &later.whole) {
                problems.push(Problem { file: String::new(), line: 0, reason });
            }
        }
        self.path = last;
        for n in 0..self.catalogue.triggers.len() {
            if self.catalogue.triggers[n].function == 0 {
                // one that is fired was not dropped before: a script that makes all anew comes too early by its name
                let found = self.function_of(n).or_else(|| self.back_from_the_gone(n));
                self.catalogue.triggers[n].function = found.unwrap_or(0);
            }
        }
        self.tell_doubts(problems);
    }

    /// Files that set no path run in that of a role, which no file tells: where what waits for tables made in them names one
    /// schema, that is where they are, and all else that such files made.
    fn place_what_others_name(&mut self) {
        /// Fewer may be other tables of the same names.
        const TABLES: usize = 3;
        let mut named: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let ranges = self.later.iter().filter_map(|l| inner(&l.tree).get("relation"));
        for range in ranges.filter(|r| !text(r, "schemaname").is_empty() && self.find(r).is_none()) {
            let name = text(range, "relname");
            let unplaced = |r: &&Relation| r.name == name && self.unplaced.contains(&r.oid);
            let mut same = self.catalogue.relations.iter().filter(unplaced);
            if let (Some(only), None) = (same.next(), same.next()) {
                named.entry(text(range, "schemaname").to_owned()).or_default().insert(only.oid);
            }
        }
        let mut named = named.into_iter().filter(|(_, tables)| tables.len() >= TABLES);
        let (Some((schema, _)), None) = (named.next(), named.next()) else { return };
        let all: Vec<&Relation> = self.catalogue.relations.iter().filter(|r| self.unplaced.contains(&r.oid)).collect();
        let taken = |name: &str| self.catalogue.relations.iter().any(|r| r.name == name && r.schema == schema);
        let free: BTreeSet<u32> = all.iter().filter(|r| !taken(&r.name)).map(|r| r.oid).collect();
        for relation in self.catalogue.relations.iter_mut().filter(|r| free.contains(&r.oid)) {
            relation.schema.clone_from(&schema);
            relation.quoted = format!("{}.{}", quoted(&schema), quoted(&relation.name));
        }
        self.place_functions(&schema);
        if !self.catalogue.search_path.contains(&schema) {
            self.catalogue.search_path.push(schema);
        }
    }

    /// Functions that were made without a schema are in this one; of two of one identity the later takes the place of the earlier.
    fn place_functions(&mut self, schema: &str) {
        for n in 0..self.catalogue.functions.len() {
            let function = &mut self.catalogue.functions[n];
            if self.unplaced.contains(&function.oid) {
                let arguments = function.identity.find('(').map_or("", |at| &function.identity[at..]);
                function.identity = format!("{}.{}{arguments}", quoted(schema), quoted(&function.name));
                schema.clone_into(&mut function.schema);
            }
        }
        let mut last: BTreeMap<String, u32> = BTreeMap::new();
        for function in &self.catalogue.functions {
            let oid = last.entry(function.identity.clone()).or_default();
            *oid = function.oid.max(*oid);
        }
        let replaced = self.catalogue.functions.iter().filter(|f| last[&f.identity] != f.oid);
        let replaced: BTreeMap<u32, u32> = replaced.map(|f| (f.oid, last[&f.identity])).collect();
        self.catalogue.functions.retain(|f| !replaced.contains_key(&f.oid));
        for trigger in &mut self.catalogue.triggers {
            trigger.function = replaced.get(&trigger.function).copied().unwrap_or(trigger.function);
        }
    }

    fn make_up(&mut self, range: &Value) {
        let name = text(range, "relname").to_owned();
        // a path that was set elsewhere: one table of that name is the one that is meant
        if text(range, "schemaname").is_empty() {
            let mut same = self.catalogue.relations.iter().filter(|r| r.name == name);
            if let (Some(only), None) = (same.next(), same.next()) {
                let schema = only.schema.clone();
                self.path.push(schema);
                return;
            }
        }
        let schema = self.schema(text(range, "schemaname"));
        let oid = self.oid();
        self.catalogue.relations.push(Relation::bare(oid, schema, name));
    }

    fn back_from_the_gone(&mut self, trigger: usize) -> Option<u32> {
        let (schema, function) = self.function_name(trigger)?;
        let at = self.gone.iter().rposition(|f| f.schema == schema && f.name == function)?;
        let found = self.gone.swap_remove(at);
        let oid = found.oid;
        self.catalogue.functions.push(found);
        Some(oid)
    }

    /// The schema and the name of the function that a trigger names.
    fn function_name(&self, trigger: usize) -> Option<(String, String)> {
        let tree = ast::parse(&self.catalogue.triggers[trigger].definition).ok()?;
        let create = node(tree.first()?, "CreateTrigStmt")?;
        let mut name: Vec<String> = list(create, "funcname")
            .iter()
            .filter_map(|n| node(n, "String"))
            .map(|s| text(s, "sval").to_owned())
            .collect();
        let function = name.pop()?;
        Some((name.pop().unwrap_or_default(), function))
    }

    /// The function of a trigger that was made before it.
    fn function_of(&self, trigger: usize) -> Option<u32> {
        let (schema, function) = self.function_name(trigger)?;
        let by_path = self.resolve(&schema, &function, 0);
        let mut same = self.catalogue.functions.iter().filter(|f| f.name == function && f.is_trigger);
        let only = || same.next().filter(|_| same.next().is_none() && schema.is_empty()).map(|f| f.oid);
        by_path.or_else(only)
    }
}
