//! What the writes of a table tell of it: when they are made, what of the row they keep, whether they note it or write over it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::collected::Write;
use super::event_table::Roles;
use super::row::{self, SourceRow};
use super::sql::{Conflict, Insert};
use super::table_use::TableUse;
use super::{texts, version, words};
use crate::source::Column;
use crate::sql_tree::ast;

impl TableUse<'_> {
    pub(super) fn inserts(&self) -> impl Iterator<Item = &Insert> {
        self.uses.iter().filter_map(|w| w.insert.as_ref())
    }

    /// Whether some write is made when a row of another table is updated or deleted.
    pub(super) fn on_change(&self) -> bool {
        self.uses.iter().any(|w| {
            let changes = w.operations.iter().any(|o| o != "INSERT");
            // without its trigger the function tells: only a change has an old row
            changes || w.unfired && self.mentions_old(w)
        })
    }

    pub(super) fn mentions_old(&self, write: &Write) -> bool {
        let body = self.collected.body(write.scope);
        body.statements
            .iter()
            .any(|s| s.sql.to_ascii_lowercase().contains("old") || s.sql.to_ascii_lowercase().contains("tg_op"))
    }

    pub(super) fn inserts_with_rows(&self) -> impl Iterator<Item = (&Insert, &Write)> {
        self.uses.iter().filter_map(|w| Some((w.insert.as_ref()?, *w)))
    }

    /// Whether columns take the values that columns of the same names have in the row, or all of them.
    pub(super) fn copies(&self, roles: &Roles) -> bool {
        let of_stream = [&roles.type_column, &roles.id_column, &roles.version_column];
        let plain = |c: &&String| !of_stream.iter().any(|r| r.as_ref() == Some(c)) && *c != "id";
        self.uses.iter().zip(&self.rows).any(|(w, row)| {
            let Some(i) = &w.insert else { return false };
            let same =
                |value: Option<&Value>, column: &str| value.and_then(|v| row.column(v)).is_some_and(|c| c == column);
            let star = row.whole || i.rows.iter().any(|row| row.len() > 1 && row.iter().any(Option::is_none));
            star || i.columns.iter().filter(plain).any(|c| i.values(c).into_iter().any(|v| same(v, c)))
        })
    }

    /// Whether several columns take what the same columns were before a change or a delete.
    pub(super) fn keeps_the_row_before(&self) -> bool {
        self.uses.iter().filter(|w| !w.operations.iter().any(|o| o == "INSERT")).any(|w| {
            let Some(insert) = &w.insert else { return false };
            let was = |value: &Value, column: &str| {
                ast::column(ast::without_casts(value)).is_some_and(|c| c == ["old", column])
            };
            let kept = |c: &&String| insert.values(c).into_iter().flatten().any(|v| was(v, c));
            insert.columns.iter().filter(kept).count() > 1
        })
    }

    /// Whether a day or an hour is that of the write.
    pub(super) fn is_dated(&self, column: &Column) -> bool {
        let default = || column.default.as_deref().and_then(|d| ast::parse_expression(d).ok());
        self.is_given_the_time(column) || column.category == "D" && default().is_some_and(|d| is_now(&d))
    }

    pub(super) fn is_given_the_time(&self, column: &Column) -> bool {
        column.category == "D" && self.values(&column.name).into_iter().any(is_now)
    }

    /// Whether one write gives what a column of the row was and what it became: `old.price`, `new.price`.
    pub(super) fn is_given_before_and_after(&self) -> bool {
        self.inserts_with_rows().any(|(insert, write)| {
            let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
            let all = insert.rows.iter().flatten().flatten();
            let fields: Vec<_> =
                all.filter_map(|v| ast::column(ast::without_casts(&tracer.resolved(v, write.scope)))).collect();
            let of = |row: &str| -> Vec<&String> {
                fields.iter().filter(|f| f.len() == 2 && f[0] == row).map(|f| &f[1]).collect()
            };
            let (before, after) = (of("old"), of("new"));
            before.iter().any(|c| after.contains(c))
        })
    }

    /// Whether rows are noted when they go, by whatever of them: nothing else would know of them then.
    pub(super) fn is_told_of_deleted_rows(&self) -> bool {
        let deletes = |w: &&Write| w.trigger.is_some() && w.operations == ["DELETE"];
        let told = || self.insert_columns().any(|c| self.fed_by_row(c));
        !self.uses.is_empty() && self.uses.iter().all(deletes) && told()
    }

    /// Whether each new row of another table is noted with the time, in a table without a key.
    pub(super) fn notes_each_row(&self) -> bool {
        let notes = |w: &&Write| w.trigger.is_some() && w.operations == ["INSERT"];
        !self.uses.is_empty()
            && self.relation.keys.is_empty()
            && self.uses.iter().all(notes)
            && self.inserts().all(|i| i.conflict == Conflict::Error)
            && self.relation.columns.iter().any(|c| self.is_given_the_time(c))
            && self.insert_columns().filter(|c| self.fed_by_row(c)).count() > 1
    }

    pub(super) fn insert_columns(&self) -> impl Iterator<Item = &str> {
        self.inserts().flat_map(|i| &i.columns).map(String::as_str)
    }

    /// Whether functions of the application alone write it, each time with something that they are given or read.
    pub(super) fn is_told_by_functions(&self) -> bool {
        let by_function = |w: &&Write| w.trigger.is_none() && !w.unfired && w.rule.is_none();
        let given = |insert: &Insert| {
            let told = |v: &Value| ast::find(v, "ColumnRef").iter().chain(&ast::find(v, "ParamRef")).next().is_some();
            let names = insert.columns.iter().filter(|c| insert.values(c).into_iter().flatten().any(told));
            names.count() > 1
        };
        !self.uses.is_empty() && self.uses.iter().all(by_function) && self.inserts().all(given)
    }

    /// Whether triggers of several tables note in it what they say of their rows, with the time: a diary of all of them. What has a
    /// state of its own is work to be done.
    pub(super) fn is_told_by_several_tables(&self) -> bool {
        let by_trigger = || self.uses.iter().zip(0..).filter_map(|(w, n)| Some((n, *w, w.trigger?)));
        let table = |oid: u32| self.catalogue.triggers.iter().find(|t| t.oid == oid).map(|t| t.relation);
        let tables: BTreeSet<u32> = by_trigger().filter_map(|(.., oid)| table(oid)).collect();
        let says = |n: usize, w: &Write| {
            let texts = self.relation.columns.iter().filter(|c| matches!(c.category.as_str(), "S" | "E"));
            let mut values = texts.flat_map(|c| self.given(n, &c.name)).flatten();
            values.any(|v| !texts::of_write(self.catalogue, self.collected, w, v).is_empty())
        };
        let given: BTreeSet<&str> = self.insert_columns().collect();
        let has_state = self.relation.columns.iter().any(|c| {
            let last = words::of(&c.name).pop().unwrap_or_default();
            matches!(last.as_str(), "state" | "status")
        });
        tables.len() > 1
            && !has_state
            && self.relation.columns.iter().any(|c| self.is_dated(c))
            && self.inserts().all(|i| i.conflict == Conflict::Error)
            && by_trigger().all(|(n, w, _)| says(n, w))
            && !self
                .collected
                .changes
                .iter()
                .any(|c| c.relation == self.relation.oid && c.columns.iter().any(|c| given.contains(c.as_str())))
    }

    /// Whether a change of a row is noted by what refers to it and the time alone: who was where, and when. A unique key over that
    /// makes it a thing that is there once.
    pub(super) fn is_told_by_a_reference(&self) -> bool {
        let on_change = |w: &&Write| w.trigger.is_some() && w.operations.iter().all(|o| o != "INSERT");
        let given: BTreeSet<&str> = self.insert_columns().collect();
        let is_time = |c: &Column| c.category == "D";
        let refers = |c: &Column| {
            c.references || c.data_type == "uuid" || (c.is_integer() && c.name.to_lowercase().ends_with("id"))
        };
        let columns = || self.relation.columns.iter();
        let noted = columns().filter(|c| given.contains(c.name.as_str()));
        !self.uses.is_empty()
            && self.uses.iter().all(on_change)
            && self.inserts().all(|i| i.conflict == Conflict::Error)
            && noted.clone().all(|c| is_time(c) || refers(c))
            && noted.filter(|c| refers(c)).any(|c| self.fed_by_row(&c.name))
            && columns().any(|c| is_time(c) && (given.contains(c.name.as_str()) || self.is_dated(c)))
            && columns()
                .all(|c| given.contains(c.name.as_str()) || c.is_numbered() || c.default.is_some() || is_time(c))
            && !self.relation.keys.iter().any(|k| k.columns.iter().any(|c| given.contains(c.as_str())))
            && !self.collected.changes.iter().any(|c| c.relation == self.relation.oid)
    }

    /// Whether functions of the application append to what is called events a document, what it is of and when it was, whatever
    /// they are given as the kind. What has a title or a place is an event that people go to.
    pub(super) fn is_appended_to(&self, roles: &Roles) -> bool {
        const OF_PEOPLE: [&str; 12] = [
            "title",
            "location",
            "venue",
            "start",
            "starts",
            "end",
            "ends",
            "organizer",
            "price",
            "capacity",
            "slug",
            "calendar",
        ];
        let words_of = |c: &Column| words::of(&c.name);
        let columns = || self.relation.columns.iter();
        words::of(&self.relation.name).iter().any(|w| w == "event" || w == "events")
            && self.is_told_by_functions()
            && roles.data_columns.iter().any(|c| self.is_told(c))
            && self.inserts().all(|i| i.conflict == Conflict::Error)
            && columns().any(|c| words::says_what(&c.name) || words::is_of_stream(&c.name))
            && !columns().any(|c| words_of(c).iter().any(|w| OF_PEOPLE.contains(&w.as_str())))
    }

    /// Whether a document is made of all of the row: `to_jsonb(new)`.
    pub(super) fn holds_the_row(&self, column: &str) -> bool {
        let whole = |value: &&Value| {
            ast::calls(value).iter().any(|(_, _, arguments)| {
                let all = |a: &Value| ast::column(ast::without_casts(a)).is_some_and(|c| c == ["new"] || c == ["old"]);
                arguments.iter().any(all)
            })
        };
        self.values(column).iter().any(whole)
    }

    /// Whether a function of the application copies rows of another table, column by column, into one that is called after it.
    pub(super) fn keeps_what_a_function_copies(&self) -> bool {
        self.uses.iter().filter(|w| w.trigger.is_none() && !w.unfired).any(|w| {
            let row = SourceRow::copied_from(w, self.relation, self.catalogue, self.collected);
            let Some(insert) = w.insert.as_ref().filter(|i| i.from_query && !row.is_nowhere()) else { return false };
            let same = |c: &&String| insert.values(c).into_iter().flatten().any(|v| row.column(v).as_ref() == Some(*c));
            row.whole || insert.columns.iter().filter(same).count() >= 2
        })
    }

    /// Whether ON CONFLICT DO UPDATE brings together what one transaction does to a row: no other transaction's row is touched.
    pub(super) fn merges(&self, insert: &Insert, write: &Write) -> bool {
        let of_transaction = |value: &Value| {
            let value =
                version::Tracer { catalogue: self.catalogue, collected: self.collected }.resolved(value, write.scope);
            row::is_transaction(&value)
                || ast::calls(&value).iter().any(|(_, n, _)| matches!(n.as_str(), "now" | "transaction_timestamp"))
                || !super::is_actor(&value) && !ast::find(&value, "SqlvalueFunction").is_empty()
        };
        insert.conflict_columns.iter().any(|c| insert.values(c).into_iter().flatten().any(of_transaction))
    }

    /// Whether some column holds the number of the transaction.
    pub(super) fn is_told_once_per_transaction(&self) -> bool {
        let keyed = |c: &str| self.relation.keys.iter().any(|k| k.columns.iter().any(|k| k == c));
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let of_transaction = |(i, w): (&Insert, &Write), column: &str| {
            let values = i.values(column);
            !values.is_empty()
                && values.into_iter().all(|v| v.is_some_and(|v| row::is_transaction(&tracer.resolved(v, w.scope))))
        };
        let columns = self.relation.columns.iter().filter(|c| keyed(&c.name));
        !self.uses.is_empty()
            && columns.into_iter().any(|c| self.inserts_with_rows().all(|pair| of_transaction(pair, &c.name)))
    }

    /// Whether some write gives a column something that is not the same for every row: what only others set is no content.
    pub(super) fn is_told(&self, column: &str) -> bool {
        self.uses.iter().enumerate().any(|(n, w)| {
            let whole = w.insert.as_ref().is_some_and(|i| i.rows.iter().any(|row| row.iter().any(Option::is_none)));
            let values = self.given(n, column).into_iter().flatten();
            whole || values.into_iter().any(|v| ast::constant(v).is_none() && !ast::is_null(v))
        })
    }

    /// The smallest unique key that a column is in, with something else.
    pub(super) fn key_with(&self, column: &str) -> Option<String> {
        let keys = self.relation.keys.iter().filter(|k| k.columns.len() > 1 && k.columns.iter().any(|c| c == column));
        keys.min_by_key(|k| k.columns.len()).map(|k| k.name.clone())
    }
}

/// Whether it is the time at which it is evaluated.
fn is_now(value: &Value) -> bool {
    !super::is_actor(value)
        && (!ast::find(value, "SqlvalueFunction").is_empty()
            || ast::calls(value).iter().any(|(_, n, _)| n == "now" || n.ends_with("_timestamp")))
}
