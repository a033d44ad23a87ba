//! What of a plan may run with the rights of whoever applies it, when the objects are another role's: single calls of a few
//! functions of the store, and the grant of those that a role needs to ask for a version. A plan holds names and texts of the
//! objects' owners, and a file or a journal can be edited: so a statement is taken apart to its constants and written anew, and
//! only if that is the same statement is it one of these. It runs as it was written anew.

use serde_json::Value;

use super::ObjectKind;
use crate::adopt::RESERVED;
use crate::error::Error;
use crate::sql_tree::ast;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// The functions that plans call, all of them about the table that they name first.
const FUNCTIONS: &[&str] = &[
    "register_event_table",
    "_register_event_table",
    "unregister_event_table",
    "enable_capture",
    "disable_capture",
    "_begin_adoption",
];

/// What makes, changes or drops the objects of a plan.
const DEFINITIONS: &[&str] = &[
    "AlterOwnerStmt",
    "AlterTableStmt",
    "CommentStmt",
    "CreateFunctionStmt",
    "CreateTrigStmt",
    "DropStmt",
    "GrantStmt",
    "LockStmt",
    "RenameStmt",
    "ViewStmt",
];

/// What a role may execute that asks for a version: it runs with its caller's rights, and so does what it calls.
pub fn may_ask(verb: &str, role: &str) -> String {
    const FUNCTIONS: &str = "domain_events.next_aggregate_version(text, text, regclass), domain_events.next_aggregate_version(text[], regclass), \
         domain_events._next_legacy_version(text, text, regclass), domain_events._next_legacy_version(text[], regclass, boolean), \
         domain_events._check_stream(text, text), domain_events._check_read(text, text), domain_events._check_writable(), domain_events.legacy_reader(regclass, int), \
         domain_events.hold_legacy_stream(regclass, bigint)";
    let to = if verb == "grant" { "to" } else { "from" };
    format!("{verb} execute on function {FUNCTIONS} {to} {role}")
}

/// A call with nothing but constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    function: String,
    arguments: Vec<Argument>,
    gives_reservation: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    name: Option<String>,
    /// The text of a string constant.
    text: Option<String>,
    sql: String,
}

impl Call {
    /// Takes a statement apart; none if it is anything else than such a call.
    pub fn parse(sql: &str) -> Option<Self> {
        let trees = ast::parse(sql).ok()?;
        let [tree] = trees.as_slice() else { return None };
        let calls = ast::find(ast::node(tree, "SelectStmt")?, "FuncCall");
        let [call] = calls.as_slice() else { return None };
        let (schema, function) = ast::call_name(call);
        if schema != "domain_events" || !FUNCTIONS.contains(&function.as_str()) {
            return None;
        }
        let arguments = ast::list(call, "args").iter().map(Argument::read).collect::<Option<Vec<_>>>()?;
        let gives_reservation = function == "_begin_adoption";
        let call = Self { function, arguments, gives_reservation };
        // whatever else it holds makes another statement
        is_same(tree, &call.sql()).then_some(call)
    }

    /// The call as SQL.
    pub fn sql(&self) -> String {
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|a| match &a.name {
                Some(name) => format!("{} => {}", quote_ident(name), a.sql),
                None => a.sql.clone(),
            })
            .collect();
        let head = if self.gives_reservation { RESERVED } else { "select" };
        format!("{head} domain_events.{}({})", self.function, arguments.join(", "))
    }

    /// The table that it is about.
    pub fn table(&self) -> Option<&str> {
        self.arguments.first().and_then(|a| a.text.as_deref())
    }

    /// The same about another table.
    pub fn of(mut self, table: &str) -> Self {
        if let Some(first) = self.arguments.first_mut() {
            *first = Argument { name: first.name.take(), text: Some(table.to_owned()), sql: quote_literal(table) };
        }
        self
    }

    /// The same with another text for a named argument.
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.arguments.retain(|a| a.name.as_deref() != Some(name));
        let (name, sql) = (Some(name.to_owned()), quote_literal(text));
        self.arguments.push(Argument { name, text: Some(text.to_owned()), sql });
        self
    }
}

impl Argument {
    fn read(value: &Value) -> Option<Self> {
        let (name, value) = match ast::node(value, "NamedArgExpr") {
            Some(named) => (Some(ast::text(named, "name").to_owned()), named.get("arg")?),
            None => (None, value),
        };
        Some(Self { name, text: ast::string_constant(value), sql: constant(value)? })
    }
}

