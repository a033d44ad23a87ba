//! `tail`.

use std::io::IsTerminal as _;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::cli::TailArgs;
use crate::context::Context;
use crate::error::{Doing as _, Error, Exit};
use crate::tail::cursor_file::CursorFile;
use crate::tail::query::{self, Filter, Shape, Versions};
use crate::tail::source::Source;
use crate::tail::{Lines, Start, Stream, line, stop};

/// The newest events that are shown where nothing else is said, as of `tail` and of `kubectl logs` with a selector.
const NEWEST: u32 = 10;
/// Events in a page, and bytes that a page should not exceed.
const FIRST_PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;
const PAGE_BYTES: usize = 8 << 20;

/// Runs the verb.
pub async fn run(args: &TailArgs, ctx: &Context) -> Result<Exit, Error> {
    let file = args.cursor_file.as_deref().map(CursorFile::open).transpose()?;
    let kept = file.as_ref().map_or(Ok(None), CursorFile::read)?;
    let asked = if args.follow { Some(stop::when_asked()?) } else { None };
    let work = async {
        let source = Source::open(ctx, args.follow).await?;
        let mut tail = Tail { args, ctx, source, file, count: FIRST_PAGE };
        match &args.stream {
            Some(stream) if args.backwards => tail.backwards(stream).await,
            Some(stream) => tail.stream(stream).await,
            None => tail.all(kept).await,
        }
    };
    match asked {
        None => work.await?,
        Some(asked) => tokio::select! {
            biased;
            () = asked.notified() => {}
            done = work => done?,
        },
    }
    Ok(Exit::Clean)
}

struct Tail<'c> {
    args: &'c TailArgs,
    ctx: &'c Context,
    source: Source<'c>,
    file: Option<CursorFile>,
    // events in the next page
    count: u32,
}

/// Where the events of the store begin.
enum Begin {
    Newest(u32),
    Behind(Option<String>),
}

