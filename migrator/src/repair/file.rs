//! A repair as a file: a commented head that a person can review, and below it one line per event of every stream that is
//! renumbered. Written and read without ever holding the lines in memory.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::map::{Entry, Renumbering};
use super::{PREFIX, Subject};
use crate::error::Error;
use crate::files::{self, Fresh, Readers};
use crate::text::{is_unsafe, json_line};

const FORMAT: u32 = 1;
/// The head has no longer line.
const LONGEST_LINE: u64 = 1024 * 1024;
/// What separates the head from the map.
const MARKER: &str =
    "# The map: [table, batch, aggregate type, aggregate id, key of the row, old version, new version]";
/// Streams shown in the head; the map has them all.
const SHOWN: usize = 200;
/// Versions shown of each.
const SHOWN_VERSIONS: i64 = 40;

/// The head of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file's format.
    pub format: u32,
    /// "repair".
    pub kind: String,
    /// Its id, in the file and in the journal.
    pub plan_id: String,
    /// Version of the tool that made it.
    pub tool: String,
    /// Name of the database.
    pub database: String,
    /// Digest of the rest of the head and of the map.
    pub content: String,
    /// The tables.
    #[serde(default, rename = "table")]
    pub tables: Vec<Table>,
}

/// One table to repair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The table and its columns.
    #[serde(flatten)]
    pub subject: Subject,
    /// Triggers and columns that speak against it and were allowed by name.
    #[serde(default)]
    pub allow: Vec<String>,
    /// md5 of its columns and unique keys.
    pub fingerprint: String,
    /// Its owner.
    pub owner: String,
    /// Streams that are renumbered.
    pub renumbered_streams: u64,
    /// Their events.
    pub events: u64,
    /// Those of them that get another version.
    pub renumbered_events: u64,
    /// Transactions.
    pub batches: u32,
    /// Some of the streams.
    #[serde(default, rename = "stream")]
    pub streams: Vec<Stream>,
}

/// A stream before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Type and id.
    pub stream: String,
    /// Its versions in the order of events, cut off after forty.
    pub before: String,
    /// Its versions afterwards.
    pub after: String,
}

/// A repair that was read from its file.
#[derive(Debug)]
pub struct Repair {
    /// The head.
    pub header: Header,
    path: PathBuf,
}

/// Writes the repair of these tables, read in the caller's READ ONLY transaction. `tables` carry no counts yet.
pub async fn write(
    conn: &mut PgConnection,
    mut header: Header,
    reorder: bool,
    batch_size: u32,
    path: &Path,
    bar: &indicatif::ProgressBar,
) -> Result<Header, Error> {
    let mut file = Fresh::begin(path, WHAT, Readers::Owner, is_ours)?;
    // the map comes first, for the head counts it; two of them at a time would only be an accident
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.map", std::process::id()));
    let part = PathBuf::from(part);
    let result = async {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let mut out = BufWriter::new(created.map_err(|e| failed(&part, e))?);
        for (n, table) in header.tables.iter_mut().enumerate() {
            let rows = Renumbering::open(conn, &table.subject, reorder).await?;
            let mut batch_events = 0;
            let mut current = None;
            loop {
                let chunk = rows.next(conn).await?;
                if chunk.is_empty() {
                    break;
                }
                bar.inc(chunk.len() as u64);
                for (kind, id, key, old, new, events) in chunk {
                    if current.as_ref() != Some(&(kind.clone(), id.clone())) {
                        current = Some((kind.clone(), id.clone()));
                        if table.batches == 0 || batch_events + events > i64::from(batch_size) {
                            (table.batches, batch_events) = (table.batches + 1, 0);
                        }
                        batch_events += events;
                        table.renumbered_streams += 1;
                        if table.streams.len() < SHOWN {
                            let after = if events == 1 { "1".into() } else { format!("1 to {events}") };
                            let stream = super::examine::stream(kind.as_deref(), &id);
                            table.streams.push(Stream { stream, before: String::new(), after });
                        }
                    }
                    table.events += 1;
                    table.renumbered_events += u64::from(old.as_deref() != Some(new.to_string().as_str()));
                    if table.renumbered_streams == table.streams.len() as u64
                        && let Some(stream) = table.streams.last_mut()
                    {
                        before(&mut stream.before, old.as_deref(), new);
                    }
                    let entry = Entry { table: n, batch: table.batches, kind, id, key, old, new };
                    let line = json_line(&entry.line()).map_err(|e| Error::json("the map", e))?;
                    out.write_all(line.as_bytes()).map_err(|e| failed(&part, e))?;
                    out.write_all(b"\n").map_err(|e| failed(&part, e))?;
                }
            }
            rows.close(conn).await?;
        }
        out.flush().map_err(|e| failed(&part, e))?;
        header.content = digest(&head(&header), File::open(&part).map_err(|e| failed(&part, e))?, &part)?;
        let mut map = File::open(&part).map_err(|e| failed(&part, e))?;
        let text = head(&header).replacen("content = \"\"", &format!("content = {}", json!(header.content)), 1);
        file.write_all(text.as_bytes()).map_err(|e| failed(path, e))?;
        std::io::copy(&mut map, &mut file).map_err(|e| failed(path, e))?;
        file.finish()
    }
    .await;
    std::fs::remove_file(&part).ok();
    result.map(|()| header)
}

