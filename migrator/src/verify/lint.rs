//! The extension plpgsql_check, where the server has it, sees what no replay reaches: the branches that were not run.

use sqlx::PgConnection;

use super::check::Case;
use super::scratch::Scratch;
use crate::as_owner::{self, Owner};
use crate::error::{Doing, Error};
use crate::source::Relation;
use crate::sql_tree::ast;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// Errors that the new functions have and the old ones had not.
pub async fn differences(
    conn: &mut PgConnection,
    case: &Case<'_>,
    old: &Scratch<'_>,
    new: &Scratch<'_>,
) -> Result<Vec<String>, Error> {
    let schema: Option<String> = sqlx::query_scalar(
        "select n.nspname::text from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace \
         where e.extname = 'plpgsql_check'",
    )
    .fetch_optional(&mut *conn)
    .await
    .doing("looking for plpgsql_check")?;
    let Some(extension) = schema else { return Ok(vec![]) };
    let mut found = vec![];
    for (n, function) in case.functions.iter().enumerate().filter(|(_, f)| f.language == "plpgsql") {
        let table = (n == 0).then_some(case.table);
        let (_, arguments) = function.identity.split_once('(').unwrap_or(("", ")"));
        let mut sides = vec![];
        for scratch in [old, new] {
            let name = (function.name.as_str(), arguments.trim_end_matches(')'));
            let lines = run(conn, &extension, scratch, (&function.schema, name), table, &transitions(case)).await?;
            sides.push(lines.into_iter().map(|l| l.replace(&scratch.prefix, "scratch")).collect::<Vec<_>>());
        }
        let fresh = sides[1].iter().filter(|l| !sides[0].contains(l));
        found.extend(fresh.map(|l| format!("plpgsql_check of {}: {l}", function.identity)));
    }
    // the shim is new altogether
    let shim = (case.event_table.schema.as_str(), ("shim", ""));
    let shim = run(conn, &extension, new, shim, Some(case.event_table), &[]).await?;
    found.extend(shim.into_iter().map(|l| format!("plpgsql_check of the shim: {l}")));
    Ok(found)
}

async fn run(
    conn: &mut PgConnection,
    extension: &str,
    scratch: &Scratch<'_>,
    (schema, (name, arguments)): (&str, (&str, &str)),
    table: Option<&Relation>,
    transitions: &[String],
) -> Result<Vec<String>, Error> {
    let table = table.map_or("0".to_owned(), |t| format!("{}::pg_catalog.regclass", quote_literal(&scratch.name(t))));
    let sql = format!(
        "select r from pg_catalog.pg_proc p cross join lateral {}.plpgsql_check_function(p.oid, {table}, fatal_errors => false{}) r \
          where p.pronamespace = pg_catalog.to_regnamespace({}) and p.proname = {} \
            and pg_catalog.pg_get_function_identity_arguments(p.oid) = {}",
        quote_ident(extension),
        transitions.concat(),
        quote_literal(&quote_ident(&scratch.schema(schema).unwrap_or_default())),
        quote_literal(name),
        quote_literal(arguments),
    );
    // it plans the statements of the function, and with that runs code of their tables
    let owner = Owner::of_table(conn, &scratch.table.quoted).await?;
    let lines: Vec<(String,)> = as_owner::staged_rows(conn, &owner, &sql, "line text", "running plpgsql_check").await?;
    Ok(lines.into_iter().map(|(l,)| l).filter(|l| l.starts_with("error:")).collect())
}

/// The names of the trigger's transition tables, as arguments.
fn transitions(case: &Case<'_>) -> Vec<String> {
    let definition = case.trigger.definition.as_deref().unwrap_or_default();
    let trees = ast::parse(definition).unwrap_or_default();
    let all = trees.iter().flat_map(|t| ast::find(t, "TriggerTransition"));
    all.map(|t| {
        let new = t.get("is_new").and_then(serde_json::Value::as_bool).unwrap_or(false);
        format!(", {} => {}", if new { "newtable" } else { "oldtable" }, quote_literal(ast::text(t, "name")))
    })
    .collect()
}
