//! Whether a plan is still what would be planned now.

use sqlx::PgConnection;

use super::state;
use crate::as_owner;
use crate::db;
use crate::error::Error;
use crate::judge;
use crate::plan::{self, Choices, Plan};
use crate::source;

/// Reads the database again in a READ ONLY transaction, makes the plan again with the decisions of the file, and refuses
/// with exit code 4 unless the same comes out: that finds what no fingerprint holds, as a new writer of the event table.
pub async fn check(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    as_owner::begin_read_only(conn, &[]).await?;
    let checked = checked(conn, plan).await;
    db::rollback(conn).await?;
    checked
}

async fn checked(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    let mut catalogue = source::read_in_transaction(conn).await?;
    catalogue.treats.clone_from(&plan.treat);
    state::expect_before(conn, plan).await?;
    let report = if plan.translated.is_empty() {
        judge::judge(&catalogue)
    } else {
        plan::bring::judged(&mut catalogue, &plan.translated)?
    };
    let brought = plan.translated.clone();
    let choices = Choices { earlier: Some(plan.clone()), only_earlier_tables: true, brought, ..Choices::default() };
    let hint = "Nothing was touched. Make the plan again: domain-events plan --revise FILE --out FILE";
    let stale = |why: String| Error::drift(format!("the plan is stale: {why}"), hint);
    let now = plan::build(&catalogue, &report, &choices, &plan.plan_id).map_err(|e| stale(e.to_string()))?;
    let describe = |p: &plan::Port| {
        let name = p.trigger.as_ref().or(p.function.as_ref()).or(p.event_table.as_ref()).cloned().unwrap_or_default();
        format!("{} {name} ({})", p.code, p.version_source.name())
    };
    // a table that is not there is nobody's event table
    let known = |p: &&plan::Port| plan.event_tables.iter().any(|t| Some(&t.table) == p.event_table.as_ref());
    let known: Vec<String> = plan.ports.iter().filter(known).map(describe).collect();
    let found: Vec<String> = now.ports.iter().map(describe).collect();
    if let Some(new) = found.iter().find(|f| !known.contains(f)) {
        return Err(stale(format!("there is something new to port: {new}")));
    }
    if let Some(gone) = known.iter().find(|k| !found.contains(k)) {
        return Err(stale(format!("there is nothing to port any more: {gone}")));
    }
    if now.digest_of_sql() != plan.digest_of_sql() {
        let same_tool = plan.tool == now.tool;
        return Err(stale(if same_tool {
            "its SQL would be different now".into()
        } else {
            format!("it was made by domain-events {}, this is {}", plan.tool, now.tool)
        }));
    }
    Ok(())
}
