//! What stands in a file of any language, in one form: each grammar is brought into it, and all else knows this form alone.

use std::rc::Rc;

use tree_sitter::{Node, Tree};

/// A tree deeper than this is not walked.
pub const NESTING: u32 = 500;

/// An expression or a statement.
#[derive(Debug, Clone)]
pub struct Code<'t> {
    /// What it is.
    pub kind: CodeKind<'t>,
    /// Its row in the file, from 0.
    pub row: usize,
    /// As it is written.
    pub written: &'t str,
}

/// What an expression or a statement is.
#[derive(Debug, Clone)]
pub enum CodeKind<'t> {
    /// A text: literal parts, and expressions that are put between them.
    Text(Vec<Part<'t>>),
    /// Texts one after the other.
    Join(Vec<Code<'t>>),
    /// A number, `true`, `null`, or a name that is looked up.
    Name(String),
    /// A list.
    List(Vec<Code<'t>>),
    /// Keys and values; a value that is spread has no key.
    Map(Vec<(Option<String>, Code<'t>)>),
    /// A call.
    Call(Box<Call<'t>>),
    /// A function without a name.
    Function(Rc<Function<'t>>),
    /// A function with one.
    Define(String, Rc<Function<'t>>),
    /// `name = value`, `name += value`.
    Assign { to: String, value: Box<Code<'t>>, more: bool },
    /// Statements.
    Block(Vec<Code<'t>>),
    /// A branch; the second is taken where the test does not hold.
    If { test: &'t str, negated: bool, then: Box<Code<'t>>, otherwise: Option<Box<Code<'t>>> },
    /// A loop over something.
    Each { names: Vec<String>, over: Option<Box<Code<'t>>>, body: Box<Code<'t>> },
    /// What a function gives.
    Return(Box<Code<'t>>),
    /// A class with its members.
    Class(Vec<Code<'t>>),
    /// Something else: what is in it is walked.
    Other(Vec<Code<'t>>),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub enum Part<'t> {
    /// As it is.
    Known(String),
    /// Put in at run time.
    Put(Code<'t>),
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call<'t> {
    /// What it is called on.
    pub on: Option<Code<'t>>,
    /// The name of the function or method.
    pub name: String,
    /// Arguments, with their names where they are given; a block is the last of them.
    pub arguments: Vec<(Option<String>, Code<'t>)>,
}

/// A function.
#[derive(Debug)]
pub struct Function<'t> {
    /// Names of its parameters.
    pub parameters: Vec<String>,
    /// Its body.
    pub body: Code<'t>,
}

/// A file that is brought into this form.
#[derive(Clone, Copy)]
pub struct File<'t> {
    /// Its text.
    pub text: &'t str,
    /// Brings a node of its language into this form.
    pub lower: fn(File<'t>, Node<'t>) -> Code<'t>,
    /// Texts that begin elsewhere than they stand: heredocs, by where each begins.
    pub elsewhere: &'t [(usize, Node<'t>)],
}

impl<'t> File<'t> {
    /// The text of a node.
    pub fn slice(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// A node's field in the common form.
    pub fn field(&self, node: Node<'t>, name: &str) -> Option<Code<'t>> {
        node.child_by_field_name(name).map(|n| (self.lower)(*self, n))
    }

    /// A node's field, or nothing where it is missing.
    pub fn field_or_nothing(&self, node: Node<'t>, name: &str) -> Code<'t> {
        self.field(node, name).unwrap_or_else(|| self.code(node, CodeKind::Block(vec![])))
    }

    /// A node's named children in the common form.
    pub fn children(&self, node: Node<'t>) -> Vec<Code<'t>> {
        named(node).into_iter().map(|n| (self.lower)(*self, n)).collect()
    }

    /// What is known of a node.
    pub fn code(&self, node: Node<'_>, kind: CodeKind<'t>) -> Code<'t> {
        Code { kind, row: node.start_position().row, written: self.slice(node) }
    }

    /// The text of a string's parts: literal ones, escapes, and what is put between.
    pub fn parts(
        &self,
        node: Node<'t>,
        range: std::ops::Range<usize>,
        unescape: &dyn Fn(&str) -> String,
        put: &dyn Fn(Node<'t>) -> Option<Node<'t>>,
    ) -> Code<'t> {
        let (mut parts, mut known, mut at) = (vec![], String::new(), range.start);
        for child in all(node) {
            let inside = child.byte_range();
            if inside.start < range.start || inside.end > range.end {
                continue;
            }
            known.push_str(self.text.get(at..inside.start).unwrap_or_default());
            at = inside.end;
            match child.kind() {
                "escape_sequence" => known.push_str(&unescape(self.slice(child))),
                "string_content" | "string_fragment" | "heredoc_content" => {
                    let mut from = inside.start;
                    for escape in all(child).into_iter().filter(|c| c.kind() == "escape_sequence") {
                        known.push_str(self.text.get(from..escape.start_byte()).unwrap_or_default());
                        known.push_str(&unescape(self.slice(escape)));
                        from = escape.end_byte();
                    }
                    known.push_str(self.text.get(from..inside.end).unwrap_or_default());
                }
                _ => match put(child) {
                    Some(inner) => {
                        parts.push(Part::Known(std::mem::take(&mut known)));
                        parts.push(Part::Put((self.lower)(*self, inner)));
                    }
                    None if child.is_named() => known.push_str(self.slice(child)),
                    None => {}
                },
            }
        }
        known.push_str(self.text.get(at..range.end).unwrap_or_default());
        parts.push(Part::Known(known));
        self.code(node, CodeKind::Text(parts))
    }
}

/// Whether a tree is deeper than that.
pub fn deeper_than(tree: &Tree, limit: u32) -> bool {
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

/// All children of a node.
pub fn all(node: Node<'_>) -> Vec<Node<'_>> {
    node.children(&mut node.walk()).collect()
}

/// Its children that are no signs and no comments.
pub fn named(node: Node<'_>) -> Vec<Node<'_>> {
    node.named_children(&mut node.walk()).filter(|n| !n.is_extra() || n.kind().starts_with("heredoc")).collect()
}

/// The signs that most languages write with a backslash.
pub fn unescape(escape: &str) -> String {
    let mut chars = escape.chars().skip(1);
    let second = chars.next().unwrap_or('\\');
    let rest: String = chars.collect();
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).map(String::from);
    let known = match second {
        'n' => Some("\n".into()),
        't' => Some("\t".into()),
        'r' => Some("\r".into()),
        'v' => Some("\u{b}".into()),
        'e' => Some("\u{1b}".into()),
        'f' => Some("\u{c}".into()),
        'b' => Some("\u{8}".into()),
        's' => Some(" ".into()),
        '\n' => Some(String::new()),
        'x' => code(&rest, 16),
        'u' => code(rest.trim_matches(['{', '}']), 16),
        '0'..='7' => code(&escape[1..], 8),
        c if !c.is_alphanumeric() => Some(c.to_string()),
        _ => None,
    };
    known.unwrap_or_else(|| escape.to_owned())
}

impl Code<'_> {
    /// The one statement of a block, or the block.
    pub fn flat(mut self: Box<Self>) -> Box<Self> {
        if let CodeKind::Block(inside) = &mut self.kind
            && inside.len() == 1
        {
            return Box::new(inside.swap_remove(0));
        }
        self
    }
}
