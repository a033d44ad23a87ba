//! One schema on a server: scanned, planned, applied, verified, changed, rolled back.

use std::fs;
use std::process::Stdio;

use domain_events_tests::{Db, Engine};
use serde_json::{Value, json};

use super::{Schema, offline};
use crate::Legacy;

/// What was found, in the form of the golden file.
pub struct Made {
    pub golden: Value,
    pub failures: Vec<String>,
    pub false_ported: usize,
}

/// Event tables of the plan, and their streams whose versions are not 1, 2, 3 ..
const BROKEN: &str = "
    select coalesce(sum((xpath('/row/broken/text()', query_to_xml(format(
             'select count(*) as broken from (select from %s group by %s having min(%I) <> 1 or max(%3$I) <> count(*)) s',
             event_table, (select string_agg(quote_ident(c), ', ') from unnest(stream_columns) as c), version_column),
             false, true, '')))[1]::text::int), 0)
      from domain_events.event_tables";

const EVENTS: &str = "
    select coalesce(sum((xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %s', event_table),
             false, true, '')))[1]::text::int), 0)
      from domain_events.event_tables";

pub fn ported(schema: &Schema, engine: Engine) -> Made {
    let db = Db::new(engine);
    let role = schema.text.contains("{role}").then(|| db.role("other"));
    let own = |text: &str| role.iter().fold(text.to_owned(), |t, r| t.replace("{role}", r));
    load(&db, &own(&schema.text));
    let legacy = Legacy::of(&db, "");
    let mut made = Made { golden: json!({}), failures: vec![], false_ported: 0 };
    let before = legacy.definitions();
    made.golden["findings"] = json!(legacy.scan());
    if engine == Engine::Portable {
        made.failures.extend(offline::same_from_a_dump(&db, &made.golden["findings"]));
    }
    let plan = legacy.cli(&["plan", "--format", "json", "--out", legacy.file()]);
    let statements = plan.json()["steps"].as_array().map_or(0, Vec::len);
    if statements == 0 {
        if schema.must("port") {
            made.failures.push(format!("the plan is empty: {plan:?}"));
        }
    } else {
        apply_and_back(&legacy, schema, &own, &mut made);
        if legacy.definitions() != before {
            made.failures.push(format!("rollback left\n{}\ninstead of\n{before}", legacy.definitions()));
        }
    }
    if let Some(role) = &role {
        let text = made.golden.to_string().replace(role, "{role}");
        made.golden = serde_json::from_str(&text).expect("JSON");
    }
    made
}

fn apply_and_back(legacy: &Legacy<'_>, schema: &Schema, own: &impl Fn(&str) -> String, made: &mut Made) {
    let before = legacy.definitions();
    legacy.apply().expect(0);
    let after = legacy.definitions();
    // a shim leaves everything as it is
    if let Some(gone) = before.lines().find(|l| !after.lines().any(|a| a == *l)) {
        made.failures.push(format!("after apply there is no more\n{gone}"));
    }
    let run = legacy.cli(&["verify", "--format", "json"]);
    let checks = run.json();
    made.golden["checks"] = checks["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let keys = ["trigger", "table", "strategy", "verdict", "declared", "differences"];
            keys.iter().map(|k| ((*k).to_owned(), c[*k].clone())).collect::<serde_json::Map<_, _>>()
        })
        .collect();
    let mut admin = legacy.db.admin();
    let changes = schema.lines("change");
    if changes.is_empty() {
        made.failures.push("a schema that is ported needs a `-- change:`".into());
    }
    for change in changes {
        let events = admin.number(EVENTS);
        for _ in 0..2 {
            if let Err(failure) = legacy.db.owner().attempt(&own(change)) {
                made.failures.push(format!("{change}: {failure}"));
                made.false_ported += 1;
            }
        }
        if admin.number(EVENTS) <= events {
            made.failures.push(format!("{change}: writes no event"));
        }
    }
    if admin.number(BROKEN) > 0 {
        made.failures.push("a stream is not numbered 1, 2, 3 ..".into());
        made.false_ported += 1;
    }
    // after events were written
    legacy.rollback().expect(0);
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
}

/// Runs the sections of a schema, each as the one it names.
fn load(db: &Db, text: &str) {
    let (mut superuser, mut section) = (false, String::new());
    for line in text.lines().chain(["-- as owner"]) {
        if let Some(who) = line.strip_prefix("-- as ") {
            let mut session = if superuser { db.admin() } else { db.owner() };
            session.run(&section);
            superuser = who == "superuser";
            section.clear();
        }
        section.push_str(line);
        section.push('\n');
    }
}

/// The schema as pg_dump writes it, without the store.
pub fn dump(db: &Db) -> String {
    let out = db
        .client_program("pg_dump", "postgres")
        .args(["--schema-only", "--exclude-schema=domain_events"])
        .stdin(Stdio::null())
        .output()
        .expect("pg_dump");
    assert!(out.status.success(), "pg_dump: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// A file that is gone with the value.
pub struct Temporary(pub std::path::PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
