//! One form for what a file says and what PostgreSQL gives back: without white space, parentheses, quotes of names and casts
//! to built-in types. `proof.sql` brings the other side to it.

use sha2::{Digest, Sha256};

use crate::token::{Token, TokenKind};

/// A type as format_type() writes it, from one word of it.
fn type_word(word: &str) -> &str {
    match word {
        "int" | "int4" => "integer",
        "int2" => "smallint",
        "int8" => "bigint",
        "bool" => "boolean",
        "timestamptz" => "timestamp with time zone",
        other => other,
    }
}

/// A type with white space, as format_type() writes it.
pub fn type_name(tokens: &[Token]) -> String {
    let mut name = String::new();
    let mut glued = true;
    for token in tokens {
        let is_word = token.kind == TokenKind::Word;
        if is_word && !glued {
            name.push(' ');
        }
        name += type_word(&token.text.to_lowercase());
        glued = !is_word;
    }
    name
}

pub fn types(tokens: &[Token]) -> String {
    type_name(tokens).replace([' ', '(', ')'], "")
}

/// An expression, a query or the rest of a definition.
pub fn text(tokens: &[Token]) -> String {
    let mut canon = String::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let next = |n: usize| tokens.get(index + n);
        let is_list = |token: Option<&Token>| token.is_some_and(|t| t.kind == TokenKind::Literal);
        if token.is("pg_catalog") && next(1).is_some_and(|t| t.is(".")) {
            index += 2;
            continue;
        }
        if token.is("::") {
            // A built-in type of one word, and perhaps an array of it.
            index += 2;
            if tokens.get(index).is_some_and(|t| t.is("[")) {
                index += 2;
            }
            continue;
        }
        if token.is("in") && next(1).is_some_and(|t| t.is("(")) && is_list(next(2)) {
            canon += "=anyarray[";
            index += 2;
            while let Some(token) = tokens.get(index).filter(|t| !t.is(")")) {
                canon += &token.text.to_lowercase();
                index += 1;
            }
            canon += "]";
            index += 1;
            continue;
        }
        if !matches!(token.text, "(" | ")") {
            canon += &token.text.to_lowercase().replace(char::is_whitespace, "").replace(['(', ')', '"'], "");
        }
        index += 1;
    }
    canon
}

/// A digest of a text that is too long to be compared itself.
pub fn sha(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
