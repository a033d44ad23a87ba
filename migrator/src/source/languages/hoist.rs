//! What a file defines, wherever it stands, before it is walked.

use std::rc::Rc;

use super::calls;
use super::code::{Code, CodeKind, Function, Part};
use super::direction::goes_back;

/// Where an expression stands in the text.
pub fn place(text: &str, code: &Code<'_>) -> usize {
    (code.written.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize)
}

/// What a file defines, wherever it stands.
#[derive(Default)]
pub struct Hoisted<'t> {
    /// Functions by name, in their order.
    pub functions: Vec<(String, Rc<Function<'t>>)>,
    /// Texts that make triggers or functions: where, and their rows.
    pub literals: Vec<(usize, usize)>,
    /// Whether it is a migration, though no function of it says so.
    pub migrates: bool,
}

/// Looks through the whole of it.
pub fn hoist<'t>(code: &Code<'t>, text: &str, into: &mut Hoisted<'t>) {
    match &code.kind {
        CodeKind::Define(name, function) => {
            into.functions.push((name.clone(), function.clone()));
            if !goes_back(name) {
                hoist(&function.body, text, into);
            }
        }
        CodeKind::Function(function) => hoist(&function.body, text, into),
        CodeKind::Map(entries) => {
            for (key, value) in entries {
                match (key, &value.kind) {
                    (Some(key), CodeKind::Function(function)) => {
                        into.functions.push((key.clone(), function.clone()));
                        if !goes_back(key) {
                            hoist(&function.body, text, into);
                        }
                    }
                    (Some(key), _) if goes_back(key) => {}
                    _ => hoist(value, text, into),
                }
            }
        }
        CodeKind::Text(parts) => {
            let known: String = parts
                .iter()
                .filter_map(|p| if let Part::Known(known) = p { Some(known.as_str()) } else { None })
                .collect();
            if calls::makes_programs(&known) {
                into.literals.push((place(text, code), code.row));
            }
            for part in parts {
                if let Part::Put(inner) = part {
                    hoist(inner, text, into);
                }
            }
        }
        CodeKind::Join(inside) | CodeKind::List(inside) | CodeKind::Other(inside) => {
            inside.iter().for_each(|c| hoist(c, text, into));
        }
        // a text that stands alone describes something
        CodeKind::Block(inside) | CodeKind::Class(inside) => {
            for one in inside.iter().filter(|c| !matches!(c.kind, CodeKind::Text(_))) {
                hoist(one, text, into);
            }
        }
        CodeKind::Call(call) => {
            into.migrates |= matches!(call.name.as_str(), "RunSQL" | "RunPython" | "up" | "change");
            into.migrates |= call.on.as_ref().is_some_and(|on| on.written == "Sequel") && call.name == "migration";
            call.on.iter().for_each(|on| hoist(on, text, into));
            let back = goes_back(&call.name);
            for (n, (name, argument)) in call.arguments.iter().enumerate() {
                let reverse =
                    name.as_deref().is_some_and(goes_back) || call.name == "RunSQL" && name.is_none() && n > 0;
                let block = back && matches!(argument.kind, CodeKind::Function(_));
                if !reverse && !block {
                    hoist(argument, text, into);
                }
            }
        }
        CodeKind::Assign { value, .. } | CodeKind::Return(value) => hoist(value, text, into),
        CodeKind::If { then, otherwise, .. } => {
            hoist(then, text, into);
            otherwise.iter().for_each(|o| hoist(o, text, into));
        }
        CodeKind::Each { over, body, .. } => {
            over.iter().for_each(|o| hoist(o, text, into));
            hoist(body, text, into);
        }
        CodeKind::Name(_) => {}
    }
}
