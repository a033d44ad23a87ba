//! PHP.

use std::rc::Rc;

use tree_sitter::Node;

use super::code::{Call, Code, CodeKind, File, Function, all, named, unescape};

/// Brings a node into the common form.
pub fn lower<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let kind = match node.kind() {
        "string" | "encapsed_string" => return text(file, node),
        "heredoc" | "nowdoc" => {
            let Some(body) = node.child_by_field_name("value") else {
                return file.code(node, CodeKind::Text(vec![]));
            };
            let mut text = document(file, body, node.kind() == "nowdoc");
            text.row = node.start_position().row;
            return text;
        }
        "integer"
        | "float"
        | "boolean"
        | "null"
        | "name"
        | "variable_name"
        | "member_access_expression"
        | "class_constant_access_expression"
        | "dynamic_variable_name" => CodeKind::Name(name(file.slice(node))),
        "parenthesized_expression" | "expression_statement" => {
            let mut inside = file.children(node);
            if inside.len() == 1 {
                return inside.swap_remove(0);
            }
            CodeKind::Block(inside)
        }
        "binary_expression" if node.child_by_field_name("operator").is_some_and(|o| file.slice(o) == ".") => {
            CodeKind::Join(vec![file.field_or_nothing(node, "left"), file.field_or_nothing(node, "right")])
        }
        "array_creation_expression" => return array(file, node),
        "assignment_expression" => return assign(file, node, false),
        "augmented_assignment_expression" => return assign(file, node, true),
        "const_element" | "property_element" => {
            let parts = named(node);
            let (Some(left), Some(right)) = (parts.first(), parts.last().filter(|_| parts.len() > 1)) else {
                return file.code(node, CodeKind::Block(vec![]));
            };
            let to = file.slice(*left).trim_start_matches('$').to_owned();
            CodeKind::Assign { to, value: Box::new(lower(file, *right)), more: false }
        }
        "method_declaration" | "function_definition" => {
            let name = node.child_by_field_name("name").map(|n| file.slice(n)).unwrap_or_default();
            CodeKind::Define(name.to_owned(), function(file, node))
        }
        "anonymous_function" | "anonymous_function_creation_expression" | "arrow_function" => {
            CodeKind::Function(function(file, node))
        }
        "declaration_list" => CodeKind::Class(file.children(node)),
        "member_call_expression"
        | "scoped_call_expression"
        | "nullsafe_member_call_expression"
        | "function_call_expression" => return call(file, node),
        "return_statement" => CodeKind::Return(Box::new(file.code(node, CodeKind::Block(file.children(node)))).flat()),
        "if_statement" | "else_if_clause" => return branches(file, node),
        "else_clause" => return file.field_or_nothing(node, "body"),
        "foreach_statement" => {
            let parts: Vec<Node<'t>> = named(node);
            let names = parts.get(1).map(|n| variables(file, *n)).unwrap_or_default();
            CodeKind::Each {
                names,
                over: parts.first().map(|n| Box::new(lower(file, *n))),
                body: Box::new(file.field_or_nothing(node, "body")),
            }
        }
        "compound_statement" | "program" => CodeKind::Block(file.children(node)),
        "namespace_use_declaration" => CodeKind::Block(vec![]),
        _ => CodeKind::Other(file.children(node)),
    };
    file.code(node, kind)
}

/// `$this->x`, `self::X` and `static::X` are `x` of the file; a variable keeps its sign.
fn name(written: &str) -> String {
    let own = ["$this->", "self::$", "self::", "static::$", "static::"];
    own.iter().find_map(|own| written.strip_prefix(own)).unwrap_or(written).to_owned()
}

fn put(child: Node<'_>) -> Option<Node<'_>> {
    child.is_named().then_some(child)
}

fn text<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let range = node.byte_range();
    let single = node.kind() == "string";
    let escape = move |sign: &str| match sign {
        "\\\\" | "\\'" if single => sign[1..].to_owned(),
        sign if single => sign.to_owned(),
        "\\'" => sign.to_owned(),
        sign => unescape(sign),
    };
    file.parts(node, range.start + 1..range.end.saturating_sub(1), &escape, &put)
}