const WHAT: &str = "a repair";

/// Whether a file begins as `head` begins it.
fn is_ours(head: &str) -> bool {
    head.starts_with("# A repair of domain-events ")
}

/// Whether a repair can be written there: an earlier one is replaced, anything else is not.
pub fn check_out(path: &Path) -> Result<(), Error> {
    files::check(path, WHAT, is_ours).map(drop)
}

/// Appends a version to those of its stream, as long as a person would read them.
fn before(text: &mut String, old: Option<&str>, place: i64) {
    if place <= SHOWN_VERSIONS {
        text.push_str(if place == 1 { "" } else { " " });
        text.push_str(old.unwrap_or("null"));
    } else if place == SHOWN_VERSIONS + 1 {
        text.push_str(" ..");
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("the repair {}", files::shown(path)), error)
}

/// Reads the head, and the map once for its digest.
pub fn open(path: &Path) -> Result<Repair, Error> {
    files::expect_regular(path)?;
    let mut file = BufReader::new(File::open(path).map_err(|e| failed(path, e))?);
    let (text, found) = read_head(&mut file, path)?;
    let not_one = |why: &str| {
        Error::usage(
            format!("{} is not a repair: {why}", path.display()),
            "Write one with `domain-events repair --out FILE`.",
        )
    };
    if !found {
        return Err(not_one("it has no map"));
    }
    let header: Header = toml::from_str(&text).map_err(|e| not_one(e.to_string().trim_end()))?;
    if header.kind != "repair" || header.format != FORMAT || !header.plan_id.starts_with(PREFIX) {
        return Err(not_one(&format!("its format is {} {}", header.kind, header.format)));
    }
    let blank = text.replacen(&format!("content = {}", json!(header.content)), "content = \"\"", 1);
    if digest(&blank, file, path)? != header.content {
        return Err(Error::usage(
            format!("{} was edited by hand", path.display()),
            "Make it again with other arguments: `domain-events repair --table TABLE --order-by COLUMN --out FILE`.",
        ));
    }
    Ok(Repair { header, path: path.to_owned() })
}

fn read_head(file: &mut impl BufRead, path: &Path) -> Result<(String, bool), Error> {
    let mut text = String::new();
    loop {
        let start = text.len();
        // a line of any length is no head of ours
        let read = file.by_ref().take(LONGEST_LINE).read_line(&mut text).map_err(|e| failed(path, e))?;
        if read == 0 || text.len() as u64 > 64 * LONGEST_LINE {
            return Ok((text, false));
        }
        if text[start..].starts_with(MARKER) {
            return Ok((text, true));
        }
    }
}

fn digest(head: &str, mut map: impl Read, path: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(head.as_bytes());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = map.read(&mut buffer).map_err(|e| failed(path, e))?;
        if n == 0 {
            return Ok(hash.finalize().iter().take(12).map(|b| format!("{b:02x}")).collect());
        }
        hash.update(&buffer[..n]);
    }
}

