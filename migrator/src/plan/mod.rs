//! From findings to a plan: a sequence of steps with everything that is needed to carry them out and to take them back.

mod adopt;
pub mod bring;
mod build;
pub(crate) mod calls;
mod capture;
mod document;
mod draft;
mod file;
mod rewrite;
pub(crate) mod shim;
pub mod splice;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use build::build;
pub use document::text;
pub use draft::Choices;
pub use file::{check_decided, check_out, read, write};

use crate::adopt::Legacy;
use crate::judge::{Strategy, VersionSource};
use crate::source::Treat;

/// Version of the file's format.
pub const FORMAT: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the file's format.
    pub format: u32,
    /// Its id, in the file and in the journal.
    pub plan_id: String,
    /// Version of the tool that made it.
    pub tool: String,
    /// Name of the database.
    pub database: String,
    /// Digest of what a person may decide in the file.
    pub decisions: String,
    /// Digest of everything else.
    pub content: String,
    /// The event tables that the ports write.
    #[serde(default, rename = "event_table")]
    pub event_tables: Vec<EventTable>,
    /// One per event-writing statement that needs work.
    #[serde(default, rename = "port")]
    pub ports: Vec<Port>,
    /// What a person says that the rows of tables are: the answers of --treat.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub treat: BTreeMap<String, Treat>,
    /// What was translated from another dialect; the steps create it.
    #[serde(default)]
    pub translated: Vec<Brought>,
    /// Everything the plan relies on or replaces, as it is before.
    #[serde(default, rename = "object")]
    pub objects: Vec<Object>,
    /// What apply runs.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
    /// The event tables that become views over the store.
    #[serde(default, rename = "adoption", skip_serializing_if = "Vec::is_empty")]
    pub adoptions: Vec<Legacy>,
    /// What `apply --finish` runs once the plan is applied: it drops what was disabled.
    #[serde(default)]
    pub finish: Vec<Statement>,
    /// What `apply --finish` runs once the plan is rolled back: it drops what the plan had made.
    #[serde(default)]
    pub clear: Vec<Statement>,
}

/// A legacy event table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventTable {
    /// Its name.
    pub table: String,
    /// Decision: the columns that name a stream, in their order.
    #[serde(default)]
    pub stream: Vec<String>,
    /// Column with the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_column: Option<String>,
    /// Decision: nothing but the ported functions inserts here. `rewrite` needs it.
    pub sole_writer: bool,
    /// Decision: nothing else reads or writes here. `capture` needs it.
    pub unused_elsewhere: bool,
    /// Decision: its events move into the store, and its name becomes a view.
    #[serde(default)]
    pub adopt: bool,
    /// Who else does, as far as the database knows.
    #[serde(default)]
    pub other_users: Vec<String>,
}

/// A statement to port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Code of the finding.
    pub code: String,
    /// The trigger, if one leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The trigger's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The function that holds the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Line in its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The event table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_table: Option<String>,
    /// The event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Where the version came from.
    pub version_source: VersionSource,
    /// Decision: how it is ported.
    pub strategy: Strategy,
    /// What may be chosen.
    pub allowed: Vec<Strategy>,
    /// Why.
    pub reasons: Vec<String>,
    /// What will not be as it was.
    pub declared_differences: Vec<String>,
    /// Columns of the event table that `verify` does not compare.
    #[serde(default)]
    pub not_compared: Vec<String>,
}

/// An object that the plan relies on or replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// trigger, function, table.
    pub kind: ObjectKind,
    /// Qualified and quoted; a trigger's bare name.
    pub name: String,
    /// A trigger's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How it is before; absent if it must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<State>,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A trigger on a table.
    Trigger,
    /// A function.
    Function,
    /// A table: its columns and unique keys.
    Table,
    /// The capture of a table.
    Capture,
    /// The registration of an event table.
    EventTable,
}

impl ObjectKind {
    /// As the journal spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Function => "function",
            Self::Table => "table",
            Self::Capture => "capture",
            Self::EventTable => "event_table",
        }
    }
}

/// An object's state, as far as it is compared and restored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// md5 of what defines it.
    pub fingerprint: String,
    /// `tgenabled` of a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<String>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<String>,
    /// Definition, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// Statements that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// For people.
    pub title: String,
    /// Steps of one number are carried out in one transaction.
    pub transaction: u32,
    /// Taken first, in this order, each in SHARE ROW EXCLUSIVE mode.
    pub locks: Vec<String>,
    /// Taken before those, in ACCESS EXCLUSIVE mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusive: Vec<String>,
    /// What is run.
    #[serde(default, rename = "statement")]
    pub statements: Vec<Statement>,
}

