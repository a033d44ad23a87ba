//! A table with everything that writes it, and what its columns are given.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::trees;
use super::collected::{Collected, Write};
use super::reads;
use super::row::{self, SourceRow};
use super::words::{is_actor_name, is_payload};
use super::{dynamic, texts, version, words};
use crate::source::{Catalogue, Column, Relation};
use crate::sql_tree::ast;

/// A table and everything that writes it.
pub(super) struct TableUse<'a> {
    pub relation: &'a Relation,
    pub uses: Vec<&'a Write>,
    /// What stands for the row at hand in each of them.
    pub rows: Vec<SourceRow>,
    pub catalogue: &'a Catalogue,
    pub collected: &'a Collected,
    /// Columns whose max() is read by what leads to a write of the table, or that numbers its rows.
    pub read_by_max: BTreeSet<String>,
}

impl<'a> TableUse<'a> {
    pub fn new(relation: &'a Relation, catalogue: &'a Catalogue, collected: &'a Collected) -> Self {
        let of_table = |w: &&Write| w.insert.as_ref().is_some_and(|i| i.relation == Some(relation.oid));
        let uses: Vec<&Write> = collected.writes.iter().filter(of_table).collect();
        let rows = uses.iter().map(|w| SourceRow::of(w, catalogue, collected)).collect();
        let read_by_max = read_by_max(relation, &uses, catalogue, collected);
        Self { relation, uses, rows, catalogue, collected, read_by_max }
    }
}

fn read_by_max(relation: &Relation, uses: &[&Write], catalogue: &Catalogue, collected: &Collected) -> BTreeSet<String> {
    let writing: BTreeSet<usize> = uses.iter().map(|w| w.scope).collect();
    let own =
        catalogue.triggers.iter().filter(|t| t.relation == relation.oid && t.events.iter().any(|e| e == "INSERT"));
    let own = own.filter_map(|t| Some((t.function, collected.bodies.get(&t.function)?)));
    let mut columns = BTreeSet::new();
    let maxima = |tree: &Value, columns: &mut BTreeSet<String>| {
        for (_, _, arguments) in ast::calls(tree).into_iter().filter(|(_, name, _)| name == "max") {
            columns.extend(arguments.iter().filter_map(ast::column).filter_map(|c| c.last().cloned()));
        }
    };
    for (function, statement) in own.flat_map(|(f, b)| b.statements.iter().map(move |s| (f, s))) {
        let trees = trees(statement);
        trees.iter().chain(&dynamic::query_of(statement)).for_each(|t| maxima(t, &mut columns));
        let scope = collected.scope_of(function);
        let reads = scope.into_iter().flat_map(|scope| {
            let path = &collected.scopes[scope].path;
            trees.iter().flat_map(move |t| reads::reads(t, scope, catalogue, path)).collect::<Vec<_>>()
        });
        columns.extend(reads.filter(|r| r.relation == Some(relation.oid)).filter_map(|r| r.column));
    }
    for (scope, statement) in writing.iter().flat_map(|s| collected.body(*s).statements.iter().map(move |t| (*s, t))) {
        // the newest row by ORDER BY .. LIMIT 1 too
        let trees = trees(statement);
        let path = &collected.scopes[scope].path;
        columns.extend(trees.iter().flat_map(|t| reads::reads(t, scope, catalogue, path)).filter_map(|r| r.column));
        trees.iter().chain(&dynamic::query_of(statement)).for_each(|t| maxima(t, &mut columns));
    }
    // what another function on the way reads is of this table only where it says so
    let ways: BTreeSet<usize> = writing.iter().map(|s| collected.roots[*s]).collect();
    let name = relation.name.to_lowercase();
    let asks = |scope: &&usize| {
        let function = collected.scopes[**scope].function;
        !writing.contains(scope)
            && function.and_then(|oid| collected.texts.get(&oid)).is_some_and(|t| t.contains(&name))
    };
    for scope in ways.iter().filter_map(|root| collected.ways.get(root)).flatten().filter(asks) {
        let path = &collected.scopes[*scope].path;
        for statement in &collected.body(*scope).statements {
            let trees = trees(statement);
            let reads = trees.iter().flat_map(|t| reads::reads(t, *scope, catalogue, path));
            columns.extend(reads.filter(|r| r.relation == Some(relation.oid)).filter_map(|r| r.column));
        }
    }
    columns
}

