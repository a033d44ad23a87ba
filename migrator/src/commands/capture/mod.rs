//! `capture`: turning capture on and off as every change of the tool is made: all locks first, under a timeout, tried again.

mod disable;
mod enable;
mod list;
mod pause;
mod resume;
mod target;

use crate::as_owner;
use crate::cli::{CaptureAction, CaptureArgs};
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::store;

/// Runs the verb.
pub async fn run(args: &CaptureArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    if let CaptureAction::List(args) = &args.action {
        return list::run(args, &mut conn, ctx).await;
    }
    as_owner::expect_own_store(&mut conn, "capture").await?;
    store::inspect(&mut conn).await?.check_usable()?;
    match &args.action {
        CaptureAction::Enable(args) => enable::run(args, &mut conn, ctx).await,
        CaptureAction::Disable(args) => disable::run(args, &mut conn, ctx).await,
        CaptureAction::Pause(args) => pause::run(args, &mut conn, ctx).await,
        CaptureAction::Resume(args) => resume::run(args, &mut conn, ctx).await,
        CaptureAction::List(args) => list::run(args, &mut conn, ctx).await,
    }
}
