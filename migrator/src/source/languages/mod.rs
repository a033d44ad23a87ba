//! SQL and tables that stand in files of other languages: PHP, Ruby, Python, JavaScript, TypeScript, and Prisma's schema.
//!
//! Nothing is run. SQL that stands in the file as literals is read, constants and variables that hold literals included; tables
//! that the code makes become statements that make the same. What is put together at run time is told, with the advice to read
//! the live database. Only what goes forward counts: what undoes a migration holds older versions.

mod calls;
mod code;
mod common;
mod follow;
mod forms;
mod given;
mod hoist;
mod include;
mod javascript;
mod order;
mod php;
mod prisma;
mod python;
mod ruby;
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
pub use order::in_order_of_revisions;

use code::File;
use given::Only;
use walk::Walk;

/// A file that takes longer to parse is no code.
const PATIENCE: Duration = Duration::from_secs(5);

/// A language that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// Prisma's schema.
    Prisma,
}

/// Endings of files that are read.
pub const ENDINGS: [&str; 10] = ["php", "rb", "py", "js", "cjs", "mjs", "ts", "cts", "mts", "prisma"];

impl Language {
    /// By the name of a file and its text: a file that is called PHP may be nothing but SQL.
    pub fn of_text(file: &Path, text: &str) -> Option<Self> {
        Self::of(file).filter(|l| *l != Self::Php || text.contains("<?"))
    }

    /// By the name of a file.
    pub fn of(file: &Path) -> Option<Self> {
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "php" => Self::Php,
            "rb" => Self::Ruby,
            "py" => Self::Python,
            "js" | "cjs" | "mjs" => Self::JavaScript,
            "ts" | "cts" | "mts" => Self::TypeScript,
            "prisma" => Self::Prisma,
            _ => return None,
        })
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Php => "PHP",
            Self::Ruby => "Ruby",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Prisma => "Prisma",
        }
    }

    fn grammar(self) -> Option<tree_sitter::Language> {
        Some(match self {
            Self::Php => tree_sitter_php::LANGUAGE_PHP.into(),
            Self::Ruby => tree_sitter_ruby::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            // the one grammar reads both; the one with tags goes round for ever on some texts
            Self::JavaScript | Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Self::Prisma => return None,
        })
    }
}

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
