//! The languages that are read.

use std::path::Path;

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

    pub(super) fn grammar(self) -> Option<tree_sitter::Language> {
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