fn document<'t>(file: File<'t>, body: Node<'t>, raw: bool) -> Code<'t> {
    if raw {
        let known = file.slice(body).to_owned();
        return file.code(body, CodeKind::Text(vec![super::code::Part::Known(known)]));
    }
    let escape = |sign: &str| if matches!(sign, "\\'" | "\\\"") { sign.to_owned() } else { unescape(sign) };
    file.parts(body, body.byte_range(), &escape, &put)
}

fn array<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let elements: Vec<Node<'t>> = named(node).into_iter().filter(|n| n.kind() == "array_element_initializer").collect();
    let keyed = elements.iter().any(|e| all(*e).iter().any(|c| c.kind() == "=>"));
    if keyed {
        let entries = elements.into_iter().map(|element| {
            let parts = named(element);
            let key = parts.first().filter(|_| parts.len() > 1);
            let key = key.map(|k| file.slice(*k).trim_matches(['\'', '"']).to_owned());
            let value = parts.last().map_or_else(|| file.code(element, CodeKind::Block(vec![])), |v| lower(file, *v));
            (key, value)
        });
        return file.code(node, CodeKind::Map(entries.collect()));
    }
    let items = elements.into_iter().filter_map(|e| named(e).into_iter().next()).map(|n| lower(file, n));
    file.code(node, CodeKind::List(items.collect()))
}

fn assign<'t>(file: File<'t>, node: Node<'t>, more: bool) -> Code<'t> {
    let to = node.child_by_field_name("left").map(|n| name(file.slice(n))).unwrap_or_default();
    let value = file.field_or_nothing(node, "right");
    let adds = !more || node.child_by_field_name("operator").is_some_and(|o| file.slice(o) == ".=");
    match value.kind {
        CodeKind::Function(function) if !more => file.code(node, CodeKind::Define(to, function)),
        _ if adds => file.code(node, CodeKind::Assign { to, value: Box::new(value), more }),
        _ => {
            let unknown = file.code(node, CodeKind::Name(file.slice(node).to_owned()));
            file.code(node, CodeKind::Assign { to, value: Box::new(unknown), more: false })
        }
    }
}

fn function<'t>(file: File<'t>, node: Node<'t>) -> Rc<Function<'t>> {
    let parameters = node.child_by_field_name("parameters").map(|p| {
        let names = named(p).into_iter().filter_map(|n| n.child_by_field_name("name"));
        names.map(|n| file.slice(n).to_owned()).collect()
    });
    Rc::new(Function { parameters: parameters.unwrap_or_default(), body: file.field_or_nothing(node, "body") })
}

fn variables<'t>(file: File<'t>, node: Node<'t>) -> Vec<String> {
    match node.kind() {
        "variable_name" => vec![file.slice(node).to_owned()],
        _ => named(node).into_iter().flat_map(|n| variables(file, n)).collect(),
    }
}

/// `if`, and what follows where its test does not hold.
fn branches<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let test = node.child_by_field_name("condition").map(|c| file.slice(c)).unwrap_or_default();
    let mut otherwise: Option<Box<Code<'t>>> = None;
    let mut others: Vec<Node<'t>> = node.children_by_field_name("alternative", &mut node.walk()).collect();
    while let Some(last) = others.pop() {
        let mut branch = lower(file, last);
        if let CodeKind::If { otherwise: rest, .. } = &mut branch.kind {
            *rest = otherwise.take();
        }
        otherwise = Some(Box::new(branch));
    }
    let then = Box::new(file.field_or_nothing(node, "body"));
    file.code(node, CodeKind::If { test, negated: false, then, otherwise })
}

fn call<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let name = node.child_by_field_name("name").or_else(|| node.child_by_field_name("function"));
    let name = name.map(|n| file.slice(n).to_owned()).unwrap_or_default();
    let on = file.field(node, "object").or_else(|| file.field(node, "scope"));
    let mut arguments = vec![];
    if let Some(given) = node.child_by_field_name("arguments") {
        for argument in named(given).into_iter().filter(|n| n.kind() == "argument") {
            let name = argument.child_by_field_name("name").map(|n| file.slice(n).to_owned());
            let Some(value) = named(argument).into_iter().next_back() else { continue };
            arguments.push((name, lower(file, value)));
        }
    }
    file.code(node, CodeKind::Call(Box::new(Call { on, name, arguments })))
}
