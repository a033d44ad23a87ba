//! Words, names, strings and signs of a table's definition, with their places.

use crate::limits;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A bare word or number, as written.
    Word(String),
    /// A quoted name, unquoted.
    Name(String),
    /// A string literal, its escapes undone.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// A token and its bytes in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
}

/// The tokens of a statement without comments, as many as are read.
pub fn tokens(text: &str, ansi_quotes: bool, no_escapes: bool) -> Vec<Token> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next().filter(|_| tokens.len() < limits::LEXEMES) {
        let rest = &text[at..];
        let start = at;
        let kind = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '-' if rest[1..].starts_with('-') && rest[2..].chars().next().is_none_or(char::is_whitespace) => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '/' if rest[1..].starts_with('*') => {
                at += rest.find("*/").map_or(rest.len(), |i| i + 2);
                continue;
            }
            '`' => {
                let (name, length) = quoted(rest, '`', true);
                at += length;
                Kind::Name(name)
            }
            '\'' | '"' => {
                let is_name = c == '"' && ansi_quotes;
                let (text, length) = quoted(rest, c, is_name || no_escapes);
                at += length;
                if is_name { Kind::Name(text) } else { Kind::Text(text) }
            }
            c if is_word(c) => {
                let mut length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                // 1.5 is one number
                if c.is_ascii_digit()
                    && let Some(fraction) = rest[length..].strip_prefix('.')
                {
                    length += 1 + fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                }
                at += length;
                Kind::Word(rest[..length].to_owned())
            }
            c => {
                at += c.len_utf8();
                Kind::Sign(c)
            }
        };
        tokens.push(Token { kind, start, end: at });
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@')
}

// The inside of quotes and the length of it all.
fn quoted(text: &str, quote: char, plain: bool) -> (String, usize) {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        if c == quote {
            if chars.next_if(|(_, d)| *d == quote).is_none() {
                return (inside, i + 1);
            }
            inside.push(quote);
        } else if c == '\\' && !plain {
            match chars.next().map(|(_, d)| d) {
                Some('n') => inside.push('\n'),
                Some('r') => inside.push('\r'),
                Some('t') => inside.push('\t'),
                Some('0') => inside.push('\0'),
                Some('b') => inside.push('\u{8}'),
                Some('Z') => inside.push('\u{1a}'),
                Some(d @ ('%' | '_')) => inside.extend(['\\', d]),
                Some(d) => inside.push(d),
                None => {}
            }
        } else {
            inside.push(c);
        }
    }
    (inside, text.len())
}

/// A place in the tokens of a text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token.
    pub fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens, at: 0 }
    }

    /// The next token.
    pub fn peek(&self) -> Option<&'a Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Option<&'a Kind> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(&token.kind)
    }

    /// Whether these words follow.
    pub fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| {
            matches!(self.tokens.get(self.at + i), Some(Token { kind: Kind::Word(w), .. }) if w.eq_ignore_ascii_case(word))
        })
    }

    /// Takes these words if they follow.
    pub fn takes(&mut self, words: &[&str]) -> bool {
        let sees = self.sees(words);
        if sees {
            self.at += words.len();
        }
        sees
    }

    /// Takes a sign if it follows.
    pub fn sign(&mut self, sign: char) -> bool {
        let sees = self.peek() == Some(&Kind::Sign(sign));
        self.at += usize::from(sees);
        sees
    }

    /// Takes a name, quoted or not.
    pub fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Kind::Word(name) | Kind::Name(name) => {
                self.at += 1;
                Some(name.clone())
            }
            _ => None,
        }
    }

    /// Takes a name that may follow a database: `(database, name)`.
    pub fn qualified(&mut self) -> Option<(Option<String>, String)> {
        let first = self.name()?;
        if self.sign('.') { Some((Some(first), self.name()?)) } else { Some((None, first)) }
    }

    /// Takes a string, or a bare word in its place.
    pub fn text(&mut self) -> Option<String> {
        match self.peek()? {
            Kind::Text(text) | Kind::Word(text) | Kind::Name(text) => {
                self.at += 1;
                Some(text.clone())
            }
            Kind::Sign(_) => None,
        }
    }

    /// After an opening parenthesis: its inside as written, beyond the closing one.
    pub fn inside(&mut self) -> Option<String> {
        let begin = self.tokens.get(self.at)?.start;
        let end = self.skip_group()?;
        Some(self.text[begin..end].trim().to_owned())
    }

    // Beyond the parenthesis that closes what is open; the byte where it stands.
    fn skip_group(&mut self) -> Option<usize> {
        let mut depth = 0;
        loop {
            let token = self.tokens.get(self.at)?;
            self.at += 1;
            match token.kind {
                Kind::Sign('(') => depth += 1,
                Kind::Sign(')') if depth == 0 => return Some(token.start),
                Kind::Sign(')') => depth -= 1,
                _ => {}
            }
        }
    }

    /// Takes what stands until a comma or a closing parenthesis of this level, as written.
    pub fn until_comma(&mut self) -> String {
        let begin = self.tokens.get(self.at).map_or(self.text.len(), |t| t.start);
        let mut end = begin;
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                Kind::Sign('(') => depth += 1,
                Kind::Sign(',' | ')') if depth == 0 => break,
                Kind::Sign(')') => depth -= 1,
                _ => {}
            }
            end = token.end;
            self.at += 1;
        }
        self.text[begin..end].to_owned()
    }

    /// The text that is next, for messages.
    pub fn near(&self) -> String {
        match self.tokens.get(self.at) {
            Some(token) => self.text[token.start..].chars().take(40).collect(),
            None => "the end".into(),
        }
    }

    /// The byte of the next token.
    pub fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |t| t.start)
    }
}
