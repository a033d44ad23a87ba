//! Functions of JSON. jsonb orders keys as MySQL 8 does.

use super::super::Translator;
use super::super::coerce::array_of;
use super::super::context::Flavor;
use super::super::helpers::Helper;
use super::super::value::{Collation, Sql, Ty};
use super::Call;

/// A path as `#>` takes it.
struct Path {
    /// The text of an expression of type text[].
    text: String,
    /// `$` alone.
    root: bool,
}

impl Translator<'_> {
    pub(in super::super) fn json_function(&mut self, it: &Call<'_>, args: &[Sql]) -> Option<Sql> {
        Some(match (it.name.as_str(), args) {
            ("JSON_OBJECT", pairs) if pairs.len().is_multiple_of(2) => {
                let mut parts = vec![];
                for pair in pairs.chunks(2) {
                    parts.push(self.text(&pair[0]).text);
                    parts.push(self.element(&pair[1]).text);
                }
                self.ordered(pairs.len() / 2);
                self.built("jsonb_build_object", &parts)
            }
            ("JSON_ARRAY", items) => {
                let parts: Vec<String> = items.iter().map(|i| self.element(i).text).collect();
                self.built("jsonb_build_array", &parts)
            }
            ("JSON_EXTRACT", [document, path]) => self.json_extract(document, path, false),
            ("JSON_EXTRACT", [document, paths @ ..]) if paths.len() > 1 => {
                let found: Vec<String> = paths.iter().map(|p| self.json_extract(document, p, false).text).collect();
                Sql::atom(
                    format!("(select jsonb_agg(v) from unnest(array[{}]) v where v is not null)", found.join(", ")),
                    Ty::Json,
                )
            }
            ("JSON_VALUE", [document, path]) => {
                let document = self.document(document);
                let Some(path) = self.path(path) else { return Some(self.refused_path(it)) };
                Sql {
                    collation: Collation::Exact,
                    ..Sql::compound(format!("{} #>> {}", document.operand(), path.text), Ty::Text)
                }
            }
            ("JSON_UNQUOTE", [value]) => match value.ty {
                Ty::Json => self.unquoted(value),
                _ => {
                    let text = self.text(value);
                    if text.literal.is_none() {
                        self.declare("JSON_UNQUOTE of a text", "the text is taken as it is; MySQL takes quotes off");
                    }
                    text
                }
            },
            ("JSON_QUOTE", [value]) => {
                let text = self.text(value);
                let text = if text.literal.is_some() { text.cast("text", Ty::Text) } else { text };
                Sql::atom(format!("to_json({})::text", text.text), Ty::Text)
            }
            ("JSON_SET" | "JSON_INSERT" | "JSON_REPLACE" | "JSON_ARRAY_APPEND", [document, rest @ ..])
                if !rest.is_empty() && rest.len().is_multiple_of(2) =>
            {
                let mut document = self.document(document);
                for pair in rest.chunks(2) {
                    let Some(path) = self.path(&pair[0]) else { return Some(self.refused_path(it)) };
                    let value = self.json_value(&pair[1]);
                    // where there is nothing MySQL leaves the document, MariaDB gives NULL
                    let absent = if self.known.flavor == Flavor::MariaDb { "null" } else { "d" };
                    document = changed(&it.name, &document, &path, &value, absent);
                }
                document
            }
            ("JSON_REMOVE", [document, paths @ ..]) if !paths.is_empty() => {
                let mut text = self.document(document).operand();
                for path in paths {
                    let Some(path) = self.path(path) else { return Some(self.refused_path(it)) };
                    text = format!("{text} #- {}", path.text);
                }
                Sql::compound(text, Ty::Json)
            }
            ("JSON_MERGE_PATCH" | "JSON_MERGE_PRESERVE" | "JSON_MERGE", [first, rest @ ..]) if !rest.is_empty() => {
                let helper = if it.name == "JSON_MERGE_PATCH" { Helper::MergePatch } else { Helper::MergePreserve };
                let mut merged = self.document(first);
                for next in rest {
                    let next = self.document(next);
                    merged = self.help(helper, &[merged.text, next.text], Ty::Json);
                }
                merged
            }
            ("JSON_LENGTH", [document]) => {
                let document = self.document(document);
                length(&document)
            }
            ("JSON_LENGTH", [document, path]) => {
                let part = self.json_extract(document, path, false);
                length(&part)
            }
            ("JSON_KEYS", [document]) => {
                let document = self.document(document);
                self.ordered(2);
                keys(&document)
            }
            ("JSON_KEYS", [document, path]) => {
                let part = self.json_extract(document, path, false);
                keys(&part)
            }
            ("JSON_CONTAINS", [target, candidate]) => {
                let (target, candidate) = (self.document(target), self.document(candidate));
                Sql::compound(format!("{} @> {}", target.operand(), candidate.operand()), Ty::Bool)
            }
            ("JSON_CONTAINS", [target, candidate, path]) => {
                let whole = self.document(target);
                let (target, candidate) = (self.json_extract(target, path, false), self.document(candidate));
                let contains = format!("{} @> {}", target.operand(), candidate.operand());
                if self.known.flavor == Flavor::MariaDb {
                    let found = format!("coalesce({contains}, false)");
                    Sql::atom(format!("case when {} is not null then {found} end", whole.operand()), Ty::Bool)
                } else {
                    Sql::compound(contains, Ty::Bool)
                }
            }
            ("JSON_CONTAINS_PATH", [document, how, paths @ ..]) if !paths.is_empty() => {
                let all = match how.constant().map(str::to_lowercase).as_deref() {
                    Some("all") => " and ",
                    Some("one") => " or ",
                    _ => return Some(self.refuse(&it.whole, "the second argument must be 'one' or 'all'")),
                };
                let tests: Vec<String> = paths
                    .iter()
                    .map(|p| format!("{} is not null", self.json_extract(document, p, false).operand()))
                    .collect();
                let nothing = format!("{} is not null", self.document(document).operand());
                Sql::atom(format!("case when {nothing} then {} end", tests.join(all)), Ty::Bool)
            }
            ("JSON_TYPE", [document]) => {
                let document = self.document(document);
                let d = document.operand();
                Sql::atom(
                    format!(
                        "case jsonb_typeof({d}) when 'number' then case when {d}::text ~ '[.eE]' then 'DOUBLE' else 'INTEGER' end \
                         else upper(jsonb_typeof({d})) end"
                    ),
                    Ty::Text,
                )
            }
            ("JSON_VALID", [value]) => match value.ty {
                Ty::Json => Sql::atom(format!("case when {} is not null then 1 end", value.operand()), Ty::Int),
                _ => {
                    let text = self.text(value);
                    self.help(Helper::JsonValid, &[text.text], Ty::Int)
                }
            },
            ("JSON_PRETTY" | "JSON_DETAILED", [document]) => {
                self.declare("JSON_PRETTY", "indented by four blanks instead of two");
                let document = self.document(document);
                self.plain("jsonb_pretty", &[document], Ty::Text)
            }
            ("JSON_COMPACT" | "JSON_LOOSE", [document]) => self.document(document),
            (name, _) if name.starts_with("JSON_") => {
                self.refuse(&it.whole, "PostgreSQL has no such function built in")
            }
            _ => return None,
        })
    }

    fn built(&self, name: &str, parts: &[String]) -> Sql {
        Sql::atom(format!("{name}({})", parts.join(", ")), Ty::Json)
    }

    fn ordered(&mut self, keys: usize) {
        if keys > 1 && self.known.flavor == Flavor::MariaDb {
            self.declare(
                "JSON_OBJECT",
                "keys are ordered by their length, then by their bytes; MariaDB keeps the order written",
            );
        }
    }

    fn refused_path(&mut self, it: &Call<'_>) -> Sql {
        self.refuse(&it.whole, "a path of JSON with wildcards, ranges or `last`")
    }

    /// `->`, `->>`, JSON_EXTRACT.
    pub(in super::super) fn json_extract(&mut self, document: &Sql, path: &Sql, unquote: bool) -> Sql {
        let document = self.document(document);
        let Some(path) = self.path(path) else {
            return self.refuse("JSON_EXTRACT", "a path of JSON with wildcards, ranges or `last`");
        };
        let part = if path.root {
            document
        } else {
            Sql::compound(format!("{} #> {}", document.operand(), path.text), Ty::Json)
        };
        if unquote { self.unquoted(&part) } else { part }
    }

    fn unquoted(&mut self, value: &Sql) -> Sql {
        self.declare("JSON_UNQUOTE", "JSON's null becomes NULL; MySQL gives the text 'null'");
        let text = match value.text.split_once(" #> ") {
            Some((document, path)) if !value.atom && value.text.matches(" #> ").count() == 1 => {
                format!("{document} #>> {path}")
            }
            _ => format!("{} #>> '{{}}'", value.operand()),
        };
        Sql { collation: Collation::Exact, ..Sql::compound(text, Ty::Text) }
    }

    /// A path; none if it has what `#>` does not.
    fn path(&mut self, path: &Sql) -> Option<Path> {
        if let Some(constant) = path.constant() {
            let parts = parse(constant)?;
            return Some(Path { root: parts.is_empty(), text: array_of(&parts) });
        }
        // CONCAT('$.', x) names one key
        if let Some(key) = path.text.strip_prefix("'$.' || ").filter(|k| !k.contains(" || ")) {
            return Some(Path { root: false, text: format!("array[{key}]") });
        }
        let text = self.text(path);
        let value = self.help(Helper::JsonPath, &[text.text], Ty::Unknown);
        Some(Path { root: false, text: value.text })
    }
}

