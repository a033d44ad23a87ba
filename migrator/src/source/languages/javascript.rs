//! JavaScript and TypeScript.

use std::rc::Rc;

use tree_sitter::Node;

use super::code::{Call, Code, CodeKind, File, Function, named, unescape};

/// Brings a node into the common form.
pub fn lower<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let kind = match node.kind() {
        "string" | "template_string" => return text(file, node),
        "number"
        | "true"
        | "false"
        | "null"
        | "undefined"
        | "identifier"
        | "property_identifier"
        | "shorthand_property_identifier"
        | "member_expression"
        | "this" => CodeKind::Name(name(file.slice(node))),
        "parenthesized_expression"
        | "await_expression"
        | "non_null_expression"
        | "expression_statement"
        | "export_statement"
        | "spread_element"
        | "as_expression"
        | "satisfies_expression"
        | "statement_block" => {
            let mut inside = file.children(node);
            let first = matches!(node.kind(), "as_expression" | "satisfies_expression");
            if first || inside.len() == 1 && node.kind() != "statement_block" {
                return inside.swap_remove(0);
            }
            CodeKind::Block(inside)
        }
        "binary_expression" if node.child_by_field_name("operator").is_some_and(|o| file.slice(o) == "+") => {
            CodeKind::Join(vec![file.field_or_nothing(node, "left"), file.field_or_nothing(node, "right")])
        }
        "array" => CodeKind::List(file.children(node)),
        "object" => CodeKind::Map(named(node).into_iter().map(|n| entry(file, n)).collect()),
        "variable_declarator" => return assign(file, node, "name", "value", false),
        "assignment_expression" => return assign(file, node, "left", "right", false),
        "augmented_assignment_expression" => return assign(file, node, "left", "right", true),
        "public_field_definition" => return assign(file, node, "name", "value", false),
        "field_definition" => return assign(file, node, "property", "value", false),
        "function_declaration" | "method_definition" | "generator_function_declaration" => {
            let name = node.child_by_field_name("name").map(|n| file.slice(n)).unwrap_or_default();
            CodeKind::Define(name.to_owned(), function(file, node))
        }
        "arrow_function" | "function_expression" | "generator_function" => CodeKind::Function(function(file, node)),
        "class_body" => CodeKind::Class(file.children(node)),
        "call_expression" => return call(file, node, "function"),
        "new_expression" => return call(file, node, "constructor"),
        "return_statement" => CodeKind::Return(Box::new(file.code(node, CodeKind::Block(file.children(node)))).flat()),
        "if_statement" => CodeKind::If {
            test: node.child_by_field_name("condition").map(|c| file.slice(c)).unwrap_or_default(),
            negated: false,
            then: Box::new(file.field_or_nothing(node, "consequence")),
            otherwise: file.field(node, "alternative").map(Box::new),
        },
        "for_in_statement" => CodeKind::Each {
            names: node.child_by_field_name("left").map(|n| names(file, n)).unwrap_or_default(),
            over: file.field(node, "right").map(Box::new),
            body: Box::new(file.field_or_nothing(node, "body")),
        },
        "import_statement" | "type_alias_declaration" | "interface_declaration" | "comment" => CodeKind::Block(vec![]),
        _ => CodeKind::Other(file.children(node)),
    };
    file.code(node, kind)
}

/// `this.x`, `exports.x`, `module.exports.x` are `x` of the file.
fn name(written: &str) -> String {
    let written = written.trim_end_matches('!');
    ["this.#", "this.", "module.exports.", "exports."]
        .iter()
        .find_map(|own| written.strip_prefix(own))
        .unwrap_or(written)
        .replace("?.", ".")
}

fn text<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let range = node.byte_range();
    file.parts(node, range.start + 1..range.end.saturating_sub(1), &unescape, &|child| {
        (child.kind() == "template_substitution").then(|| named(child).into_iter().next()).flatten()
    })
}

fn entry<'t>(file: File<'t>, node: Node<'t>) -> (Option<String>, Code<'t>) {
    match node.kind() {
        "pair" => {
            let key = node.child_by_field_name("key").map(|k| file.slice(k).trim_matches(['\'', '"', '`']).to_owned());
            (key, file.field_or_nothing(node, "value"))
        }
        "shorthand_property_identifier" => (Some(file.slice(node).to_owned()), lower(file, node)),
        "method_definition" => {
            let key = node.child_by_field_name("name").map(|k| file.slice(k).to_owned());
            (key, file.code(node, CodeKind::Function(function(file, node))))
        }
        _ => (None, lower(file, node)),
    }
}

fn assign<'t>(file: File<'t>, node: Node<'t>, left: &str, right: &str, more: bool) -> Code<'t> {
    let to = node.child_by_field_name(left).map(|n| name(file.slice(n))).unwrap_or_default();
    let value = file.field_or_nothing(node, right);
    match value.kind {
        CodeKind::Function(function) if !more => file.code(node, CodeKind::Define(to, function)),
        _ => file.code(node, CodeKind::Assign { to, value: Box::new(value), more }),
    }
}

fn function<'t>(file: File<'t>, node: Node<'t>) -> Rc<Function<'t>> {
    let one = node.child_by_field_name("parameter").map(|p| vec![file.slice(p).to_owned()]);
    let parameters = one.or_else(|| node.child_by_field_name("parameters").map(|p| names(file, p)));
    Rc::new(Function { parameters: parameters.unwrap_or_default(), body: file.field_or_nothing(node, "body") })
}

/// The names of parameters, or of what a loop counts through.
fn names<'t>(file: File<'t>, node: Node<'t>) -> Vec<String> {
    match node.kind() {
        "identifier" => vec![file.slice(node).to_owned()],
        "required_parameter" | "optional_parameter" => {
            node.child_by_field_name("pattern").map(|p| vec![file.slice(p).to_owned()]).unwrap_or_default()
        }
        "assignment_pattern" => {
            node.child_by_field_name("left").map(|p| vec![file.slice(p).to_owned()]).unwrap_or_default()
        }
        "object_pattern" => vec![String::new()],
        _ => named(node).into_iter().flat_map(|n| names(file, n)).collect(),
    }
}

fn call<'t>(file: File<'t>, node: Node<'t>, field: &str) -> Code<'t> {
    let Some(mut called) = node.child_by_field_name(field) else {
        return file.code(node, CodeKind::Other(file.children(node)));
    };
    while matches!(called.kind(), "parenthesized_expression" | "non_null_expression" | "await_expression") {
        let Some(inner) = named(called).into_iter().next() else { break };
        called = inner;
    }
    let (on, name) = match called.kind() {
        "member_expression" => {
            let property = called.child_by_field_name("property").map(|p| file.slice(p)).unwrap_or_default();
            (file.field(called, "object"), property.to_owned())
        }
        "identifier" => (None, file.slice(called).to_owned()),
        _ => (Some(lower(file, called)), String::new()),
    };
    let arguments = match node.child_by_field_name("arguments") {
        // a tag of a template: sql`..`
        Some(template) if template.kind() == "template_string" => vec![(None, lower(file, template))],
        Some(arguments) => file.children(arguments).into_iter().map(|a| (None, a)).collect(),
        None => vec![],
    };
    file.code(node, CodeKind::Call(Box::new(Call { on, name, arguments })))
}
