//! Second step of the two: SQL as a tree of plain JSON values, and the few questions the judge asks of it.

use serde_json::Value;

use super::newer;
use domain_events_sql::limits;

/// Parses one or more statements; each is the value of its `RawStmt.stmt`.
pub fn parse(sql: &str) -> Result<Vec<Value>, String> {
    limits::check(sql)?;
    let parsed = pg_query::parse(sql).or_else(|error| {
        let known = newer::without_returning_aliases(sql).or_else(|| newer::with_names_of_before(sql));
        known.and_then(|known| pg_query::parse(&known).ok()).ok_or_else(|| error.to_string())
    })?;
    // one statement after the other: both forms of a whole file at once would take twice the memory
    let values = parsed.protobuf.stmts.into_iter().filter_map(|s| s.stmt).map(serde_json::to_value);
    values.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

/// Parses an expression.
pub fn parse_expression(text: &str) -> Result<Value, String> {
    let mut statements = parse(&format!("select {text}"))?;
    let targets = statements.first_mut().and_then(|s| s.pointer_mut("/node/SelectStmt/target_list"));
    match targets.and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        Some([only]) => only.pointer_mut("/node/ResTarget/val").map(Value::take).ok_or_else(|| "no expression".into()),
        _ => Err("not one expression".into()),
    }
}

/// The inside of a node if it is of this kind.
pub fn node<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    // a `Node` holds its kind in "node"; fields of one fixed kind hold it bare
    value.get("node").and_then(|n| n.get(kind))
}

/// The kind of a node.
pub fn kind(value: &Value) -> &str {
    value.get("node").and_then(Value::as_object).and_then(|m| m.keys().next()).map(String::as_str).unwrap_or_default()
}

/// A list field.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text field.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Every node of a kind in a tree, the root included.
pub fn find<'a>(tree: &'a Value, wanted: &str) -> Vec<&'a Value> {
    fn visit<'a>(tree: &'a Value, wanted: &str, found: &mut Vec<&'a Value>) {
        match tree {
            Value::Object(map) => {
                for (key, inner) in map {
                    if key == wanted && inner.is_object() {
                        found.push(inner);
                    }
                    visit(inner, wanted, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|i| visit(i, wanted, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    visit(tree, wanted, &mut found);
    found
}

/// A tree without the positions in the text: two of them are equal if they mean the same.
pub fn without_positions(tree: &Value) -> Value {
    match tree {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(k, _)| !matches!(k.as_str(), "location" | "stmt_location" | "stmt_len"))
                .map(|(k, v)| (k.clone(), without_positions(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_positions).collect()),
        other => other.clone(),
    }
}

/// The smallest position in a tree: where its text begins, but for parentheses.
pub fn first_position(tree: &Value) -> Option<usize> {
    match tree {
        Value::Object(map) => {
            let own = map.get("location").and_then(Value::as_i64).filter(|l| *l >= 0).map(|l| l as usize);
            map.values().filter_map(first_position).chain(own).min()
        }
        Value::Array(items) => items.iter().filter_map(first_position).min(),
        _ => None,
    }
}

/// Parentheses leave no trace in the tree; casts do: the expression under any number of them.
pub fn without_casts(mut value: &Value) -> &Value {
    while let Some(inner) = node(value, "TypeCast").and_then(|c| c.get("arg")) {
        value = inner;
    }
    value
}

/// The parts of a column reference: `new.id` is ["new", "id"].
pub fn column(value: &Value) -> Option<Vec<String>> {
    let fields = list(node(value, "ColumnRef")?, "fields");
    Some(fields.iter().map(|f| node(f, "String").map_or("*", |s| text(s, "sval")).to_owned()).collect())
}

/// A reference to a field of a record.
pub fn column_of(record: &str, field: &str) -> Value {
    let part = |name: &str| serde_json::json!({"node": {"String": {"sval": name}}});
    serde_json::json!({"node": {"ColumnRef": {"fields": [part(record), part(field)], "location": -1}}})
}

/// A constant as text; numbers, strings and booleans alike.
pub fn constant(value: &Value) -> Option<String> {
    let constant = node(without_casts(value), "AConst")?;
    let val = constant.get("val")?;
    if let Some(string) = val.get("Sval") {
        return Some(text(string, "sval").to_owned());
    }
    if let Some(integer) = val.get("Ival") {
        return Some(integer.get("ival").and_then(Value::as_i64).unwrap_or(0).to_string());
    }
    if let Some(float) = val.get("Fval") {
        return Some(text(float, "fval").to_owned());
    }
    val.get("Boolval").map(|b| b.get("boolval").and_then(Value::as_bool).unwrap_or(false).to_string())
}

/// A constant that is a string in the text.
pub fn string_constant(value: &Value) -> Option<String> {
    node(without_casts(value), "AConst")?.get("val")?.get("Sval").map(|s| text(s, "sval").to_owned())
}

/// Whether it is the NULL constant.
pub fn is_null(value: &Value) -> bool {
    node(without_casts(value), "AConst").is_some_and(|c| c.get("isnull").and_then(Value::as_bool).unwrap_or(false))
}

/// Schema and name of a function call.
pub fn call_name(call: &Value) -> (String, String) {
    let parts: Vec<_> =
        list(call, "funcname").iter().filter_map(|p| node(p, "String")).map(|s| text(s, "sval")).collect();
    match parts.as_slice() {
        [name] => (String::new(), (*name).to_owned()),
        [.., schema, name] => ((*schema).to_owned(), (*name).to_owned()),
        [] => (String::new(), String::new()),
    }
}

/// The function calls in a tree: schema, name, arguments.
pub fn calls(tree: &Value) -> Vec<(String, String, &[Value])> {
    // CALL holds its call bare
    let called = find(tree, "CallStmt").into_iter().filter_map(|c| c.get("funccall").filter(|f| f.is_object()));
    find(tree, "FuncCall")
        .into_iter()
        .chain(called)
        .map(|call| {
            let (schema, name) = call_name(call);
            (schema, name, list(call, "args"))
        })
        .collect()
}

/// The operator of an `AExpr`.
pub fn operator(expr: &Value) -> &str {
    list(expr, "name").last().and_then(|n| node(n, "String")).map_or("", |s| text(s, "sval"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_columns_are_read_through_casts() {
        let expr = |t: &str| parse_expression(t).unwrap();
        assert_eq!(constant(&expr("(1)::bigint")).as_deref(), Some("1"));
        assert_eq!(constant(&expr("0")).as_deref(), Some("0"));
        assert_eq!(string_constant(&expr("'User'::varchar(10)")).as_deref(), Some("User"));
        assert_eq!(constant(&expr("new.version")), None);
        assert!(is_null(&expr("null::text")));
        assert_eq!(column(&expr("New.\"Id\"")), Some(vec!["new".into(), "Id".into()]));
        assert!(parse_expression("1, 2").is_err());
    }
}
