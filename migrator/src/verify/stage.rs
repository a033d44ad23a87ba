//! Setting up the two sides, and running the changes on both.

use sqlx::PgConnection;

use super::changes::{self, Change};
use super::check::{Case, SHIM};
use super::lint;
use super::replay::{self, Outcome, Side};
use super::scratch::{Scratch, drop_version_keys};
use super::tried::{ROWS, ROWS_FOR_RECORDED, Tried};
use crate::apply::roles;
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::judge::Strategy;
use crate::plan::ObjectKind;
use crate::plan::calls::Call;
use crate::plan::shim::registration;
use crate::source::{Column, Relation};
use domain_events_sql::quote::{quote_ident, quote_literal};

/// On copies in scratch schemas: nothing of the user's is locked above ACCESS SHARE.
pub async fn on_copies(conn: &mut PgConnection, case: &Case<'_>, recorded: Vec<Change>) -> Result<Tried, Error> {
    let path = &case.path();
    let pid: i32 =
        sqlx::query_scalar("select pg_catalog.pg_backend_pid()").fetch_one(&mut *conn).await.doing("preparing")?;
    let old = Scratch { prefix: format!("domain_events_old_{pid}"), copied: &case.names, path, table: case.table };
    let new = Scratch { prefix: format!("domain_events_new_{pid}"), copied: &case.names, path, table: case.table };
    let version = case.known.version_column.as_deref();
    let mut owners = vec![Owner::of_table(conn, &case.table.quoted).await?];
    for written in &case.written {
        owners.push(Owner::of_table(conn, &written.quoted).await?);
    }
    for function in case.functions.iter().chain(case.inner.iter().map(|(_, f)| f)) {
        owners.push(Owner::named(conn, &function.owner).await?);
    }
    for (scratch, without_key) in [(&old, version), (&new, None)] {
        scratch.create(conn, &owners).await?;
        scratch.table(conn, case.table, None).await?;
        for written in case.written.iter().filter(|w| w.oid != case.table.oid) {
            let legacy = written.oid == case.event_table.oid;
            scratch.table(conn, written, without_key.filter(|_| legacy)).await?;
        }
    }
    let limit = if recorded.is_empty() { ROWS } else { ROWS_FOR_RECORDED };
    let rows = copy_rows(conn, case.table, &old.name(case.table), &new.name(case.table), limit).await?;
    for function in &case.functions {
        old.function(conn, function, &case.without_conflict(function)?, case.table).await?;
        new.function(conn, function, &case.new_text(function), case.table).await?;
    }
    for (trigger, function) in &case.inner {
        for scratch in [&old, &new] {
            scratch.function(conn, function, &function.definition, case.event_table).await?;
            scratch.trigger(conn, &trigger.definition, &case.names, case.event_table).await?;
        }
    }
    let definition = case.trigger.definition.as_deref().unwrap_or_default();
    if !case.is_of_the_event_table() {
        old.trigger(conn, definition, &case.names, case.table).await?;
    }
    let (owner, reader) = case.owners(conn).await?;
    let old_side = Side::legacy(owner, old.name(case.table), reader, &old.name(case.event_table));
    let new_side = new_side(conn, case, &new, definition).await?;
    let changes = [recorded, changes::changes(case.table, &rows, &case.operations)].concat();
    let old_outcomes = replay::run(conn, &old_side, &changes).await?;
    let new_outcomes = replay::run(conn, &new_side, &changes).await?;
    let mut tried = compared(case, &changes, &old_outcomes, &new_outcomes, vec![]);
    tried.differences.extend(gaps(conn, case, &new_side, &new.name(case.event_table)).await?);
    tried.differences.extend(case.impossible_stream());
    tried.differences.extend(lint::differences(conn, case, &old, &new).await?);
    Ok(tried)
}

