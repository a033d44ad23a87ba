//! SQL as tokens, as far as the files of `sql/` need it.

/// Where the objects lie.
const SCHEMA: &str = "domain_events";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Word,
    /// With its quotes.
    Literal,
    /// With its tags.
    Body,
    Mark,
}

#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a str,
    /// Where it begins.
    pub at: usize,
}

impl Token<'_> {
    pub fn is(&self, text: &str) -> bool {
        self.kind != TokenKind::Literal && self.text.eq_ignore_ascii_case(text)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Comments and white space are left out; words come without the quotes of quoted names.
pub fn tokens(sql: &str) -> Result<Vec<Token<'_>>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    let end_of = |start: usize, end: &str, from: usize| {
        sql[from..]
            .find(end)
            .map(|n| from + n + end.len())
            .ok_or(format!("{end} is missing after: {}", line(sql, start)))
    };
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if rest.starts_with("--") {
            at = rest.find('\n').map_or(sql.len(), |n| at + n);
            continue;
        }
        if rest.starts_with("/*") {
            at = end_of(start, "*/", at + 2)?;
            continue;
        }
        let kind = if c == '\'' {
            at = end_of(start, "'", at + 1)?;
            while sql[at..].starts_with('\'') {
                at = end_of(start, "'", at + 1)?;
            }
            TokenKind::Literal
        } else if c == '"' {
            at = end_of(start, "\"", at + 1)?;
            found.push(Token { kind: TokenKind::Word, text: &sql[start + 1..at - 1], at: start });
            continue;
        } else if c == '$' {
            let tag = &sql[at..end_of(start, "$", at + 1)?];
            at = end_of(start, tag, at + tag.len())?;
            TokenKind::Body
        } else if is_word(c) {
            at += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            TokenKind::Word
        } else {
            at += if rest.starts_with("::") { 2 } else { c.len_utf8() };
            TokenKind::Mark
        };
        found.push(Token { kind, text: &sql[start..at], at: start });
    }
    Ok(found)
}

fn line(sql: &str, at: usize) -> &str {
    sql[at..].lines().next().unwrap_or_default()
}

/// The statements of a file.
pub fn statements<'a, 'b>(tokens: &'b [Token<'a>]) -> impl Iterator<Item = &'b [Token<'a>]> {
    tokens.split(|token| token.is(";")).filter(|statement| !statement.is_empty())
}

/// What stands in the parentheses that open at `open`, and where they close.
pub fn within<'a, 'b>(tokens: &'b [Token<'a>], open: usize) -> Result<(&'b [Token<'a>], usize), String> {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok((&tokens[open + 1..index], index));
        }
    }
    Err(format!("a parenthesis is not closed: {}", tokens[open..].iter().map(|t| t.text).collect::<Vec<_>>().join(" ")))
}

/// Parts between commas.
pub fn parts<'a, 'b>(tokens: &'b [Token<'a>]) -> Vec<&'b [Token<'a>]> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "," if depth == 0 => {
                found.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        found.push(&tokens[start..]);
    }
    found
}

/// Where one of the words stands, outside parentheses; the end if none does.
pub fn position(tokens: &[Token], words: &[&str]) -> usize {
    let mut depth = 0;
    tokens
        .iter()
        .position(|token| {
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            depth == 0 && token.kind == TokenKind::Word && words.iter().any(|word| token.is(word))
        })
        .unwrap_or(tokens.len())
}

/// Whether these words, apart by spaces, are the first.
pub fn starts(tokens: &[Token], words: &str) -> bool {
    words.split(' ').enumerate().all(|(index, word)| tokens.get(index).is_some_and(|token| token.is(word)))
}

/// The name after `domain_events.` at this place.
pub fn own_name(tokens: &[Token], at: usize) -> Result<String, String> {
    match tokens.get(at..at + 3) {
        Some([schema, dot, name]) if schema.is(SCHEMA) && dot.is(".") => Ok(name.text.to_owned()),
        _ => Err(format!("no object of {SCHEMA}: {}", show(tokens))),
    }
}

/// Its beginning, for people.
pub fn show(tokens: &[Token]) -> String {
    tokens.iter().take(12).map(|token| token.text).collect::<Vec<_>>().join(" ")
}

/// A statement as it stands in the file.
pub fn whole(sql: &str, statement: &[Token]) -> String {
    let first = statement[0].at;
    let last = statement.last().map_or(first, |token| token.at + token.text.len());
    format!("{};\n", &sql[first..last])
}
