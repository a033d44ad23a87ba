//! What names a stream: the columns by which the legacy code reads its newest version, or those of the unique key where the
//! code names none. A time never does, nor a column that is there for the partitions alone.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies;
use super::collected::{Collected, Write};
use super::origin::Origin;
use super::reads::Read;
use super::version::Tracer;
use crate::source::{Catalogue, Column, Key, Relation};
use crate::sql_tree::ast;

/// As many columns name a stream that `next_aggregate_version` serves.
pub const WIDEST: usize = 4;

/// What names the streams of an event table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    /// The columns, in the order of the key or of the condition.
    pub columns: Vec<String>,
    /// The unique key over them and the version; it may have further columns.
    pub key: Option<Key>,
    /// The columns by which the code reads the newest version; none if it reads none.
    pub read_by: Option<Vec<String>>,
    /// Whether the newest version is read over the whole table.
    pub whole: bool,
    /// Why another number than the legacy one could come out.
    pub doubts: Vec<String>,
}

/// What is known of the table, its keys and its writers.
pub struct Evidence<'a> {
    /// The table.
    pub relation: &'a Relation,
    /// Everything else that was read.
    pub catalogue: &'a Catalogue,
    /// The statements of its functions.
    pub collected: &'a Collected,
    /// Those of them that write the table.
    pub uses: &'a [&'a Write],
    /// The column with the version.
    pub version: &'a str,
}

