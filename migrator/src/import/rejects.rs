//! The reject file: one JSON line per row that was not imported, with its line and the reason.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::Error;
use crate::files;
use crate::text::json_line;

/// A rejected row.
#[derive(Debug, Clone)]
pub struct Reject {
    /// Its number in the source, from 1.
    pub place: u64,
    /// Its line, or its number again.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// Its values as they would have been copied, cut.
    pub text: String,
}

/// The text of an encoded row for the reject file.
pub fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(16 * 1024)]);
    let text = text.trim_end_matches('\n');
    match text.char_indices().nth(2000) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}

const WHAT: &str = "a file of rejected rows";

/// An open reject file. It is made with its first row.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that belong to committed batches.
    kept: u64,
    written: u64,
    /// Rows in it.
    pub rows: u64,
}

impl Rejects {
    /// Goes on behind `kept` bytes: what a killed run wrote after its last commit is cut off.
    pub fn open(path: &Path, kept: u64, rows: u64) -> Self {
        Self { path: path.to_owned(), file: None, kept, written: kept, rows }
    }

    /// Whether rows can be written there, before any was read.
    pub fn check(path: &Path) -> Result<(), Error> {
        if files::check(path, WHAT, is_ours)? {
            let file = OpenOptions::new().write(true).open(path).map_err(|e| Error::io(files::shown(path), e))?;
            expect_own(path, &file)?;
        }
        Ok(())
    }

    /// Bytes in it.
    pub fn length(&self) -> u64 {
        self.written
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a row: where it is from, and why it was rejected.
    pub fn add(&mut self, table: &str, place: u64, line: u64, reason: &str, text: &str) -> Result<(), Error> {
        let wrong = |e| Error::io(files::shown(&self.path), e);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let is_new = !files::check(&self.path, WHAT, is_ours)?;
                let mut options = OpenOptions::new();
                // never through a link, never over another's file, and for nobody else to read
                let mut file = options.write(true).create_new(is_new).mode(0o600).open(&self.path).map_err(wrong)?;
                if !is_new {
                    expect_own(&self.path, &file)?;
                    file.set_permissions(Permissions::from_mode(0o600)).map_err(wrong)?;
                }
                file.set_len(self.kept).map_err(wrong)?;
                file.seek(SeekFrom::End(0)).map_err(wrong)?;
                self.file.insert(file)
            }
        };
        let row = json!({"table": table, "row": place, "line": line, "reason": reason, "values": text});
        let mut line = json_line(&row).map_err(|e| Error::json("a rejected row", e))?;
        line.push('\n');
        file.write_all(line.as_bytes()).map_err(wrong)?;
        self.written += line.len() as u64;
        self.rows += 1;
        Ok(())
    }
}

fn expect_own(path: &Path, file: &File) -> Result<(), Error> {
    if files::is_own(path, file).map_err(|e| Error::io(files::shown(path), e))? {
        return Ok(());
    }
    Err(Error::refused(
        "58P02",
        format!("{} belongs to somebody else, or is no file any more: it is left as it is", files::shown(path)),
        "Name a file that does not exist yet.",
    ))
}

/// Whether a file begins as the rows above do; an empty one is nobody's loss.
fn is_ours(head: &str) -> bool {
    head.is_empty() || head.starts_with("{\"table\":") && head.contains("\"row\":")
}