/// The steps of a constant path.
fn parse(path: &str) -> Option<Vec<String>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut parts = vec![];
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('.') {
            let after = after.trim_start();
            if let Some(quoted) = after.strip_prefix('"') {
                let end = quoted.find('"')?;
                parts.push(quoted[..end].to_owned());
                rest = &quoted[end + 1..];
            } else {
                let end = after.find(['.', '[', ' ']).unwrap_or(after.len());
                let key = &after[..end];
                if key.is_empty() || key.contains('*') {
                    return None;
                }
                parts.push(key.to_owned());
                rest = &after[end..];
            }
        } else {
            let inner = rest.strip_prefix('[')?;
            let end = inner.find(']')?;
            let index = inner[..end].trim();
            if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            parts.push(index.to_owned());
            rest = &inner[end + 1..];
        }
    }
    Some(parts)
}

fn changed(name: &str, document: &Sql, path: &Path, value: &Sql, absent: &str) -> Sql {
    let (d, p, v) = (&document.text, &path.text, &value.text);
    let text = match name {
        "JSON_SET" if path.root => v.clone(),
        "JSON_SET" => format!("jsonb_set({d}, {p}, {v})"),
        "JSON_REPLACE" if path.root => v.clone(),
        "JSON_REPLACE" => format!("jsonb_set({d}, {p}, {v}, false)"),
        "JSON_INSERT" if path.root => d.clone(),
        "JSON_INSERT" => {
            format!(
                "(select case when d #> {p} is null then jsonb_set(d, {p}, {v}) else d end from (select {d} as d) j)"
            )
        }
        // what is no array becomes one first
        _ => format!(
            "(select case when d #> {p} is null then {absent} else jsonb_set(jsonb_build_object('d', d), array['d'] || {p}::text[], \
             case jsonb_typeof(d #> {p}) when 'array' then d #> {p} else jsonb_build_array(d #> {p}) end \
             || jsonb_build_array({v})) -> 'd' end from (select {d} as d) j)"
        ),
    };
    Sql::atom(text, Ty::Json)
}

fn length(document: &Sql) -> Sql {
    let d = document.operand();
    Sql::atom(
        format!(
            "case jsonb_typeof({d}) when 'array' then jsonb_array_length({d}) \
             when 'object' then (select count(*)::int from jsonb_object_keys({d})) when 'null' then 1 else case when {d} is not null then 1 end end"
        ),
        Ty::Int,
    )
}

fn keys(document: &Sql) -> Sql {
    let d = document.operand();
    Sql::atom(
        format!(
            "case jsonb_typeof({d}) when 'object' then (select coalesce(jsonb_agg(k), '[]') from jsonb_object_keys({d}) k) end"
        ),
        Ty::Json,
    )
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn paths_without_wildcards_are_read() {
        let parts = |p| parse(p).map(|v| v.join("|"));
        assert_eq!(parts("$").as_deref(), Some(""));
        assert_eq!(parts("$.a.\"b c\"[2].d").as_deref(), Some("a|b c|2|d"));
        for wild in ["$.*", "$[*]", "$**.a", "$[last]", "$[0 to 2]", "a", ""] {
            assert_eq!(parts(wild), None, "{wild}");
        }
    }
}
