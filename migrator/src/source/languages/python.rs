//! Python.

use std::rc::Rc;

use tree_sitter::Node;

use super::code::{Call, Code, CodeKind, File, Function, all, named, unescape};

/// Brings a node into the common form.
pub fn lower<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let kind = match node.kind() {
        "string" => return text(file, node),
        "concatenated_string" => CodeKind::Join(file.children(node)),
        "integer" | "float" | "true" | "false" | "none" | "identifier" | "attribute" => {
            CodeKind::Name(name(file.slice(node)))
        }
        "parenthesized_expression" | "expression_statement" | "decorated_definition" | "await" | "list_splat" => {
            let mut inside = file.children(node);
            if !inside.is_empty() {
                return inside.swap_remove(inside.len() - 1);
            }
            CodeKind::Block(vec![])
        }
        "binary_operator" => {
            let sides = vec![file.field_or_nothing(node, "left"), file.field_or_nothing(node, "right")];
            match node.child_by_field_name("operator").map(|o| file.slice(o)) {
                Some("+") => CodeKind::Join(sides),
                Some("%") => {
                    let mut sides = sides.into_iter();
                    let on = sides.next();
                    let arguments = sides.map(|a| (None, a)).collect();
                    CodeKind::Call(Box::new(Call { on, name: "%".into(), arguments }))
                }
                _ => CodeKind::Other(sides),
            }
        }
        "list" | "tuple" | "set" | "expression_list" => CodeKind::List(file.children(node)),
        "dictionary" => CodeKind::Map(
            named(node)
                .into_iter()
                .map(|pair| {
                    let key =
                        pair.child_by_field_name("key").map(|k| file.slice(k).trim_matches(['\'', '"']).to_owned());
                    (key, file.field(pair, "value").unwrap_or_else(|| lower(file, pair)))
                })
                .collect(),
        ),
        "assignment" => return assign(file, node, false),
        "augmented_assignment" => return assign(file, node, true),
        "function_definition" => {
            let name = node.child_by_field_name("name").map(|n| file.slice(n)).unwrap_or_default();
            CodeKind::Define(name.to_owned(), function(file, node))
        }
        "lambda" => CodeKind::Function(function(file, node)),
        "class_definition" => {
            let body = node.child_by_field_name("body").map(|b| file.children(b));
            CodeKind::Class(body.unwrap_or_default())
        }
        "call" => return call(file, node),
        "return_statement" => CodeKind::Return(Box::new(file.code(node, CodeKind::Block(file.children(node)))).flat()),
        "if_statement" | "elif_clause" => {
            let test = node.child_by_field_name("condition").map(|c| file.slice(c)).unwrap_or_default();
            let then = Box::new(file.field_or_nothing(node, "consequence"));
            let mut others = node.children_by_field_name("alternative", &mut node.walk()).collect::<Vec<_>>();
            let mut otherwise: Option<Box<Code<'t>>> = None;
            while let Some(last) = others.pop() {
                let mut branch = lower(file, last);
                if let CodeKind::If { otherwise: rest, .. } = &mut branch.kind {
                    *rest = otherwise.take();
                }
                otherwise = Some(Box::new(branch));
            }
            CodeKind::If { test, negated: test.trim_start().starts_with("not "), then, otherwise }
        }
        "for_statement" => CodeKind::Each {
            names: node.child_by_field_name("left").map(|n| names(file, n)).unwrap_or_default(),
            over: file.field(node, "right").map(Box::new),
            body: Box::new(file.field_or_nothing(node, "body")),
        },
        "with_statement" => return with(file, node),
        "block" | "module" => CodeKind::Block(file.children(node)),
        "import_statement" | "import_from_statement" => CodeKind::Block(vec![]),
        _ => CodeKind::Other(file.children(node)),
    };
    file.code(node, kind)
}

/// `self.x` and `cls.x` are `x` of the file.
fn name(written: &str) -> String {
    ["self.", "cls."].iter().find_map(|own| written.strip_prefix(own)).unwrap_or(written).to_owned()
}

