//! What a file gives, as plain data: SQL, tables that its code makes, and what was not understood.

use super::value::Text;
use domain_events_mysql::source::Dialect;

/// The servers for which something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Only {
    /// PostgreSQL.
    pub postgres: bool,
    /// MySQL and MariaDB.
    pub mysql: bool,
}

impl Only {
    /// All of them.
    pub const ALL: Self = Self { postgres: true, mysql: true };

    /// Whether it counts for one.
    pub fn counts(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::MySql => self.mysql,
        }
    }

    /// Both conditions.
    pub fn and(self, other: Self) -> Self {
        Self { postgres: self.postgres && other.postgres, mysql: self.mysql && other.mysql }
    }

    /// The opposite, of a condition that speaks of servers.
    pub fn not(self) -> Self {
        if self == Self::ALL { self } else { Self { postgres: !self.postgres, mysql: !self.mysql } }
    }

    /// What the test of a branch says.
    pub fn of(test: &str, negated: bool) -> Self {
        let test = test.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| test.contains(w));
        let said = Self { postgres: has(&["pgsql", "postgres", "'pg'", "\"pg\""]), mysql: has(&["mysql", "mariadb"]) };
        let speaks = said.postgres || said.mysql || has(&["sqlite", "sqlsrv", "mssql", "oracle", "sqlserver"]);
        let not = negated
            != (has(&["!=", "!str", "!in_", "not in", "is not"]) || test.trim_start_matches('(').starts_with('!'));
        match (speaks, not) {
            (false, _) => Self::ALL,
            (true, false) => said,
            (true, true) => Self { postgres: !said.postgres, mysql: !said.mysql },
        }
    }
}

/// Something that a file gives.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its row in the file, from 0.
    pub row: usize,
    /// For whom it counts.
    pub only: Only,
    /// What it is.
    pub what: What,
}

/// What a file gives.
#[derive(Debug, Clone)]
pub enum What {
    /// SQL.
    Sql(Text),
    /// A table that is made or changed.
    Made(Made),
    /// A table that is dropped.
    Dropped(Name),
    /// A table that gets another name.
    Renamed(Name, String),
    /// Something that was not understood.
    Problem {
        /// Its kind and name, where they are known.
        about: Option<String>,
        /// Why.
        reason: String,
    },
}

/// A table's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// Its schema.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
}

impl Name {
    /// From what people write: with its schema before a dot, or without.
    pub fn of(written: &str) -> Self {
        match written.split_once('.') {
            Some((schema, name)) if !name.is_empty() && !schema.is_empty() => {
                Self { schema: Some(schema.into()), name: name.into() }
            }
            _ => Self { schema: None, name: written.into() },
        }
    }

    /// As a statement names it.
    pub fn quoted(&self, dialect: Dialect) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema, dialect), quoted(&self.name, dialect)),
            None => quoted(&self.name, dialect),
        }
    }
}

/// A table that is made or changed.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// Its name.
    pub table: Name,
    /// Whether it is new.
    pub is_new: bool,
    /// Columns.
    pub columns: Vec<Column>,
    /// Unique keys.
    pub keys: Vec<Key>,
    /// Columns that go.
    pub dropped: Vec<String>,
    /// Columns that get another name.
    pub renamed: Vec<(String, String)>,
}

/// A column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in words of PostgreSQL.
    pub data_type: String,
    /// Whether it is never null.
    pub not_null: bool,
    /// Its default, as SQL.
    pub default: Option<String>,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Whether it is unique.
    pub unique: bool,
    /// Whether it counts by itself.
    pub serial: bool,
    /// Whether it is there already.
    pub changed: bool,
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its columns.
    pub columns: Vec<String>,
}

fn quoted(name: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => domain_events_sql::quote::quote_ident(name),
        Dialect::MySql => format!("`{}`", name.replace('`', "``")),
    }
}

fn list(names: &[String], dialect: Dialect) -> String {
    names.iter().map(|n| quoted(n, dialect)).collect::<Vec<_>>().join(", ")
}

