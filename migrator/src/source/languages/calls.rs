//! Calls that take SQL, by what they are called, and functions that change nothing of a text.

use std::rc::Rc;

use super::given::What;
use super::language::Language;
use super::state::Walk;
use super::value::{Called, Text, Value, plain, shown};

/// Functions and methods that take a text of SQL first.
const CALLS: [&str; 35] = [
    "statement",
    "unprepared",
    "execute",
    "exec",
    "query",
    "addsql",
    "multiquery",
    "executestatement",
    "executequery",
    "rawquery",
    "raw",
    "sql",
    "runsql",
    "run",
    "execquery",
    "execupdate",
    "executebatch",
    "executescript",
    "execdriversql",
    "executeraw",
    "executerawunsafe",
    "queryraw",
    "queryrawunsafe",
    "unsafe",
    "none",
    "any",
    "oneornone",
    "manyornone",
    "multi",
    "result",
    "rawsql",
    "executesql",
    "runsqlstatement",
    "sqlquery",
    "safequery",
];
/// Functions that take it second, after the connection.
const SECOND: [&str; 4] = ["mysqliquery", "mysqlimultiquery", "pgquery", "pgsendquery"];
/// Of these names nothing else is known than that they run SQL.
const SURE: [&str; 14] = [
    "statement",
    "unprepared",
    "execute",
    "addsql",
    "executestatement",
    "raw",
    "runsql",
    "mysqliquery",
    "pgquery",
    "query",
    "execdriversql",
    "executescript",
    "exec",
    "executeraw",
];
/// Functions that give the text of a file.
pub const READS: [&str; 12] = [
    "readfilesync",
    "readfile",
    "filegetcontents",
    "read",
    "readtext",
    "readtextsync",
    "open",
    "loadsql",
    "readsql",
    "getcontents",
    "loadstring",
    "slurp",
];
/// Functions that say something to people.
const SAYS: [&str; 22] = [
    "log",
    "info",
    "debug",
    "warn",
    "warning",
    "error",
    "print",
    "puts",
    "echo",
    "say",
    "describe",
    "it",
    "test",
    "comment",
    "writeln",
    "raise",
    "announce",
    "saywithtime",
    "todo",
    "notice",
    "line",
    "write",
];
/// Words with which a statement begins that changes what is asked of a schema.
const CHANGES: [&str; 3] = ["create", "alter", "drop"];
const BEGINS: [&str; 9] = ["create", "alter", "drop", "do", "comment", "rename", "delimiter", "set", "use"];
/// Statements of rows.
const ROWS: [&str; 12] = [
    "insert", "update", "delete", "select", "set", "truncate", "replace", "with", "grant", "revoke", "analyze",
    "vacuum",
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with("--") {
            rest.find('\n').map_or("", |n| &rest[n..])
        } else if rest.starts_with("/*") && !rest.starts_with("/*!") {
            rest.find("*/").map_or("", |n| &rest[n + 2..])
        } else {
            return rest;
        };
        rest = after.trim_start();
    }
}

/// Whether a text is SQL that may change a schema.
fn changes(text: &str) -> bool {
    let first = words(without_comments(text)).next().unwrap_or_default();
    BEGINS.iter().any(|b| first.eq_ignore_ascii_case(b))
        || words(text).any(|w| CHANGES.iter().any(|c| w.eq_ignore_ascii_case(c)))
}

/// Whether it is about rows alone.
fn is_rows(text: &str) -> bool {
    let first = words(without_comments(text)).next().unwrap_or_default();
    ROWS.iter().any(|b| first.eq_ignore_ascii_case(b)) && !words(text).any(|w| w.eq_ignore_ascii_case("create"))
}

/// Whether a line of it begins to make a trigger, a function, a procedure or a rule.
pub fn makes_programs(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = words(line.trim_start()).map(str::to_ascii_lowercase);
        words.next().is_some_and(|w| w == "create")
            && words.take(8).any(|w| matches!(w.as_str(), "trigger" | "function" | "procedure" | "rule"))
    })
}

/// Whether a method does something for each item of what it is called on.
pub fn goes_through(name: &str) -> bool {
    matches!(plain(name).as_str(), "each" | "foreach" | "map" | "eachpair" | "flatmap" | "eachwithindex" | "entries")
}

