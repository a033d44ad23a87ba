//! First step of the two: a PL/pgSQL body as a flat list of the SQL it holds, each with the conditions it runs under.

use std::sync::Arc;

use serde_json::Value;

use super::mend::{self, normalise};
use super::newer;
use crate::catalogue::{Catalogue, Function};
use domain_events_sql::limits;

/// The body of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    /// Its variables, without the ones the language declares.
    pub variables: Vec<Variable>,
    /// Its statements in the order of the text.
    pub statements: Vec<Statement>,
}

/// A declared variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Name, folded as the server folds it.
    pub name: String,
    /// Expression of its DEFAULT.
    pub default: Option<String>,
}

/// What a statement does with its SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementType {
    /// An SQL statement as it stands.
    Sql,
    /// PERFORM, which the parser gives as SELECT.
    Perform,
    /// `target := expression`; the SQL is the expression.
    Assign,
    /// EXECUTE; the SQL is the expression that makes the text.
    Dynamic,
    /// CALL.
    Call,
    /// RETURN with its expression; NEW and OLD included.
    Return,
    /// RAISE.
    Raise,
    /// A loop, a cursor, an assertion: an expression or query that is read.
    Other,
}

/// A statement and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementType,
    /// Its SQL, or an expression, as the parser gives it: an INTO clause is blanked.
    pub sql: String,
    /// Expressions handed over by USING.
    pub parameters: Vec<String>,
    /// Line in the body as the server counts, the first being that of the opening delimiter; 0 where the parser gives none.
    pub line: usize,
    /// Variables or fields that it assigns, in order.
    pub targets: Vec<String>,
    /// Conditions on the way to it, outermost first.
    pub guards: Vec<Guard>,
    /// Whether a handler round it swallows errors.
    pub swallowed: bool,
    /// Whether it stands in a loop.
    pub looped: bool,
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The expression.
    pub condition: Arc<str>,
    /// Whether it must be false (or null).
    pub negated: bool,
}

/// Parses the body of a PL/pgSQL function.
pub fn parse(function: &Function, catalogue: &Catalogue) -> Result<Body, String> {
    let tree = tree(function, catalogue)?;
    let root = tree
        .get(0)
        .and_then(|f| f.get("PLpgSQL_function"))
        .ok_or_else(|| "the parser returned no function".to_owned())?;
    let mut body = Body::default();
    let datums = root.get("datums").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for datum in datums.iter().filter_map(|d| d.get("PLpgSQL_var")) {
        let name = text(datum, "refname");
        let default = datum.pointer("/default_val/PLpgSQL_expr/query").and_then(Value::as_str).map(str::to_owned);
        body.variables.push(Variable { name, default });
    }
    if let Some(action) = root.get("action") {
        let mut walk = Walk { body: &mut body, datums, conditions: 0 };
        walk.any(action, &Place::default());
        if walk.exceeds() {
            let (all, each) = (limits::ALL_CONDITIONS, limits::CONDITIONS);
            return Err(format!("more than {each} conditions on the way to a statement, or {all} on the ways to all"));
        }
    }
    Ok(body)
}

/// The body as the parser gives it.
pub fn tree(function: &Function, catalogue: &Catalogue) -> Result<Value, String> {
    limits::check_body(&function.source)?;
    pg_query::parse_plpgsql(&function.definition).or_else(|first| {
        // the parser has no catalogue
        let source = mend::mended(function, catalogue);
        let mut reason = first.to_string();
        let in_place = |body: &str| replace_source(&function.definition, &function.source, body);
        let read = |body: &str| pg_query::parse_plpgsql(&in_place(body)?).ok();
        // what was mended is no reason any more
        let mended = source.as_deref().and_then(in_place).and_then(|definition| {
            pg_query::parse_plpgsql(&definition).map_err(|error| reason = error.to_string()).ok()
        });
        // tools that fill in %(name)s take %% for one percent sign
        let single = || {
            let source = source.as_deref().unwrap_or(&function.source);
            source.contains("%%").then(|| source.replace("%%", "%"))
        };
        // the head of the function too: a body between dollars is one word of it
        let older = || {
            let source = source.as_deref().unwrap_or(&function.source);
            let body = newer::with_names_of_before(source);
            let body = body.as_deref().unwrap_or(source);
            let definition = match body == function.source {
                true => function.definition.clone(),
                false => in_place(body)?,
            };
            let head = newer::with_names_of_before(&definition);
            let mended = head.unwrap_or(definition);
            (mended != function.definition).then(|| pg_query::parse_plpgsql(&mended).ok())?
        };
        let read = mended.or_else(|| read(&single()?)).or_else(older);
        read.ok_or(reason)
    })
}

