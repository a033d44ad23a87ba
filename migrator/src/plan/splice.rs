//! Replacing one expression in the text of a function and leaving every other byte as it is.

use serde_json::Value;

use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::Statement;

/// A piece of the source and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
    /// The new text.
    pub text: String,
}

/// Carries out the cuts.
pub fn apply(source: &str, mut cuts: Vec<Cut>) -> Result<String, String> {
    cuts.sort_by_key(|c| c.start);
    if cuts.windows(2).any(|w| w[0].end > w[1].start) {
        return Err("two replacements overlap".into());
    }
    let mut text = source.to_owned();
    for cut in cuts.into_iter().rev() {
        text.replace_range(cut.start..cut.end, &cut.text);
    }
    Ok(text)
}

/// Where a statement begins in the source. The parser gives its line and its text, in which an INTO clause is blanked.
pub fn locate(source: &str, statement: &Statement) -> Result<usize, String> {
    let line = line_range(source, statement.line).ok_or("the statement's line is not in the source")?;
    let (bytes, query) = (source.as_bytes(), statement.sql.as_bytes());
    let fits = |at: usize| {
        bytes.get(at..at + query.len()).is_some_and(|text| text.iter().zip(query).all(|(s, q)| s == q || *q == b' '))
    };
    let mut found = line.filter(|at| !query.is_empty() && bytes[*at] == query[0] && fits(*at));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err("the statement stands twice in one line".into()),
        (None, _) => Err("the statement's text is not found in the source".into()),
    }
}

/// The bytes of a line; as in the server's messages, the first line is the one of the opening delimiter.
fn line_range(source: &str, line: usize) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for _ in 1..line {
        start += source.get(start..)?.find('\n')? + 1;
    }
    let end = source.get(start..)?.find('\n').map_or(source.len(), |n| start + n);
    (line > 0).then_some(start..end)
}

/// Where an expression of a VALUES or SELECT list stands in the statement's text: from one comma or parenthesis to the
/// next, without the blanks. What is found is parsed again and must mean the same.
pub fn item(sql: &str, expr: &Value) -> Result<std::ops::Range<usize>, String> {
    let first = ast::first_position(expr).ok_or("the expression has no position")?;
    let scan = pg_query::scan(sql).map_err(|e| e.to_string())?;
    let mut depth = 0i32;
    let mut words = vec![];
    for token in &scan.tokens {
        let (start, end) = (token.start as usize, token.end as usize);
        let word = sql.get(start..end).ok_or("a token is cut in half")?;
        if word.starts_with("--") || word.starts_with("/*") {
            continue;
        }
        // a parenthesis belongs to the level it opens or closes
        depth -= i32::from(matches!(word, ")" | "]"));
        words.push((start, end, word, depth));
        depth += i32::from(matches!(word, "(" | "["));
    }
    let at =
        words.iter().position(|(start, ..)| *start == first).ok_or("the expression does not begin with a token")?;
    // the expression may stand in parentheses of its own: the smallest enclosing piece that means the same is the one
    for level in (0..=words[at].3).rev() {
        let left = words[..at].iter().rposition(|w| w.3 < level || (w.3 == level && begins_list(w.2)));
        let right = words[at..].iter().position(|w| w.3 < level || (w.3 == level && ends_item(w.2))).map(|n| n + at);
        let from = left.map_or(0, |n| n + 1);
        let to = right.unwrap_or(words.len());
        if from >= to {
            continue;
        }
        let range = words[from].0..words[to - 1].1;
        let parsed = ast::parse_expression(&sql[range.clone()]);
        let bounded = left.is_some_and(|n| is_list_bound(&words, n))
            && right.is_none_or(|n| words[n].2 != "." && words[n].3 <= level);
        if bounded && parsed.is_ok_and(|p| ast::without_positions(&p) == ast::without_positions(expr)) {
            return Ok(range);
        }
    }
    Err("the expression cannot be cut out of its statement".into())
}

fn begins_list(word: &str) -> bool {
    word == "," || ["select", "all", "distinct"].iter().any(|k| word.eq_ignore_ascii_case(k))
}

fn ends_item(word: &str) -> bool {
    matches!(word, "," | ";")
        || ["from", "where", "returning", "on", "union", "except", "intersect", "group", "order", "limit"]
            .iter()
            .any(|k| word.eq_ignore_ascii_case(k))
}

/// Whether a list of values or targets, not the arguments of a call, begins or goes on there.
fn is_list_bound(words: &[(usize, usize, &str, i32)], at: usize) -> bool {
    let (.., word, depth) = words[at];
    if word != "(" && word != "," {
        return begins_list(word);
    }
    let inside = if word == "(" { depth + 1 } else { depth };
    let opening = words[..=at].iter().rposition(|w| w.3 < inside && w.2 == "(");
    let Some(opening) = opening else { return true };
    // VALUES (..), (..)
    opening > 0 && (words[opening - 1].2.eq_ignore_ascii_case("values") || words[opening - 1].2 == ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sql: &str, expr: &str) -> String {
        let statement = ast::parse(sql).unwrap().remove(0);
        let wanted = ast::without_positions(&ast::parse_expression(expr).unwrap());
        let insert = ast::node(&statement, "InsertStmt").unwrap();
        let found = ast::find(insert, "List")
            .into_iter()
            .flat_map(|l| ast::list(l, "items"))
            .chain(ast::find(insert, "ResTarget").into_iter().filter_map(|t| t.get("val")).filter(|v| v.is_object()));
        let found: Vec<_> = found.filter(|v| ast::without_positions(v) == wanted).collect();
        sql[item(sql, found[0]).unwrap()].to_owned()
    }

    #[test]
    fn an_item_is_cut_with_its_own_parentheses_and_casts() {
        assert_eq!(cut("insert into e (a, v) values (new.id, 1)", "1"), "1");
        assert_eq!(cut("insert into e (a, v, d) values (f(1, 2), (1)::bigint, 'x')", "1::bigint"), "(1)::bigint");
        assert_eq!(
            cut("insert into e (v) values ((select max(v) + 1 from e))", "(select max(v) + 1 from e)"),
            "(select max(v) + 1 from e)"
        );
        assert_eq!(
            cut("insert into e select new.id, coalesce(max(v), 0) + 1 from e", "coalesce(max(v), 0) + 1"),
            "coalesce(max(v), 0) + 1"
        );
        assert_eq!(cut("insert into e (v) values (v) returning id", "v"), "v");
        assert_eq!(cut("insert into e (a, v) values ('é', -- n\n 1 /* x */)", "1"), "1");
    }

    #[test]
    fn a_statement_is_found_by_line_and_text_with_its_into_clause() {
        let source = "\nbegin\n  insert into e values (1) returning id into v;\nend";
        let statement = Statement {
            kind: crate::sql_tree::plpgsql::StatementType::Sql,
            sql: "insert into e values (1) returning id".into(),
            parameters: vec![],
            line: 3,
            targets: vec![],
            guards: vec![],
            swallowed: false,
            looped: false,
        };
        assert_eq!(locate(source, &statement), Ok(9));
        let elsewhere = Statement { line: 1, ..statement };
        assert!(locate(source, &elsewhere).is_err());
    }

    #[test]
    fn cuts_that_overlap_are_refused() {
        let cut = |start, end| Cut { start, end, text: "x".into() };
        assert_eq!(apply("abcd", vec![cut(2, 3), cut(0, 1)]), Ok("xbxd".into()));
        assert!(apply("abcd", vec![cut(0, 2), cut(1, 3)]).is_err());
    }
}
