//! What migration tools and psql put into SQL before a server sees it: `${schema}`, `{{ schema }}`, `@extschema@`, `:name`.
//! A known value is put in; any other stands for a name.

use std::collections::HashMap;

/// How sure it has to be that something is a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// Nothing else is written so.
    Certain,
    /// It may be SQL; asked only for what cannot be read otherwise.
    Likely,
    /// The same, where no name may stand: `varchar(%(length)s)`.
    AsNumber,
}

/// Signs of those that are certain.
const SIGNS: [&str; 6] = ["${", "{{", "{%", "<%", "$(", "@"];

/// Bytes that a placeholder's name and what is done to it may take.
const LONGEST: usize = 200;

/// So many strings and comments may lack their end before no more ends are looked for.
const MOST_UNCLOSED: u32 = 64;

/// The text with its placeholders filled in; none if it has none.
pub fn filled(text: &str, sure: Sure, values: &HashMap<String, String>) -> Option<String> {
    if sure == Sure::Certain && !SIGNS.iter().any(|s| text.contains(s)) {
        return None;
    }
    let mut fill =
        Fill { text, at: 0, out: String::with_capacity(text.len()), sure, values, found: false, unclosed: 0 };
    fill.run();
    fill.found.then_some(fill.out)
}

struct Fill<'t> {
    text: &'t str,
    at: usize,
    out: String,
    sure: Sure,
    values: &'t HashMap<String, String>,
    found: bool,
    /// Strings and comments without an end: each was looked for to the end of the text.
    unclosed: u32,
}

/// What is put in a placeholder's place.
enum Stands<'t> {
    /// A value or a name of this name.
    For(&'t str),
    /// A string of this name: `:'name'`.
    Text(&'t str),
    /// Nothing: a directive.
    Nothing,
}

impl<'t> Fill<'t> {
    fn run(&mut self) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let passed = if self.unclosed < MOST_UNCLOSED { passed_over(rest) } else { None };
            self.unclosed += u32::from(passed.is_none() && (rest.starts_with('\'') || rest.starts_with("/*")));
            if let Some(length) = passed {
                // a string says what it says
                self.out.push_str(&rest[..length]);
                self.at += length;
            } else if let Some((length, stands)) = self.placeholder(rest) {
                self.found = true;
                self.put(length, &stands);
            } else {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                self.out.push_str(&rest[..length]);
                self.at += length;
            }
        }
    }

    fn put(&mut self, length: usize, stands: &Stands<'t>) {
        let after = &self.text[self.at + length..];
        self.at += length;
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match stands {
            Stands::Nothing => self.out.push(' '),
            Stands::Text(name) => {
                let value = self.values.get(*name).map_or(*name, String::as_str);
                self.out.push_str(&domain_events_sql::quote::quote_literal(value));
            }
            Stands::For(name) => match self.values.get(*name) {
                Some(value) => self.out.push_str(value),
                // a prefix or a suffix of a name
                None if joined(self.out.chars().last()) || joined(after.chars().next()) => {}
                // a schema: whatever it is called, its tables are found without it
                None if after.starts_with('.') && !self.out.ends_with('.') => self.at += 1,
                None if after.starts_with("\".") && self.out.ends_with('"') => {
                    self.out.pop();
                    self.at += 2;
                }
                None if self.out.ends_with('"') => self.out.push_str(&plain(name)),
                None if self.sure == Sure::AsNumber => self.out.push('1'),
                None => self.out.push_str(&format!("\"{}\"", plain(name))),
            },
        }
    }

    fn placeholder(&self, rest: &'t str) -> Option<(usize, Stands<'t>)> {
        let between = |open: &str, close: &str| -> Option<(usize, &'t str)> {
            let inner = rest.strip_prefix(open)?;
            // no further than a name may be long: a file of openings alone would be read once for each of them
            let end = inner[..inner.floor_char_boundary(LONGEST + close.len())].find(close)?;
            Some((open.len() + end + close.len(), inner[..end].trim()))
        };
        for (open, close) in [("${", "}"), ("{{", "}}"), ("<%=", "%>"), ("$(", ")")] {
            if let Some((length, name)) = between(open, close) {
                return Some((length, Stands::For(name)));
            }
        }
        for (open, close) in [("{%", "%}"), ("<%", "%>"), ("{#", "#}")] {
            if let Some((length, _)) = between(open, close) {
                return Some((length, Stands::Nothing));
            }
        }
        if let Some((length, name)) = between("@", "@").filter(|(_, n)| is_name(n)) {
            return Some((length, Stands::For(name)));
        }
        if self.sure == Sure::Certain {
            return None;
        }
        for (open, close) in [("%(", ")s"), ("[[", "]]"), ("{", "}"), (":\"", "\""), ("%", "%"), ("__", "__")] {
            if let Some((length, name)) = between(open, close).filter(|(_, n)| is_name(n)) {
                return Some((length, Stands::For(name)));
            }
        }
        if let Some((length, name)) = between(":'", "'").filter(|(_, n)| is_name(n)) {
            return Some((length, Stands::Text(name)));
        }
        // a parameter of a driver: `where id = ?`; between two operands it is an operator
        if let Some(after) = rest.strip_prefix('?')
            && self.out.trim_end().ends_with(['=', '(', ',', '<', '>'])
            && after.trim_start().chars().next().is_none_or(|c| matches!(c, ',' | ')' | ';'))
        {
            return Some((1, Stands::For("parameter")));
        }
        let doubled = self.out.ends_with(':');
        for sign in [":", "$"] {
            let Some(inner) = rest.strip_prefix(sign).filter(|_| !doubled) else { continue };
            let length = inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len());
            // $tag$ is a quote; `:name::text` is a name with a cast
            if is_name(&inner[..length]) && !(sign == "$" && inner[length..].starts_with(sign)) {
                return Some((sign.len() + length, Stands::For(&inner[..length])));
            }
        }
        None
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

