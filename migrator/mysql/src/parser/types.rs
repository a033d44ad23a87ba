//! Types of variables, parameters and results.

use sqlparser::tokenizer::Token;

use super::super::ast::{Type, TypeKind};
use super::super::leaf;
use super::super::lexer::Lexeme;
use super::{Parser, Read};

impl Parser<'_> {
    pub(super) fn data_type(&mut self) -> Read<Type> {
        let from = self.at;
        let (mut charset, mut collation) = (None, None);
        let kind = if self.take(&["TYPE", "OF"]) {
            let mut names = vec![self.identifier("a table")?];
            while self.take_token(&Token::Period) {
                names.push(self.identifier("a column")?);
            }
            let Some(column) = names.pop().filter(|_| !names.is_empty()) else { return Err(self.expected("a column")) };
            let name = names.pop().unwrap_or_default();
            TypeKind::OfColumn { table: super::Name { database: names.pop(), name }, column }
        } else if self.take(&["ROW", "TYPE", "OF"]) {
            TypeKind::OfRow(self.name("a table")?)
        } else if self.sees(&["ROW"]) && self.token(1) == Some(&Token::LParen) {
            self.at += 2;
            TypeKind::Row(self.fields()?)
        } else {
            let tokens = self.type_tokens(&mut charset, &mut collation)?;
            TypeKind::Plain(leaf::data_type(&tokens, self.mode, self.position())?)
        };
        let span = self.span(from);
        let text = self.source.text.get(span.start + self.base..span.end + self.base).unwrap_or_default().to_owned();
        Ok(Type { text, kind, charset, collation })
    }

    fn fields(&mut self) -> Read<Vec<(String, Type)>> {
        // the fields of a row are no rows
        let mut fields = vec![];
        loop {
            let name = self.identifier("a field")?;
            if self.sees(&["ROW"]) {
                return Err(self.expected("a type that is no row"));
            }
            fields.push((name, self.data_type()?));
            if !self.take_token(&Token::Comma) {
                self.expect_token(&Token::RParen)?;
                return Ok(fields);
            }
        }
    }

    /// The tokens of a type that sqlparser is to read; what follows them and belongs to the type is taken too.
    fn type_tokens(&mut self, charset: &mut Option<String>, collation: &mut Option<String>) -> Read<Vec<Lexeme>> {
        let mut tokens = vec![];
        let national = self.take(&["NATIONAL"]);
        match self.token(0) {
            Some(Token::Word(word)) if word.quote_style.is_none() && !word.value.starts_with('@') => {}
            _ => return Err(self.expected("a type")),
        }
        if national {
            *charset = Some("utf8".to_owned());
        }
        tokens.extend(self.peek(0).cloned());
        self.at += 1;
        if self.sees_any(&["PRECISION", "VARYING"])
            || (tokens[0].is("LONG") && self.sees_any(&["VARCHAR", "VARBINARY"]))
        {
            tokens.extend(self.peek(0).cloned());
            self.at += 1;
        }
        if self.token(0) == Some(&Token::LParen) {
            let close = self.tokens[self.at..].iter().position(|l| l.token == Token::RParen);
            let Some(close) = close else { return Err(self.expected("a type with its closing parenthesis")) };
            tokens.extend_from_slice(&self.tokens[self.at..=self.at + close]);
            self.at += close + 1;
        }
        loop {
            if self.sees_any(&["UNSIGNED", "SIGNED"]) {
                tokens.extend(self.peek(0).cloned());
                self.at += 1;
            } else if self.take(&["CHARACTER", "SET"]) || self.take(&["CHARSET"]) || self.take(&["CHAR", "SET"]) {
                *charset = Some(self.charset()?);
            } else if self.take(&["COLLATE"]) {
                *collation = Some(self.charset()?);
            } else if !self.take(&["ZEROFILL"])
                && !self.take(&["BINARY"])
                && !self.take(&["ASCII"])
                && !self.take(&["UNICODE"])
            {
                return Ok(tokens);
            }
        }
    }

    fn charset(&mut self) -> Read<String> {
        match self.token(0) {
            Some(Token::SingleQuotedString(_)) => self.string("a character set"),
            _ => self.identifier("a character set"),
        }
    }
}
