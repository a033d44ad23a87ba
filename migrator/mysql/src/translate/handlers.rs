//! Handlers of conditions. NOT FOUND is asked for after each statement that can raise it; an error is caught by an exception
//! block, round the whole block for EXIT, round each statement for CONTINUE.

use super::writer::{Handlers, Writer};
use crate::ast::{
    Block, Condition, DeclarationKind, Diagnostics, HandlerAction, Signal, Statement, StatementKind, Target,
};

impl Writer<'_, '_> {
    /// The handlers that a block declares.
    pub fn read_handlers(&mut self, block: &Block) -> Handlers {
        let mut handlers = Handlers::default();
        // conditions may be named before they are handled
        for declaration in &block.declarations {
            if let DeclarationKind::Condition { name, value } = &declaration.kind {
                self.conditions.insert(name.to_lowercase(), value.clone());
            }
        }
        for declaration in &block.declarations {
            let DeclarationKind::Handler { action, conditions, body } = &declaration.kind else { continue };
            self.t.line = declaration.position.line;
            let mut errors = vec![];
            for condition in conditions {
                let condition = match condition {
                    Condition::Named(name) => self.conditions.get(&name.to_lowercase()).cloned(),
                    other => Some(other.clone()),
                };
                match condition {
                    Some(Condition::NotFound) => handlers.not_found = Some((*action, (**body).clone())),
                    Some(Condition::SqlState(state)) if state.starts_with("02") => {
                        handlers.not_found = Some((*action, (**body).clone()));
                    }
                    Some(Condition::SqlWarning) => {
                        self.t.declare(
                            "HANDLER FOR SQLWARNING",
                            "left out: what is a warning in MySQL is an error in PostgreSQL, or nothing",
                        );
                    }
                    Some(condition) => match pg_condition(&condition) {
                        Some(name) => errors.push(name),
                        None => {
                            self.t.refuse(&format!("HANDLER FOR {condition:?}"), "PostgreSQL has no such condition");
                        }
                    },
                    None => {
                        self.t.refuse("HANDLER", "its condition is not declared");
                    }
                }
            }
            if errors.is_empty() {
                continue;
            }
            let how = (errors.join(" or "), (**body).clone());
            match action {
                HandlerAction::Continue => {
                    self.t.declare(
                        "CONTINUE HANDLER",
                        "an error is swallowed, as in MySQL; each statement is undone by itself",
                    );
                    handlers.continues.push(how);
                }
                _ => {
                    self.t.declare(
                        "EXIT HANDLER",
                        "an error is swallowed, as in MySQL; what the block had written before it is undone, in MySQL it stays",
                    );
                    handlers.exits.push(how);
                }
            }
        }
        // of several handlers MySQL takes the one that says most: a number before a state before any error at all
        handlers.exits.sort_by_key(|(condition, _)| breadth(condition));
        handlers.continues.sort_by_key(|(condition, _)| breadth(condition));
        if matches!(handlers.not_found, Some((HandlerAction::Exit, _))) && block.label.is_none() {
            handlers.label = Some(format!("mysql_block_{}", self.lines.len() + 1));
        }
        handlers
    }

    /// After a statement that may have found no row: first what puts variables back, then the handler.
    pub fn not_found(&mut self, first: &[String]) {
        let handler = self.handlers.iter().rev().find_map(|a| {
            let (action, body) = a.handlers.not_found.clone()?;
            Some((action, body, a.label.clone()))
        });
        if first.is_empty() && handler.is_none() {
            return;
        }
        self.put("if not found then");
        self.nested(|w| {
            first.iter().for_each(|s| w.put(s));
            if let Some((action, body, label)) = handler {
                // a handler is not handled by itself
                let inner = std::mem::take(&mut w.handlers);
                w.bare(&body);
                w.handlers = inner;
                if action == HandlerAction::Exit {
                    w.put(&format!("exit{};", label.map_or(String::new(), |l| format!(" {l}"))));
                }
            }
        });
        self.put("end if;");
    }

    /// Handlers that go on, innermost first, up to a block that an error leaves.
    pub fn continuing(&self) -> Option<Vec<(String, Statement)>> {
        let mut found: Vec<(String, Statement)> = vec![];
        let mut needed = 0;
        for active in self.handlers.iter().rev() {
            // an error that the block is left for passes by the handlers that would go on
            let passing = active.handlers.exits.iter().map(|(condition, body)| {
                let kind = StatementKind::Resignal(Signal { condition: None, items: vec![] });
                (condition.clone(), Statement { kind, position: body.position, span: body.span.clone() })
            });
            let mut own: Vec<(String, Statement, bool)> = passing.map(|(c, s)| (c, s, false)).collect();
            own.extend(active.handlers.continues.iter().cloned().map(|(c, s)| (c, s, true)));
            own.sort_by_key(|(condition, ..)| breadth(condition));
            for (condition, body, goes_on) in own {
                found.push((condition, body));
                if goes_on {
                    needed = found.len();
                }
            }
            if active.handlers.exits.iter().any(|(condition, _)| breadth(condition) == ANY) {
                break;
            }
        }
        found.truncate(needed);
        (!found.is_empty()).then_some(found)
    }

