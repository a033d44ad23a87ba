//! `verify`.

use crate::Context;
use crate::cli::VerifyArgs;
use crate::db;
use crate::error::{Error, Exit};

/// Runs the verb.
pub async fn run(_args: &VerifyArgs, ctx: &Context) -> Result<Exit, Error> {
    let _conn = db::connect(ctx).await?;
    Ok(Exit::Clean)
}
