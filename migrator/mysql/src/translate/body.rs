//! Statements of a stored program as PL/pgSQL.

use std::collections::BTreeMap;

use super::context::Slot;
use super::notes::NOT_READ;
use super::value::{Collation, Sql, Ty};
use super::writer::{Ending, Handlers, Writer};
use super::{Translator, UNTRANSLATED};
use crate::ast::{
    Block, Branch, Declaration, DeclarationKind, Expression, ForRange, Statement, StatementKind, Type, TypeKind,
};
use domain_events_sql::quote::quoted;

impl Writer<'_, '_> {
    /// The outermost statement; its declarations are given back, for the head.
    pub fn outermost(&mut self, statement: &Statement) -> String {
        let StatementKind::Block(block) = &statement.kind else {
            self.statement(statement);
            return String::new();
        };
        self.outermost = block.label.as_ref().map(|l| l.to_lowercase());
        let handlers = self.read_handlers(block);
        if handlers.is_empty() {
            let head = self.declarations(&block.declarations);
            self.statements(&block.body);
            return head;
        }
        self.block(block, handlers);
        String::new()
    }

    /// Statements in order.
    pub fn statements(&mut self, statements: &[Statement]) {
        if statements.iter().all(|s| s.kind == StatementKind::Empty) {
            self.put("null;");
        }
        for statement in statements {
            self.statement(statement);
        }
    }

    /// One statement.
    pub fn statement(&mut self, statement: &Statement) {
        self.t.line = statement.position.line;
        self.lines.push((self.line, statement.position.line));
        // a handler that goes on goes on after the innermost statement
        let leaf = matches!(
            statement.kind,
            StatementKind::Sql(_)
                | StatementKind::SelectInto { .. }
                | StatementKind::Set(_)
                | StatementKind::Call { .. }
                | StatementKind::Do(_)
                | StatementKind::Signal(_)
                | StatementKind::Fetch { .. }
        );
        match self.continuing().filter(|_| leaf) {
            Some(handlers) => self.wrapped(statement, &handlers),
            None => self.bare(statement),
        }
    }

