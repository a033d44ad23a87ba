//! Functions: how they are called, what they say, and how they are made again.

use crate::canon::{self, sha};
use crate::token::{Token, TokenKind, own_name, parts, position, starts, whole, within};

/// A function of the portable engine.
pub struct Function {
    /// `name(type,type)`
    pub object: String,
    /// `create function ..`, whole.
    pub statement: String,
    /// `domain_events.name(..) returns ..`
    head: String,
    result: String,
    arguments: String,
}

const FUNCTION_ENDS: [&str; 12] = [
    "language",
    "volatile",
    "stable",
    "immutable",
    "strict",
    "security",
    "parallel",
    "set",
    "as",
    "leakproof",
    "cost",
    "rows",
];

impl Function {
    /// The statement that makes it, or makes it again.
    pub fn replacement(&self) -> String {
        self.statement.replacen("create function", "create or replace function", 1)
    }

    /// Written in C.
    pub fn in_c(&self, symbol: &str) -> String {
        format!(
            "create or replace function {} language c volatile parallel unsafe as 'MODULE_PATHNAME', '{symbol}';\n",
            self.head
        )
    }
}

pub(crate) fn native_definition(function: &Function, symbol: &str) -> String {
    let Function { result, arguments, .. } = function;
    sha(&format!("c|f|0|0|0|v|u|{result}|{arguments}|||$libdir/pg_domain_events|{symbol}"))
}

/// The function that a statement makes, whose name begins at `at`, and what the proof compares.
pub(crate) fn function(sql: &str, statement: &[Token], at: usize) -> Result<(Function, String), String> {
    let name = own_name(statement, at)?;
    let (list, close) = within(statement, at + 3)?;
    let (mut inputs, mut arguments, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for argument in parts(list) {
        let mode = ["out", "inout", "variadic"].into_iter().find(|mode| argument[0].is(mode)).unwrap_or_default();
        let named = usize::from(!mode.is_empty());
        let default = position(argument, &["default"]);
        let of = &argument[named + 1..default];
        if mode.contains("out") {
            outputs.push(canon::types(of));
        }
        if mode != "out" {
            inputs.push(canon::type_name(of));
        }
        arguments.push(format!(
            "{}{}{}{}",
            mode,
            argument[named].text.to_lowercase(),
            canon::types(of),
            canon::text(&argument[default..])
        ));
    }
    let rest = &statement[close + 1..];
    let mut end = 0;
    let result = if starts(rest, "returns") {
        end = position(rest, &FUNCTION_ENDS);
        if rest[1].is("table") {
            let columns = within(rest, 2)?.0;
            let columns: Vec<_> = parts(columns)
                .iter()
                .map(|column| column[0].text.to_lowercase() + &canon::types(&column[1..]))
                .collect();
            format!("table{}", columns.join(","))
        } else {
            canon::types(&rest[1..end])
        }
    } else {
        match outputs.as_slice() {
            [] => return Err("a function that returns nothing".into()),
            [only] => only.clone(),
            _ => "record".into(),
        }
    };
    let head = sql[statement[at].at..end_of(rest, end, statement[close].at)].trim().to_owned();
    let (mut language, mut volatility, mut parallel) = ("", 'v', 'u');
    let (mut definer, mut strict) = (0, 0);
    let (mut settings, mut body) = (Vec::new(), "");
    let mut rest = &rest[end..];
    while let Some(word) = rest.first() {
        let taken = match word.text {
            "language" => {
                language = rest[1].text;
                2
            }
            "volatile" => 1,
            "stable" => {
                volatility = 's';
                1
            }
            "immutable" => {
                volatility = 'i';
                1
            }
            "strict" => {
                strict = 1;
                1
            }
            "security" => {
                definer = i32::from(rest[1].is("definer"));
                2
            }
            "parallel" => {
                parallel = if rest[1].is("safe") { 's' } else { 'u' };
                2
            }
            "set" => {
                let end = 3 + position(&rest[3..], &FUNCTION_ENDS);
                let value: String = rest[3..end].iter().map(|token| token.text.trim_matches('\'')).collect();
                settings.push(format!("{}={value}", rest[1].text).to_lowercase().replace(' ', ""));
                end
            }
            "as" if rest[1].kind == TokenKind::Body => {
                let tag = rest[1].text[1..].find('$').map_or(0, |n| n + 2);
                body = &rest[1].text[tag..rest[1].text.len() - tag];
                2
            }
            other => return Err(format!("a function is not understood at {other}")),
        };
        rest = &rest[taken..];
    }
    let arguments = arguments.join(",");
    let definition = sha(&format!(
        "{language}|f|{definer}|0|{strict}|{volatility}|{parallel}|{result}|{arguments}|{}||{body}",
        settings.join("|")
    ));
    let statement = whole(sql, statement);
    Ok((Function { object: format!("{name}({})", inputs.join(",")), statement, head, result, arguments }, definition))
}

fn end_of(rest: &[Token], end: usize, close: usize) -> usize {
    if end == 0 { close + 1 } else { rest[end - 1].at + rest[end - 1].text.len() }
}
