//! The first words of a statement, and the names in it.

use sqlparser::tokenizer::Token;

use super::super::ast::{Name, Position, SqlMode};
use super::super::lexer::{Lexeme, Source as Lexed};

/// Nothing but comments, or a query in parentheses.
pub(super) fn is_blank(text: &str, position: Position, mode: SqlMode) -> bool {
    let lexed = Lexed::new(text, position, mode);
    lexed.broken.is_none() && lexed.tokens.first().is_none_or(|l| l.token == Token::LParen)
}

/// The first three words of a statement, in upper case, comments left out.
pub(super) fn first_words(text: &str) -> Vec<String> {
    let mut head = text.len().min(400);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    // a statement may begin with comments longer than that
    let whole = text.trim_start().starts_with(['/', '#', '-']);
    let lexed =
        Lexed::new(if whole { text } else { &text[..head] }, Position { line: 1, column: 1 }, SqlMode::default());
    lexed.tokens.iter().take(3).map_while(Lexeme::keyword).collect()
}

/// The names of a list of tables, up to anything else.
pub(super) fn names(mut tokens: &[Lexeme]) -> Vec<Name> {
    let mut names = vec![];
    while let Some(Token::Word(first)) = tokens.first().map(|l| &l.token) {
        let second = match (tokens.get(1).map(|l| &l.token), tokens.get(2).map(|l| &l.token)) {
            (Some(Token::Period), Some(Token::Word(second))) => Some(second.value.clone()),
            _ => None,
        };
        tokens = &tokens[if second.is_some() { 3 } else { 1 }..];
        names.push(match second {
            Some(name) => Name { database: Some(first.value.clone()), name },
            None => Name { database: None, name: first.value.clone() },
        });
        if tokens.first().map(|l| &l.token) != Some(&Token::Comma) {
            break;
        }
        tokens = &tokens[1..];
    }
    names
}

/// Whether two databases are one; none if one of them is not known.
pub(super) fn is_same(one: &Option<String>, other: &Option<String>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.eq_ignore_ascii_case(other)),
        (None, None) => Some(true),
        _ => None,
    }
}
