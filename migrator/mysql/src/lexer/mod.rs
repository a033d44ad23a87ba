//! Tokens of MySQL's language, as sqlparser's, with the bytes they stand in.
//!
//! sqlparser's own tokenizer gives up at the first character it does not know, has no byte offsets and reads `"x"` and
//! backslashes in one way; here `sql_mode` decides, and what stands after a broken string is still a text with a position.

mod bytes;
pub mod cursor;

use std::borrow::Cow;

use bytes::{
    backslash_escapes, end_of_comment, end_of_line, end_of_quoted, is_dash_comment, is_ident, unescape,
    unwrap_versioned_comments,
};
use sqlparser::tokenizer::Token;

use super::ast::{Position, SqlMode, Unread};
use domain_events_sql::limits;

/// A token with the bytes it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Lexeme {
    /// The token. Strings are always `SingleQuotedString`, a user variable is a word that begins with `@`.
    pub token: Token,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Where it begins in the file.
    pub position: Position,
}

impl Lexeme {
    /// The word in upper case, if it is one that was not quoted.
    pub fn keyword(&self) -> Option<String> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// Whether it is this unquoted word, given in upper case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(&self.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }
}

/// A text, its tokens and where its lines begin.
#[derive(Debug)]
pub struct Source<'t> {
    /// The text with the marks of versioned comments blanked out; offsets are those of the text given.
    pub text: Cow<'t, str>,
    /// The tokens.
    pub tokens: Vec<Lexeme>,
    /// Why the text could not be read to its end.
    pub broken: Option<Unread>,
    origin: Position,
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    /// Reads the tokens of a text that begins at `origin` in its file.
    pub fn new(text: &'t str, origin: Position, mode: SqlMode) -> Self {
        let text = unwrap_versioned_comments(text, mode);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut lexer = Lexer { text: &text, at: 0, mode, tokens: vec![] };
        let broken = lexer.run();
        let tokens = lexer.tokens;
        let mut source = Self { text, tokens, broken: None, origin, lines };
        source.place();
        source.broken = broken.map(|(at, reason)| Unread { position: source.position(at), reason: reason.to_owned() });
        source
    }

    /// Tells every token its place, in one pass: a line may be as long as the file.
    fn place(&mut self) {
        let (mut at, mut position) = (0, self.origin);
        for lexeme in &mut self.tokens {
            for char in self.text.get(at..lexeme.start).unwrap_or_default().chars() {
                if char == '\n' {
                    position = Position { line: position.line + 1, column: 1 };
                } else {
                    position.column += 1;
                }
            }
            at = lexeme.start;
            lexeme.position = position;
        }
    }

    /// Where a byte of the text stands in the file.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |t| t.chars().count()) as u64;
        if line == 0 {
            return Position { line: self.origin.line, column: self.origin.column + column };
        }
        Position { line: self.origin.line + line as u64, column: column + 1 }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    mode: SqlMode,
    tokens: Vec<Lexeme>,
}

