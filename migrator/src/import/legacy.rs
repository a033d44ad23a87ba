//! A MySQL event table as the adoption code knows legacy tables: its columns in PostgreSQL and what they are in the store.

use crate::adopt::{Legacy, Mapping};
use crate::error::Error;
use crate::judge::Roles;
use crate::source::{Column, Key};
use domain_events_mysql::schema::{KeyKind, Table};
use domain_events_mysql::{ddl, portable, types};

use super::Options;

/// The legacy table in PostgreSQL, with the columns mapped.
pub fn legacy(table: &Table, options: &Options, owner: &str) -> Result<Legacy, Error> {
    let columns: Vec<Column> = table.columns.iter().map(|c| column(table, c)).collect();
    let keys: Vec<Key> = table
        .keys
        .iter()
        .filter(|k| matches!(k.kind, KeyKind::Primary | KeyKind::Unique))
        .map(|k| Key {
            name: k.name.clone().unwrap_or_else(|| "PRIMARY".into()),
            primary: k.kind == KeyKind::Primary,
            columns: k.parts.iter().map(|p| p.column.clone()).collect(),
        })
        .collect();
    let mapping = mapping(table, &columns, &keys, options)?;
    let mut legacy = Legacy {
        schema: options.schema.clone(),
        name: table.name.clone(),
        side: format!("{}_legacy", table.name),
        owner: owner.to_owned(),
        columns,
        key: table.primary_key().into_iter().map(str::to_owned).collect(),
        only_in_store: vec![],
        mapping,
    };
    legacy.only_in_store = legacy.exact();
    legacy.check()?;
    Ok(legacy)
}

fn column(table: &Table, column: &domain_events_mysql::schema::Column) -> Column {
    let mapped = types::postgres(column);
    let default = column.default.as_ref().and_then(|d| portable::default(d, mapped.codec, &mapped.sql).ok().flatten());
    let generated = ddl::is_generated(column, table);
    Column {
        name: column.name.clone(),
        category: category(&mapped.sql).into(),
        data_type: mapped.sql,
        base: None,
        not_null: !column.nullable,
        default: if generated { None } else { default },
        used: false,
        identity: if column.auto_increment { "d".into() } else { String::new() },
        // the side table keeps the value that the source has
        generated: String::new(),
        references: table.foreign_keys.iter().any(|k| k.columns.contains(&column.name)),
        comment: column.comment.clone(),
    }
}

fn category(sql: &str) -> &'static str {
    match sql.split([' ', '(']).next().unwrap_or_default() {
        "text" | "character" => "S",
        "date" | "timestamp" | "time" => "D",
        "bit" => "V",
        "inet" => "I",
        "jsonb" | "uuid" | "bytea" => "U",
        _ => "N",
    }
}

/// Store columns by the names that legacy tables give them.
const NAMES: [(&str, &[&str]); 3] = [
    ("aggregate_type", &["aggregate_type", "aggregate_name", "stream_type", "entity_type", "subject_type"]),
    ("aggregate_id", &["aggregate_id", "aggregate_uuid", "stream_id", "entity_id", "subject_id"]),
    ("aggregate_version", &["aggregate_version", "stream_version", "version", "sequence_number", "event_version"]),
];

