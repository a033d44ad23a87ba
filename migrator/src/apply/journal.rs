//! The journal of plans, in the database they were applied to.

use sqlx::PgConnection;

use crate::as_owner;
use crate::error::{Doing, Error};
use crate::plan::{ObjectKind, Plan, State, Statement};

/// Whether there is a journal here; without it nothing can be applied.
pub async fn expect(conn: &mut PgConnection) -> Result<(), Error> {
    let (there, usable): (bool, bool) = sqlx::query_as(
        "select pg_catalog.to_regclass('domain_events.migration_journal') is not null, \
         coalesce(pg_catalog.has_any_column_privilege(pg_catalog.to_regclass('domain_events.migration_journal'), 'insert'), false)",
    )
    .fetch_one(conn)
    .await
    .doing("looking for the journal")?;
    if !there {
        return Err(Error::refused(
            "55000",
            "the event store is not installed in this database",
            "Run: domain-events install",
        ));
    }
    if !usable {
        return Err(Error::refused(
            "42501",
            "this role may not write the journal of migrations",
            "Run it as the owner of schema domain_events, or as a member of domain_events_admin.",
        ));
    }
    Ok(())
}

/// The state of a plan; none if it was never applied here.
pub async fn state_of(conn: &mut PgConnection, plan_id: &str) -> Result<Option<String>, Error> {
    let sql = "select p.state::text from domain_events.migration_plans p where p.plan_id = $1";
    let rows: Vec<(String,)> = as_owner::store_rows(conn, sql, "state text", &[plan_id], "reading the journal").await?;
    Ok(rows.into_iter().next().map(|(state,)| state))
}

/// Refuses a plan whose id the journal knows from another: its entries and its state would be taken for this one's.
pub async fn expect_same(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    let sql = "select (p.plan operator(pg_catalog.->>) 'content')::text, (p.plan operator(pg_catalog.->>) 'decisions')::text \
         from domain_events.migration_plans p where p.plan_id = $1";
    let columns = "content text, decisions text";
    let rows: Vec<(Option<String>, Option<String>)> =
        as_owner::ask_store(conn, sql, columns, &[Some(&plan.plan_id)], "reading the journal").await?;
    let same = |(content, decisions): &(Option<String>, Option<String>)| {
        content.as_ref() == Some(&plan.content) && decisions.as_ref() == Some(&plan.decisions)
    };
    if rows.iter().all(same) {
        return Ok(());
    }
    Err(Error::drift(
        format!("the journal has another plan with the id {}", plan.plan_id),
        "Nothing was touched. Make this plan again, under an id of its own: domain-events plan --revise FILE --out FILE",
    ))
}

/// Whether the connected role may run what this role wrote into the journal (SQL, of a column with the role's name): a role whose
/// rights the writer had anyway. A superuser runs what superusers wrote, and nothing of a store whose owner is none, who could
/// have changed it.
pub(crate) fn trusted(writer: &str) -> String {
    format!(
        "coalesce((select case when me.rolsuper then w.rolsuper and o.rolsuper \
             else w.rolsuper or w.oid operator(pg_catalog.=) me.oid or w.oid operator(pg_catalog.=) o.oid \
                  or pg_catalog.pg_has_role(w.oid, me.oid, 'member') end \
           from pg_catalog.pg_class c join pg_catalog.pg_roles o on o.oid operator(pg_catalog.=) c.relowner, \
                pg_catalog.pg_roles w, pg_catalog.pg_roles me \
          where c.oid operator(pg_catalog.=) pg_catalog.to_regclass('domain_events.migration_plans')::pg_catalog.oid \
            and w.rolname::pg_catalog.text operator(pg_catalog.=) {writer} and me.rolname operator(pg_catalog.=) current_user), false)"
    )
}

/// The refusal of what another role wrote.
pub(crate) fn foreign(what: &str, writer: &str) -> Error {
    Error::refused(
        "42501",
        format!(
            "{what} was written into the store by {writer}, whose statements the connected role must not run as itself"
        ),
        format!("Run it as {writer} or as the owner of schema domain_events; `verify` takes the plan's file too."),
    )
}

/// A plan of the journal, by id or the newest one in one of the states.
pub async fn plan(
    conn: &mut PgConnection,
    plan_id: Option<&str>,
    states: &[&str],
) -> Result<Option<(Plan, String)>, Error> {
    let states: Vec<String> = states.iter().map(|s| (*s).to_owned()).collect();
    let row: Option<(String, String, String, String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select p.plan::text, p.state, p.plan_id, p.applied_by, {} from domain_events.migration_plans p \
         where case when $1::text is null then p.state = any ($2) else p.plan_id = $1 end order by p.changed_at desc, p.applied_at desc limit 1",
        trusted("p.applied_by")
    )))
    .bind(plan_id)
    .bind(states)
    .fetch_optional(conn)
    .await
    .doing("reading the journal")?;
    let Some((text, state, id, writer, trusted)) = row else { return Ok(None) };
    Ok(Some((read(&text, &id, &writer, trusted)?, state)))
}

