//! An event as a line.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::error::{Doing as _, Error};
use crate::text;

/// What is read of a row behind the columns that belong to the page.
const FIRST: usize = 2;

/// One JSON object. The store's own rows have their cursor in it; to others one is added.
pub fn json(row: &PgRow) -> Result<String, Error> {
    let event: String = row.try_get(FIRST).doing("reading an event")?;
    Ok(text::json_text(&event).into_owned())
}

/// An object with a cursor as its last member.
pub fn with_cursor(object: &str, cursor: Option<&str>) -> Result<String, Error> {
    let cursor = text::json_line(&cursor).map_err(|e| Error::json("the cursor", e))?;
    Ok(format!("{},\"cursor\":{cursor}}}", object.strip_suffix('}').unwrap_or(object)))
}

/// Time, stream and version, type, actor and payload; the payload cut off where the terminal ends.
pub fn human(row: &PgRow, width: Option<usize>) -> Result<String, Error> {
    let column = |n: usize| row.try_get::<Option<String>, _>(FIRST + n).map(Option::unwrap_or_default);
    let read = || -> Result<[String; 7], sqlx::Error> {
        Ok([column(0)?, column(1)?, column(2)?, column(3)?, column(4)?, column(5)?, column(6)?])
    };
    let [time, kind, id, version, event_type, actor, data] = read().doing("reading an event")?;
    Ok(told([&time, &kind, &id, &version, &event_type, &actor, &data], width))
}

fn told([time, kind, id, version, event_type, actor, data]: [&str; 7], width: Option<usize>) -> String {
    let actor = if actor.is_empty() { "-" } else { actor };
    let head = format!("{time}  {kind}/{id} v{version}  {event_type}  {actor}  ");
    let (head, data) = (text::in_line(&head), text::in_line(data));
    match width {
        Some(width) => format!("{head}{}", cut(&data, width.saturating_sub(head.width()))),
        None => format!("{head}{data}"),
    }
}

/// The beginning of a text that is so wide, with a mark where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken < width
    };
    let beginning: String = text.chars().take_while(fits).collect();
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_the_terminal_ends() {
        let event = ["12:00", "User", "42", "7", "UserRenamed", "alice", r#"{"name": "中文中文中文"}"#];
        let whole = told(event, None);
        assert_eq!(whole, r#"12:00  User/42 v7  UserRenamed  alice  {"name": "中文中文中文"}"#);
        for width in 0..80 {
            let line = told(event, Some(width));
            assert!(line.width() <= width.max(40), "{width}: {line}");
            assert_eq!(line == whole, width >= whole.width(), "{width}: {line}");
        }
    }

    #[test]
    fn a_line_is_one_line_that_no_terminal_obeys() {
        let hostile = "a\u{1b}]0;x\u{7}\r\nb\u{9b}31m\u{202e}\tc";
        for width in [None, Some(60)] {
            let line = told([hostile; 7], width);
            assert!(!line.contains(|c| text::is_unsafe(c) || matches!(c, '\n' | '\t')), "{line:?}");
        }
    }

    #[test]
    fn a_cursor_is_added_to_an_object() {
        assert_eq!(with_cursor(r#"{"a":"}"}"#, Some("x\"")).expect("JSON"), r#"{"a":"}","cursor":"x\""}"#);
        assert_eq!(with_cursor(r#"{"a":{}}"#, None).expect("JSON"), r#"{"a":{},"cursor":null}"#);
    }
}
