//! Text that comes from a database, a file, a server's error or an argument, made safe to be shown: a terminal obeys control
//! characters, and characters that turn the direction of writing make a name look like another.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Whether a terminal would obey it, or show what follows in another place than where it stands. Line feed and tab are left to
/// the callers.
pub fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0, DEL and C1
        c if c.is_control() => true,
        // marks, embeddings, overrides and isolates of direction
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // breaks of lines and paragraphs; what takes no room; annotations; tags
        '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// A text of one or more lines, for people: what is unsafe is written as an escape.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// A name or a value that has to stay on its line.
pub fn in_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unsafe(c) || matches!(c, '\n' | '\t'))
}

/// A message that follows a label: its further lines are set in, so that none of them passes for one of ours.
pub fn message(text: &str) -> Cow<'_, str> {
    match shown(text) {
        text if text.contains('\n') => Cow::Owned(text.trim_end().replace('\n', "\n  ")),
        text => text,
    }
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii() => {
                // writing to a string cannot fail
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
        }
    }
    Cow::Owned(out)
}

/// Pretty JSON in which everything unsafe is an escape of JSON, C1 and the marks of direction too.
pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    written(value, PrettyFormatter::new())
}

/// The same on one line.
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    written(value, CompactFormatter)
}

/// JSON that somebody else has written, compact or not: all that is unsafe stands in its strings, and becomes an escape of JSON.
pub fn json_text(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    let mut units = [0; 2];
    for c in json.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut units) {
                // writing to a string cannot fail
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn written<T: Serialize + ?Sized>(value: &T, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut out = vec![];
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(formatter)))?;
    // the serializer writes nothing but UTF-8
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A formatter whose strings hold nothing unsafe.
struct Safe<F>(F);

macro_rules! as_it_does {
    ($($name:ident($($argument:ident)?);)*) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: bool)?) -> io::Result<()> {
            self.0.$name(writer $(, $argument)?)
        })*
    };
}

impl<F: Formatter> Formatter for Safe<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            writer.write_all(&fragment.as_bytes()[from..at])?;
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[from..])
    }

    as_it_does! {
        begin_array();
        end_array();
        begin_array_value(first);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first);
        end_object_key();
        begin_object_value();
        end_object_value();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that must not reach a terminal.
    fn unsafe_characters() -> impl Iterator<Item = char> {
        (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_unsafe(*c))
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        for c in
            ['\u{1b}', '\u{7}', '\r', '\u{8}', '\u{0}', '\u{7f}', '\u{80}', '\u{9b}', '\u{9f}', '\u{202e}', '\u{2066}']
        {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in unsafe_characters() {
            for text in [format!("a{c}b"), format!("{c}"), format!("\n{c}\t{c}")] {
                assert!(!shown(&text).contains(is_unsafe), "{c:?}");
                assert!(!in_line(&text).contains(['\n', '\t']), "{c:?}");
                let json = json(&text).expect("JSON");
                assert!(!json.contains(is_unsafe), "{c:?}");
                assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
                assert_eq!(json_line(&text).expect("JSON"), json);
                let raw = serde_json::to_string(&text).expect("JSON");
                assert!(!json_text(&raw).contains(is_unsafe), "{c:?}");
                assert_eq!(serde_json::from_str::<String>(&json_text(&raw)).expect("JSON"), text);
            }
        }
    }

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        assert_eq!(json(&serde_json::json!({"a": [1, {"b": null}]})).expect("JSON").matches('\n').count(), 7);
        assert_eq!(json_line(&serde_json::json!({"a": [1, {"b": []}]})).expect("JSON"), r#"{"a":[1,{"b":[]}]}"#);
        let text = "zażółć 中文 👩\u{200d}🚀 a\\b 'c' \"d\"";
        assert!(matches!(in_line(text), Cow::Borrowed(same) if same == text));
        assert_eq!(shown("a\nb\tc"), "a\nb\tc");
        assert_eq!(in_line("a\nb\u{1b}]0;x\u{7}"), "a\\nb\\x1b]0;x\\x07");
        assert_eq!(in_line("\u{9b}31m\u{202e}"), "\\u{9b}31m\\u{202e}");
        assert_eq!(message("a\nerror: b\n"), "a\n  error: b");
    }
}
