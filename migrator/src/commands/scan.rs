//! `scan`.

use crate::Context;
use crate::cli::ScanArgs;
use crate::db;
use crate::error::{Error, Exit};

/// Runs the verb.
pub async fn run(_args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let _conn = db::connect(ctx).await?;
    Ok(Exit::Clean)
}
