//! The events of both engines, row by row: everything but ids, positions, transaction ids and clocks.
//!
//! The one accepted difference is SPEC 9's T7 (b): when a user's trigger changes another row of the statement whose own event is
//! still queued, the native engine may write the earlier change first where the portable one writes in firing order and marks
//! the late event with its place. [`in_place`] brings such a stream into its true order before it is compared; what the marks
//! entail, and which of the two events carried the whole row, is then not looked at. Whether the fold is right is seen to by the
//! invariant, on both engines. Streams that several rows share are compared without the order of their events.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    model::Check,
    runner::{Counts, Finding, Side},
};

const COLUMNS: &str = "aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata, \
                       correlation_id, causation_id, caused_by, schema_version, occurred_at = recorded_at, origin";

type Event = Vec<Option<String>>;

pub fn compare(sides: &mut [Side; 2], checks: &[Check], counts: &mut Counts) -> Result<(), Finding> {
    let [left, right] = sides;
    let (a, b) = (new_events(left), new_events(right));
    counts.events += a.len() as u64;
    if a != b {
        streams(&a, &b, checks, counts).map_err(|what| {
            // Where contents differ, what is the same on both sides does not help.
            let only = |these: &[Event], others: &[Event]| -> Vec<Event> {
                these.iter().filter(|e| !others.contains(e)).cloned().collect()
            };
            let (x, y) = (only(&a, &b), only(&b, &a));
            let (x, y) = if x.is_empty() && y.is_empty() { (a.clone(), b.clone()) } else { (x, y) };
            // Streams are no part of the kind: two faults in two streams are the same one.
            let kind = format!("events: {}", what.split(" (").next().unwrap_or_default());
            Finding::new(kind, format!("{what}\n{}:\n{}\n{}:\n{}", left.engine, lines(&x), right.engine, lines(&y)))
        })?;
    }
    let (a, b) = (new_failures(left), new_failures(right));
    counts.dead_letters += a.len() as u64;
    if a != b && !same_failures(&a, &b) {
        return Err(Finding::new(
            "dead letters",
            format!("{}:\n{}\n{}:\n{}", left.engine, lines(&a), right.engine, lines(&b)),
        ));
    }
    Ok(())
}

/// Dead letters without their order and place, if one of them says that its change was queued: T7 (b) as above.
fn same_failures(a: &[Event], b: &[Event]) -> bool {
    let mut is_queued = false;
    let mut sorted = |failures: &[Event]| {
        let mut failures = failures.to_vec();
        for failure in &mut failures {
            let mut marks: Value =
                failure[7].as_deref().and_then(|m| serde_json::from_str(m).ok()).unwrap_or(Value::Null);
            is_queued |= marks.as_object_mut().is_some_and(|marks| marks.remove("queued").is_some());
            failure[7] = Some(marks.to_string());
            failure[11] = None;
        }
        failures.sort();
        failures
    };
    sorted(a) == sorted(b) && is_queued
}

fn lines(events: &[Event]) -> String {
    let mut out = String::new();
    for event in events.iter().take(40) {
        let fields: Vec<String> =
            event.iter().map(|f| f.as_deref().unwrap_or("~").chars().take(400).collect()).collect();
        out += &format!("  {}\n", fields.join(" | "));
    }
    if events.len() > 40 {
        out += &format!("  .. {} in all\n", events.len());
    }
    out
}

fn new_events(side: &mut Side) -> Vec<Event> {
    take(
        side,
        |side| {
            format!(
                "select global_position, {COLUMNS} from domain_events.events where global_position > {} order by 1",
                side.compared.0
            )
        },
        |side, position| side.compared.0 = position,
    )
}

fn new_failures(side: &mut Side) -> Vec<Event> {
    take(
        side,
        |side| {
            format!(
            "select failure_id, table_name, operation, aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
                    correlation_id, causation_id, caused_by, after_version, error_code, error_message
               from domain_events.capture_failures where failure_id > {} order by 1",
            side.compared.1
        )
        },
        |side, number| side.compared.1 = number,
    )
}

/// Rows without their first column, which says how far we are.
fn take(side: &mut Side, query: impl Fn(&Side) -> String, mark: impl Fn(&mut Side, i64)) -> Vec<Event> {
    let query = query(side);
    let mut rows = side.checker.rows(&query);
    let mut last = None;
    for row in &mut rows {
        last = row.remove(0).and_then(|n| n.parse().ok());
    }
    if let Some(last) = last {
        mark(side, last);
    }
    rows
}

