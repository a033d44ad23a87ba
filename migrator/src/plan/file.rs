//! The plan as a file: TOML that a person can read, review in a pull request, and decide in.

use std::io::Write as _;
use std::path::Path;

use super::document::text;
use super::{FORMAT, Plan};
use crate::error::Error;
use crate::files::{self, Fresh, Readers};

/// A plan is read into memory; a larger file is none.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads a plan.
pub fn read(path: &Path) -> Result<Plan, Error> {
    let name = files::shown(path);
    if files::expect_regular(path)?.len() > LARGEST {
        return Err(Error::usage(
            format!("{name} is larger than {LARGEST} bytes: it is no plan"),
            "Write one with `domain-events plan --out FILE`.",
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("the plan {name}"), e))?;
    parse(&text, &name)
}

fn parse(text: &str, name: &str) -> Result<Plan, Error> {
    let plan: Plan = toml::from_str(text).map_err(|e| {
        Error::usage(
            format!("{name} is not a plan: {}", e.to_string().trim_end()),
            "Write one with `domain-events plan --out FILE`.",
        )
    })?;
    if plan.format != FORMAT {
        return Err(Error::usage(
            format!("{name} has format {}, this tool reads format {FORMAT}", plan.format),
            "Make the plan again with this version of the tool.",
        ));
    }
    if plan.content != plan.digest_of_content() {
        return Err(Error::usage(
            format!("{name}: its SQL, or something else that is no decision, was edited by hand"),
            "Decide with `strategy` and the other decisions only, then run `domain-events plan --revise FILE --out FILE`.",
        ));
    }
    Ok(plan)
}

/// Refuses a plan whose decisions were edited after its SQL was made.
pub fn check_decided(plan: &Plan) -> Result<(), Error> {
    if plan.decisions == plan.digest_of_decisions() {
        return Ok(());
    }
    Err(Error::usage(
        "the decisions in the plan were edited, its SQL was made for others",
        "Run `domain-events plan --revise FILE --out FILE`, review the SQL, then apply.",
    ))
}

/// Refuses to write over anything; the file that is revised gives way to its revision.
pub fn check_out(path: &Path, revised: Option<&Path>) -> Result<(), Error> {
    let there = files::check(path, WHAT, is_ours)?;
    let same =
        |a: &Path, b: &Path| a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if !there || revised.is_some_and(|revised| same(revised, path)) {
        return Ok(());
    }
    Err(Error::refused(
        "58P02",
        format!("{} holds a plan already: it is left as it is", files::shown(path)),
        "Name a file that does not exist yet; or, to change that plan: domain-events plan --revise FILE --out FILE",
    ))
}

/// Writes a plan.
pub fn write(plan: &Plan, path: &Path) -> Result<(), Error> {
    let mut file = Fresh::begin(path, WHAT, Readers::Owner, is_ours)?;
    file.write_all(text(plan).as_bytes()).map_err(|e| Error::io(format!("the plan {}", files::shown(path)), e))?;
    file.finish()
}

const WHAT: &str = "a plan";

/// Whether a file begins as `text` begins it.
fn is_ours(head: &str) -> bool {
    head.starts_with("# A plan of domain-events ") && head.contains("\nplan_id = ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::Legacy;
    use crate::judge::{Strategy, VersionSource};
    use crate::plan::{Brought, EventTable, Object, ObjectKind, ObjectName, Port, State, Statement, Step};
    use crate::text::is_unsafe;

    fn legacy(text: &str) -> Legacy {
        let column = crate::source::Column { name: text.into(), default: Some(text.into()), ..Default::default() };
        let mapping = crate::adopt::Mapping { constant_type: Some(text.into()), ..Default::default() };
        Legacy {
            name: text.into(),
            columns: vec![column.clone(), column],
            key: vec![text.into()],
            mapping,
            ..Legacy::default()
        }
    }

    fn plan(text: &str) -> Plan {
        let state = State {
            fingerprint: "f".into(),
            definition: Some(text.into()),
            comment: Some(text.into()),
            ..State::default()
        };
        let object = ObjectName { kind: ObjectKind::Trigger, name: text.into(), table: Some("t".into()) };
        let statement =
            Statement { object, lock: "l".into(), expected: "e".into(), sql: text.into(), undo: Some(text.into()) };
        let mut plan = Plan {
            format: FORMAT,
            plan_id: "p".into(),
            tool: "0".into(),
            database: text.into(),
            decisions: String::new(),
            content: String::new(),
            event_tables: vec![],
            ports: vec![Port {
                code: "EV101".into(),
                trigger: Some(text.into()),
                table: None,
                function: None,
                line: Some(3),
                event_table: None,
                event_type: None,
                version_source: VersionSource::Literal,
                strategy: Strategy::Shim,
                allowed: vec![Strategy::Shim, Strategy::Manual],
                reasons: vec![text.into()],
                declared_differences: vec![],
                not_compared: vec![],
            }],
            objects: vec![Object { kind: ObjectKind::Function, name: "f".into(), table: None, before: Some(state) }],
            steps: vec![Step {
                title: "s".into(),
                transaction: 1,
                locks: vec![text.into()],
                exclusive: vec![],
                statements: vec![statement.clone()],
            }],
            adoptions: vec![legacy(text)],
            finish: vec![statement],
            clear: vec![],
            treat: [(text.to_owned(), crate::source::Treat::Entity)].into(),
            translated: vec![Brought {
                kind: "trigger".into(),
                name: text.into(),
                file: Some(text.into()),
                line: Some(7),
                declared: vec![text.into()],
                refused: vec![text.into()],
                settings: vec![text.into()],
                function: text.into(),
                trigger: Some(text.into()),
                table: Some(text.into()),
                sql: text.into(),
                trigger_sql: Some(text.into()),
            }],
        };
        plan.decisions = plan.digest_of_decisions();
        plan.content = plan.digest_of_content();
        plan
    }

    #[test]
    fn every_byte_of_every_text_comes_back() {
        for wild in [
            "plain",
            "two\nlines",
            "\nfirst empty\n",
            "it''s '''quoted'''",
            "ends in '\n'",
            "\\d \"x\" \t",
            "\r\nwindows\r\n",
            "é\u{1}\u{7f}",
            "\u{1b}]0;pwned\u{7}\u{9b}31m",
            "two\nlines \u{202e}of\u{2066} it\u{e0041}",
            "",
        ] {
            let plan = plan(wild);
            assert_eq!(parse(&text(&plan), "test").unwrap(), plan, "{wild:?}");
            assert!(!text(&plan).contains(is_unsafe), "{wild:?}");
            assert!(is_ours(&text(&plan)), "{wild:?}");
        }
    }

    #[test]
    fn edited_sql_and_edited_decisions_are_told_apart() {
        let good = plan("select 1");
        let mut edited = good.clone();
        edited.steps[0].statements[0].sql = "drop table users".into();
        assert!(parse(&text(&edited), "test").is_err());
        let mut decided = good.clone();
        decided.ports[0].strategy = Strategy::Manual;
        assert!(check_decided(&parse(&text(&decided), "test").unwrap()).is_err());
        assert!(check_decided(&good).is_ok());
    }

    /// Whatever line is edited: the file is refused, or it says that its decisions were.
    #[test]
    fn no_line_can_be_edited_in_silence() {
        let mut good = plan("select 1");
        good.event_tables = vec![EventTable {
            table: "t".into(),
            stream: vec!["s".into()],
            version_column: Some("v".into()),
            sole_writer: false,
            unused_elsewhere: false,
            adopt: false,
            other_users: vec!["u".into()],
        }];
        let port = &mut good.ports[0];
        for text in [&mut port.table, &mut port.function, &mut port.event_table, &mut port.event_type] {
            *text = Some("t".into());
        }
        port.declared_differences = vec!["d".into()];
        port.not_compared = vec!["n".into()];
        good.decisions = good.digest_of_decisions();
        good.content = good.digest_of_content();
        let whole = text(&good);
        parse(&whole, "test").and_then(|p| check_decided(&p)).unwrap();
        let mut edited = 0;
        for (n, line) in whole.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let value = match value {
                "true" => "false".to_owned(),
                "false" => "true".to_owned(),
                "\"literal\"" => "\"max_plus_one\"".to_owned(),
                "\"shim\"" => "\"manual\"".to_owned(),
                _ if value.ends_with('"') => format!("{}x\"", &value[..value.len() - 1]),
                _ if value.ends_with("\"]") => format!("{}x\"]", &value[..value.len() - 2]),
                _ if value.parse::<u32>().is_ok() => format!("{value}1"),
                _ => continue,
            };
            let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
            lines[n] = format!("{key} = {value}");
            let read = parse(&format!("{}\n", lines.join("\n")), "test").and_then(|p| check_decided(&p));
            assert!(read.is_err(), "{}", lines[n]);
            edited += 1;
        }
        assert!(edited > 60, "{edited}");
    }
}
