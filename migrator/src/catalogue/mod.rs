//! What the judge needs to know of a database, as plain data: read once, in one READ ONLY snapshot.

mod find;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use domain_events_sql::quote::{self, quoted};

/// A database as far as triggers, functions and tables go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Name of the database.
    pub database: String,
    /// `server_version_num`.
    pub server_version: i32,
    /// The schemas in which a function without a `search_path` of its own finds unqualified names.
    pub search_path: Vec<String>,
    /// The role that read it.
    pub role: String,
    /// `TimeZone` of the role in this database.
    #[serde(default)]
    pub time_zone: String,
    /// Tables, partitioned tables, views, foreign tables.
    pub relations: Vec<Relation>,
    /// Functions and procedures of users, of any language.
    pub functions: Vec<Function>,
    /// Triggers of users, partition clones included.
    pub triggers: Vec<Trigger>,
    /// Rewrite rules of users, views' own rules left out.
    pub rules: Vec<Rule>,
    /// What is installed of the store; none if nothing.
    pub store: Option<Store>,
    /// Statements of files, or functions, triggers and rules of a server, that it was read from.
    #[serde(default)]
    pub statements: usize,
    /// Tables that files dropped, quoted, and the file that did.
    #[serde(default)]
    pub dropped: BTreeMap<String, String>,
    /// What a person says of tables: whether they hold events.
    #[serde(default)]
    pub treats: BTreeMap<String, Treat>,
}

/// What the rows of a table are, as a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treat {
    /// Each tells of a change of something else.
    Events,
    /// Each is a thing of its own, whose number means something.
    Entity,
}

impl Treat {
    /// As the command line and plans spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Entity => "entity",
        }
    }
}

/// The installed event store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// `native` or `portable`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Owner of schema domain_events.
    pub owner: String,
    /// Tables known to `next_aggregate_version`.
    pub event_tables: Vec<RegisteredTable>,
    /// Tables under capture, active or paused.
    pub captured: Vec<u32>,
    /// Roles, quoted, that may call `next_aggregate_version`.
    pub executors: Vec<String>,
    /// Whether the reading role may grant that.
    pub may_grant: bool,
}

/// A row of `domain_events.event_tables`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredTable {
    /// The table.
    pub oid: u32,
    /// Column with the aggregate type, if the key has one.
    pub type_column: Option<String>,
    /// Column with the aggregate id.
    pub id_column: String,
    /// Column with the version.
    pub version_column: String,
    /// The columns that name a stream, in their order.
    #[serde(default)]
    pub stream_columns: Vec<String>,
}

/// A table or whatever else rows can be inserted into.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// OID.
    pub oid: u32,
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// Qualified and quoted where need be.
    pub quoted: String,
    /// `relkind`.
    pub kind: String,
    /// Whether it is a partition of another table.
    pub is_partition: bool,
    /// The topmost table of its partition tree or, outside of any, itself.
    pub root: u32,
    /// Owner.
    pub owner: String,
    /// Comment.
    pub comment: Option<String>,
    /// Rows as the planner believes.
    pub estimated_rows: f64,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Valid unique indexes without predicate and without expressions.
    pub keys: Vec<Key>,
    /// Roles, other than the owner, that may insert.
    pub inserters: Vec<String>,
    /// Whether a foreign key of another table points here.
    pub referenced: bool,
    /// Views over it.
    pub views: Vec<String>,
    /// md5 of its columns and unique keys.
    pub fingerprint: String,
    /// `relacl` as text.
    pub acl: Option<String>,
    /// What a view of its name could not take over.
    #[serde(default)]
    pub bound: Vec<String>,
    /// The columns that it is partitioned by.
    #[serde(default)]
    pub partition_columns: Vec<String>,
    /// Not in what was read: known by the statements that name it alone.
    #[serde(default)]
    pub assumed: bool,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type with its modifier.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `pg_type.typcategory`, of the base type for domains.
    pub category: String,
    /// The base type of a domain.
    #[serde(default)]
    pub base: Option<String>,
    /// NOT NULL.
    pub not_null: bool,
    /// Default expression.
    pub default: Option<String>,
    /// `attidentity`: empty, `a` or `d`.
    pub identity: String,
    /// `attgenerated`: empty, `s` or, where the values are stored nowhere, `v`.
    pub generated: String,
    /// Whether a foreign key starts here.
    pub references: bool,
    /// Comment.
    pub comment: Option<String>,
    /// Whether an index, a constraint, a view or anything else names it.
    #[serde(default)]
    pub used: bool,
}

impl Column {
    /// Whether the server numbers the rows here: an identity, serial or other column with a sequence.
    pub fn is_numbered(&self) -> bool {
        !self.identity.is_empty() || self.default.as_deref().is_some_and(|d| d.contains("nextval("))
    }

    /// Whether the store can count versions here.
    pub fn is_integer(&self) -> bool {
        matches!(self.plain_type(), "smallint" | "integer" | "bigint")
    }

