//! In whose name the statements of a plan run: what makes, changes or drops an object of users runs as its owner, and what is
//! exactly a call of the store (`plan::calls`) as the role that applies the plan, in the same form: code of the owner that it
//! comes to leaves nothing behind for that role to run.

use sqlx::PgConnection;

use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::plan::{ObjectKind, Plan, Statement, calls};
use crate::sql_tree::ast;

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
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await.doing(doing)?;
        return Ok(());
    }
    let place = statement.object.table.as_ref().unwrap_or(&statement.object.name);
    let tables = tables(plan, statement);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let store = Owner::confined(conn).await?;
    let usage = Borrowed::lend(conn, &owner, place, "usage").await?;
    let may_create = Borrowed::missing(conn, &owner, place, "create").await?.is_none();
    let mut next = Together { hand: Hand::Owner, sql: String::new() };
    for piece in pieces {
        // the places are read once all before it is done
        if plan.adoptions.iter().any(|legacy| piece.contains(&legacy.place_queries().0)) {
            next.run(conn, &owner, &store, place, doing).await?;
        }
        let places = places(conn, plan, &owner, piece).await?;
        let call = calls::of_the_store(places.as_deref().unwrap_or(piece), &tables);
        let hand = match &call {
            Some(_) => Hand::Store,
            None if !may_create && calls::makes_in_schema(piece) => Hand::Creator,
            None => Hand::Owner,
        };
        if hand != next.hand || hand == Hand::Creator {
            next.run(conn, &owner, &store, place, doing).await?;
            next.hand = hand;
        }
        next.sql.push_str(call.as_deref().unwrap_or(piece));
        next.sql.push_str(";\n");
    }
    next.run(conn, &owner, &store, place, doing).await?;
    usage.give_back(conn).await
}

/// Who carries out a statement within a plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Owner,
    /// The owner, who is lent the right to create something in the schema for it.
    Creator,
    /// Whoever applies the plan, by a call of the store. It may come to the owner's code, as where a reader is tried.
    Store,
}

/// Statements that go as one text: acting as another costs some twenty statements, and locks are held meanwhile.
struct Together {
    hand: Hand,
    sql: String,
}

impl Together {
    async fn run(
        &mut self,
        conn: &mut PgConnection,
        owner: &Owner,
        store: &Owner,
        place: &str,
        doing: &str,
    ) -> Result<(), Error> {
        let sql = std::mem::take(&mut self.sql);
        if sql.is_empty() {
            return Ok(());
        }
        match self.hand {
            Hand::Owner => as_owner::execute(conn, owner, &sql, doing).await?,
            Hand::Store => as_owner::execute(conn, store, &sql, doing).await?,
            Hand::Creator => {
                let before = contents(conn, place).await?;
                let create = Borrowed::lend(conn, owner, place, "create").await?;
                let done = as_owner::execute(conn, owner, &sql, doing).await?;
                create.give_back(conn).await?;
                expect_one_change(&before, &contents(conn, place).await?, place)?;
                done
            }
        };
        Ok(())
    }
}

/// What is in the schema of an object: its catalogue and number, its name, and the version of its text.
async fn contents(conn: &mut PgConnection, object: &str) -> Result<Vec<(i64, i64, String)>, Error> {
    sqlx::query_as(
        "select d.classid::bigint, d.objid::bigint, pg_catalog.concat_ws(' ', a.object_names::text, p.xmin::text, r.xmin::text) \
           from pg_catalog.pg_namespace n \
           join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = n.oid \
          cross join lateral pg_catalog.pg_identify_object_as_address(d.classid, d.objid, 0) a \
           left join pg_catalog.pg_proc p on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = d.objid \
           left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and r.ev_class = d.objid and r.rulename = '_RETURN' \
          where n.nspname = (pg_catalog.parse_ident($1, false))[1] order by 1, 2, 3",
    )
    .bind(object)
    .persistent(false)
    .fetch_all(conn)
    .await
    .doing("reading what is in a schema")
}

/// A statement that makes, replaces or renames one object can run code of the owner's: a default may be read by a check of its
/// type. What that code has made with the right that was lent does not stay.
fn expect_one_change(before: &[(i64, i64, String)], after: &[(i64, i64, String)], object: &str) -> Result<(), Error> {
    let gone = before.iter().filter(|o| !after.contains(o));
    let came = after.iter().filter(|o| !before.contains(o));
    let mut changed: Vec<(i64, i64)> = gone.chain(came).map(|(catalogue, oid, _)| (*catalogue, *oid)).collect();
    changed.sort_unstable();
    changed.dedup();
    if changed.len() <= 1 {
        return Ok(());
    }
    Err(Error::refused(
        "42501",
        format!("more was created or changed in the schema of {object} than the plan says; nothing was changed"),
        "The table's owner may create nothing there and is lent the right for single statements. Run the command again; if it is refused again, \
         look for what the checks of types and domains of that owner do, or let the schema's owner run: grant create on schema .. to the table's owner.",
    ))
}

/// What a call of the store within the statement may be about.
fn tables(plan: &Plan, statement: &Statement) -> Vec<String> {
    let object = &statement.object;
    let mut tables: Vec<String> = object.table.iter().chain([&object.name]).cloned().collect();
    let adopted = plan.adoptions.iter().filter(|l| tables.contains(&l.view_name())).collect::<Vec<_>>();
    tables.extend(adopted.iter().map(|legacy| legacy.side_name()));
    tables
}

/// The owner of what the statement is about.
async fn owner(conn: &mut PgConnection, plan: &Plan, statement: &Statement, sql: &str) -> Result<Owner, Error> {
    let object = &statement.object;
    match (object.kind, &object.table) {
        (_, Some(table)) => Owner::of_table(conn, table).await,
        (ObjectKind::Function, None) => {
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

/// A right on a schema that an owner lacks and has while a statement needs it: until the same transaction takes it back, nobody
/// else sees it.
struct Borrowed {
    give_back: String,
}

impl Borrowed {
    async fn lend(conn: &mut PgConnection, owner: &Owner, object: &str, needed: &str) -> Result<Self, Error> {
        let Some(schema) = Self::missing(conn, owner, object, needed).await? else {
            return Ok(Self { give_back: String::new() });
        };
        let schema = format!("schema {schema}");
        db::execute(conn, &owner.grant(needed, &schema), "lending a right on a schema").await?;
        Ok(Self { give_back: owner.revoke(needed, &schema) })
    }

    /// The schema of an object, if its owner lacks a right there.
    async fn missing(
        conn: &mut PgConnection,
        owner: &Owner,
        object: &str,
        needed: &str,
    ) -> Result<Option<String>, Error> {
        sqlx::query_scalar(
            "select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_namespace n \
              where n.nspname = (pg_catalog.parse_ident($1, false))[1] and not pg_catalog.has_schema_privilege($2::bigint::oid, n.oid, $3)",
        )
        .bind(object)
        .bind(owner.oid())
        .bind(needed)
        .persistent(false)
        .fetch_optional(conn)
        .await
        .doing("reading the rights on a schema")
    }

    async fn give_back(self, conn: &mut PgConnection) -> Result<(), Error> {
        db::execute(conn, &self.give_back, "taking back a right on a schema").await
    }
}
