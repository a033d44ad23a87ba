//! What the SET statements of a dump say about the statements after them.

use std::collections::HashMap;

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
    /// Double quotes are for names.
    pub fn ansi_quotes(&self) -> bool {
        self.has_mode("ANSI_QUOTES") || self.has_mode("ANSI")
    }

    /// A backslash is an ordinary character.
    pub fn no_backslash_escapes(&self) -> bool {
        self.has_mode("NO_BACKSLASH_ESCAPES")
    }

    fn has_mode(&self, mode: &str) -> bool {
        self.sql_mode.as_deref().is_some_and(|modes| modes.split(',').any(|m| m.trim() == mode))
    }
}

/// Values that a dump has put aside: `SET @OLD_SQL_MODE=@@SQL_MODE`.
#[derive(Debug, Default)]
pub struct Saved(HashMap<String, Option<String>>);

impl Saved {
    /// Follows one `SET ..` statement; whether the session has changed.
    pub fn follow(&mut self, text: &str, session: &mut Session) -> bool {
        let mut changed = false;
        let tokens = tokens(text);
        let Some(rest) = tokens.strip_prefix(&[Token::word("SET")]) else { return false };
        for assignment in rest.split(|t| *t == Token::Sign(',')) {
            changed |= self.assign(assignment, session);
        }
        changed
    }

    fn assign(&mut self, tokens: &[Token], session: &mut Session) -> bool {
        let names_charset = matches!(tokens.first(), Some(t) if *t == Token::word("NAMES"));
        if names_charset || (tokens.len() > 2 && tokens[..2] == [Token::word("CHARACTER"), Token::word("SET")]) {
            let value = &tokens[if names_charset { 1 } else { 2 }..];
            let Some(charset) = value.first().and_then(Token::text) else { return false };
            session.charset = charset.to_ascii_lowercase();
            session.collation = value.get(2).and_then(Token::text).map(str::to_ascii_lowercase);
            return true;
        }
        let Some(equals) = tokens.iter().position(|t| *t == Token::Sign('=')) else { return false };
        let Some(name) = tokens[..equals].iter().rev().find_map(Token::text) else { return false };
        let user_variable = name.starts_with('@') && !name.starts_with("@@");
        let value = tokens.get(equals + 1).and_then(|t| self.value(t, session));
        if user_variable {
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

    fn value(&self, token: &Token, session: &Session) -> Option<String> {
        let text = token.text()?;
        if matches!(token, Token::Word(_)) && text.starts_with('@') {
            if !text.starts_with("@@") {
                return self.0.get(&text.to_ascii_lowercase()).cloned().flatten();
            }
            return match setting(text).as_str() {
                "sql_mode" => session.sql_mode.clone(),
                "character_set_client" => Some(session.charset.clone()),
                "collation_connection" => session.collation.clone(),
                "time_zone" => session.time_zone.clone(),
                _ => None,
            };
        }
        if text.eq_ignore_ascii_case("default") { None } else { Some(text.to_owned()) }
    }
}

// `@@SESSION.sql_mode` and `SESSION sql_mode` are one setting; the scope was cut off by the caller or is here.
fn setting(name: &str) -> String {
    let name = name.trim_start_matches('@').to_ascii_lowercase();
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Upper case unless a variable, to compare.
    Word(String),
    Text(String),
    Sign(char),
}

impl Token {
    fn word(text: &str) -> Self {
        Self::Word(text.into())
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Sign(_) => None,
        }
    }
}

// Words (with @ and dots), strings and signs; `:=` is `=`.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = vec![];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' | '`' => {
                let mut inside = String::new();
                for d in chars.by_ref() {
                    if d == c {
                        break;
                    }
                    inside.push(d);
                }
                tokens.push(Token::Text(inside));
            }
            c if c.is_whitespace() || c == ':' => {}
            c if c.is_alphanumeric() || matches!(c, '@' | '_' | '.' | '+' | '-') => {
                let mut word = c.to_string();
                while let Some(d) =
                    chars.next_if(|d| d.is_alphanumeric() || matches!(d, '@' | '_' | '.' | '+' | '-' | '$'))
                {
                    word.push(d);
                }
                tokens.push(Token::Word(word.to_ascii_uppercase()));
            }
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
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
        assert!(session.ansi_quotes() && session.no_backslash_escapes());
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
