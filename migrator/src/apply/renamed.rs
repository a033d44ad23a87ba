//! Event tables of a plan under the names that they have now: the store knows a registered table by its number.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::as_owner;
use crate::error::{Doing, Error};
use crate::plan::{ObjectKind, ObjectName, Plan, Statement, calls, shim};
use domain_events_sql::quote::quote_ident;

/// Present names by those that plans and journal know.
#[derive(Debug, Default)]
pub struct Renamed(HashMap<String, String>);

impl Renamed {
    /// Reads them; a name that another table has by now means that table.
    pub async fn read(conn: &mut PgConnection) -> Result<Self, Error> {
        let doing = "looking for renamed event tables";
        let sql = "select t.registered_as, domain_events._qualified_name(t.event_table) from domain_events.event_tables t \
            where t.registered_as <> domain_events._qualified_name(t.event_table) and pg_catalog.to_regclass(t.registered_as) is null";
        let rows: Vec<(Option<String>, Option<String>)> =
            as_owner::store_rows(conn, sql, "was text, now text", &[], doing).await?;
        Ok(Self(rows.into_iter().filter_map(|(was, now)| was.zip(now)).collect()))
    }

    /// The name of a table now.
    pub fn table<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }

    /// An object under its name now.
    pub fn object(&self, object: &ObjectName) -> ObjectName {
        let mut object = object.clone();
        match (&mut object.table, object.kind) {
            (Some(table), _) => *table = self.table(table).to_owned(),
            (None, ObjectKind::Function) => {}
            (None, _) => object.name = self.table(&object.name).to_owned(),
        }
        object
    }

    /// A statement with what takes it back, about the table under its name now. What a plan does to an event table by its name is a
    /// trigger of ours and calls of the store; anything else wants the name back.
    pub fn statement(&self, statement: &Statement) -> Result<Statement, Error> {
        let object = self.object(&statement.object);
        let Some(undo) = statement.undo.as_deref().filter(|_| object != statement.object) else {
            return Ok(Statement { object, ..statement.clone() });
        };
        let undo = match (&object.table, calls::Call::parse(undo)) {
            (Some(table), _) if object.name == shim::TRIGGER => {
                format!("alter table {table} disable trigger {};", quote_ident(shim::TRIGGER))
            }
            (None, Some(call)) if object.kind == ObjectKind::EventTable => format!("{};", call.of(&object.name).sql()),
            (None, None) if object.kind == ObjectKind::EventTable => undo.to_owned(),
            _ => {
                let was = statement.object.table.as_ref().unwrap_or(&statement.object.name);
                return Err(missing(was, Some(self.table(was)), ""));
            }
        };
        Ok(Statement { object, undo: Some(undo), ..statement.clone() })
    }

    /// Refuses where a table of the plan is not there under any name that the store knows.
    pub async fn expect_tables(&self, conn: &mut PgConnection, plan: &Plan, tables: &[&str]) -> Result<(), Error> {
        for table in tables {
            let there: bool = sqlx::query_scalar("select coalesce(pg_catalog.to_regclass($1) is not null, false)")
                .bind(self.table(table))
                .persistent(false)
                .fetch_one(&mut *conn)
                .await
                .doing(format!("looking for {table}"))?;
            if !there {
                return Err(missing(table, None, &plan.plan_id));
            }
        }
        Ok(())
    }
}

fn missing(table: &str, now: Option<&str>, plan_id: &str) -> Error {
    match now {
        Some(now) => Error::drift(
            format!("{table} is called {now} now, and the plan does more to it than assign versions"),
            format!("Nothing was touched. Give it its name back, {table}, then run this again."),
        ),
        None => Error::drift(
            format!("{table} does not exist, or has another name"),
            format!(
                "Nothing was touched. If it was renamed, give it its name back and run this again. If it was dropped, there is nothing to \
                 take back there: undo the rest by hand with domain_events.migration_journal, then as the owner of schema domain_events: \
                 update domain_events.migration_plans set state = 'rolled_back' where plan_id = '{plan_id}'"
            ),
        ),
    }
}
