//! SQL and tables that stand in files of other languages: PHP, Ruby, Python, JavaScript, TypeScript, and Prisma's schema.
//!
//! Nothing is run. SQL that stands in the file as literals is read, constants and variables that hold literals included; tables
//! that the code makes become statements that make the same. What is put together at run time is told, with the advice to read
//! the live database. Only what goes forward counts: what undoes a migration holds older versions.

mod calls;
mod code;
mod common;
mod direction;
mod follow;
mod forms;
mod given;
mod hoist;
mod include;
mod javascript;
mod language;
mod order;
mod php;
mod prisma;
mod python;
mod ruby;
mod state;
mod types;
mod value;
mod walk;

#[cfg(test)]
mod php_tests;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

pub use calls::makes_programs;
pub use common::Common;
pub use given::{Given, What};
pub use language::{ENDINGS, Language};
pub use order::in_order_of_revisions;

use code::File;
use given::Only;
use state::Walk;

/// A file that takes longer to parse is no code.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a text may hold something of what is asked; most files of an application do not.
pub fn may_hold(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has = |word: &[u8]| bytes.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word));
    // SQL may stand in another file, too
    [&b"create"[..], b"alter", b"trigger", b"rename", b"drop", b"column", b"schema", b".sql", b"model "]
        .iter()
        .any(|w| has(w))
}

/// Reads one file.
pub fn read(common: &mut Common, language: Language, file: &Path, text: &str) -> Vec<Given> {
    let text = text.trim_start_matches('\u{feff}');
    if !may_hold(text) {
        return vec![];
    }
    let problem = |reason: String| vec![Given { row: 0, only: Only::ALL, what: What::Problem { about: None, reason } }];
    let Some(grammar) = language.grammar() else { return prisma::read(text) };
    if language == Language::Python && indents(text) > code::NESTING as usize {
        return problem(format!(
            "its Python is nested more than {} levels deep: read the live database instead",
            code::NESTING
        ));
    }
    let Some(tree) = parse(&grammar, text) else {
        return problem(format!("the {} of this file cannot be read", language.name()));
    };
    let root = tree.root_node();
    if code::deeper_than(&tree, code::NESTING) {
        let (name, limit) = (language.name(), code::NESTING);
        return problem(format!("its {name} is nested more than {limit} levels deep: read the live database instead"));
    }
    let elsewhere = if language == Language::Ruby { ruby::heredocs(root) } else { vec![] };
    let lower = match language {
        Language::Php => php::lower,
        Language::Ruby => ruby::lower,
        Language::Python => python::lower,
        Language::JavaScript | Language::TypeScript | Language::Prisma => javascript::lower,
    };
    let whole = File { text, lower, elsewhere: &elsewhere };
    let root = lower(whole, root);
    Walk::new(common, file, language, text).file(&root)
}

/// How many levels lines are indented at most. The grammar ends the program at some 800.
fn indents(text: &str) -> usize {
    let (mut levels, mut most): (Vec<usize>, usize) = (vec![], 0);
    for line in text.lines().filter(|l| !l.trim_start().is_empty()) {
        let width = line.len() - line.trim_start().len();
        while levels.last().is_some_and(|level| *level >= width) {
            levels.pop();
        }
        levels.push(width);
        most = most.max(levels.len());
    }
    most
}

/// Parses a text, unless that takes so long that it is no code.
fn parse(grammar: &tree_sitter::Language, text: &str) -> Option<tree_sitter::Tree> {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(grammar).ok()?;
    let begun = Instant::now();
    let mut patient = |_: &tree_sitter::ParseState| {
        if begun.elapsed() > PATIENCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = tree_sitter::ParseOptions::new().progress_callback(&mut patient);
    let bytes = text.as_bytes();
    parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
}
