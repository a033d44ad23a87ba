//! Which file of a crate imports which, from their texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::graph::Graph;

/// `crate::judge::ast` as `["judge", "ast"]`; the crate itself is empty.
pub type Module = Vec<String>;

/// A crate's files by their modules.
pub struct Crate(BTreeMap<Module, File>);

/// What a file says of itself and of others.
#[derive(Default)]
struct File {
    /// Its modules in files of their own.
    children: BTreeSet<String>,
    /// Those that are compiled for tests alone.
    tests: BTreeSet<String>,
    /// What it defines.
    items: BTreeSet<String>,
    /// What it calls by another module's name: its own name for it, and the path.
    names: Vec<(String, Vec<String>)>,
    /// Paths that it writes out.
    paths: BTreeSet<Vec<String>>,
    /// Paths that it hands on with `pub use`, which are no import of its own.
    handed_on: BTreeSet<Vec<String>>,
}

impl Crate {
    /// All files below `src`, but for those of tests.
    pub fn read(src: &Path) -> Self {
        let mut texts = vec![];
        collect(src, &mut Vec::new(), &mut texts);
        Self::of(texts)
    }

    /// Modules and their texts.
    pub fn of(texts: Vec<(Module, String)>) -> Self {
        let mut files: BTreeMap<Module, File> =
            texts.into_iter().map(|(module, text)| (module, File::read(&tokens(&text)))).collect();
        let tests: Vec<Module> =
            files.iter().flat_map(|(module, file)| file.tests.iter().map(|test| child(module, test))).collect();
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        files.remove(["main".to_owned()].as_slice());
        Self(files)
    }

    /// The imports between files.
    pub fn imports(&self) -> Graph {
        let mut graph = Graph::new();
        for (module, file) in &self.0 {
            let to = graph.entry(name(module)).or_default();
            for path in file.paths.difference(&file.handed_on) {
                if let Some((other, what)) = self.resolve(module, path, 0).filter(|(other, _)| other != module) {
                    to.entry(name(&other)).or_default().insert(what);
                }
            }
        }
        graph
    }

    /// The imports between the modules of each directory, everything below a module taken together.
    pub fn modules(&self, files: &Graph) -> Vec<Graph> {
        let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
        for (from, imports) in files {
            for (to, names) in imports {
                let (a, b): (Vec<&str>, Vec<&str>) = (from.split("::").collect(), to.split("::").collect());
                let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
                // a parent and its child are files: looked at as such
                if common < a.len() && common < b.len() {
                    let names = names.iter().map(|name| format!("{from}: {}::{name}", b[common..].join("::")));
                    let graph = graphs.entry(a[..common].join("::")).or_default();
                    graph.entry(b[..=common].join("::")).or_default();
                    graph
                        .entry(a[..=common].join("::"))
                        .or_default()
                        .entry(b[..=common].join("::"))
                        .or_default()
                        .extend(names);
                }
            }
        }
        graphs.into_values().collect()
    }

