//! How an object is now, by the same expressions that the plan was made with.

use sqlx::PgConnection;

use crate::as_owner;
use crate::error::{Doing, Error};
use crate::plan::{ObjectKind, ObjectName, Plan, State};
use crate::source::{FUNCTION_FINGERPRINT, TABLE_FINGERPRINT, TRIGGER_FINGERPRINT};

/// Reads the state of an object; none if it does not exist. Wants an empty `search_path`.
pub async fn read(conn: &mut PgConnection, object: &ObjectName) -> Result<Option<State>, Error> {
    let sql = match object.kind {
        ObjectKind::Trigger => format!(
            "select pg_catalog.json_build_object('fingerprint', {TRIGGER_FINGERPRINT}, 'enabled', t.tgenabled::text,
                    'owner', pg_catalog.pg_get_userbyid(c.relowner), 'comment', pg_catalog.obj_description(t.oid, 'pg_trigger'),
                    'definition', pg_catalog.pg_get_triggerdef(t.oid))::text
               from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
              where t.tgname = $1 and t.tgrelid = pg_catalog.to_regclass($2) and not t.tgisinternal"
        ),
        ObjectKind::Function => format!(
            "select pg_catalog.json_build_object('fingerprint', {FUNCTION_FINGERPRINT}, 'owner', pg_catalog.pg_get_userbyid(p.proowner),
                    'comment', pg_catalog.obj_description(p.oid, 'pg_proc'), 'acl', case when p.proacl is not null then array(select x.a from pg_catalog.unnest(p.proacl) x(a)
                          where not pg_catalog.starts_with(x.a::text, 'domain_events_guest='))::text end,
                    'definition', pg_catalog.pg_get_functiondef(p.oid))::text
               from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
              where p.prokind in ('f', 'p') and $2::text is null
                -- by the index: what a step locks waits for this
                and p.proname = ((pg_catalog.parse_ident($1, false))[2])::name and n.nspname = ((pg_catalog.parse_ident($1, false))[1])::name
                and pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) = $1"
        ),
        ObjectKind::Table => format!(
            "select pg_catalog.json_build_object('fingerprint', {TABLE_FINGERPRINT},
                    'owner', pg_catalog.pg_get_userbyid(c.relowner))::text
               from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1) and $2::text is null"
        ),
        ObjectKind::Capture => return of_the_store(conn, object, "select pg_catalog.json_build_object('fingerprint', pg_catalog.md5(row(c.aggregate_type, c.aggregate_id, c.include,
                    c.exclude, c.redact, c.event_types, c.event_name_style, c.payload, c.on_failure, c.replication)::text), 'enabled', c.state)::text
               from domain_events.captures c where c.target = pg_catalog.to_regclass($1)").await,
        ObjectKind::EventTable => return of_the_store(conn, object, "select pg_catalog.json_build_object('fingerprint', pg_catalog.md5(row(e.stream_columns, e.version_column)::text))::text
               from domain_events.event_tables e where e.event_table = pg_catalog.to_regclass($1)").await,
    };
    let doing = || format!("reading {} {}", object.kind.name(), object.identity());
    let found: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.as_str()))
        .bind(&object.name)
        .bind(&object.table)
        .fetch_optional(conn)
        .await
        .doing(doing())?;
    found.map(|text| serde_json::from_str(&text).map_err(|e| Error::json(doing(), e))).transpose()
}

async fn of_the_store(conn: &mut PgConnection, object: &ObjectName, sql: &str) -> Result<Option<State>, Error> {
    if object.table.is_some() {
        return Ok(None);
    }
    let doing = format!("reading {} {}", object.kind.name(), object.identity());
    let found: Vec<(String,)> = as_owner::store_rows(conn, sql, "state text", &[&object.name], &doing).await?;
    found.into_iter().next().map(|(text,)| serde_json::from_str(&text).map_err(|e| Error::json(doing, e))).transpose()
}

/// Refuses unless everything the plan relies on or replaces is as it was when the plan was made.
pub async fn expect_before(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    let mut changed = vec![];
    for object in &plan.objects {
        let now = read(conn, &object.object_name()).await?;
        if let Some(difference) = difference(object.before.as_ref(), now.as_ref()) {
            changed.push(format!("{} {} {difference}", object.kind.name(), object.object_name().identity()));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::drift(
        format!("the database changed since the plan was made: {}", changed.join("; ")),
        "Nothing was touched. Make the plan again: domain-events plan --revise FILE --out FILE",
    ))
}

/// What differs between two states, in words; none if nothing does.
pub fn difference(expected: Option<&State>, now: Option<&State>) -> Option<String> {
    let (expected, now) = match (expected, now) {
        (None, None) => return None,
        (Some(_), None) => return Some("does not exist any more".into()),
        (None, Some(_)) => return Some("exists already".into()),
        (Some(expected), Some(now)) => (expected, now),
    };
    if expected.fingerprint != now.fingerprint {
        return Some("has another definition".into());
    }
    let parts = [
        ("state", &expected.enabled, &now.enabled),
        ("owner", &expected.owner, &now.owner),
        ("comment", &expected.comment, &now.comment),
        ("privileges", &expected.acl, &now.acl),
    ];
    parts.into_iter().find(|(_, a, b)| a != b).map(|(what, a, b)| {
        let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "none".into());
        format!("has another {what}: {}, was {}", show(b), show(a))
    })
}
