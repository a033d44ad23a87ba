//! Carrying a repair out. The map is stored first; then each batch, which holds whole streams, is renumbered in a
//! transaction of its own that marks it in the map. A repair that was interrupted goes on with the next batch.

use sqlx::PgConnection;

use super::file::{Repair, Table};
use super::map::Entry;
use super::renumber::{MAP, own_map, renumber};
use super::{Subject, obstacles};
use crate::apply::{self, journal, state};
use crate::as_owner::{self, Owner};
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::locks;
use crate::plan::{self, Object, ObjectKind, Plan, State, Statement};
use domain_events_sql::quote::quote_literal;

/// An event that was written since: type, id, key, old and new version.
type Late = (Option<String>, String, String, Option<String>, i64);

/// Entries of the map that are stored or compared in one statement.
const CHUNK: usize = 2000;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// Streams renumbered.
    pub streams: i64,
    /// Events that got another version.
    pub events: i64,
    /// Events of these streams that were written since the repair was planned.
    pub late: i64,
}

/// The repair as a plan of the journal: it has no steps, its map is in domain_events.repaired_versions.
fn as_plan(repair: &Repair) -> Plan {
    let header = &repair.header;
    let mut plan = Plan {
        format: plan::FORMAT,
        plan_id: header.plan_id.clone(),
        tool: header.tool.clone(),
        database: header.database.clone(),
        decisions: String::new(),
        content: header.content.clone(),
        event_tables: header.tables.iter().map(|t| event_table(&t.subject)).collect(),
        ports: vec![],
        objects: header.tables.iter().map(object).collect(),
        steps: vec![],
        adoptions: vec![],
        finish: vec![],
        translated: vec![],
        treat: Default::default(),
        clear: vec![],
    };
    plan.decisions = plan.digest_of_decisions();
    plan
}

fn event_table(subject: &Subject) -> plan::EventTable {
    plan::EventTable {
        table: subject.table.clone(),
        stream: subject.stream_columns(),
        version_column: Some(subject.version_column.clone()),
        sole_writer: false,
        unused_elsewhere: false,
        adopt: false,
        other_users: vec![],
    }
}

fn object(table: &Table) -> Object {
    let state = State { fingerprint: table.fingerprint.clone(), owner: Some(table.owner.clone()), ..State::default() };
    Object { kind: ObjectKind::Table, name: table.subject.table.clone(), table: None, before: Some(state) }
}

/// Compares the file with the database in one READ ONLY transaction; exit code 4 where it does not fit any more.
pub async fn check(conn: &mut PgConnection, repair: &Repair) -> Result<(), Error> {
    let tables: Vec<&str> = repair.header.tables.iter().map(|t| t.subject.table.as_str()).collect();
    as_owner::begin_read_only(conn, &tables).await?;
    let checked = checked(conn, repair).await;
    db::rollback(conn).await?;
    checked
}

async fn checked(conn: &mut PgConnection, repair: &Repair) -> Result<(), Error> {
    db::pin_settings(conn).await?;
    db::pin_rendering(conn).await?;
    state::expect_before(conn, &as_plan(repair)).await?;
    for table in &repair.header.tables {
        obstacles::expect_none(conn, &table.subject, &table.allow).await?;
    }
    for chunk in repair.for_chunks(CHUNK)? {
        let chunk = chunk?;
        for (n, table) in repair.header.tables.iter().enumerate() {
            let entries: Vec<&Entry> = chunk.iter().filter(|e| e.table == n).collect();
            let owner = Owner::of_table(conn, &table.subject.table).await?;
            let sql = format!(
                "select m.stream from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) as m(stream, row_key, old)
                   left join {} t on {} where {} is null or {}::text is distinct from m.old limit 1",
                table.subject.table,
                table.subject.is_row_of(),
                table.subject.row_key(),
                table.subject.version(),
            );
            let streams: Vec<String> = entries.iter().map(|e| e.stream()).collect();
            let arguments = [
                as_owner::array(streams.iter().map(|s| Some(s.as_str()))),
                as_owner::array(entries.iter().map(|e| Some(e.key.as_str()))),
                as_owner::array(entries.iter().map(|e| e.old.as_deref())),
            ];
            let arguments = arguments.each_ref().map(String::as_str);
            let doing = format!("comparing {} with the repair", table.subject.table);
            let changed: Vec<(String,)> = as_owner::rows(conn, &owner, &sql, "stream text", &arguments, &doing).await?;
            if let Some((stream,)) = changed.into_iter().next() {
                return Err(stale(table, &stream));
            }
        }
    }
    Ok(())
}

fn stale(table: &Table, stream: &str) -> Error {
    Error::drift(
        format!(
            "an event of stream {stream} in {} was changed or deleted since the repair was planned",
            table.subject.table
        ),
        "Make the repair again: domain-events repair --out FILE",
    )
}

