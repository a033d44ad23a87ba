//! Whether a table holds events. Keys, types, comments and use are weighed, for and against, and all of it is told.

use super::against::Numbers;
use super::collected::Collected;
use super::event_table::{Roles, Target, is_time};
use super::sql::{Conflict, Insert};
use super::table_use::TableUse;
use super::words;
use crate::source::{Catalogue, Relation, Treat, Trigger};

/// So many points make a table of events.
const ENOUGH: i32 = 5;
/// With so many, and much against it, nobody can tell.
const DOUBT: i32 = 3;

/// What is seen of a table and of those who write it.
struct Signs {
    /// What numbers its rows within a stream: points and reason.
    number: Option<(i32, String)>,
    /// Its payload.
    payload: Vec<String>,
    says_what: bool,
    timed: bool,
    of_row: bool,
    /// Its name speaks of changes.
    named: bool,
    /// Its comment does, or its name.
    called_events: bool,
    on_change: bool,
    copies: bool,
    of_table: bool,
    pairs: bool,
    kept: bool,
    of_transaction: bool,
    overwritten: bool,
    updated: bool,
    /// It is written when rows go, and then alone.
    deleted: bool,
    /// It is called a log, and functions of the application alone write it.
    by_functions: bool,
    /// Functions of the application append documents to it.
    appended: bool,
    /// Each new row of another table is noted in it, and nothing keys it.
    noted: bool,
    /// Triggers of several tables note in it what happens.
    shared: bool,
    /// A change is noted in it by a reference and the time.
    referred: bool,
    seeds: bool,
    numbers: Numbers,
}

impl Signs {
    fn of(table: &TableUse<'_>, roles: &Roles) -> Self {
        let TableUse { relation, catalogue, collected, .. } = *table;
        let numbers = table.numbers(roles);
        let said = roles.event_type_column.as_ref();
        let timed = relation.columns.iter().any(|c| is_time(c) || table.is_dated(c));
        let named = words::tells_of_changes(&relation.name) || words::is_called_log(&relation.schema);
        let comment = relation.comment.as_deref().unwrap_or_default().to_lowercase();
        let on_change = table.on_change();
        let content = |c: &String| {
            roles.data_columns.contains(c) && table.is_told(c)
                || [roles.number(), roles.id_column.as_ref(), roles.type_column.as_ref()].contains(&Some(c))
        };
        // an event that is written over by the one with its version is lost: the table is a log all the same
        let version = roles.version_column.as_deref().filter(|v| words::is_version(v));
        let over_a_version = |insert: &Insert| version.is_some_and(|v| insert.writes_over(v));
        // a number that the row's own trigger gives it afterwards is the row's first
        let own = |function: u32| {
            let on_itself = |t: &Trigger| t.relation == relation.oid && t.events.iter().any(|e| e == "INSERT");
            catalogue.triggers.iter().any(|t| t.function == function && on_itself(t))
        };
        let mut changes = collected.changes.iter().filter(|c| c.relation == relation.oid && !own(c.function));
        Self {
            number: numbered(table, roles),
            payload: roles.data_columns.clone(),
            says_what: said.is_some_and(|c| words::says_what(c) || !numbers.only_for_new_parents)
                || table.mentions_operation(),
            timed,
            of_row: roles.id_column.as_ref().is_some_and(|c| table.fed_by_row(c)) || table.row_reaches_a_plain_column(),
            named,
            called_events: named || comment.contains("event"),
            on_change,
            // a new row that is written elsewhere too is no change of it
            copies: table.copies(roles) && (on_change || named || roles.number().is_some()),
            of_table: table.names_the_table(),
            pairs: words::tell_before_and_after(relation.columns.iter().map(|c| c.name.as_str()))
                || table.is_given_before_and_after(),
            kept: table.keeps_what_a_function_copies(),
            // who did what in one transaction, once for all of its changes
            of_transaction: timed && on_change && table.is_told_once_per_transaction(),
            overwritten: table
                .inserts_with_rows()
                .any(|(i, w)| i.conflict == Conflict::Update && !over_a_version(i) && !table.merges(i, w)),
            updated: changes.any(|c| c.columns.iter().any(content)),
            deleted: table.is_told_of_deleted_rows(),
            by_functions: (words::is_called_log(&relation.name)
                || named && (said.is_some() || !words::may_be_an_entity(&relation.name)))
                && table.is_told_by_functions(),
            appended: timed && table.is_appended_to(roles),
            noted: table.notes_each_row(),
            shared: table.is_told_by_several_tables(),
            referred: table.is_told_by_a_reference(),
            seeds: !named && table.seeds_for_new_parents(roles),
            numbers,
        }
    }