impl TableUse<'_> {
    pub(super) fn values(&self, column: &str) -> Vec<&Value> {
        (0..self.uses.len()).flat_map(|n| self.given(n, column)).flatten().collect()
    }

    /// What the write of this number gives a column, that of each of its rows.
    pub(super) fn given(&self, n: usize, column: &str) -> Vec<Option<&Value>> {
        match (self.rows[n].fields.get(column), &self.uses[n].insert) {
            (Some(value), _) => vec![Some(value)],
            (None, Some(insert)) => insert.values(column),
            (None, None) => vec![],
        }
    }

    /// Whether some insert takes it from the row at hand, in one way or another.
    pub(super) fn fed_by_row(&self, column: &str) -> bool {
        self.uses.iter().zip(&self.rows).enumerate().any(|(n, (w, row))| {
            let given = self.given(n, column).into_iter().flatten();
            given.into_iter().any(|v| self.is_of_row(v, row, w.scope, w.statement, 0))
        })
    }

    pub(super) fn is_of_row(
        &self,
        expr: &Value,
        row: &SourceRow,
        scope: usize,
        statement: usize,
        depth: usize,
    ) -> bool {
        if depth > 5 {
            return false;
        }
        let of_setting = |(value, scope, at): &(Value, usize, usize)| {
            self.is_of_row(value, &SourceRow::default(), *scope, *at, depth + 1)
        };
        ast::find(expr, "ColumnRef").into_iter().any(|c| {
            let fields: Vec<_> = ast::list(c, "fields")
                .iter()
                .filter_map(|f| ast::node(f, "String"))
                .map(|s| ast::text(s, "sval"))
                .collect();
            match fields.as_slice() {
                ["new" | "old", ..] => true,
                [name] => {
                    let body = self.collected.body(scope);
                    let given = body.statements[..statement].iter().filter(|s| s.targets.iter().any(|t| t == name));
                    let assigned = given
                        .filter_map(|s| ast::parse_expression(&s.sql).ok())
                        .any(|e| !version::mentions(&e, name) && self.is_of_row(&e, row, scope, 0, depth + 1));
                    let place = &self.collected.scopes[scope];
                    let bound = match (place.bindings.get(*name), place.caller) {
                        (Some(value), Some((caller, at))) => {
                            self.is_of_row(value, &SourceRow::default(), caller, at, depth + 1)
                        }
                        _ => false,
                    };
                    let variable = body.variables.iter().any(|v| v.name == *name);
                    assigned || bound || !variable && depth == 0 && row.has(&fields)
                }
                _ => row.has(&fields),
            }
        }) || row::settings(expr, scope, statement, self.collected).iter().any(of_setting)
    }

    pub(super) fn row_reaches_a_plain_column(&self) -> bool {
        self.rows.iter().any(|r| r.whole)
            || self.relation.columns.iter().filter(|c| !is_payload(c)).any(|c| self.fed_by_row(&c.name))
    }

    /// Whether some write says of which table its row tells.
    pub(super) fn names_the_table(&self) -> bool {
        self.uses.iter().enumerate().any(|(n, w)| {
            let trigger = w.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid));
            let table = trigger.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.name.to_lowercase());
            let texts = self.relation.columns.iter().filter(|c| c.category != "N");
            texts.flat_map(|c| self.given(n, &c.name).into_iter().map(move |v| (c, v))).any(|(column, value)| {
                let Some(value) = value else { return false };
                let said = || texts::of_write(self.catalogue, self.collected, w, value);
                let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
                row::is_table_name(&tracer.resolved(value, w.scope))
                    || words::is_of_table(&column.name) && !ast::is_null(value)
                    || table.is_some() && said().iter().any(|t| Some(t.to_lowercase()) == table)
            })
        })
    }

    /// Whether a column is always a text constant, or one of several.
    pub(super) fn fed_by_constants(&self, column: &str) -> bool {
        let mut given = self.uses.iter().enumerate().map(|(n, w)| (w, self.given(n, column)));
        let constant = |w: &Write, v: Option<&Value>| {
            v.is_some_and(|v| !texts::of_write(self.catalogue, self.collected, w, v).is_empty())
        };
        !self.values(column).is_empty() && given.all(|(w, values)| values.into_iter().all(|v| constant(w, v)))
    }

    pub(super) fn mentions_operation(&self) -> bool {
        self.relation.columns.iter().flat_map(|c| self.values(&c.name)).any(|v| version::mentions(v, "tg_op"))
    }

    pub(super) fn is_operation(&self, column: &str) -> bool {
        self.values(column).iter().any(|v| version::mentions(v, "tg_op"))
    }

    /// What happened, as the application tells it to a function that writes events for it.
    pub(super) fn is_told_by_a_caller(&self, column: &Column) -> bool {
        // a type alone is one of many things, unless the table speaks of streams
        let has = |name: &str, list: &[&str]| words::of(name).iter().any(|w| list.contains(&w.as_str()));
        let streams = || self.relation.columns.iter().any(|c| has(&c.name, &["stream", "aggregate", "event"]));
        let named = (has(&column.name, &["event", "action", "operation"]) || has(&column.name, &["type"]) && streams())
            && !is_actor_name(&column.name);
        let by_function = |w: &&Write| w.trigger.is_none() && !w.unfired && w.rule.is_none();
        let given = |w: &Write| {
            let values = w.insert.as_ref().map(|i| i.values(&column.name)).unwrap_or_default();
            !values.is_empty() && values.into_iter().all(|v| v.is_some_and(|v| !ast::is_null(v)))
        };
        named && !self.uses.is_empty() && self.uses.iter().all(|w| by_function(w) && given(w))
    }

    /// Whether a setting of the session is given its value by what leads here: a variable rather than somebody's name.
    pub(super) fn is_set_on_the_way(&self, column: &str) -> bool {
        self.uses.iter().any(|w| {
            let values = w.insert.as_ref().map(|i| i.values(column)).unwrap_or_default();
            values.into_iter().flatten().any(|v| !row::settings(v, w.scope, w.statement, self.collected).is_empty())
        })
    }

    /// Whether a column is always given the number of a transaction, or the id of a row that something else is: neither counts.
    pub(super) fn is_id_of_something(&self, column: &str) -> bool {
        let mut given = self.uses.iter().zip(&self.rows).filter_map(|(w, row)| {
            let values = w.insert.as_ref()?.values(column);
            (!values.is_empty()).then_some((w, row, values))
        });
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let id = |w: &Write, row: &SourceRow, value: &Value| {
            row::is_transaction(&tracer.resolved(value, w.scope))
                || self.id_of_the_row(w, row, value)
                || self.id_that_is_read(w, column, value)
        };
        let mut any = false;
        given.all(|(w, row, values)| {
            any = true;
            values.into_iter().all(|v| v.is_some_and(|v| id(w, row, v)))
        }) && any
    }

    /// `new.id`, where that is the primary key or a part of it.
    pub(super) fn id_of_the_row(&self, write: &Write, row: &SourceRow, value: &Value) -> bool {
        let trigger = write.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid));
        let source = trigger.and_then(|t| self.catalogue.relation(t.relation)).filter(|r| r.oid != self.relation.oid);
        let key = source.and_then(|r| r.keys.iter().find(|k| k.primary));
        row.column(value).is_some_and(|c| !words::is_version(&c) && key.is_some_and(|k| k.columns.contains(&c)))
    }

    /// `select id, .. from things`, where that is the primary key or a part of it.
    pub(super) fn id_that_is_read(&self, write: &Write, column: &str, value: &Value) -> bool {
        if !write.insert.as_ref().is_some_and(|i| i.from_query) {
            return false;
        }
        let Some(name) = ast::column(ast::without_casts(value)).and_then(|c| c.last().cloned()) else { return false };
        let path = &self.collected.scopes[write.scope].path;
        trees(self.collected.statement(write)).iter().any(|tree| {
            let ranges = ast::find(tree, "RangeVar").into_iter();
            let mut tables = ranges.filter_map(|r| {
                self.catalogue.resolve_relation(ast::text(r, "schemaname"), ast::text(r, "relname"), path)
            });
            name == column
                && !words::is_version(&name)
                && tables.any(|t| {
                    t.oid != self.relation.oid && t.keys.iter().any(|k| k.primary && k.columns.contains(&name))
                })
        })
    }
}