/// Carries it out, or goes on with what is left of it.
pub async fn carry_out(
    conn: &mut PgConnection,
    repair: &Repair,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<Done, Error> {
    apply::alone(conn, async |conn| batches(conn, repair, lock_timeout_ms, ctx).await).await
}

async fn batches(conn: &mut PgConnection, repair: &Repair, lock_timeout_ms: u32, ctx: &Context) -> Result<Done, Error> {
    let plan = as_plan(repair);
    locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| journal::plan_state(conn, &plan, "applying").await)
        .await?;
    let total = repair.header.tables.iter().map(|t| t.events).sum();
    let bar = ctx.out.progress(total, "storing the map");
    for chunk in repair.for_chunks(CHUNK)? {
        let chunk = chunk?;
        store(conn, repair, &chunk).await?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    // without statistics the planner takes the map for empty; whoever does not own it is told so by the server and no more
    db::execute(
        conn,
        "set client_min_messages = error; analyze domain_events.repaired_versions; reset client_min_messages",
        "analyzing the map",
    )
    .await?;
    let bar = ctx.out.progress(total, "renumbering");
    let mut done = Done::default();
    for table in &repair.header.tables {
        let open: Vec<i32> = sqlx::query_scalar(
            "select distinct m.batch from domain_events.repaired_versions m \
             where m.repair_id = $1 and m.event_table = $2 and m.repaired_at is null order by 1",
        )
        .bind(&plan.plan_id)
        .bind(&table.subject.table)
        .fetch_all(&mut *conn)
        .await
        .doing("reading the map")?;
        for number in open {
            let one = locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
                batch(conn, &plan, table, number, lock_timeout_ms).await
            })
            .await?;
            done.streams += one.streams;
            done.events += one.events;
            done.late += one.late;
            bar.inc(table.events / u64::from(table.batches.max(1)));
        }
    }
    bar.finish_and_clear();
    // nothing is left to drop
    locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| journal::plan_state(conn, &plan, "finished").await)
        .await?;
    Ok(done)
}

/// Stores entries of the map; those that are there already stay.
async fn store(conn: &mut PgConnection, repair: &Repair, chunk: &[Entry]) -> Result<(), Error> {
    let name = |e: &Entry| repair.header.tables.get(e.table).map(|t| t.subject.table.clone()).unwrap_or_default();
    sqlx::query(
        "insert into domain_events.repaired_versions (repair_id, event_table, batch, aggregate_type, aggregate_id, row_key, old_version, new_version) \
         select $1, m.t, m.b, m.kind, m.id, m.key, m.old::numeric, m.new \
           from rows from (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::int[]), pg_catalog.unnest($4::text[]), \
                pg_catalog.unnest($5::text[]), pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[]), pg_catalog.unnest($8::bigint[])) \
                as m(t, b, kind, id, key, old, new) \
         on conflict on constraint repaired_versions_pkey do nothing",
    )
    .bind(&repair.header.plan_id)
    .bind(chunk.iter().map(name).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.batch as i32).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.kind.clone()).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.id.clone()).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.key.clone()).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.old.clone()).collect::<Vec<_>>())
    .bind(chunk.iter().map(|e| e.new).collect::<Vec<_>>())
    .execute(conn)
    .await
    .doing("storing the map")?;
    Ok(())
}

/// Renumbers one batch. Writers wait behind the table's lock and see the new versions; readers do not wait.
async fn batch(
    conn: &mut PgConnection,
    plan: &Plan,
    table: &Table,
    number: i32,
    lock_timeout_ms: u32,
) -> Result<Done, Error> {
    let subject = &table.subject;
    let doing = || format!("renumbering batch {number} of {}", subject.table);
    apply::prepare(conn).await?;
    db::pin_rendering(conn).await?;
    apply::take_locks(conn, &[&subject.table], crate::blockers::Mode::ShareRowExclusive, lock_timeout_ms).await?;
    state::expect_before(conn, plan).await?;
    obstacles::expect_none(conn, subject, &table.allow).await?;
    if subject.registered {
        hold_streams(conn, plan, subject, number).await?;
    }
    let owner = Owner::of_table(conn, &subject.table).await?;
    own_map(conn, &owner, plan, subject, number).await?;
    let sql = format!(
        "select m.aggregate_type::text, m.aggregate_id::text from {MAP} m left join {} t on {}
          where ({} is null or {} is distinct from m.old_version::{}) limit 1",
        subject.table,
        subject.is_row_of(),
        subject.row_key(),
        subject.version(),
        subject.version_type,
    );
    let changed: Vec<(Option<String>, String)> =
        as_owner::rows(conn, &owner, &sql, "kind text, id text", &[], &doing()).await?;
    if let Some((kind, id)) = changed.into_iter().next() {
        return Err(stale(table, &super::examine::stream(kind.as_deref(), &id)));
    }
    let late = add_late(conn, &owner, plan, subject, number).await?;
    let events = renumber(conn, &owner, subject, number, "new_version", "old_version").await?;
    let streams: i64 = sqlx::query_scalar(
        "with marked as (update domain_events.repaired_versions m set repaired_at = pg_catalog.clock_timestamp() \
           where m.repair_id = $1 and m.event_table = $2 and m.batch = $3 returning m.aggregate_type, m.aggregate_id) \
         select pg_catalog.count(*) from (select distinct aggregate_type, aggregate_id from marked) s",
    )
    .bind(&plan.plan_id)
    .bind(&subject.table)
    .bind(number)
    .fetch_one(&mut *conn)
    .await
    .doing("marking the map")?;
    note(conn, plan, &subject.table, "apply", number, events).await?;
    Ok(Done { streams, events, late })
}

