//! In whose name the statements of a plan run: what makes, changes or drops an object of users runs as its owner, what
//! speaks to the store as the role that applies the plan.

use serde_json::Value;
use sqlx::PgConnection;

use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::judge::ast;
use crate::plan::{Kind, Plan, Statement};

/// Runs the SQL of a statement of the plan in the caller's transaction.
pub(crate) async fn run(
    conn: &mut PgConnection,
    plan: &Plan,
    statement: &Statement,
    sql: &str,
    doing: &str,
) -> Result<(), Error> {
    let owner = owner(conn, plan, statement, sql).await?;
    if !owner.is_other() {
        sqlx::raw_sql(sql).execute(&mut *conn).await.doing(doing)?;
        return Ok(());
    }
    let not_sql = |e: pg_query::Error| Error::refused("42601", format!("{doing}: {e}"), "Make the plan again.");
    let place = statement.object.table.as_ref().unwrap_or(&statement.object.name);
    let borrowed = Borrowed::lend(conn, &owner, place).await?;
    // what follows each other goes as one text: acting as another costs some twenty statements, and locks are held meanwhile
    let mut together = String::new();
    for piece in pg_query::split_with_parser(sql).map_err(not_sql)? {
        if !of_the_store(piece) {
            together.push_str(piece);
            together.push_str(";\n");
            continue;
        }
        as_the_owner(conn, &owner, &mut together, doing).await?;
        let places = places(conn, plan, &owner, piece).await?;
        sqlx::raw_sql(places.as_deref().unwrap_or(piece)).execute(&mut *conn).await.doing(doing)?;
    }
    as_the_owner(conn, &owner, &mut together, doing).await?;
    borrowed.give_back(conn).await
}

async fn as_the_owner(conn: &mut PgConnection, owner: &Owner, sql: &mut String, doing: &str) -> Result<(), Error> {
    if !sql.is_empty() {
        as_owner::execute(conn, owner, sql, doing).await?;
        sql.clear();
    }
    Ok(())
}

/// The owner of what the statement is about.
async fn owner(conn: &mut PgConnection, plan: &Plan, statement: &Statement, sql: &str) -> Result<Owner, Error> {
    let object = &statement.object;
    match (object.kind, &object.table) {
        (_, Some(table)) => Owner::of_table(conn, table).await,
        (Kind::Function, None) => {
            // made for a user, it is that user's
            if let Some(role) = new_owner(sql) {
                return Owner::named(conn, &role).await;
            }
            let brought = plan.translated.iter().find(|b| b.function == object.name);
            match brought.and_then(|b| b.table.as_deref()) {
                Some(table) => Owner::of_table(conn, table).await,
                None => Owner::of_function(conn, &object.name).await,
            }
        }
        _ => Owner::of_table(conn, &object.name).await,
    }
}

/// The role that a text gives a function to.
fn new_owner(sql: &str) -> Option<String> {
    let trees = ast::parse(sql).ok()?;
    let alter = trees.iter().find_map(|tree| ast::node(tree, "AlterOwnerStmt"))?;
    let role = ast::find(alter, "RoleSpec").into_iter().next().or_else(|| alter.get("newowner"))?;
    Some(ast::text(role, "rolename").to_owned())
}

/// Whether a statement calls a function of the store, or grants one: that is the business of whoever applies the plan.
fn of_the_store(piece: &str) -> bool {
    let Ok(trees) = ast::parse(piece) else { return false };
    trees.iter().any(|tree| match ast::kind(tree) {
        "SelectStmt" => ast::find(tree, "FuncCall").iter().any(|call| ast::call_name(call).0 == "domain_events"),
        "GrantStmt" => in_the_store(tree),
        _ => false,
    })
}

fn in_the_store(tree: &Value) -> bool {
    let mut names = ast::find(tree, "ObjectWithArgs");
    names.extend(ast::find(tree, "RangeVar"));
    names.iter().any(|name| {
        let schema =
            ast::list(name, "objname").first().and_then(|part| ast::node(part, "String")).map(|s| ast::text(s, "sval"));
        schema == Some("domain_events") || ast::text(name, "schemaname") == "domain_events"
    })
}

/// The call that reserves positions for a table, with the places that its owner has read in the place of the queries.
async fn places(conn: &mut PgConnection, plan: &Plan, owner: &Owner, piece: &str) -> Result<Option<String>, Error> {
    for legacy in &plan.adoptions {
        let (first, last) = legacy.place_queries();
        if !piece.contains(&first) {
            continue;
        }
        let sql = format!("select {first}, {last}");
        let doing = format!("reading the places of {}", legacy.view_name());
        let (low, high): (Option<i64>, Option<i64>) =
            as_owner::row(conn, owner, &sql, "low bigint, high bigint", &[], &doing).await?;
        let text = |place: Option<i64>| place.map_or("null::bigint".to_owned(), |p| format!("{p}::bigint"));
        return Ok(Some(piece.replace(&first, &text(low)).replace(&last, &text(high))));
    }
    Ok(None)
}

/// Rights on a schema that an owner lacks and has while a statement makes something there: until the same transaction takes
/// them back, nobody else sees them.
struct Borrowed {
    give_back: String,
}

impl Borrowed {
    async fn lend(conn: &mut PgConnection, owner: &Owner, object: &str) -> Result<Self, Error> {
        let name = object.split('(').next().unwrap_or(object);
        let missing: Vec<(String, String)> = sqlx::query_as(
            "select pg_catalog.quote_ident(n.nspname), w.needed from pg_catalog.pg_namespace n \
              cross join pg_catalog.unnest(array['create', 'usage']) as w(needed) \
              where n.nspname = (pg_catalog.parse_ident($1))[1] and not pg_catalog.has_schema_privilege($2::bigint::oid, n.oid, w.needed)",
        )
        .bind(name)
        .bind(owner.oid())
        .fetch_all(&mut *conn)
        .await
        .doing("reading the rights on a schema")?;
        let mut give_back = String::new();
        for (schema, needed) in &missing {
            let grant = owner.grant(needed, &format!("schema {schema}"));
            db::execute(conn, &grant, "lending a right on a schema").await?;
            give_back.push_str(&owner.revoke(needed, &format!("schema {schema}")));
            give_back.push(';');
        }
        Ok(Self { give_back })
    }

    async fn give_back(self, conn: &mut PgConnection) -> Result<(), Error> {
        db::execute(conn, &self.give_back, "taking back a right on a schema").await
    }
}
