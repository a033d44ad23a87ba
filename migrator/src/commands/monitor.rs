//! `monitor`.

use crate::cli::MonitorArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::monitor::{prometheus, read, screen, watch};
use crate::output::Format;
use crate::{as_owner, db, store};

/// Runs the verb.
pub async fn run(args: &MonitorArgs, ctx: &Context) -> Result<Exit, Error> {
    if args.watch && ctx.out.format() != Format::Human {
        return Err(Error::usage(
            "--watch is a screen for people",
            "Leave --format out, or run monitor without --watch every minute.",
        ));
    }
    let mut conn = connect(ctx).await?;
    as_owner::begin_read_only(&mut conn, &[]).await?;
    let found = store::inspect(&mut conn).await;
    db::rollback(&mut conn).await?;
    found?.check_usable()?;
    read::expect_readable(&mut conn).await?;
    if args.watch {
        return watch::run(args, &mut conn, ctx).await;
    }
    let report = read::report(args, &mut conn).await?;
    match ctx.out.format() {
        Format::Human => screen::print(&report, &ctx.out)?,
        Format::Json => ctx.out.json(&report)?,
        Format::Prometheus => prometheus::print(&report, &ctx.out)?,
    }
    Ok(report.exit(args.fail_on))
}
