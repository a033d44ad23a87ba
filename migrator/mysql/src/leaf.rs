//! Leaves of a stored program: expressions, queries and changes of rows, read by sqlparser after their tokens were brought
//! into the one form that [`super::ast`] promises.

use sqlparser::ast::{DataType, Expr, Ident, ObjectName, Query, Statement, TypeModifier};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::ast::{Position, SqlMode, Unread};
use super::dialect::Leaf;
use super::lexer::Lexeme;

/// Expressions nested deeper are not read; MySQL's own limit is its stack.
const DEPTH: usize = 200;
/// Operators in one list element; a longer chain is a tree deeper than a stack.
const CHAIN: usize = 1500;

/// Reads an expression; `after` is where the text goes on.
pub fn expression(tokens: &[Lexeme], mode: SqlMode, after: Position) -> Result<Box<Expr>, Unread> {
    if let [Lexeme { token: Token::Word(word), .. }] = tokens {
        // ON, DEFAULT and the like, as values of system variables
        let known = ["null", "true", "false", "current_timestamp", "current_date", "current_time", "current_user"];
        let special = known.iter().any(|k| word.value.eq_ignore_ascii_case(k))
            || ["localtime", "localtimestamp", "utc_date", "utc_time", "utc_timestamp"]
                .iter()
                .any(|k| word.value.eq_ignore_ascii_case(k));
        if word.quote_style.is_some() || !special {
            return Ok(Box::new(Expr::Identifier(Ident {
                value: word.value.clone(),
                quote_style: word.quote_style,
                span: Span::empty(),
            })));
        }
    }
    read(tokens, mode, after, "an expression", |parser| parser.parse_expr().map(Box::new))
}

/// Reads a query.
pub fn query(tokens: &[Lexeme], mode: SqlMode, after: Position) -> Result<Box<Query>, Unread> {
    read(tokens, mode, after, "a query", |parser| parser.parse_query())
}

/// Reads a statement.
pub fn statement(tokens: &[Lexeme], mode: SqlMode, after: Position) -> Result<Box<Statement>, Unread> {
    let said = with_as(tokens);
    let tokens = said.as_deref().unwrap_or(tokens);
    read(tokens, mode, after, "a statement", |parser| parser.parse_statement().map(Box::new))
}

/// `CREATE TABLE t (SELECT ..)` with the AS that MySQL does not ask for.
fn with_as(tokens: &[Lexeme]) -> Option<Vec<Lexeme>> {
    let is = |lexeme: &Lexeme, wanted: &str| matches!(&lexeme.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(wanted));
    let (first, open) = (tokens.first()?, tokens.iter().position(|l| l.token == Token::LParen)?);
    let table = tokens[..open].iter().position(|l| is(l, "table"))?;
    let query = tokens[open..].iter().find(|l| l.token != Token::LParen)?;
    // nothing but a name stands between
    if !is(first, "create") || tokens[table..open].iter().any(|l| is(l, "as") || is(l, "like")) || !is(query, "select")
    {
        return None;
    }
    let mut said = tokens.to_vec();
    said.insert(open, Lexeme { token: Token::make_keyword("AS"), ..tokens[open].clone() });
    Some(said)
}

/// Reads a type. One that sqlparser does not know is `DataType::Custom`.
pub fn data_type(tokens: &[Lexeme], mode: SqlMode, after: Position) -> Result<DataType, Unread> {
    read(tokens, mode, after, "a type", |parser| parser.parse_data_type()).or_else(|why| {
        let Some(Token::Word(name)) = tokens.first().map(|l| &l.token) else { return Err(why) };
        let arguments = tokens[1..]
            .iter()
            .filter(|l| !matches!(l.token, Token::LParen | Token::RParen | Token::Comma))
            .map(|l| match &l.token {
                Token::SingleQuotedString(text) => TypeModifier::String(text.clone()),
                Token::Number(digits, long) => TypeModifier::Number(digits.clone(), *long),
                token => TypeModifier::Identifier(Ident::new(token.to_string())),
            })
            .collect();
        Ok(DataType::Custom(ObjectName::from(vec![Ident::new(name.value.clone())]), arguments))
    })
}

fn read<T>(
    tokens: &[Lexeme],
    mode: SqlMode,
    after: Position,
    what: &str,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Unread> {
    let Some(first) = tokens.first() else {
        return Err(Unread { position: after, reason: format!("expected {what}") });
    };
    if is_chain(tokens) {
        return Err(Unread {
            position: first.position,
            reason: format!("more than {CHAIN} operators in one expression"),
        });
    }
    let tokens = normalise(tokens, mode);
    let mut parser = Parser::new(&Leaf).with_recursion_limit(DEPTH).with_tokens_with_locations(tokens);
    let tree = parse(&mut parser).map_err(|error| unread(&error, &parser, after, first.position, what))?;
    match parser.peek_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok(tree),
        rest => Err(Unread {
            position: Position { line: rest.span.start.line, column: rest.span.start.column },
            reason: format!("expected the end of {what}, found {}", rest.token),
        }),
    }
}