impl Repair {
    /// The lines of the map, `size` at a time.
    pub fn for_chunks(&self, size: usize) -> Result<impl Iterator<Item = Result<Vec<Entry>, Error>>, Error> {
        let mut file = BufReader::new(File::open(&self.path).map_err(|e| failed(&self.path, e))?);
        read_head(&mut file, &self.path)?;
        let mut lines = file.lines();
        let path = self.path.clone();
        Ok(std::iter::from_fn(move || {
            let mut chunk = vec![];
            while chunk.len() < size {
                match lines.next() {
                    None => break,
                    Some(Err(error)) => return Some(Err(failed(&path, error))),
                    Some(Ok(line)) => match Entry::parse(&line) {
                        Ok(entry) => chunk.push(entry),
                        Err(error) => return Some(Err(error)),
                    },
                }
            }
            (!chunk.is_empty()).then_some(Ok(chunk))
        }))
    }
}

/// The head's text with an empty digest; strings and lists of JSON are strings and lists of TOML.
fn head(header: &Header) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = compose(&mut out, header);
    // what a string of JSON may hold and a string of TOML may not, and what a terminal would obey
    let escape = |c: char| if is_unsafe(c) { format!("\\U{:08X}", c as u32) } else { c.to_string() };
    out.chars().map(escape).collect()
}

fn compose(out: &mut String, header: &Header) -> std::fmt::Result {
    writeln!(out, "# A repair of domain-events {} for database {}.", header.tool, json!(header.database))?;
    out.push_str(
        "#
# It gives every event of the streams below the version 1, 2, 3 .. in the order that `order_by` names, batch by batch, and
# keeps the map from old to new version in domain_events.repaired_versions.
#
# Review it, then:    domain-events repair FILE --dry-run
#                     domain-events repair FILE
# To take it back:    domain-events rollback PLAN-ID
#
# Do not edit it: other streams or another order come from other arguments of `domain-events repair --out FILE`.

",
    );
    writeln!(out, "format = {}\nkind = \"repair\"", header.format)?;
    for (name, value) in [("plan_id", &header.plan_id), ("tool", &header.tool), ("database", &header.database)] {
        writeln!(out, "{name} = {}", json!(value))?;
    }
    out.push_str("# digest of the rest of this file\ncontent = \"\"\n");
    for table in &header.tables {
        let subject = &table.subject;
        writeln!(out, "\n[[table]]\ntable = {}", json!(subject.table))?;
        if let Some(column) = &subject.type_column {
            writeln!(out, "type_column = {}", json!(column))?;
        }
        writeln!(out, "id_columns = {}", json!(subject.id_columns))?;
        writeln!(
            out,
            "version_column = {}\nversion_type = {}",
            json!(subject.version_column),
            json!(subject.version_type)
        )?;
        out.push_str("# what names an event\n");
        writeln!(out, "key = {}", json!(subject.key))?;
        out.push_str("# the order in which the events happened\n");
        writeln!(out, "order_by = {}", json!(subject.order_by))?;
        let optional =
            [("time_column", &subject.time_column), ("counter", &subject.counter), ("unique_key", &subject.unique_key)];
        for (name, value) in optional {
            if let Some(value) = value {
                writeln!(out, "{name} = {}", json!(value))?;
            }
        }
        writeln!(out, "registered = {}\nallow = {}", subject.registered, json!(table.allow))?;
        writeln!(out, "fingerprint = {}\nowner = {}", json!(table.fingerprint), json!(table.owner))?;
        writeln!(out, "renumbered_streams = {}\nevents = {}", table.renumbered_streams, table.events)?;
        writeln!(out, "renumbered_events = {}\nbatches = {}", table.renumbered_events, table.batches)?;
        if table.renumbered_streams > table.streams.len() as u64 {
            writeln!(
                out,
                "# the first {} of {} streams; the map below has all",
                table.streams.len(),
                table.renumbered_streams
            )?;
        }
        for stream in &table.streams {
            writeln!(out, "[[table.stream]]\nstream = {}", json!(stream.stream))?;
            writeln!(out, "before = {}\nafter = {}", json!(stream.before), json!(stream.after))?;
        }
    }
    writeln!(out, "\n{MARKER}")
}
