//! Ruby.

use std::rc::Rc;

use tree_sitter::Node;

use super::code::{Call, Code, CodeKind, File, Function, all, named, unescape};

/// Brings a node into the common form.
pub fn lower<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let kind = match node.kind() {
        "string" | "bare_string" | "delimited_symbol" | "bare_symbol" | "subshell" => return text(file, node),
        "heredoc_beginning" => {
            let body = file.elsewhere.iter().find(|(at, _)| *at == node.start_byte()).map(|(_, body)| *body);
            let Some(body) = body else { return file.code(node, CodeKind::Name(file.slice(node).to_owned())) };
            let raw = file.slice(node).contains('\'');
            return heredoc(file, body, raw);
        }
        "heredoc_body" => CodeKind::Block(vec![]),
        "simple_symbol" => {
            let known = file.slice(node).trim_start_matches(':').to_owned();
            CodeKind::Text(vec![super::code::Part::Known(known)])
        }
        "chained_string" => CodeKind::Join(file.children(node)),
        "integer" | "float" | "true" | "false" | "nil" | "identifier" | "constant" | "scope_resolution"
        | "instance_variable" | "class_variable" | "global_variable" | "self" => CodeKind::Name(name(file.slice(node))),
        "parenthesized_statements"
        | "body_statement"
        | "block_body"
        | "program"
        | "then"
        | "else"
        | "ensure"
        | "begin"
        | "rescue"
        | "do" => CodeKind::Block(file.children(node)),
        "binary" => {
            let sides = vec![file.field_or_nothing(node, "left"), file.field_or_nothing(node, "right")];
            match node.child_by_field_name("operator").map(|o| file.slice(o)) {
                Some("+") => CodeKind::Join(sides),
                Some("%") => {
                    let mut sides = sides.into_iter();
                    let on = sides.next();
                    CodeKind::Call(Box::new(Call {
                        on,
                        name: "%".into(),
                        arguments: sides.map(|a| (None, a)).collect(),
                    }))
                }
                Some("<<") => match sides.as_slice() {
                    [Code { kind: CodeKind::Name(to), .. }, value] => {
                        CodeKind::Assign { to: to.clone(), value: Box::new(value.clone()), more: true }
                    }
                    _ => CodeKind::Other(sides),
                },
                _ => CodeKind::Other(sides),
            }
        }
        "array" | "string_array" | "symbol_array" => CodeKind::List(file.children(node)),
        "hash" => CodeKind::Map(named(node).into_iter().map(|n| entry(file, n)).collect()),
        "assignment" => return assign(file, node, false),
        "operator_assignment" => return assign(file, node, true),
        "method" | "singleton_method" => {
            let name = node.child_by_field_name("name").map(|n| file.slice(n)).unwrap_or_default();
            CodeKind::Define(name.to_owned(), function(file, node))
        }
        "lambda" => {
            let body = node.child_by_field_name("body").unwrap_or(node);
            CodeKind::Function(function(file, body))
        }
        "class" | "module" | "singleton_class" => {
            let body = node.child_by_field_name("body").map(|b| file.children(b));
            CodeKind::Class(body.unwrap_or_default())
        }
        "call" => return call(file, node),
        "return" => CodeKind::Return(Box::new(file.code(node, CodeKind::Block(file.children(node)))).flat()),
        "if" | "elsif" | "unless" | "if_modifier" | "unless_modifier" => {
            let body = if node.kind().ends_with("modifier") { "body" } else { "consequence" };
            CodeKind::If {
                test: node.child_by_field_name("condition").map(|c| file.slice(c)).unwrap_or_default(),
                negated: node.kind().starts_with("unless"),
                then: Box::new(file.field_or_nothing(node, body)),
                otherwise: file.field(node, "alternative").map(Box::new),
            }
        }
        "for" => CodeKind::Each {
            names: node.child_by_field_name("pattern").map(|n| vec![file.slice(n).to_owned()]).unwrap_or_default(),
            over: node
                .child_by_field_name("value")
                .and_then(|v| named(v).into_iter().next())
                .map(|v| Box::new(lower(file, v))),
            body: Box::new(file.field_or_nothing(node, "body")),
        },
        "argument_list" => {
            let mut inside = file.children(node);
            if inside.len() == 1 {
                return inside.swap_remove(0);
            }
            CodeKind::List(inside)
        }
        _ => CodeKind::Other(file.children(node)),
    };
    file.code(node, kind)
}

