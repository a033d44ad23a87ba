//! `completions`: a completion script for the shell.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::context::Context;
use crate::error::{Error, Exit};

/// Prints the script.
pub fn run(args: &CompletionsArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "domain-events", &mut script);
    ctx.out.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Clean)
}
