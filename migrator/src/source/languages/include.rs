//! Files of SQL that a file reads and runs.

use std::path::PathBuf;

use super::calls;
use super::state::Walk;
use super::value::{Called, Text, Value, plain};

/// A larger file is not put into a text.
const LARGEST: u64 = 4 * 1024 * 1024;

impl<'t> Walk<'_, 't> {
    /// The text of a file of SQL that is read beside this one.
    pub(super) fn included(&mut self, called: &Called<'t>) -> Option<Value<'t>> {
        let name = plain(&called.name);
        let reads = calls::READS.contains(&name.as_str());
        if !reads {
            return None;
        }
        let mut parts = vec![];
        called.plain().for_each(|v| words(v, &mut parts));
        called.on.iter().for_each(|v| words(v, &mut parts));
        let last = parts.iter().rposition(|p| p.to_ascii_lowercase().ends_with(".sql"))?;
        let folder = self.file.parent()?;
        let candidates = (0..=last).map(|from| parts[from..=last].concat_path());
        let path = candidates.flat_map(|c| [folder.join(&c), c]).find(|p| p.is_file())?;
        let known = path.canonicalize().unwrap_or_else(|_| path.clone());
        let size = std::fs::metadata(&path).map(|m| m.len()).ok()?;
        if size > LARGEST {
            return None;
        }
        let bytes = std::fs::read(&path).ok()?;
        let text = crate::source::encoding::text(&bytes);
        Some(Value::Text(Text { file: Some(path), sources: vec![known], ..Text::known(&text) }))
    }
}

trait Joined {
    fn concat_path(&self) -> PathBuf;
}

impl Joined for [String] {
    fn concat_path(&self) -> PathBuf {
        self.iter().map(|p| p.trim_start_matches('/')).collect()
    }
}

/// Texts anywhere in a value.
fn words(value: &Value<'_>, found: &mut Vec<String>) {
    match value {
        Value::Text(text) => found.push(text.known_parts()),
        Value::List(items) => items.iter().for_each(|i| words(i, found)),
        Value::Call(call) => {
            call.on.iter().for_each(|v| words(v, found));
            call.plain().for_each(|v| words(v, found));
        }
        _ => {}
    }
}
