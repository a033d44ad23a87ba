//! Strongly connected parts of a small graph.

use std::collections::{BTreeMap, BTreeSet};

/// Who imports whom, and what of it.
pub type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The parts of more than one node in which each reaches each.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|from| (from.as_str(), reach(graph, from))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (&from, to) in &reached {
        let circle: Vec<&str> = to
            .iter()
            .copied()
            .filter(|&other| other != from && reached.get(other).is_some_and(|r| r.contains(from)))
            .collect();
        if !circle.is_empty() && seen.insert(from) {
            seen.extend(&circle);
            let mut circle: Vec<String> = circle.into_iter().chain([from]).map(str::to_owned).collect();
            circle.sort();
            found.push(circle);
        }
    }
    found
}

fn reach<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = graph.get(from).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            open.extend(graph.get(node).into_iter().flat_map(BTreeMap::keys).map(String::as_str));
        }
    }
    seen
}

/// The imports between members of a circle, one a line.
pub fn told(circle: &[String], graph: &Graph) -> String {
    let inside = |to: &str| circle.iter().any(|member| member == to);
    circle
        .iter()
        .flat_map(|from| graph[from].iter().map(move |(to, names)| (from, to, names)))
        .filter(|(_, to, _)| inside(to))
        .map(|(from, to, names)| {
            format!("  {from} -> {to} ({})\n", names.iter().cloned().collect::<Vec<_>>().join(", "))
        })
        .collect()
}
