//! `capture resume`.

use sqlx::PgConnection;

use super::target::{Target, report, state};
use crate::blockers::Mode;
use crate::cli::CaptureTableArgs;
use crate::context::Context;
use crate::error::{Error, Exit};

pub async fn run(args: &CaptureTableArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    let target = Target::find(conn, &args.table).await?;
    if state(conn, &target).await?.as_deref() == Some("active") {
        let sentence = format!("the capture of {} is active already", target.name);
        return report(conn, &target, &sentence, ctx).await;
    }
    let call = format!("select domain_events.resume_capture({})", target.argument());
    let doing = format!("resuming the capture of {}", target.name);
    let mode = Some(Mode::ShareRowExclusive);
    target.change(conn, mode, args.lock.lock_timeout, ctx, async |conn| target.call(conn, &call, &doing).await).await?;
    let sentence = format!("the capture of {} goes on: each stream's next event carries the whole row", target.name);
    report(conn, &target, &sentence, ctx).await
}
