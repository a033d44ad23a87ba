//! `capture pause`.

use sqlx::PgConnection;

use super::target::{Target, report, state};
use crate::cli::CaptureTableArgs;
use crate::context::Context;
use crate::error::{Error, Exit};

pub async fn run(args: &CaptureTableArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    let target = Target::find(conn, &args.table).await?;
    let before = state(conn, &target).await?;
    let call = format!("select domain_events.pause_capture({})", target.argument());
    let doing = format!("pausing the capture of {}", target.name);
    target.change(conn, None, args.lock.lock_timeout, ctx, async |conn| target.call(conn, &call, &doing).await).await?;
    let already = if before.as_deref() == Some("paused") { " already" } else { "" };
    let sentence = format!("the capture of {} is paused{already}: its changes make no event", target.name);
    ctx.out.hint(format!("End the pause: domain-events capture resume {}", args.table));
    report(conn, &target, &sentence, ctx).await
}
