//! Legacy schemas of many kinds: what scan must say of each, and that what it ports is proven and can be taken back.
//!
//! Each file in tests/corpus begins with its expectations: one `-- expect: CODE VERSION_SOURCE STRATEGY EVENT_TYPE` per
//! finding, and `-- port: VERDICT ..` where it is ported.

use std::fs;

use domain_events_tests::{Db, Engine, repository};
use serde_json::Value;

use crate::Legacy;

#[test]
fn portable() {
    corpus(Engine::Portable);
}

#[test]
fn native() {
    corpus(Engine::Native);
}

fn corpus(engine: Engine) {
    let mut files: Vec<_> = fs::read_dir(repository().join("tests/corpus"))
        .expect("tests/corpus")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    let mut failures = vec![];
    println!("{:45} {:>8} {:>10} {:>10}", "SCHEMA", "FINDINGS", "PORTED", "VERIFIED");
    for file in &files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(file).expect("a schema");
        match one(engine, &text) {
            Ok((findings, ported, verified)) => println!("{name:45} {findings:>8} {ported:>10} {verified:>10}"),
            Err(why) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn expected<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines().filter_map(|l| l.strip_prefix(key)).map(str::trim).collect()
}

fn one(engine: Engine, text: &str) -> Result<(usize, usize, String), String> {
    let db = Db::new(engine);
    let legacy = Legacy::of(&db, text);
    let line = |f: &Value| {
        let text = |key: &str| f[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", text("code"), text("version_source"), text("strategy"), text("event_type"))
    };
    let findings = legacy.scan();
    let mut found: Vec<String> = findings.iter().map(line).collect();
    let mut wanted = expected(text, "-- expect:");
    found.sort();
    wanted.sort_unstable();
    if found != wanted {
        return Err(format!("expected {wanted:?}\nfound {findings:#?}"));
    }
    let verdicts: Vec<String> =
        expected(text, "-- port:").iter().flat_map(|l| l.split(' ')).map(str::to_owned).collect();
    if verdicts.is_empty() {
        return Ok((found.len(), 0, "-".into()));
    }
    let before = legacy.definitions();
    legacy.plan(&[]);
    legacy.apply().expect(0);
    let run = legacy.cli(&["verify", "--format", "json"]);
    let checks = run.json();
    let proven: Vec<&str> =
        checks["checks"].as_array().into_iter().flatten().filter_map(|c| c["verdict"].as_str()).collect();
    if proven != verdicts {
        return Err(format!("verify: expected {verdicts:?}\n{checks:#}\n{}", run.stderr));
    }
    legacy.rollback().expect(0);
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
    if legacy.definitions() != before {
        return Err(format!("rollback left\n{}\ninstead of\n{before}", legacy.definitions()));
    }
    Ok((found.len(), verdicts.len(), proven.join(" ")))
}