/// The function's text with another body; none if the body does not occur in it as it is.
pub fn replace_source(definition: &str, old: &str, new: &str) -> Option<String> {
    let at = definition.rfind(old).filter(|_| !old.is_empty())?;
    // the delimiter is the server's choice; a body that contains it would end early
    let tag = definition[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
    if tag.len() < 2 || !tag.starts_with('$') || !tag.ends_with('$') || new.contains(tag) {
        return None;
    }
    Some(format!("{}{new}{}", &definition[..at], &definition[at + old.len()..]))
}

#[derive(Debug, Clone, Default)]
struct Place {
    guards: Vec<Guard>,
    swallowed: bool,
    looped: bool,
}

impl Place {
    fn under(&self, condition: &Arc<str>, negated: bool) -> Self {
        let mut place = self.clone();
        place.guards.push(Guard { condition: Arc::clone(condition), negated });
        place
    }
}

struct Walk<'a> {
    body: &'a mut Body,
    datums: &'a [Value],
    /// Of all statements so far.
    conditions: usize,
}

impl Walk<'_> {
    fn exceeds(&self) -> bool {
        self.conditions > limits::ALL_CONDITIONS
    }

    fn any(&mut self, node: &Value, place: &Place) {
        // nothing of the body is used then
        if place.guards.len() > limits::CONDITIONS {
            self.conditions = usize::MAX;
        }
        if self.exceeds() {
            return;
        }
        match node {
            Value::Array(nodes) => nodes.iter().for_each(|n| self.any(n, place)),
            Value::Object(map) => map.iter().for_each(|(name, inner)| self.statement(name, inner, place)),
            _ => {}
        }
    }

    fn statement(&mut self, name: &str, node: &Value, place: &Place) {
        let line = node.get("lineno").and_then(Value::as_u64).unwrap_or(0) as usize;
        let conditions = &mut self.conditions;
        let mut push = |kind, sql: String, targets: Vec<String>| {
            *conditions = conditions.saturating_add(place.guards.len());
            let Place { guards, swallowed, looped } = place.clone();
            let parameters = expressions(node.get("params"));
            self.body.statements.push(Statement { kind, sql, parameters, line, targets, guards, swallowed, looped });
        };
        match name {
            "PLpgSQL_stmt_execsql" => {
                push(StatementType::Sql, expression(node, "sqlstmt"), targets(node.get("target"), self.datums))
            }
            "PLpgSQL_stmt_perform" => push(StatementType::Perform, expression(node, "expr"), vec![]),
            "PLpgSQL_stmt_call" => push(StatementType::Call, expression(node, "expr"), vec![]),
            "PLpgSQL_stmt_dynexecute" => {
                push(StatementType::Dynamic, expression(node, "query"), targets(node.get("target"), self.datums));
            }
            "PLpgSQL_stmt_assign" => {
                let whole = expression(node, "expr");
                let (target, value) = split_assignment(&whole);
                push(StatementType::Assign, value, vec![target]);
            }
            "PLpgSQL_stmt_return" => push(StatementType::Return, expression(node, "expr"), vec![]),
            "PLpgSQL_stmt_raise" => push(StatementType::Raise, expressions(node.get("params")).join(", "), vec![]),
            "PLpgSQL_stmt_if" => self.branches(node, place),
            "PLpgSQL_stmt_case" => self.cases(node, place),
            "PLpgSQL_stmt_block" => {
                let swallows = node.pointer("/exceptions/PLpgSQL_exception_block/exc_list").is_some_and(swallows);
                let inner = Place { swallowed: place.swallowed || swallows, ..place.clone() };
                node.get("body").into_iter().for_each(|body| self.any(body, &inner));
                node.get("exceptions").into_iter().for_each(|handlers| self.children(handlers, place));
            }
            _ => {
                let mut inner = place.clone();
                if name.starts_with("PLpgSQL_stmt_") {
                    inner.looped |= name.contains("for") || name.contains("loop") || name.contains("while");
                    for key in ["query", "expr", "cond", "argquery"] {
                        let mut sql = expression(node, key);
                        if key == "argquery" && !sql.is_empty() {
                            // the arguments of a cursor are a list
                            sql = format!("select {sql}");
                        }
                        if !sql.is_empty() {
                            let kind =
                                if name.contains("dynfor") { StatementType::Dynamic } else { StatementType::Other };
                            push(kind, sql, targets(node.get("var"), self.datums));
                        }
                    }
                }
                self.children(node, &inner);
            }
        }
    }

    fn children(&mut self, node: &Value, place: &Place) {
        match node {
            Value::Array(nodes) => nodes.iter().for_each(|n| self.any(n, place)),
            Value::Object(map) => map.iter().filter(|(k, _)| *k != "PLpgSQL_expr").for_each(|(key, inner)| {
                if key.starts_with("PLpgSQL_") {
                    self.statement(key, inner, place)
                } else {
                    self.children(inner, place)
                }
            }),
            _ => {}
        }
    }

    fn branches(&mut self, node: &Value, place: &Place) {
        let condition: Arc<str> = expression(node, "cond").into();
        node.get("then_body").into_iter().for_each(|b| self.any(b, &place.under(&condition, false)));
        let mut rest = place.under(&condition, true);
        for elsif in array(node, "elsif_list").iter().filter_map(|e| e.get("PLpgSQL_if_elsif")) {
            if self.exceeds() || rest.guards.len() > limits::CONDITIONS {
                self.conditions = usize::MAX;
                return;
            }
            let condition: Arc<str> = expression(elsif, "cond").into();
            elsif.get("stmts").into_iter().for_each(|b| self.any(b, &rest.under(&condition, false)));
            rest = rest.under(&condition, true);
        }
        node.get("else_body").into_iter().for_each(|b| self.any(b, &rest));
    }

    fn cases(&mut self, node: &Value, place: &Place) {
        // CASE x WHEN 1: the parser makes it "__Case__Variable_n__" IN (1)
        let subject = expression(node, "t_expr");
        let variable = node.get("t_varno").and_then(Value::as_u64).map(|n| format!("\"__Case__Variable_{n}__\""));
        let mut rest = place.clone();
        for when in array(node, "case_when_list").iter().filter_map(|w| w.get("PLpgSQL_case_when")) {
            if self.exceeds() || rest.guards.len() > limits::CONDITIONS {
                self.conditions = usize::MAX;
                return;
            }
            let mut condition = expression(when, "expr");
            if let Some(variable) = &variable {
                condition = condition.replace(variable, &format!("({subject})"));
            }
            let condition: Arc<str> = condition.into();
            when.get("stmts").into_iter().for_each(|b| self.any(b, &rest.under(&condition, false)));
            rest = rest.under(&condition, true);
        }
        node.get("else_stmts").into_iter().for_each(|b| self.any(b, &rest));
    }
}

