//! The extension's scripts, from the files in `pg_extension/sql`, whose lines with an `@` stand for what `sql/` knows.

use crate::{Engine, Manifest};

/// Waits for those who write captured tables, and keeps them out until the transaction ends.
pub const WRITERS: &str = include_str!("writers.sql");

/// `@proof portable` or `native`: the schema is proven to hold what was installed, or the script ends (left out where `is_proven`: the same
/// transaction has just installed it). `@c name(types) symbol`: that function in C. `@portable`: what the native engine has
/// replaced, as it was. `@replace portable` or `native`: all that an upgrade can replace in place. `@writers`: who writes captured
/// tables is waited for.
pub fn expand(script: &str, manifest: &Manifest, is_proven: bool) -> Result<String, String> {
    let mut expanded = String::new();
    for line in script.lines() {
        if let Some(engine) = line.strip_prefix("@proof ") {
            let engine = if engine == "native" { Engine::Native } else { Engine::Portable };
            if !is_proven {
                expanded += &include_str!("refuse.sql").replace("@proof", &manifest.proof(engine));
            }
        } else if line == "@writers" {
            if !is_proven {
                expanded += WRITERS;
            }
        } else if let Some(engine) = line.strip_prefix("@replace ") {
            let engine = if engine == "native" { Engine::Native } else { Engine::Portable };
            expanded += &manifest.replacements(engine)?;
        } else if line == "@portable" {
            for function in manifest.replaced() {
                expanded += &function.replacement();
            }
        } else if let Some((object, symbol)) = line.strip_prefix("@c ").and_then(|rest| rest.rsplit_once(' ')) {
            expanded += &manifest.function(object)?.in_c(symbol);
        } else if line.starts_with('@') {
            return Err(format!("a line is not understood: {line}"));
        } else {
            expanded += line;
        }
        expanded.push('\n');
    }
    Ok(expanded)
}
