//! Legacy schemas of many kinds: what scan must say of each, and that what it ports is proven, counts right under real
//! changes, and can be taken back afterwards.
//!
//! tests/corpus/NAME.sql begins with the truth, written by hand: `-- must: port|refuse|ignore ..`, `-- source: ..` with the
//! version source of every statement that writes an event, and `-- change: SQL` to run twice once it is ported, and
//! `-- unverified: why` where no replay can prove it. A line
//! `-- as superuser` or `-- as owner` says who runs what follows; `{role}` is a role of its own. NAME.json holds every finding
//! and every check to the letter; CORPUS=write makes these files anew, for a person to review. A directory is a folder of
//! migrations, and `-- offline` a file that no server would take: both are only judged from the files.

mod offline;
mod ported;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, thread};

use domain_events_tests::{Engine, repository};
use serde_json::{Value, json};

#[test]
fn portable() {
    corpus(Engine::Portable);
}

#[test]
fn native() {
    corpus(Engine::Native);
}

/// A schema with its truth.
pub struct Schema {
    name: String,
    path: PathBuf,
    text: String,
}

/// What came of one.
#[derive(Default)]
struct Outcome {
    found: usize,
    right: usize,
    wanted: usize,
    strategies: String,
    verified: String,
    false_ported: usize,
    failures: Vec<String>,
}

impl Schema {
    fn all() -> Vec<Schema> {
        let entries = fs::read_dir(repository().join("tests/corpus")).expect("tests/corpus");
        let mut all: Vec<Schema> = entries.filter_map(|e| Schema::read(&e.expect("an entry").path())).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn read(path: &Path) -> Option<Schema> {
        let truth = if path.is_dir() { path.join("truth") } else { path.to_owned() };
        if !path.is_dir() && path.extension().is_none_or(|e| e != "sql") {
            return None;
        }
        Some(Schema {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            path: path.to_owned(),
            text: fs::read_to_string(truth).expect("a schema"),
        })
    }

    /// The words after a key in the head.
    fn truth(&self, key: &str) -> Vec<&str> {
        self.lines(key).into_iter().flat_map(str::split_whitespace).collect()
    }

    fn lines(&self, key: &str) -> Vec<&str> {
        let head = format!("-- {key}:");
        self.text.lines().filter_map(|l| l.strip_prefix(&head)).map(str::trim).collect()
    }

    fn must(&self, what: &str) -> bool {
        self.truth("must").contains(&what)
    }

    fn only_offline(&self) -> bool {
        self.path.is_dir() || self.text.lines().any(|l| l == "-- offline")
    }

    fn golden(&self) -> PathBuf {
        self.path.with_extension("json")
    }
}

fn corpus(engine: Engine) {
    // the judge is the same on both engines; what it lets be ported is ported on both
    let schemas: Vec<Schema> = Schema::all()
        .into_iter()
        .filter(|s| engine == Engine::Portable || s.must("port") && !s.only_offline())
        .collect();
    let (next, outcomes) = (Mutex::new(schemas.iter()), Mutex::new(BTreeMap::new()));
    // a schema waits for the command line and the server in turn: two at a time per processor keep both busy
    let workers = thread::available_parallelism().map_or(2, |n| 2 * n.get());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(schema) = next.lock().expect("the list").next() else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| judged(schema, engine))).unwrap_or_else(|panic| {
                        let why = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into());
                        Outcome { failures: vec![why], ..Outcome::default() }
                    });
                    outcomes.lock().expect("the outcomes").insert(&schema.name, outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("the outcomes");
    print(engine, &outcomes);
    let failures: Vec<String> =
        outcomes.iter().flat_map(|(name, o)| o.failures.iter().map(move |f| format!("{name}: {f}"))).collect();
    assert!(failures.is_empty(), "{} failures\n\n{}", failures.len(), failures.join("\n\n"));
}

fn print(engine: Engine, outcomes: &BTreeMap<&String, Outcome>) {
    let mut table = format!(
        "\n{:52} {:>6} {:>6}  {:22} VERIFIED\n",
        format!("SCHEMA ({})", engine.name()),
        "FOUND",
        "SOURCE",
        "STRATEGY"
    );
    let mut sum = Outcome::default();
    for (name, o) in outcomes {
        let of = |n: usize| format!("{n}/{}", o.wanted);
        table += &format!("{name:52} {:>6} {:>6}  {:22} {}\n", of(o.found), of(o.right), o.strategies, o.verified);
        sum.found += o.found;
        sum.right += o.right;
        sum.wanted += o.wanted;
        sum.false_ported += o.false_ported;
    }
    let wanted = sum.wanted;
    // past the test's capture, so that `make test` shows it too
    let _ = writeln!(
        std::io::stderr(),
        "{table}{} schemas, {}/{wanted} found, {}/{wanted} with the right source, {} ported falsely",
        outcomes.len(),
        sum.found,
        sum.right,
        sum.false_ported
    );
}

