//! What speaks against events: rows that a new parent gets, places among others, rows that are there once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::collected::Write;
use super::event_table::Roles;
use super::origin;
use super::origin::VersionSource;
use super::sql::Conflict;
use super::table_use::TableUse;
use super::{version, words};
use crate::sql_tree::ast;

/// What the numbers of a table's rows look like.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Constants alone, and for the rows of a new parent alone.
    pub only_for_new_parents: bool,
    /// By max() + 1.
    pub by_maximum: bool,
    /// What speaks against a version.
    pub against: Vec<(i32, String)>,
}

impl TableUse<'_> {
    pub(super) fn numbers(&self, roles: &Roles) -> Numbers {
        let mut numbers = Numbers::default();
        let Some(number) = roles.number() else { return numbers };
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let mut constant = !self.uses.is_empty();
        for write in &self.uses {
            let Some(insert) = &write.insert else { continue };
            let origins: Vec<_> = insert
                .values(number)
                .into_iter()
                .map(|v| v.map(|v| tracer.origin(v, write.scope, write.statement)))
                .collect();
            constant &= !origins.is_empty() && origins.iter().flatten().all(|o| o.literal.is_some());
            let maximum =
                |o: &origin::Origin| matches!(o.source, VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked);
            numbers.by_maximum |= origins.iter().flatten().any(maximum);
        }
        let for_new = |w: &&Write| w.trigger.is_some() && w.operations == ["INSERT"];
        // an event that is a stream of its own has no parent
        let parent = roles.id_column.as_ref().is_some_and(|id| self.fed_by_row(id));
        let insert_only = parent && !self.uses.is_empty() && self.uses.iter().all(for_new);
        numbers.only_for_new_parents = insert_only && constant;
        let mut against = |points: i32, reason: String| numbers.against.push((points, reason));
        // a type that is told with each row makes them several events
        let typed = roles.event_type_column.as_ref().is_some_and(|c| words::says_what(c));
        // type, id, version, type of event and payload: nothing but an event has them all
        let complete = typed && roles.type_column.is_some() && !roles.data_columns.is_empty();
        if insert_only && constant && !complete {
            against(-3, format!("{number} is a constant, and rows are written for a new parent alone"));
        }
        if !typed && self.several_at_once(number) {
            against(-5, format!("one parent gets several rows at once, each with its own {number}"));
        }
        if self.uses.iter().any(|w| self.numbered_by_a_query(w, number)) {
            against(-3, format!("{number} is taken from the rows of a query"));
        }
        if constant && self.inserts().any(|i| i.conflict == Conflict::Nothing && i.conflict_columns.contains(number)) {
            against(-6, format!("ON CONFLICT ({number}, ..) DO NOTHING: the row is there once"));
        }
        if constant && self.uses.iter().any(|w| self.only_if_absent(w)) {
            against(-6, "the row is written only where there is none yet".into());
        }
        if words::is_ordinal(number) {
            against(-2, format!("{number} is a name for a place among others"));
        }
        numbers
    }

    /// `values (.., 3), (.., 2), (.., 1)`, or as many statements on the same way.
    pub(super) fn several_at_once(&self, number: &str) -> bool {
        let constants = |w: &Write| -> Vec<String> {
            let values = w.insert.as_ref().map(|i| i.values(number)).unwrap_or_default();
            values.into_iter().flatten().filter_map(ast::constant).collect()
        };
        self.uses.iter().any(|w| {
            let way = &self.collected.statement(w).guards;
            let same = self.uses.iter().filter(|o| o.scope == w.scope && self.collected.statement(o).guards == *way);
            let all: BTreeSet<String> = same.flat_map(|o| constants(o)).collect();
            all.len() > 1
        })
    }

    /// `select new.id, s.place from steps s`, `generate_series`, `row_number()`.
    pub(super) fn numbered_by_a_query(&self, write: &Write, number: &str) -> bool {
        let row_level =
            write.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid)).is_some_and(|t| t.row);
        let Some(insert) = write.insert.as_ref().filter(|i| i.from_query && row_level) else { return false };
        insert.values(number).into_iter().flatten().any(|value| {
            let calls = ast::calls(value);
            if calls.iter().any(|(_, n, _)| n == "max" || n == "count") {
                return false;
            }
            let body = self.collected.body(write.scope);
            let variable = |name: &str| body.variables.iter().any(|v| v.name == name);
            let of_query = match ast::column(ast::without_casts(value)).as_deref() {
                Some([row, _]) => row != "new" && row != "old" && !variable(row),
                Some([name]) => !variable(name),
                _ => false,
            };
            of_query || calls.iter().any(|(_, n, _)| n == "row_number" || n == "generate_series")
        })
    }

    /// `if not exists (select .. from the table)`, or the same in the statement itself.
    pub(super) fn only_if_absent(&self, write: &Write) -> bool {
        let named = |tree: &Value| {
            let ranges = ast::find(tree, "RangeVar");
            ranges.iter().any(|r| ast::text(r, "relname") == self.relation.name)
        };
        let absent = |tree: &Value| {
            ast::find(tree, "BoolExpr").into_iter().any(|b| {
                b.get("boolop").and_then(Value::as_i64) == Some(3)
                    && ast::find(b, "SubLink").into_iter().any(|s| {
                        // EXISTS_SUBLINK
                        s.get("sub_link_type").and_then(Value::as_i64) == Some(1) && named(s)
                    })
            })
        };
        let statement = self.collected.statement(write);
        let guarded = statement.guards.iter().any(|g| {
            ast::parse_expression(&g.condition).is_ok_and(|c| {
                let exists = |tree: &Value| !ast::find(tree, "SubLink").is_empty() && named(tree);
                if g.negated { ast::kind(&c) == "SubLink" && exists(&c) } else { absent(&c) }
            })
        });
        guarded || super::bodies::trees(statement).iter().any(absent)
    }

    /// Whether all that is written is there once for a new parent: nothing but its id, its owner and constants.
    pub(super) fn seeds_for_new_parents(&self, roles: &Roles) -> bool {
        let for_new = |w: &&Write| w.trigger.is_some() && w.operations == ["INSERT"];
        if self.uses.is_empty() || !self.uses.iter().all(for_new) || roles.number().is_some() {
            return false;
        }
        // rows of constants by the way on which they are written: two on one way are a set
        let mut ways: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (insert, write) in self.inserts_with_rows() {
            let way = format!("{} {:?}", write.scope, self.collected.statement(write).guards);
            for row in &insert.rows {
                let mut given = vec![];
                for (column, value) in insert.columns.iter().zip(row) {
                    let Some(value) = value else { return false };
                    match ast::constant(value) {
                        Some(constant) => given.push(constant),
                        None if ast::is_null(value) || self.names_somebody(column, value, write) => {}
                        None => return false,
                    }
                }
                if given.is_empty() {
                    return false;
                }
                ways.entry(way.clone()).or_default().insert(given);
            }
        }
        let once = self.inserts().all(|i| i.conflict == Conflict::Nothing && !i.conflict_columns.is_empty());
        let set = ways.values().any(|rows| rows.len() > 1);
        !ways.is_empty() && (once || set || self.uses.iter().any(|w| self.only_if_absent(w)))
    }

    /// The id of the new row, or of what it belongs to, a new id, the time or the user.
    pub(super) fn names_somebody(&self, column: &str, value: &Value, write: &Write) -> bool {
        let of_row = matches!(ast::column(ast::without_casts(value)).as_deref(), Some([row, _]) if row == "new");
        let key = self
            .relation
            .column(column)
            .is_some_and(|c| c.references || column.ends_with("_id") || column.ends_with("_by"));
        let made = !ast::find(value, "SqlvalueFunction").is_empty()
            || ast::calls(value)
                .iter()
                .any(|(_, n, _)| n == "now" || n.starts_with("gen_random_") || n.starts_with("uuid_"));
        let id = write.trigger.is_some()
            && of_row
            && (key || self.relation.keys.iter().any(|k| k.columns.iter().any(|k| k == column)));
        id || made
    }
}