    /// What each sign weighs; those without points are told and tip nothing.
    fn weighed(&self) -> Scale {
        let number = self.number.clone().unwrap_or_default();
        let payload = format!("payload in {}", self.payload.join(", "));
        let rows: [(bool, i32, &str); 17] = [
            (self.number.is_some(), number.0, &number.1),
            (!self.payload.is_empty(), 2, &payload),
            (self.says_what, 1, "says what happened"),
            (self.timed, 1, "has a time"),
            (self.of_row, 1, "names the row it tells of"),
            (self.called_events, 1, "its name or comment speaks of events"),
            (self.copies, 1, "keeps the row as it was or became"),
            (self.on_change, 1, "is written when a row changes or goes"),
            (self.of_table && self.named, 0, "names the table it tells of"),
            (self.pairs && (self.named || self.on_change), 0, "has what was and what is side by side"),
            (self.kept && self.named, 0, "a function copies rows of the table that it is called after"),
            (self.shared && self.number.is_none(), 0, "triggers of several tables tell it what happens"),
            (self.appended && self.number.is_none(), 0, "functions append documents to it"),
            (self.of_transaction, 1, "is written once for each transaction that changes something"),
            (self.overwritten, -6, "rows are overwritten by ON CONFLICT DO UPDATE"),
            (self.updated, -3, "its content is updated by functions"),
            (self.seeds, -5, "a new parent gets the same rows each time"),
        ];
        let against = self.numbers.against.iter().map(|(points, reason)| (true, *points, reason.as_str()));
        let mut scale = Scale::default();
        rows.into_iter().chain(against).filter(|(seen, ..)| *seen).for_each(|(_, points, why)| scale.add(points, why));
        scale
    }
}

/// What numbers the rows of a table within a stream.
fn numbered(table: &TableUse<'_>, roles: &Roles) -> Option<(i32, String)> {
    let odd = || Some((roles.odd_version_column.as_deref()?, table.key_with(roles.odd_version_column.as_deref()?)?));
    if let (Some(version), Some(key)) = (&roles.version_column, &roles.key) {
        return Some((3, format!("unique key {key} ends a stream in the integer column {version}")));
    }
    if let Some((column, key)) = odd() {
        return Some((3, format!("unique key {key} ends a stream in column {column}")));
    }
    let number = roles.number()?;
    if table.relation.keys.iter().any(|k| k.columns == [number.as_str()]) {
        return Some((2, format!("column {number} counts the rows of the whole table")));
    }
    // what is not in the source may have the key
    Some(if table.relation.assumed {
        (3, format!("column {number} is called as a stream's version is"))
    } else {
        (2, format!("column {number} counts within a stream, but no unique key says so"))
    })
}

/// Points with what they are given for.
#[derive(Default)]
struct Scale {
    gained: i32,
    lost: i32,
    reasons: Vec<String>,
}

impl Scale {
    fn add(&mut self, points: i32, reason: &str) {
        *(if points > 0 { &mut self.gained } else { &mut self.lost }) += points;
        self.reasons.push(if points == 0 { reason.to_owned() } else { format!("{reason} ({points:+})") });
    }

    fn total(&self) -> i32 {
        self.gained + self.lost
    }
}

/// Judges one table by everything that writes it.
pub fn recognise(relation: &Relation, catalogue: &Catalogue, collected: &Collected) -> Target {
    let table = TableUse::new(relation, catalogue, collected);
    let mut target = Target { relation: relation.oid, ..Target::default() };
    let registered = catalogue.registered(relation.oid);
    (target.roles, target.stream) = table.roles(registered);
    let signs = Signs::of(&table, &target.roles);
    let scale = signs.weighed();
    (target.is_event_table, target.uncertain) = decided(&table, &target.roles, &signs, &scale);
    if registered.is_some() {
        (target.is_event_table, target.uncertain) = (true, false);
    }
    target.reasons = scale.reasons;
    target.by_maximum = signs.numbers.by_maximum;
    said_by_a_person(relation, catalogue, &mut target);
    target
}