/// Compares with truth and golden file.
fn judged(schema: &Schema, engine: Engine) -> Outcome {
    let made = if schema.only_offline() { offline::scanned(schema) } else { ported::ported(schema, engine) };
    let mut outcome = Outcome { failures: made.failures, false_ported: made.false_ported, ..Outcome::default() };
    let findings = made.golden["findings"].as_array().expect("findings").clone();
    compare_with_truth(schema, &findings, &made.golden, &mut outcome);
    if std::env::var("CORPUS").is_ok_and(|v| v == "write") && engine == Engine::Portable {
        let text = serde_json::to_string_pretty(&made.golden).expect("JSON");
        fs::write(schema.golden(), text + "\n").expect("the golden file");
    }
    let golden = fs::read_to_string(schema.golden()).unwrap_or_default();
    let golden: Value = serde_json::from_str(&golden).unwrap_or_default();
    if golden != made.golden {
        outcome.failures.push(format!("the golden file differs: {}", first_difference(&golden, &made.golden)));
    }
    outcome
}

fn compare_with_truth(schema: &Schema, findings: &[Value], golden: &Value, outcome: &mut Outcome) {
    let events: Vec<&Value> = findings.iter().filter(|f| f["version_source"] != "not_an_event").collect();
    let mut wanted = schema.truth("source");
    outcome.wanted = wanted.len();
    outcome.found = events.len().min(wanted.len());
    for finding in &events {
        if let Some(at) = wanted.iter().position(|w| finding["version_source"] == *w) {
            wanted.remove(at);
            outcome.right += 1;
        }
    }
    if !wanted.is_empty() || events.len() != outcome.wanted {
        outcome.failures.push(format!("the truth is {:?}, found {}", schema.truth("source"), told(findings)));
    }
    let work: Vec<&Value> = findings.iter().filter(|f| f["severity"] != "info").collect();
    let manual = work.iter().filter(|f| f["strategy"] == "manual").count();
    let said = [("port", work.len() > manual), ("refuse", manual > 0), ("ignore", work.is_empty())];
    for (what, is) in said.into_iter().filter(|(what, is)| schema.must(what) != *is) {
        outcome.failures.push(format!("must {what}: {}, is: {is}; found {}", !is, told(findings)));
    }
    if !schema.must("port") && work.len() > manual {
        outcome.false_ported += 1;
    }
    let verdicts = || golden["checks"].as_array().into_iter().flatten().map(|c| &c["verdict"]);
    if verdicts().any(|v| v == "different") {
        outcome.false_ported += 1;
        outcome.failures.push(format!("old and new differ: {:#}", golden["checks"]));
    }
    if verdicts().any(|v| v != "equal") == schema.lines("unverified").is_empty() {
        outcome.failures.push(format!("what cannot be verified must be said, with the reason: {:#}", golden["checks"]));
    }
    let words = |key: &str, list: &Value| {
        let mut all: Vec<String> =
            list.as_array().into_iter().flatten().filter_map(|f| f[key].as_str()).map(str::to_owned).collect();
        all.sort();
        all.dedup();
        if all.is_empty() { "-".into() } else { all.join(" ") }
    };
    outcome.strategies = words("strategy", &json!(work));
    outcome.verified = words("verdict", &golden["checks"]);
}

/// Findings in a line each.
fn told(findings: &[Value]) -> String {
    let line = |f: &Value| {
        let text = |key: &str| f[key].as_str().unwrap_or("-").to_owned();
        let reasons: Vec<&str> = f["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        format!(
            "\n  {} {} {} {}: {}",
            text("code"),
            f["trigger"].as_str().or(f["function"].as_str()).unwrap_or("-"),
            text("version_source"),
            text("strategy"),
            reasons.join("; ")
        )
    };
    findings.iter().map(line).collect()
}

/// Where two documents part.
fn first_difference(expected: &Value, found: &Value) -> String {
    let empty = vec![];
    for part in ["findings", "checks", "problems"] {
        let of = |v: &Value| v[part].as_array().unwrap_or(&empty).clone();
        let (expected, found) = (of(expected), of(found));
        if expected.len() != found.len() {
            return format!("{part}: {} expected, {} found {}", expected.len(), found.len(), told(&found));
        }
        if let Some((e, f)) = expected.iter().zip(&found).find(|(e, f)| e != f) {
            let keys = f.as_object().into_iter().flatten().filter(|(k, v)| e[k.as_str()] != **v);
            let differ: Vec<String> = keys.map(|(k, v)| format!("{k} is {v}, expected {}", e[k.as_str()])).collect();
            return format!("{part}: {}", differ.join("; "));
        }
    }
    "a key is missing".into()
}
