//! The same judge on files: a dump says what the server says.

use std::fs;

use domain_events_tests::{Db, domain_events, run};
use serde_json::{Value, json};

use super::Schema;
use super::ported::{Made, Temporary, dump};

/// Judges files alone.
pub fn scanned(schema: &Schema) -> Made {
    let path = schema.path.to_str().expect("a path");
    let run = run(domain_events().args(["scan", "--format", "json", "--from", path]));
    assert!(matches!(run.code, 0 | 3), "{run:?}");
    let said = run.json();
    let [findings, problems] = ["findings", "problems"].map(|list| {
        let mut list = said[list].clone();
        for one in list.as_array_mut().expect("a list") {
            // Where the repository lies is nobody's business.
            let name = one["file"].as_str().and_then(|file| file.rsplit('/').next()).map(str::to_owned);
            if let Some(name) = name {
                one["file"] = json!(name);
            }
        }
        list
    });
    Made { golden: json!({ "findings": findings, "problems": problems }), failures: vec![], false_ported: 0 }
}

/// What differs between the findings of the server and those of a dump of it.
pub fn same_from_a_dump(db: &Db, live: &Value) -> Option<String> {
    let file =
        Temporary(std::env::temp_dir().join(format!("domain-events-dump-{}-{}.sql", std::process::id(), db.name)));
    fs::write(&file.0, dump(db)).expect("the dump");
    let run = run(domain_events().args(["scan", "--format", "json", "--from", file.0.to_str().expect("a path")]));
    if !matches!(run.code, 0 | 3) {
        return Some(format!("from a dump: {run:?}"));
    }
    let said = run.json();
    if said["problems"] != json!([]) {
        return Some(format!("from a dump: {:#}", said["problems"]));
    }
    let of = |findings: &Value| {
        let mut all: Vec<Value> = findings.as_array().expect("findings").clone();
        // functions that came in several sections may be told of in another order
        all.sort_by_key(Value::to_string);
        all
    };
    let (live, from_dump) = (of(live), of(&said["findings"]));
    let differ: Vec<String> = live
        .iter()
        .zip(&from_dump)
        .flat_map(|(a, b)| {
            let keys = a.as_object().into_iter().flat_map(|a| a.keys());
            keys.filter(|k| a[*k] != b[*k]).map(|k| format!("{k}: {} on the server, {} from a dump", a[k], b[k]))
        })
        .collect();
    (live.len() != from_dump.len() || !differ.is_empty())
        .then(|| format!("{} findings, {} from a dump: {}", live.len(), from_dump.len(), differ.join("; ")))
}
