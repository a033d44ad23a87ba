//! SQL that a verb is going to run: printed by a dry run, or executed in order inside one transaction.

use serde::Serialize;
use sqlx::PgConnection;

use crate::as_owner::{self, Owner};
use crate::context::Context;
use crate::db;
use crate::error::Error;

/// One piece of SQL that runs as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does, for messages.
    pub title: String,
    /// One or more statements.
    pub sql: String,
    /// In whose name they run.
    #[serde(skip)]
    pub owner: Owner,
}

impl Step {
    /// A step.
    pub fn new(title: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { title: title.into(), sql: sql.into(), owner: Owner::own() }
    }

    /// The same in the name of another role: what calls functions of the store.
    pub fn of(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }
}

/// Executes the steps inside the transaction of the caller.
pub async fn execute(steps: &[Step], conn: &mut PgConnection, ctx: &Context, doing: &str) -> Result<(), Error> {
    let bar = ctx.out.progress(steps.len() as u64, doing);
    for step in steps {
        bar.set_message(crate::text::in_line(&step.title).into_owned());
        if step.owner.is_other() {
            as_owner::execute(conn, &step.owner, &step.sql, &step.title).await?;
        } else {
            db::execute(conn, &step.sql, &step.title).await?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Prints the steps as a script that psql would run.
pub fn print(steps: &[Step], ctx: &Context) -> Result<(), Error> {
    if steps.is_empty() {
        return Ok(());
    }
    ctx.out.line("begin;")?;
    for step in steps {
        ctx.out.line(format!("\n-- {}", step.title))?;
        ctx.out.sql(step.sql.trim_end())?;
    }
    ctx.out.line("\ncommit;")
}
