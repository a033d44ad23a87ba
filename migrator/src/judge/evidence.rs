//! Whether a table holds events. Keys, types, comments and use are weighed, for and against, and all of it is told.

use std::collections::BTreeSet;

use serde_json::Value;

use super::collect::{Collected, Write};
use super::event_table::{Looker, Roles, Target, is_time};
use super::sql::{self, Conflict, Insert};
use super::{ast, version, words};
use crate::source::{Catalogue, Relation, Treat};

/// So many points make a table of events.
const ENOUGH: i32 = 5;
/// With so many, and much against it, nobody can tell.
const DOUBT: i32 = 3;

/// Points with what they are given for.
#[derive(Default)]
struct Scale {
    gained: i32,
    lost: i32,
    reasons: Vec<String>,
}

impl Scale {
    fn add(&mut self, points: i32, reason: impl Into<String>) {
        *(if points > 0 { &mut self.gained } else { &mut self.lost }) += points;
        self.reasons.push(format!("{} ({points:+})", reason.into()));
    }

    fn total(&self) -> i32 {
        self.gained + self.lost
    }
}

/// Judges one table by everything that writes it.
pub fn recognise(relation: &Relation, catalogue: &Catalogue, collected: &Collected) -> Target {
    let looker = Looker::new(relation, catalogue, collected);
    let mut target = Target { relation: relation.oid, ..Target::default() };
    let registered = catalogue.registered(relation.oid);
    (target.roles, target.stream) = looker.roles(registered);
    let roles = &target.roles;
    let mut scale = Scale::default();
    if let (Some(version), Some(key)) = (&roles.version_column, &roles.key) {
        scale.add(3, format!("unique key {key} ends a stream in the integer column {version}"));
    } else if let Some(version) = &roles.version_column {
        // what is not in the source may have the key
        if relation.assumed {
            scale.add(3, format!("column {version} is called as a stream's version is"));
        } else {
            scale.add(2, format!("column {version} counts within a stream, but no unique key says so"));
        }
    }
    if !roles.data_columns.is_empty() {
        scale.add(2, format!("payload in {}", roles.data_columns.join(", ")));
    }
    let numbers = looker.numbers(roles);
    let said = roles.event_type_column.as_ref();
    let says_what =
        said.is_some_and(|c| words::says_what(c) || !numbers.only_for_new_parents) || looker.mentions_operation();
    if says_what {
        scale.add(1, "says what happened");
    }
    let timed = relation.columns.iter().any(is_time);
    if timed {
        scale.add(1, "has a time");
    }
    let of_row = roles.id_column.as_ref().is_some_and(|c| looker.fed_by_row(c)) || looker.row_reaches_a_plain_column();
    if of_row {
        scale.add(1, "names the row it tells of");
    }
    let hint = words::tells_of_changes(&relation.name);
    let comment = relation.comment.as_deref().unwrap_or_default().to_lowercase();
    if hint || comment.contains("event") {
        scale.add(1, "its name or comment speaks of events");
    }
    let copies = looker.copies(roles);
    if copies {
        scale.add(1, "keeps the row as it was or became");
    }
    let on_change = looker.on_change();
    if on_change {
        scale.add(1, "is written when a row changes or goes");
    }
    let overwritten = looker.inserts().any(|i| i.conflict == Conflict::Update);
    if overwritten {
        scale.add(-6, "rows are overwritten by ON CONFLICT DO UPDATE");
    }
    let content = |c: &String| {
        roles.data_columns.contains(c)
            || [&roles.version_column, &roles.id_column, &roles.type_column].iter().any(|r| r.as_ref() == Some(c))
    };
    let updated = collected.changes.iter().any(|c| c.relation == relation.oid && c.columns.iter().any(content));
    if updated {
        scale.add(-3, "its content is updated by functions");
    }
    numbers.against.iter().for_each(|(points, reason)| scale.add(*points, reason.as_str()));
    let shape = !roles.data_columns.is_empty() || timed || relation.assumed;
    let tells = says_what || hint || copies && on_change && roles.version_column.is_some();
    let enough = if relation.assumed { ENOUGH - 1 } else { ENOUGH };
    // a log without a version, of plain columns
    let log = roles.version_column.is_none()
        && hint
        && (on_change || says_what || looker.uses.iter().any(|w| w.unfired))
        && (of_row || copies || !roles.data_columns.is_empty())
        && (shape || says_what)
        && !overwritten
        && !updated;
    target.is_event_table = log || scale.total() >= enough && shape && tells;
    let counted = roles.version_column.is_some() && (roles.key.is_some() || relation.assumed);
    let torn = scale.gained >= enough && tells && scale.total() >= DOUBT;
    let renumbers = numbers.by_maximum && on_change && scale.lost == 0 && scale.total() >= enough - 1;
    target.uncertain = !target.is_event_table && counted && shape && !overwritten && (torn || renumbers);
    // much speaks for events, but the number may be what the row is called by, or right for the first row of a parent
    let plain_log = words::is_log(&relation.name) || says_what && !roles.data_columns.is_empty();
    let named = roles.version_column.as_deref().is_some_and(words::is_ordinal) && !hint;
    if target.is_event_table && counted && (named || numbers.only_for_new_parents && !plain_log) {
        (target.is_event_table, target.uncertain) = (false, true);
    }
    if registered.is_some() {
        (target.is_event_table, target.uncertain) = (true, false);
    }
    target.reasons = scale.reasons;
    said_by_a_person(relation, catalogue, &mut target);
    target
}

