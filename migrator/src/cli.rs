//! The command line: clap structures only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::import::encode::ZeroDates;

const LONG_ABOUT: &str = "\
Finds the triggers of a legacy PostgreSQL database that write domain events with a wrong version (hardcoded, or max()+1 \
under no lock), and ports them to pg_domain_events with a plan that can be rolled back.

The usual order: scan, install, plan, apply, verify; rollback undoes a plan, apply --finish completes it.

Data goes to stdout; progress, messages and errors go to stderr. With --format json, stdout carries exactly one JSON document.";

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

/// How data is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and text
    Human,
    /// One JSON document
    Json,
    /// The text format of Prometheus; `monitor` alone has it
    #[value(hide = true)]
    Prometheus,
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
    /// Print a shell completion script
    ///
    /// For example: domain-events completions bash > /etc/bash_completion.d/domain-events
    Completions(CompletionsArgs),
    /// Print the manual page
    ///
    /// The page of the tool goes to stdout; with --out DIR, one page per verb is written there too.
    Man(ManArgs),
}

/// Which implementation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The extension pg_domain_events: hot paths in Rust
    Native,
    /// Plain SQL and PL/pgSQL: for servers where no library can be installed
    Portable,
}

impl Engine {
    /// The name as `domain_events.engine()` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Portable => "portable",
        }
    }
}

/// An index of the store that not every application needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Index {
    /// correlation_id: the events of one business operation
    Correlation,
    /// recorded_at (BRIN): the events of a time
    Time,
    /// event_type: the events of one type
    Type,
}

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

/// Arguments of `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Which engine [default: native if the server offers it and the role may create it, else portable]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Build indexes that not every application needs, separated by commas
    ///
    /// With CREATE INDEX CONCURRENTLY: nobody waits. What is there is left alone, so that it can be asked for at any time later.
    /// A dump of the native engine does not hold them: run it again after a restore.
    #[arg(long = "index", value_enum, value_name = "INDEX", value_delimiter = ',')]
    pub indexes: Vec<Index>,
    /// Print the SQL and run nothing
    ///
    /// Looks at the database in a READ ONLY transaction. Exits 3 when there is something to install, 0 otherwise.
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Keep table domain_events.events with its rows
    ///
    /// Everything else goes. The table stays append-only; its rows are read with plain SQL. The way back is install: it takes
    /// the kept events over, and their versions go on.
    #[arg(long, conflicts_with = "drop_events")]
    pub keep_events: bool,
    /// Drop the events too, for ever
    #[arg(long)]
    pub drop_events: bool,
    /// Print the SQL and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Read this instead of the database
    ///
    /// A file, such as the output of pg_dump --schema-only, mysqldump or mariadb-dump; a directory of migrations, .sql or .php,
    /// folded in the order in which their tool runs them, without what takes migrations back; or the URL of a database:
    /// postgres://.. or mysql://USER@HOST/DATABASE (?socket=PATH too). A statement that cannot be read is reported with its line
    /// and does not stop the rest; what files do not tell is said. Triggers of MySQL and MariaDB are judged as they would be in
    /// PostgreSQL.
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

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The repair to carry out, as written with --out
    #[arg(value_name = "FILE", conflicts_with_all = ["out", "tables", "type_column", "id_column", "version_column", "order_by", "reorder", "allow"])]
    pub file: Option<PathBuf>,
    /// Write a proposal to FILE
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only this event table (repeatable) [default: every one that is registered or that scan finds, and the store]
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Its column with the aggregate's type [default: as scan finds it]
    #[arg(long, value_name = "COLUMN")]
    pub type_column: Option<String>,
    /// Its column with the aggregate's id; without --type-column the id alone names a stream
    #[arg(long, value_name = "COLUMN")]
    pub id_column: Option<String>,
    /// Its column with the version
    #[arg(long, value_name = "COLUMN")]
    pub version_column: Option<String>,
    /// The order in which its events happened (repeatable) [default: the column that a sequence counts, else the time]
    #[arg(long, value_name = "COLUMN")]
    pub order_by: Vec<String>,
    /// Renumber also streams that only contradict that order
    #[arg(long)]
    pub reorder: bool,
    /// Renumber although this trigger or column speaks against it (repeatable)
    #[arg(long, value_name = "NAME")]
    pub allow: Vec<String>,
    /// Events in one transaction; a longer stream is one by itself
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_size: u32,
    /// Build the missing unique key over stream and version, with CREATE UNIQUE INDEX CONCURRENTLY
    ///
    /// Writers that still hardcode a version fail from then on: port them at once, with plan and apply.
    #[arg(long, conflicts_with = "out")]
    pub add_key: bool,
    /// Set the store's sequences forward, where they are behind: that of the positions, and those that number its own rows
    ///
    /// After a restore, a switch-over or a setval() every write fails or becomes a dead letter until then (sequence_behind). It waits for
    /// the transactions that have drawn positions, and is never set back.
    #[arg(long, conflicts_with_all = ["file", "out", "tables", "add_key"])]
    pub sequence: bool,
    /// Compare FILE with the database in a READ ONLY transaction, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The source: mysql://USER:PASSWORD@HOST:PORT/DATABASE (?socket= for a socket), or the file of a dump
    #[arg(long, value_name = "URL|FILE")]
    pub from: String,
    /// Tables to make and load, separated by commas
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Make the tables, leave their rows behind
    #[arg(long, requires = "tables")]
    pub no_rows: bool,
    /// Build primary and unique keys of tables before their rows: slower, and rows that contradict them are rejected
    #[arg(long, requires = "tables")]
    pub keys_first: bool,
    /// The table whose rows become events of the store
    #[arg(long, value_name = "TABLE")]
    pub events: Option<String>,
    /// What a column of the event table is in the store (repeatable) [default: by its name]
    ///
    /// STORE is aggregate_type, aggregate_id, aggregate_version, event_id, event_type, event_name, event_data (several columns become
    /// its keys), metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, or - for none of them.
    #[arg(long, value_name = "COLUMN=STORE", value_parser = parse_mapping, requires = "events")]
    pub map: Vec<(String, String)>,
    /// Type of every stream, where no column tells it
    #[arg(long = "type", value_name = "NAME", requires = "events")]
    pub aggregate_type: Option<String>,
    /// Number the versions of every stream 1, 2, 3 .. in the order of the rows
    ///
    /// Without it, wrong versions are reported and nothing is imported. An event that is rejected leaves no gap with it; without it,
    /// the later events of its stream are rejected too.
    #[arg(long, requires = "events")]
    pub repair_versions: bool,
    /// Leave behind what the store has no column for, and make no view of the old name
    #[arg(long, requires = "events")]
    pub no_view: bool,
    /// Schema of the tables and the view
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
    /// Rows in one transaction
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_size: u32,
    /// Where rejected rows go, one JSON object a line; with several tables, one file each
    #[arg(long, value_name = "FILE", default_value = "rejects.jsonl")]
    pub rejects: PathBuf,
    /// What becomes of dates like 0000-00-00
    #[arg(long, value_enum, value_name = "WHAT", default_value = "reject")]
    pub zero_dates: ZeroDates,
    /// Time zone of DATETIME values that become times of events, and of TIMESTAMP values in a dump that names none
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
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

