//! The command line: clap structures only, the arguments of the verbs by what they are for.

mod capture;
mod data;
mod monitor;
mod port;
mod store;
mod tail;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;
pub use capture::{
    CaptureAction, CaptureArgs, CaptureDisableArgs, CaptureEnableArgs, CaptureListArgs, CaptureTableArgs,
};
pub use data::{ImportArgs, RepairArgs};
pub use monitor::{FailOn, MonitorArgs};
pub use port::{ApplyArgs, Dialect, PlanArgs, RollbackArgs, ScanArgs, Strategy, Treat, VerifyArgs};
pub use store::{Index, InstallArgs, StatusArgs, UninstallArgs};
pub use tail::TailArgs;

const LONG_ABOUT: &str = "\
Finds the triggers of a legacy PostgreSQL database that write domain events with a wrong version (hardcoded, or max()+1 \
under no lock), and ports them to pg_domain_events with a plan that can be rolled back.

The usual order: scan, install, plan, apply, verify; rollback undoes a plan, apply --finish completes it.

Data goes to stdout; progress, messages and errors go to stderr. With --format json, stdout carries exactly one JSON document (tail: one a line).";

const AFTER_HELP: &str = "\
Exit codes:
  0  clean: nothing to do, or all done
  1  error
  2  wrong usage
  3  findings, or changes are pending
  4  drift: the database changed since the plan was made
  5  a lock could not be obtained; run it again

Environment:
  DATABASE_URL  the database, as --database-url
  NO_COLOR      no colours";

