//! Recursive descent over the block language of MySQL and MariaDB.
//!
//! One bad statement never costs another: it becomes [`StatementKind::Unread`] in its place, with where and why, and reading goes on
//! after its semicolon. What stays open at the end of the text keeps the statements read so far.

mod block;
mod flow;
mod head;
mod simple;
mod types;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod leaf_tests;
#[cfg(test)]
mod tests;

use sqlparser::tokenizer::Token;

use super::ast::{Expression, Name, Position, Program, SqlMode, Statement, StatementKind, Unread};
use super::leaf;
use super::lexer::{Lexeme, Source};

/// Statements nested deeper are not read.
const DEPTH: usize = 100;

/// A text that may define a stored program.
#[derive(Debug, Clone, Copy)]
pub struct Text<'t> {
    /// The statement, without its delimiter.
    pub text: &'t str,
    /// Where it begins in its file.
    pub position: Position,
    /// The modes in force there.
    pub mode: SqlMode,
}

/// A CREATE TRIGGER, FUNCTION, PROCEDURE or EVENT whose head could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHead {
    /// TRIGGER, FUNCTION, PROCEDURE or EVENT.
    pub what: String,
    /// Its name, as far as it was read.
    pub name: Option<Name>,
    /// Where and why.
    pub why: Unread,
}

/// Reads a stored program; none if the text is another statement.
pub fn program(text: Text<'_>) -> Option<Result<Program, BadHead>> {
    let source = Source::new(text.text, text.position, text.mode);
    let mut parser = Parser::new(&source, text.mode);
    parser.program()
}

/// Reads a body alone, as that of a trigger.
pub fn body(text: Text<'_>) -> Statement {
    let source = Source::new(text.text, text.position, text.mode);
    let mut parser = Parser::new(&source, text.mode);
    parser.whole_body()
}

type Read<T> = Result<T, Unread>;

struct Parser<'s> {
    source: &'s Source<'s>,
    tokens: &'s [Lexeme],
    at: usize,
    mode: SqlMode,
    depth: usize,
    /// Where the program begins in the text: spans are relative to it.
    base: usize,
    /// Whether it was said that something is missing at the end of the text.
    said_of_end: bool,
}

impl<'s> Parser<'s> {
    fn new(source: &'s Source<'s>, mode: SqlMode) -> Self {
        Self { source, tokens: &source.tokens, at: 0, mode, depth: 0, base: 0, said_of_end: false }
    }