/// Whether one element between commas and parentheses has so many operators that its tree could not be walked.
fn is_chain(tokens: &[Lexeme]) -> bool {
    let mut open = vec![0_usize];
    for lexeme in tokens {
        match &lexeme.token {
            Token::LParen => open.push(0),
            Token::RParen => {
                if open.len() > 1 {
                    open.pop();
                }
            }
            Token::Comma => {
                if let Some(count) = open.last_mut() {
                    *count = 0;
                }
            }
            Token::SingleQuotedString(_) | Token::Number(..) => {}
            Token::Word(word) if word.keyword == sqlparser::keywords::Keyword::NoKeyword => {}
            _ => {
                if let Some(count) = open.last_mut() {
                    *count += 1;
                    if *count > CHAIN * 2 {
                        return true;
                    }
                }
            }
        }
    }
    false
}

fn unread(error: &ParserError, parser: &Parser<'_>, after: Position, first: Position, what: &str) -> Unread {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Unread { position: first, reason: format!("{what} nested more than {DEPTH} levels deep") };
        }
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, place.split_once(", Column: ")),
        None => (message, None),
    };
    let place =
        place.and_then(|(line, column)| Some(Position { line: line.parse().ok()?, column: column.parse().ok()? }));
    let position = place.filter(|p| p.line > 0).unwrap_or_else(|| {
        let next = parser.peek_token().span.start;
        if next.line > 0 { Position { line: next.line, column: next.column } } else { after }
    });
    let reason =
        text.replace("Expected: ", "expected ").replace("found: EOF", "found the end").replace("found: ", "found ");
    Unread { position, reason }
}

/// The tokens as sqlparser shall see them.
fn normalise(lexemes: &[Lexeme], mode: SqlMode) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(lexemes.len() + 1);
    let mut at = 0;
    let joined = updated_tables(lexemes);
    while let Some(lexeme) = lexemes.get(at) {
        let rest = &lexemes[at..];
        let dropped = dropped(rest, out.last());
        if dropped > 0 {
            at += dropped;
            continue;
        }
        let location = Location::new(lexeme.position.line, lexeme.position.column);
        let span = Span::new(location, location);
        at += 1;
        let token = match &lexeme.token {
            Token::SingleQuotedString(text) => {
                if let Some(TokenWithSpan { token: Token::SingleQuotedString(before), .. }) = out.last_mut() {
                    before.push_str(text);
                    continue;
                }
                lexeme.token.clone()
            }
            Token::Overlap => Token::make_word("AND", None),
            Token::StringConcat if !mode.pipes_as_concat => Token::make_word("OR", None),
            // an updated list of tables is a cross join
            Token::Comma if at <= joined => {
                out.push(TokenWithSpan { token: Token::make_word("CROSS", None), span });
                Token::make_word("JOIN", None)
            }
            _ if lexeme.is("IGNORE") && matches!(out.as_slice(), [only] if is_word(&only.token, "UPDATE")) => {
                out.push(TokenWithSpan { token: Token::make_word("OR", None), span });
                lexeme.token.clone()
            }
            // TRIM(LEADING FROM x)
            _ if rest.len() > 1
                && rest[1].is("FROM")
                && ["LEADING", "TRAILING", "BOTH"].iter().any(|k| lexeme.is(k)) =>
            {
                out.push(TokenWithSpan { token: lexeme.token.clone(), span });
                Token::SingleQuotedString(" ".to_owned())
            }
            _ if rest.len() > 3 && is_sequence(rest) => {
                let function = if lexeme.is("NEXT") { "NEXTVAL" } else { "LASTVAL" };
                let name = rest[3..].iter().take_while(|l| matches!(l.token, Token::Word(_) | Token::Period)).count();
                at += 2 + name;
                let call = [Token::make_word(function, None), Token::LParen].into_iter();
                let call = call.chain(rest[3..3 + name].iter().map(|l| l.token.clone()));
                out.extend(call.map(|token| TokenWithSpan { token, span }));
                Token::RParen
            }
            _ if rest.len() > 3
                && lexeme.is("LOCK")
                && rest[1].is("IN")
                && rest[2].is("SHARE")
                && rest[3].is("MODE") =>
            {
                out.push(TokenWithSpan { token: Token::make_word("FOR", None), span });
                at += 3;
                Token::make_word("SHARE", None)
            }
            _ if lexeme.is("VALUE") && is_value_list(&lexemes[..at - 1], &lexemes[at..]) => {
                Token::make_word("VALUES", None)
            }
            token => token.clone(),
        };
        out.push(TokenWithSpan { token, span });
    }
    out.push(TokenWithSpan { token: Token::EOF, span: Span::empty() });
    out
}

