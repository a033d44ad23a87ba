//! What translation knows of the world round an expression: tables with their types on both sides, routines, variables.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Collation, Ty};

/// Whose semantics are kept where the two differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL 8.
    #[default]
    MySql,
    /// MariaDB.
    MariaDb,
}

/// Tables and routines of the source, under their names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The schema in PostgreSQL that everything goes to.
    pub schema: String,
    /// Whose semantics.
    pub flavor: Flavor,
    /// The database's name in the source, if it is known.
    pub database: Option<String>,
    /// An INSERT IGNORE stays one (ON CONFLICT DO NOTHING), for a reader that looks for lost events; else it fails loudly.
    pub ignoring: bool,
    /// Tables.
    pub tables: BTreeMap<String, Table>,
    /// Functions and procedures.
    pub routines: BTreeMap<String, Routine>,
    /// User variables that one program reads and another one, or the application, sets.
    pub session_variables: BTreeSet<String>,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name in the source.
    pub name: String,
    /// Qualified and quoted for PostgreSQL.
    pub quoted: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Columns of its primary key and of its unique keys.
    pub keys: Vec<Vec<String>>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Quoted for PostgreSQL where it must be.
    pub quoted: String,
    /// What MySQL takes it for.
    pub ty: Ty,
    /// PostgreSQL's type.
    pub postgres: String,
    /// How it compares.
    pub collation: Collation,
    /// UNSIGNED.
    pub unsigned: bool,
    /// ENUM or SET.
    pub listed: bool,
    /// NOT NULL.
    pub not_null: bool,
    /// Its value is made when none is given: AUTO_INCREMENT.
    pub numbered: bool,
}

/// A function or procedure.
#[derive(Debug, Clone)]
pub struct Routine {
    /// Qualified and quoted for PostgreSQL.
    pub quoted: String,
    /// Parameters: what they are to MySQL, and PostgreSQL's type.
    pub parameters: Vec<Slot>,
    /// What it returns; none of a procedure.
    pub returns: Option<Slot>,
}

/// A place that a value is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// What MySQL takes it for.
    pub ty: Ty,
    /// PostgreSQL's type.
    pub postgres: String,
    /// How it compares.
    pub collation: Collation,
    /// UNSIGNED.
    pub unsigned: bool,
    /// ENUM or SET.
    pub listed: bool,
    /// AUTO_INCREMENT: NULL and 0 ask for a number.
    pub numbered: bool,
}

/// A variable or parameter in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name in PL/pgSQL.
    pub quoted: String,
    /// What is in it.
    pub slot: Slot,
}

impl Known {
    /// A table by its name in the source: the one of just this name, if several differ by case alone.
    pub fn table(&self, name: &str) -> Option<&Table> {
        let exact = self.tables.get(name).filter(|t| t.name == name);
        exact.or_else(|| self.tables.get(&name.to_lowercase()))
    }

    /// A routine by its name in the source.
    pub fn routine(&self, name: &str) -> Option<&Routine> {
        self.routines.get(&name.to_lowercase())
    }
}

impl Table {
    /// A column by its name, which MySQL compares without regard to case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }
}

impl Column {
    /// Where its value is put.
    pub fn slot(&self) -> Slot {
        Slot {
            ty: self.ty,
            postgres: self.postgres.clone(),
            collation: self.collation,
            unsigned: self.unsigned,
            listed: self.listed,
            numbered: self.numbered,
        }
    }
}
