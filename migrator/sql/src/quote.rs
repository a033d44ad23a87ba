//! Names and texts as PostgreSQL reads them.

use std::cell::RefCell;
use std::collections::HashMap;

/// A quoted identifier.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted literal, right under any setting of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The body of a function or a DO block, quoted whatever names and texts stand in it: between dollars, for people to read, or
/// as a literal where the body itself would end there.
pub fn quote_body(tag: &str, body: &str) -> String {
    let mark = format!("${tag}$");
    let quoted = format!("{mark}{body}{mark}");
    // the scanner takes the first mark that it meets, also one that the end of the body and the mark make together
    let end = quoted[mark.len()..].find(&mark);
    if end == Some(body.len()) { quoted } else { quote_literal(body) }
}

/// An identifier, quoted only where it must be.
pub fn quoted(name: &str) -> String {
    let simple = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && is_free(name);
    if simple { name.to_owned() } else { quote_ident(name) }
}

/// So many names are kept with what the parser said of them.
const KEPT: usize = 100_000;

thread_local! {
    static KNOWN: RefCell<HashMap<String, bool>> = RefCell::default();
}

/// Whether the parser takes a word for a name. The names of a schema are asked for again and again.
fn is_free(name: &str) -> bool {
    KNOWN.with_borrow_mut(|known| {
        if let Some(free) = known.get(name) {
            return *free;
        }
        if known.len() >= KEPT {
            known.clear();
        }
        let free = pg_query::parse(&format!("select {name}.{name} from {name}")).is_ok();
        known.insert(name.to_owned(), free);
        free
    })
}

/// The parts of a name as SQL reads it, quoted where that is needed or not; none where it is no name.
pub fn name_parts(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut rest) = (vec![], text);
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inside) => {
                let mut name = String::new();
                let mut inside = inside;
                loop {
                    let (before, after) = inside.split_once('"')?;
                    name.push_str(before);
                    match after.strip_prefix('"') {
                        Some(more) => {
                            name.push('"');
                            inside = more;
                        }
                        None => break (name, after),
                    }
                }
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?;
    }
}

#[cfg(test)]
mod tests {
    use pg_query::NodeEnum;

    use super::*;

    #[test]
    fn no_body_ends_before_its_end() {
        let texts =
            ["begin end", "$shim$", "a$shim$b", "ends in $shim", "$$shim$", "$1$shim$\\'", "é$shim", "'", "\\", ""];
        for body in texts.iter().chain([&"$mysql$", &"$do$;select 1;$do$"]) {
            let sql = format!("do {}", quote_body("shim", body));
            let statements = pg_query::parse(&sql).expect(body).protobuf.stmts;
            let [only] = statements.as_slice() else { panic!("{sql}: {} statements", statements.len()) };
            let Some(NodeEnum::DoStmt(block)) = only.stmt.as_ref().and_then(|s| s.node.as_ref()) else {
                panic!("{sql}")
            };
            let texts = block.args.iter().filter_map(|arg| match arg.node.as_ref()? {
                NodeEnum::DefElem(element) => match element.arg.as_ref()?.node.as_ref()? {
                    NodeEnum::String(text) => Some(text.sval.as_str()),
                    _ => None,
                },
                _ => None,
            });
            assert!(texts.collect::<Vec<_>>().contains(body), "{sql}");
        }
        assert_eq!(quote_body("shim", "a $x$ $$ '"), "$shim$a $x$ $$ '$shim$");
    }

    #[test]
    fn identifiers_and_literals_are_quoted() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), " E'a\\\\b'");
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let read = |text: &str| name_parts(text).map(|parts| parts.join("|"));
        for (text, parts) in [
            ("Orders", "orders"),
            ("public.order_events", "public|order_events"),
            ("\"v1\".\"Domain'Events\"", "v1|Domain'Events"),
            ("\"a\"\"b\".c", "a\"b|c"),
            ("\"a.b\"", "a.b"),
        ] {
            assert_eq!(read(text).as_deref(), Some(parts), "{text}");
        }
        for text in ["", ".a", "a.", "\"a", "\"a\"b", "\"\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
