//! What a statement locks by itself, and what is to be said of a lock.

use serde_json::Value;

use crate::sql_tree::ast;

/// Whether a lock is taken before a statement, and whether it holds the stream.
pub(super) enum Held {
    /// By a lock of this kind.
    By(&'static str),
    /// By an advisory lock that holds something else, with what its key is made of.
    NotBy(Vec<String>),
    /// By nothing.
    Not,
}

/// How an advisory lock is called.
pub(super) const ADVISORY: &str = "an advisory lock";

/// Whether a function takes one and waits for it.
pub(super) fn is_advisory(name: &str) -> bool {
    matches!(name, "pg_advisory_xact_lock" | "pg_advisory_lock")
}

/// What a statement itself locks.
pub(super) fn lock_in(tree: &Value) -> Option<&'static str> {
    if ast::calls(tree).iter().any(|(_, name, _)| is_advisory(name)) {
        return Some(ADVISORY);
    }
    // ROW EXCLUSIVE (3) and weaker let two sessions in; SHARE UPDATE EXCLUSIVE (4) and stronger do not
    let strong = |l: &&Value| l.get("mode").and_then(Value::as_i64).is_some_and(|mode| mode >= 4);
    if ast::find(tree, "LockStmt").iter().any(strong) {
        return Some("a table lock");
    }
    // strength 4 and 5: FOR NO KEY UPDATE and FOR UPDATE
    let held = |l: &&Value| l.get("strength").and_then(Value::as_i64).is_some_and(|s| s >= 4);
    if ast::find(tree, "LockingClause").iter().any(held) {
        return Some("a row lock");
    }
    None
}