/// `self.x`, `@x`, `self.class::X` are `x` of the file.
fn name(written: &str) -> String {
    let plain = ["self.class::", "self::", "self.", "@@", "@"].iter().find_map(|own| written.strip_prefix(own));
    plain.unwrap_or(written).to_owned()
}

fn interpolated(child: Node<'_>) -> Option<Node<'_>> {
    (child.kind() == "interpolation").then(|| named(child).into_iter().next()).flatten()
}

fn text<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let children = all(node);
    let written = file.slice(node);
    let raw = written.starts_with('\'') || written.starts_with("%q");
    let range = match (children.first(), children.last()) {
        (Some(first), Some(last)) if !first.is_named() && !last.is_named() && children.len() > 1 => {
            first.end_byte()..last.start_byte()
        }
        _ => node.byte_range(),
    };
    let escape = move |sign: &str| match sign {
        "\\\\" | "\\'" => sign[1..].to_owned(),
        sign if raw => sign.to_owned(),
        sign => unescape(sign),
    };
    file.parts(node, range, &escape, &interpolated)
}

fn heredoc<'t>(file: File<'t>, body: Node<'t>, raw: bool) -> Code<'t> {
    let end = all(body).into_iter().find(|n| n.kind() == "heredoc_end").map_or(body.end_byte(), |e| e.start_byte());
    let escape = move |sign: &str| if raw { sign.to_owned() } else { unescape(sign) };
    file.parts(body, body.start_byte()..end, &escape, &interpolated)
}

fn entry<'t>(file: File<'t>, pair: Node<'t>) -> (Option<String>, Code<'t>) {
    let key = pair.child_by_field_name("key").map(|k| file.slice(k).trim_matches([':', '"', '\'']).to_owned());
    let value = match (&key, pair.child_by_field_name("value")) {
        (_, Some(value)) => lower(file, value),
        // `{ name: }`
        (Some(name), None) => file.code(pair, CodeKind::Name(name.clone())),
        (None, None) => file.code(pair, CodeKind::Other(file.children(pair))),
    };
    (key, value)
}

fn assign<'t>(file: File<'t>, node: Node<'t>, more: bool) -> Code<'t> {
    let to = node.child_by_field_name("left").map(|n| name(file.slice(n))).unwrap_or_default();
    let value = Box::new(file.field_or_nothing(node, "right"));
    file.code(node, CodeKind::Assign { to, value, more })
}

fn function<'t>(file: File<'t>, node: Node<'t>) -> Rc<Function<'t>> {
    let parameters = node.child_by_field_name("parameters").map(|p| names(file, p)).unwrap_or_default();
    Rc::new(Function { parameters, body: file.field_or_nothing(node, "body") })
}

fn names<'t>(file: File<'t>, node: Node<'t>) -> Vec<String> {
    match node.kind() {
        "identifier" => vec![file.slice(node).to_owned()],
        "optional_parameter" | "keyword_parameter" => {
            node.child_by_field_name("name").map(|n| vec![file.slice(n).to_owned()]).unwrap_or_default()
        }
        _ => named(node).into_iter().flat_map(|n| names(file, n)).collect(),
    }
}

fn call<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let name = node.child_by_field_name("method").map(|m| file.slice(m)).unwrap_or_default();
    let mut arguments = vec![];
    if let Some(given) = node.child_by_field_name("arguments") {
        for argument in named(given) {
            match argument.kind() {
                "pair" => arguments.push(entry(file, argument)),
                "block_argument" => {}
                _ => arguments.push((None, lower(file, argument))),
            }
        }
    }
    if let Some(block) = node.child_by_field_name("block") {
        arguments.push((None, file.code(block, CodeKind::Function(function(file, block)))));
    }
    let on = file.field(node, "receiver");
    file.code(node, CodeKind::Call(Box::new(Call { on, name: name.to_owned(), arguments })))
}

/// Heredocs: where each begins, and the node with its text.
pub fn heredocs(root: Node<'_>) -> Vec<(usize, Node<'_>)> {
    let (mut begins, mut bodies) = (vec![], vec![]);
    let mut cursor = root.walk();
    'tree: loop {
        let node = cursor.node();
        match node.kind() {
            "heredoc_beginning" => begins.push(node.start_byte()),
            "heredoc_body" => bodies.push(node),
            _ => {}
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'tree;
            }
        }
    }
    begins.sort_unstable();
    bodies.sort_unstable_by_key(tree_sitter::Node::start_byte);
    begins.into_iter().zip(bodies).collect()
}
