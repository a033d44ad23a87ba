//! Statements made at run time: the text that EXECUTE runs, as far as its constants tell.

use serde_json::Value;

use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Statement, StatementType};
use crate::sql_tree::words::STATEMENTS;
use domain_events_sql::limits;

/// What EXECUTE runs, as far as can be told.
pub enum Text {
    /// The text, with placeholders for what is put in at run time.
    Sql(String),
    /// It cannot be told whether it inserts.
    Unseen,
    /// It is seen, and inserts nothing.
    Harmless,
}

/// The text that EXECUTE runs, as far as its constants tell.
pub fn text_of(expr: &Value, statement: &Statement) -> Text {
    let whole = ast::string_constant(expr).is_some() || format_pattern(expr).is_some();
    let text = with_parameters(text(expr), statement);
    if !begins_in_sight(&text) {
        return Text::Unseen;
    }
    let Ok(trees) = ast::parse(&text) else {
        return if mentions_insert(expr) { Text::Unseen } else { Text::Harmless };
    };
    let unseen = |(_, name, _): &(String, String, &[Value])| name.contains(UNSEEN);
    if trees.iter().any(|t| !ast::find(t, "InsertStmt").is_empty()) {
        // what is put in between by || may be more than a value
        return if whole { Text::Sql(text) } else { Text::Unseen };
    }
    if trees.iter().flat_map(ast::calls).any(|call| unseen(&call)) { Text::Unseen } else { Text::Harmless }
}

/// Whether every statement of a text begins with a word that says what it does, and that writes no rows of another statement's.
fn begins_in_sight(text: &str) -> bool {
    const HIDING: [&str; 7] = ["do", "execute", "prepare", "copy", "merge", "call", "import"];
    if limits::check_words(text).is_err() {
        return false;
    }
    let Ok(scan) = pg_query::scan(text) else { return false };
    let mut first = true;
    scan.tokens.iter().filter_map(|t| text.get(t.start as usize..t.end as usize)).all(|word| {
        let begins = std::mem::replace(&mut first, word == ";");
        let word = word.to_ascii_lowercase();
        !begins
            || matches!(word.as_str(), ";" | "(")
            || STATEMENTS.contains(&word.as_str()) && !HIDING.contains(&word.as_str())
    })
}

/// The query that EXECUTE runs, as far as its constants tell; none where it cannot be read, or is no query.
pub fn query_of(statement: &Statement) -> Vec<Value> {
    if statement.kind != StatementType::Dynamic {
        return vec![];
    }
    let Ok(expr) = ast::parse_expression(&statement.sql) else { return vec![] };
    let trees = ast::parse(&with_parameters(text(&expr), statement)).unwrap_or_default();
    trees.into_iter().filter(|t| ast::node(t, "SelectStmt").is_some()).collect()
}

/// A text that is put together by format(), concat() or `||`, with something that lets it parse in the place of what is no constant.
fn text(expr: &Value) -> String {
    let expr = ast::without_casts(expr);
    if let Some(text) = ast::string_constant(expr) {
        return text;
    }
    if let Some((pattern, arguments)) = format_pattern(expr) {
        return fill(&pattern, &arguments);
    }
    if let Some(both) = ast::node(expr, "AExpr").filter(|e| ast::operator(e) == "||") {
        return ["lexpr", "rexpr"].iter().filter_map(|s| both.get(*s)).map(text).collect();
    }
    match ast::node(expr, "FuncCall").filter(|call| ast::call_name(call).1 == "concat") {
        Some(call) => ast::list(call, "args").iter().map(text).collect(),
        None => UNSEEN.into(),
    }
}

/// Whether nothing is seen of how a text begins: a parameter, what a query or a function gives. `given` is what a variable is given.
pub fn begins_unseen(expr: &Value, given: &dyn Fn(&str) -> Vec<Value>, depth: usize) -> bool {
    let first = leftmost(expr);
    if ast::constant(first).is_some() || depth > 8 {
        return false;
    }
    let Some([name]) = ast::column(first).and_then(|c| <[String; 1]>::try_from(c).ok()) else { return true };
    // what is put at the end of it says nothing of its beginning
    let goes_on = |v: &Value| ast::column(leftmost(v)).is_some_and(|c| c == [name.as_str()]);
    given(&name).iter().filter(|v| !goes_on(v)).all(|v| begins_unseen(v, given, depth + 1))
}

