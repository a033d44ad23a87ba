//! `capture disable`.

use serde_json::json;
use sqlx::PgConnection;

use super::target::Target;
use crate::blockers::Mode;
use crate::cli::CaptureDisableArgs;
use crate::context::Context;
use crate::error::{Error, Exit};

pub async fn run(args: &CaptureDisableArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    let target = Target::find(conn, &args.table).await?;
    let question = format!("End the capture of {} and forget how it was configured?", target.name);
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    let call =
        format!("select domain_events.disable_capture({}, keep_triggers => {})", target.argument(), args.keep_triggers);
    let doing = format!("ending the capture of {}", target.name);
    let mode = if args.keep_triggers { Mode::ShareRowExclusive } else { Mode::AccessExclusive };
    target
        .change(conn, Some(mode), args.lock.lock_timeout, ctx, async |conn| target.call(conn, &call, &doing).await)
        .await?;
    if ctx.out.is_json() {
        ctx.out.json(&json!({"table": target.name, "state": "disabled", "triggers_kept": args.keep_triggers}))?;
    } else {
        ctx.out.line(format!("{} is captured no more; its events stay", target.name))?;
    }
    Ok(Exit::Clean)
}