    /// One statement without the handlers round it.
    pub fn bare(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::Empty => {}
            StatementKind::Block(block) => {
                let handlers = self.read_handlers(block);
                self.block(block, handlers);
            }
            StatementKind::Set(assignments) => assignments.iter().for_each(|a| self.assign(a)),
            StatementKind::If { branches, otherwise } => {
                self.branches("if", "elsif", "end if;", branches, otherwise.as_deref(), None)
            }
            StatementKind::Case { operand, branches, otherwise } => {
                self.put("case");
                self.branches("when", "when", "end case;", branches, otherwise.as_deref(), operand.as_ref());
            }
            StatementKind::Loop { label, body } => self.looping("loop", label.as_deref(), body, None),
            StatementKind::While { label, condition, body } => {
                let condition = self.condition(condition);
                self.looping(&format!("while {condition} loop"), label.as_deref(), body, None);
            }
            StatementKind::Repeat { label, body, until } => self.looping("loop", label.as_deref(), body, Some(until)),
            StatementKind::For { label, variable, over, body } => self.for_loop(label.as_deref(), variable, over, body),
            StatementKind::Leave(label) => self.leave(label),
            StatementKind::Iterate(label) => self.put(&format!("continue {};", quoted(&label.to_lowercase()))),
            StatementKind::Return(value) => {
                let value = self.value(value);
                let value = match self.ending.clone() {
                    Ending::Function(slot) => self.t.store(&value, &slot),
                    _ => value,
                };
                self.put(&format!("return {};", value.text));
            }
            StatementKind::Open { cursor, arguments } => {
                if !arguments.is_empty() {
                    self.t.refuse("OPEN with arguments", "not translated");
                }
                let cursor = quoted(&cursor.to_lowercase());
                // under its own name it would still be open in the next row's call
                self.put(&format!("{cursor} := null;\nopen {cursor};"));
            }
            StatementKind::Fetch { cursor, into } => {
                let (targets, after) = self.targets(into);
                let names: Vec<String> = targets.iter().map(|v| v.quoted.clone()).collect();
                self.t.declare("FETCH", "after the last row the variables are NULL; in MySQL they keep that row");
                self.put(&format!("fetch {} into {};", quoted(&cursor.to_lowercase()), names.join(", ")));
                self.pass_on(&after, false);
                self.not_found(&[]);
            }
            StatementKind::Close(cursor) => self.put(&format!("close {};", quoted(&cursor.to_lowercase()))),
            StatementKind::Call { procedure, arguments } => self.call(&procedure.name, arguments),
            StatementKind::Signal(signal) => self.signal(signal),
            StatementKind::Resignal(signal) if signal.condition.is_none() && signal.items.is_empty() => {
                self.put("raise;")
            }
            StatementKind::Resignal(signal) => self.signal(signal),
            StatementKind::GetDiagnostics(diagnostics) => self.diagnostics(diagnostics),
            StatementKind::SelectInto { query, targets } => self.select_into(query, targets),
            StatementKind::Sql(sql) => self.sql(sql),
            StatementKind::Do(values) => {
                for value in values {
                    let value = self.value(value);
                    self.put(&format!("perform {};", value.text));
                }
            }
            StatementKind::Prepare { name, from } => {
                self.prepared.insert(name.to_lowercase(), from.clone());
                self.put("null;");
            }
            StatementKind::Execute { name, .. } => {
                let from = self.prepared.get(&name.to_lowercase()).cloned();
                self.dynamic(from.as_ref());
            }
            StatementKind::ExecuteImmediate { text, .. } => self.dynamic(Some(text)),
            StatementKind::Deallocate(_) => {}
            StatementKind::Transaction(text) => {
                let refused = self.t.refuse(text, "PostgreSQL's functions run within the caller's transaction");
                self.put(&format!("perform {};", refused.text));
            }
            StatementKind::Unread { why, writes } => {
                let names: Vec<String> = writes.iter().map(ToString::to_string).collect();
                let construct = if names.is_empty() {
                    "statement".into()
                } else {
                    format!("statement that writes {}", names.join(", "))
                };
                let refused = self.t.refuse(&construct, format!("{NOT_READ}: {why}"));
                let tables: Vec<String> =
                    writes.iter().filter_map(|w| self.t.known.table(&w.name)).map(|t| t.quoted.clone()).collect();
                if tables.is_empty() {
                    self.put(&format!("perform {};", refused.text));
                }
                for target in tables {
                    // whoever reads the text must see that the table is written
                    self.put(&format!("insert into {target} select q.* from {} q;", refused.text));
                }
            }
        }
    }

    fn sql(&mut self, sql: &sqlparser::ast::Statement) {
        if let Some(text) = self.t.change(sql) {
            if text.starts_with(UNTRANSLATED) {
                self.put(&format!("perform {text};"));
                return;
            }
            self.put(&format!("{text};"));
            if self.t.counts_rows {
                self.put("get diagnostics mysql_row_count = row_count;");
            }
            return;
        }
        let construct = sql.to_string();
        let refused = match sql {
            sqlparser::ast::Statement::Query(_) => self.t.refuse(
                &construct,
                "a query whose rows go to the client; PostgreSQL's functions return them by their type",
            ),
            _ => self.t.refuse(&construct, "this statement in a program"),
        };
        self.put(&format!("perform {};", refused.text));
    }

    /// An expression, or what stands in its place.
    pub fn value(&mut self, expression: &Expression) -> Sql {
        self.t.line = expression.position.line;
        match &expression.tree {
            Ok(tree) => self.t.expr(tree),
            Err(why) => self.t.refuse("expression", format!("{NOT_READ}: {why}")),
        }
    }

    fn condition(&mut self, expression: &Expression) -> String {
        let value = self.value(expression);
        enclosed(self.t.condition(&value).text)
    }

    fn branches(
        &mut self,
        first: &str,
        next: &str,
        end: &str,
        branches: &[Branch],
        otherwise: Option<&[Statement]>,
        operand: Option<&Expression>,
    ) {
        for (n, branch) in branches.iter().enumerate() {
            let condition = match operand {
                Some(operand) => {
                    let (operand, value) = (self.value(operand), self.value(&branch.condition));
                    enclosed(self.t.compare(&operand, "=", &value).text)
                }
                None => self.condition(&branch.condition),
            };
            self.put(&format!("{} {condition} then", if n == 0 { first } else { next }));
            self.nested(|w| w.statements(&branch.body));
        }
        if let Some(body) = otherwise {
            self.put("else");
            self.nested(|w| w.statements(body));
        }
        self.put(end);
    }

    fn looping(&mut self, head: &str, label: Option<&str>, body: &[Statement], until: Option<&Expression>) {
        if let Some(label) = label {
            self.put(&format!("<<{}>>", quoted(&label.to_lowercase())));
        }
        self.put(head);
        let before = std::mem::replace(&mut self.looped, true);
        self.nested(|w| {
            w.statements(body);
            if let Some(until) = until {
                let condition = w.condition(until);
                w.put(&format!("exit when {condition};"));
            }
        });
        self.looped = before;
        self.put("end loop;");
    }

    fn for_loop(&mut self, label: Option<&str>, variable: &str, over: &ForRange, body: &[Statement]) {
        let name = quoted(&variable.to_lowercase());
        let head = match over {
            ForRange::Numbers { reverse, from, to } => {
                let (from, to) = (self.value(from), self.value(to));
                let (from, to) = (self.t.integer(&from), self.t.integer(&to));
                if *reverse {
                    format!("for {name} in reverse {}..{} loop", to.text, from.text)
                } else {
                    format!("for {name} in {}..{} loop", from.text, to.text)
                }
            }
            ForRange::Cursor { name: cursor, .. } => format!("for {name} in {} loop", quoted(&cursor.to_lowercase())),
            ForRange::Query(query) => {
                let (text, _) = self.t.query(query, &[], "");
                self.extra.insert(name.clone(), "record".into());
                format!("for {name} in {text} loop")
            }
        };
        self.t.scopes.push(BTreeMap::new());
        if matches!(over, ForRange::Numbers { .. }) {
            self.t.declare_variable(variable, slot(Ty::Int, "integer"));
        }
        self.looping(&head, label, body, None);
        self.t.scopes.pop();
    }

    fn leave(&mut self, label: &str) {
        if self.outermost.as_deref() == Some(label.to_lowercase().as_str()) {
            match &self.ending {
                Ending::Trigger(what) => self.put(&format!("return {what};")),
                Ending::Procedure => self.put("return;"),
                Ending::Function(_) => self.put("return null;"),
            }
            return;
        }
        self.put(&format!("exit {};", quoted(&label.to_lowercase())));
    }

    /// Declarations of a block for `declare`; the block's scope must be open.
    pub fn declarations(&mut self, declarations: &[Declaration]) -> String {
        let mut head = String::new();
        for declaration in declarations {
            self.t.line = declaration.position.line;
            match &declaration.kind {
                DeclarationKind::Variables { names, data_type, default } => {
                    let slot = self.slot_of(data_type);
                    // a default is evaluated before the names are known
                    let value = default.as_ref().map(|d| {
                        let value = self.value(d);
                        self.t.store(&value, &slot).text
                    });
                    for name in names {
                        let variable = self.t.declare_variable(name, slot.clone());
                        let value = value.as_ref().map_or(String::new(), |v| format!(" := {v}"));
                        if !value.is_empty() {
                            self.filled.push(variable.quoted.clone());
                        }
                        head.push_str(&format!("  {} {}{value};\n", variable.quoted, slot.postgres));
                    }
                }
                DeclarationKind::Condition { name, value } => {
                    self.conditions.insert(name.to_lowercase(), value.clone());
                }
                DeclarationKind::Cursor { name, query, parameters } => {
                    if !parameters.is_empty() {
                        self.t.refuse("CURSOR with parameters", "not translated");
                    }
                    let text = match query {
                        Ok(query) => self.t.query(query, &[], "").0,
                        Err(why) => self.t.refuse("CURSOR", format!("{NOT_READ}: its query: {why}")).text,
                    };
                    head.push_str(&format!("  {} cursor for {text};\n", quoted(&name.to_lowercase())));
                }
                DeclarationKind::Handler { .. } => {}
                DeclarationKind::Unread(why) => {
                    self.t.refuse("DECLARE", format!("{NOT_READ}: {why}"));
                }
            }
        }
        head
    }

    /// PostgreSQL's type for a variable.
    pub fn slot_of(&mut self, data_type: &Type) -> Slot {
        slot_of(self.t, data_type)
    }

    /// A block with its handlers.
    pub fn block(&mut self, block: &Block, handlers: Handlers) {
        self.t.scopes.push(BTreeMap::new());
        let head = self.declarations(&block.declarations);
        let label = block.label.as_ref().map(|l| quoted(&l.to_lowercase())).or_else(|| handlers.label.clone());
        if let Some(label) = &label {
            self.put(&format!("<<{label}>>"));
        }
        if !head.is_empty() {
            self.put("declare");
            self.put(head.trim_end_matches('\n'));
        }
        self.put("begin");
        self.handlers.push(handlers.active(label));
        self.nested(|w| w.statements(&block.body));
        self.handlers.pop();
        self.exceptions(&handlers);
        self.put("end;");
        self.t.scopes.pop();
    }
}