type Broken = (usize, &'static str);

impl Lexer<'_> {
    fn run(&mut self) -> Option<Broken> {
        while self.at < self.text.len() {
            let start = self.at;
            if self.tokens.len() >= limits::LEXEMES {
                return Some((start, "more words than are read of one statement"));
            }
            match self.next() {
                Ok(Some(token)) => {
                    self.tokens.push(Lexeme { token, start, end: self.at, position: Position { line: 0, column: 0 } })
                }
                Ok(None) => {}
                Err(broken) => return Some(broken),
            }
        }
        None
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Result<Option<Token>, Broken> {
        let bytes = self.text.as_bytes();
        let Some(byte) = self.byte(0) else { return Ok(None) };
        Ok(Some(match byte {
            b if b.is_ascii_whitespace() || b == 0x0b => {
                self.at += 1;
                return Ok(None);
            }
            // a line that goes on in the next, as in a shell
            b'\\' if matches!(self.byte(1), Some(b'\n' | b'\r')) => {
                self.at += 1;
                return Ok(None);
            }
            b'#' => {
                self.at = end_of_line(bytes, self.at);
                return Ok(None);
            }
            b'-' if is_dash_comment(bytes, self.at) => {
                self.at = end_of_line(bytes, self.at);
                return Ok(None);
            }
            b'/' if self.byte(1) == Some(b'*') => {
                self.at = end_of_comment(bytes, self.at).ok_or((self.at, "a comment that does not end"))?;
                return Ok(None);
            }
            b'\'' | b'"' | b'`' => self.quoted()?,
            b'@' => self.variable()?,
            b'0'..=b'9' => self.number_or_word(),
            b'.' if self.byte(1).is_some_and(|b| b.is_ascii_digit()) && !self.after_name() => self.number(),
            b if is_ident(b) => self.word()?,
            b'\\' if self.byte(1) == Some(b'N') => {
                self.at += 2;
                Token::make_word("NULL", None)
            }
            _ => self.operator(),
        }))
    }

    /// Whether the token before ends right here and may be followed by a period and a column.
    fn after_name(&self) -> bool {
        self.tokens
            .last()
            .is_some_and(|last| last.end == self.at && matches!(last.token, Token::Word(_) | Token::Period))
    }

    /// The text between quotes with its escapes undone.
    fn contents(&mut self) -> Result<String, Broken> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let quote = bytes[start];
        let end = end_of_quoted(bytes, start, quote, self.mode).ok_or((
            start,
            if quote == b'`' { "a quoted name that does not end" } else { "a string that does not end" },
        ))?;
        self.at = end;
        Ok(unescape(&self.text[start + 1..end - 1], quote, backslash_escapes(quote, self.mode)))
    }

    fn quoted(&mut self) -> Result<Token, Broken> {
        let name = match self.byte(0) {
            Some(b'`') => true,
            Some(b'"') => self.mode.ansi_quotes,
            _ => false,
        };
        let text = self.contents()?;
        Ok(if name { Token::make_word(&text, Some('`')) } else { Token::SingleQuotedString(text) })
    }

    /// `@x`, ``@`x` ``, `@'x'`, `@@x`; `user@host` comes as two tokens.
    fn variable(&mut self) -> Result<Token, Broken> {
        let marks = if self.byte(1) == Some(b'@') { 2 } else { 1 };
        self.at += marks;
        let name = match self.byte(0) {
            Some(b'\'' | b'"' | b'`') => self.contents()?,
            _ => {
                let start = self.at;
                while self.byte(0).is_some_and(|b| is_ident(b) || b == b'.' && marks == 1) {
                    self.at += 1;
                }
                self.text[start..self.at].to_owned()
            }
        };
        if name.is_empty() && marks == 1 {
            return Ok(Token::AtSign);
        }
        Ok(Token::make_word(&format!("{}{name}", &"@@"[..marks]), None))
    }

    fn number_or_word(&mut self) -> Token {
        let rest = &self.text.as_bytes()[self.at..];
        let run = rest.iter().take_while(|b| is_ident(**b)).count();
        let word = &rest[..run];
        let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
        let start = self.at;
        let all = |from: usize, of: fn(&u8) -> bool| run > from && word[from..].iter().all(of);
        if word.starts_with(b"0x") && all(2, u8::is_ascii_hexdigit) {
            self.at += run;
            return Token::HexStringLiteral(self.text[start + 2..self.at].to_owned());
        }
        if word.starts_with(b"0b") && all(2, |b| matches!(b, b'0' | b'1')) {
            self.at += run;
            return Token::SingleQuotedByteStringLiteral(self.text[start + 2..self.at].to_owned());
        }
        let exponent = word.get(digits).is_some_and(|b| matches!(b, b'e' | b'E'))
            && (all(digits + 1, u8::is_ascii_digit)
                || run == digits + 1
                    && matches!(rest.get(run), Some(b'+' | b'-'))
                    && rest.get(run + 1).is_some_and(u8::is_ascii_digit));
        if (digits < run && !exponent) || (self.after_name() && matches!(self.last(), Some(Token::Period))) {
            self.at += run;
            return Token::make_word(&self.text[start..self.at], None);
        }
        self.number()
    }

    fn last(&self) -> Option<&Token> {
        self.tokens.last().map(|l| &l.token)
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            while lexer.byte(0).is_some_and(|b| b.is_ascii_digit()) {
                lexer.at += 1;
            }
        };
        digits(self);
        if self.byte(0) == Some(b'.') && self.byte(1) != Some(b'.') {
            self.at += 1;
            digits(self);
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if self.byte(1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.at += 1 + sign;
                digits(self);
            }
        }
        Token::Number(self.text[start..self.at].to_owned(), false)
    }

    fn word(&mut self) -> Result<Token, Broken> {
        let start = self.at;
        while self.byte(0).is_some_and(is_ident) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        if self.byte(0) == Some(b'\'') {
            match word {
                "x" | "X" => return Ok(Token::HexStringLiteral(self.contents()?)),
                "b" | "B" => return Ok(Token::SingleQuotedByteStringLiteral(self.contents()?)),
                "n" | "N" => return Ok(Token::NationalStringLiteral(self.contents()?)),
                _ => {}
            }
        }
        Ok(Token::make_word(word, None))
    }

    fn operator(&mut self) -> Token {
        const OPERATORS: [(&str, Token); 34] = [
            ("->>", Token::LongArrow),
            ("<=>", Token::Spaceship),
            ("->", Token::Arrow),
            (":=", Token::Assignment),
            ("<>", Token::Neq),
            ("!=", Token::Neq),
            ("<=", Token::LtEq),
            (">=", Token::GtEq),
            ("<<", Token::ShiftLeft),
            (">>", Token::ShiftRight),
            ("&&", Token::Overlap),
            ("||", Token::StringConcat),
            ("=", Token::Eq),
            ("<", Token::Lt),
            (">", Token::Gt),
            ("+", Token::Plus),
            ("-", Token::Minus),
            ("*", Token::Mul),
            ("/", Token::Div),
            ("%", Token::Mod),
            ("(", Token::LParen),
            (")", Token::RParen),
            (",", Token::Comma),
            (".", Token::Period),
            (";", Token::SemiColon),
            (":", Token::Colon),
            ("&", Token::Ampersand),
            ("|", Token::Pipe),
            ("^", Token::Caret),
            ("~", Token::Tilde),
            ("!", Token::ExclamationMark),
            ("{", Token::LBrace),
            ("}", Token::RBrace),
            ("\\", Token::Backslash),
        ];
        let rest = &self.text[self.at..];
        if let Some((text, token)) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.at += text.len();
            return token.clone();
        }
        let char = rest.chars().next().unwrap_or(' ');
        self.at += char.len_utf8();
        if char == '?' { Token::Placeholder("?".to_owned()) } else { Token::Char(char) }
    }
}