/// A type in words of MySQL.
fn of_mysql(data_type: &str) -> String {
    match data_type {
        "timestamp" | "timestamptz" => "datetime".into(),
        "jsonb" => "json".into(),
        "uuid" => "char(36)".into(),
        "bytea" => "blob".into(),
        "boolean" => "tinyint(1)".into(),
        "varchar" => "varchar(255)".into(),
        "numeric" => "decimal(10,0)".into(),
        "double precision" => "double".into(),
        "real" => "float".into(),
        other if other.starts_with("numeric(") => other.replacen("numeric", "decimal", 1),
        other if ["smallint", "integer", "bigint", "text", "date", "time", "json"].contains(&other) => other.into(),
        other if other.starts_with("varchar(") || other.starts_with("char(") => other.into(),
        _ => "text".into(),
    }
}

impl Column {
    fn sql(&self, dialect: Dialect) -> String {
        let data_type = match (dialect, self.serial) {
            (Dialect::Postgres, true) => match self.data_type.as_str() {
                "bigint" => "bigserial".into(),
                "smallint" => "smallserial".into(),
                _ => "serial".into(),
            },
            (Dialect::Postgres, false) => self.data_type.clone(),
            (Dialect::MySql, serial) => {
                format!("{}{}", of_mysql(&self.data_type), if serial { " auto_increment" } else { "" })
            }
        };
        let mut sql = format!("{} {data_type}", quoted(&self.name, dialect));
        if self.not_null || self.primary {
            sql.push_str(" not null");
        }
        if let Some(default) = self.default.as_ref().filter(|_| !self.serial) {
            sql.push_str(&format!(" default {default}"));
        }
        sql
    }
}

impl Made {
    /// The keys of its columns and of itself.
    fn all_keys(&self) -> Vec<Key> {
        let primary: Vec<String> = self.columns.iter().filter(|c| c.primary).map(|c| c.name.clone()).collect();
        let mut keys = vec![];
        if !primary.is_empty() && !self.keys.iter().any(|k| k.primary) {
            keys.push(Key { primary: true, columns: primary });
        }
        let unique = self.columns.iter().filter(|c| c.unique);
        keys.extend(unique.map(|c| Key { primary: false, columns: vec![c.name.clone()] }));
        for key in &self.keys {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// The statements that do the same.
    pub fn sql(&self, dialect: Dialect) -> Vec<String> {
        let table = self.table.quoted(dialect);
        let constraint = |key: &Key| {
            let columns = list(&key.columns, dialect);
            if key.primary { format!("primary key ({columns})") } else { format!("unique ({columns})") }
        };
        if self.is_new {
            let keys = self.all_keys();
            let elements = self.columns.iter().map(|c| c.sql(dialect)).chain(keys.iter().map(constraint));
            let elements = elements.collect::<Vec<_>>().join(", ");
            // functions of other files may give it columns; MySQL has no table without one
            if elements.is_empty() && dialect == Dialect::MySql {
                return vec![];
            }
            return vec![format!("create table if not exists {table} ({elements})")];
        }
        let mut statements = vec![];
        let mut alter = |step: String| statements.push(format!("alter table {table} {step}"));
        for (old, new) in &self.renamed {
            alter(format!("rename column {} to {}", quoted(old, dialect), quoted(new, dialect)));
        }
        self.dropped.iter().for_each(|c| alter(format!("drop column {}", quoted(c, dialect))));
        for column in &self.columns {
            if !column.changed {
                alter(format!("add column {}", column.sql(dialect)));
            } else if !column.data_type.is_empty() {
                alter(match dialect {
                    Dialect::Postgres => {
                        format!("alter column {} type {}", quoted(&column.name, dialect), column.data_type)
                    }
                    Dialect::MySql => format!("modify column {}", column.sql(dialect)),
                });
            }
        }
        self.all_keys().iter().for_each(|key| alter(format!("add {}", constraint(key))));
        statements
    }
}

impl What {
    /// The statements of a table that code makes.
    pub fn of_tables(&self, dialect: Dialect) -> Vec<String> {
        match self {
            Self::Made(made) => made.sql(dialect),
            Self::Dropped(name) => vec![format!("drop table if exists {}", name.quoted(dialect))],
            Self::Renamed(old, new) => {
                vec![format!("alter table {} rename to {}", old.quoted(dialect), quoted(new, dialect))]
            }
            Self::Sql(_) | Self::Problem { .. } => vec![],
        }
    }
}
