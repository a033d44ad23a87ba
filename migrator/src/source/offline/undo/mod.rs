//! What takes a file back again: tools that keep both directions in one file divide it by a line.
//!
//! Some lines say so by themselves: those of dbmate, goose, sql-migrate, dbdeploy. Of others (`---`, `-- down`) what stands on
//! both sides tells: below them is dropped what was made above.

mod halves;
mod lines;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use domain_events_mysql::source::Dialect;
use halves::{Halves, statements};
use lines::{Line, dividing};

/// A larger file is a dump, which goes forward only.
pub const SMALL: usize = 16 * 1024 * 1024;
/// So many lines that may divide a file are looked at, from its end.
const LINES: usize = 64;

/// A file's text as far as it goes forward, and the line behind which that is not sure.
pub fn forward(text: &str, dialect: Dialect) -> (Cow<'_, str>, Option<Doubt>) {
    let text = up_section(text);
    match divided(&text, dialect) {
        Some(Divided { line, sure: true }) => (blanked(&text, line).into(), None),
        Some(Divided { line, sure: false }) => (text, Some(Doubt { line })),
        None => (text, None),
    }
}

/// A line behind which a file may take back what it did.
#[derive(Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its number, from 1.
    pub line: usize,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "below this line is dropped what was made above: whether that undoes the file or goes forward cannot be told, \
             and it is read as going forward; give what undoes a file of its own, or read the live database",
        )
    }
}

/// The text with what undoes it blanked out, line by line: sections of dbmate, goose, sql-migrate and dbdeploy.
pub fn up_section(text: &str) -> Cow<'_, str> {
    const MARKS: [&str; 4] = ["-- migrate:", "-- +goose ", "-- +migrate ", "-- +micrate "];
    const UNDOES: [&str; 3] = ["--//@undo", "-- //@undo", "-- @undo"];
    if !MARKS.iter().any(|mark| text.contains(mark)) && !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut down = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let begun = line.trim_start();
        if let Some(section) = MARKS.iter().find_map(|mark| begun.strip_prefix(mark)) {
            let section = section.trim().to_ascii_lowercase();
            if section.starts_with("down") {
                down = true;
            } else if section.starts_with("up") {
                down = false;
            }
        }
        down |= UNDOES.iter().any(|u| begun.get(..u.len()).is_some_and(|b| b.eq_ignore_ascii_case(u)));
        if down {
            kept.extend(line.chars().filter(|c| *c == '\n'));
        } else {
            kept.push_str(line);
        }
    }
    if kept.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(kept) }
}

/// Lines stay those of the file.
fn blanked(text: &str, from: usize) -> String {
    let begin: usize = text.split_inclusive('\n').take(from - 1).map(str::len).sum();
    let lines = text[begin..].matches('\n').count();
    format!("{}{}", &text[..begin], "\n".repeat(lines))
}

/// Where a file is divided.
#[derive(Debug, PartialEq, Eq)]
struct Divided {
    /// The dividing line, from 1.
    line: usize,
    /// Whether what follows takes back what stands above.
    sure: bool,
}

fn divided(text: &str, dialect: Dialect) -> Option<Divided> {
    let lines: Vec<(usize, Line)> =
        text.lines().enumerate().filter_map(|(n, line)| Some((n + 1, dividing(line)?))).collect();
    let first = lines.first()?.0;
    let below: usize = text.split_inclusive('\n').take(first).map(str::len).sum();
    let word = lines.iter().any(|(_, kind)| *kind == Line::Word);
    if text.len() > SMALL || !word && !holds_a_drop(&text[below..]) {
        return None;
    }
    let said = statements(text, dialect);
    let between = |line: &usize| !said.iter().any(|s| s.first <= *line && *line <= s.last);
    let lines: Vec<(usize, Line)> = lines.into_iter().filter(|(line, _)| between(line)).collect();
    let only = lines.iter().filter(|(_, kind)| *kind == Line::Rule).count() == 1;
    let lines = &lines[lines.len().saturating_sub(LINES)..];
    let judge = |(line, kind): &(usize, Line)| {
        let at = said.partition_point(|s| s.first < *line);
        let sure = match kind {
            Line::Word => Halves::of(&said[..at], &said[at..]).by_word()?,
            Line::Rule => Halves::of(&said[..at], &said[at..]).by_rule(only)?,
        };
        Some(Divided { line: *line, sure })
    };
    let found: Vec<Divided> = lines.iter().filter_map(judge).collect();
    let sure = found.iter().position(|d| d.sure).unwrap_or(0);
    found.into_iter().nth(sure)
}

fn holds_a_drop(text: &str) -> bool {
    text.as_bytes().windows(4).any(|w| w.eq_ignore_ascii_case(b"drop"))
}