/// Arguments of `capture`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct CaptureArgs {
    /// What to do
    #[command(subcommand)]
    pub action: CaptureAction,
}

/// What `capture` does.
#[derive(Debug, Subcommand)]
pub enum CaptureAction {
    /// From now on every change of the table is an event
    ///
    /// Only TABLE is needed: the type comes from its name, the id from its primary key, and all columns are captured. Writers wait
    /// at most --lock-timeout for the triggers; readers do not wait. Needs the role domain_events_admin and ownership of the table.
    Enable(Box<CaptureEnableArgs>),
    /// End the capture of a table, and forget how it was configured; its events stay
    ///
    /// Dropping the triggers locks out readers too, for at most --lock-timeout; --keep-triggers only disables them.
    Disable(CaptureDisableArgs),
    /// Stop making events for a table until resume
    ///
    /// For emergencies: it takes no lock on the table and waits for no writer. That it happened is an event.
    Pause(CaptureTableArgs),
    /// Make events again
    ///
    /// Waits for the transactions that write the table, at most --lock-timeout at a time. The next event of each stream carries
    /// the whole row.
    Resume(CaptureTableArgs),
    /// Show the captured tables and how each is captured
    List(CaptureListArgs),
}

/// Arguments of `capture enable`, named as those of `domain_events.enable_capture()`.
#[derive(Debug, Args)]
pub struct CaptureEnableArgs {
    /// The table: NAME where no other schema has one of that name, or SCHEMA.NAME
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Type of the table's streams [default: the singular of its name]
    #[arg(long, value_name = "NAME")]
    pub aggregate_type: Option<String>,
    /// Columns that identify an aggregate, separated by commas or repeated [default: the primary key]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub aggregate_id: Vec<String>,
    /// The only columns to capture [default: all]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "exclude")]
    pub include: Vec<String>,
    /// Columns that appear in no event and make none
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Columns whose values appear nowhere; that they changed does
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub redact: Vec<String>,
    /// Names for operations and changed columns, as JSON
    ///
    /// For example: [{"on":"update","when_changed":["email"],"type":"UserEmailChanged"}]
    #[arg(long, value_name = "JSON")]
    pub event_types: Option<String>,
    /// UserCreated or user.created
    #[arg(long, value_name = "STYLE", value_parser = ["pascal", "dotted"], default_value = "pascal", hide_possible_values = true)]
    pub event_name_style: String,
    /// What an update tells: the changed columns, or whole rows
    #[arg(long, value_name = "WHAT", value_parser = ["changes", "full"], default_value = "changes")]
    pub payload: String,
    /// What becomes of an event that cannot be stored: kept as a dead letter, or the writer's statement fails
    #[arg(long, value_name = "WHAT", value_parser = ["dead_letter", "abort"], default_value = "dead_letter")]
    pub on_failure: String,
    /// Rows that are there already: told with their first change, or now
    ///
    /// now stores an event such as OrderBaselined for each of them, in batches after the triggers are there, while writers go on. When it is
    /// interrupted, domain_events.baseline_capture() goes on.
    #[arg(long, value_name = "WHEN", value_parser = ["lazy", "now"], default_value = "lazy")]
    pub baseline: String,
    /// Whether rows that replication applies are captured too
    #[arg(long, value_name = "WHICH", value_parser = ["origin", "always"], default_value = "origin")]
    pub replication: String,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture disable`.
#[derive(Debug, Args)]
pub struct CaptureDisableArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Disable the triggers, drop them when the table is captured again or the store uninstalled: readers never wait
    #[arg(long)]
    pub keep_triggers: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture pause` and `capture resume`.
#[derive(Debug, Args)]
pub struct CaptureTableArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture list`.
#[derive(Debug, Args)]
pub struct CaptureListArgs {
    /// Only this table
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
}

/// From which severity on a finding makes the exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings and errors
    Warn,
    /// Errors only
    Error,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Check versions, order and origin of the events
    #[arg(long)]
    pub check_integrity: bool,
    /// Check size, growth, streams, payloads, indexes, vacuum and open transactions
    #[arg(long)]
    pub check_performance: bool,
    /// Check functions, triggers, privileges, engine, captures and ported triggers
    #[arg(long)]
    pub check_infrastructure: bool,
    /// Only streams of this type; its events are then read in full
    #[arg(long, value_name = "TYPE")]
    pub aggregate_type: Option<String>,
    /// Read every event, not only the new ones, and compare the rows of captured tables with their streams
    ///
    /// Of each table up to 100,000 rows and streams are compared, as its owner: the threshold checked_rows.
    #[arg(long)]
    pub full: bool,
    /// Show all statistics
    #[arg(long)]
    pub stats: bool,
    /// Show the dead letters: events that could not be stored
    #[arg(long)]
    pub failures: bool,
    /// Show projections, where the store has them
    #[arg(long)]
    pub projections: bool,
    /// Write new findings into domain_events.alerts and notify channel domain_events_alerts
    ///
    /// Each finding once, when it appears; when it is gone its alert is resolved. Not possible on a standby.
    #[arg(long)]
    pub alert: bool,
    /// A live screen: rates, lag, newest events
    #[arg(long, conflicts_with_all = ["full", "stats", "failures", "projections", "alert"])]
    pub watch: bool,
    /// Seconds between two refreshes of --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub interval: u32,
    /// End --watch after so many refreshes [default: never]
    #[arg(long, value_name = "COUNT", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Which findings make exit code 3
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "warn")]
    pub fail_on: FailOn,
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

fn parse_mapping(text: &str) -> Result<(String, String), String> {
    let (column, store) = text.split_once('=').ok_or("expected COLUMN=STORE, for example user_id=caused_by")?;
    if column.is_empty() || store.is_empty() {
        return Err("a column's name is empty".into());
    }
    Ok((column.to_owned(), store.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_flag_has_help() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_strategy_override_is_parsed() {
        assert_eq!(parse_strategy("public.users.log=shim"), Ok(("public.users.log".into(), Strategy::Shim)));
        assert!(parse_strategy("log").is_err());
        assert!(parse_strategy("=shim").is_err());
        assert!(parse_strategy("log=manual").is_err());
    }
}