fn by_stream(events: &[Event]) -> BTreeMap<(&str, &str), Vec<&Event>> {
    let mut map: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in events {
        map.entry((event[0].as_deref().unwrap_or("~"), event[1].as_deref().unwrap_or("~"))).or_default().push(event);
    }
    map
}

fn streams(a: &[Event], b: &[Event], checks: &[Check], counts: &mut Counts) -> Result<(), String> {
    let (left, right) = (by_stream(a), by_stream(b));
    if left.keys().ne(right.keys()) {
        return Err("other streams".into());
    }
    let mut is_late = false;
    for (stream, left) in &left {
        let right = &right[stream];
        if left != right {
            let has_one_order =
                stream.0 == "domain_events.Table" || checks.iter().any(|check| check.aggregate_type == stream.0);
            let (placed, other) = if has_one_order {
                let placed = in_place(left).ok_or_else(|| format!("stream {stream:?} differs"))?;
                (placed, in_place(right).unwrap_or_else(|| right.iter().map(|e| (*e).clone()).collect()))
            } else {
                // Of rows that share a stream each has its own order, and nothing says which event is whose.
                (by_content(left), by_content(right))
            };
            same_changes(&placed, &other)
                .map_err(|what| format!("stream {stream:?} differs, late events in their place: {what}"))?;
            is_late = true;
            counts.late += 1;
        }
    }
    if is_late { Ok(()) } else { Err("the order between streams differs".into()) }
}

fn metadata(event: &Event) -> Value {
    event[6].as_deref().and_then(|m| serde_json::from_str(m).ok()).unwrap_or(Value::Null)
}

/// The events in their true order; None when none of them fired late.
fn in_place(events: &[&Event]) -> Option<Vec<Event>> {
    let mut placed: Vec<(f64, Event)> = vec![];
    let mut is_late = false;
    for event in events {
        let mut marks = metadata(event);
        let version: f64 = event[2].as_deref()?.parse().ok()?;
        let mut event = (*event).clone();
        let mut place = version;
        if let Some(object) = marks.as_object_mut()
            && object.get("late") == Some(&Value::Bool(true))
            && !object.contains_key("failure_id")
            && let Some(after) = object.get("after_version").and_then(Value::as_f64)
        {
            is_late = true;
            place = after + 0.5;
            object.remove("late");
            object.remove("after_version");
            object.remove("before_failure");
            event[6] = Some(marks.to_string());
        }
        placed.push((place, event));
    }
    // Of several that came late to one place, the newest was the earliest: as the fold reads them.
    placed.reverse();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    is_late.then(|| placed.into_iter().map(|(_, event)| event).collect())
}

fn by_content(events: &[&Event]) -> Vec<Event> {
    let mut sorted = in_place(events).unwrap_or_else(|| events.iter().map(|e| (*e).clone()).collect());
    sorted.sort_by(|a, b| (&a[3], &a[5]).cmp(&(&b[3], &b[5])));
    sorted
}

/// Numbers of jsonb have more digits than those of serde_json.
fn numbers_as_texts(json: &str) -> String {
    let (mut out, mut in_text, mut in_number, mut escaped) =
        (String::with_capacity(json.len() + 16), false, false, false);
    for c in json.chars() {
        let is_digit =
            !in_text && (c.is_ascii_digit() || c == '-' || (in_number && matches!(c, '.' | 'e' | 'E' | '+')));
        if is_digit != in_number {
            out.push('"');
            in_number = is_digit;
        }
        if c == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

fn same_changes(a: &[Event], b: &[Event]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} and {} events", a.len(), b.len()));
    }
    for (left, right) in a.iter().zip(b) {
        if left[3] != right[3] || left[4] != right[4] || left[7..] != right[7..] {
            return Err(format!("{left:?} and {right:?}"));
        }
        let data = |e: &Event| -> Value {
            e[5].as_deref().and_then(|d| serde_json::from_str(&numbers_as_texts(d)).ok()).unwrap_or(Value::Null)
        };
        let (x, y) = (data(left), data(right));
        let keys = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let whole = metadata(left).get("complete").is_some() || metadata(right).get("complete").is_some();
        let same = if !whole {
            x == y
        } else {
            // One of them carries the whole row: what both say must agree.
            keys(&x) == keys(&y)
                && keys(&x).iter().all(|part| match (x[part].as_object(), y[part].as_object()) {
                    (Some(p), Some(q)) => p.iter().all(|(k, v)| q.get(k).is_none_or(|w| w == v)),
                    _ => x[part] == y[part],
                })
        };
        if !same {
            return Err(format!("{x} and {y}"));
        }
    }
    Ok(())
}
