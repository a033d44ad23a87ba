//! Functions, procedures, triggers and rules.

use pg_query::protobuf::{ScanToken, Token};
use serde_json::Value;

use super::super::{Function, Rule, Trigger};
use super::fold::{Fold, names};
use crate::sql_tree::ast::{self, list, node, text};
use domain_events_sql::quote::quoted;

/// Modes of parameters: OUT and TABLE are no arguments of a call, TABLE is no part of an identity.
const OUT: i64 = 2;
const INOUT: i64 = 3;
const VARIADIC: i64 = 4;
const TABLE: i64 = 5;

/// `SET .. FROM CURRENT`.
const VAR_SET_CURRENT: i64 = 3;

impl Fold {
    pub(super) fn comment_on_function(&mut self, function: &Value, comment: &str) {
        let Some(oid) = self.named(Some(function)) else { return };
        let said = Some(comment.to_owned()).filter(|s| !s.is_empty());
        self.catalogue.functions.iter_mut().filter(|f| f.oid == oid).for_each(|f| f.comment.clone_from(&said));
    }

    pub(super) fn function(&mut self, create: &Value, whole: &str) {
        let mut name = names(list(create, "funcname"));
        let (Some(function), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return };
        let unplaced = schema.is_empty() && !self.path_is_set;
        let schema = self.schema(&schema);
        // older servers fold a name in quotes, who reads bodies does not
        let language = language_of(create);
        let whole = &whole.replace(&format!("'{language}'"), &format!("'{}'", language.to_lowercase()));
        let procedure = create.get("is_procedure") == Some(&Value::Bool(true));
        let mut made = Function {
            oid: self.oid(),
            definition: whole.to_owned(),
            language: "sql".into(),
            volatility: "v".into(),
            ..Function::default()
        };
        let mut identity = vec![];
        for parameter in list(create, "parameters").iter().filter_map(|p| node(p, "FunctionParameter")) {
            let mode = parameter.get("mode").and_then(Value::as_i64).unwrap_or(0);
            let name = text(parameter, "name");
            if mode == TABLE {
                continue;
            }
            if mode != OUT {
                made.arguments.push(name.to_owned());
            }
            let spelled = match mode {
                OUT => "OUT ",
                INOUT => "INOUT ",
                VARIADIC => "VARIADIC ",
                _ if procedure => "IN ",
                _ => "",
            };
            let given = if name.is_empty() { String::new() } else { format!("{} ", quoted(name)) };
            identity.push(format!("{spelled}{given}{}", self.types.bare(parameter.get("arg_type"))));
        }
        let returns = create.get("return_type").map(|t| names(list(t, "names"))).and_then(|mut n| n.pop());
        made.is_trigger = returns.as_deref() == Some("trigger");
        self.options(&mut made, list(create, "options"));
        if made.language == "plpgsql" {
            made.definition = in_dollars(whole, &made.source).unwrap_or(made.definition);
        }
        made.identity = format!("{}.{}({})", quoted(&schema), quoted(&function), identity.join(", "));
        (made.schema, made.name) = (schema, function);
        // a later version of the same function takes the place of the earlier, and keeps its triggers
        match self.catalogue.functions.iter_mut().find(|f| f.identity == made.identity) {
            Some(known) => *known = Function { oid: known.oid, ..made },
            None => {
                self.unplaced.extend(Some(made.oid).filter(|_| unplaced));
                self.catalogue.functions.push(made);
            }
        }
    }

    fn options(&self, made: &mut Function, options: &[Value]) {
        for option in options.iter().filter_map(|o| node(o, "DefElem")) {
            let Some(arg) = option.get("arg") else { continue };
            let word = || node(arg, "String").map(|s| text(s, "sval").to_owned()).unwrap_or_default();
            match text(option, "defname") {
                "language" => made.language = word().to_lowercase(),
                "as" => {
                    let items = node(arg, "List").map(|l| list(l, "items")).unwrap_or_default();
                    // a function in C has a file and a symbol
                    made.source = items
                        .last()
                        .and_then(|i| node(i, "String"))
                        .map(|s| text(s, "sval").to_owned())
                        .unwrap_or_default();
                }
                "security" => {
                    made.security_definer =
                        node(arg, "Boolean").is_some_and(|b| b.get("boolval") == Some(&Value::Bool(true)))
                }
                "volatility" => made.volatility = word().chars().next().map(String::from).unwrap_or_default(),
                "set" => {
                    if let Some(set) = node(arg, "VariableSetStmt").filter(|s| text(s, "name") == "search_path") {
                        // FROM CURRENT: the path that is in force now
                        if set.get("kind").and_then(serde_json::Value::as_i64) == Some(VAR_SET_CURRENT) {
                            made.search_path = Some(self.path.clone());
                            continue;
                        }
                        let path = list(set, "args").iter().filter_map(ast::string_constant);
                        made.search_path = Some(path.filter(|s| !s.is_empty()).collect());
                    }
                }
                _ => {}
            }
        }
    }

    fn named(&self, object: Option<&Value>) -> Option<u32> {
        let object = object.and_then(|o| node(o, "ObjectWithArgs").or(Some(o)))?;
        let mut name = names(list(object, "objname"));
        let (function, schema) = (name.pop()?, name.pop().unwrap_or_default());
        let count = list(object, "objargs").len();
        self.resolve(&schema, &function, count)
    }

