//! `tail`.

use std::path::PathBuf;

use clap::Args;

use crate::tail::{Lines, Since, Start, Stream};

/// Arguments of `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Go on with what is committed from now on, until interrupted
    ///
    /// When the server goes away, it is waited for. Ctrl-C and SIGTERM end it with exit code 0.
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with the newest N events, or with `all` [default: 10; all with --since or --stream]
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<Lines>,
    /// Begin behind a cursor of an earlier run, at the beginning, or now
    #[arg(long, value_name = "CURSOR|beginning|now", conflicts_with = "lines")]
    pub from: Option<Start>,
    /// Only events of streams of this type (repeatable)
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only events of this type (repeatable)
    #[arg(long = "event-type", value_name = "TYPE")]
    pub event_types: Vec<String>,
    /// Only events recorded since then: a time such as 2026-11-30T08:15:00Z (UTC without a zone), or how long ago: 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Only the events of one business operation
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Keep the cursor in this file, and begin behind the one that is there
    ///
    /// It is written after each page of events is out, so that a run that was killed is gone on with and nothing is lost; what was
    /// printed last may come twice. Without the file it begins as --from or --lines says, else now. Used by one run at a
    /// time: FILE.lock is locked, and a second run ends with exit code 5.
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,
    /// The events of one stream, by version
    #[arg(long, value_name = "TYPE/ID",
          conflicts_with_all = ["from", "types", "event_types", "since", "correlation_id", "cursor_file"])]
    pub stream: Option<Stream>,
    /// Newest first
    #[arg(long, requires = "stream", conflicts_with = "follow")]
    pub backwards: bool,
    /// Milliseconds between two looks of --follow at what is new
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub interval: u64,
}