/// The name of what stands there, as a name that SQL takes.
fn plain(name: &str) -> String {
    let last = name.rsplit(['.', '|', ':', ' ']).find(|p| !p.is_empty()).unwrap_or("placeholder");
    let plain: String = last.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    if plain.is_empty() { "placeholder".into() } else { plain.to_lowercase() }
}

/// Length of a string or a comment that begins here. A dollar quote is a function's body, which is looked at.
fn passed_over(rest: &str) -> Option<usize> {
    if rest.starts_with("--") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if let Some(inner) = rest.strip_prefix("/*") {
        return inner.find("*/").map(|n| n + 4);
    }
    let inner = rest.strip_prefix('\'')?;
    // psql's :'name' is looked at from its colon
    let mut at = 0;
    loop {
        at += inner[at..].find('\'')? + 1;
        if inner[at..].starts_with('\'') {
            at += 1;
        } else {
            return Some(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str, sure: Sure) -> String {
        let values = HashMap::from([("known".to_owned(), "app".to_owned())]);
        filled(text, sure, &values).unwrap_or_else(|| "-".into())
    }

    #[test]
    fn openings_without_ends_cost_little() {
        let began = std::time::Instant::now();
        for opening in ["{{", "${", "%(", "<%", "'", "/*", "{", "[["] {
            let text = opening.repeat(100_000);
            made(&text, Sure::Certain);
            made(&text, Sure::Likely);
        }
        // the square of the length took an hour for a megabyte
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }

    #[test]
    fn placeholders_stand_for_names() {
        for (text, wanted) in [
            ("insert into ${schema}.t values (1)", "insert into t values (1)"),
            ("insert into ${known}.t values (1)", "insert into app.t values (1)"),
            ("insert into {{ schema }}.t", "insert into t"),
            ("insert into \"${schema}\".\"t\"", "insert into \"t\""),
            ("create table ${prefix}events ()", "create table events ()"),
            ("create table t_{{ env }} ()", "create table t_ ()"),
            ("create table ${Table} ()", "create table \"table\" ()"),
            ("create function @extschema@.f()", "create function f()"),
            ("{% if x %} select 1 {% endif %}", "  select 1  "),
            (
                "select '${kept}', $$ insert into ${schema}.t $$ -- ${schema}.",
                "select '${kept}', $$ insert into t $$ -- ${schema}.",
            ),
        ] {
            assert_eq!(made(text, Sure::Certain), wanted);
        }
        for text in ["select $1, $x$ a $x$, '{1,2}'::int[]", "select a @> b, c @ d"] {
            assert_eq!(made(text, Sure::Certain), "-");
        }
    }

    #[test]
    fn what_may_be_sql_is_asked_for_only_then() {
        for (text, wanted) in [
            ("create table :known.t (a int default :'x')", "create table app.t (a int default 'x')"),
            ("create table :\"schema\".t ()", "create table t ()"),
            ("select :known::text, a::int", "select app::text, a::int"),
            ("create table {schema}.t (a text default b::text)", "create table t (a text default b::text)"),
            ("create table %(schema)s.t ()", "create table t ()"),
            ("delete from t where a = ? ", "delete from t where a = \"parameter\" "),
            ("select a ? 'b', f(?, ?)", "select a ? 'b', f(\"parameter\", \"parameter\")"),
            ("create table $schema.t (a text default $x$ b $x$)", "create table t (a text default $x$ b $x$)"),
        ] {
            assert_eq!(made(text, Sure::Likely), wanted);
        }
        assert_eq!(made("alter table t add a varchar(%(length)s)", Sure::AsNumber), "alter table t add a varchar(1)");
        assert_eq!(made("select a::int, '{1}'::int[]", Sure::Likely), "-");
    }
}
