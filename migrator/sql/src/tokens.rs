//! Tokens of PostgreSQL's language, as far as depth and length of a text are concerned.

/// Characters that PostgreSQL's lexer reads more than once: a comment or an operator that begins in a run of the characters of
/// operators is matched with the whole rest of the run, of which it then takes the first few.
const AGAIN: usize = 100_000_000;

pub(crate) enum Token<'t> {
    /// A word or a number.
    Word(&'t [u8]),
    /// A string or a quoted name.
    Quoted,
    /// One character that is none of these.
    Sign(u8),
}

/// Tokens of PostgreSQL's language as far as depth and length are concerned: nothing in a string or a comment counts.
pub(crate) struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the run of the characters of operators ends that was looked at last.
    run_end: usize,
    /// Characters of such runs, once for each time that a lexer begins within one.
    again: usize,
}

impl<'t> Tokens<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0, run_end: 0, again: 0 }
    }

    /// Whether the lexer comes through the text in a time that is in proportion to its length.
    pub(crate) fn check_runs(&self) -> Result<(), String> {
        if self.again > AGAIN {
            return Err(
                "comments or operators that follow on each other without a blank, too many for the lexer".into()
            );
        }
        Ok(())
    }

    /// A comment or an operator begins here.
    fn begins_in_run(&mut self) {
        if self.at >= self.run_end {
            let rest = &self.text[self.at..];
            self.run_end = self.at + rest.iter().position(|b| !is_operator(*b)).unwrap_or(rest.len());
        }
        self.again = self.again.saturating_add(self.run_end - self.at);
    }

    pub(crate) fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let rest = &self.text[self.at..];
            let first = *rest.first()?;
            match first {
                b if b.is_ascii_whitespace() => self.at += 1,
                b'-' if rest.get(1) == Some(&b'-') => {
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                b'/' if rest.get(1) == Some(&b'*') => self.comment(),
                b'\'' => {
                    let escapes = matches!(self.before(1), Some(b'e' | b'E'))
                        && !self.before(2).is_some_and(|b| is_word(b) || b == b'$');
                    self.quoted(b'\'', escapes);
                    return Some(Token::Quoted);
                }
                b'"' => {
                    self.quoted(b'"', false);
                    return Some(Token::Quoted);
                }
                b'$' if self.dollar() => return Some(Token::Quoted),
                b if is_word(b) => {
                    let length = rest.iter().position(|b| !is_word(*b) && *b != b'$').unwrap_or(rest.len());
                    self.at += length;
                    return Some(Token::Word(&rest[..length]));
                }
                sign => {
                    if is_operator(sign) {
                        self.begins_in_run();
                    }
                    self.at += 1;
                    return Some(Token::Sign(sign));
                }
            }
        }
    }

    fn before(&self, count: usize) -> Option<u8> {
        self.at.checked_sub(count).map(|at| self.text[at])
    }

    fn comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            match self.text.get(self.at..self.at + 2) {
                Some(b"/*") => {
                    self.begins_in_run();
                    (depth, self.at) = (depth + 1, self.at + 2);
                }
                Some(b"*/") => {
                    (depth, self.at) = (depth - 1, self.at + 2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            if escapes && *byte == b'\\' {
                self.at += 1;
            } else if *byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return;
                }
                self.at += 1;
            }
        }
        self.at = self.at.min(self.text.len());
    }

    fn dollar(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let close = 1 + rest[1..].iter().take_while(|b| is_word(**b)).count();
        if rest.get(close) != Some(&b'$') || rest[1].is_ascii_digit() {
            return false;
        }
        let tag = &rest[..=close];
        self.at += tag.len();
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let Some(next) = rest.iter().position(|b| *b == b'$') else { break };
            self.at += next;
            if self.text[self.at..].starts_with(tag) {
                self.at += tag.len();
                return true;
            }
            self.at += 1;
        }
        self.at = self.text.len();
        true
    }
}

fn is_operator(b: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&b)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}