/// Whether a handler lets the statement pass: one that raises again in every case does not.
fn swallows(list: &Value) -> bool {
    list.as_array().is_some_and(|handlers| {
        handlers.iter().filter_map(|h| h.get("PLpgSQL_exception")).any(|handler| {
            let raises = array(handler, "action").iter().any(|s| {
                // elog_level of ERROR
                s.pointer("/PLpgSQL_stmt_raise/elog_level").and_then(Value::as_u64).is_some_and(|level| level >= 21)
                    || s.get("PLpgSQL_stmt_raise").is_some_and(|r| r.get("elog_level").is_none())
            });
            !raises
        })
    })
}

fn array<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(node: &Value, key: &str) -> String {
    node.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn expression(node: &Value, key: &str) -> String {
    node.get(key).and_then(|e| e.pointer("/PLpgSQL_expr/query")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn expressions(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|e| e.pointer("/PLpgSQL_expr/query")).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn targets(target: Option<&Value>, datums: &[Value]) -> Vec<String> {
    let Some(target) = target else { return vec![] };
    if let Some(row) = target.get("PLpgSQL_row") {
        return array(row, "fields").iter().map(|f| field_name(f, datums)).collect();
    }
    let named = ["PLpgSQL_var", "PLpgSQL_rec"].iter().find_map(|k| target.get(k)).map(|v| text(v, "refname"));
    named.into_iter().collect()
}

/// The name of a target; a field of a record is named only by its parent's number.
fn field_name(field: &Value, datums: &[Value]) -> String {
    let datum = field.get("varno").and_then(Value::as_u64).and_then(|n| datums.get(n as usize));
    let Some(recfield) = datum.and_then(|d| d.get("PLpgSQL_recfield")) else { return text(field, "name") };
    let parent = recfield.get("recparentno").and_then(Value::as_u64).and_then(|n| datums.get(n as usize));
    let parent = parent.and_then(|p| p.get("PLpgSQL_rec")).map(|p| text(p, "refname")).unwrap_or_default();
    format!("{parent}.{}", text(recfield, "fieldname"))
}

/// Cuts `target := value`; the parser keeps both in one text.
fn split_assignment(whole: &str) -> (String, String) {
    let Ok(scan) = pg_query::scan(whole) else { return (String::new(), whole.to_owned()) };
    for token in &scan.tokens {
        let (start, end) = (token.start as usize, token.end as usize);
        if matches!(whole.get(start..end), Some(":=" | "=")) {
            return (normalise(&whole[..start]), whole[end..].trim().to_owned());
        }
    }
    (String::new(), whole.to_owned())
}
