//! What is said of a construct that is not kept as it was. Keeping one is silent.

use serde::{Deserialize, Serialize};

/// What became of a construct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// Same result.
    Kept,
    /// Translated; the difference is told.
    Declared,
    /// Not translated: a person has to do it.
    Refused,
}

impl Fidelity {
    /// As the table of docs/from-mysql.md spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Declared => "declared",
            Self::Refused => "refused",
        }
    }
}

/// A difference, or why something was not translated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// Declared or refused.
    pub fidelity: Fidelity,
    /// The construct as MySQL spells it.
    pub construct: String,
    /// What is different, or why not.
    pub text: String,
    /// Line in the source, from 1.
    pub line: u64,
}

/// How a refusal begins of what could not be read at all.
pub const NOT_READ: &str = "it is not read";

impl Note {
    /// Whether nobody knows what the construct does.
    pub fn is_unread(&self) -> bool {
        self.fidelity == Fidelity::Refused && self.text.starts_with(NOT_READ)
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} (line {})", self.construct, self.text, self.line)
    }
}
