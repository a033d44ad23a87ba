//! Which functions go forward and which undo that, by their names.

use super::value::plain;

/// Functions that go forward.
const FORWARD: [&str; 9] =
    ["up", "safeup", "change", "migrateup", "upgrade", "forwards", "forward", "upgradedatabase", "dataupgrades"];

/// How names of those begin that go back.
const BACKWARD: [&str; 9] =
    ["down", "safedown", "migratedown", "downgrade", "backward", "rollback", "revert", "reverse", "undo"];

/// Whether a function undoes something, by its name.
pub fn goes_back(name: &str) -> bool {
    let name = plain(name);
    BACKWARD.iter().any(|b| name == *b || (*b != "down" && name.starts_with(b)))
}

pub fn goes_forward(name: &str) -> bool {
    FORWARD.contains(&plain(name).as_str())
}