/// A writer that has asked for a version and not yet inserted its event must not keep a number from before.
async fn hold_streams(conn: &mut PgConnection, plan: &Plan, subject: &Subject, number: i32) -> Result<(), Error> {
    let stream = if subject.id_columns.len() > 1 {
        "array(select v from pg_catalog.jsonb_array_elements_text(s.aggregate_id::jsonb) with ordinality as a(v, n) order by n)"
    } else {
        "coalesce(s.aggregate_type, '-'), s.aggregate_id"
    };
    let sql = format!(
        "select domain_events.next_aggregate_version({stream}, {table}::pg_catalog.regclass)
           from (select distinct m.aggregate_type, m.aggregate_id from domain_events.repaired_versions m
                  where m.repair_id = {repair} and m.event_table = {table} and m.batch = {number} order by 1, 2) s",
        table = quote_literal(&subject.table),
        repair = quote_literal(&plan.plan_id),
    );
    // it asks the table's reader, which is its owner's
    let me = Owner::confined(conn).await?;
    as_owner::execute(conn, &me, &sql, "holding the streams").await?;
    Ok(())
}

/// Events written to these streams since the repair was planned are numbered after the others.
async fn add_late(
    conn: &mut PgConnection,
    owner: &Owner,
    plan: &Plan,
    subject: &Subject,
    number: i32,
) -> Result<i64, Error> {
    let doing = format!("numbering new events of {}", subject.table);
    let sql = format!(
        "select s.aggregate_type::text, s.aggregate_id::text, {key}, ({version})::text,
                (s.newest + pg_catalog.row_number() over (partition by s.aggregate_type, s.aggregate_id order by {order}))::bigint
           from (select m.aggregate_type, m.aggregate_id, pg_catalog.max(m.new_version) as newest
                   from {MAP} m group by 1, 2) s
           join {table} t on {in_stream}
          where not exists (select from {MAP} k where k.row_key = {key})",
        key = subject.row_key(),
        version = subject.version(),
        order = subject.order(),
        table = subject.table,
        in_stream = subject.is_in_stream(),
    );
    let columns = "kind text, id text, row_key text, old text, new bigint";
    let late: Vec<Late> = as_owner::rows(conn, owner, &sql, columns, &[], &doing).await?;
    let mut added = 0;
    for chunk in late.chunks(CHUNK) {
        let sql = format!(
            "with late as (insert into domain_events.repaired_versions as r
                    (repair_id, event_table, batch, aggregate_type, aggregate_id, row_key, old_version, new_version, is_late)
             select $1, $2, $3, m.kind, m.id, m.key, m.old::numeric, m.new, true
               from rows from (pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]), pg_catalog.unnest($6::text[]),
                    pg_catalog.unnest($7::text[]), pg_catalog.unnest($8::bigint[])) as m(kind, id, key, old, new)
              where not exists (select from domain_events.repaired_versions k
                                 where k.repair_id = $1 and k.event_table = $2 and k.row_key = m.key)
             returning r.aggregate_type, r.aggregate_id, r.row_key, r.old_version, r.new_version)
             insert into {MAP} select l.* from late l"
        );
        added += sqlx::query(sqlx::AssertSqlSafe(sql.as_str()))
            .bind(&plan.plan_id)
            .bind(&subject.table)
            .bind(number)
            .bind(chunk.iter().map(|l| l.0.clone()).collect::<Vec<_>>())
            .bind(chunk.iter().map(|l| l.1.clone()).collect::<Vec<_>>())
            .bind(chunk.iter().map(|l| l.2.clone()).collect::<Vec<_>>())
            .bind(chunk.iter().map(|l| l.3.clone()).collect::<Vec<_>>())
            .bind(chunk.iter().map(|l| l.4).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await
            .doing(&doing)?
            .rows_affected();
    }
    Ok(added as i64)
}

/// The journal's entry for a batch.
pub(super) async fn note(
    conn: &mut PgConnection,
    plan: &Plan,
    table: &str,
    action: &str,
    number: i32,
    events: i64,
) -> Result<(), Error> {
    let name = plan::ObjectName { kind: ObjectKind::Table, name: table.to_owned(), table: None };
    let state = state::read(conn, &name).await?;
    let statement = Statement {
        object: name,
        lock: String::new(),
        expected: String::new(),
        sql: format!("-- {events} events of batch {number}, see domain_events.repaired_versions"),
        undo: None,
    };
    let title = format!("renumber batch {number}");
    let sql = statement.sql.clone();
    journal::entry(conn, plan, action, &title, &statement, &sql, state.as_ref(), state.as_ref()).await
}