    fn peek(&self, ahead: usize) -> Option<&'s Lexeme> {
        self.tokens.get(self.at + ahead)
    }

    fn token(&self, ahead: usize) -> Option<&'s Token> {
        self.peek(ahead).map(|l| &l.token)
    }

    /// Whether the words from here on are these, unquoted.
    fn sees(&self, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(n, keyword)| self.peek(n).is_some_and(|l| l.is(keyword)))
    }

    fn sees_any(&self, keywords: &[&str]) -> bool {
        self.peek(0).is_some_and(|l| keywords.iter().any(|k| l.is(k)))
    }

    /// Takes the words if they are all there.
    fn take(&mut self, keywords: &[&str]) -> bool {
        let there = self.sees(keywords);
        if there {
            self.at += keywords.len();
        }
        there
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let there = self.token(0) == Some(token);
        if there {
            self.at += 1;
        }
        there
    }

    fn expect(&mut self, keywords: &[&str]) -> Read<()> {
        for keyword in keywords {
            if !self.take(&[keyword]) {
                return Err(self.expected(keyword));
            }
        }
        Ok(())
    }

    fn expect_token(&mut self, token: &Token) -> Read<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    /// Where the next token is, or the end of the text.
    fn position(&self) -> Position {
        self.peek(0).map_or_else(|| self.source.position(self.source.text.len()), |l| l.position)
    }

    fn expected(&self, what: &str) -> Unread {
        match (self.peek(0), &self.source.broken) {
            (Some(lexeme), _) => {
                let found = self.source.text.get(lexeme.start..lexeme.end).unwrap_or_default();
                let shown: String = found.chars().take(40).collect();
                Unread { position: lexeme.position, reason: format!("expected {what}, found {shown}") }
            }
            (None, Some(broken)) => {
                Unread { position: broken.position, reason: format!("expected {what}, found {}", broken.reason) }
            }
            (None, None) => {
                Unread { position: self.position(), reason: format!("expected {what}, found the end of the text") }
            }
        }
    }

    /// The bytes from a token to the last one taken, within the program.
    fn span(&self, from: usize) -> std::ops::Range<usize> {
        let last = self.tokens.last().map_or(self.source.text.len(), |l| l.end);
        let start = self.tokens.get(from).map_or(last, |l| l.start);
        let end = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(start, |l| l.end);
        start.saturating_sub(self.base)..end.max(start).saturating_sub(self.base)
    }

    /// An identifier, quoted or not.
    fn identifier(&mut self, what: &str) -> Read<String> {
        match self.token(0) {
            Some(Token::Word(word)) if word.quote_style.is_some() || !word.value.starts_with('@') => {
                self.at += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// `name` or `database.name`.
    fn name(&mut self, what: &str) -> Read<Name> {
        let first = self.identifier(what)?;
        if self.take_token(&Token::Period) {
            return Ok(Name { database: Some(first), name: self.identifier(what)? });
        }
        Ok(Name { database: None, name: first })
    }

    fn string(&mut self, what: &str) -> Read<String> {
        match self.token(0) {
            Some(Token::SingleQuotedString(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// The tokens up to a comma, a closing parenthesis, a semicolon or one of the words, all outside of parentheses and CASE.
    fn leaf(&self, ends: &[&str], comma: bool) -> usize {
        let (mut open, mut cases) = (0_usize, 0_usize);
        for (n, lexeme) in self.tokens[self.at..].iter().enumerate() {
            match &lexeme.token {
                Token::SemiColon => return n,
                Token::LParen => open += 1,
                Token::RParen if open == 0 => return n,
                Token::RParen => open -= 1,
                Token::Comma if comma && open == 0 && cases == 0 => return n,
                Token::Word(_) if open == 0 => {
                    let after_period = n > 0 && self.token(n - 1) == Some(&Token::Period);
                    if after_period {
                    } else if cases == 0 && ends.iter().any(|end| lexeme.is(end)) {
                        return n;
                    } else if lexeme.is("CASE") {
                        cases += 1;
                    } else if lexeme.is("END") && cases > 0 {
                        cases -= 1;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len() - self.at
    }

    /// An expression up to one of the words. That it cannot be read is kept in its place.
    fn expression(&mut self, ends: &[&str], comma: bool) -> Expression {
        let from = self.at;
        let position = self.position();
        self.at += self.leaf(ends, comma);
        let tree = leaf::expression(&self.tokens[from..self.at], self.mode, self.position());
        Expression { position, span: self.span(from), tree }
    }

    /// Expressions between parentheses; none if no parenthesis opens.
    fn arguments(&mut self) -> Read<Vec<Expression>> {
        if !self.take_token(&Token::LParen) {
            return Ok(vec![]);
        }
        let mut arguments = vec![];
        if self.take_token(&Token::RParen) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(&[], true));
            if !self.take_token(&Token::Comma) {
                self.expect_token(&Token::RParen)?;
                return Ok(arguments);
            }
        }
    }

    /// Statements up to one of the words that close what encloses them.
    fn statements(&mut self, ends: &[&str]) -> Vec<Statement> {
        let mut statements = vec![];
        while self.peek(0).is_some() && !self.sees_any(ends) {
            let from = self.at;
            if self.take_token(&Token::SemiColon) {
                continue;
            }
            statements.push(self.statement());
            let ended = self.take_token(&Token::SemiColon) || self.peek(0).is_none() && self.source.broken.is_none();
            if !ended {
                let why = self.expected(";");
                let bad = self.at;
                self.skip_statement();
                self.take_token(&Token::SemiColon);
                if self.at > bad || self.says_of_end() {
                    statements.push(self.unread(bad, why));
                }
            }
            if self.at == from {
                self.at += 1;
            }
        }
        statements
    }

    /// Whether the text is at its end and nothing was said of that yet.
    fn says_of_end(&mut self) -> bool {
        self.peek(0).is_none() && !std::mem::replace(&mut self.said_of_end, true)
    }

    /// One statement, without its semicolon.
    fn statement(&mut self) -> Statement {
        let from = self.at;
        let position = self.position();
        if self.depth >= DEPTH {
            let why = Unread { position, reason: format!("statements nested more than {DEPTH} levels deep") };
            self.skip_statement();
            return self.unread(from, why);
        }
        self.depth += 1;
        let kind = self.kind();
        self.depth -= 1;
        match kind {
            Ok(kind) => Statement { position, span: self.span(from), kind },
            Err(why) => {
                self.at = from;
                self.skip_statement();
                self.unread(from, why)
            }
        }
    }

    /// An [`StatementKind::Unread`] of the tokens from one up to here.
    fn unread(&self, from: usize, why: Unread) -> Statement {
        let position = self.tokens.get(from).map_or(why.position, |l| l.position);
        let writes = self.writes(from, self.at);
        Statement { position, span: self.span(from), kind: StatementKind::Unread { why, writes } }
    }

    /// Goes to the semicolon that ends the statement begun here, over whatever blocks it opens, but not over the word that
    /// closes what encloses it.
    fn skip_statement(&mut self) {
        let mut open = 0_usize;
        let mut cases = 0_usize;
        // whether a statement may begin here
        let mut begins = true;
        while let Some(lexeme) = self.peek(0) {
            let Some(word) = lexeme.keyword() else {
                if lexeme.token == Token::SemiColon {
                    if open == 0 {
                        return;
                    }
                    begins = true;
                    cases = 0;
                }
                begins = begins && matches!(lexeme.token, Token::SemiColon) || lexeme.token == Token::Colon;
                self.at += 1;
                continue;
            };
            match word.as_str() {
                "BEGIN" => open += 1,
                "LOOP" => open += 1,
                "IF" | "REPEAT" if begins && self.token(1) != Some(&Token::LParen) => open += 1,
                // IF may have its condition in parentheses
                "IF" if begins && self.opens_if() => open += 1,
                "WHILE" if begins => open += 1,
                "CASE" if begins => open += 1,
                "CASE" => cases += 1,
                "END" if cases > 0 => cases -= 1,
                "END" if open == 0 => return,
                "END" => {
                    open -= 1;
                    if ["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"]
                        .iter()
                        .any(|k| self.peek(1).is_some_and(|l| l.is(k)))
                    {
                        self.at += 1;
                    }
                }
                _ => {}
            }
            begins = matches!(word.as_str(), "BEGIN" | "THEN" | "ELSE" | "DO" | "LOOP" | "REPEAT") && cases == 0;
            self.at += 1;
        }
    }

    /// Whether `IF (` opens a statement: THEN comes before the next semicolon.
    fn opens_if(&self) -> bool {
        self.tokens[self.at..].iter().take_while(|l| l.token != Token::SemiColon).any(|l| l.is("THEN"))
    }

    /// The tables that a stretch of tokens seems to write to.
    fn writes(&self, from: usize, to: usize) -> Vec<Name> {
        let tokens = &self.tokens[from..to.max(from)];
        let mut names = vec![];
        for (n, lexeme) in tokens.iter().enumerate() {
            let rest = &tokens[n + 1..];
            let skip = |words: &[&str]| rest.iter().take_while(|l| words.iter().any(|w| l.is(w))).count();
            let at = match lexeme.keyword().as_deref() {
                Some("INSERT" | "REPLACE") => skip(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]),
                Some("UPDATE") => skip(&["LOW_PRIORITY", "IGNORE"]),
                Some("DELETE") => skip(&["LOW_PRIORITY", "QUICK", "IGNORE", "FROM"]),
                _ => continue,
            };
            let word = |n: usize| match rest.get(n).map(|l| &l.token) {
                Some(Token::Word(word)) => Some(word.value.clone()),
                _ => None,
            };
            // FOR UPDATE and ON DUPLICATE KEY UPDATE name no table
            let is_clause = lexeme.is("UPDATE") && n > 0 && (tokens[n - 1].is("FOR") || tokens[n - 1].is("KEY"));
            let Some(first) = word(at).filter(|_| !is_clause) else { continue };
            let second = (rest.get(at + 1).map(|l| &l.token) == Some(&Token::Period)).then(|| word(at + 2)).flatten();
            let name = match second {
                Some(name) => Name { database: Some(first), name },
                None => Name { database: None, name: first },
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
