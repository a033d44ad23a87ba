//! What an upgrade from one release to the next consists of: what is written by hand for that release, then all that can be
//! replaced in place, which is read from `sql/` like everything else.

use std::fmt::Write as _;

use crate::script::expand;
use crate::{Engine, Function, Manifest};

/// What the script of a new release begins as. Its lines with an `@` are filled in as those of the other scripts.
pub const SKELETON: &str = include_str!("upgrade.sql");

/// A statement as an upgrade runs it again; none where it would make a second time what is there. Functions are known by
/// themselves, for the engines differ in them.
pub(crate) fn repeated(statement: String) -> Option<String> {
    if let Some(view) = statement.strip_prefix("create view ") {
        return Some(format!("create or replace view {view}"));
    }
    (statement.starts_with("comment on ") || statement.starts_with("do $again$")).then_some(statement)
}

impl Manifest {
    /// All that can be replaced in place: functions, views, comments, rights, and the list of what belongs to the store.
    pub(crate) fn replacements(&self, engine: Engine) -> Result<String, String> {
        let mut script = String::new();
        if matches!(engine, Engine::Native) {
            // The list of what belongs to the store is made of the portable functions alone, as in an installation.
            for object in self.native_alone() {
                let _ = writeln!(script, "drop function if exists domain_events.{object};");
            }
        }
        script.extend(self.functions.iter().map(Function::replacement));
        script.extend(self.repeated.iter().map(String::as_str));
        if matches!(engine, Engine::Native) {
            script += &expand(&self.native, self, true)?;
        }
        Ok(script)
    }
}