fn text<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let ends = |kind: &str| all(node).into_iter().find(|n| n.kind() == kind);
    let (start, end) = (ends("string_start"), ends("string_end"));
    let range = node.byte_range();
    let prefix = start.map(|s| file.slice(s)).unwrap_or_default();
    let raw = prefix.contains(['r', 'R']);
    let from = start.map_or(range.start, |s| s.end_byte());
    let to = end.map_or(range.end, |e| e.start_byte());
    let formatted = prefix.contains(['f', 'F']);
    let escape = move |sign: &str| match sign {
        "{{" if formatted => "{".to_owned(),
        "}}" if formatted => "}".to_owned(),
        sign if raw => sign.to_owned(),
        sign => unescape(sign),
    };
    let mut text = file.parts(node, from..to, &escape, &|child| {
        let inner = child.child_by_field_name("expression").or_else(|| named(child).into_iter().next());
        (child.kind() == "interpolation").then_some(inner).flatten()
    });
    if formatted && let CodeKind::Text(parts) = &mut text.kind {
        for part in parts {
            if let super::code::Part::Known(known) = part {
                *known = known.replace("{{", "{").replace("}}", "}");
            }
        }
    }
    text
}

fn assign<'t>(file: File<'t>, node: Node<'t>, more: bool) -> Code<'t> {
    let to = node.child_by_field_name("left").map(|n| name(file.slice(n))).unwrap_or_default();
    let Some(value) = file.field(node, "right") else { return file.code(node, CodeKind::Block(vec![])) };
    file.code(node, CodeKind::Assign { to, value: Box::new(value), more })
}

fn function<'t>(file: File<'t>, node: Node<'t>) -> Rc<Function<'t>> {
    let parameters = node.child_by_field_name("parameters").map(|p| names(file, p)).unwrap_or_default();
    let parameters = parameters.into_iter().filter(|p| p != "self" && p != "cls").collect();
    Rc::new(Function { parameters, body: file.field_or_nothing(node, "body") })
}

/// The names of parameters, or of what a loop counts through.
fn names<'t>(file: File<'t>, node: Node<'t>) -> Vec<String> {
    match node.kind() {
        "identifier" => vec![file.slice(node).to_owned()],
        "default_parameter" | "typed_default_parameter" => {
            node.child_by_field_name("name").map(|n| vec![file.slice(n).to_owned()]).unwrap_or_default()
        }
        "typed_parameter" => named(node).first().map(|n| vec![file.slice(*n).to_owned()]).unwrap_or_default(),
        _ => named(node).into_iter().flat_map(|n| names(file, n)).collect(),
    }
}

fn call<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let Some(called) = node.child_by_field_name("function") else {
        return file.code(node, CodeKind::Other(file.children(node)));
    };
    let (on, name) = match called.kind() {
        "attribute" => {
            let attribute = called.child_by_field_name("attribute").map(|a| file.slice(a)).unwrap_or_default();
            (file.field(called, "object"), attribute.to_owned())
        }
        "identifier" => (None, file.slice(called).to_owned()),
        _ => (Some(lower(file, called)), String::new()),
    };
    let mut arguments = vec![];
    if let Some(given) = node.child_by_field_name("arguments") {
        for argument in named(given) {
            if argument.kind() == "keyword_argument" {
                let name = argument.child_by_field_name("name").map(|n| file.slice(n).to_owned());
                arguments.push((name, file.field_or_nothing(argument, "value")));
            } else {
                arguments.push((None, lower(file, argument)));
            }
        }
    }
    file.code(node, CodeKind::Call(Box::new(Call { on, name, arguments })))
}

/// `with f() as x:` is a call with a block.
fn with<'t>(file: File<'t>, node: Node<'t>) -> Code<'t> {
    let mut items = vec![];
    for clause in named(node).into_iter().filter(|n| n.kind() == "with_clause") {
        items.extend(named(clause).into_iter().filter_map(|i| i.child_by_field_name("value")));
    }
    let mut body = file.field_or_nothing(node, "body");
    for item in items.into_iter().rev() {
        let pattern = item.kind() == "as_pattern";
        let alias = item.child_by_field_name("alias").map(|a| vec![file.slice(a).to_owned()]).unwrap_or_default();
        let value = if pattern { named(item).first().map(|v| lower(file, *v)) } else { Some(lower(file, item)) };
        let Some(mut value) = value else { continue };
        let block = Rc::new(Function { parameters: alias, body });
        if let CodeKind::Call(call) = &mut value.kind {
            let block = file.code(node, CodeKind::Function(block));
            call.arguments.push((None, block));
            body = value;
        } else {
            let inner = file.code(
                node,
                CodeKind::Call(Box::new(Call {
                    on: Some(value),
                    name: "with".into(),
                    arguments: vec![(None, file.code(node, CodeKind::Function(block)))],
                })),
            );
            body = inner;
        }
    }
    body
}
