//! What PHP expressions are worth, as far as literals tell.

use std::collections::HashMap;

use tree_sitter::Node;

/// A text with what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The known parts.
    pub known: String,
    /// The first part that is not known, as written.
    pub unknown: Option<String>,
    /// The row in which its first literal begins, from 0.
    pub line: Option<usize>,
}

/// Variables (`$x`), properties (`$this->x`) and constants (`self::X`) with texts.
#[derive(Debug, Clone, Default)]
pub struct Values(HashMap<String, Text>);

impl Values {
    /// Takes `const X = '..'` and `private $x = '..'`.
    pub fn declare(&mut self, node: Node<'_>, source: &str) {
        for element in super::children(node) {
            let parts: Vec<Node<'_>> = super::children(element).into_iter().filter(Node::is_named).collect();
            let (Some(name), Some(value)) = (parts.first(), parts.last()) else { continue };
            let prefix = match element.kind() {
                "const_element" => "self::",
                "property_element" => "$this->",
                _ => continue,
            };
            if parts.len() > 1 {
                let name = slice(*name, source).trim_start_matches('$');
                let text = self.text(*value, source);
                self.0.insert(format!("{prefix}{name}"), text);
            }
        }
    }

    /// Follows `$x = ..`.
    pub fn assign(&mut self, node: Node<'_>, source: &str) {
        let (Some(left), Some(right)) = (node.child_by_field_name("left"), node.child_by_field_name("right")) else {
            return;
        };
        let text = self.text(right, source);
        self.0.insert(name(left, source), text);
    }

    /// Follows `$x .= ..`.
    pub fn append(&mut self, node: Node<'_>, source: &str) {
        let (Some(left), Some(right)) = (node.child_by_field_name("left"), node.child_by_field_name("right")) else {
            return;
        };
        let mut text = self.text(left, source);
        if node.child_by_field_name("operator").is_some_and(|o| slice(o, source) == ".=") {
            text.push(self.text(right, source));
        } else {
            text.unknown = Some(slice(node, source).to_owned());
        }
        self.0.insert(name(left, source), text);
    }

    /// Forgets the variables of a `foreach`.
    pub fn forget(&mut self, node: Node<'_>, source: &str) {
        super::find(node, &mut |inner| {
            if inner.kind() == "variable_name"
                && inner.parent().is_some_and(|p| matches!(p.kind(), "foreach_statement" | "pair" | "list_literal"))
            {
                self.0.remove(slice(inner, source));
            }
            inner.kind() != "compound_statement"
        });
    }

    /// What an expression is worth.
    pub fn text(&self, node: Node<'_>, source: &str) -> Text {
        match node.kind() {
            "string" => pieces(self, node, source, Quotes::Single),
            "encapsed_string" => pieces(self, node, source, Quotes::Double),
            "heredoc" | "nowdoc" => {
                let quotes = if node.kind() == "nowdoc" { Quotes::Nowdoc } else { Quotes::Heredoc };
                match node.child_by_field_name("value") {
                    Some(body) => pieces(self, body, source, quotes),
                    None => Text::default(),
                }
            }
            "integer" | "float" => Text { known: slice(node, source).to_owned(), ..Text::default() },
            "parenthesized_expression" => match super::children(node).into_iter().find(Node::is_named) {
                Some(inner) => self.text(inner, source),
                None => unknown(node, source),
            },
            "binary_expression" if node.child_by_field_name("operator").is_some_and(|o| slice(o, source) == ".") => {
                let mut text = Text::default();
                for side in ["left", "right"] {
                    if let Some(side) = node.child_by_field_name(side) {
                        text.push(self.text(side, source));
                    }
                }
                text
            }
            "variable_name"
            | "member_access_expression"
            | "class_constant_access_expression"
            | "dynamic_variable_name" => {
                self.0.get(&name(node, source)).cloned().unwrap_or_else(|| unknown(node, source))
            }
            _ => unknown(node, source),
        }
    }
}

impl Text {
    fn push(&mut self, other: Text) {
        self.known.push_str(&other.known);
        self.unknown = self.unknown.take().or(other.unknown);
        self.line = self.line.or(other.line);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Single,
    Double,
    Heredoc,
    Nowdoc,
}

/// The literal and interpolated pieces of a string.
fn pieces(values: &Values, node: Node<'_>, source: &str, quotes: Quotes) -> Text {
    let quoted = matches!(quotes, Quotes::Single | Quotes::Double);
    let range = node.byte_range();
    let (start, end) = if quoted { (range.start + 1, range.end.saturating_sub(1)) } else { (range.start, range.end) };
    let mut text = Text { line: Some(node.start_position().row), ..Text::default() };
    if quotes == Quotes::Nowdoc {
        text.known = source.get(start..end).unwrap_or_default().to_owned();
        return text;
    }
    let mut at = start;
    for child in super::children(node) {
        let inside = child.byte_range();
        if inside.start < start || inside.end > end {
            continue;
        }
        text.known.push_str(source.get(at..inside.start).unwrap_or_default());
        at = inside.end;
        match child.kind() {
            "string_content" => text.known.push_str(slice(child, source)),
            "escape_sequence" => text.known.push_str(&unescape(slice(child, source), quotes)),
            "{" | "}" | "${" => {}
            _ => {
                let mut part = values.text(child, source);
                part.line = None;
                text.push(part);
            }
        }
    }
    text.known.push_str(source.get(at..end).unwrap_or_default());
    text
}

fn unescape(escape: &str, quotes: Quotes) -> String {
    let mut chars = escape.chars().skip(1);
    let second = chars.next().unwrap_or('\\');
    let rest: String = chars.collect();
    if quotes == Quotes::Single {
        return match second {
            '\\' | '\'' => second.to_string(),
            _ => escape.to_owned(),
        };
    }
    match second {
        'n' => "\n".into(),
        't' => "\t".into(),
        'r' => "\r".into(),
        'v' => "\u{b}".into(),
        'e' => "\u{1b}".into(),
        'f' => "\u{c}".into(),
        '\\' | '$' => second.to_string(),
        '"' if quotes == Quotes::Double => "\"".into(),
        'x' => code(&rest, 16).unwrap_or_else(|| escape.to_owned()),
        'u' => code(rest.trim_matches(['{', '}']), 16).unwrap_or_else(|| escape.to_owned()),
        '0'..='7' => code(&escape[1..], 8).unwrap_or_else(|| escape.to_owned()),
        _ => escape.to_owned(),
    }
}

fn code(digits: &str, radix: u32) -> Option<String> {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).map(String::from)
}

/// `static::X` and `Name::X` of the own class are `self::X`.
fn name(node: Node<'_>, source: &str) -> String {
    let text = slice(node, source);
    match text.strip_prefix("static::") {
        Some(rest) => format!("self::{rest}"),
        None => text.to_owned(),
    }
}

fn unknown(node: Node<'_>, source: &str) -> Text {
    let shown: String = slice(node, source).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
    Text { known: String::new(), unknown: Some(shown), line: None }
}

fn slice<'s>(node: Node<'_>, source: &'s str) -> &'s str {
    source.get(node.byte_range()).unwrap_or_default()
}