impl Tail<'_> {
    /// How events are shown: on a terminal as wide as that is now.
    fn shape(&self) -> Shape {
        if self.ctx.out.is_json() {
            return Shape::Json;
        }
        let stdout = std::io::stdout();
        let width = terminal_size::terminal_size_of(&stdout).filter(|_| stdout.is_terminal());
        Shape::Human(width.map(|(width, _)| width.0.into()))
    }

    /// The events of the whole store.
    async fn all(&mut self, kept: Option<String>) -> Result<(), Error> {
        let since = match &self.args.since {
            Some(since) => self.source.value(&query::time(since), "reading the server's clock").await?,
            None => None,
        };
        let filter = Filter {
            types: self.args.types.clone(),
            event_types: self.args.event_types.clone(),
            since,
            correlation_id: self.args.correlation_id.clone(),
        };
        let mut doing = match (&kept, &self.file) {
            (Some(_), Some(file)) => format!("reading on from the cursor in {}", file.shown()),
            _ => "reading events".to_owned(),
        };
        let mut end = None;
        let mut after = match self.begin(kept) {
            Begin::Newest(count) => {
                let cursor = self.newest(count, &filter).await?;
                if !self.args.follow {
                    return Ok(());
                }
                cursor
            }
            Begin::Behind(cursor) => {
                if !self.args.follow {
                    end = self.source.value(&query::latest(), "asking for the newest cursor").await?;
                }
                cursor
            }
        };
        loop {
            let shape = self.shape();
            let message = query::page(after.as_deref(), self.count, &filter, shape);
            let rows = self.source.rows(&message, &doing).await?;
            let cursor = rows.last().map(|row| row.try_get::<String, _>(0)).transpose().doing(&*doing)?;
            self.print(&rows, shape)?;
            self.keep(cursor.as_deref())?;
            "reading events".clone_into(&mut doing);
            let has_read_all = cursor.as_deref().is_none_or(query::is_whole);
            if has_read_all && self.args.follow {
                tokio::time::sleep(Duration::from_millis(self.args.interval)).await;
            } else if has_read_all && self.is_end(cursor.as_deref(), end.as_deref()).await? {
                return Ok(());
            }
            after = cursor.or(after);
        }
    }

    fn begin(&self, kept: Option<String>) -> Begin {
        match (kept, &self.args.from, self.args.lines) {
            (Some(cursor), ..) => Begin::Behind(Some(cursor)),
            (None, Some(Start::Behind(cursor)), _) => Begin::Behind(Some(cursor.clone())),
            (None, Some(Start::Beginning), _) | (None, None, Some(Lines::All)) => Begin::Behind(None),
            (None, Some(Start::Now), _) => Begin::Newest(0),
            (None, None, Some(Lines::Newest(count))) => Begin::Newest(count),
            (None, None, None) if self.args.since.is_some() => Begin::Behind(None),
            (None, None, None) if self.file.is_some() => Begin::Newest(0),
            (None, None, None) => Begin::Newest(NEWEST),
        }
    }

    /// Prints the newest events; the cursor behind them.
    async fn newest(&mut self, count: u32, filter: &Filter) -> Result<Option<String>, Error> {
        let doing = "reading the newest events";
        let shape = self.shape();
        let rows = self.source.rows_of_tick(&query::newest(count, filter, shape), doing).await?;
        let Some((first, events)) = rows.split_first() else { return Ok(None) };
        let cursor: Option<String> = first.try_get(0).doing(doing)?;
        let mut text = String::new();
        for (left, row) in events.iter().enumerate().rev() {
            // whoever goes on from a line has seen those before it, and not those behind it
            add(row, shape, Some(cursor.as_deref().filter(|_| left == 0)), &mut text)?;
        }
        if !text.is_empty() {
            self.ctx.out.lines(&text)?;
        }
        self.keep(cursor.as_deref())?;
        Ok(cursor)
    }

    /// Whether nothing comes any more, or only what is newer than the end.
    async fn is_end(&mut self, cursor: Option<&str>, end: Option<&str>) -> Result<bool, Error> {
        let (Some(cursor), Some(end)) = (cursor, end) else { return Ok(true) };
        let before = self.source.value(&query::is_before(cursor, end), "comparing cursors").await?;
        Ok(before.as_deref() == Some("false"))
    }

    /// The versions of a stream, from the first or from the newest few.
    async fn stream(&mut self, stream: &Stream) -> Result<(), Error> {
        let doing = "reading a stream";
        let mut next = 1;
        if let Some(Lines::Newest(count)) = self.args.lines {
            let message = query::stream(stream, Versions::Down(None), 1, Shape::Human(Some(0)));
            let rows = self.source.rows(&message, doing).await?;
            let newest = rows.first().map_or(Ok(0), version)?;
            next = (newest - i64::from(count)).max(0) + 1;
        }
        loop {
            let (count, shape) = (self.count, self.shape());
            let rows = self.source.rows(&query::stream(stream, Versions::Up(next), count, shape), doing).await?;
            self.print(&rows, shape)?;
            if let Some(last) = rows.last() {
                next = version(last)? + 1;
            }
            if rows.len() < count as usize {
                if !self.args.follow {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(self.args.interval)).await;
            }
        }
    }

    async fn backwards(&mut self, stream: &Stream) -> Result<(), Error> {
        let mut left = match self.args.lines {
            Some(Lines::Newest(count)) => count,
            Some(Lines::All) | None => u32::MAX,
        };
        let mut from = None;
        loop {
            let (count, shape) = (self.count.min(left), self.shape());
            let message = query::stream(stream, Versions::Down(from), count, shape);
            let rows = self.source.rows(&message, "reading a stream").await?;
            self.print(&rows, shape)?;
            left -= count;
            from = rows.last().map(version).transpose()?.map(|last| last - 1);
            if rows.len() < count as usize || left == 0 || from == Some(0) {
                return Ok(());
            }
        }
    }

    /// Prints a page.
    fn print(&mut self, rows: &[PgRow], shape: Shape) -> Result<(), Error> {
        let cursor = if self.args.stream.is_some() { Some(None) } else { None };
        let (mut text, mut events) = (String::new(), 0);
        for row in rows {
            // a page without any event is a cursor alone
            if row.try_get::<Option<&str>, _>(1).doing("reading events")?.is_some() {
                add(row, shape, cursor, &mut text)?;
                events += 1;
            }
        }
        if events == 0 {
            return Ok(());
        }
        let fitting = PAGE_BYTES / (text.len() / events).max(1);
        self.count = u32::try_from(fitting).unwrap_or(LONGEST_PAGE).clamp(1, LONGEST_PAGE);
        self.ctx.out.lines(&text)
    }

    /// Keeps the cursor behind what has been printed.
    fn keep(&self, cursor: Option<&str>) -> Result<(), Error> {
        match (&self.file, cursor) {
            (Some(file), Some(cursor)) => file.write(cursor),
            _ => Ok(()),
        }
    }
}

/// Adds an event to a text, with a cursor where its row has none of its own.
fn add(row: &PgRow, shape: Shape, cursor: Option<Option<&str>>, text: &mut String) -> Result<(), Error> {
    let line = match (shape, cursor) {
        (Shape::Human(width), _) => line::human(row, width)?,
        (Shape::Json, None) => line::json(row)?,
        (Shape::Json, Some(cursor)) => line::with_cursor(&line::json(row)?, cursor)?,
    };
    text.push_str(&line);
    text.push('\n');
    Ok(())
}

fn version(row: &PgRow) -> Result<i64, Error> {
    let text: String = row.try_get(1).doing("reading a version")?;
    text.parse().map_err(|_| Error::refused("22023", format!("{text} is no version"), ""))
}