/// What functions make of texts that are known.
pub fn text<'t>(called: &Called<'t>) -> Option<Value<'t>> {
    let name = plain(&called.name);
    let first = called.at(0);
    match (name.as_str(), &called.on) {
        (
            "squish" | "strip" | "stripheredoc" | "trim" | "freeze" | "chomp" | "htmlsafe" | "tos" | "tostring"
            | "lstrip" | "rstrip" | "trimstart" | "trimend" | "stripindent" | "dedent" | "tosym",
            Some(on @ Value::Text(_)),
        ) => Some(on.clone()),
        ("freeze" | "toa" | "sort" | "uniq" | "compact" | "values", Some(on @ Value::List(_))) => Some(on.clone()),
        ("format", Some(Value::Text(template))) => Some(Value::Text(template.filled(&called.arguments, false))),
        ("%", Some(Value::Text(template))) => {
            let arguments = match first {
                Some(Value::List(items)) => items.iter().map(|i| (None, i.clone())).collect(),
                Some(Value::Map(entries)) => entries.to_vec(),
                other => other.cloned().map(|o| vec![(None, o)]).unwrap_or_default(),
            };
            Some(Value::Text(template.filled(&arguments, true)))
        }
        ("sprintf" | "format", None | Some(Value::Word(_))) => match first {
            Some(Value::Text(template)) => {
                let at = called.arguments.iter().position(|(name, _)| name.is_none()).unwrap_or(0);
                let mut rest = called.arguments.clone();
                rest.remove(at);
                Some(Value::Text(template.filled(&rest, true)))
            }
            _ => None,
        },
        ("join" | "implode", on) => {
            let (list, with) = match (on, first, called.at(1)) {
                (Some(Value::List(items)), with, _) => (items.clone(), with.cloned()),
                (Some(with @ Value::Text(_)), Some(Value::List(items)), _) => (items.clone(), Some(with.clone())),
                (None, Some(with), Some(Value::List(items))) => (items.clone(), Some(with.clone())),
                _ => return None,
            };
            let mut joined = Text::default();
            for (n, item) in list.iter().enumerate() {
                if n > 0 {
                    joined.push(with.as_ref().map(Value::to_text).unwrap_or_default());
                }
                joined.push(item.to_text());
            }
            Some(Value::Text(joined))
        }
        ("text" | "dedent" | "ltrim" | "ddl" | "outdent" | "stripindent" | "cleandoc" | "sql", _)
            if matches!(first, Some(Value::Text(_))) =>
        {
            let first = first.cloned()?;
            let Value::Text(text) = &first else { return None };
            // Arel.sql, a tag of a template; a client's sql() runs it
            (name != "sql"
                || called.on.as_ref().is_some_and(|on| on.last_name().is_some_and(|n| n == "Arel"))
                || !changes(&text.known_parts()))
            .then_some(first)
        }
        // what runs all its parts runs the whole
        ("split", Some(on @ Value::Text(_))) => Some(Value::List(Rc::new(vec![on.clone()]))),
        ("pregsplit" | "explode", _) => match called.at(1) {
            Some(text @ Value::Text(_)) => Some(Value::List(Rc::new(vec![text.clone()]))),
            _ => None,
        },
        ("tosql" | "toquery", Some(on @ Value::Text(_))) => Some(on.clone()),
        // a file that is opened gives its text when it is read
        ("read" | "decode", Some(on @ Value::Text(_))) => Some(on.clone()),
        _ => None,
    }
}

/// Takes the SQL of a call; whether it is such a call.
pub fn sql<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> bool {
    let name = plain(&called.name);
    if SAYS.contains(&name.as_str()) {
        called.arguments.iter().for_each(|(_, v)| walk.take(v));
        return false;
    }
    let place = if CALLS.contains(&name.as_str()) {
        0
    } else if SECOND.contains(&name.as_str()) {
        1
    } else {
        unread_makers(walk, called, &name);
        return false;
    };
    let by_name = called.arguments.iter().find(|(n, _)| n.as_deref().is_some_and(|n| matches!(n, "sql" | "statement")));
    let plain_ones = called.plain().filter(|v| !matches!(v, Value::Function(_)));
    let Some(given) = by_name.map(|(_, v)| v).or_else(|| plain_ones.into_iter().nth(place)).cloned() else {
        return false;
    };
    // a regular expression has such a method too
    let sure = SURE.contains(&name.as_str()) && (name != "exec" || walk.language == Language::Php);
    let sure = sure && (walk.forward || place == 1);
    run(walk, &given, called, sure);
    // a callback may hold more
    walk.blocks(called);
    true
}

