//! A number that a statement gives back: from a counter row that it counts up and so holds, from the row that it writes.

use serde_json::Value;

use super::origin::{Origin, VersionSource};
use super::version::{Tracer, mentions};
use crate::sql_tree::ast;

/// How the row of a counter serialises those who ask it.
pub(super) const HELD: &str = "a counter whose row stays locked until the transaction ends";

/// The statement that gives a number back.
struct Returning<'t> {
    /// The table it writes, as it is written.
    range: &'t Value,
    /// What an UPDATE, or an INSERT's ON CONFLICT DO UPDATE, sets.
    sets: Option<&'t [Value]>,
    /// The INSERT.
    insert: Option<&'t Value>,
    /// RETURNING.
    returned: &'t [Value],
}

impl<'t> Returning<'t> {
    fn of(tree: &'t Value) -> Option<Self> {
        if let Some(update) = ast::node(tree, "UpdateStmt") {
            let (sets, returned) = (ast::list(update, "target_list"), ast::list(update, "returning_list"));
            return Some(Self { range: update.get("relation")?, sets: Some(sets), insert: None, returned });
        }
        let insert = ast::node(tree, "InsertStmt")?;
        let conflict = insert.get("on_conflict_clause").filter(|c| c.is_object());
        let sets = conflict.map(|c| ast::list(c, "target_list")).filter(|sets| !sets.is_empty());
        let returned = ast::list(insert, "returning_list");
        Some(Self { range: insert.get("relation")?, sets, insert: Some(insert), returned })
    }

    /// The column that it gives back at a place.
    fn column(&self, at: usize) -> Option<String> {
        let value = ast::node(self.returned.get(at)?, "ResTarget")?.get("val")?;
        let columns = ast::find(value, "ColumnRef");
        let last = ast::list(columns.first()?, "fields").last()?;
        ast::node(last, "String").map(|s| ast::text(s, "sval").to_owned())
    }

    fn set(&self, column: &str) -> Option<&'t Value> {
        let sets = self.sets?.iter().filter_map(|s| ast::node(s, "ResTarget"));
        sets.into_iter().find(|s| ast::text(s, "name") == column).and_then(|s| s.get("val"))
    }

    fn table(&self) -> &'t str {
        ast::text(self.range, "relname")
    }
}

/// Whether a column is given itself and something more: `n = n + 1`, `n = counters.n + 1`.
fn counts_up(value: &Value, column: &str) -> bool {
    ast::find(value, "AExpr").iter().any(|e| ast::operator(e) == "+")
        && ast::find(value, "ColumnRef").iter().any(|c| {
            let last = ast::list(c, "fields").last().and_then(|f| ast::node(f, "String"));
            last.is_some_and(|l| ast::text(l, "sval") == column)
        })
}

/// The statement of a WITH that gives a column back, and the place that it has there.
pub(super) fn in_with<'t>(select: &'t Value, target: &Value) -> Option<(&'t Value, usize)> {
    let column = ast::column(ast::without_casts(target))?.pop()?;
    let queries = select.get("with_clause").map(|w| ast::list(w, "ctes")).unwrap_or_default();
    let queries = queries.iter().filter_map(|c| ast::node(c, "CommonTableExpr")?.get("ctequery"));
    queries.into_iter().find_map(|query| {
        let returning = Returning::of(query)?;
        let at = (0..returning.returned.len()).find(|at| returning.column(*at).as_ref() == Some(&column))?;
        Some((query, at))
    })
}

impl Tracer<'_> {
    /// What a variable gets that a statement's RETURNING fills at a place.
    pub(super) fn given_back(
        &self,
        tree: &Value,
        at: usize,
        name: &str,
        (scope, n): (usize, usize),
        depth: usize,
    ) -> Origin {
        let locked = |said: String| Origin::new(VersionSource::MaxPlusOneLocked, said);
        let Some(returning) = Returning::of(tree) else {
            return Origin::new(VersionSource::Dynamic, format!("{name} comes from a statement that is not followed"));
        };
        let table = returning.table();
        let Some(column) = returning.column(at) else {
            return locked(format!("{name} is of a row of {table} that stays locked"));
        };
        if let Some(set) = returning.set(&column) {
            if counts_up(set, &column) {
                return locked(format!("the version is counted up in {column} of {table}, {HELD}"));
            }
            return self.trace(set, scope, n, depth + 1);
        }
        let Some(insert) = returning.insert.filter(|_| returning.sets.is_none()) else {
            return locked(format!("{name} is read from {table}, whose row the same statement locks"));
        };
        let path = self.path(scope);
        let relation = self.catalogue.resolve_relation(ast::text(returning.range, "schemaname"), table, path);
        let made = super::sql::inserts(tree, self.catalogue, path).into_iter().find(|i| i.is_of(returning.range));
        let values = made.as_ref().map(|i| i.values(&column)).unwrap_or_default();
        if let [Some(value)] = values.as_slice()
            && !mentions(value, name)
        {
            return self.trace(value, scope, n, depth + 1);
        }
        let numbered = relation.and_then(|r| r.column(&column)).is_some_and(|c| c.is_numbered());
        let id = numbered || relation.is_none() && column.to_lowercase().ends_with("id");
        match id && ast::list(insert, "returning_list").len() > at {
            true => Origin::new(
                VersionSource::Sequence,
                format!("{name} is the number that a row of {table} gets from a sequence"),
            ),
            false => Origin::new(VersionSource::Dynamic, format!("{name} is what a new row of {table} gets")),
        }
    }
}
