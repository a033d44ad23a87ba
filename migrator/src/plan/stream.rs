//! What names the streams of a legacy event table in a plan: as judged, or as a person decided in the file.

use super::{EventTable, Plan};
use crate::error::Error;
use crate::judge::Roles;
use crate::judge::stream::{WIDEST, is_time, list};
use crate::source::Relation;

/// The decision for one table.
#[derive(Debug, Clone, Default)]
pub(super) struct Decided {
    pub columns: Vec<String>,
    /// Whether a unique key keeps a version from being stored twice.
    pub keyed: bool,
    /// What to declare where a person decided otherwise than the legacy code.
    pub declared: Option<String>,
}

/// The stream of a table: what an earlier file says, if it says something else, checked.
pub(super) fn decide(
    relation: &Relation,
    roles: &Roles,
    read_by: Option<&[String]>,
    earlier: Option<&Plan>,
) -> Result<Decided, Error> {
    let judged = Decided { columns: roles.stream.clone(), keyed: roles.key.is_some(), declared: None };
    let of_table =
        |p: &Plan| -> Option<EventTable> { p.event_tables.iter().find(|t| t.table == relation.quoted).cloned() };
    let Some(wanted) = earlier.and_then(of_table).map(|t| t.stream).filter(|s| *s != roles.stream) else {
        return Ok(judged);
    };
    if wanted.is_empty() && judged.columns.is_empty() {
        return Ok(judged);
    }
    let version = roles.version_column.as_deref();
    check(relation, &wanted, version)?;
    let same = |by: &[String]| by.len() == wanted.len() && by.iter().all(|c| wanted.contains(c));
    let legacy = read_by.map_or_else(
        || (!same(&judged.columns)).then(|| format!("{} was proposed", names(&judged.columns))),
        |by| (!same(by)).then(|| format!("the legacy code reads its newest version by {}", names(by))),
    );
    Ok(Decided {
        keyed: relation.is_keyed_by(&wanted, version),
        declared: legacy.map(|other| format!("the stream is {}, decided in the plan; {other}", names(&wanted))),
        columns: wanted,
    })
}

fn names(columns: &[String]) -> String {
    list(columns.iter().map(String::as_str))
}

fn check(relation: &Relation, wanted: &[String], version: Option<&str>) -> Result<(), Error> {
    let refuse = |why: String| {
        Err(Error::usage(
            format!("stream = {wanted:?} of {}: {why}", relation.quoted),
            "Name the columns that tell one aggregate from another, as stream = [\"tenant_id\", \"order_id\"], then run plan --revise again.",
        ))
    };
    if !(1..=WIDEST).contains(&wanted.len()) {
        return refuse(format!("a stream is named by one to {WIDEST} columns"));
    }
    for (n, column) in wanted.iter().enumerate() {
        let Some(known) = relation.column(column) else { return refuse(format!("there is no column {column}")) };
        if Some(column.as_str()) == version {
            return refuse(format!("{column} is the version itself"));
        } else if wanted[..n].contains(column) {
            return refuse(format!("{column} is named twice"));
        } else if is_time(known) {
            return refuse(format!("{column} is a time: every event would begin a stream of its own"));
        }
    }
    let Some(version) = version else { return Ok(()) };
    let of_version = relation.keys.iter().filter(|k| k.columns.len() >= 2 && k.columns.iter().any(|c| c == version));
    for key in of_version {
        if let Some(column) = wanted.iter().find(|c| !key.columns.contains(c)) {
            return refuse(format!(
                "unique key {} is over {}, without {column}: events of two streams would take one number there",
                key.name,
                names(&key.columns)
            ));
        }
    }
    Ok(())
}