fn run<'t>(walk: &mut Walk<'_, 't>, given: &Value<'t>, called: &Called<'t>, sure: bool) {
    match given {
        Value::Text(text) => statement(walk, text, called.row, sure),
        // RunSQL takes a list of texts, or of pairs of a text and its parameters
        Value::List(items) => {
            for item in items.iter() {
                let item = item.items().first().unwrap_or(item);
                run(walk, item, called, sure);
            }
        }
        Value::Map(_) => {
            if let Some(text) = given.get("text").or_else(|| given.get("sql")).or_else(|| given.get("query")) {
                run(walk, &text.clone(), called, sure);
            }
        }
        Value::Word(word) if sure && !word.is_empty() && !word.ends_with(".noop") => unknown(walk, word, called.row),
        Value::Call(call) if sure && !builds_rows(call) => unknown(walk, call.written, called.row),
        _ => {}
    }
}

/// Whether a call builds a statement of rows: `users.update().where(..)`, `select(..)`.
fn builds_rows(call: &Called<'_>) -> bool {
    const ROWS: [&str; 14] = [
        "select",
        "insert",
        "update",
        "delete",
        "values",
        "where",
        "returning",
        "selectfrom",
        "bindparams",
        "createsequence",
        "dropsequence",
        "createschema",
        "dropschema",
        "params",
    ];
    let mut at = Some(call);
    while let Some(one) = at {
        if ROWS.contains(&plain(&one.name).as_str()) {
            return true;
        }
        at = one.on.as_ref().and_then(Value::call);
    }
    false
}

fn unknown(walk: &mut Walk<'_, '_>, written: &str, row: usize) {
    let reason =
        format!("its SQL is put together at run time, from {}: read the live database instead", shown(written));
    walk.give(row, What::Problem { about: None, reason });
}

fn statement(walk: &mut Walk<'_, '_>, text: &Text, row: usize, sure: bool) {
    walk.taken.extend(&text.literals);
    let known = text.known_parts();
    let row = text.row.unwrap_or(row);
    if known.trim().is_empty() {
        if let Some(part) = text.first_unknown().map(str::to_owned).filter(|_| sure) {
            unknown(walk, &part, row);
        }
        return;
    }
    if text.first_unknown().is_some() && !words(&known).next().is_some_and(|w| w.chars().any(char::is_alphabetic)) {
        let part = text.first_unknown().map(str::to_owned).filter(|_| sure);
        return part.iter().for_each(|part| unknown(walk, part, row));
    }
    let part = text.first_unknown().map(str::to_owned);
    let several = known.trim_end().trim_end_matches(';').contains(';');
    let rows = is_rows(&known) && !several;
    match part {
        _ if text.file.is_some() => walk.give(row, What::Sql(text.clone())),
        None if changes(&known) => walk.give(row, What::Sql(text.clone())),
        Some(_) if changes(&known) && !rows => walk.give(row, What::Sql(text.clone())),
        Some(part) if sure && !rows => unknown(walk, &part, row),
        _ => {}
    }
}

/// Calls that make triggers or functions without SQL in sight.
fn unread_makers<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>, name: &str) {
    let verb = ["create", "replace", "add"].iter().find_map(|v| name.strip_prefix(v));
    let makes = verb.is_some_and(|what| {
        matches!(
            what,
            "trigger" | "function" | "procedure" | "rule" | "triggers" | "functions" | "entity" | "audittrigger"
        )
    });
    if walk.forward && makes {
        called.arguments.iter().for_each(|(_, v)| walk.take(v));
        let about = called.at(0).and_then(Value::name).map_or(String::new(), |n| format!(" {n}"));
        let reason =
            format!("{}{about} is made by a call that holds no SQL: read the live database instead", called.name);
        walk.give(called.row, What::Problem { about: None, reason });
    }
}