/// Whether it holds events, and whether only a person can tell.
fn decided(table: &TableUse<'_>, roles: &Roles, signs: &Signs, scale: &Scale) -> (bool, bool) {
    let relation = table.relation;
    let Signs { says_what, timed, of_row, named, on_change, copies, of_table, pairs, kept, .. } = *signs;
    let (numbers, has_payload) = (&signs.numbers, !signs.payload.is_empty());
    let shape = has_payload || timed || relation.assumed;
    // a number that goes on with each row, by its name or since it is the greatest one + 1
    let goes_on = roles.number().is_some_and(|n| numbers.by_maximum || words::counts(n) && !words::is_ordinal(n));
    let unfired = table.uses.iter().any(|w| w.unfired);
    let again = on_change || numbers.by_maximum && unfired;
    let kept_whole = || roles.data_columns.iter().any(|c| table.holds_the_row(c));
    // what the row was before each change, whatever the table is called
    let before = table.keeps_the_row_before();
    // a version that goes on within its key, with a payload beside it
    let plain = roles.number().is_some_and(|n| words::is_version(n));
    let read = || roles.number().is_some_and(|n| numbers.by_maximum || table.read_by_max.contains(n));
    let appended = roles.key.is_some() && has_payload && plain && read();
    let tells = says_what || named || before || appended || again && goes_on && (copies || kept_whole());
    let enough = if relation.assumed { ENOUGH - 1 } else { ENOUGH };
    // a log without a version, of plain columns
    let written = on_change || says_what || kept || of_table || unfired;
    // each new row is noted, which is what a log is there for
    let noted = words::is_called_log(&relation.name)
        && timed
        && of_row
        && table.uses.iter().any(|w| w.trigger.is_some())
        && !numbers.only_for_new_parents
        && !signs.seeds;
    let told_of = of_row || copies || kept || of_table || pairs || has_payload;
    // operation and table are there: whoever touches such a row later works on the log
    let audits = of_table && table.mentions_operation() && (named || on_change && (of_row || has_payload) && timed);
    // an event says what happened
    let says = says_what || copies || pairs || of_table || kept || has_payload;
    let told_of = told_of && (says || !words::may_be_an_entity(&relation.name));
    let log = roles.number().is_none()
        && (named && (written || noted) && told_of && (shape || says_what || copies)
            || signs.of_transaction
            || audits
            || signs.shared
            || signs.referred
            || timed
                && (signs.deleted
                    || signs.by_functions
                    || signs.appended
                    || signs.noted
                    || pairs && on_change && of_row))
        && (!signs.overwritten || audits)
        && (!signs.updated || audits);
    let is_event_table = log || scale.total() >= enough && shape && tells;
    let odd_key = || table.key_with(roles.odd_version_column.as_deref()?);
    let counted = roles.version_column.is_some() && (roles.key.is_some() || relation.assumed) || odd_key().is_some();
    let torn = scale.gained >= enough && tells && scale.total() >= DOUBT;
    let renumbers = numbers.by_maximum && on_change && scale.lost == 0 && scale.total() >= enough - 1;
    // much speaks for events, but the number may be what the row is called by, or right for the first row of a parent
    let plain_log = words::is_log(&relation.name) || says_what && has_payload;
    // a place in a stream is what event stores call it, beside what happened, when, and with what
    let in_store = says_what && timed && has_payload && roles.key.is_some();
    let ordinal = roles.number().is_some_and(|n| words::is_ordinal(n)) && !named && !in_store;
    // a key, a time and a name alone are those of the lines of an entry, too
    let silent = table.uses.is_empty() && !says && !on_change && !plain;
    if is_event_table && counted && (ordinal || silent || numbers.only_for_new_parents && !plain_log) {
        return (false, true);
    }
    // what is called a version and counted up by the greatest one is somebody's, even without anything that tells of changes
    let versions = numbers.by_maximum && roles.number().is_some_and(|n| words::is_version(n) || words::is_of_stream(n));
    // a log by its name alone that goes on by the greatest number, or by a counter
    let by_name = counted && named && numbers.by_maximum && scale.lost == 0 && scale.total() >= enough;
    // a log that keeps the rows with their version, of which only the first are in sight
    let first = words::is_called_log(&relation.name)
        && copies
        && numbers.only_for_new_parents
        && roles.number().is_some_and(|n| words::is_plain_version(n));
    let asked = counted && shape && (torn || renumbers) || versions && scale.lost == 0 || by_name || first;
    (is_event_table, !is_event_table && asked && !signs.overwritten)
}

fn said_by_a_person(relation: &Relation, catalogue: &Catalogue, target: &mut Target) {
    let Some(treat) = catalogue.treat(relation) else { return };
    target.is_event_table = treat == Treat::Events;
    target.uncertain = false;
    let said = if treat == Treat::Events { "events" } else { "things of their own" };
    target.reasons.push(format!("--treat says that its rows are {said}"));
}

/// The question that nobody but a person can answer.
pub(super) fn question(relation: &Relation, roles: &Roles) -> String {
    let number = roles.number().map_or("its number", String::as_str);
    let id = roles.id_column.as_deref().unwrap_or("its parent");
    format!(
        "question: does {} get a row for each change of what {id} names, or is {number} a number that its rows have for themselves? \
         Answer with --treat {}=events or --treat {}=entity; nothing is proposed before",
        relation.quoted, relation.quoted, relation.quoted
    )
}
