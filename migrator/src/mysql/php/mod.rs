//! The SQL of PHP migrations: Laravel, Phinx, Doctrine, CodeIgniter, Yii, or a plain script.
//!
//! Nothing is run. SQL that stands in the file as literals (constants, properties and local variables that hold literals
//! included) is read; SQL that is put together at run time is told, with the advice to read the live database. Only what goes
//! forward counts: `up()` and what it calls, never `down()`, which holds older versions.

mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tree_sitter::Node;

use super::dump::Dump;
use super::source::Fold;
use value::{Text, Values};

/// Methods that go forward.
const FORWARD: [&str; 4] = ["up", "safeup", "change", "migrateup"];
/// Functions and methods that take a text of SQL first.
const CALLS: [&str; 10] = [
    "statement",
    "unprepared",
    "execute",
    "exec",
    "query",
    "addsql",
    "multi_query",
    "executestatement",
    "executequery",
    "rawquery",
];
/// Functions that take it second, after the connection.
const SECOND: [&str; 2] = ["mysqli_query", "mysqli_multi_query"];
/// Methods that call themselves are followed so far.
const DEPTH: usize = 20;
/// A tree deeper than this is not walked.
const NESTING: u32 = 500;

/// Reads the SQL of one file.
pub fn read(fold: &mut Fold, file: &str, text: &str) {
    let mut parser = tree_sitter::Parser::new();
    let tree = match parser.set_language(&tree_sitter_php::LANGUAGE_PHP.into()) {
        Ok(()) => parser.parse(text, None),
        Err(_) => None,
    };
    let Some(tree) = tree else {
        return fold.problem(file, 0, None, "the PHP of this file cannot be read".to_owned());
    };
    if deeper_than(&tree, NESTING) {
        let reason = format!("its PHP is nested more than {NESTING} levels deep: read the live database instead");
        return fold.problem(file, 0, None, reason);
    }
    let mut reader = Reader { fold, file, text, depth: 0 };
    reader.file(tree.root_node());
}

struct Reader<'r> {
    fold: &'r mut Fold,
    file: &'r str,
    text: &'r str,
    depth: usize,
}

/// A class: its methods by name, and what is known of its constants and properties.
struct Class<'t> {
    methods: HashMap<String, Node<'t>>,
    values: Values,
}

impl<'t> Reader<'_> {
    fn file(&mut self, root: Node<'t>) {
        let mut classes = vec![];
        find(root, &mut |node| {
            let is = node.kind() == "declaration_list"
                && node
                    .parent()
                    .is_some_and(|p| matches!(p.kind(), "class_declaration" | "anonymous_class" | "trait_declaration"));
            if is {
                classes.push(node);
            }
            !is
        });
        let mut forward = false;
        for body in classes {
            let class = self.class(body);
            for name in FORWARD {
                if let Some(method) = class.methods.get(name) {
                    forward = true;
                    self.method(*method, &class);
                }
            }
        }
        if !forward {
            let class = Class { methods: HashMap::new(), values: Values::default() };
            let mut values = Values::default();
            self.walk(root, &class, &mut values);
        }
    }

