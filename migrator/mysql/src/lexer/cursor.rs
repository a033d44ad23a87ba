//! A place in the tokens of a statement, for definitions of tables, SET and the heads of INSERT.

use sqlparser::tokenizer::Token;

use super::{Lexeme, Source};

/// A token as far as these ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A bare word or number, as written.
    Word(&'a str),
    /// A quoted name, unquoted.
    Name(&'a str),
    /// A string literal, its escapes undone.
    Text(&'a str),
    /// The digits of `x'41'` and `0x41`.
    Hex(&'a str),
    /// The digits of `b'101'` and `0b101`.
    Bits(&'a str),
    /// Any other, by its first character.
    Sign(char),
}

impl<'a> Part<'a> {
    /// A name, quoted or not.
    pub fn name(self) -> Option<&'a str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            _ => None,
        }
    }

    /// A string, or a name in its place.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            other => other.name(),
        }
    }

    /// Whether it is this bare word.
    pub fn is(self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }
}

impl<'t> Source<'t> {
    /// The tokens in that form.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.tokens.iter().map(|lexeme| part(&self.text, lexeme))
    }
}

fn part<'a>(text: &'a str, lexeme: &'a Lexeme) -> Part<'a> {
    match &lexeme.token {
        Token::Word(word) if word.quote_style.is_some() => Part::Name(&word.value),
        Token::Word(word) => Part::Word(&word.value),
        Token::Number(number, _) => Part::Word(number),
        Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => Part::Text(text),
        Token::HexStringLiteral(digits) => Part::Hex(digits),
        Token::SingleQuotedByteStringLiteral(digits) => Part::Bits(digits),
        _ => Part::Sign(text[lexeme.start..].chars().next().unwrap_or(' ')),
    }
}

/// A place in the tokens of a text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    tokens: &'a [Lexeme],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token.
    pub fn new(source: &'a Source<'_>) -> Self {
        Self { text: &source.text, tokens: &source.tokens, at: 0 }
    }

    /// The next token.
    pub fn peek(&self) -> Option<Part<'a>> {
        self.tokens.get(self.at).map(|lexeme| part(self.text, lexeme))
    }

    /// Takes the next token.
    pub fn take(&mut self) -> Option<Part<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Whether these words follow.
    pub fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.tokens.get(self.at + i).is_some_and(|lexeme| lexeme.is(word)))
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
        let sees = self.peek() == Some(Part::Sign(sign));
        self.at += usize::from(sees);
        sees
    }

    /// Takes a name, quoted or not.
    pub fn name(&mut self) -> Option<String> {
        let name = self.peek()?.name()?;
        self.at += 1;
        Some(name.to_owned())
    }

    /// Takes a name that may follow a database: `(database, name)`.
    pub fn qualified(&mut self) -> Option<(Option<String>, String)> {
        let first = self.name()?;
        if self.sign('.') { Some((Some(first), self.name()?)) } else { Some((None, first)) }
    }

    /// Takes a string, or a bare word in its place.
    pub fn text(&mut self) -> Option<String> {
        let text = self.peek()?.text()?;
        self.at += 1;
        Some(text.to_owned())
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
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return Some(token.start),
                Token::RParen => depth -= 1,
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
            match token.token {
                Token::LParen => depth += 1,
                Token::Comma | Token::RParen if depth == 0 => break,
                Token::RParen => depth -= 1,
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
