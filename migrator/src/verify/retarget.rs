//! Pointing the text of a function at copies of its tables. The text is cut into tokens by PostgreSQL's own scanner; only
//! whole qualified names, and string constants that are exactly such a name, are changed.

use std::collections::{BTreeSet, HashSet};

use crate::plan::splice::{Cut, apply};
use crate::source::Relation;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// Schema and name, unquoted, of what is copied.
pub type Names = BTreeSet<(String, String)>;

/// The text with the schema that `scratch` gives for a copied object's schema and name in the place of that one. Fails where a copied object is named in a way
/// that cannot be changed with certainty: inside a longer string.
pub fn retarget(text: &str, copied: &Names, scratch: &dyn Fn(&str, &str) -> String) -> Result<String, String> {
    let scan = pg_query::scan(text).map_err(|e| e.to_string())?;
    let words: Vec<(usize, usize, &str)> = scan
        .tokens
        .iter()
        .filter_map(|t| Some((t.start as usize, t.end as usize, text.get(t.start as usize..t.end as usize)?)))
        .filter(|(_, _, w)| !w.starts_with("--") && !w.starts_with("/*"))
        .collect();
    let mut cuts = vec![];
    for (n, (start, end, word)) in words.iter().enumerate() {
        if word.starts_with('\'') || word.starts_with("E'") || word.starts_with("e'") {
            if let Some(cut) = string(word, *start, *end, copied, scratch)? {
                cuts.push(cut);
            }
            continue;
        }
        let (Some(dot), Some(name)) = (words.get(n + 1), words.get(n + 2)) else { continue };
        // a.b.c: a column, or a name in another database
        let part = n > 0 && words[n - 1].2 == ".";
        let whole = (fold(word), fold(name.2));
        if dot.2 == "." && !part && copied.contains(&whole) {
            cuts.push(Cut { start: *start, end: *end, text: quote_ident(&scratch(&whole.0, &whole.1)) });
        }
    }
    apply(text, cuts)
}

/// Where an INSERT says ON CONFLICT .. DO NOTHING; none if it says so of a query inside it.
pub fn conflict(sql: &str) -> Result<Option<Cut>, String> {
    let scan = pg_query::scan(sql).map_err(|e| e.to_string())?;
    let words: Vec<(usize, usize, &str)> = scan
        .tokens
        .iter()
        .filter_map(|t| Some((t.start as usize, t.end as usize, sql.get(t.start as usize..t.end as usize)?)))
        .collect();
    let says = |n: usize, word: &str| words.get(n).is_some_and(|w| w.2.eq_ignore_ascii_case(word));
    let mut starts = (0..words.len()).filter(|&n| says(n, "on") && says(n + 1, "conflict"));
    let (Some(start), None) = (starts.next(), starts.next()) else {
        return Err("it says ON CONFLICT more than once in one statement".into());
    };
    let end = (start..words.len()).find(|&n| says(n, "do") && says(n + 1, "nothing"));
    Ok(end.map(|end| Cut { start: words[start].0, end: words[end + 1].1, text: String::new() }))
}

/// The body of a trigger's function with what TG_TABLE_SCHEMA and TG_RELID say of the table itself, not of its copy.
pub fn firing(body: &str, table: &Relation) -> Result<String, String> {
    let scan = pg_query::scan(body).map_err(|e| e.to_string())?;
    let ranges = scan.tokens.iter().map(|t| (t.start as usize, t.end as usize));
    let cuts = ranges.filter_map(|(start, end)| {
        let text = match body.get(start..end)?.to_lowercase().as_str() {
            "tg_table_schema" => format!("{}::pg_catalog.name", quote_literal(&table.schema)),
            "tg_relid" => format!("'{}'::pg_catalog.oid", table.oid),
            _ => return None,
        };
        Some(Cut { start, end, text: format!("({text})") })
    });
    apply(body, cuts.collect())
}

fn string(
    word: &str,
    start: usize,
    end: usize,
    copied: &Names,
    scratch: &dyn Fn(&str, &str) -> String,
) -> Result<Option<Cut>, String> {
    let content = word.trim_start_matches(['E', 'e']).trim_matches('\'').replace("''", "'");
    for (schema, name) in copied {
        let spellings =
            [format!("{schema}.{name}"), format!("{}.{}", quote_ident(schema), quote_ident(name)), name.clone()];
        if spellings[..2].contains(&content) {
            let text = format!("'{}.{}'", quote_ident(&scratch(schema, name)), quote_ident(name)).replace("''", "'");
            return Ok(Some(Cut { start, end, text }));
        }
        if content.contains(&spellings[0]) || content.contains(&spellings[1]) {
            return Err(format!("{} is named inside a string", spellings[0]));
        }
    }
    Ok(None)
}

/// An identifier as the server folds it.
fn fold(word: &str) -> String {
    match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => word.to_lowercase(),
    }
}

/// Every word of a text, as the server folds it.
pub fn words(text: &str) -> HashSet<String> {
    let Ok(scan) = pg_query::scan(text) else { return HashSet::new() };
    scan.tokens.iter().filter_map(|t| text.get(t.start as usize..t.end as usize)).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_copied_objects_are_changed() {
        let copied: Names = [("public".into(), "events".into())].into();
        let go = |t: &str| retarget(t, &copied, &|_, _| "s".to_owned());
        assert_eq!(
            go("insert into Public.events (a) -- public.events").unwrap(),
            "insert into \"s\".events (a) -- public.events"
        );
        assert_eq!(
            go("select public.event, x.events, db.public.events").unwrap(),
            "select public.event, x.events, db.public.events"
        );
        assert_eq!(go("f('public.events'::regclass)").unwrap(), "f('\"s\".\"events\"'::regclass)");
        assert!(go("execute 'insert into public.events values (1)'").is_err());
        assert!(words("insert into \"events\"").contains("events") && !words("'events'").contains("events"));
    }
}
