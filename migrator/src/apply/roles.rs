//! In whose name the statements of a plan run: what makes, changes or drops an object of users runs as its owner, and what is
//! exactly a call of the store (`plan::calls`) as the role that applies the plan.

use sqlx::PgConnection;

use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::judge::ast;
use crate::plan::{Kind, Plan, Statement, calls};

/// Runs the SQL of a statement of the plan in the caller's transaction.
pub(crate) async fn run(
    conn: &mut PgConnection,
    plan: &Plan,
    statement: &Statement,
    sql: &str,
    doing: &str,
) -> Result<(), Error> {
    let pieces = calls::pieces(sql, statement.object.kind, doing)?;
    let owner = owner(conn, plan, statement, sql).await?;
    if !owner.is_other() {
        sqlx::raw_sql(sql).execute(&mut *conn).await.doing(doing)?;
        return Ok(());
    }
    let place = statement.object.table.as_ref().unwrap_or(&statement.object.name);
    let tables = tables(plan, statement);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let borrowed = Borrowed::lend(conn, &owner, place).await?;
    // what follows each other goes as one text: acting as another costs some twenty statements, and locks are held meanwhile
    let mut together = String::new();
    for piece in pieces {
        let places = places(conn, plan, &owner, piece).await?;
        let Some(call) = calls::of_the_store(places.as_deref().unwrap_or(piece), &tables) else {
            together.push_str(piece);
            together.push_str(";\n");
            continue;
        };
        as_the_owner(conn, &owner, &mut together, doing).await?;
        sqlx::raw_sql(&call).execute(&mut *conn).await.doing(doing)?;
    }
    as_the_owner(conn, &owner, &mut together, doing).await?;
    borrowed.give_back(conn).await
}

/// What a call of the store within the statement may be about.
fn tables(plan: &Plan, statement: &Statement) -> Vec<String> {
    let object = &statement.object;
    let mut tables: Vec<String> = object.table.iter().chain([&object.name]).cloned().collect();
    let adopted = plan.adoptions.iter().filter(|l| tables.contains(&l.view_name())).collect::<Vec<_>>();
    tables.extend(adopted.iter().map(|legacy| legacy.side_name()));
    tables
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
            if let Some(table) = brought.and_then(|b| b.table.as_deref()) {
                return Owner::of_table(conn, table).await;
            }
            match Owner::of_function(conn, &object.name).await? {
                Some(owner) => Ok(owner),
                // what is made for nobody else is made by whoever applies the plan
                None if makes_function(sql) => Ok(Owner::own()),
                None => Err(Error::drift(
                    format!("function {} does not exist", object.name),
                    "It was dropped or changed meanwhile. Nothing was changed.",
                )),
            }
        }
        _ => Owner::of_table(conn, &object.name).await,
    }
}

fn makes_function(sql: &str) -> bool {
    ast::parse(sql).is_ok_and(|trees| trees.first().is_some_and(|tree| ast::kind(tree) == "CreateFunctionStmt"))
}

/// The role that a text gives a function to.
fn new_owner(sql: &str) -> Option<String> {
    let trees = ast::parse(sql).ok()?;
    let alter = trees.iter().find_map(|tree| ast::node(tree, "AlterOwnerStmt"))?;
    let role = ast::find(alter, "RoleSpec").into_iter().next().or_else(|| alter.get("newowner"))?;
    Some(ast::text(role, "rolename").to_owned())
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
        let text = |place: Option<i64>| place.map_or("null::bigint".to_owned(), |p| format!("'{p}'::bigint"));
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
        let missing: Vec<(String, String)> = sqlx::query_as(
            "select pg_catalog.quote_ident(n.nspname), w.needed from pg_catalog.pg_namespace n \
              cross join pg_catalog.unnest(array['create', 'usage']) as w(needed) \
              where n.nspname = (pg_catalog.parse_ident($1, false))[1] and not pg_catalog.has_schema_privilege($2::bigint::oid, n.oid, w.needed)",
        )
        .bind(object)
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