async fn new_side(
    conn: &mut PgConnection,
    case: &Case<'_>,
    new: &Scratch<'_>,
    definition: &str,
) -> Result<Side, Error> {
    let (table, events) = (new.name(case.table), new.name(case.event_table));
    if case.port.strategy == Strategy::Capture {
        let kind = "domain-events verify";
        let sql = capture_sql(case, &table, kind)?;
        let (owner, store) = (case.owners(conn).await?.0, Owner::of_store(conn).await?);
        call(conn, &store, &owner, &sql, "capturing the copy").await?;
        return Ok(Side::store(owner, store, table, kind));
    }
    let (owner, reader) = case.owners(conn).await?;
    if !case.is_of_the_event_table() {
        new.trigger(conn, definition, &case.names, case.table).await?;
    }
    let known = case.known;
    let store = Owner::of_store(conn).await?;
    // where the owner does it, the reader is made beside the table, and follows it
    let workshop = if store.is_other() { new.workshop(&reader) } else { None };
    let place = workshop.as_ref().map(|w| format!("{}.{}", quote_ident(w), quote_ident(&case.event_table.name)));
    // a key that is still to come is not on the copy either
    let register = format!(
        "select {}",
        registration(
            place.as_ref().unwrap_or(&events),
            &known.stream,
            case.is_keyed(),
            known.version_column.as_deref().unwrap_or_default()
        )
    );
    let schema = new.schema(&case.event_table.schema).unwrap_or_default();
    if let Some(workshop) = &workshop {
        Scratch::put(conn, &format!("table {events}"), workshop).await?;
    }
    call(conn, &store, &reader, &register, "registering the copy").await?;
    if let Some(place) = &place {
        Scratch::put(conn, &format!("table {place}"), &schema).await?;
    }
    if case.port.strategy == Strategy::Shim {
        let doing = "creating the shim on the copy";
        let workshop = new.workshop(&reader);
        let made_in = workshop.as_ref().unwrap_or(&schema);
        as_owner::staged(conn, &reader, &shim_function(case, made_in)?).await.doing(doing)?;
        if workshop.is_some() {
            Scratch::put(conn, &format!("function {}.shim()", quote_ident(made_in)), &schema).await?;
        }
        let trigger = format!(
            "create trigger {} before insert on {events} for each row execute function {}.shim()",
            quote_ident(SHIM),
            quote_ident(&schema)
        );
        as_owner::staged(conn, &reader, &trigger).await.doing(doing)?;
    }
    Ok(Side::legacy(owner, table, reader, &events))
}

/// Calls the store about a copy: as the copy's owner, where the store's owner is not to be trusted with more.
async fn call(conn: &mut PgConnection, store: &Owner, owner: &Owner, sql: &str, doing: &str) -> Result<(), Error> {
    if store.is_other() {
        as_owner::staged(conn, owner, sql).await.doing(doing)?;
        return Ok(());
    }
    let me = Owner::confined(conn).await?;
    as_owner::execute(conn, &me, sql, doing).await.map(|_| ())
}

/// The shim of the plan, under another name.
fn shim_function(case: &Case<'_>, schema: &str) -> Result<String, Error> {
    let missing = || Error::refused("0A000", "the plan holds no shim for this event table", "");
    let trigger = case.plan.steps.iter().flat_map(|s| &s.statements).position(|s| {
        s.object.kind == ObjectKind::Trigger
            && s.object.name == SHIM
            && s.object.table.as_deref() == Some(&case.event_table.quoted)
    });
    let statements: Vec<_> = case.plan.steps.iter().flat_map(|s| &s.statements).collect();
    // its function is the statement before it
    let function = trigger.and_then(|n| n.checked_sub(1)).and_then(|n| statements.get(n)).ok_or_else(missing)?;
    let first = pg_query::split_with_parser(&function.sql)
        .ok()
        .and_then(|s| s.first().map(|t| (*t).to_owned()))
        .ok_or_else(missing)?;
    // the copy is a table of its own, whatever the original is a partitioned table of
    let first = first.replace("pg_catalog.pg_partition_root(tg_relid)", "tg_relid");
    Ok(first.replacen(&function.object.name, &format!("{}.shim()", quote_ident(schema)), 1))
}

/// The plan's capture, of the copy and under a type of its own.
fn capture_sql(case: &Case<'_>, copy: &str, kind: &str) -> Result<String, Error> {
    let mut statements = case.plan.steps.iter().flat_map(|s| &s.statements);
    let mine = statements.find(|s| s.object.kind == ObjectKind::Capture && s.object.name == case.table.quoted);
    let call = mine.and_then(|s| Call::parse(&s.sql)).filter(|call| call.table() == Some(&case.table.quoted));
    let missing = || Error::refused("0A000", "the plan holds no capture of this table", "");
    Ok(call.ok_or_else(missing)?.of(copy).with("aggregate_type", kind).sql())
}