/// Where the tables of `UPDATE a, b SET ..` end; 0 if the statement is another one.
fn updated_tables(lexemes: &[Lexeme]) -> usize {
    if !lexemes.first().is_some_and(|l| l.is("UPDATE")) {
        return 0;
    }
    let mut open = 0_i64;
    let set = lexemes.iter().position(|l| {
        match l.token {
            Token::LParen => open += 1,
            Token::RParen => open -= 1,
            _ => {}
        }
        open == 0 && l.is("SET")
    });
    let Some(set) = set else { return 0 };
    // a comma between parentheses is no list of tables
    if lexemes[..set].iter().any(|l| l.token == Token::LParen) { 0 } else { set }
}

/// `INSERT INTO t (..) VALUE (..)`, as against a column or a function of that name.
fn is_value_list(before: &[Lexeme], after: &[Lexeme]) -> bool {
    let inserts = before.first().is_some_and(|l| l.is("INSERT") || l.is("REPLACE"));
    let depth = before.iter().fold(0_i64, |depth, l| match l.token {
        Token::LParen => depth + 1,
        Token::RParen => depth - 1,
        _ => depth,
    });
    inserts
        && depth == 0
        && after.first().is_some_and(|l| l.token == Token::LParen)
        && !before.iter().any(|l| l.is("VALUES") || l.is("SELECT") || l.is("SET"))
}

/// How many of the next tokens only steer how the server does its work.
fn dropped(rest: &[Lexeme], before: Option<&TokenWithSpan>) -> usize {
    let Some(word) = rest.first().and_then(Lexeme::keyword) else { return 0 };
    let after = |keywords: &[&str]| matches!(before.map(|t| &t.token), Some(Token::Word(w)) if keywords.iter().any(|k| w.value.eq_ignore_ascii_case(k)));
    let next = |n: usize, keywords: &[&str]| rest.get(n).is_some_and(|l| keywords.iter().any(|k| l.is(k)));
    match word.as_str() {
        "LOW_PRIORITY" | "DELAYED" | "QUICK" if after(&["insert", "replace", "update", "delete"]) => 1,
        "HIGH_PRIORITY" if after(&["insert", "select"]) => 1,
        "STRAIGHT_JOIN"
        | "SQL_NO_CACHE"
        | "SQL_CACHE"
        | "SQL_SMALL_RESULT"
        | "SQL_BIG_RESULT"
        | "SQL_BUFFER_RESULT"
        | "SQL_CALC_FOUND_ROWS"
            if after(&["select", "distinct", "all"]) =>
        {
            1
        }
        "USE" | "FORCE" | "IGNORE" if next(1, &["INDEX", "KEY"]) => {
            let mut n = 2;
            if next(n, &["FOR"]) {
                n += if next(n + 1, &["JOIN"]) { 2 } else { 3 };
            }
            parenthesised(rest, n).map_or(0, |len| n + len)
        }
        // a table's, never a window's, which goes on with BY
        "PARTITION" if before.is_some_and(|t| matches!(t.token, Token::Word(_))) => {
            parenthesised(rest, 1).map_or(0, |len| 1 + len)
        }
        // the character set of CAST(x AS CHAR CHARACTER SET utf8mb4)
        "CHARACTER" if next(1, &["SET"]) && rest.len() > 2 && after_char(before) => 3,
        "CHARSET" if rest.len() > 1 && after_char(before) => 2,
        "WAIT" if after(&["update", "share"]) && matches!(rest.get(1).map(|l| &l.token), Some(Token::Number(..))) => 2,
        _ => 0,
    }
}

/// `NEXT VALUE FOR s` of MariaDB.
fn is_sequence(rest: &[Lexeme]) -> bool {
    (rest[0].is("NEXT") || rest[0].is("PREVIOUS")) && rest[1].is("VALUE") && rest[2].is("FOR")
}

fn is_word(token: &Token, keyword: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
}

fn after_char(before: Option<&TokenWithSpan>) -> bool {
    match before.map(|t| &t.token) {
        Some(Token::Word(word)) => word.value.eq_ignore_ascii_case("char"),
        Some(token) => *token == Token::RParen,
        None => false,
    }
}

/// The number of tokens of a list in parentheses that begins at `from`.
fn parenthesised(rest: &[Lexeme], from: usize) -> Option<usize> {
    if rest.get(from)?.token != Token::LParen {
        return None;
    }
    rest[from..].iter().position(|l| l.token == Token::RParen).map(|n| n + 1)
}