    fn class(&self, body: Node<'t>) -> Class<'t> {
        let mut class = Class { methods: HashMap::new(), values: Values::default() };
        for member in children(body) {
            match member.kind() {
                "method_declaration" => {
                    if let Some(name) = member.child_by_field_name("name") {
                        class.methods.insert(self.source(name).to_ascii_lowercase(), member);
                    }
                }
                "const_declaration" | "property_declaration" => class.values.declare(member, self.text),
                _ => {}
            }
        }
        class
    }

    fn method(&mut self, method: Node<'t>, class: &Class<'t>) {
        if self.depth >= DEPTH {
            return;
        }
        self.depth += 1;
        let mut values = class.values.clone();
        if let Some(body) = method.child_by_field_name("body") {
            self.walk(body, class, &mut values);
        }
        self.depth -= 1;
    }

    fn walk(&mut self, node: Node<'t>, class: &Class<'t>, values: &mut Values) {
        match node.kind() {
            "assignment_expression" => {
                self.inside(node, class, values);
                values.assign(node, self.text);
                return;
            }
            "augmented_assignment_expression" => {
                self.inside(node, class, values);
                values.append(node, self.text);
                return;
            }
            "foreach_statement" => values.forget(node, self.text),
            "if_statement" => return self.branches(node, class, values),
            "member_call_expression"
            | "scoped_call_expression"
            | "nullsafe_member_call_expression"
            | "function_call_expression" => {
                // what stands inside runs before
                self.inside(node, class, values);
                return self.call(node, class, values);
            }
            // a method of another class, or one that nothing calls
            "method_declaration" => return,
            _ => {}
        }
        self.inside(node, class, values);
    }

    fn inside(&mut self, node: Node<'t>, class: &Class<'t>, values: &mut Values) {
        for child in children(node) {
            self.walk(child, class, values);
        }
    }

    /// A branch that is for another database is left out.
    fn branches(&mut self, node: Node<'t>, class: &Class<'t>, values: &mut Values) {
        let condition =
            node.child_by_field_name("condition").map(|c| self.source(c).to_ascii_lowercase()).unwrap_or_default();
        let other = ["pgsql", "sqlite", "sqlsrv", "postgres"].iter().any(|d| condition.contains(d));
        let ours = condition.contains("mysql") || condition.contains("mariadb") || condition.contains('!');
        for (index, child) in children(node).into_iter().enumerate() {
            let field = node.field_name_for_child(u32::try_from(index).unwrap_or_default());
            if !(other && !ours && field == Some("body")) {
                self.walk(child, class, values);
            }
        }
    }

    fn call(&mut self, node: Node<'t>, class: &Class<'t>, values: &Values) {
        let name = node.child_by_field_name("name").or_else(|| node.child_by_field_name("function"));
        let name = name.map(|n| self.source(n).to_ascii_lowercase()).unwrap_or_default();
        let on = node.child_by_field_name("object").or_else(|| node.child_by_field_name("scope"));
        let on_itself = on.is_some_and(|o| matches!(self.source(o), "$this" | "self" | "static"));
        if on_itself && let Some(method) = class.methods.get(&name) {
            return self.method(*method, class);
        }
        let position = match name.as_str() {
            name if CALLS.contains(&name) => 0,
            name if SECOND.contains(&name) => 1,
            _ => return,
        };
        let arguments = node.child_by_field_name("arguments").map(children).unwrap_or_default();
        let Some(argument) = arguments.iter().filter(|a| a.kind() == "argument").nth(position) else { return };
        let Some(expression) = children(*argument).into_iter().rfind(|n| n.is_named()) else { return };
        self.sql(values.text(expression, self.text), expression);
    }

    fn sql(&mut self, text: Text, node: Node<'t>) {
        let line = text.line.unwrap_or(node.start_position().row) as u64 + 1;
        if let Some(unknown) = text.unknown {
            let first = text.known.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
            let rows = ["INSERT", "UPDATE", "DELETE", "SELECT", "SET", "TRUNCATE", "REPLACE"];
            if !rows.iter().any(|word| first.eq_ignore_ascii_case(word)) {
                let reason =
                    format!("its SQL is put together at run time, from {unknown}: read the live database instead");
                self.fold.problem(self.file, line, about(&text.known), reason);
            }
            return;
        }
        // lines stay those of the file
        let padded = format!("{}{}", "\n".repeat(usize::try_from(line).unwrap_or(1) - 1), text.known);
        if let Err(error) = self.fold.read(self.file, &mut Dump::new(padded.as_bytes())) {
            self.fold.problem(self.file, line, None, error.to_string());
        }
    }

    fn source(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }
}

fn deeper_than(tree: &tree_sitter::Tree, limit: u32) -> bool {
    let mut cursor = tree.walk();
    loop {
        if cursor.depth() > limit {
            return true;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return false;
            }
        }
    }
}

/// What a half-known text is about, for the person who reads the problem; its name is not known.
fn about(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let makes = words.iter().any(|w| matches!(*w, "CREATE" | "ALTER"));
    let kinds = ["TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "VIEW", "TABLE"];
    kinds.iter().find(|k| makes && words.contains(k)).map(|k| format!("{} (named at run time)", k.to_ascii_lowercase()))
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    node.children(&mut node.walk()).collect()
}

/// Visits nodes; goes into those for which `visit` says so.
fn find<'t>(node: Node<'t>, visit: &mut dyn FnMut(Node<'t>) -> bool) {
    if visit(node) {
        for child in children(node) {
            find(child, visit);
        }
    }
}
