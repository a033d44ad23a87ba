//! What the SET statements of a dump say about the statements after them.

use std::collections::HashMap;

use super::super::ast::{Position, SqlMode};
use super::super::lexer::Source;
use super::super::lexer::cursor::Part;

/// Settings under which a statement of a dump runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// As written, upper case: `ANSI_QUOTES,NO_BACKSLASH_ESCAPES`; none when the dump never sets it.
    pub sql_mode: Option<String>,
    /// Character set of the client.
    pub charset: String,
    /// Collation of the connection, when the dump sets it.
    pub collation: Option<String>,
    /// Time zone in which TIMESTAMP values are written, as named.
    pub time_zone: Option<String>,
    /// By `USE`.
    pub database: Option<String>,
}

impl Default for Session {
    fn default() -> Self {
        Self { sql_mode: None, charset: "utf8mb4".into(), collation: None, time_zone: None, database: None }
    }
}

impl Session {
    /// How its texts are read.
    pub fn mode(&self) -> SqlMode {
        SqlMode::parse(self.sql_mode.as_deref())
    }
}

/// Values that a dump has put aside: `SET @OLD_SQL_MODE=@@SQL_MODE`.
#[derive(Debug, Default)]
pub struct Saved(HashMap<String, Option<String>>);

impl Saved {
    /// Follows one `SET ..` statement; whether the session has changed.
    pub fn follow(&mut self, text: &str, session: &mut Session) -> bool {
        let source = Source::new(text, Position { line: 1, column: 1 }, session.mode());
        let parts: Vec<Part<'_>> = source.parts().collect();
        let [set, rest @ ..] = parts.as_slice() else { return false };
        if !set.is("SET") {
            return false;
        }
        let mut changed = false;
        for assignment in rest.split(|part| *part == Part::Sign(',')) {
            changed |= self.assign(assignment, session);
        }
        changed
    }

    fn assign(&mut self, parts: &[Part<'_>], session: &mut Session) -> bool {
        let charset = match parts {
            [names, value @ ..] if names.is("NAMES") => Some(value),
            [character, set, value @ ..] if character.is("CHARACTER") && set.is("SET") => Some(value),
            _ => None,
        };
        if let Some(value) = charset {
            let Some(charset) = value.first().and_then(|part| part.text()) else { return false };
            session.charset = charset.to_ascii_lowercase();
            session.collation = value.get(2).and_then(|part| part.text()).map(str::to_ascii_lowercase);
            return true;
        }
        // = and :=
        let Some(equals) = parts.iter().position(|part| matches!(part, Part::Sign('=' | ':'))) else { return false };
        let Some(name) = parts[..equals].iter().rev().find_map(|part| part.text()) else { return false };
        let value = self.value(&parts[equals + 1..], session);
        if name.starts_with('@') && !name.starts_with("@@") {
            self.0.insert(name.to_ascii_lowercase(), value);
            return false;
        }
        match setting(name).as_str() {
            "sql_mode" => session.sql_mode = value.map(|v| v.to_ascii_uppercase()),
            "character_set_client" => session.charset = value.unwrap_or_else(|| "utf8mb4".into()).to_ascii_lowercase(),
            "collation_connection" => session.collation = value.map(|v| v.to_ascii_lowercase()),
            "time_zone" => session.time_zone = value,
            _ => return false,
        }
        true
    }

    fn value(&self, parts: &[Part<'_>], session: &Session) -> Option<String> {
        let text = parts.first()?.text()?;
        if !matches!(parts[0], Part::Word(_)) || !text.starts_with('@') {
            return (!parts[0].is("default")).then(|| text.to_owned());
        }
        if !text.starts_with("@@") {
            return self.0.get(&text.to_ascii_lowercase()).cloned().flatten();
        }
        // @@sql_mode, @@session.sql_mode
        let name = match parts {
            [_, Part::Sign('.'), name, ..] => name.text()?,
            _ => text,
        };
        match setting(name).as_str() {
            "sql_mode" => session.sql_mode.clone(),
            "character_set_client" => Some(session.charset.clone()),
            "collation_connection" => session.collation.clone(),
            "time_zone" => session.time_zone.clone(),
            _ => None,
        }
    }
}

/// `@@sql_mode` and `sql_mode` are one setting; the scope was cut off by the caller.
fn setting(name: &str) -> String {
    name.trim_start_matches('@').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dump_puts_aside_comes_back() {
        let (mut saved, mut session) = (Saved::default(), Session::default());
        for set in [
            "SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'",
            "SET @saved_sql_mode       = @@sql_mode",
            "SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        ] {
            saved.follow(set, &mut session);
        }
        assert!(session.mode().ansi_quotes && session.mode().no_backslash_escapes);
        saved.follow("SET sql_mode = @saved_sql_mode", &mut session);
        assert_eq!(session.sql_mode.as_deref(), Some("NO_AUTO_VALUE_ON_ZERO"));
        saved.follow("SET SQL_MODE=@OLD_SQL_MODE", &mut session);
        assert_eq!(session.sql_mode, None);
    }

    #[test]
    fn names_and_time_zone() {
        let (mut saved, mut session) = (Saved::default(), Session::default());
        saved.follow("SET NAMES latin1 COLLATE 'latin1_swedish_ci'", &mut session);
        assert_eq!((session.charset.as_str(), session.collation.as_deref()), ("latin1", Some("latin1_swedish_ci")));
        saved.follow("SET @OLD_TIME_ZONE=@@TIME_ZONE", &mut session);
        saved.follow("SET @@session.time_zone := '+00:00'", &mut session);
        assert_eq!(session.time_zone.as_deref(), Some("+00:00"));
        saved.follow("SET TIME_ZONE=@OLD_TIME_ZONE", &mut session);
        assert_eq!(session.time_zone, None);
        assert!(!saved.follow("SET FOREIGN_KEY_CHECKS=0", &mut session));
    }
}