fn mapping(table: &Table, columns: &[Column], keys: &[Key], options: &Options) -> Result<Mapping, Error> {
    let mapped = |store: &str| options.map.iter().find(|(_, s)| s == store).map(|(legacy, _)| legacy.clone());
    for (name, store) in &options.map {
        if !columns.iter().any(|c| c.name == *name) {
            return Err(Error::usage(
                format!("--map {name}={store}: table {} has no column {name}", table.name),
                format!("Its columns: {}", columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")),
            ));
        }
    }
    let named = |role: usize| {
        let (store, names) = NAMES[role];
        mapped(store).or_else(|| {
            let found = names.iter().find_map(|n| columns.iter().find(|c| c.name.eq_ignore_ascii_case(n)));
            found.map(|c| c.name.clone()).filter(|n| !options.map.iter().any(|(legacy, _)| legacy == n))
        })
    };
    let roles = Roles { type_column: named(0), id_column: named(1), version_column: named(2), ..Roles::default() };
    for (found, (store, _)) in [&roles.id_column, &roles.version_column].into_iter().zip(&NAMES[1..]) {
        if found.is_none() {
            return Err(Error::usage(
                format!("it is not known which column of {} is the {store}", table.name),
                format!("Name it: --map COLUMN={store}"),
            ));
        }
    }
    if roles.type_column.is_none() && options.constant_type.is_none() {
        return Err(Error::usage(
            format!("table {} has no column with the type of its streams", table.name),
            "Name the column: --map COLUMN=aggregate_type; or the type of them all: --type NAME",
        ));
    }
    let constant = options.constant_type.clone().unwrap_or_default();
    // rows are numbered as they come, so that a column that counts them is not needed
    let counter = "\u{1}row";
    let (mut columns, mut keys) = (columns.to_vec(), keys.to_vec());
    columns.push(Column {
        name: counter.into(),
        data_type: "bigint".into(),
        category: "N".into(),
        not_null: true,
        identity: "d".into(),
        ..Column::default()
    });
    keys.push(Key { name: counter.into(), primary: false, columns: vec![counter.into()] });
    let mut mapping = Mapping::propose(&columns, &keys, &roles, &constant)?;
    if mapping.order_by == counter {
        mapping.order_by = mapping.aggregate_version.clone();
    }
    // an id is kept also where nothing keeps it unique: a doubled one is rejected
    if mapping.event_id.is_none() && mapped("event_id").is_none() {
        let taken = mapping.held();
        let named = |c: &&Column| {
            matches!(c.name.to_ascii_lowercase().as_str(), "event_id" | "event_uuid" | "uuid")
                && (c.category == "S" || matches!(c.data_type.as_str(), "uuid" | "bytea"))
                && !taken.contains(&c.name.as_str())
        };
        mapping.event_id = columns.iter().find(named).map(|c| c.name.clone());
    }
    mapping.time_zone = options.time_zone.clone();
    for (legacy, store) in &options.map {
        assign(&mut mapping, legacy, store)?;
    }
    Ok(mapping)
}

fn assign(mapping: &mut Mapping, legacy: &str, store: &str) -> Result<(), Error> {
    let Mapping {
        event_id,
        event_type,
        event_name,
        metadata,
        correlation_id,
        causation_id,
        caused_by,
        schema_version,
        occurred_at,
        recorded_at,
        ..
    } = mapping;
    // whatever it was taken for before
    let places: [(&str, &mut Option<String>); 10] = [
        ("event_id", event_id),
        ("event_type", event_type),
        ("event_name", event_name),
        ("metadata", metadata),
        ("correlation_id", correlation_id),
        ("causation_id", causation_id),
        ("caused_by", caused_by),
        ("schema_version", schema_version),
        ("occurred_at", occurred_at),
        ("recorded_at", recorded_at),
    ];
    let mut known = matches!(store, "aggregate_type" | "aggregate_id" | "aggregate_version" | "event_data" | "-");
    for (name, place) in places {
        if place.as_deref() == Some(legacy) {
            *place = None;
        }
        if name == store {
            *place = Some(legacy.to_owned());
            known = true;
        }
    }
    mapping.event_data.retain(|c| c != legacy);
    if store == "event_data" {
        mapping.event_data.push(legacy.to_owned());
    }
    if known {
        return Ok(());
    }
    Err(Error::usage(
        format!("--map {legacy}={store}: the store has no column {store}"),
        "Its columns: aggregate_type, aggregate_id, aggregate_version, event_id, event_type, event_name, event_data, metadata, \
         correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at; - for none.",
    ))
}