/// On the tables themselves, old first; for a copy of the database, where nobody waits.
pub async fn on_real_tables(conn: &mut PgConnection, case: &Case<'_>, recorded: Vec<Change>) -> Result<Tried, Error> {
    let (table, events) = (&case.table.quoted, &case.event_table.quoted);
    let (owner, reader) = case.owners(conn).await?;
    let rows = row_conditions(conn, &owner, case.table, table).await?;
    let changes = [recorded, changes::changes(case.table, &rows, &case.operations)].concat();
    db::execute(conn, "savepoint sides", "preparing").await?;
    let version = case.known.version_column.as_deref().unwrap_or_default();
    drop_version_keys(conn, &reader, events, version).await?;
    let empty = format!("delete from {events}");
    as_owner::staged(conn, &reader, &empty).await.doing("emptying the event table of the copy")?;
    let old_side = Side::legacy(owner.clone(), table.clone(), reader.clone(), events);
    let old = replay::run(conn, &old_side, &changes).await?;
    db::execute(conn, "rollback to savepoint sides", "preparing").await?;
    for statement in case.plan.steps.iter().flat_map(|s| &s.statements) {
        roles::run(conn, case.plan, statement, &statement.sql, "applying the plan to the copy").await?;
    }
    as_owner::staged(conn, &reader, &empty).await.doing("emptying the event table of the copy")?;
    let side = if case.port.strategy == Strategy::Capture {
        let kind: String = sqlx::query_scalar(
            "select aggregate_type from domain_events.captures where target = pg_catalog.to_regclass($1)",
        )
        .bind(table)
        .fetch_one(&mut *conn)
        .await
        .doing("reading the capture")?;
        Side::store(owner, Owner::of_store(conn).await?, table.clone(), &kind)
    } else {
        Side::legacy(owner, table.clone(), reader, events)
    };
    let new = replay::run(conn, &side, &changes).await?;
    // the sequences of the tables go on from one side to the other
    let numbered = case.event_table.columns.iter().filter(|c| c.is_numbered()).map(|c| c.name.clone()).collect();
    let mut tried = compared(case, &changes, &old, &new, numbered);
    tried.differences.extend(gaps(conn, case, &side, events).await?);
    tried.differences.extend(case.impossible_stream());
    Ok(tried)
}

/// Recorded changes that found no row: they prove nothing.
fn missed(changes: &[Change], old: &[Outcome]) -> Vec<String> {
    let recorded = changes.iter().zip(old).filter(|(c, _)| c.what.starts_with("recorded") && c.operation != "SET");
    let none = recorded.filter(|(_, o)| o.error.is_none() && o.rows == 0);
    none.map(|(c, _)| format!("{}: no row was there to change", c.what)).collect()
}

/// Recorded changes that failed on both sides: nothing was compared.
fn failed(changes: &[Change], old: &[Outcome], new: &[Outcome]) -> Vec<String> {
    let outcomes = changes.iter().zip(old.iter().zip(new)).filter(|(c, _)| c.what.starts_with("recorded"));
    let both = outcomes.filter_map(|(c, (old, new))| Some((c, old.error.as_ref()?, old, new.error.as_ref()?)));
    both.map(|(c, code, old, _)| {
        format!("{}: it fails: {} (SQLSTATE {code})", c.what, old.message.as_deref().unwrap_or_default())
    })
    .collect()
}

fn compared(case: &Case<'_>, changes: &[Change], old: &[Outcome], new: &[Outcome], moving: Vec<String>) -> Tried {
    let mut terms = case.terms();
    terms.moving.extend(moving);
    Tried {
        changes: changes.len(),
        events: old.iter().map(|o| o.events.len()).sum(),
        differences: replay::compare(changes, old, new, &terms),
        notes: missed(changes, old),
        unproven: failed(changes, old, new),
    }
}

