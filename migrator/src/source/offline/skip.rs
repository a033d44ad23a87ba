//! The end of a statement that is too long to be held.

use super::strings::is_word;

/// Bytes that are looked at ahead: the longest tag of a dollar quote that is known.
const AHEAD: usize = 256;

/// Where a text is, with regard to quotes.
#[derive(Debug, Default)]
enum Within {
    #[default]
    Plain,
    Quote(u8, bool),
    Dollar(String),
    Line,
    Comment(usize),
}

/// Looks for a statement's end in a text that comes in parts.
#[derive(Debug, Default)]
pub struct Skip {
    /// Whether a backslash in a plain string escapes what follows it.
    escapes: bool,
    within: Within,
    depth: i64,
    /// The character before, where it matters to a quote.
    before: [u8; 2],
}

impl Skip {
    pub fn new(escapes: bool) -> Self {
        Self { escapes, ..Self::default() }
    }

    /// How far the part was looked at, and whether the statement ends there. What comes last is looked at again with what
    /// follows it, unless the part is the last.
    pub fn over(&mut self, part: &str, last: bool) -> (usize, bool) {
        let bytes = part.as_bytes();
        let limit = if last { bytes.len() } else { bytes.len().saturating_sub(AHEAD) };
        let mut at = 0;
        while at < limit {
            let byte = bytes[at];
            match &mut self.within {
                Within::Plain => {
                    if is_word(byte) {
                        let length = bytes[at..limit].iter().position(|b| !is_word(*b)).unwrap_or(limit - at);
                        at += length;
                        self.before = [if length > 1 { bytes[at - 2] } else { self.before[1] }, bytes[at - 1]];
                        continue;
                    }
                    match byte {
                        b'\'' | b'"' => {
                            let escapes =
                                self.escapes || matches!(self.before[1], b'e' | b'E') && !is_word(self.before[0]);
                            self.within = Within::Quote(byte, byte == b'\'' && escapes);
                        }
                        b'-' if bytes.get(at + 1) == Some(&b'-') => self.within = Within::Line,
                        b'/' if bytes.get(at + 1) == Some(&b'*') => {
                            self.within = Within::Comment(1);
                            at += 1;
                        }
                        b'$' if !is_word(self.before[1]) => {
                            let name = bytes[at + 1..].iter().take(AHEAD).take_while(|b| is_word(**b)).count();
                            if bytes.get(at + 1 + name) == Some(&b'$') {
                                self.within = Within::Dollar(part[at..at + name + 2].to_owned());
                                at += name + 1;
                            }
                        }
                        b'(' => self.depth += 1,
                        b')' => self.depth -= 1,
                        b';' if self.depth <= 0 => return (at + 1, true),
                        _ => {}
                    }
                    self.before = [self.before[1], byte];
                    at += 1;
                }
                Within::Quote(quote, escapes) => {
                    if !*escapes {
                        let from = part.ceil_char_boundary(at);
                        at = part[from..].find(char::from(*quote)).map_or(limit, |found| from + found);
                        if at >= limit {
                            return (limit, false);
                        }
                    }
                    let byte = bytes[at];
                    if *escapes && byte == b'\\' {
                        at += 1;
                    } else if byte == *quote {
                        // a doubled one opens at once what it has closed
                        self.within = Within::Plain;
                        self.before = [0, 0];
                    }
                    at += 1;
                }
                Within::Line => {
                    if matches!(byte, b'\n' | b'\r') {
                        self.within = Within::Plain;
                    }
                    at += 1;
                }
                Within::Comment(depth) => {
                    let next = bytes.get(at + 1);
                    if byte == b'/' && next == Some(&b'*') {
                        *depth += 1;
                        at += 1;
                    } else if byte == b'*' && next == Some(&b'/') {
                        *depth -= 1;
                        at += 1;
                        if *depth == 0 {
                            self.within = Within::Plain;
                        }
                    }
                    at += 1;
                }
                Within::Dollar(tag) => match part[at..].find(tag.as_str()) {
                    Some(found) => {
                        at += found + tag.len();
                        self.within = Within::Plain;
                        self.before = [0, 0];
                    }
                    None => return (bytes.len().saturating_sub(tag.len()).max(at), false),
                },
            }
        }
        (at.min(bytes.len()), false)
    }
}