/// A constant as SQL: a text, a number, true or false, null, a list of these, and any of these as one of a few types.
fn constant(value: &Value) -> Option<String> {
    if let Some(cast) = ast::node(value, "TypeCast") {
        let names = ast::list(cast.get("type_name")?, "names");
        let name = names.last().and_then(|n| ast::node(n, "String")).map(|s| ast::text(s, "sval"))?;
        let name = match name {
            "int8" => "bigint",
            "regclass" => "regclass",
            _ => return None,
        };
        return Some(format!("{}::{name}", constant(cast.get("arg")?)?));
    }
    if let Some(array) = ast::node(value, "AArrayExpr") {
        let items: Vec<String> = ast::list(array, "elements").iter().map(constant).collect::<Option<_>>()?;
        return Some(format!("array[{}]", items.join(", ")));
    }
    ast::node(value, "AConst")?;
    if ast::is_null(value) {
        return Some("null".to_owned());
    }
    match ast::string_constant(value) {
        Some(text) => Some(quote_literal(&text)),
        None => ast::constant(value).filter(|c| matches!(c.as_str(), "true" | "false") || c.parse::<i64>().is_ok()),
    }
}

fn is_same(tree: &Value, sql: &str) -> bool {
    ast::parse(sql).is_ok_and(|trees| match trees.as_slice() {
        [other] => ast::without_positions(tree) == ast::without_positions(other),
        _ => false,
    })
}

/// What to run with the rights of whoever applies the plan, if a statement is such a call about one of the tables, or such a grant.
pub fn of_the_store(piece: &str, tables: &[&str]) -> Option<String> {
    if let Some(call) = Call::parse(piece) {
        return call.table().is_some_and(|table| tables.contains(&table)).then(|| call.sql());
    }
    let trees = ast::parse(piece).ok()?;
    let [tree] = trees.as_slice() else { return None };
    let grant = ast::node(tree, "GrantStmt")?;
    let [grantee] = ast::list(grant, "grantees") else { return None };
    let role = quote_ident(ast::text(ast::node(grantee, "RoleSpec")?, "rolename"));
    ["grant", "revoke"].into_iter().map(|verb| may_ask(verb, &role)).find(|sql| is_same(tree, sql))
}

/// Whether a statement needs the right to create something in its object's schema.
pub fn makes_in_schema(piece: &str) -> bool {
    let kinds = ["CreateFunctionStmt", "RenameStmt", "ViewStmt"];
    ast::parse(piece).is_ok_and(|trees| trees.iter().any(|tree| kinds.contains(&ast::kind(tree))))
}

