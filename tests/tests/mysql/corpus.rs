//! Legacy schemas of MySQL and MariaDB: what is read of them to the letter, and that they are what they claim to be.
//!
//! tests/corpus_mysql/NAME.sql (or .php, or a folder of migrations with a file `truth`) begins with the truth, written by
//! hand: `about`, `must: port|refuse|ignore ..`, `source: ..` with the version source of every statement that writes an event,
//! `loads: yes`, or `no` with the reason, and `fault: ..` where less than the truth is found as yet. NAME.json holds what is read and every finding; CORPUS=write makes these files
//! anew, for a person to review. What loads is loaded into a real server: from there the same programs must come out.

use std::fs;
use std::path::{Path, PathBuf};

use domain_events::from_mysql::files::from_path;
use domain_events::from_mysql::server;
use domain_events_mysql::ast::{Program, ProgramKind, Target};
use domain_events_mysql::source::{Source, kind_of};
use domain_events_mysql::{ast, walk};
use domain_events_tests::domain_events;
use domain_events_tests::{MariaDb, repository};
use serde_json::{Value, json};

/// A schema with its truth.
struct Schema {
    name: String,
    path: PathBuf,
    truth: String,
}

impl Schema {
    fn all() -> Vec<Schema> {
        let entries = fs::read_dir(repository().join("tests/corpus_mysql")).expect("tests/corpus_mysql");
        let mut all: Vec<Schema> = entries.filter_map(|e| Schema::read(&e.expect("an entry").path())).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(all.len() >= 50, "{} schemas", all.len());
        all
    }

    fn read(path: &Path) -> Option<Schema> {
        if path.extension().is_some_and(|e| e == "json") {
            return None;
        }
        let truth = if path.is_dir() { path.join("truth") } else { path.to_owned() };
        Some(Schema {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            path: path.to_owned(),
            truth: fs::read_to_string(truth).expect("a schema"),
        })
    }

    /// What the command line finds.
    fn scan(&self) -> Value {
        self.scan_from(&self.path.file_name().expect("a name").to_string_lossy())
    }

    fn scan_from(&self, from: &str) -> Value {
        let mut command = domain_events();
        command.args(["scan", "--format", "json", "--from", from]);
        let out = command.current_dir(self.path.parent().expect("a directory")).output().expect("domain-events");
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|_| panic!("{}: {}", self.name, String::from_utf8_lossy(&out.stderr)))
    }

    /// What of the truth is not found.
    fn compare(&self, scan: &Value) -> Option<String> {
        let findings = scan["findings"].as_array().expect("findings");
        let mut sources: Vec<&str> = findings.iter().filter_map(|f| f["version_source"].as_str()).collect();
        sources.retain(|s| *s != "not_an_event");
        sources.sort_unstable();
        let mut wanted: Vec<&str> = self.said("source").split_whitespace().collect();
        wanted.sort_unstable();
        let work: Vec<&Value> = findings.iter().filter(|f| f["severity"] != "info").collect();
        let manual = work.iter().filter(|f| f["strategy"] == "manual").count();
        let is = [("port", work.len() > manual), ("refuse", manual > 0), ("ignore", work.is_empty())];
        let is: Vec<&str> = is.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
        let must: Vec<&str> = self.said("must").split_whitespace().collect();
        let right = sources == wanted && is == must;
        match (right, self.said("fault")) {
            (true, "") => None,
            (true, fault) => Some(format!("a fault is gone, so that its line may go: {fault}")),
            (false, "") => {
                Some(format!("the truth is {must:?} {wanted:?}, found {is:?} {sources:?}: {:#}", scan["findings"]))
            }
            (false, _) => None,
        }
    }

    fn said(&self, key: &str) -> &str {
        let head = format!("{key}: ");
        let lines = self.truth.lines().map(|l| l.trim_start_matches(['-', '/', ' ']));
        lines.filter_map(|l| l.strip_prefix(&head)).next().unwrap_or_default()
    }
}

