//! Names: columns, variables, NEW and OLD.

use sqlparser::ast::Ident;

use super::Translator;
use super::value::{Sql, Ty};
use sqlparser::ast::{ObjectName, ObjectNamePart};

impl Translator<'_> {
    pub(super) fn name(&mut self, name: &Ident) -> Sql {
        let text = name.value.as_str();
        if text.starts_with("@@") {
            return self.system_variable(text);
        }
        if text.starts_with('@') {
            return self.user_variable(text);
        }
        // a variable hides a column of the same name
        if let Some(variable) = self.variable(text) {
            return of_variable(variable);
        }
        for scope in self.from.iter().rev() {
            for (_, table) in scope {
                if let Some(column) = table.and_then(|t| t.column(text)) {
                    let name = match &self.qualifier {
                        Some(qualifier) => format!("{qualifier}.{}", column.quoted),
                        None => column.quoted.clone(),
                    };
                    return of_column(&name, column, true);
                }
            }
        }
        Sql::atom(domain_events_sql::quote::quoted(text), Ty::Unknown)
    }

    pub(super) fn compound_name(&mut self, parts: &[Ident]) -> Sql {
        let words: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
        if words[0].starts_with("@@") {
            return self.system_variable(&words.join("."));
        }
        let [.., qualifier, column] = words.as_slice() else { return self.refuse(&words.join("."), "no such name") };
        if self.excluded.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(qualifier)) {
            return self.excluded_column(column);
        }
        for row in ["new", "old"] {
            if qualifier.eq_ignore_ascii_case(row) && self.row.is_some() {
                let Some(table) = self.row else { break };
                return match table.column(column) {
                    Some(found) => of_column(&format!("{row}.{}", found.quoted), found, false),
                    None => {
                        let reason = format!("table {} has no column {column}", table.name);
                        self.refuse(&words.join("."), reason)
                    }
                };
            }
        }
        for scope in self.from.iter().rev() {
            if let Some((alias, table)) = scope.iter().find(|(a, _)| a.eq_ignore_ascii_case(qualifier)) {
                let alias = domain_events_sql::quote::quoted(alias);
                return match table.and_then(|t| t.column(column)) {
                    Some(found) => of_column(&format!("{alias}.{}", found.quoted), found, true),
                    None => Sql::atom(format!("{alias}.{}", domain_events_sql::quote::quoted(column)), Ty::Unknown),
                };
            }
        }
        let quoted: Vec<String> = [qualifier, column].map(|w| domain_events_sql::quote::quoted(w)).to_vec();
        Sql::atom(quoted.join("."), Ty::Unknown)
    }

    /// The value that an INSERT would have written.
    pub fn excluded_column(&mut self, column: &str) -> Sql {
        let found = self.from.last().and_then(|s| s.first()).and_then(|(_, t)| *t).and_then(|t| t.column(column));
        match found {
            Some(found) => of_column(&format!("excluded.{}", found.quoted), found, true),
            None => Sql::atom(format!("excluded.{}", domain_events_sql::quote::quoted(column)), Ty::Unknown),
        }
    }
}

/// A variable's value.
pub fn of_variable(variable: &super::context::Variable) -> Sql {
    let slot = &variable.slot;
    let (unsigned, listed) = (slot.unsigned, slot.listed);
    let mut value = Sql { collation: slot.collation, unsigned, listed, ..Sql::atom(&variable.quoted, slot.ty) };
    value.postgres = Some(slot.postgres.split('(').next().unwrap_or_default().to_owned());
    value
}

pub(super) fn of_column(text: &str, column: &super::context::Column, indexed: bool) -> Sql {
    let (unsigned, listed) = (column.unsigned, column.listed);
    let mut value = Sql { collation: column.collation, indexed, unsigned, listed, ..Sql::atom(text, column.ty) };
    if column.postgres == "boolean" {
        value.truth = Some(text.to_owned());
        value.text = format!("{text}::int");
    }
    if column.postgres.starts_with("bit") {
        value.text = format!("{text}::bigint");
    }
    value.postgres = Some(column.postgres.split('(').next().unwrap_or_default().to_owned());
    value
}

/// A list in one line if it is short, else one item a line.
pub fn listed(items: &[String]) -> String {
    let length: usize = items.iter().map(|i| i.len() + 2).sum();
    if length <= 100 { items.join(", ") } else { format!("\n  {}", items.join(",\n  ")) }
}

/// The last part of a name.
pub fn last(name: &ObjectName) -> String {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(name)) => name.value.clone(),
        _ => String::new(),
    }
}
