//! Installs pg_domain_events and ports legacy event triggers to it.

pub mod adopt;
pub mod apply;
mod as_owner;
mod blockers;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod connect;
mod conninfo;
mod context;
pub mod db;
pub mod dependents;
pub mod engine_sql;
pub mod error;
pub mod files;
pub mod from_mysql;
pub mod import;
pub mod judge;
mod locks;
mod marks;
pub mod monitor;
pub mod output;
pub mod plan;
mod pooler;
pub mod proof;
pub mod repair;
pub mod script;
pub mod source;
pub mod sql_tree;
pub mod store;
pub mod tail;
pub mod text;
pub mod url;
pub mod verify;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Verb};
pub use context::Context;
use domain_events_sql::limits;
use error::{Error, Exit};
use output::{Format, Output};

/// Reads the command line and runs its verb on a stack that is large enough for all that is parsed.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let format = cli.format;
    match limits::on_large_stack(move || run(cli)) {
        Ok(exit) => exit,
        Err(error) => {
            Output::new(format).error(&Error::io("the thread that does the work", error));
            Exit::Error.into()
        }
    }
}

/// What clap has to say: help, or a wrong argument, which may be a URL in the wrong place.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let plain = error.render().to_string();
    if url::has_secret(&plain) || plain.contains(text::is_unsafe) {
        output::say(&url::redacted(&plain));
        return Exit::Usage.into();
    }
    error.exit()
}

/// Runs one verb to its end and gives the exit code of the process.
pub fn run(cli: Cli) -> ExitCode {
    let ctx = Context { database_url: cli.database_url.clone(), out: Output::new(cli.format) };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ctx.out.error(&Error::io("the asynchronous runtime", error));
            return Exit::Error.into();
        }
    };
    match runtime.block_on(dispatch(&cli.verb, &ctx)) {
        Ok(exit) => exit.into(),
        // `domain-events status | head -1` is no failure
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Clean.into(),
        Err(error) => {
            ctx.out.error(&error);
            error.exit().into()
        }
    }
}

async fn dispatch(verb: &Verb, ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.format() == Format::Prometheus && !matches!(verb, Verb::Monitor(_)) {
        return Err(Error::usage("--format prometheus is for monitor alone", "Use --format human or --format json."));
    }
    match verb {
        Verb::Install(args) => commands::install::run(args, ctx).await,
        Verb::Uninstall(args) => commands::uninstall::run(args, ctx).await,
        Verb::Status(args) => commands::status::run(args, ctx).await,
        Verb::Scan(args) => commands::scan::run(args, ctx).await,
        Verb::Plan(args) => commands::plan::run(args, ctx).await,
        Verb::Apply(args) => commands::apply::run(args, ctx).await,
        Verb::Verify(args) => commands::verify::run(args, ctx).await,
        Verb::Import(args) => commands::import::run(args, ctx).await,
        Verb::Capture(args) => commands::capture::run(args, ctx).await,
        Verb::Repair(args) => commands::repair::run(args, ctx).await,
        Verb::Rollback(args) => commands::rollback::run(args, ctx).await,
        Verb::Monitor(args) => commands::monitor::run(args, ctx).await,
        Verb::Tail(args) => commands::tail::run(args, ctx).await,
        Verb::Completions(args) => commands::completions::run(args, ctx),
        Verb::Man(args) => commands::man::run(args, ctx),
    }
}
