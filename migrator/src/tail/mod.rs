//! The events of a store as lines: where they begin, how a page of them is asked for, and where the cursor is kept.
//!
//! Each page is one message of the simple protocol, and so one transaction: nothing is prepared, set or kept in the session
//! between two of them, and a pooler may give every page another server process.

pub mod cursor_file;
pub mod line;
pub mod query;
mod since;
pub mod source;
pub mod stop;

use std::str::FromStr;

pub use since::Since;

/// With how many of the newest events to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// With so many.
    Newest(u32),
    /// With the first.
    All,
}

impl Lines {
    /// So many are asked for in one query; `all` comes page by page.
    const MOST: u32 = 100_000;
}

impl FromStr for Lines {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            _ => match text.parse() {
                Ok(count) if count <= Self::MOST => Ok(Self::Newest(count)),
                _ => Err("a number up to 100000, or all"),
            },
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the first event.
    Beginning,
    /// Behind all that is committed.
    Now,
    /// Behind this cursor.
    Behind(String),
}

impl FromStr for Start {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            // what a cursor looks like is the store's business; a word of a person's is none
            _ if text.contains(|c: char| c.is_ascii_digit()) => Ok(Self::Behind(text.to_owned())),
            _ => Err("a cursor, beginning, or now"),
        }
    }
}

/// One stream. Its type ends at the first slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Aggregate type.
    pub kind: String,
    /// Aggregate id.
    pub id: String,
}

impl FromStr for Stream {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {
                Ok(Self { kind: kind.to_owned(), id: id.to_owned() })
            }
            _ => Err("a type and an id: User/42"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arguments_say_is_read() {
        assert_eq!("0".parse(), Ok(Lines::Newest(0)));
        assert_eq!("all".parse(), Ok(Lines::All));
        for text in ["", "-1", "5000000000", "ten"] {
            assert!(text.parse::<Lines>().is_err(), "{text}");
        }
        assert_eq!("beginning".parse(), Ok(Start::Beginning));
        assert_eq!("abc-1.2".parse(), Ok(Start::Behind("abc-1.2".into())));
        for text in ["", "begining", "NOW"] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
        assert_eq!("File/a/b".parse(), Ok(Stream { kind: "File".into(), id: "a/b".into() }));
        for text in ["", "User", "/1", "User/"] {
            assert!(text.parse::<Stream>().is_err(), "{text}");
        }
    }
}