/// What a text begins with, as far as the functions of the server that put texts together show.
fn leftmost(expr: &Value) -> &Value {
    const KEEPS: [&str; 9] =
        ["format", "concat", "replace", "lower", "upper", "trim", "btrim", "rtrim", "regexp_replace"];
    let expr = ast::without_casts(expr);
    let first = ast::node(expr, "AExpr").filter(|e| ast::operator(e) == "||").and_then(|e| e.get("lexpr"));
    let call = || ast::node(expr, "FuncCall").filter(|c| KEEPS.contains(&ast::call_name(c).1.as_str()));
    let first = first.or_else(|| call().and_then(|c| ast::list(c, "args").first()));
    first.map_or(expr, leftmost)
}

fn mentions_insert(expr: &Value) -> bool {
    mentions(expr, |word| word == "insert")
}

/// Whether constants in an expression write rows, or make a trigger that may.
pub fn mentions_events(expr: &Value) -> bool {
    mentions_insert(expr) || mentions(expr, |word| word == "create") && mentions(expr, |word| word == "trigger")
}

/// Whether a word, in lower case, stands in a constant.
fn mentions(expr: &Value, wanted: fn(&str) -> bool) -> bool {
    ast::find(expr, "Sval").iter().any(|s| {
        let text = ast::text(s, "sval");
        // what cannot be read may hold anything
        limits::check_words(text).is_err()
            || pg_query::scan(text).is_ok_and(|scan| {
                let word = |t: &pg_query::protobuf::ScanToken| text.get(t.start as usize..t.end as usize);
                scan.tokens.iter().filter_map(word).any(|w| wanted(&w.to_ascii_lowercase()))
            })
    })
}

/// Whether a call sends an INSERT to another database.
pub fn sends_insert((_, name, arguments): &(String, String, &[Value])) -> bool {
    name.starts_with("dblink") && arguments.iter().any(mentions_insert)
}

/// The pattern of a call of format(), and what is put into it as far as it is constant.
fn format_pattern(expr: &Value) -> Option<(String, Vec<Option<String>>)> {
    let call = ast::node(expr, "FuncCall")?;
    let (pattern, arguments) = ast::list(call, "args").split_first()?;
    let pattern = ast::string_constant(pattern).filter(|_| ast::call_name(call).1 == "format")?;
    Some((pattern, arguments.iter().map(ast::constant).collect()))
}

/// Stands for a name that is not constant.
pub const UNSEEN: &str = "domain_events_unseen";

/// A pattern of format() with its constants, and elsewhere something that lets it parse: a name where a name is asked for.
fn fill(pattern: &str, arguments: &[Option<String>]) -> String {
    let (mut text, mut chars, mut next) = (String::new(), pattern.chars(), 0);
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut position = String::new();
        for flag in chars.by_ref() {
            // %2$I takes the second, and those after it follow on
            if flag == '$' {
                next = position.parse().map_or(next, |n: usize| n.saturating_sub(1));
            }
            if flag == '%' {
                text.push('%');
                break;
            }
            if !matches!(flag, 'I' | 's' | 'L') {
                position.push(flag);
                continue;
            }
            let given = arguments.get(next).cloned().flatten();
            next += 1;
            text.push_str(&match (flag, given) {
                ('I', Some(name)) => domain_events_sql::quote::quote_ident(&name),
                ('L', Some(value)) => domain_events_sql::quote::quote_literal(&value),
                (_, Some(value)) => value,
                ('L', None) => "null".into(),
                (_, None) => UNSEEN.into(),
            });
            break;
        }
    }
    text
}

/// `$1` of the dynamic text is the first expression of USING. A text that grows beyond what is parsed ends there.
fn with_parameters(text: String, statement: &Statement) -> String {
    if limits::check_words(&text).is_err() {
        return text;
    }
    let Ok(scan) = pg_query::scan(&text) else { return text };
    let (mut filled, mut copied) = (String::with_capacity(text.len()), 0);
    for token in &scan.tokens {
        let (start, end) = (token.start as usize, token.end as usize);
        let number = text.get(start..end).and_then(|w| w.strip_prefix('$')).and_then(|n| n.parse::<usize>().ok());
        if let Some(parameter) = number.and_then(|n| statement.parameters.get(n.wrapping_sub(1))) {
            filled.push_str(&text[copied..start]);
            filled.push_str(&format!("({parameter})"));
            copied = end;
        }
        if filled.len() > limits::STATEMENT {
            return filled;
        }
    }
    filled.push_str(&text[copied..]);
    filled
}
