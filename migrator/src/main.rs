//! The command line `domain-events`.

use std::process::ExitCode;

fn main() -> ExitCode {
    domain_events::main()
}
