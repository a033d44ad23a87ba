//! A catalogue in the making.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::super::types::{self, Types};
use super::state::{Doubt, Later, Mark, Runs, Script, is_off};
use crate::catalogue::{Catalogue, Function, Relation};
use crate::sql_tree::ast::{self, list, node, text};

/// A statement that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line of the statement in it.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// A catalogue in the making.
pub(super) struct Fold {
    pub catalogue: Catalogue,
    /// Where unqualified names are made and looked for now.
    pub path: Vec<String>,
    /// The same at the beginning of a session.
    pub first_path: Vec<String>,
    pub next: u32,
    pub types: Types,
    /// Whether the session has said where that is.
    pub path_is_set: bool,
    /// Tables and functions that were made without a schema where nothing said which that is.
    pub unplaced: BTreeSet<u32>,
    /// ALTER TABLE may name a sequence too.
    pub sequences: Vec<String>,
    /// Functions that a query of the files calls.
    pub called: BTreeSet<String>,
    /// What names a table that may come later.
    pub later: Vec<Later>,
    /// Functions that went with their schema.
    pub gone: Vec<Function>,
    /// Variables of psql.
    pub variables: HashMap<String, String>,
    /// Files that a command of psql has read.
    pub included: BTreeSet<PathBuf>,
    /// How many of them are open.
    pub depth: usize,
    /// Whether a backslash in a plain string escapes what follows it.
    pub escapes: bool,
    /// The file that is read now, and the line of the statement.
    pub file: String,
    pub line: usize,
    /// Whether psql's variables are what the script has set them to.
    pub variables_are_known: bool,
    pub script: Script,
    /// Where the open transaction and its savepoints began.
    pub marks: Vec<Mark>,
    /// Whether what is read now may undo what it does.
    pub may_undo: bool,
    pub doubts: Vec<Doubt>,
}

impl Fold {
    pub(super) fn new() -> Self {
        Self {
            catalogue: Catalogue { search_path: vec!["public".into()], ..Catalogue::default() },
            path: vec!["public".into()],
            first_path: vec!["public".into()],
            next: 1,
            types: Types::default(),
            path_is_set: false,
            unplaced: BTreeSet::new(),
            sequences: vec![],
            called: BTreeSet::new(),
            later: vec![],
            gone: vec![],
            variables: HashMap::new(),
            included: BTreeSet::new(),
            depth: 0,
            escapes: false,
            file: String::new(),
            line: 0,
            variables_are_known: true,
            script: Script::new(Runs::Surely),
            marks: vec![],
            may_undo: false,
            doubts: vec![],
        }
    }

    /// Tools run each file in a session of its own: what one sets is not in force in the next.
    pub(super) fn begin_session(&mut self) {
        self.end_session();
        self.reset_settings();
    }

    pub(super) fn reset_settings(&mut self) {
        self.escapes = false;
        self.path.clone_from(&self.first_path);
        self.path_is_set = self.first_path != ["public"];
    }

