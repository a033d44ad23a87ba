//! Which tables are examined, and what their columns are: as scan finds them, or as the command line says.

use super::Subject;
use crate::engine_sql::EVENTS;
use crate::error::Error;
use crate::judge::{Report, Roles, recognise};
use crate::source::{Catalogue, Relation};

/// What the command line says of the tables.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names of tables; empty means every event table that is known.
    pub tables: Vec<String>,
    /// Column with the type.
    pub type_column: Option<String>,
    /// Column with the id, or all columns of the stream.
    pub id_columns: Vec<String>,
    /// Column with the version.
    pub version_column: Option<String>,
    /// Columns that order the events.
    pub order_by: Vec<String>,
}

/// The tables to examine, the store last.
pub fn choose(wanted: &Wanted, catalogue: &Catalogue, report: &Report) -> Result<Vec<Subject>, Error> {
    if !wanted.tables.is_empty() {
        return wanted.tables.iter().map(|name| named(name, wanted, catalogue, report)).collect();
    }
    let known = catalogue.store.iter().flat_map(|s| s.event_tables.iter().map(|t| t.oid));
    let found = report.targets.values().filter(|t| t.is_event_table).map(|t| t.relation);
    let mut oids: Vec<u32> = known.chain(found).filter_map(|oid| Some(catalogue.relation(oid)?.root)).collect();
    oids.sort_unstable();
    oids.dedup();
    let mut subjects = vec![];
    for relation in oids.into_iter().filter_map(|oid| catalogue.relation(oid)) {
        let roles = roles(relation, wanted, catalogue, report);
        // a log without a version has nothing to renumber
        if matches!(relation.kind.as_str(), "r" | "p") && roles.id_column.is_some() && roles.version_column.is_some() {
            subjects.push(subject(relation, &roles, wanted, catalogue)?);
        }
    }
    subjects.sort_by(|a, b| a.table.cmp(&b.table));
    if catalogue.store.is_some() {
        subjects.push(store());
    }
    Ok(subjects)
}

fn named(name: &str, wanted: &Wanted, catalogue: &Catalogue, report: &Report) -> Result<Subject, Error> {
    if name == EVENTS && catalogue.store.is_some() {
        return Ok(store());
    }
    let same = |r: &&Relation| r.is_called(name, &[]);
    let by_path = || {
        let within = |schema: &String| {
            catalogue.relations.iter().find(|r| r.schema == *schema && r.is_called(name, std::slice::from_ref(schema)))
        };
        catalogue.search_path.iter().find_map(within)
    };
    let relation = catalogue.relations.iter().find(same).or_else(by_path).ok_or_else(|| {
        Error::refused("42P01", format!("there is no table {name}"), "Name it with its schema: --table SCHEMA.TABLE")
    })?;
    let relation = catalogue.relation(relation.root).unwrap_or(relation);
    if !matches!(relation.kind.as_str(), "r" | "p") {
        return Err(Error::refused("42809", format!("{name} is not a table"), "Name the table that holds the rows."));
    }
    subject(relation, &roles(relation, wanted, catalogue, report), wanted, catalogue)
}

fn roles(relation: &Relation, wanted: &Wanted, catalogue: &Catalogue, report: &Report) -> Roles {
    let mut roles = match report.targets.get(&relation.oid) {
        Some(target) => target.roles.clone(),
        None => recognise(relation, catalogue, &report.collected).roles,
    };
    if let Some(id) = wanted.id_columns.first() {
        // whoever names the id names the whole stream
        roles.type_column.clone_from(&wanted.type_column);
        roles.id_column = Some(id.clone());
        roles.stream = wanted.type_column.iter().chain(&wanted.id_columns).cloned().collect();
    } else if wanted.type_column.is_some() {
        roles.type_column.clone_from(&wanted.type_column);
    }
    if wanted.version_column.is_some() {
        roles.version_column.clone_from(&wanted.version_column);
    }
    roles
}