/// The statements of a text of a plan, one by one. Refuses what no plan is made of.
pub fn pieces<'a>(sql: &'a str, kind: ObjectKind, doing: &str) -> Result<Vec<&'a str>, Error> {
    let refuse = |why: String| Error::refused("42601", format!("{doing}: {why}"), "Make the plan again.");
    let pieces = pg_query::split_with_parser(sql).map_err(|e| refuse(e.to_string()))?;
    for piece in &pieces {
        let trees = ast::parse(piece).map_err(refuse)?;
        let known = match trees.as_slice() {
            [] => true,
            [tree] => match ast::kind(tree) {
                // the rights on a table that becomes a view, given by the owner
                "DoStmt" => kind == ObjectKind::Table,
                "SelectStmt" => {
                    ast::find(tree, "FuncCall").iter().filter(|c| ast::call_name(c).0 == "domain_events").count() == 1
                }
                other => DEFINITIONS.contains(&other),
            },
            _ => false,
        };
        if !known {
            return Err(refuse("it holds a statement that no plan is made of".to_owned()));
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(sql: &str) -> Option<String> {
        of_the_store(sql, &["a.t", "a.\"x');select 1\""])
    }

    #[test]
    fn single_calls_with_constants_are_the_stores() {
        for sql in [
            "select domain_events.register_event_table('a.t', 'type', 'id', 'version');",
            "select domain_events._register_event_table('a.t', null, E'i\\\\d', 'it''s')",
            "select domain_events.unregister_event_table('a.\"x'');select 1\"');",
            "select domain_events.enable_capture('a.t', aggregate_type => 'A, b);', aggregate_id => array['x', 'y'], event_types => '[{}]')",
            "select domain_events.disable_capture('a.t', true)",
        ] {
            let again = runs(sql).unwrap_or_else(|| panic!("{sql}"));
            assert_eq!(runs(&again).as_deref(), Some(again.as_str()), "{sql}");
        }
        for (first, last) in [("1::bigint", "null::bigint"), ("'-5'::bigint", "9::bigint")] {
            let sql = crate::adopt::reserve_sql("a.t", Some("a.s"), (first, last), Some("a.f"), Some("p"));
            assert_eq!(runs(&sql), Some(sql));
        }
        for verb in ["grant", "revoke"] {
            assert!(runs(&may_ask(verb, "\"a b\"")).is_some());
        }
    }

    #[test]
    fn nothing_else_is() {
        for sql in [
            "select domain_events.engine(), a.e()",
            "select domain_events.engine()",
            "select domain_events.unregister_event_table('a.other')",
            "select domain_events.unregister_event_table(a.e())",
            "select domain_events.unregister_event_table('a.t' || '')",
            "select domain_events.unregister_event_table('a.t'::a.evil)",
            "select domain_events.unregister_event_table('a.t'::a.regclass)",
            "select domain_events.unregister_event_table('a.t') from a.v",
            "select domain_events.unregister_event_table('a.t') where a.e() is null",
            "select domain_events.unregister_event_table('a.t'), 1",
            "select domain_events.unregister_event_table('a.t') into a.x",
            "select domain_events.unregister_event_table('a.t') order by a.e()",
            "select domain_events.unregister_event_table('a.t') operator(a.=) true",
            "select domain_events.unregister_event_table('a.t') collate a.c",
            "select domain_events.unregister_event_table(variadic array['a.t'])",
            "select domain_events.unregister_event_table('a.t') union select a.e()",
            "with x as (select a.e()) select domain_events.unregister_event_table('a.t')",
            "select domain_events.unregister_event_table('a.t'); select domain_events.unregister_event_table('a.t')",
            "select a.unregister_event_table('a.t')",
            "select x.domain_events.unregister_event_table('a.t')",
            "select domain_events.unregister_event_table('a.t') over (order by a.e())",
            "select domain_events.unregister_event_table('a.t') filter (where a.e())",
            "select domain_events.unregister_event_table(('a.t', 1))",
            "select domain_events.unregister_event_table((select 'a.t'))",
            "select domain_events.grant_privileges()",
            "grant execute on function domain_events.append_event(text, text, text) to mallory",
            "grant execute on function domain_events.next_aggregate_version(text, text, regclass) to mallory",
            "do $$ begin perform domain_events.unregister_event_table('a.t'); end $$",
            "call domain_events.unregister_event_table('a.t')",
            "",
        ] {
            assert_eq!(runs(sql), None, "{sql}");
        }
        let granted = may_ask("grant", "a");
        for more in [", b", " with grant option", " granted by c"] {
            assert_eq!(runs(&format!("{granted}{more}")), None, "{more}");
        }
    }

    #[test]
    fn a_call_is_pointed_at_a_copy_whatever_its_texts_are() {
        let sql = "select domain_events.enable_capture('a.\"t\"\");\"', aggregate_type => 'A, x => (select 1));--', payload => 'full')";
        let call = Call::parse(sql).expect("a call").of("c.\"t\"\");\"").with("aggregate_type", "mine");
        let again = Call::parse(&call.sql()).expect("a call still");
        assert_eq!(again, call);
        assert_eq!(again.table(), Some("c.\"t\"\");\""));
        assert_eq!(again.arguments.len(), 3);
    }

    #[test]
    fn texts_hold_what_plans_are_made_of() {
        let made = "create function a.f() returns trigger language plpgsql as $$ begin end $$; alter function a.f() owner to x;";
        assert_eq!(pieces(made, ObjectKind::Function, "x").expect("pieces").len(), 2);
        for sql in [
            "select a.e()",
            "select 1; drop table t",
            "delete from t",
            "do $$ $$",
            "set role x",
            "copy t to program 'x'",
        ] {
            assert!(pieces(sql, ObjectKind::Function, "x").is_err(), "{sql}");
        }
        assert!(pieces("do $$ begin end $$", ObjectKind::Table, "x").is_ok());
    }
}