    pub(super) fn resolve(&self, schema: &str, name: &str, arguments: usize) -> Option<u32> {
        let by = |path: &[String]| self.catalogue.resolve_function(schema, name, arguments, path).map(|f| f.oid);
        by(&self.path).or_else(|| by(&self.catalogue.search_path))
    }

    pub(super) fn alter_function(&mut self, alter: &Value) {
        let Some(oid) = self.named(alter.get("func")) else { return };
        let Some(at) = self.catalogue.functions.iter().position(|f| f.oid == oid) else { return };
        let mut function = self.catalogue.functions[at].clone();
        self.options(&mut function, list(alter, "actions"));
        self.catalogue.functions[at] = function;
    }

    pub(super) fn rename_function(&mut self, object: Option<&Value>, new: &str) {
        let Some(oid) = self.named(object) else { return };
        for function in self.catalogue.functions.iter_mut().filter(|f| f.oid == oid) {
            let arguments = function.identity.find('(').map(|n| function.identity[n..].to_owned()).unwrap_or_default();
            new.clone_into(&mut function.name);
            function.identity = format!("{}.{}{arguments}", quoted(&function.schema), quoted(new));
        }
    }

    pub(super) fn drop_function(&mut self, schema: &str, name: &str, object: Option<&Value>) -> Option<u32> {
        let whole = object.is_none_or(|o| o.get("args_unspecified") == Some(&Value::Bool(true)));
        let count = object.map_or(0, |o| list(o, "objargs").len());
        let gone = if whole { self.resolve(schema, name, usize::MAX) } else { self.resolve(schema, name, count) };
        // one that takes nothing, as a trigger's, is not meant by f(int)
        let meant = |oid: &u32| count == 0 || self.catalogue.function(*oid).is_some_and(|f| !f.arguments.is_empty());
        let gone = gone.filter(meant);
        self.catalogue.functions.retain(|f| Some(f.oid) != gone);
        gone
    }

    pub(super) fn trigger(&mut self, create: &Value, whole: &str) -> Result<(), String> {
        let oid = self.oid();
        let Some(range) = create.get("relation") else { return Ok(()) };
        let relation = self.find(range).ok_or_else(|| format!("table {} is not known", text(range, "relname")))?;
        let mut name = names(list(create, "funcname"));
        let (Some(function), schema) = (name.pop(), name.pop().unwrap_or_default()) else { return Ok(()) };
        let function = self.resolve(&schema, &function, 0);
        let events = create.get("events").and_then(Value::as_i64).unwrap_or(0);
        let operations = [(4, "INSERT"), (16, "UPDATE"), (8, "DELETE"), (32, "TRUNCATE")];
        let trigger = Trigger {
            oid,
            name: text(create, "trigname").to_owned(),
            relation,
            // a function that is not in the files is reported by name
            function: function.unwrap_or(0),
            enabled: "O".into(),
            timing: match create.get("timing").and_then(Value::as_i64) {
                Some(2) => "BEFORE",
                Some(64) => "INSTEAD OF",
                _ => "AFTER",
            }
            .into(),
            events: operations.into_iter().filter(|(bit, _)| events & bit != 0).map(|(_, o)| o.to_owned()).collect(),
            row: create.get("row").and_then(Value::as_bool).unwrap_or(false),
            columns: names(list(create, "columns")),
            conditional: create.get("when_clause").is_some_and(Value::is_object),
            arguments: names(list(create, "args")),
            definition: whole.to_owned(),
            ..Trigger::default()
        };
        self.catalogue.triggers.retain(|t| t.relation != relation || t.name != trigger.name);
        self.catalogue.triggers.push(trigger);
        Ok(())
    }

    pub(super) fn rule(&mut self, create: &Value, whole: &str) {
        if let Some(relation) = create.get("relation").and_then(|r| self.find(r)) {
            let rule = Rule { name: text(create, "rulename").to_owned(), relation, definition: whole.to_owned() };
            self.catalogue.rules.retain(|r| r.relation != relation || r.name != rule.name);
            self.catalogue.rules.push(rule);
        }
    }
}

fn language_of(create: &Value) -> String {
    let options = list(create, "options").iter().filter_map(|o| node(o, "DefElem"));
    let language = options.filter(|o| text(o, "defname") == "language").find_map(|o| node(o.get("arg")?, "String"));
    language.map(|s| text(s, "sval").to_owned()).unwrap_or_default()
}

/// The definition with its body between dollars, as the server gives it, whatever it stands between.
fn in_dollars(whole: &str, body: &str) -> Option<String> {
    let tokens = pg_query::scan(whole).ok()?.tokens;
    let follows = |pair: &&[ScanToken]| pair[0].token() == Token::As && pair[1].token() == Token::Sconst;
    let quoted = tokens.windows(2).find(follows).map(|pair| &pair[1])?;
    let (start, end) = (quoted.start as usize, quoted.end as usize);
    if whole.get(start..end)?.starts_with('$') {
        return None;
    }
    let tags = ["$function$", "$body_1$", "$body_2$"];
    let tag = tags.iter().find(|tag| !body.contains(*tag))?;
    Some(format!("{}{tag}{body}{tag}{}", &whole[..start], &whole[end..]))
}
