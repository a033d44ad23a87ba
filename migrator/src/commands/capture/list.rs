//! `capture list`.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::target::{Target, captures};
use crate::as_owner;
use crate::cli::CaptureListArgs;
use crate::context::Context;
use crate::db;
use crate::error::{Error, Exit};
use crate::store;

pub async fn run(args: &CaptureListArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    as_owner::begin_read_only(conn, &[]).await?;
    db::pin_settings(conn).await?;
    store::inspect(conn).await?.check_usable()?;
    let table = match &args.table {
        Some(name) => Some(Target::find(conn, name).await?.name),
        None => None,
    };
    let found = captures(conn, table.as_deref()).await?;
    db::rollback(conn).await?;
    if ctx.out.is_json() {
        ctx.out.json(&json!({"captures": found}))?;
        return Ok(Exit::Clean);
    }
    if found.is_empty() {
        ctx.out.line(table.map_or("no table is captured".to_owned(), |name| format!("{name} is not captured")))?;
        ctx.out.hint("Capture one: domain-events capture enable TABLE");
        return Ok(Exit::Clean);
    }
    let header = ["TABLE", "TYPE", "ID", "STATE", "SINCE", "PAYLOAD", "ON FAILURE", "COLUMNS", "DEAD LETTERS"];
    let rows = found.iter().map(|capture| {
        let text = |key: &str| capture[key].as_str().unwrap_or_default().to_owned();
        vec![
            text("table"),
            text("aggregate_type"),
            names(&capture["aggregate_id"]),
            text("state"),
            text("captured_since"),
            text("payload"),
            text("on_failure"),
            columns(capture),
            capture["pending_failures"].to_string(),
        ]
    });
    ctx.out.table(&header, rows)?;
    Ok(Exit::Clean)
}

fn names(columns: &Value) -> String {
    columns
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        .unwrap_or_default()
}

/// Which columns its events show, in words.
fn columns(capture: &Value) -> String {
    let mut said = vec![];
    for (key, word) in [("include", "only"), ("exclude", "without"), ("redact", "redacted")] {
        let named = names(&capture[key]);
        if !named.is_empty() {
            said.push(format!("{word} {named}"));
        }
    }
    if said.is_empty() { "all".into() } else { said.join("; ") }
}