    /// As the server would give it: its order, and without the store's own objects.
    pub(super) fn finished(self) -> Catalogue {
        let mut all = self.catalogue;
        let store = "domain_events";
        let own: Vec<u32> = all.relations.iter().filter(|r| r.schema == store).map(|r| r.oid).collect();
        all.relations.retain(|r| r.schema != store);
        all.functions.retain(|f| f.schema != store);
        all.triggers.retain(|t| !own.contains(&t.relation));
        all.relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        all.functions.sort_by(|a, b| (&a.schema, &a.name, a.oid).cmp(&(&b.schema, &b.name, b.oid)));
        let places: std::collections::HashMap<u32, usize> =
            all.relations.iter().enumerate().map(|(n, r)| (r.oid, n)).collect();
        let place = |oid: u32| places.get(&oid).copied().unwrap_or(usize::MAX);
        all.triggers.sort_by(|a, b| (place(a.relation), &a.name).cmp(&(place(b.relation), &b.name)));
        all.rules.sort_by(|a, b| (place(a.relation), &a.name).cmp(&(place(b.relation), &b.name)));
        for relation in &mut all.relations {
            relation.keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        all
    }

    pub(super) fn oid(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(super) fn schema(&self, given: &str) -> String {
        let first = || self.path.first().cloned().unwrap_or_else(|| "public".into());
        if given.is_empty() { first() } else { given.to_owned() }
    }

    pub(super) fn relation(&mut self, range: &Value) -> Option<&mut Relation> {
        let oid = self.find(range)?;
        self.catalogue.relations.iter_mut().find(|r| r.oid == oid)
    }

    pub(super) fn find(&self, range: &Value) -> Option<u32> {
        let (schema, name) = (text(range, "schemaname"), text(range, "relname"));
        let by = |path: &[String]| self.catalogue.resolve_relation(schema, name, path).map(|r| r.oid);
        by(&self.path).or_else(|| by(&self.catalogue.search_path))
    }

    /// The same for what is dropped: where a session has said which schemas it means, it means no others.
    pub(super) fn find_to_drop(&self, range: &Value) -> Option<u32> {
        let name = text(range, "relname");
        match text(range, "schemaname").is_empty() && self.path_is_set {
            true => self.catalogue.resolve_relation("", name, &self.path).map(|r| r.oid),
            false => self.find(range),
        }
    }

    /// A relation that is dropped; whoever writes it all the same is told by whom.
    pub(super) fn dropped(&mut self, oid: u32) {
        let name = self.catalogue.relation(oid).map(|r| r.quoted.clone());
        self.catalogue.dropped.extend(name.map(|name| (name, self.file.clone())));
        self.forget(oid);
    }

    /// A relation that is gone takes its triggers, rules and partitions along.
    pub(super) fn forget(&mut self, oid: u32) {
        self.catalogue.relations.retain(|r| r.oid != oid && !(r.is_partition && r.root == oid));
        self.catalogue.triggers.retain(|t| t.relation != oid);
        self.catalogue.rules.retain(|r| r.relation != oid);
    }

    /// A session's path says where things are made; functions are looked up in any schema that was ever on it.
    pub(super) fn set_path(&mut self, set: &Value, lasting: bool) {
        let kind = set.get("kind").and_then(Value::as_i64);
        if !lasting && matches!(kind, Some(types::SET_TO_DEFAULT | types::RESET)) {
            self.path.clone_from(&self.first_path);
            return;
        }
        let path: Vec<String> = list(set, "args")
            .iter()
            .filter_map(ast::string_constant)
            .filter(|s| !s.is_empty() && s != "$user")
            .collect();
        if path.is_empty() {
            return;
        }
        if lasting {
            self.catalogue.search_path = path;
            return;
        }
        let known = &mut self.catalogue.search_path;
        known.extend(path.iter().filter(|s| *s != "pg_catalog" && !known.contains(s)).cloned().collect::<Vec<_>>());
        self.path = path;
        self.path_is_set = true;
    }

    /// `select set_config('search_path', 'app', false)`.
    pub(super) fn set_config(&mut self, select: &Value) {
        for (_, name, arguments) in list(select, "target_list").iter().flat_map(ast::calls).collect::<Vec<_>>() {
            let given: Vec<String> = arguments.iter().filter_map(ast::string_constant).collect();
            let ("set_config", [setting, value]) = (name.as_str(), given.as_slice()) else { continue };
            if setting == "search_path" && !value.is_empty() {
                self.path_is_set = true;
                self.path = value.split(',').map(|s| s.trim().trim_matches('"').to_owned()).collect();
            } else if setting == "standard_conforming_strings" {
                self.escapes = is_off(value);
            }
        }
    }
}

pub(super) fn range(schema: &str, name: &str) -> Value {
    serde_json::json!({"schemaname": schema, "relname": name})
}

pub(super) fn inner(tree: &Value) -> &Value {
    node(tree, ast::kind(tree)).unwrap_or(tree)
}

pub(super) fn names(nodes: &[Value]) -> Vec<String> {
    nodes.iter().filter_map(|n| node(n, "String")).map(|s| text(s, "sval").to_owned()).collect()
}