/// All applied plans, oldest first.
pub async fn applied(conn: &mut PgConnection) -> Result<Vec<Plan>, Error> {
    let rows: Vec<(String, String, String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select p.plan::text, p.plan_id, p.applied_by, {} from domain_events.migration_plans p \
          where p.state in ('applied', 'finished') order by p.applied_at",
        trusted("p.applied_by")
    )))
    .fetch_all(conn)
    .await
    .doing("reading the journal")?;
    rows.iter().map(|(text, id, writer, trusted)| read(text, id, writer, *trusted)).collect()
}

/// The plans that were rolled back, as far as the connected role may run what they hold.
pub async fn rolled_back(conn: &mut PgConnection) -> Result<Vec<Plan>, Error> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select p.plan::text, p.plan_id, p.applied_by from domain_events.migration_plans p \
          where p.state = 'rolled_back' and {} order by p.applied_at",
        trusted("p.applied_by")
    )))
    .fetch_all(conn)
    .await
    .doing("reading the journal")?;
    rows.iter().map(|(text, id, writer)| read(text, id, writer, true)).collect()
}

fn read(text: &str, id: &str, writer: &str, trusted: bool) -> Result<Plan, Error> {
    if !trusted {
        return Err(foreign(&format!("plan {id}"), writer));
    }
    let plan: Plan = serde_json::from_str(text).map_err(|e| Error::json("the plan in the journal", e))?;
    // its row is found by the one, its entries and its state by the other
    if plan.plan_id != id {
        return Err(Error::refused(
            "55000",
            format!("the journal holds another plan under the id {id}"),
            "Nothing was run. Look at domain_events.migration_plans.",
        ));
    }
    Ok(plan)
}

/// Notes a plan and its state.
pub async fn plan_state(conn: &mut PgConnection, plan: &Plan, state: &str) -> Result<(), Error> {
    let text = serde_json::to_string(plan).map_err(|e| Error::json("the plan", e))?;
    sqlx::query(
        "insert into domain_events.migration_plans as p (plan_id, state, plan, tool_version) values ($1, $2, $3::jsonb, $4) \
         on conflict (plan_id) do update set state = excluded.state, changed_at = pg_catalog.clock_timestamp()",
    )
    .bind(&plan.plan_id)
    .bind(state)
    .bind(text)
    .bind(env!("CARGO_PKG_VERSION"))
    .execute(conn)
    .await
    .doing("writing the journal")?;
    Ok(())
}

/// Notes a statement that ran.
#[expect(clippy::too_many_arguments, reason = "one per column of the journal")]
pub async fn entry(
    conn: &mut PgConnection,
    plan: &Plan,
    action: &str,
    step: &str,
    statement: &Statement,
    sql: &str,
    before: Option<&State>,
    after: Option<&State>,
) -> Result<(), Error> {
    let json =
        |state: Option<&State>| state.map(serde_json::to_value).transpose().map_err(|e| Error::json("the journal", e));
    sqlx::query(
        "insert into domain_events.migration_journal (plan_id, entry, action, step, statement, object_kind, object, before_state, after_state) \
         values ($1, (select coalesce(max(j.entry), 0) + 1 from domain_events.migration_journal j where j.plan_id = $1), \
         $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&plan.plan_id)
    .bind(action)
    .bind(step)
    .bind(sql)
    .bind(statement.object.kind.name())
    .bind(statement.object.identity())
    .bind(json(before)?)
    .bind(json(after)?)
    .execute(conn)
    .await
    .doing("writing the journal")?;
    Ok(())
}

/// How the plan left an object.
pub async fn left_as(
    conn: &mut PgConnection,
    plan: &Plan,
    kind: ObjectKind,
    object: &str,
) -> Result<Option<State>, Error> {
    let sql = "select after_state::text from domain_events.migration_journal \
         where plan_id = $1 and object_kind = $2 and object = $3 order by entry desc limit 1";
    let arguments = [plan.plan_id.as_str(), kind.name(), object];
    let rows: Vec<(Option<String>,)> =
        as_owner::store_rows(conn, sql, "state text", &arguments, "reading the journal").await?;
    let text = rows.into_iter().next().and_then(|(text,)| text);
    text.map(|t| serde_json::from_str(&t).map_err(|e| Error::json("a state in the journal", e))).transpose()
}
