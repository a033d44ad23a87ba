//! Files that a file reads: `\\i` and `\\ir` of psql.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fold::{Fold, Problem};
use super::state::Runs;

/// Of a file that is larger nobody reads another: it is a dump.
const SMALL: u64 = 4 * 1024 * 1024;
/// Files that read each other are followed so far.
const DEPTH: usize = 32;

impl Fold {
    /// A command of psql.
    pub(super) fn command(&mut self, file: &str, command: &str, line: usize, problems: &mut Vec<Problem>) {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let rest = command[verb.len()..].trim();
        if self.branches(verb, rest) || self.script.runs() == Runs::Not || self.variable(verb, rest) {
            return;
        }
        let Some(path) = beside(Path::new(file), &named(rest)) else {
            let reason = format!("{verb} {rest}: there is no such file, and it is not read");
            return problems.push(Problem { file: file.to_owned(), line, reason });
        };
        self.line = line;
        let known = path.canonicalize().unwrap_or_else(|_| path.clone());
        if self.included.len() > 10_000 || self.depth >= DEPTH || !self.included.insert(known) {
            return;
        }
        let shown = path.display().to_string();
        self.depth += 1;
        let read = File::open(&path).and_then(|f| self.file(&shown, f, problems));
        self.depth -= 1;
        if let Err(error) = read {
            problems.push(Problem { file: shown, line: 0, reason: format!("not read: {error}") });
        }
    }
}

impl Fold {
    /// A command that sets variables; whether it is one.
    fn variable(&mut self, verb: &str, rest: &str) -> bool {
        let mut words = rest.split_whitespace();
        match (verb, words.next()) {
            ("\\set", Some(name)) => {
                // what is set on the way that may not be taken, or by a shell, is not known
                self.variables_are_known &= self.script.runs() == Runs::Surely && !rest.contains('`');
                let value: String = words.collect::<Vec<_>>().concat();
                self.variables.insert(name.to_owned(), unquoted(&value));
            }
            ("\\unset" | "\\gset" | "\\prompt" | "\\getenv", _) => self.variables_are_known = false,
            ("\\set", None) | ("\\copy", _) => {}
            _ => return false,
        }
        true
    }
}

/// The file that a command names; psql takes a semicolon off.
fn named(rest: &str) -> String {
    unquoted(rest.trim().trim_end_matches(';').trim_end())
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    inner.map_or_else(|| text.to_owned(), |i| i.replace("''", "'"))
}

/// The file that is meant: beside the one that names it, or below one of its folders.
fn beside(file: &Path, named: &str) -> Option<PathBuf> {
    let mut folder = file.parent();
    while let Some(at) = folder {
        let path = at.join(named);
        if path.is_file() {
            return Some(path);
        }
        folder = at.parent().filter(|p| !p.as_os_str().is_empty() || at.is_relative() && !at.as_os_str().is_empty());
    }
    Some(PathBuf::from(named)).filter(|p| p.is_file())
}

/// The files that a file reads by commands of psql.
fn included_by(file: &Path) -> Vec<PathBuf> {
    let mut text = vec![];
    let read = File::open(file).and_then(|f| f.take(SMALL).read_to_end(&mut text));
    if read.is_err() {
        return vec![];
    }
    let text = String::from_utf8_lossy(&text);
    let commands = text.lines().filter_map(|line| {
        let line = line.trim();
        ["\\ir ", "\\i ", "\\include_relative ", "\\include "].iter().find_map(|c| line.strip_prefix(c))
    });
    commands.filter_map(|rest| beside(file, &named(rest))).collect()
}

/// The files but those that others of them read: these come where they are read.
pub fn without_included(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let included: BTreeSet<PathBuf> =
        files.iter().flat_map(|f| included_by(f)).filter_map(|f| f.canonicalize().ok()).collect();
    if included.is_empty() {
        return files;
    }
    let mut kept: Vec<PathBuf> =
        files.iter().filter(|f| f.canonicalize().is_ok_and(|f| !included.contains(&f))).cloned().collect();
    // files that read each other in a circle
    if kept.is_empty() {
        kept = files;
    }
    kept
}