/// Streams of the new side whose versions are not 1, 2, 3 ..
async fn gaps(conn: &mut PgConnection, case: &Case<'_>, side: &Side, events: &str) -> Result<Vec<String>, Error> {
    let (from, stream, version) = if case.port.strategy == Strategy::Capture {
        (
            "domain_events.events".to_owned(),
            vec!["aggregate_type".to_owned(), "aggregate_id".to_owned()],
            "aggregate_version".to_owned(),
        )
    } else {
        let known = case.known;
        let stream = known.stream.iter().map(|c| quote_ident(c)).collect();
        (events.to_owned(), stream, quote_ident(known.version_column.as_deref().unwrap_or_default()))
    };
    let own = if from == "domain_events.events" {
        side.events.split(" where ").nth(1).and_then(|w| w.split(" order by ").next())
    } else {
        None
    };
    let sql = format!(
        "select pg_catalog.count(*) from (select 1 from {from} e where {} group by {} \
         having pg_catalog.min(e.{version}) <> 1 or pg_catalog.max(e.{version}) <> pg_catalog.count(*)) s",
        own.unwrap_or("true"),
        stream.join(", ")
    );
    let (broken,): (i64,) =
        as_owner::row(conn, &side.reader, &sql, "broken bigint", &[], "checking the versions").await?;
    Ok((broken > 0)
        .then(|| format!("{broken} streams of the new side have versions that are not 1, 2, 3 .."))
        .into_iter()
        .collect())
}

/// Copies the first rows into both sides; makes some where there are none. Returns one condition per row.
async fn copy_rows(
    conn: &mut PgConnection,
    table: &Relation,
    old: &str,
    new: &str,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let key: Vec<String> = changes::primary(table).iter().map(|c| quote_ident(c)).collect();
    if !matches!(table.kind.as_str(), "r" | "p") {
        let why = format!("{} is no table: only a copy of the database can replay it (--against)", table.quoted);
        return Err(Error::refused("0A000", why, ""));
    }
    let columns: Vec<String> =
        table.columns.iter().filter(|c| c.generated.is_empty()).map(|c| quote_ident(&c.name)).collect();
    let columns = columns.join(", ");
    let copy = |from: &str, to: &str| {
        format!(
            "insert into {to} ({columns}) overriding system value select {columns} from {from} order by {} limit {limit}",
            if key.is_empty() { "1".to_owned() } else { key.join(", ") }
        )
    };
    let owner = Owner::of_table(conn, &table.quoted).await?;
    if as_owner::staged(conn, &owner, &copy(&table.quoted, old)).await.doing("copying rows")? == 0 {
        for n in 1..=3 {
            let values: Vec<String> =
                table.columns.iter().filter(|c| c.generated.is_empty()).map(|c| made_up(c, n)).collect();
            let sql = format!("insert into {old} ({columns}) overriding system value values ({})", values.join(", "));
            as_owner::staged(conn, &owner, &sql).await.doing(format!("{} is empty; making up a row", table.quoted))?;
        }
    }
    as_owner::staged(conn, &owner, &copy(old, new)).await.doing("copying rows")?;
    row_conditions(conn, &owner, table, old).await
}

async fn row_conditions(
    conn: &mut PgConnection,
    owner: &Owner,
    table: &Relation,
    from: &str,
) -> Result<Vec<String>, Error> {
    let key = changes::primary(table);
    if key.is_empty() {
        // no row can be told from another: the changes are those of all rows
        return Ok(vec!["true".into()]);
    }
    let parts: Vec<String> =
        key.iter().map(|c| format!("pg_catalog.format('%I = %L', {}, {})", quote_literal(c), quote_ident(c))).collect();
    let order: Vec<String> = key.iter().map(|c| quote_ident(c)).collect();
    let sql = format!(
        "select pg_catalog.concat_ws(' and ', {}) from {from} order by {} limit {ROWS}",
        parts.join(", "),
        order.join(", ")
    );
    let read: Vec<(String,)> =
        as_owner::staged_rows(conn, owner, &sql, "condition text", "reading the keys of the rows").await?;
    Ok(read.into_iter().map(|(condition,)| condition).collect())
}

/// Something of a column's type.
fn made_up(column: &Column, n: usize) -> String {
    if column.default.is_some() && column.category != "N" || !column.not_null {
        return if column.default.is_some() { "default".into() } else { "null".into() };
    }
    match (column.category.as_str(), column.data_type.as_str()) {
        ("N", _) => n.to_string(),
        ("B", _) => "true".into(),
        ("D", _) => "pg_catalog.now()".into(),
        ("T", _) => "'1 day'".into(),
        ("A", _) => "'{}'".into(),
        ("E", t) => format!("pg_catalog.enum_first(null::{t})"),
        (_, "json" | "jsonb") => "'{}'".into(),
        (_, "uuid") => format!("'00000000-0000-4000-8000-{n:012}'"),
        (_, "bytea") => "'\\x00'".into(),
        _ => format!("'{n}'"),
    }
}
