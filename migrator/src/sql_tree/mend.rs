//! A body in words that the parser understands, which has no catalogue: it knows no row types, and no types of parameters.

use std::fmt::Write;

use crate::catalogue::{Catalogue, Function};
use domain_events_sql::quote::quoted;

/// The body with `record` for what is of a table's row type, whose fields are unknown to the parser, and with its parameters that
/// are cursors declared; none if it has neither.
pub(super) fn mended(function: &Function, catalogue: &Catalogue) -> Option<String> {
    let records = records_for_row_types(&function.source, catalogue, catalogue.path_of(function));
    let source = records.as_deref().unwrap_or(&function.source);
    parameters_declared(source, &function.identity).or(records)
}

/// A parameter of type refcursor is declared once more: OPEN takes it for one then. So is one with fields, and what a function
/// of any type gives back.
fn parameters_declared(source: &str, identity: &str) -> Option<String> {
    let scan = pg_query::scan(source).ok()?;
    let places: Vec<_> = scan.tokens.iter().map(|t| (t.start as usize, t.end as usize)).collect();
    let words = || places.iter().filter_map(|(start, end)| source.get(*start..*end));
    let has_fields =
        |name: &str| words().zip(words().skip(1)).any(|(word, next)| next == "." && normalise(word) == name);
    let declaration = |(n, parameter): (usize, &str)| -> Vec<String> {
        let parameter = parameter.trim();
        let (name, kind) = parameter.rsplit_once(' ').unwrap_or(("", parameter));
        let name = name.rsplit(' ').next().unwrap_or_default();
        // a mode alone leaves it without a name
        let unnamed =
            name.is_empty() || ["in", "out", "inout", "variadic"].iter().any(|m| name.eq_ignore_ascii_case(m));
        let name = (!unnamed).then(|| normalise(name));
        if matches!(kind, "refcursor" | "pg_catalog.refcursor") {
            // $1 is a name like any other
            let names = name.into_iter().chain([format!("${}", n + 1)]);
            return names.map(|name| format!(" {} refcursor;", quoted(&name))).collect();
        }
        let rows = name.filter(|name| has_fields(name));
        rows.map(|name| format!(" {} record;", quoted(&name))).into_iter().collect()
    };
    let parameters = identity.split_once('(')?.1.trim_end_matches(')');
    let mut declared: String = between_commas(parameters).enumerate().flat_map(declaration).collect();
    if words().any(|word| word == "$0") {
        declared.push_str(" \"$0\" record;");
    }
    if declared.is_empty() {
        return None;
    }
    let (start, end, word) =
        places
            .iter()
            .filter_map(|(start, end)| Some((*start, *end, source.get(*start..*end)?)))
            .find(|(_, _, word)| word.eq_ignore_ascii_case("declare") || word.eq_ignore_ascii_case("begin"))?;
    // lines stay those of the body
    Some(match word.eq_ignore_ascii_case("declare") {
        true => format!("{}{declared}{}", &source[..end], &source[end..]),
        false => format!("{}declare{declared} {}", &source[..start], &source[start..]),
    })
}

/// The parts of a list; a comma between parentheses is part of one.
fn between_commas(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    list.split(move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
}

/// The body with `record` for every variable of a table's row type; none if there is no such variable.
fn records_for_row_types(source: &str, catalogue: &Catalogue, path: &[String]) -> Option<String> {
    let scan = pg_query::scan(source).ok()?;
    let words: Vec<(usize, usize, &str)> = scan
        .tokens
        .iter()
        .map(|t| (t.start as usize, t.end as usize))
        .filter_map(|(start, end)| Some((start, end, source.get(start..end)?)))
        .filter(|(_, _, w)| !w.starts_with("--") && !w.starts_with("/*"))
        .collect();
    let mut cuts = vec![];
    let (mut i, mut declaring) = (0, false);
    while i < words.len() {
        let word = words[i].2;
        if word.eq_ignore_ascii_case("declare") {
            declaring = true;
        } else if word.eq_ignore_ascii_case("begin") {
            declaring = false;
        } else if declaring {
            let end = (i..words.len()).find(|&k| words[k].2 == ";").unwrap_or(words.len());
            let mut first = i + 1;
            if words.get(first).is_some_and(|w| w.2.eq_ignore_ascii_case("constant")) {
                first += 1;
            }
            let has_fields = words.windows(2).any(|w| w[1].2 == "." && w[0].2.eq_ignore_ascii_case(word));
            cuts.extend(row_type(&words[first.min(end)..end], has_fields, catalogue, path));
            i = end;
        }
        i += 1;
    }
    if cuts.is_empty() {
        return None;
    }
    let mut text = source.to_owned();
    for (start, end) in cuts.into_iter().rev() {
        text.replace_range(start..end, "record");
    }
    Some(text)
}

/// Where in a declaration a row type is named.
fn row_type(
    words: &[(usize, usize, &str)],
    has_fields: bool,
    catalogue: &Catalogue,
    path: &[String],
) -> Option<(usize, usize)> {
    let mut last = 0;
    while words.get(last + 1).is_some_and(|w| w.2 == ".") && words.len() > last + 2 {
        last += 2;
    }
    let name = |n: usize| words.get(n).map(|w| normalise(w.2)).unwrap_or_default();
    if words.get(last + 1).is_some_and(|w| w.2 == "%") {
        let rowtype = words.get(last + 2).filter(|w| w.2.eq_ignore_ascii_case("rowtype"))?;
        return Some((words[0].0, rowtype.1));
    }
    let schema = if last >= 2 { name(last - 2) } else { String::new() };
    // a type of a schema that is not the server's, and that files do not hold, is some table's row
    let elsewhere = last >= 2 && schema != "pg_catalog" && catalogue.server_version == 0;
    // what has fields is a row, whoever made its type
    if !elsewhere && !has_fields {
        catalogue.resolve_relation(&schema, &name(last), path)?;
    }
    Some((words[0].0, words[last].1))
}

/// A variable's or field's name as the server folds it: `New . "Version"` is `new.Version`.
pub(super) fn normalise(name: &str) -> String {
    let Ok(scan) = pg_query::scan(name) else { return name.trim().to_owned() };
    scan.tokens.iter().fold(String::new(), |mut text, token| {
        let part = name.get(token.start as usize..token.end as usize).unwrap_or_default();
        let part = match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => part.to_lowercase(),
        };
        let _ = write!(text, "{part}");
        text
    })
}