fn said_by_a_person(relation: &Relation, catalogue: &Catalogue, target: &mut Target) {
    let Some(treat) = catalogue.treat(relation) else { return };
    target.is_event_table = treat == Treat::Events;
    target.uncertain = false;
    let said = if treat == Treat::Events { "events" } else { "things of their own" };
    target.reasons.push(format!("--treat says that its rows are {said}"));
}

/// What the numbers of a table's rows look like.
#[derive(Debug, Default)]
struct Numbers {
    /// Constants alone, and for the rows of a new parent alone.
    only_for_new_parents: bool,
    /// By max() + 1.
    by_maximum: bool,
    /// What speaks against a version.
    against: Vec<(i32, String)>,
}

impl Looker<'_> {
    fn inserts(&self) -> impl Iterator<Item = &Insert> {
        self.uses.iter().filter_map(|w| w.insert.as_ref())
    }

    /// Whether some write is made when a row of another table is updated or deleted.
    fn on_change(&self) -> bool {
        self.uses.iter().any(|w| {
            let changes = w.operations.iter().any(|o| o != "INSERT");
            // without its trigger the function tells: only a change has an old row
            changes || w.unfired && self.mentions_old(w)
        })
    }

    fn mentions_old(&self, write: &Write) -> bool {
        let body = self.collected.body(write.scope);
        body.statements
            .iter()
            .any(|s| s.sql.to_ascii_lowercase().contains("old") || s.sql.to_ascii_lowercase().contains("tg_op"))
    }

    /// Whether columns take the values that columns of the same names have in the row, or all of them.
    fn copies(&self, roles: &Roles) -> bool {
        let of_stream = [&roles.type_column, &roles.id_column, &roles.version_column];
        let plain = |c: &&String| !of_stream.iter().any(|r| r.as_ref() == Some(c)) && *c != "id";
        let same = |value: Option<&Value>, column: &str| match value.map(ast::without_casts).and_then(ast::column) {
            Some(parts) => matches!(parts.as_slice(), [row, c] if c == column && (row == "new" || row == "old")),
            None => false,
        };
        self.inserts().any(|i| {
            let star = i.rows.iter().any(|row| row.len() > 1 && row.iter().any(Option::is_none));
            star || i.columns.iter().filter(plain).any(|c| i.values(c).into_iter().any(|v| same(v, c)))
        })
    }

    fn numbers(&self, roles: &Roles) -> Numbers {
        let mut numbers = Numbers::default();
        let Some(number) = &roles.version_column else { return numbers };
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
            let maximum = |o: &version::Origin| {
                matches!(o.source, version::VersionSource::MaxPlusOne | version::VersionSource::MaxPlusOneLocked)
            };
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
    fn several_at_once(&self, number: &str) -> bool {
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
    fn numbered_by_a_query(&self, write: &Write, number: &str) -> bool {
        let row_level =
            write.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid)).is_some_and(|t| t.row);
        let Some(insert) = write.insert.as_ref().filter(|i| i.from_query && row_level) else { return false };
        insert.values(number).into_iter().flatten().any(|value| {
            let calls = sql::calls(value);
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
    fn only_if_absent(&self, write: &Write) -> bool {
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
}

/// The question that nobody but a person can answer.
pub(super) fn question(relation: &Relation, roles: &Roles) -> String {
    let number = roles.version_column.as_deref().unwrap_or("its number");
    let id = roles.id_column.as_deref().unwrap_or("its parent");
    format!(
        "question: does {} get a row for each change of what {id} names, or is {number} a number that its rows have for themselves? \
         Answer with --treat {}=events or --treat {}=entity; nothing is proposed before",
        relation.quoted, relation.quoted, relation.quoted
    )
}
