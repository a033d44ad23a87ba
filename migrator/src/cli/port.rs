//! `scan`, `plan`, `apply`, `verify`, `rollback`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ConfirmArgs, LockArgs};

/// How a strategy is named on the command line and in plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// A BEFORE INSERT trigger on the legacy event table assigns the version
    Shim,
    /// The same function, with the version taken from next_aggregate_version
    Rewrite,
    /// The generic trigger; events go to domain_events.events
    Capture,
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Read this instead of the database
    ///
    /// A file, such as the output of pg_dump --schema-only, mysqldump or mariadb-dump; a directory of migrations, .sql, Ruby,
    /// Python, JavaScript, TypeScript, PHP or Prisma, folded in the order in which their tool runs them, without what takes
    /// migrations back; or the URL of a database: postgres://.. or mysql://USER@HOST/DATABASE (?socket=PATH too). A statement
    /// that cannot be read is reported with its line and does not stop the rest; what files do not tell is said. Triggers of
    /// MySQL and MariaDB are judged as they would be in PostgreSQL.
    #[arg(long, value_name = "FILE|DIR|URL")]
    pub from: Option<String>,
    /// Whose SQL the files hold [default: what they look like]
    #[arg(long, value_enum, value_name = "DIALECT", requires = "from")]
    pub dialect: Option<Dialect>,
    /// Say what the rows of a table are (repeatable)
    ///
    /// Answers the question of a finding EV109: events, one for each change of something else, or entity, things of their own
    /// whose number means something, such as a rank.
    #[arg(long = "treat", value_name = "TABLE=events|entity", value_parser = parse_treat)]
    pub treats: Vec<(String, Treat)>,
    /// Tell every place of each finding
    ///
    /// Without it, what is found in many places is summed up with examples. --format json always tells all.
    #[arg(long, short = 'v')]
    pub verbose: bool,
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Treat {
    /// Each tells of a change of something else
    Events,
    /// Each is a thing of its own
    Entity,
}

/// Whose SQL a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// PostgreSQL
    Postgres,
    /// MySQL and MariaDB
    Mysql,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Where to write the plan
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
    /// Move triggers and functions of MySQL or MariaDB into the database
    ///
    /// A dump, a directory of migrations or a mysql:// URL, as scan reads it. The plan creates in the database what was
    /// translated, and tells for each trigger and function what is not as it was, what was not translated and why, and which
    /// session variables became settings. The tables must be there: import makes them.
    #[arg(long, value_name = "FILE|DIR|URL", conflicts_with = "revise")]
    pub from: Option<String>,
    /// Whose SQL the files hold [default: what they look like]
    #[arg(long, value_enum, value_name = "DIALECT", requires = "from")]
    pub dialect: Option<Dialect>,
    /// Take the decisions of an edited plan
    ///
    /// Reads strategies and statements from FILE, and makes the SQL anew from the database as it is now.
    #[arg(long, value_name = "FILE")]
    pub revise: Option<PathBuf>,
    /// Move the events of the event tables into the store
    ///
    /// Of TABLE (repeatable), or of every versioned event table without it. The table's name becomes a view with the same columns:
    /// old readers, old writers with whatever version they give, and updates of columns that the store lacks (is_processed) go
    /// on. The plan says which column becomes what; the rows are moved by apply, in batches and under traffic.
    #[arg(long, value_name = "TABLE", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    pub adopt: Vec<String>,
    /// Choose the strategy of one trigger (repeatable)
    ///
    /// TRIGGER is the trigger's name, or TABLE.TRIGGER where the name is not unique; STRATEGY is shim, rewrite or capture.
    #[arg(long = "strategy", value_name = "TRIGGER=STRATEGY", value_parser = parse_strategy)]
    pub strategies: Vec<(String, Strategy)>,
    /// Say what the rows of a table are (repeatable)
    ///
    /// Answers the question of a finding EV109: events, one for each change of something else, or entity, things of their own
    /// whose number means something. The plan keeps the answer.
    #[arg(long = "treat", value_name = "TABLE=events|entity", value_parser = parse_treat)]
    pub treats: Vec<(String, Treat)>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan, as written by `domain-events plan`; with --finish also its id, from the journal
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Drop the old triggers that apply has disabled, or what a plan that was rolled back had made
    ///
    /// Takes ACCESS EXCLUSIVE on each table for a moment: do it in a quiet one. After it, rollback creates them anew.
    /// Of an adopted table it drops the payload that the store holds too; that plan cannot be rolled back any more.
    #[arg(long)]
    pub finish: bool,
    /// Check the plan against the database and print the steps, run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The plan to prove [default: every applied plan of the journal]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Run it on this database
    ///
    /// A copy of the database, with its schema and the event store. There the changes are replayed on the tables themselves, so
    /// that functions can be proven whose tables cannot be told from their text (EXECUTE, other languages); without it they are
    /// reported as unverified. The transaction is rolled back there too.
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// Replay recorded changes too
    ///
    /// A file with statements as the application runs them, with their values: INSERT, UPDATE, DELETE, MERGE, TRUNCATE, and SET for
    /// the settings that the trigger reads. They are replayed in their order before the changes that the tool makes up. Without
    /// --against they find the first 10,000 rows of the table by its key.
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The plan to undo [default: the newest one applied]
    #[arg(value_name = "PLAN-ID")]
    pub plan_id: Option<String>,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

fn parse_strategy(text: &str) -> Result<(String, Strategy), String> {
    let (trigger, strategy) =
        text.rsplit_once('=').ok_or("expected TRIGGER=STRATEGY, for example log_user_changes=shim")?;
    if trigger.is_empty() {
        return Err("the trigger's name is empty".into());
    }
    Ok((trigger.to_owned(), Strategy::from_str(strategy, true)?))
}

fn parse_treat(text: &str) -> Result<(String, Treat), String> {
    let (table, treat) = text.rsplit_once('=').ok_or("expected TABLE=events or TABLE=entity")?;
    if table.is_empty() {
        return Err("the table's name is empty".into());
    }
    Ok((table.to_owned(), Treat::from_str(treat, true)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_override_is_parsed() {
        assert_eq!(parse_strategy("public.users.log=shim"), Ok(("public.users.log".into(), Strategy::Shim)));
        assert!(parse_strategy("log").is_err());
        assert!(parse_strategy("=shim").is_err());
        assert!(parse_strategy("log=manual").is_err());
    }
}
