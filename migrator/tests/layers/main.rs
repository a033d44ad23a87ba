//! Layers: no file and no module imports what, by however many steps, imports it.
//!
//! Read from the text of the sources, without their tests. A parent that names its children is a table of contents: what
//! it hands on with `use` counts as an import of the child that defines it.

mod graph;
mod imports;

use std::collections::BTreeSet;
use std::path::Path;

use graph::{Graph, circles};
use imports::Crate;

/// Circles that are the problem's own: recursion through several files. Crate, files, reason.
const RECURSION: &[(&str, &[&str], &str)] = &[];

#[test]
fn nothing_imports_what_imports_it() {
    let mut wrong = Vec::new();
    for (name, source) in [("migrator", "src"), ("pg_extension", "../pg_extension/src")] {
        let source = Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
        let files = source.imports();
        let found = circles(&files);
        let modules = source.modules(&files);
        let between: Vec<_> = modules.iter().flat_map(circles).collect();
        println!(
            "{name}: {} files, {} imports, {} circles; {} modules, {} imports, {} circles",
            source.files(),
            edges(&files),
            found.len(),
            modules.iter().map(Graph::len).sum::<usize>(),
            modules.iter().map(edges).sum::<usize>(),
            between.len(),
        );
        let mut listed: Vec<BTreeSet<&str>> = RECURSION
            .iter()
            .filter(|(of, ..)| *of == name)
            .map(|(_, files, _)| files.iter().copied().collect())
            .collect();
        for circle in found {
            let files: BTreeSet<&str> = circle.iter().map(String::as_str).collect();
            match listed.iter().position(|known| *known == files) {
                Some(known) => drop(listed.remove(known)),
                None => wrong.push(format!("{name}: files\n{}", graph::told(&circle, &source.imports()))),
            }
        }
        wrong.extend(listed.iter().map(|files| format!("{name}: no circle any more: {files:?}")));
        for (graph, circle) in modules.iter().flat_map(|graph| circles(graph).into_iter().map(move |c| (graph, c))) {
            wrong.push(format!("{name}: modules\n{}", graph::told(&circle, graph)));
        }
    }
    assert!(wrong.is_empty(), "{} circles:\n{}", wrong.len(), wrong.join("\n"));
}

fn edges(graph: &Graph) -> usize {
    graph.values().map(|to| to.len()).sum()
}