/// Versions for legacy domain events in PostgreSQL
#[derive(Debug, Parser)]
#[command(name = "domain-events", version, long_about = LONG_ABOUT, after_help = AFTER_HELP, max_term_width = 100,
          help_expected = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Database URL
    ///
    /// Where the database is: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or postgres:///DATABASE?host=/socket/directory.
    /// PGPASSFILE and ?sslmode= are honoured. A URL on the command line is visible to every user of the machine, so prefer
    /// DATABASE_URL where it holds a password.
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,

    /// Format of the data on stdout
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_enum,
        value_name = "FORMAT",
        default_value = "human"
    )]
    pub format: Format,

    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Install the store, or switch its engine
    ///
    /// Creates schema domain_events in one transaction, as the native engine (extension pg_domain_events, where the server
    /// offers it and the role may create it) or as the portable one (plain SQL, needs only the right to create a schema).
    /// Running it again changes nothing; another --engine switches, and keeps events and captures.
    Install(InstallArgs),
    /// Remove the store
    ///
    /// Drops schema domain_events, the extension and the triggers of captured tables. Refused while events exist, unless
    /// --keep-events (the table domain_events.events stays, readable with plain SQL) or --drop-events is given.
    Uninstall(UninstallArgs),
    /// Show what is installed and what waits
    ///
    /// Reads engine, version, events, captures, roles and journalled plans. Exits 0 when all is well and 3 when something is
    /// wrong or pending: not installed, another version, a paused capture, a lost trigger, dead letters, an unfinished plan.
    Status(StatusArgs),
    /// Find triggers that write events
    ///
    /// Reads triggers and functions from the catalogue in a READ ONLY transaction, parses them, and reports one finding per
    /// statement that writes an event: where its version comes from, and which strategy can port it. Exits 3 with findings.
    #[command(after_long_help = crate::judge::codes::help())]
    Scan(ScanArgs),
    /// Write a plan that ports the findings
    ///
    /// Reads as scan does, in a READ ONLY transaction, and writes a file with the steps, the old definitions and fingerprints
    /// of everything that will be replaced. Nothing in the database changes until apply. Exits 3 when there is work to apply.
    Plan(PlanArgs),
    /// Carry out a plan
    ///
    /// Runs the steps of a plan, each whole or not at all, under a lock timeout, and writes each into the journal. Old triggers
    /// are disabled, not dropped, so that rollback can bring them back; --finish drops them. Refused with exit code 4 when the
    /// database is no longer what the plan was made from.
    Apply(ApplyArgs),
    /// Prove that old and new write the same events
    ///
    /// Replays changes through the old and the new triggers on copies in a scratch schema, in a transaction that is rolled
    /// back, and compares what they wrote, up to the differences that the plan declares.
    Verify(VerifyArgs),
    /// Renumber the events of a legacy table whose versions are wrong
    ///
    /// Without FILE, examines the legacy event tables and the store in a READ ONLY transaction: doubled versions, gaps, wrong
    /// order, numbers missing from a sequence. With --out it writes a proposal: per stream the versions before and after, and the
    /// map of every event. `repair FILE` carries it out: each batch of whole streams in one transaction, writers waiting at most
    /// --lock-timeout for a lock, readers never; an interrupted one goes on where it stopped. Events written meanwhile are
    /// numbered after the older ones. The map from old to new version stays in domain_events.repaired_versions, and rollback
    /// undoes the repair by it.
    ///
    /// Refused where a foreign key refers to the version, a trigger or rule guards the events, a column is computed from the
    /// version, or the rows have no key; a trigger that fires on updates and a column that looks like a hash are refused unless
    /// named with --allow. The store itself is append-only and never renumbered. Exits 3 with findings, 4 when the events are no
    /// longer those that the proposal was made from.
    Repair(RepairArgs),
    /// Bring tables and events from MySQL or MariaDB
    ///
    /// Reads a live server, in one snapshot, or a dump of mysqldump, mariadb-dump, phpMyAdmin and others, as a stream of any size.
    /// --tables makes tables with mapped types, loads their rows, then builds keys, foreign keys and sequences. --events loads an
    /// event table into domain_events.events: ids, order, versions and times are kept, in positions below every new event; columns
    /// that the store lacks live on in a table beside it, and a view has the old name and columns. Nobody may write to its streams
    /// until it ends.
    ///
    /// Each batch is one transaction, so that the same command goes on where it was interrupted. A row that cannot be imported goes
    /// to the reject file, with its line and the reason; counts and checksums of the streams are compared in the end. Exits 3 when
    /// rows were rejected.
    Import(ImportArgs),
    /// Turn the capture of a table on or off, hold it for a while, list what is captured
    ///
    /// The functions enable_capture(), disable_capture(), pause_capture() and resume_capture(), called so that nobody waits for
    /// long: the locks are asked for under a lock timeout and again after a pause, and who holds them is named when they were not
    /// to be had (exit 5). A superuser acts as the owner of the table.
    Capture(CaptureArgs),
    /// Undo an applied plan
    ///
    /// Puts the definitions of the journal back, byte for byte, in the reverse order of the steps.
    Rollback(RollbackArgs),
    /// Watch over the store
    ///
    /// Runs the checks of infrastructure, integrity and performance, or only those named. Integrity is checked from where the
    /// last run ended; --full reads every event. Needs role domain_events_reader and works on a standby, where it remembers
    /// nothing. With --format prometheus the metrics are printed in the text format of Prometheus. Exits 3 with findings.
    Monitor(MonitorArgs),
    /// Print events, one a line, and go on with new ones
    ///
    /// The newest ten, or those that --from, --lines or --since say, in an order in which no event is missed and each stream comes by
    /// its versions; --follow goes on from there. With --format json each line is an object with all columns of the event and the
    /// cursor behind it, for --from. Needs role domain_events_reader; works through a pooler in transaction mode too, and on a
    /// standby, which shows events up to where somebody has last read on the primary, or called domain_events.take_tick().
    Tail(TailArgs),
    /// Print a shell completion script
    ///
    /// For example: domain-events completions bash > /etc/bash_completion.d/domain-events
    Completions(CompletionsArgs),
    /// Print the manual page
    ///
    /// The page of the tool goes to stdout; with --out DIR, one page per verb is written there too.
    Man(ManArgs),
}

/// How long a step may wait for its locks.
#[derive(Debug, Clone, Args)]
pub struct LockArgs {
    /// Longest wait for a lock, in milliseconds
    ///
    /// A statement that cannot get its lock within this time is given up, so that nobody queues behind it, and tried again
    /// after a random pause; after ten tries the command ends with exit code 5.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pub lock_timeout: u32,
}

/// Consent.
#[derive(Debug, Clone, Args)]
pub struct ConfirmArgs {
    /// Do not ask
    ///
    /// The question is asked on a terminal only; without a terminal the command runs as if --yes were given.
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write domain-events.1 and one page per verb into this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_flag_has_help() {
        Cli::command().debug_assert();
    }
}
