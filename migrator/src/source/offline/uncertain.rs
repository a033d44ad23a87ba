//! What may run or not: it is never a reason to forget a trigger. What was there stays, and is told unless what follows
//! settles it.

use super::fold::{Fold, Problem};
use super::state::{About, Doubt, Later, Saved};
use crate::catalogue::Rule;

impl Fold {
    /// Does what may run or not.
    pub(super) fn perhaps(&mut self, why: &str, statement: &str) -> Result<Vec<String>, String> {
        // what takes nothing away costs no copy of all that is there
        let lower = statement.to_ascii_lowercase();
        if !["drop", "alter", "replace", "rollback", "abort", "do"].iter().any(|w| lower.contains(w)) {
            return self.statements(statement);
        }
        let before = self.saved();
        let done = self.statements(statement);
        self.keep_what_was(&before, why);
        done
    }

    /// Brings back what is gone since, and remembers what is not sure.
    pub(super) fn keep_what_was(&mut self, before: &Saved, why: &str) {
        for old in &before.catalogue.relations {
            match self.catalogue.relations.iter().position(|r| r.oid == old.oid) {
                Some(at) => {
                    let now = &mut self.catalogue.relations[at];
                    if now.quoted != old.quoted {
                        (now.schema, now.name) = (old.schema.clone(), old.name.clone());
                        now.quoted.clone_from(&old.quoted);
                    }
                }
                // made anew
                None if self.catalogue.relations.iter().any(|r| r.quoted == old.quoted) => {}
                None => self.catalogue.relations.push(old.clone()),
            }
        }
        for old in &before.catalogue.functions {
            let now = self.catalogue.functions.iter().find(|f| f.oid == old.oid || f.identity == old.identity);
            let (oid, source) = match now {
                Some(now) if now.source == old.source => continue,
                Some(now) => (now.oid, now.source.clone()),
                None => {
                    self.catalogue.functions.push(old.clone());
                    (old.oid, old.source.clone())
                }
            };
            let said = format!("{} is dropped or replaced", old.identity);
            self.doubt(&said, why, About::Function(oid, source));
        }
        for old in &before.catalogue.triggers {
            let at = self.catalogue.triggers.iter().position(|t| t.oid == old.oid);
            let replaced = self
                .catalogue
                .triggers
                .iter()
                .find(|t| t.name == old.name && t.relation == old.relation)
                .map(|t| t.oid);
            let oid = match (at, replaced) {
                (Some(at), _) if self.catalogue.triggers[at] == *old => continue,
                (Some(at), _) => {
                    self.catalogue.triggers[at] = old.clone();
                    old.oid
                }
                (None, Some(new)) => new,
                (None, None) => {
                    self.catalogue.triggers.push(old.clone());
                    old.oid
                }
            };
            let table = self.catalogue.relation(old.relation).map(|r| r.quoted.clone()).unwrap_or_default();
            let said = format!("trigger {} on {table} is dropped or changed", old.name);
            self.doubt(&said, why, About::Trigger(oid));
        }
        for old in &before.catalogue.rules {
            if !self.catalogue.rules.contains(old) {
                let same = |r: &Rule| r.name == old.name && r.relation == old.relation;
                if !self.catalogue.rules.iter().any(same) {
                    self.catalogue.rules.push(old.clone());
                }
                self.doubt(&format!("rule {} is dropped or changed", old.name), why, About::Rule(old.clone()));
            }
        }
        let waits = |all: &[Later], one: &Later| all.iter().any(|l| l.whole == one.whole && l.path == one.path);
        let back: Vec<Later> = before.later.iter().filter(|l| !waits(&self.later, l)).cloned().collect();
        self.later.extend(back);
    }

    fn doubt(&mut self, said: &str, why: &str, about: About) {
        let reason = format!("{said} here, and {why}: it is judged as if it were still there; read the live database");
        let (file, line) = (self.file.clone(), self.line);
        self.doubts.retain(|d| d.about != about);
        self.doubts.push(Doubt { file, line, reason, about });
    }

    /// Tells what nothing has settled.
    pub(super) fn tell_doubts(&mut self, problems: &mut Vec<Problem>) {
        for doubt in std::mem::take(&mut self.doubts) {
            let open = match &doubt.about {
                About::Trigger(oid) => self.catalogue.triggers.iter().any(|t| t.oid == *oid),
                About::Rule(rule) => self.catalogue.rules.contains(rule),
                About::Function(oid, source) => self.catalogue.function(*oid).is_some_and(|f| f.source == *source),
            };
            if open {
                let Doubt { file, line, reason, .. } = doubt;
                problems.push(Problem { file, line, reason });
            }
        }
    }
}