    /// The file that defines what a path in `module` names, and the name.
    fn resolve(&self, module: &Module, path: &[String], depth: usize) -> Option<(Module, String)> {
        let mut at = module.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => (at, rest) = (Vec::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            Some("super") => {}
            Some(first) if self.0[module].children.contains(first) => {}
            // another crate, or a name that a `use` brought in: that counts already
            _ => return None,
        }
        while rest.first().is_some_and(|first| first == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        while let Some(below) = rest.first().map(|first| child(&at, first)).filter(|below| self.0.contains_key(below)) {
            (at, rest) = (below, &rest[1..]);
        }
        let Some(first) = rest.first() else { return Some((at, "self".to_owned())) };
        let file = &self.0[&at];
        if depth > 8 || file.items.contains(first) {
            return Some((at, first.clone()));
        }
        let further = file.names.iter().filter(|(name, _)| name == first || name == "*").find_map(|(name, path)| {
            let mut path = path.clone();
            if name == "*" {
                path.push(first.clone());
            } else {
                path.extend_from_slice(&rest[1..]);
            }
            self.resolve(&at, &path, depth + 1).filter(|(to, _)| name != "*" || self.0[to].items.contains(first))
        });
        further.or(Some((at, first.clone())))
    }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn name(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

fn collect(directory: &Path, module: &mut Module, texts: &mut Vec<(Module, String)>) {
    for entry in fs::read_dir(directory).expect("a directory of sources").map(|entry| entry.expect("an entry").path()) {
        let stem = entry.file_stem().expect("a name").to_str().expect("a name in UTF-8").to_owned();
        if entry.is_dir() {
            module.push(stem);
            collect(&entry, module, texts);
            module.pop();
        } else if entry.extension().is_some_and(|end| end == "rs") {
            let own = if ["lib", "mod"].contains(&stem.as_str()) { module.clone() } else { child(module, &stem) };
            texts.push((own, fs::read_to_string(&entry).expect("a source")));
        }
    }
}

impl File {
    fn read(tokens: &[String]) -> Self {
        let mut file = Self::default();
        let mut at = 0;
        let mut depth = 0;
        while at < tokens.len() {
            let here = |offset: usize| tokens.get(at + offset).map_or("", String::as_str);
            match here(0) {
                "#" if tokens[at + 1..].starts_with(&["[", "cfg", "(", "test", ")", "]"].map(str::to_owned)) => {
                    let item = at + 7;
                    at = end_of_item(tokens, item);
                    if tokens[item..at].iter().any(|t| t == "mod") && tokens[at - 1] == ";" {
                        file.tests.insert(tokens[at - 2].clone());
                    }
                    continue;
                }
                "mod" if here(2) == ";" => drop(file.children.insert(here(1).to_owned())),
                // not `impl Trait + use<'a>`
                "use" if here(1) != "<" => {
                    let end = at + tokens[at..].iter().position(|t| t == ";").expect("the end of a use");
                    let public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                    for (name, path) in tree(&tokens[at + 1..end], &[]) {
                        if public {
                            file.handed_on.insert(path.clone());
                        }
                        file.paths.insert(path.clone());
                        file.names.push((name, path));
                    }
                    at = end;
                }
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" if depth == 0 => {
                    file.items.insert(here(1 + usize::from(here(1) == "mut")).to_owned());
                }
                "{" => depth += 1,
                "}" => depth -= 1,
                first if is_name(first) && here(1) == "::" && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![first.to_owned()];
                    let mut next = 1;
                    while here(next) == "::" && is_name(here(next + 1)) {
                        path.push(here(next + 1).to_owned());
                        next += 2;
                    }
                    file.paths.insert(path);
                }
                _ => {}
            }
            at += 1;
        }
        file
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Behind the item that begins at `at`, attributes of its own included.
fn end_of_item(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || token == "}") {
            return index + 1;
        }
    }
    tokens.len()
}

/// The names and paths of a tree as in `use a::{b, c as d, e::*}`.
fn tree(tokens: &[String], before: &[String]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => {}
            "*" => {
                found.push(("*".to_owned(), path));
                return found;
            }
            "as" => {
                found.push((tokens[at + 1].clone(), path));
                return found;
            }
            "{" => {
                let inner = &tokens[at + 1..tokens.len() - 1];
                let (mut start, mut depth) = (0, 0);
                for (index, token) in inner.iter().enumerate() {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        "," if depth == 0 => {
                            found.extend(tree(&inner[start..index], &path));
                            start = index + 1;
                        }
                        _ => {}
                    }
                }
                if start < inner.len() {
                    found.extend(tree(&inner[start..], &path));
                }
                return found;
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    found.push((path.last().cloned().unwrap_or_default(), path));
    found
}

/// Names and signs; comments, literals and lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => at = line_end(&chars, at),
            '/' if next == '*' => at = block_end(&chars, at),
            '"' => at = string_end(&chars, at),
            '\'' if next == '\\' => at = 3 + at + chars[at + 3..].iter().position(|c| *c == '\'').expect("a quote"),
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 2,
            '\'' => at += chars[at + 1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count(),
            c if c.is_alphabetic() || c == '_' => {
                let start = at;
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if word.ends_with('r') && word.len() < 3 && chars.get(at + hashes) == Some(&'"') {
                    at = raw_end(&chars, at + hashes, hashes);
                } else {
                    found.push(word);
                    continue;
                }
            }
            ':' if next == ':' => {
                found.push("::".to_owned());
                at += 1;
            }
            c if c.is_whitespace() => {}
            c => found.push(c.to_string()),
        }
        at += 1;
    }
    found
}

fn line_end(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().position(|c| *c == '\n').unwrap_or(chars.len() - at)
}

/// The last sign of a comment, which may hold others.
fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 1;
        if depth == 0 {
            return at;
        }
        at += 1;
    }
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while chars[at] != '"' {
        at += 1 + usize::from(chars[at] == '\\');
    }
    at
}

fn raw_end(chars: &[char], mut at: usize, hashes: usize) -> usize {
    loop {
        at += 1;
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return at + hashes;
        }
    }
}
