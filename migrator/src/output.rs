//! Data on stdout, everything else on stderr. Whatever it says passes through here, and nothing of it reaches a terminal that
//! the terminal would obey: see `text`.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::Error;
use crate::text;

/// A message on stderr, where nothing tells yet how this run speaks.
pub fn say(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text::message(message));
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

/// How this run speaks.
#[derive(Debug)]
pub struct Output {
    format: Format,
    color: bool,
    progress: bool,
    document_written: Cell<bool>,
}

impl Output {
    /// Colours and progress only when stderr is a terminal; `NO_COLOR` (any value but the empty one) turns colours off.
    pub fn new(format: Format) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            format,
            color: terminal && !no_color && !dumb,
            progress: terminal && !dumb,
            document_written: Cell::new(false),
        }
    }

    /// The format of the data on stdout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether stdout is to carry one JSON document.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The one JSON document of this run, on stdout.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        let text = text::json(value).map_err(|e| Error::json("the result", e))?;
        self.document_written.set(true);
        self.styled(text)
    }

    /// A line of data on stdout, after an empty one if it begins with a line feed. A line feed in a name makes no other line.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Error> {
        match text.as_ref().strip_prefix('\n') {
            Some(line) => self.styled(format!("\n{}", text::in_line(line))),
            None => self.styled(text::in_line(text.as_ref())),
        }
    }

    /// SQL on stdout, as many lines as it has.
    pub fn sql(&self, text: impl AsRef<str>) -> Result<(), Error> {
        self.styled(text::shown(text.as_ref()))
    }

    /// A line with escape sequences of our own; what of it is not ours has passed through `text::in_line`.
    pub fn styled(&self, text: impl AsRef<str>) -> Result<(), Error> {
        writeln!(std::io::stdout().lock(), "{}", text.as_ref()).map_err(Error::Output)
    }

    /// Lines of data on stdout, each with its line feed, at once; they have left the process when this returns. What of them is not
    /// ours has passed through `text::in_line` or `text::json_text`.
    pub fn lines(&self, text: &str) -> Result<(), Error> {
        self.document_written.set(true);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
    }

    /// A table of data on stdout; as wide as its content when stdout is no terminal.
    pub fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Error> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().copied());
        if std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| text::in_line(cell).into_owned()));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.styled(text.join("\n"))
    }

    /// A message on stderr.
    pub fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text::message(text.as_ref()));
    }

    /// A `warning:` on stderr.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.labelled("warning", AnsiColor::Yellow, text.as_ref());
    }

    /// A `hint:` on stderr.
    pub fn hint(&self, text: impl AsRef<str>) {
        self.labelled("hint", AnsiColor::Cyan, text.as_ref());
    }

    /// `error:`, `detail:` and `hint:` on stderr; in JSON mode also `{"error": ..}` on stdout if nothing was written there.
    pub fn error(&self, error: &Error) {
        let sqlstate = error.sqlstate();
        let suffix = sqlstate.as_ref().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
        self.labelled("error", AnsiColor::Red, &format!("{error}{suffix}"));
        if let Some(detail) = error.detail() {
            self.labelled("detail", AnsiColor::Cyan, &detail);
        }
        if let Some(hint) = error.hint() {
            self.hint(hint);
        }
        if self.is_json() && !self.document_written.get() {
            let document = serde_json::json!({"error": {
                "message": error.to_string(),
                "sqlstate": sqlstate,
                "detail": error.detail(),
                "hint": error.hint(),
                "exit_code": error.exit() as u8,
            }});
            // the error is already on stderr; a closed stdout must not hide it
            let _ = self.json(&document);
        }
    }

    /// A progress bar on stderr, or nothing when stderr is no terminal. `length` 0 makes a spinner.
    pub fn progress(&self, length: u64, message: impl Into<String>) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let bar = if length == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(length) };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if length > 0
            && let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(text::in_line(&message.into()).into_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Whether [`Output::confirm`] puts its question to anybody.
    pub fn asks(&self, yes: bool) -> bool {
        !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks on a terminal; `yes` or the lack of a terminal means consent, since a script has named the verb itself.
    pub fn confirm(&self, question: &str, yes: bool) -> Result<bool, Error> {
        if !self.asks(yes) {
            return Ok(true);
        }
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{} [y/N] ", text::message(question));
        let _ = stderr.flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|e| Error::io("the answer from the terminal", e))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    fn labelled(&self, label: &str, color: AnsiColor, text: &str) {
        let text = text::message(text);
        let mut stderr = std::io::stderr().lock();
        let _ = if self.color {
            let style = Style::new().bold().fg_color(Some(color.into()));
            writeln!(stderr, "{style}{label}:{style:#} {text}")
        } else {
            writeln!(stderr, "{label}: {text}")
        };
    }
}