fn subject(relation: &Relation, roles: &Roles, wanted: &Wanted, catalogue: &Catalogue) -> Result<Subject, Error> {
    let table = relation.quoted.clone();
    let unknown = |what: &str, flag: &str| {
        Error::refused(
            "42P16",
            format!("it is not clear which column of {table} holds the {what}"),
            format!("Say so: --{flag} COLUMN"),
        )
    };
    let id_column = roles.id_column.clone().ok_or_else(|| unknown("aggregate's id", "id-column"))?;
    let version_column = roles.version_column.clone().ok_or_else(|| unknown("version", "version-column"))?;
    // a stream of a type and an id, or of all its columns alike
    let wide = roles.stream.len() > 2;
    let type_column = roles.type_column.clone().filter(|_| !wide);
    let ids = if wide { roles.stream.clone() } else { vec![id_column] };
    let named: Vec<&String> = type_column.iter().chain(&ids).chain([&version_column]).collect();
    for column in named.iter().copied().chain(&wanted.order_by) {
        column_of(relation, column)?;
    }
    let version = column_of(relation, &version_column)?;
    if !version.is_number() {
        return Err(Error::refused(
            "42804",
            format!("column {version_column} of {table} is of type {}: a version is a whole number", version.data_type),
            "Convert the column first, or name another: --version-column COLUMN",
        ));
    }
    let key = row_key(relation, &version_column);
    let counter = counter(relation, &key, &version_column);
    let time_column = time_column(relation);
    let mut order_by = wanted.order_by.clone();
    if order_by.is_empty() {
        order_by.extend(counter.clone().or_else(|| time_column.clone()));
    }
    // ties must fall the same way every time
    order_by.extend(key.iter().map(|(c, _)| c.clone()).filter(|c| !order_by.contains(c)).collect::<Vec<_>>());
    let mut stream = named;
    stream.sort();
    let unique_key = relation.keys.iter().find(|k| {
        let mut columns: Vec<&String> = k.columns.iter().collect();
        columns.sort();
        columns == stream
    });
    Ok(Subject {
        id_columns: ids
            .iter()
            .map(|c| Ok((c.clone(), column_of(relation, c)?.data_type.clone())))
            .collect::<Result<_, Error>>()?,
        version_type: version.data_type.clone(),
        unique_key: unique_key.map(|k| k.name.clone()),
        registered: catalogue.registered(relation.oid).is_some(),
        type_column,
        table,
        version_column,
        key,
        order_by,
        time_column,
        counter,
    })
}

fn column_of<'a>(relation: &'a Relation, name: &str) -> Result<&'a crate::source::Column, Error> {
    relation.column(name).ok_or_else(|| {
        Error::refused(
            "42703",
            format!("table {} has no column {name}", relation.quoted),
            "Name a column of the table.",
        )
    })
}

/// The primary key, or another key over columns that are not null; never one that the repair would change.
fn row_key(relation: &Relation, version: &str) -> Vec<(String, String)> {
    let usable = |k: &&crate::source::Key| {
        !k.columns.iter().any(|c| c == version)
            && k.columns.iter().all(|c| relation.column(c).is_some_and(|c| c.not_null))
    };
    let key = relation.keys.iter().filter(usable).min_by_key(|k| (!k.primary, k.columns.len()));
    let columns = key.map(|k| k.columns.as_slice()).unwrap_or_default();
    columns.iter().filter_map(|c| relation.column(c)).map(|c| (c.name.clone(), c.data_type.clone())).collect()
}

/// An integer that the server counts: an identity or serial column, best the key itself.
fn counter(relation: &Relation, key: &[(String, String)], version: &str) -> Option<String> {
    let counted = relation.columns.iter().filter(|c| c.name != version && c.is_number() && c.is_numbered());
    counted.min_by_key(|c| !key.iter().any(|(k, _)| *k == c.name)).map(|c| c.name.clone())
}

fn time_column(relation: &Relation) -> Option<String> {
    let place = |name: &str| {
        let name = name.to_lowercase();
        ["occur", "happen", "event", "creat", "record", "chang"].iter().position(|w| name.contains(w)).unwrap_or(9)
    };
    let times =
        relation.columns.iter().filter(|c| c.data_type.starts_with("timestamp") && (c.not_null || place(&c.name) < 9));
    times.min_by_key(|c| place(&c.name)).map(|c| c.name.clone())
}

fn store() -> Subject {
    Subject {
        table: EVENTS.into(),
        type_column: Some("aggregate_type".into()),
        id_columns: vec![("aggregate_id".into(), "text".into())],
        version_column: "aggregate_version".into(),
        version_type: "bigint".into(),
        key: vec![("global_position".into(), "bigint".into())],
        order_by: vec!["global_position".into()],
        time_column: Some("recorded_at".into()),
        counter: None,
        unique_key: Some("uk_aggregate_version".into()),
        registered: false,
    }
}
