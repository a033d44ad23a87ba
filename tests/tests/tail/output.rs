//! What is printed, whatever the events hold and wherever it goes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use domain_events_tests::{Db, Engine, domain_events, engines, run};
use serde_json::Value;

use crate::{append, tail};

engines! { events_that_a_terminal_would_obey, json_is_the_whole_event }

/// What must not reach a terminal.
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}')
}

fn events_that_a_terminal_would_obey(db: &Db) {
    db.owner().run(
        "select domain_events.append_event('T' || e, 'i' || e, 'E' || e, jsonb_build_object('k' || e, 'v' || e),
            event_name => 'n' || e, metadata => jsonb_build_object('m', e), caused_by => 'b' || e,
            correlation_id => 'c' || e, causation_id => 'u' || e)
           from (select chr(27)||'[31m'||chr(27)||']0;pwned'||chr(7)||chr(13)||chr(10)||'x'||chr(9)||chr(155)||'31m'||chr(8238)||chr(8232)) as x(e)",
    );
    for args in [&[] as &[&str], &["--from", "beginning"]] {
        let human = tail(db, args).expect(0).stdout;
        assert_eq!(human.lines().count(), 1, "{human:?}");
        assert!(!human.contains(is_obeyed), "{human:?}");
        assert!(human.contains("\\x1b[31m") && human.contains("\\u{202e}"), "{human:?}");
        let json = tail(db, &[args, &["--format", "json"]].concat()).expect(0).stdout;
        assert_eq!(json.lines().count(), 1, "{json:?}");
        assert!(!json.contains(is_obeyed), "{json:?}");
        let event: Value = serde_json::from_str(&json).expect("JSON");
        let hostile = "\u{1b}[31m\u{1b}]0;pwned\u{7}\r\nx\t\u{9b}31m\u{202e}\u{2028}";
        assert_eq!(event["aggregate_id"], format!("i{hostile}"));
        assert_eq!(event["event_data"][format!("k{hostile}")], format!("v{hostile}"));
    }
    let stream = format!("T{0}/i{0}", "\u{1b}[31m\u{1b}]0;pwned\u{7}\r\nx\t\u{9b}31m\u{202e}\u{2028}");
    let out = tail(db, &["--stream", &stream]).expect(0);
    assert!(out.stdout.lines().count() == 1 && !out.stdout.contains(is_obeyed), "{out:?}");
    let refused = tail(db, &["--from", "1\u{1b}[31m\u{9b}"]).expect(1);
    assert!(!refused.stderr.contains(is_obeyed), "{refused:?}");
}

/// Every column, numbers to their last digit.
fn json_is_the_whole_event(db: &Db) {
    let mut s = db.owner();
    s.run(
        "set timezone = 'Asia/Tokyo';
         select domain_events.append_event('Order', '1', 'OrderPlaced', '{\"n\": 12345678901234567890.123456789, \"e\": 1e40, \"s\": \"}\\\"\"}',
           event_name => 'Placed', metadata => '{\"a\": [1, null]}', caused_by => 'alice', correlation_id => 'c', causation_id => 'u',
           schema_version => 3, occurred_at => '2026-01-02 03:04:05.678901+09')",
    );
    let stored = s.one("set timezone = 'UTC'; select row_to_json(e)::text from domain_events.events e");
    for args in [&["--from", "beginning"] as &[&str], &[], &["--stream", "Order/1"]] {
        let line = tail(db, &[args, &["--format", "json"]].concat()).expect(0).stdout;
        assert!(line.starts_with(stored.strip_suffix('}').expect("an object")), "{line}\n{stored}");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["occurred_at"], "2026-01-01T18:04:05.678901+00:00");
        assert_eq!(event.as_object().expect("an object").len(), 18);
        assert_eq!(event["cursor"].is_string(), args != ["--stream", "Order/1"]);
    }
}

/// `domain-events tail -n all | head -1` is no failure.
#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 5_000);
    for more in
        [&["-n", "all"] as &[&str], &["--from", "beginning", "--follow"], &["--stream", "Order/1", "--format", "json"]]
    {
        let mut command = db.cli_command("app_owner", &["tail"]);
        let mut child =
            command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("domain-events");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut first).expect("a line");
        assert!(first.contains("OrderChanged"), "{first}");
        let out = child.wait_with_output().expect("a process");
        assert_eq!(out.status.code(), Some(0), "{more:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(out.stderr.is_empty(), "{more:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

/// A disk that is full is a failure, and the cursor stays where it was.
#[test]
fn what_cannot_be_written_is_told() {
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 10);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let out = db.cli_command("app_owner", &["tail"]).stdout(full).output().expect("domain-events");
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("No space left"), "{out:?}");
}

/// On a terminal a line is as wide as that at most; into a file it is whole.
#[test]
fn on_a_terminal_a_line_is_cut() {
    let db = Db::new(Engine::Portable);
    db.owner().run("select domain_events.append_event('Order', '1', 'OrderPlaced', jsonb_build_object('x', repeat('中', 500)), caused_by => 'alice')");
    let binary = domain_events().get_program().to_str().expect("UTF-8").to_owned();
    let mut command = Command::new("script");
    command.env("DATABASE_URL", db.url("app_owner")).stdin(Stdio::null());
    let out = run(command.args(["-qec", &format!("stty rows 40 cols 100; '{binary}' tail"), "/dev/null"])).expect(0);
    let line = out.stdout.trim_end();
    assert!(line.ends_with('…') && line.contains("中中中") && line.chars().count() < 100, "{line:?}");
    let whole = tail(&db, &[]).expect(0).stdout;
    assert_eq!(whole.matches('中').count(), 500);
}