/// PostgreSQL's type for a variable, parameter or result.
pub fn slot_of(t: &mut Translator<'_>, data_type: &Type) -> Slot {
    let collation = match data_type.collation.as_deref().map(str::to_lowercase) {
        Some(name) if name.ends_with("_bin") || name.ends_with("_cs") => Collation::Exact,
        _ => Collation::Neutral,
    };
    let (mut unsigned, mut listed) = (false, false);
    let found = match &data_type.kind {
        TypeKind::Plain(plain) => {
            unsigned = super::value::is_unsigned(plain);
            listed = matches!(plain, sqlparser::ast::DataType::Enum(..) | sqlparser::ast::DataType::Set(_));
            super::value::of_type(plain)
        }
        TypeKind::OfColumn { table, column } => {
            let found = t.known.table(&table.name).and_then(|t| t.column(column));
            (unsigned, listed) = found.map_or((false, false), |c| (c.unsigned, c.listed));
            found.map(|c| (c.ty, c.postgres.clone()))
        }
        TypeKind::OfRow(_) | TypeKind::Row(_) => Some((Ty::Unknown, "record".to_owned())),
    };
    match found {
        Some((ty, postgres)) => Slot { ty, postgres, collation, unsigned, listed, numbered: false },
        None => {
            t.refuse(&data_type.text, "this type is not known");
            slot(Ty::Unknown, "text")
        }
    }
}

/// A place for a value.
pub fn slot(ty: Ty, postgres: &str) -> Slot {
    Slot {
        ty,
        postgres: postgres.to_owned(),
        collation: Collation::Neutral,
        unsigned: false,
        listed: false,
        numbered: false,
    }
}

/// PL/pgSQL reads a condition up to THEN, also where that belongs to a CASE outside of parentheses.
fn enclosed(condition: String) -> String {
    if condition.to_lowercase().contains("case") { format!("({condition})") } else { condition }
}