#[cfg(test)]
mod tests {
    use crate::judge::judge;
    use crate::source::from_sql;

    /// The codes of what is found where a function of this head and body writes a log.
    fn codes(function: &str) -> Vec<String> {
        let tables = "create table shelf (id int, label text); create table shelf_log (id int, shelf_id int, action text, old jsonb, at timestamptz default now());";
        let (catalogue, problems) = from_sql([("a.sql", format!("{tables}\n{function};").as_str())]);
        assert_eq!(problems, [], "{function}");
        judge(&catalogue).judged.into_iter().map(|j| j.finding.code).collect()
    }

    #[test]
    fn a_variable_with_fields_is_a_row_whoever_made_its_type() {
        let body = "declare i info; n int; begin i.label = 'x'; n := 1;
            insert into shelf_log (shelf_id, action) values (1, i.label); end";
        assert_eq!(
            codes(&format!(
                "create type info as (label text); create function f() returns void language plpgsql as $$ {body} $$"
            )),
            ["EV121"]
        );
    }

    #[test]
    fn parameters_that_are_cursors_are_opened() {
        const WRITES: &str = "insert into shelf_log (shelf_id, action) values (1, 'listed');";
        for (head, declares) in [
            ("create procedure list_shelves(inout o_rows refcursor default 'c1') language plpgsql as $$", ""),
            (
                "create procedure list_shelves(a int, inout \"o_rows\" refcursor) language plpgsql as $$",
                "declare n int;\n",
            ),
            (
                "create function list_shelves(o_rows refcursor) returns refcursor language plpgsql as $$",
                "<<l>> declare r shelf%rowtype;\n",
            ),
            ("create function list_shelves(out o_rows refcursor) language plpgsql as $$", "-- begin\n"),
            (
                "create function list_shelves(numeric(9, 2), refcursor) returns refcursor language plpgsql as $$",
                "declare o_rows alias for $2;\n",
            ),
        ] {
            let function = format!(
                "{head} {declares}begin\nopen o_rows for select id, label from shelf;\n{WRITES}\nreturn; end $$"
            );
            assert_eq!(codes(&function), ["EV121"], "{function}");
        }
    }

    #[test]
    fn a_parameter_without_a_name_is_a_cursor_by_its_number() {
        for parameters in ["refcursor", "refcursor, a int", "inout refcursor", "a pg_catalog.refcursor"] {
            let function = format!(
                "create function list_shelves({parameters}) returns refcursor language plpgsql as $$ begin
                 open $1 for execute 'select id from shelf';
                 insert into shelf_log (shelf_id, action) values (1, 'listed'); return $1; end $$"
            );
            assert_eq!(codes(&function), ["EV121"], "{function}");
        }
    }

    #[test]
    fn a_parameter_with_fields_is_a_row() {
        const WRITES: &str = "insert into shelf_log (shelf_id, action) values (1, 'kept');";
        for (parameters, body) in [
            ("p shelf", "begin p.label := 'x';"),
            ("inout p made_elsewhere, a int", "declare n int; begin p.label = p.label || 'x'; n := a;"),
            ("p shelf, c refcursor", "begin open c for select 1; p.id := 2;"),
            ("anyelement", "declare made alias for $0; begin made := $1;"),
        ] {
            let function = format!(
                "create function keep({parameters}) returns anyelement language plpgsql as $$ {body} {WRITES} end $$"
            );
            assert_eq!(codes(&function), ["EV121"], "{function}");
        }
    }

    #[test]
    fn a_cursor_takes_several_arguments() {
        let function = "create function walk(r int) returns void language plpgsql as $$
            declare cur cursor (a int, b int) for select id from shelf where id between a and b; n int;
            begin open cur(r, r + 2); fetch cur into n; open cur(b := 1, a := r);
            insert into shelf_log (shelf_id, action) values (n, 'walked'); end $$";
        assert_eq!(codes(function), ["EV121"]);
    }

    #[test]
    fn a_body_between_quotes_is_read_as_any() {
        for (open, close, quote) in [("'", "'", "''"), ("E'", "'", "\\'"), ("$$", "$$", "'")] {
            let function = format!(
                "create function note(n int) returns setof shelf as {open} declare r shelf%ROWTYPE;\nbegin r.label = {quote}x{quote};
                 insert into shelf_log (shelf_id, action) values (n, r.label); return next r; return; end; {close} language plpgsql"
            );
            assert_eq!(codes(&function), ["EV121"], "{function}");
        }
    }
}
