//! Statements that change rows.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, OnInsert, SetExpr, Statement, TableFactor,
    TableObject, Update,
};

use super::Translator;
use super::context::{Slot, Table};
use super::names::last;
use super::names::listed;

/// What an INSERT that may fail becomes, told to the user.
pub const IGNORE: &str = "INSERT IGNORE";

impl<'a> Translator<'a> {
    /// INSERT, REPLACE, UPDATE, DELETE; none for another statement.
    pub fn change(&mut self, statement: &Statement) -> Option<String> {
        Some(match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Truncate(truncate) => {
                self.declare("TRUNCATE", "part of the transaction; in MySQL it commits");
                let names: Vec<String> = truncate.table_names.iter().map(|t| self.table(&t.name).0).collect();
                format!("truncate {}", names.join(", "))
            }
            _ => return None,
        })
    }

    fn insert(&mut self, insert: &Insert) -> String {
        let TableObject::TableName(name) = &insert.table else {
            return self.refuse(&insert.table.to_string(), "this form of INSERT").text;
        };
        let (target, table) = self.table(name);
        let mut names: Vec<String> = insert.columns.iter().map(last).collect();
        if !insert.assignments.is_empty() {
            names = insert.assignments.iter().map(target_name).collect();
        }
        let positional = names.is_empty();
        if positional && let Some(table) = table {
            names = table.columns.iter().map(|c| c.name.clone()).collect();
        }
        let slots = self.slots(table, &names);
        let quoted: Vec<String> = names.iter().map(|n| self.column_name(table, n)).collect();
        let columns = if quoted.is_empty() { String::new() } else { format!(" ({})", listed(&quoted)) };
        let body = if insert.assignments.is_empty() {
            match insert.source.as_deref() {
                Some(query) => {
                    if positional && let SetExpr::Values(values) = query.body.as_ref() {
                        let given = values.rows.first().map_or(0, |r| r.content.len());
                        if table.is_some() && given != names.len() {
                            self.refuse(&name.to_string(), format!("{given} values for {} columns", names.len()));
                        }
                    }
                    self.query(query, &slots, "").0
                }
                None => "default values".to_owned(),
            }
        } else {
            let mut values = vec![];
            for (n, assignment) in insert.assignments.iter().enumerate() {
                let value = self.expr(&assignment.value);
                values.push(match slots.get(n) {
                    Some(slot) if slot.numbered && super::query::asks_for_a_number(&value) => "default".to_owned(),
                    Some(slot) => self.store(&value, slot).text,
                    None => value.text,
                });
            }
            format!("values ({})", listed(&values))
        };
        let mut text = format!("insert into {target}{columns}\n{body}");
        if insert.replace_into {
            text = self.replace(&target, table, &names, &quoted, &columns, &body);
        } else if let Some(OnInsert::DuplicateKeyUpdate(assignments)) = &insert.on {
            text = self.upsert(insert, &target, table, &names, &columns, &body, assignments);
        } else if insert.ignore {
            if self.known.ignoring {
                text.push_str("\non conflict do nothing");
            }
            self.declare(
                IGNORE,
                "an error fails the statement: what MySQL swallowed in silence (duplicates, wrong values, missing parents) is loud now",
            );
        }
        text
    }

    fn slots(&self, table: Option<&Table>, names: &[String]) -> Vec<Slot> {
        match table {
            Some(table) => names
                .iter()
                .map(|n| {
                    table
                        .column(n)
                        .map_or_else(|| super::body::slot(super::Ty::Unknown, ""), super::context::Column::slot)
                })
                .collect(),
            None => vec![],
        }
    }

    fn column_name(&mut self, table: Option<&Table>, name: &str) -> String {
        match table.map(|t| (t, t.column(name))) {
            Some((_, Some(column))) => column.quoted.clone(),
            Some((table, None)) => {
                let reason = format!("table {} has no column {name}", table.name);
                self.refuse(name, reason);
                domain_events_sql::quote::quoted(name)
            }
            None => domain_events_sql::quote::quoted(name),
        }
    }

    /// The key that a row of these columns can conflict with, if there is one only.
    fn conflict_key(&self, table: Option<&Table>, names: &[String]) -> Option<Vec<String>> {
        let table = table?;
        let given = |key: &&Vec<String>| key.iter().all(|c| names.iter().any(|n| n.eq_ignore_ascii_case(c)));
        let mut keys = table.keys.iter().filter(given);
        let only = keys.next()?;
        keys.next()
            .is_none()
            .then(|| only.iter().map(|c| table.column(c).map_or_else(|| c.clone(), |c| c.quoted.clone())).collect())
    }

    #[allow(clippy::too_many_arguments)]
    fn upsert(
        &mut self,
        insert: &Insert,
        target: &str,
        table: Option<&'a Table>,
        names: &[String],
        columns: &str,
        body: &str,
        assignments: &[Assignment],
    ) -> String {
        let alias = table.map_or("target".to_owned(), |t| domain_events_sql::quote::quoted(&t.name));
        self.from.push(vec![(table.map_or_else(String::new, |t| t.name.clone()), table)]);
        self.qualifier = Some(alias.clone());
        self.excluded = insert.insert_alias.as_ref().map(|a| last(&a.row_alias));
        let sets = self.assignments(table, assignments);
        (self.qualifier, self.excluded) = (None, None);
        self.from.pop();
        let Some(key) = self.conflict_key(table, names) else {
            self.refuse(
                "ON DUPLICATE KEY UPDATE",
                "the row can conflict with several unique keys, or with none that is known; PostgreSQL wants one",
            );
            return format!("insert into {target} as {alias}{columns}\n{body}\non conflict do nothing");
        };
        self.declare(
            "ON DUPLICATE KEY UPDATE",
            "the row counts once in the number of rows; MySQL counts an update twice",
        );
        format!(
            "insert into {target} as {alias}{columns}\n{body}\non conflict ({}) do update set {sets}",
            key.join(", ")
        )
    }

    fn replace(
        &mut self,
        target: &str,
        table: Option<&Table>,
        names: &[String],
        quoted: &[String],
        columns: &str,
        body: &str,
    ) -> String {
        let Some(key) = self.conflict_key(table, names) else {
            self.refuse("REPLACE", "the row can conflict with several unique keys, or with none that is known");
            return format!("insert into {target}{columns}\n{body}");
        };
        self.declare(
            "REPLACE",
            "the row is updated in its place: UPDATE triggers fire; MySQL deletes and inserts, and columns not given get their defaults",
        );
        let sets: Vec<String> =
            quoted.iter().filter(|c| !key.contains(c)).map(|c| format!("{c} = excluded.{c}")).collect();
        if sets.is_empty() {
            return format!("insert into {target}{columns}\n{body}\non conflict ({}) do nothing", key.join(", "));
        }
        format!(
            "insert into {target}{columns}\n{body}\non conflict ({}) do update set {}",
            key.join(", "),
            sets.join(", ")
        )
    }

    fn assignments(&mut self, table: Option<&Table>, assignments: &[Assignment]) -> String {
        let mut parts = vec![];
        let mut given: Vec<String> = vec![];
        for assignment in assignments {
            let name = target_name(assignment);
            let value = self.expr(&assignment.value);
            // MySQL sets from left to right and reads what it has set
            let words = value.text.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(earlier) = words.into_iter().find(|w| given.iter().any(|g| g == w)) {
                let earlier = earlier.to_owned();
                self.declare(
                    "SET a = .., b = a",
                    format!("{earlier} is read as it was before the statement; MySQL reads the value just assigned"),
                );
            }
            let slot = table.and_then(|t| t.column(&name)).map(super::context::Column::slot);
            let is_default =
                matches!(&assignment.value, Expr::Identifier(i) if i.value.eq_ignore_ascii_case("default"));
            let text = match slot {
                _ if is_default => "default".to_owned(),
                Some(slot) => self.store(&value, &slot).text,
                None => value.text,
            };
            let quoted = self.column_name(table, &name);
            parts.push(format!("{quoted} = {text}"));
            given.push(quoted);
        }
        parts.join(", ")
    }

    fn update(&mut self, update: &Update) -> String {
        if update.limit.is_some() || !update.order_by.is_empty() {
            self.refuse("UPDATE .. LIMIT", "PostgreSQL's UPDATE has no LIMIT and no ORDER BY");
        }
        let TableFactor::Table { name, alias, .. } = &update.table.relation else {
            return self.refuse(&update.table.to_string(), "this form of UPDATE").text;
        };
        self.from.push(vec![]);
        let (target, table) = self.table(name);
        let alias = alias.as_ref().map(|a| a.name.value.clone());
        self.in_scope(alias.clone().unwrap_or_else(|| last(name)), table);
        let mut text = format!("update {target}");
        if let Some(alias) = &alias {
            text.push_str(&format!(" {}", domain_events_sql::quote::quoted(alias)));
        }
        let mut conditions = vec![];
        let mut from = vec![];
        for join in &update.table.joins {
            use sqlparser::ast::{JoinConstraint as C, JoinOperator as J};
            match &join.join_operator {
                J::Join(C::On(on)) | J::Inner(C::On(on)) => {
                    let lone = sqlparser::ast::TableWithJoins { relation: join.relation.clone(), joins: vec![] };
                    from.extend(self.table_with_joins(&lone));
                    conditions.push(on.clone());
                }
                _ => {
                    self.refuse("UPDATE .. JOIN", "only inner joins ON a condition");
                }
            }
        }
        let sets = self.assignments(table, &update.assignments);
        text.push_str(&format!(" set {sets}"));
        if !from.is_empty() {
            text.push_str(&format!(" from {}", from.join(", ")));
        }
        conditions.extend(update.selection.clone());
        let conditions: Vec<String> = conditions
            .iter()
            .map(|c| {
                let value = self.expr(c);
                let condition = self.condition(&value);
                if update.table.joins.is_empty() { condition.text } else { condition.operand() }
            })
            .collect();
        if !conditions.is_empty() {
            text.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        self.from.pop();
        text
    }

    fn delete(&mut self, delete: &Delete) -> String {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let several =
            from.len() != 1 || !from[0].joins.is_empty() || delete.using.is_some() || !delete.tables.is_empty();
        if several {
            return self.refuse("DELETE of several tables", "not translated").text;
        }
        if delete.limit.is_some() || !delete.order_by.is_empty() {
            self.refuse("DELETE .. LIMIT", "PostgreSQL's DELETE has no LIMIT and no ORDER BY");
        }
        self.from.push(vec![]);
        let table = self.table_with_joins(&from[0]).unwrap_or_default();
        let mut text = format!("delete from {table}");
        if let Some(condition) = &delete.selection {
            text.push_str(&format!(" where {}", self.condition_of(condition)));
        }
        self.from.pop();
        text
    }
}

fn target_name(assignment: &Assignment) -> String {
    match &assignment.target {
        AssignmentTarget::ColumnName(name) => last(name),
        AssignmentTarget::Tuple(_) => String::new(),
    }
}