impl Evidence<'_> {
    /// Decides; none where neither code nor key says anything.
    pub fn stream(&self) -> Option<Stream> {
        let mut stream = Stream::default();
        let reads = self.reads(&mut stream.doubts);
        let sets: BTreeSet<BTreeSet<&str>> =
            reads.iter().map(|r| r.by.iter().map(|(c, _)| c.as_str()).collect()).collect();
        let of_all = |r: &Read| r.relation == Some(self.relation.oid) && r.by.is_empty() && r.unclear.is_none();
        stream.whole = !reads.is_empty() && reads.iter().all(of_all);
        let understood = !reads.is_empty() && stream.doubts.is_empty();
        match (sets.len(), reads.first()) {
            (1, Some(read)) if understood && read.by.is_empty() => {
                stream.doubts.push(format!(
                    "its newest version is read over the whole of {}: one count for all streams, which goes on only by itself",
                    self.relation.quoted
                ));
            }
            (1, Some(read)) if understood => {
                let columns: Vec<String> = read.by.iter().map(|(c, _)| c.clone()).collect();
                stream.read_by = Some(columns.clone());
                if self.read_columns(&mut stream, columns) {
                    return Some(stream);
                }
            }
            (2.., _) if understood => {
                let told: Vec<String> = sets.iter().map(|s| list(s.iter().copied())).collect();
                stream.doubts.push(format!("its newest version is read in different ways: {}", told.join(" and ")));
            }
            _ => {}
        }
        self.by_key(&mut stream);
        (!stream.columns.is_empty() || !stream.doubts.is_empty()).then_some(stream)
    }

    /// The columns of the condition, if no unique key contradicts them.
    fn read_columns(&self, stream: &mut Stream, columns: Vec<String>) -> bool {
        if columns.len() > WIDEST {
            stream.doubts.push(format!("its newest version is read by {} columns, more than {WIDEST}", columns.len()));
            return false;
        }
        if let Some(time) = columns.iter().find(|c| self.relation.column(c).is_some_and(is_time)) {
            stream.doubts.push(format!("its newest version is read by {time}, a time: it begins anew with each"));
            return false;
        }
        let keys: Vec<&Key> = self.keys().collect();
        if let Some(narrow) = keys.iter().find(|k| !columns.iter().all(|c| k.columns.contains(c))) {
            stream.doubts.push(format!(
                "its newest version is read by {}, but unique key {} is over {}: two streams would take one number",
                list(columns.iter().map(String::as_str)),
                narrow.name,
                list(narrow.columns.iter().map(String::as_str))
            ));
            return false;
        }
        let key = keys.into_iter().min_by_key(|k| k.columns.len());
        stream.columns = match key {
            Some(key) => key.columns.iter().filter(|c| columns.contains(c)).cloned().collect(),
            None => columns,
        };
        stream.key = key.cloned();
        true
    }

    /// Unique keys with the version and something else.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        let keys = self.relation.keys.iter().filter(|k| k.columns.len() >= 2);
        keys.filter(|k| k.columns.iter().any(|c| c == self.version))
    }

    fn by_key(&self, stream: &mut Stream) {
        let named = |key: &Key| -> Vec<String> {
            let others = || key.columns.iter().filter(|c| *c != self.version);
            let kept: Vec<String> = others()
                .filter(|c| !self.relation.column(c).is_some_and(is_time) && !self.is_of_partitions_alone(c, key))
                .cloned()
                .collect();
            kept
        };
        let keyed = self.keys().map(|k| (k, named(k))).filter(|(_, named)| !named.is_empty());
        let Some((key, columns)) = keyed.min_by_key(|(k, named)| (named.len(), k.columns.len())) else { return };
        if let Some(column) = columns.iter().find(|c| self.is_undecided(c, &columns)) {
            stream.doubts.push(format!(
                "{column} may be in unique key {} for the partitions alone: say in the plan whether it names the stream",
                key.name
            ));
        }
        if columns.len() > WIDEST {
            stream.doubts.push(format!(
                "unique key {} of {} has {} columns before the version, more than name a stream ({WIDEST})",
                key.name,
                self.relation.quoted,
                columns.len()
            ));
        }
        stream.columns = columns;
        stream.key = Some(key.clone());
    }

    /// Whether a column is in the key since the table is partitioned by it: no text that a statement gives as a type, and the
    /// others name the row that the events tell of.
    fn is_of_partitions_alone(&self, column: &str, key: &Key) -> bool {
        if !self.relation.partition_columns.iter().any(|c| c == column) {
            return false;
        }
        let others: Vec<&String> = key.columns.iter().filter(|c| *c != column && *c != self.version).collect();
        !self.is_constant(column) && !others.is_empty() && self.uses.iter().any(|w| self.names_the_row(w, &others))
    }

    /// Whether a column by which the table is partitioned is kept without need: the others do not name the row, and neither do all.
    fn is_undecided(&self, column: &str, columns: &[String]) -> bool {
        let others: Vec<&String> = columns.iter().filter(|c| *c != column).collect();
        let all: Vec<&String> = columns.iter().collect();
        self.relation.partition_columns.iter().any(|c| c == column)
            && !others.is_empty()
            && !self.is_constant(column)
            && !self.uses.iter().any(|w| self.names_the_row(w, &all))
    }

    /// Whether some statement gives a constant there, as a type.
    fn is_constant(&self, column: &str) -> bool {
        self.uses.iter().any(|w| {
            let values = w.insert.as_ref().map(|i| i.values(column)).unwrap_or_default();
            values.into_iter().flatten().any(|v| ast::constant(v).is_some())
        })
    }

    /// Whether these columns are given the primary key of the trigger's row.
    fn names_the_row(&self, write: &Write, columns: &[&String]) -> bool {
        let trigger = write.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid));
        let source = trigger.and_then(|t| self.catalogue.relation(t.relation));
        let Some(key) = source.and_then(|r| r.keys.iter().find(|k| k.primary)) else { return false };
        let Some(insert) = &write.insert else { return false };
        let given: Vec<String> = columns
            .iter()
            .flat_map(|c| insert.values(c))
            .flatten()
            .filter_map(|v| ast::column(ast::without_casts(v)))
            .filter(|f| f.len() == 2 && matches!(f[0].as_str(), "new" | "old"))
            .map(|f| f[1].clone())
            .collect();
        key.columns.iter().all(|c| given.contains(c))
    }

    /// Every reading of the newest version on the way to an insert; what is not understood is a doubt.
    fn reads(&self, doubts: &mut Vec<String>) -> Vec<Read> {
        let tracer = Tracer { catalogue: self.catalogue, collected: self.collected };
        let mut origins: Vec<(Origin, Option<&Write>)> = vec![];
        for write in self.uses {
            let Some(insert) = &write.insert else { continue };
            for value in insert.values(self.version).into_iter().flatten() {
                let origin = tracer.origin(value, write.scope, write.statement);
                // several rows of one statement count on from each other
                if !origin.reads.is_empty() && insert.rows.len() == 1 {
                    self.count(&tracer, value, write.scope, write.statement, doubts);
                }
                origins.push((origin, Some(write)));
            }
            if insert.takes_default(self.version)
                && let Some(default) = self.relation.column(self.version).and_then(|c| c.default.as_deref())
                && let Ok(expr) = ast::parse_expression(default)
            {
                origins.push((tracer.origin(&expr, write.scope, write.statement), None));
            }
        }
        for (scope, statement, expr) in self.assigned() {
            let origin = tracer.origin(&expr, scope, statement);
            if !origin.reads.is_empty() {
                self.count(&tracer, &expr, scope, statement, doubts);
            }
            origins.push((origin, None));
        }
        let mut reads: Vec<Read> = vec![];
        for (origin, write) in origins {
            for read in origin.reads {
                // a number of the table itself that is no maximum does not say what the stream is
                if read.kept && read.relation == Some(self.relation.oid) {
                    continue;
                }
                self.examine(&tracer, &read, write, doubts);
                reads.push(read);
            }
        }
        doubts.dedup();
        reads
    }

    /// Where BEFORE INSERT triggers of the table give the version.
    fn assigned(&self) -> Vec<(usize, usize, Value)> {
        let target = format!("new.{}", self.version);
        let before = self.catalogue.triggers.iter().filter(|t| {
            t.relation == self.relation.root
                && t.timing == "BEFORE"
                && t.row
                && t.enabled != "D"
                && t.events.iter().any(|e| e == "INSERT")
        });
        let mut found = vec![];
        for trigger in before {
            let Some(body) = self.collected.bodies.get(&trigger.function) else { continue };
            let scope = self.collected.scope_of(trigger.function);
            let Some(n) = body.statements.iter().rposition(|s| s.targets.contains(&target)) else {
                let relation = self.catalogue.relation(trigger.relation);
                let made = relation.and_then(|r| bodies::returned(body, r, self.version));
                found.extend(made.and_then(|(n, value)| Some((scope?, n, value))));
                continue;
            };
            if let (Some(scope), Ok(expr)) = (scope, ast::parse_expression(&target)) {
                found.push((scope, n + 1, expr));
            }
        }
        found
    }

    /// Whether it counts 1, 2, 3 ..
    fn count(&self, tracer: &Tracer<'_>, expr: &Value, scope: usize, statement: usize, doubts: &mut Vec<String>) {
        const NEWEST: i64 = 1000;
        for first in tracer.values_if_newest(expr, scope, statement, None) {
            if first != 1 {
                doubts.push(format!("its versions begin at {first}, the store's at 1"));
            }
        }
        for next in tracer.values_if_newest(expr, scope, statement, Some(NEWEST)) {
            // 1 is the first one, where a condition says that there is none
            if next > 1 && next < NEWEST {
                doubts.push(format!("in some cases its version is {next}, whatever the newest is"));
            } else if next != 1 && next != NEWEST + 1 {
                doubts.push(format!("its versions go on by {}, the store's by 1", next - NEWEST));
            }
        }
    }

    fn examine(&self, tracer: &Tracer<'_>, read: &Read, write: Option<&Write>, doubts: &mut Vec<String>) {
        let same = |oid: u32| {
            let root = |oid: u32| self.catalogue.relation(oid).map(|r| r.root);
            oid == self.relation.oid || root(oid) == Some(self.relation.root)
        };
        if let Some(why) = &read.unclear {
            doubts.push(format!("its newest version is read {why}"));
        } else if !read.relation.is_some_and(same) {
            doubts.push(format!("its newest version is read from {}, another table", read.written));
        } else if read.column.as_ref().is_some_and(|c| c != self.version) {
            doubts.push(format!(
                "it goes on from column {}, not from its newest {}",
                read.column.as_deref().unwrap_or_default(),
                self.version
            ));
        }
        // the stream that is read must be the one that is written
        let Some(insert) = write.and_then(|w| w.insert.as_ref()) else { return };
        for (column, wanted) in &read.by {
            let wanted = tracer.resolved(wanted, read.scope);
            for given in insert.values(column).into_iter().flatten() {
                let given = tracer.resolved(given, write.map_or(0, |w| w.scope));
                if differ(&wanted, &given) {
                    doubts.push(format!("its newest version is read by another {column} than the event gets"));
                }
            }
        }
    }
}

/// Whether two expressions give different values: other constants, other columns of the row, or the column before and after a change.
fn differ(a: &Value, b: &Value) -> bool {
    if let (Some(a), Some(b)) = (ast::constant(a), ast::constant(b)) {
        return a != b;
    }
    let of_row = |v: &Value| ast::column(v).filter(|c| c.len() == 2 && matches!(c[0].as_str(), "new" | "old"));
    matches!((of_row(a), of_row(b)), (Some(a), Some(b)) if a != b)
}

/// A date or a time.
pub fn is_time(column: &Column) -> bool {
    matches!(column.category.as_str(), "D" | "T") || column.data_type.starts_with("time") || column.data_type == "date"
}

/// Names in parentheses.
pub fn list<'t>(names: impl Iterator<Item = &'t str>) -> String {
    format!("({})", names.collect::<Vec<_>>().join(", "))
}
