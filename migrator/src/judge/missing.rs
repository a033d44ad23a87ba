//! Functions that are called for what they do and that files do not hold: what they write is not known.

use serde_json::Value;

use crate::source::Catalogue;
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::StatementType;

/// Schemas of extensions whose functions write no table of the user's.
const KNOWN: [&str; 12] = [
    "pg_catalog",
    "information_schema",
    "domain_events",
    "cron",
    "net",
    "pgmq",
    "graphile_worker",
    "pgcrypto",
    "extensions",
    "postgis",
    "topology",
    "partman",
];

/// Functions of the server that are called for what they do, apart from those whose names begin with `pg_`.
const SERVERS: [&str; 46] = [
    "convert_from",
    "convert_to",
    "convert",
    "encode",
    "decode",
    "digest",
    "hmac",
    "crypt",
    "gen_random_uuid",
    "gen_random_bytes",
    "uuid_generate_v4",
    "to_char",
    "to_json",
    "to_jsonb",
    "to_regclass",
    "row_to_json",
    "json_build_object",
    "jsonb_build_object",
    "jsonb_set",
    "array_append",
    "array_length",
    "length",
    "lower",
    "concat",
    "hashtext",
    "statement_timestamp",
    "set_config",
    "nextval",
    "setval",
    "currval",
    "lastval",
    "now",
    "clock_timestamp",
    "txid_current",
    "count",
    "max",
    "min",
    "sum",
    "coalesce",
    "current_setting",
    "format",
    "lo_unlink",
    "lo_create",
    "lo_put",
    "dblink_connect",
    "dblink_disconnect",
];

/// The functions that a statement calls for what they do: by PERFORM or CALL.
pub(super) fn calls(kind: StatementType, trees: &[Value], catalogue: &Catalogue, path: &[String]) -> Vec<String> {
    // on a server what is not among the user's functions belongs to the server or to an extension
    if catalogue.server_version != 0 {
        return vec![];
    }
    let mut found = vec![];
    for tree in trees {
        let called: Vec<&Value> = match kind {
            StatementType::Call => ast::find(tree, "CallStmt").into_iter().filter_map(|c| c.get("funccall")).collect(),
            StatementType::Perform => of_select(tree),
            _ => vec![],
        };
        for call in called.into_iter().filter(|c| c.is_object()) {
            let (schema, name) = ast::call_name(call);
            let arguments = ast::list(call, "args").len();
            let known = catalogue.resolve_function(&schema, &name, arguments, path).is_some()
                || catalogue.functions.iter().any(|f| f.name == name && (schema.is_empty() || f.schema == schema));
            let servers = name.starts_with("pg_")
                || SERVERS.contains(&name.as_str())
                || super::dynamic::sends_insert(&(schema.clone(), name.clone(), ast::list(call, "args")))
                || KNOWN.contains(&schema.as_str());
            if !known && !servers && !found.contains(&name) {
                found.push(if schema.is_empty() { name } else { format!("{schema}.{name}") });
            }
        }
    }
    found
}

/// The calls that a SELECT without a table consists of.
fn of_select(tree: &Value) -> Vec<&Value> {
    let Some(select) = ast::node(tree, "SelectStmt") else { return vec![] };
    if !ast::list(select, "from_clause").is_empty() {
        return vec![];
    }
    let targets = ast::list(select, "target_list").iter().filter_map(|t| ast::node(t, "ResTarget"));
    let values: Vec<&Value> = targets.filter_map(|t| t.get("val")).collect();
    let calls: Vec<&Value> = values.iter().filter_map(|v| ast::node(ast::without_casts(v), "FuncCall")).collect();
    // a value that is computed is not called for what it does
    if calls.len() == values.len()
        && ast::calls(tree).iter().all(|(_, name, _)| !matches!(name.as_str(), "max" | "count"))
    {
        calls
    } else {
        vec![]
    }
}
