//! Where strings, quoted names and comments end.

pub fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// Whether a string behind this word is one without a prefix.
pub fn is_plain(word: &str) -> bool {
    !["b", "x", "n"].contains(&word)
}

pub fn comment_end(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match &rest.as_bytes()[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

pub fn string_end(rest: &str, escapes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let quote = bytes[0];
    let mut at = 1;
    let escapes = escapes && quote == b'\'';
    while at < bytes.len() {
        if !escapes {
            at += rest[at..].find(char::from(quote))?;
        }
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// None if no dollar quote begins here; its length, or none if it has no end.
pub fn dollar_end(rest: &str) -> Option<Option<usize>> {
    let close = rest[1..].find('$')? + 1;
    let tag = &rest[..=close];
    let name = &tag[1..close];
    let fits = name.chars().all(|c| c == '_' || c.is_alphanumeric()) && !name.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| rest[tag.len()..].find(tag).map(|n| n + 2 * tag.len()))
}

/// A statement that was written with `standard_conforming_strings` off, as it is written with them: `E` before each plain string
/// that has a backslash.
pub fn with_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut at, mut word) = (0, String::new());
    while let Some(here) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match here {
            '\'' => string_end(rest, word == "e" || is_plain(&word)),
            '"' => string_end(rest, false),
            '$' if word.is_empty() => dollar_end(rest).flatten(),
            _ if rest.starts_with("--") => rest.find(['\n', '\r']),
            _ if rest.starts_with("/*") => comment_end(rest),
            _ => None,
        };
        let length = length.unwrap_or(here.len_utf8());
        if here == '\'' && length > 1 && rest[..length].contains('\\') && word != "e" && is_plain(&word) {
            out.push_str(" E");
        }
        out.push_str(&rest[..length]);
        at += length;
        if here.is_alphanumeric() || here == '_' { word.extend(here.to_lowercase()) } else { word.clear() }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_with_escapes_are_written_as_such() {
        assert_eq!(
            with_escapes(r#"select 'a\'; /* ', 'b', E'\\', "c\d", $$'\'$$ -- 'x\'"#),
            r#"select  E'a\'; /* ', 'b', E'\\', "c\d", $$'\'$$ -- 'x\'"#
        );
    }
}
