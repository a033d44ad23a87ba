//! The command line `domain-events`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    domain_events::run(domain_events::cli::Cli::parse())
}
