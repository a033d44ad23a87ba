//! Layers: no file and no module imports what, by however many steps, imports it.
//!
//! Read from the text of the sources, without their tests. What a parent hands on with `pub use` is no import of its own, and
//! who takes it from there imports the child that defines it.

mod graph;
mod imports;

use std::path::Path;

use graph::{Graph, circles, told};
use imports::Crate;

/// Imports that close a circle, and why that may be: crate, who imports, what.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("pg_extension", "pg::compound", "pg::render", "recursion: types consist of types"),
    ("pg_extension", "capture::ahead", "capture::record", "recursion: a row's event may need an earlier row's first"),
    ("pg_extension", "pg::entry", "append", "what the server calls: stands above all"),
    ("pg_extension", "pg::entry", "batch", "what the server calls: stands above all"),
    ("pg_extension", "pg::entry", "capture", "what the server calls: stands above all"),
];

#[test]
fn nothing_imports_what_imports_it() {
    let mut wrong = Vec::new();
    for (name, source) in
        [("migrator", "src"), ("mysql", "mysql/src"), ("sql", "sql/src"), ("pg_extension", "../pg_extension/src")]
    {
        let source = Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
        let all = source.imports();
        let mut files = all.clone();
        for (_, from, to, _) in KNOWN.iter().filter(|(of, ..)| *of == name) {
            if files.get_mut(*from).and_then(|imports| imports.remove(*to)).is_none() {
                wrong.push(format!("{name}: {from} does not import {to} any more: take it off the list"));
            }
        }
        let modules = source.modules(&files);
        println!(
            "{name}: {} files with {} imports, {} modules with {}; {} known to close a circle",
            all.len(),
            edges(&all),
            modules.iter().map(Graph::len).sum::<usize>(),
            modules.iter().map(edges).sum::<usize>(),
            edges(&all) - edges(&files),
        );
        wrong.extend(circles(&files).iter().map(|circle| format!("{name}, files:\n{}", told(circle, &files))));
        for graph in &modules {
            wrong.extend(circles(graph).iter().map(|circle| format!("{name}, modules:\n{}", told(circle, graph))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn edges(graph: &Graph) -> usize {
    graph.values().map(|to| to.len()).sum()
}

#[test]
fn a_circle_is_found_through_what_is_handed_on_and_not_in_tests_and_texts() {
    let file = |module: &str, text: &str| {
        (module.split("::").filter(|m| !m.is_empty()).map(str::to_owned).collect(), text.to_owned())
    };
    let files = Crate::of(vec![
        file("", "mod a; mod b; mod c; pub use a::Made;"),
        file("a", "mod below; pub use below::Made; use crate::b; #[cfg(test)] mod tests { use crate::c; }"),
        file("a::below", "use super::super::c::sum; pub struct Made<'a>(&'a str); // use crate::b;"),
        file("b", "pub fn two() { let _ = \"crate::a\"; crate::c::sum() }"),
        file("c", "#[cfg(test)] mod tests; use crate::{Made, c::own}; pub fn sum() {}"),
        file("c::tests", "use crate::b;"),
    ]);
    let imports = files.imports();
    assert_eq!(circles(&imports), [["a::below", "c"]]);
    let modules: Vec<_> = files.modules(&imports).iter().flat_map(circles).collect();
    assert_eq!(modules, [["a", "b", "c"]], "a imports b, b c, and c what lies in a");
}