    /// A statement whose error is handled and forgotten.
    pub fn wrapped(&mut self, statement: &Statement, handlers: &[(String, Statement)]) {
        self.put("begin");
        self.nested(|w| w.bare(statement));
        self.caught(handlers);
        self.put("end;");
    }

    /// The exception part of a block.
    pub fn exceptions(&mut self, handlers: &Handlers) {
        if !handlers.exits.is_empty() {
            self.caught(&handlers.exits);
        }
    }

    fn caught(&mut self, handlers: &[(String, Statement)]) {
        self.put("exception");
        for (conditions, body) in handlers {
            self.nested(|w| {
                w.put(&format!("when {conditions} then"));
                w.nested(|w| {
                    let inner = std::mem::take(&mut w.handlers);
                    let before = w.text.len();
                    w.bare(body);
                    if w.text.len() == before {
                        w.put("null;");
                    }
                    w.handlers = inner;
                });
            });
        }
    }

    /// GET DIAGNOSTICS.
    pub fn diagnostics(&mut self, diagnostics: &Diagnostics) {
        for (target, item) in &diagnostics.items {
            let known = match item.as_str() {
                "ROW_COUNT" => Some(("", "row_count")),
                "MESSAGE_TEXT" => Some(("stacked ", "message_text")),
                "RETURNED_SQLSTATE" => Some(("stacked ", "returned_sqlstate")),
                "TABLE_NAME" => Some(("stacked ", "table_name")),
                "COLUMN_NAME" => Some(("stacked ", "column_name")),
                "CONSTRAINT_NAME" => Some(("stacked ", "constraint_name")),
                _ => None,
            };
            let name = match target {
                Target::Variable(name) => self.t.variable(name).map(|v| v.quoted.clone()),
                Target::User(name) => {
                    let bare = name.to_lowercase();
                    self.given.entry(bare.clone()).or_default().push(super::value::Ty::Text);
                    self.t.locals.get(&bare).map(|v| v.quoted.clone())
                }
                _ => None,
            };
            match (known, name) {
                (Some((kind, item)), Some(name)) => self.put(&format!("get {kind}diagnostics {name} = {item};")),
                _ => {
                    let refused = self.t.refuse(
                        &format!("GET DIAGNOSTICS {item}"),
                        "PostgreSQL has no such item, or its target is no variable",
                    );
                    self.put(&format!("perform {};", refused.text));
                }
            }
        }
    }
}

const ANY: u8 = 2;

/// How much a condition takes in.
fn breadth(condition: &str) -> u8 {
    if condition.split(" or ").any(|c| c == "others") {
        ANY
    } else {
        u8::from(condition.contains("sqlstate") || condition.contains("integrity_constraint_violation"))
    }
}

/// The name or state that PL/pgSQL knows a condition by.
fn pg_condition(condition: &Condition) -> Option<String> {
    Some(match condition {
        Condition::SqlException => "others".into(),
        Condition::SqlState(state) => match state.as_str() {
            "23000" => "integrity_constraint_violation".into(),
            "22001" | "22003" | "22007" | "22012" | "42S02" | "42S22" => match state.as_str() {
                "42S02" => "undefined_table".into(),
                "42S22" => "undefined_column".into(),
                other => format!("sqlstate '{other}'"),
            },
            "40001" => "serialization_failure or deadlock_detected".into(),
            // MySQL's general errors; PostgreSQL has no such class
            "HY000" => return None,
            other if other.len() == 5 => format!("sqlstate '{other}'"),
            _ => return None,
        },
        Condition::Error(number) => match number {
            1062 | 1586 => "unique_violation".into(),
            1451 | 1452 | 1216 | 1217 => "foreign_key_violation".into(),
            1048 | 1364 => "not_null_violation".into(),
            3819 | 4025 => "check_violation".into(),
            1213 => "deadlock_detected or serialization_failure".into(),
            1205 | 3572 => "lock_not_available".into(),
            1146 => "undefined_table".into(),
            1054 => "undefined_column".into(),
            1406 => "string_data_right_truncation".into(),
            1264 | 1690 => "numeric_value_out_of_range".into(),
            1292 | 1366 => "invalid_text_representation or invalid_datetime_format".into(),
            1365 => "division_by_zero".into(),
            1644 => "sqlstate '45000'".into(),
            _ => return None,
        },
        _ => return None,
    })
}
