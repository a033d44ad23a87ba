//! Trees are asked for kinds of nodes and for fields by name, and a name that is misspelt would be a silent None: every name
//! in the sources is one that PostgreSQL's parser gives.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pg_query::protobuf::{AConst, Node};
use proc_macro2::{TokenStream, TokenTree};
use prost::Message;
use prost::encoding::{WireType, encode_key};
use serde_json::Value;

/// The functions that take a name, as their last argument.
const ASKING: [&str; 9] = ["node", "find", "list", "text", "get", "pointer", "pointer_mut", "array", "expression"];

/// Each statement of PL/pgSQL, none of them empty: the parser's trees of it have no types.
const PLPGSQL: &str = "create function f() returns trigger language plpgsql as $$
declare n int := 1; r record; c cursor (k int) for select k;
begin
  select 1, 2 into n, r.x; select 1 into n; select 1 as x into r; perform 1; call p(); n := 1; r.x := 2;
  if n = 1 then n := 1; elsif n = 2 then n := 1; else n := 1; end if;
  case n when 1 then n := 1; else n := 1; end case;
  loop exit when n = 1; continue; end loop;
  while n = 1 loop n := 1; end loop;
  for i in reverse 9..1 by 2 loop n := 1; end loop;
  for r in select 1 loop n := 1; end loop;
  for r in c(1) loop n := 1; end loop;
  for r in execute 'select $1' using 1 loop n := 1; end loop;
  foreach n in array array[1] loop n := 1; end loop;
  open c(1); fetch c into r; move c; close c;
  execute 'select $1' into n using 1;
  raise 'no %', 1 using hint = 'h'; assert n = 1, 'm'; get diagnostics n = row_count; commit; rollback;
  return new;
exception when unique_violation then raise;
end $$";

#[test]
fn every_name_that_a_tree_is_asked_for_exists() {
    let mut known = BTreeSet::new();
    each_alternative::<Node>(&mut known);
    each_alternative::<AConst>(&mut known);
    keys(&pg_query::parse_plpgsql(PLPGSQL).unwrap(), &mut known);
    let mut asked = vec![];
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut asked);
    let wrong: Vec<_> = asked
        .iter()
        .filter(|(_, name)| !name.split('/').all(|n| known.contains(n) || n.bytes().all(|b| b.is_ascii_digit())))
        .collect();
    assert!(wrong.is_empty(), "no such kind or field: {wrong:?}");
    assert!(asked.len() > 600, "only {} names were found", asked.len());
}

/// The names of all that a message may hold as one of several: each empty, decoded by its number.
fn each_alternative<M: Message + Default + serde::Serialize>(known: &mut BTreeSet<String>) {
    for number in 1..1000 {
        let mut bytes = vec![];
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        bytes.push(0);
        if let Ok(message) = M::decode(bytes.as_slice()) {
            keys(&serde_json::to_value(message).unwrap(), known);
        }
    }
}

fn keys(tree: &Value, known: &mut BTreeSet<String>) {
    match tree {
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            known.insert(key.clone());
            keys(inner, known);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, known)),
        _ => {}
    }
}

/// File and name, of each file that asks trees.
fn sources(directory: &Path, asked: &mut Vec<(String, String)>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, asked);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("sql_tree/names.rs") {
            let text = fs::read_to_string(&path).unwrap();
            if ["ast::", "plpgsql::", "pg_query::"].iter().any(|module| text.contains(module)) {
                let mut names = vec![];
                names_in(text.parse().unwrap(), &mut names);
                asked.extend(names.into_iter().map(|name| (path.display().to_string(), name)));
            }
        }
    }
}

/// The names in the text of a source, but for its tests: what those functions are given, what a kind is compared with, and
/// what can be nothing else.
fn names_in(tokens: TokenStream, names: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |at: Option<usize>, word: &str| at.and_then(|at| tokens.get(at)).is_some_and(|t| t.to_string() == word);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(_) if is(at.checked_sub(1), "tests") && is(at.checked_sub(2), "mod") => {}
            TokenTree::Group(group) => {
                if ASKING.iter().any(|function| is(at.checked_sub(1), function)) {
                    let given: Vec<TokenTree> = group.stream().into_iter().collect();
                    if let [.., TokenTree::Literal(last)] = given.as_slice() {
                        let alone = given.len() == 1 || given[given.len() - 2].to_string() == ",";
                        names.extend(string(&last.to_string()).filter(|_| alone));
                    }
                }
                names_in(group.stream(), names);
            }
            TokenTree::Literal(literal) => {
                let compared = is(at.checked_sub(2), "=") && is(at.checked_sub(4), "kind");
                let name = string(&literal.to_string()).unwrap_or_default();
                let own = name.strip_prefix("PLpgSQL_").or(name.strip_suffix("Stmt")).unwrap_or_default();
                if compared || !own.is_empty() && !own.ends_with('_') {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
}

fn string(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.trim_start_matches('/').to_owned())
}
