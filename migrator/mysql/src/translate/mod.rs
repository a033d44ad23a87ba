//! From MySQL's expressions and stored programs to PostgreSQL's, keeping what they mean. What cannot be kept is declared in a
//! note; what cannot be translated is refused in one, and stands in the text as a call of [`UNTRANSLATED`], so that whoever
//! reads the text still sees the statement round it.

mod assign;
mod body;
mod calls;
mod cast;
mod coerce;
mod compare;
pub mod constructs;
pub mod context;
mod dml;
pub mod effects;
mod expr;
pub mod flow;
mod functions;
mod handlers;
pub mod helpers;
mod interval;
mod known;
mod names;
pub mod notes;
mod operators;
pub mod program;
mod query;
#[cfg(test)]
mod tests;
pub mod value;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use context::{Known, Table, Variable};
use helpers::Helper;
use notes::{Fidelity, Note};
use value::{Sql, Ty};

/// What stands where an expression was not translated. No such function exists.
pub const UNTRANSLATED: &str = "domain_events.not_translated";

/// Translates the parts of one program.
pub struct Translator<'a> {
    /// The world round it.
    pub known: &'a Known,
    /// What was said on the way.
    pub notes: Vec<Note>,
    /// Functions that the text calls and that PostgreSQL lacks.
    pub helpers: BTreeSet<Helper>,
    /// User variables that became settings: `@x` and `app.x`.
    pub settings: BTreeMap<String, String>,
    /// Line of the statement at hand.
    pub line: u64,
    /// Whether a `ROW_COUNT()` is read somewhere in the program.
    pub counts_rows: bool,
    /// The table of NEW and OLD.
    pub row: Option<&'a Table>,
    /// Variables, innermost block last.
    scopes: Vec<BTreeMap<String, Variable>>,
    /// User variables that live in the program alone.
    locals: BTreeMap<String, Variable>,
    /// Tables of the queries at hand, innermost last: alias and table.
    from: Vec<Vec<(String, Option<&'a Table>)>>,
    /// What a column without qualifier is qualified by, where PostgreSQL would find two of the name.
    qualifier: Option<String>,
    /// The alias of the new row in ON DUPLICATE KEY UPDATE.
    excluded: Option<String>,
}

impl<'a> Translator<'a> {
    /// One for a program.
    pub fn new(known: &'a Known) -> Self {
        Self {
            known,
            notes: vec![],
            helpers: BTreeSet::new(),
            settings: BTreeMap::new(),
            line: 1,
            counts_rows: false,
            row: None,
            scopes: vec![BTreeMap::new()],
            locals: BTreeMap::new(),
            from: vec![],
            qualifier: None,
            excluded: None,
        }
    }

    /// Says that something is not as it was.
    pub fn declare(&mut self, construct: &str, text: impl Into<String>) {
        self.note(Fidelity::Declared, construct, text.into());
    }

    /// Says that something was not translated, and gives what stands in its place.
    pub fn refuse(&mut self, construct: &str, reason: impl Into<String>) -> Sql {
        self.note(Fidelity::Refused, construct, reason.into());
        Sql::atom(format!("{UNTRANSLATED}({})", value::literal(construct)), Ty::Unknown)
    }

    fn note(&mut self, fidelity: Fidelity, construct: &str, text: String) {
        let note = Note { fidelity, construct: construct.to_owned(), text, line: self.line };
        // a difference is told once, whatever the number of places
        if !self.notes.iter().any(|n| n.fidelity == fidelity && n.construct == note.construct && n.text == note.text) {
            self.notes.push(note);
        }
    }

    /// Calls a function that the plan brings along.
    pub fn help(&mut self, helper: Helper, arguments: &[String], ty: Ty) -> Sql {
        self.helpers.insert(helper);
        Sql::atom(format!("{}.{}({})", self.schema(), helper.name(), arguments.join(", ")), ty)
    }

    /// The schema, quoted.
    pub fn schema(&self) -> String {
        domain_events_sql::quote::quoted(&self.known.schema)
    }

    /// A variable by its name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let name = name.to_lowercase();
        self.scopes.iter().rev().find_map(|s| s.get(&name))
    }

    /// Declares a variable in the innermost block.
    pub fn declare_variable(&mut self, name: &str, slot: context::Slot) -> Variable {
        let quoted = domain_events_sql::quote::quoted(&name.to_lowercase());
        let variable = Variable { quoted, slot };
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_lowercase(), variable.clone());
        }
        variable
    }

    /// Worst of what was said.
    pub fn fidelity(&self) -> Fidelity {
        self.notes.iter().map(|n| n.fidelity).max().unwrap_or(Fidelity::Kept)
    }
}
