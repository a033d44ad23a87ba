//! Transactions and savepoints: what is rolled back was not done.

use serde_json::Value;

use super::fold::Fold;
use super::state::{Mark, Runs, Saved};
use crate::sql_tree::ast::{list, node, text};

// `TransactionStmtKind`
const BEGIN: i64 = 1;
const START: i64 = 2;
const COMMIT: i64 = 3;
const ROLLBACK: i64 = 4;
const SAVEPOINT: i64 = 5;
const RELEASE: i64 = 6;
const ROLLBACK_TO: i64 = 7;
const PREPARE: i64 = 8;

/// Why what an open transaction did is not sure.
const OPEN: &str = "the transaction in which this is done does not end in its file, and a session that ends undoes it";

impl Fold {
    pub(super) fn saved(&self) -> Saved {
        Saved {
            catalogue: self.catalogue.clone(),
            types: self.types.clone(),
            later: self.later.clone(),
            gone: self.gone.clone(),
            sequences: self.sequences.clone(),
            called: self.called.clone(),
            unplaced: self.unplaced.clone(),
            path: self.path.clone(),
            path_is_set: self.path_is_set,
            escapes: self.escapes,
            doubts: self.doubts.clone(),
        }
    }

    fn restore(&mut self, saved: Saved) {
        let statements = self.catalogue.statements;
        let Saved { catalogue, types, later, gone, sequences, called, unplaced, path, path_is_set, escapes, doubts } =
            saved;
        (self.catalogue, self.types, self.later, self.gone) = (catalogue, types, later, gone);
        (self.sequences, self.called, self.unplaced) = (sequences, called, unplaced);
        (self.path, self.path_is_set, self.escapes, self.doubts) = (path, path_is_set, escapes, doubts);
        self.catalogue.statements = statements;
    }

    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their like.
    pub(super) fn transaction(&mut self, statement: &Value) {
        let kind = statement.get("kind").and_then(Value::as_i64).unwrap_or(0);
        let chains = statement.get("chain") == Some(&Value::Bool(true));
        let name = savepoint(statement);
        let at = |marks: &[Mark]| marks.iter().rposition(|m| m.savepoint.is_some() && m.savepoint == name);
        match kind {
            BEGIN | START if self.marks.is_empty() && self.may_undo => self.mark(None),
            SAVEPOINT if !self.marks.is_empty() => self.mark(name),
            RELEASE => {
                if let Some(at) = at(&self.marks) {
                    self.marks.truncate(at);
                }
            }
            ROLLBACK_TO => {
                if let Some(at) = at(&self.marks) {
                    self.marks.truncate(at + 1);
                    self.roll_back(at);
                }
            }
            ROLLBACK if !self.marks.is_empty() => {
                self.roll_back(0);
                self.end_transaction(chains);
            }
            // it comes into force when another session commits it
            PREPARE if !self.marks.is_empty() => {
                self.keep_since(0, OPEN);
                self.end_transaction(false);
            }
            COMMIT => self.end_transaction(chains),
            _ => {}
        }
    }

    fn mark(&mut self, savepoint: Option<String>) {
        let saved = self.saved();
        self.marks.push(Mark { savepoint, file: self.file.clone(), line: self.line, saved });
    }

    fn roll_back(&mut self, to: usize) {
        if self.script.runs() == Runs::Surely {
            let saved = self.marks[to].saved.clone();
            self.restore(saved);
        } else {
            self.keep_since(to, "whether what was done before is rolled back is known to whoever runs the script");
        }
    }

    fn end_transaction(&mut self, chains: bool) {
        // one that is perhaps not ended may be rolled back yet
        if self.script.runs() == Runs::Surely {
            self.marks.clear();
            if chains && self.may_undo {
                self.mark(None);
            }
        }
    }

    fn keep_since(&mut self, mark: usize, why: &str) {
        let saved = self.marks[mark].saved.clone();
        self.keep_what_was(&saved, why);
    }

    /// A session that ends with a transaction open rolls it back, if it is one of psql's.
    pub(super) fn end_session(&mut self) {
        if let Some(mark) = self.marks.first() {
            (self.file, self.line) = (mark.file.clone(), mark.line);
            self.keep_since(0, OPEN);
            self.marks.clear();
        }
    }
}

fn savepoint(statement: &Value) -> Option<String> {
    let plain = Some(text(statement, "savepoint_name")).filter(|n| !n.is_empty()).map(str::to_owned);
    plain.or_else(|| {
        let option = list(statement, "options").iter().find_map(|o| node(o, "DefElem"))?;
        node(option.get("arg")?, "String").map(|s| text(s, "sval").to_owned())
    })
}

/// Whether a text may undo what it does: it says so, or begins a transaction that it does not end.
pub(super) fn may_undo(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let last = |words: &[&str]| words.iter().filter_map(|w| lower.rfind(w)).max();
    let begins = last(&["begin", "start transaction"]);
    ["rollback", "abort", "prepare transaction"].iter().any(|w| lower.contains(w))
        || begins.is_some_and(|at| lower.rfind("commit").is_none_or(|end| end < at))
}