#[test]
fn what_is_read_is_what_it_was() {
    let write = std::env::var("CORPUS").is_ok_and(|v| v == "write");
    let mut failures = vec![];
    for schema in Schema::all() {
        let scan = schema.scan();
        failures.extend(schema.compare(&scan).map(|why| format!("{}: {why}", schema.name)));
        let made = json!({ "read": read(&from_path(&schema.path).expect("files")), "scan": scan });
        let golden = schema.path.with_extension("json");
        if write {
            fs::write(&golden, serde_json::to_string_pretty(&made).expect("JSON") + "\n").expect("the golden file");
        }
        let golden: Value = serde_json::from_str(&fs::read_to_string(golden).unwrap_or_default()).unwrap_or_default();
        if golden != made {
            failures.push(format!("{}: {}", schema.name, difference("", &golden, &made)));
        }
    }
    assert!(failures.is_empty(), "{} differ from their golden files\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_loads_comes_back_from_a_real_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut failures = vec![];
    let mut loaded = 0;
    for schema in Schema::all().into_iter().filter(|s| s.path.extension().is_some_and(|e| e == "sql")) {
        let db = MariaDb::shared().database();
        let outcome = db.attempt(&schema.truth);
        match (schema.said("loads"), outcome) {
            ("yes", Ok(())) => loaded += 1,
            ("yes", Err(why)) => {
                failures.push(format!("{} does not load: {why}", schema.name));
                continue;
            }
            (said, Ok(())) => {
                failures.push(format!("{} loads, although: {said}", schema.name));
                continue;
            }
            (_, Err(_)) => continue,
        }
        let file = from_path(&schema.path).expect("a file");
        let live = runtime.block_on(server::from_url(&db.url())).expect("the database is read");
        let (file, live) = (shapes(&file), shapes(&live));
        if file != live {
            failures.push(format!(
                "{}: the file says\n  {}\nthe server\n  {}",
                schema.name,
                file.join("\n  "),
                live.join("\n  ")
            ));
        }
        let golden: Value =
            serde_json::from_str(&fs::read_to_string(schema.path.with_extension("json")).unwrap_or_default())
                .unwrap_or_default();
        let (file, live) = (judged(&golden["scan"]), judged(&schema.scan_from(&db.url())));
        if file != live {
            failures.push(format!(
                "{}: of the file is said\n  {}\nof the server\n  {}",
                schema.name,
                file.join("\n  "),
                live.join("\n  ")
            ));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    assert!(loaded >= 50, "{loaded} schemas load");
}

/// Findings as far as they do not depend on where they come from.
fn judged(scan: &Value) -> Vec<String> {
    let keys = ["code", "severity", "trigger", "function", "event_table", "event_type", "version_source", "strategy"];
    let findings = scan["findings"].as_array().expect("findings");
    let mut lines: Vec<String> = findings
        .iter()
        .map(|f| keys.iter().map(|k| f[*k].as_str().unwrap_or("-")).collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

/// A source as the golden files hold it.
fn read(source: &Source) -> Value {
    let programs: Vec<Value> = source
        .programs
        .iter()
        .map(|p| {
            let program = &p.program;
            let mut value = json!({
                "kind": kind_of(program), "name": program.name.to_string(), "file": file_name(&p.file),
                "line": program.position.line, "modes": modes(program), "statements": statements(program),
            });
            if let ProgramKind::Trigger(t) = &program.kind {
                value["on"] = json!(format!("{:?} {:?} {}", t.timing, t.events, t.table));
                value["order"] = json!(t.order.as_ref().map(|o| format!("{o:?}")));
            }
            value
        })
        .collect();
    let problems: Vec<String> = source
        .problems
        .iter()
        .map(|p| format!("{}:{}: {}: {}", file_name(&p.file), p.line, p.object.as_deref().unwrap_or("-"), p.reason))
        .collect();
    json!({
        "server": source.server.as_ref().map(|s| format!("{} {}", if s.mariadb { "MariaDB" } else { "MySQL" }, s.version)),
        "tables": source.schema.tables.iter().map(|t| format!("{} ({} columns)", t.name, t.columns.len())).collect::<Vec<_>>(),
        "programs": programs,
        "problems": problems,
        "missing": source.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn file_name(file: &str) -> String {
    Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn modes(program: &Program) -> Vec<&'static str> {
    let mode = program.sql_mode;
    [
        (mode.ansi_quotes, "ansi_quotes"),
        (mode.pipes_as_concat, "pipes_as_concat"),
        (mode.no_backslash_escapes, "no_backslash_escapes"),
        (mode.oracle, "oracle"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect()
}

/// The statements of a program in order, a line each: where, what kind, and for SQL its text as it was understood.
fn statements(program: &Program) -> Vec<String> {
    let mut lines = vec![];
    walk::statements(program, &mut |s| lines.push(format!("{} {}", s.position, told(s))));
    lines
}

fn told(statement: &ast::Statement) -> String {
    use ast::StatementKind;
    match &statement.kind {
        StatementKind::Block(b) => format!("block of {}, {} declarations", b.body.len(), b.declarations.len()),
        StatementKind::Set(set) => {
            let targets: Vec<String> = set.iter().map(|a| target(&a.target)).collect();
            format!("set {}", targets.join(", "))
        }
        StatementKind::If { branches, otherwise } => {
            format!("if, {} branches, else: {}", branches.len(), otherwise.is_some())
        }
        StatementKind::Case { operand, branches, otherwise } => {
            format!("case, operand: {}, {} branches, else: {}", operand.is_some(), branches.len(), otherwise.is_some())
        }
        StatementKind::SelectInto { query, targets } => {
            let targets: Vec<String> = targets.iter().map(target).collect();
            format!("{query} into {}", targets.join(", "))
        }
        StatementKind::Sql(sql) => sql.to_string(),
        StatementKind::Unread { why, writes } => {
            let writes: Vec<String> = writes.iter().map(ToString::to_string).collect();
            format!("unread: {why}, writes to [{}]", writes.join(", "))
        }
        StatementKind::Call { procedure, arguments } => format!("call {procedure}, {} arguments", arguments.len()),
        StatementKind::Leave(label) => format!("leave {label}"),
        StatementKind::Fetch { cursor, into } => {
            format!("fetch {cursor} into {}", into.iter().map(target).collect::<Vec<_>>().join(", "))
        }
        other => {
            let debug = format!("{other:?}");
            debug.split([' ', '(', '{']).next().unwrap_or_default().to_lowercase()
        }
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Variable(name) => name.clone(),
        Target::Row { new, column } => format!("{}.{column}", if *new { "new" } else { "old" }),
        Target::Field { variable, field } => format!("{variable}.{field}"),
        Target::User(name) => format!("@{name}"),
        Target::System { scope, name } => {
            format!("@@{}{name}", scope.as_ref().map(|s| format!("{s}.")).unwrap_or_default())
        }
    }
}

/// What must not depend on where a program was read: not lines, and no modes of sessions that say nothing.
fn shapes(source: &Source) -> Vec<String> {
    let mut shapes: Vec<String> = source
        .programs
        .iter()
        .map(|p| {
            let mut told_statements = vec![];
            walk::statements(&p.program, &mut |s| told_statements.push(told(s)));
            format!("{} {}: {}", kind_of(&p.program), p.program.name.name, told_statements.join("; "))
        })
        .chain(source.schema.tables.iter().map(|t| format!("table {} ({} columns)", t.name, t.columns.len())))
        .collect();
    shapes.sort();
    shapes
}

/// Where two documents part.
fn difference(path: &str, expected: &Value, found: &Value) -> String {
    match (expected, found) {
        (Value::Object(e), Value::Object(f)) => f.iter().find(|(k, v)| e.get(*k) != Some(v)).map_or_else(
            || format!("{path}: a key is gone"),
            |(k, v)| difference(&format!("{path}.{k}"), &expected[k.as_str()], v),
        ),
        (Value::Array(e), Value::Array(f)) if e.len() == f.len() => {
            let at = e.iter().zip(f).position(|(e, f)| e != f).unwrap_or_default();
            difference(&format!("{path}[{at}]"), &e[at], &f[at])
        }
        _ => format!("{path}: expected {expected}\n    found {found}"),
    }
}