    /// Whether its type is made in a file that was not read. What is assumed of a column has none.
    pub fn is_of_unknown_type(&self) -> bool {
        self.category == "U"
            && self.base.is_none()
            && !self.data_type.is_empty()
            && !matches!(
                self.data_type.rsplit('.').next().unwrap_or_default(),
                "json"
                    | "jsonb"
                    | "uuid"
                    | "xml"
                    | "xid8"
                    | "xid"
                    | "bytea"
                    | "trigger"
                    | "void"
                    | "hstore"
                    | "ltree"
                    | "geometry"
                    | "geography"
                    | "tsvector"
                    | "point"
                    | "polygon"
            )
            && !self.data_type.ends_with("[]")
    }

    /// Whether numbers are stored here that may be versions already.
    pub fn is_number(&self) -> bool {
        self.is_integer() || self.plain_type().starts_with("numeric")
    }

    fn plain_type(&self) -> &str {
        self.base.as_deref().unwrap_or(&self.data_type)
    }
}

/// A unique key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Name of the index.
    pub name: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its columns in order.
    pub columns: Vec<String>,
}

/// A function or procedure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// OID.
    pub oid: u32,
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// Qualified and quoted, with its argument types.
    pub identity: String,
    /// Names of its input arguments, empty where they have none.
    pub arguments: Vec<String>,
    /// Language.
    pub language: String,
    /// Whether it returns `trigger`.
    pub is_trigger: bool,
    /// `prosrc`.
    pub source: String,
    /// `pg_get_functiondef`.
    pub definition: String,
    /// md5 of the definition.
    pub fingerprint: String,
    /// SECURITY DEFINER.
    pub security_definer: bool,
    /// `proconfig`.
    pub settings: Vec<String>,
    /// `search_path` of its own.
    #[serde(default)]
    pub search_path: Option<Vec<String>>,
    /// `provolatile`.
    pub volatility: String,
    /// Owner.
    pub owner: String,
    /// Comment.
    pub comment: Option<String>,
    /// `proacl` as text.
    pub acl: Option<String>,
}

impl Function {
    /// Whether it is one of the tool's own that serve an adopted event table.
    pub fn adopts(&self) -> bool {
        self.comment.as_deref().unwrap_or_default().starts_with(crate::marks::ADOPTION)
    }

    /// Whether the tool made it.
    pub fn is_own(&self) -> bool {
        let comment = self.comment.as_deref().unwrap_or_default();
        // the store's reader of a registered table lives beside it
        let reads = comment.ends_with("for domain_events.next_aggregate_version()");
        self.adopts() || reads || comment.starts_with(crate::marks::SHIM)
    }
}

/// A trigger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// OID.
    pub oid: u32,
    /// Name, unquoted.
    pub name: String,
    /// Its table.
    pub relation: u32,
    /// Its function.
    pub function: u32,
    /// `tgenabled`: O, D, R or A.
    pub enabled: String,
    /// The trigger of the partitioned table that it is a clone of.
    pub parent: Option<u32>,
    /// BEFORE, AFTER or INSTEAD OF.
    pub timing: String,
    /// INSERT, UPDATE, DELETE, TRUNCATE.
    pub events: Vec<String>,
    /// FOR EACH ROW.
    pub row: bool,
    /// UPDATE OF columns.
    pub columns: Vec<String>,
    /// Whether it has a WHEN condition; the definition holds it.
    pub conditional: bool,
    /// Arguments.
    pub arguments: Vec<String>,
    /// `pg_get_triggerdef`.
    pub definition: String,
    /// md5 of the definition and of its function's.
    pub fingerprint: String,
    /// Comment.
    pub comment: Option<String>,
}

/// A rewrite rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Name, unquoted.
    pub name: String,
    /// Its table.
    pub relation: u32,
    /// `pg_get_ruledef`.
    pub definition: String,
}

impl Trigger {
    /// Whether an ordinary INSERT of a row passes through it before the row is stored.
    pub fn changes_inserts(&self) -> bool {
        self.timing == "BEFORE"
            && self.row
            && !matches!(self.enabled.as_str(), "D" | "R")
            && self.events.iter().any(|e| e == "INSERT")
    }
}

impl Relation {
    /// A table of which the name alone is known.
    pub fn bare(oid: u32, schema: String, name: String) -> Self {
        Self {
            oid,
            root: oid,
            quoted: format!("{}.{}", quoted(&schema), quoted(&name)),
            schema,
            name,
            kind: "r".into(),
            assumed: true,
            ..Self::default()
        }
    }

    /// Whether a unique key keeps a version of a stream from being stored twice.
    pub fn is_keyed_by(&self, stream: &[String], version: Option<&str>) -> bool {
        let columns = stream.iter().map(String::as_str).chain(version);
        self.keys.iter().any(|k| columns.clone().all(|c| k.columns.iter().any(|own| own == c)))
    }

    /// Whether a person who writes this means the relation: by its schema, or without it where `path` leads there; quoted as SQL
    /// demands it or not, needlessly too.
    pub fn is_called(&self, name: &str, path: &[String]) -> bool {
        let own = [self.schema.as_str(), self.name.as_str()];
        let parts = quote::name_parts(name).unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        name == self.quoted
            || name == own.join(".")
            || parts == own
            || (name == self.name || parts == own[1..]) && path.contains(&self.schema)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}