/// A statement of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The object it changes.
    pub object: ObjectName,
    /// Its lock and whom it can keep waiting.
    pub lock: String,
    /// How long it takes.
    pub expected: String,
    /// The SQL.
    pub sql: String,
    /// What takes it back; nothing if it can stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// The object that a statement changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: ObjectKind,
    /// Qualified and quoted; a trigger's bare name.
    pub name: String,
    /// A trigger's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl ObjectName {
    /// As the journal spells it.
    pub fn identity(&self) -> String {
        match &self.table {
            Some(table) => format!("{} on {table}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Object {
    /// Its name alone.
    pub fn object_name(&self) -> ObjectName {
        ObjectName { kind: self.kind, name: self.name.clone(), table: self.table.clone() }
    }
}

impl Plan {
    /// Digest of what a person may decide in the file.
    pub fn digest_of_decisions(&self) -> String {
        let ports: Vec<_> =
            self.ports.iter().map(|p| (&p.trigger, &p.table, &p.function, p.line, p.strategy)).collect();
        let tables: Vec<_> = self
            .event_tables
            .iter()
            .map(|t| (&t.table, &t.stream, t.sole_writer, t.unused_elsewhere, t.adopt))
            .collect();
        let mappings: Vec<_> = self.adoptions.iter().map(|a| (a.view_name(), &a.mapping)).collect();
        if self.treat.is_empty() {
            digest(&(ports, tables, mappings))
        } else {
            digest(&(ports, tables, mappings, &self.treat))
        }
    }

    /// Digest of everything in the file that is no decision: what is run, what `verify` compares by, and the id, by which the
    /// journal knows the plan.
    pub fn digest_of_content(&self) -> String {
        let head = (self.format, &self.plan_id, &self.tool, &self.database);
        let tables: Vec<_> = self.event_tables.iter().map(|t| (&t.table, &t.version_column, &t.other_users)).collect();
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|p| {
                let place = (&p.code, &p.trigger, &p.table, &p.function, p.line);
                let judged = (&p.event_table, &p.event_type, p.version_source, &p.allowed, &p.reasons);
                (place, judged, &p.declared_differences, &p.not_compared)
            })
            .collect();
        let adoptions: Vec<_> = self
            .adoptions
            .iter()
            .map(|a| (&a.schema, &a.name, &a.side, &a.owner, &a.columns, &a.key, &a.only_in_store))
            .collect();
        digest(&(head, tables, ports, adoptions, self.digest_of_sql()))
    }

    /// Digest of what is run, and of what it relies on: the same plan, made again, has the same.
    pub fn digest_of_sql(&self) -> String {
        if self.translated.is_empty() {
            return digest(&(&self.objects, &self.steps, &self.finish, &self.clear));
        }
        digest(&(&self.objects, &self.steps, &self.finish, &self.clear, &self.translated))
    }

    /// Whether apply has anything to do.
    pub fn has_steps(&self) -> bool {
        self.steps.iter().any(|s| !s.statements.is_empty())
    }

    /// Whether something is left to a person.
    pub fn has_manual(&self) -> bool {
        self.ports.iter().any(|p| p.strategy == Strategy::Manual)
    }
}

fn digest<T: Serialize>(value: &T) -> String {
    // serialising plain structs to a string cannot fail
    let text = serde_json::to_string(value).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().take(12).map(|b| format!("{b:02x}")).collect()
}

/// A translated program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Brought {
    /// trigger, function, procedure, or helper: a function that PostgreSQL lacks.
    pub kind: String,
    /// Its name in the source.
    pub name: String,
    /// The file, or the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What it does otherwise than before.
    #[serde(default)]
    pub declared: Vec<String>,
    /// Why it cannot be created as it is, its routines included.
    #[serde(default)]
    pub refused: Vec<String>,
    /// `@x -> app.x`: variables of the session and the settings they became.
    #[serde(default)]
    pub settings: Vec<String>,
    /// The function, as the catalogue spells it.
    pub function: String,
    /// The trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Its table, quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What creates the function.
    pub sql: String,
    /// What creates the trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_sql: Option<String>,
}
