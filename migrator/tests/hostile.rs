//! Files, names, URLs and pipes that were made to harm: the command line reads them in bounded time and memory, says what it did
//! not read, shows nothing that a terminal would obey and no password.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CLI: &str = env!("CARGO_BIN_EXE_domain-events");

mod place;

use place::Place;

#[derive(Debug)]
struct Run {
    /// None where a signal has ended it.
    code: Option<i32>,
    stdout: String,
    stderr: String,
    took: Duration,
    /// Most memory, in megabytes.
    memory: u64,
}

fn begin(args: &[&str]) -> Child {
    Command::new(CLI)
        .args(args)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command line")
}

fn end(mut child: Child, limit: Duration) -> Run {
    let began = Instant::now();
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = vec![];
            pipe.read_to_end(&mut bytes).expect("output");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("stdout")));
    let stderr = reader(Box::new(child.stderr.take().expect("stderr")));
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let code = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let peak = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
            memory = memory.max(peak.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024);
        }
        if let Some(status) = child.try_wait().expect("the child") {
            break status.code();
        }
        // of processor time, as far as it is there: other tests run besides
        if began.elapsed() > limit && (spent(child.id()) > limit || began.elapsed() > 5 * limit) {
            child.kill().ok();
            child.wait().ok();
            panic!("it did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().expect("stdout"), stderr.join().expect("stderr"));
    Run { code, stdout, stderr, took: began.elapsed(), memory }
}

/// Processor time of a process.
fn spent(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // behind the name, which may have blanks: user and system time in hundredths of a second
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Duration::from_millis(fields.filter_map(|f| f.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn run(args: &[&str]) -> Run {
    end(begin(args), Duration::from_secs(120))
}

/// Does the same with each of the cases, some at once.
fn at_once<T: Send>(threads: usize, cases: Vec<T>, work: impl Fn(usize, T) + Sync) {
    let cases = Mutex::new(cases.into_iter().enumerate());
    let next = || cases.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, case)) = next() {
                    work(number, case);
                }
            });
        }
    });
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A trigger of PostgreSQL whose function has this body.
fn function(body: &str) -> String {
    format!(
        "create table users (id int primary key);\n\
         create table domain_events (id bigserial primary key, aggregate_type text, aggregate_id text, aggregate_version int, \
         event_type text, event_data jsonb, created_at timestamptz default now(), \
         unique (aggregate_type, aggregate_id, aggregate_version));\n\
         create function log() returns trigger language plpgsql as $f$ begin {body} \
         insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) \
         values ('User', new.id::text, 1, 'UserUpdated'); return new; end $f$;\n\
         create trigger log after update on users for each row execute function log();\n"
    )
}

/// A trigger of MySQL with this body.
fn trigger(body: &str) -> String {
    format!(
        "CREATE TABLE `users` (`id` int PRIMARY KEY);\n\
         CREATE TABLE `domain_events` (`id` bigint PRIMARY KEY AUTO_INCREMENT, `aggregate_type` varchar(9), `aggregate_id` varchar(9), \
         `aggregate_version` int, `event_type` varchar(20), `event_data` json, `created_at` timestamp, UNIQUE KEY u (`aggregate_type`, `aggregate_id`, `aggregate_version`));\n\
         DELIMITER $$\nCREATE TRIGGER log AFTER UPDATE ON `users` FOR EACH ROW BEGIN {body} \
         INSERT INTO domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) \
         VALUES ('User', NEW.id, 1, 'UserUpdated'); END$$\nDELIMITER ;\n"
    )
}

/// Whatever nests, chains or goes on, `n` times.
fn deep(n: usize) -> Vec<(&'static str, String)> {
    let r = |text: &str| text.repeat(n);
    vec![
        ("sum", format!("1{}", r("+1"))),
        ("concatenation", format!("'a'{}", r("||'a'"))),
        ("parentheses", format!("{}1{}", r("("), r(")"))),
        ("open parentheses", r("(")),
        ("closed parentheses", r(")")),
        ("not", format!("{}true", r("not "))),
        ("minus", format!("{}1", r("- "))),
        ("case", format!("{}1{}", r("case when true then 1 else "), r(" end"))),
        ("and", format!("1=1{}", r(" and 1=1"))),
        ("subselects", format!("{}1{}", r("(select "), r(")"))),
        ("calls", format!("{}1{}", r("coalesce(1, "), r(")"))),
        ("list", format!("1 in (1{})", r(",1"))),
        ("string", format!("'{}'", r("x"))),
        ("nested comments", format!("{}{} 1", r("/*"), r("*/"))),
        ("open comments", r("/* ")),
        ("comments in a row", format!("{} 1", r("/**/"))),
        ("dollars", r("$a$ ")),
        ("quotes", r("'\n")),
        ("backslashes", format!("'{}'", r("\\\\"))),
        ("names", format!("a{}", r(".a"))),
        ("word", r("a")),
    ]
}

fn statements(n: usize) -> Vec<(&'static str, String)> {
    let r = |text: &str| text.repeat(n);
    vec![
        ("elseif", format!("if new.id = 1 then x := 1; {} end if;", r("elseif new.id = 2 then x := 2; "))),
        ("if", format!("{}{}", r("if true then "), r("end if; "))),
        ("blocks", format!("{}{}", r("begin "), r("end; "))),
        ("loops", format!("{}{}", r("loop "), r("end loop; "))),
        ("case statement", format!("case new.id {} end case;", r("when 1 then x := 1; "))),
        ("assignments", r("x := 1; ")),
        ("semicolons", r(";")),
        ("open blocks", r("begin ")),
        ("ends", r("end; ")),
        ("inserts", r("insert into domain_events values ('User', '1', 1, 'X'); ")),
        ("parameters", format!("execute '{}' using 'insert into domain_events', new.id; ", r("$1 "))),
        ("comments in a text", format!("execute '{} insert into domain_events values (1)'; ", r("/**/"))),
        ("returns", r("if tg_op = 'INSERT' then return new; end if; ")),
    ]
}

/// It has ended by itself, and told: nothing is wrong, or there is a finding.
fn expect_told(run: &Run, what: &str) {
    assert!(matches!(run.code, Some(0 | 3)), "{what}: {:?} {:.500}", run.code, run.stderr);
    let clean = run.stdout.contains("No trigger or function writes events.");
    assert!(!clean, "{what}: {:.300}", run.stderr);
    assert!(run.memory < 700, "{what}: {} MB", run.memory);
}

#[test]
fn no_nesting_and_no_chain_stops_scan() {
    let place = Place::new("deep");
    let n = 100_000;
    let (mut expressions, bodies) = (deep(n), statements(n));
    // long and flat, and just not too long to be read whole
    let within = [("30,000 times and", "and"), ("30,000 values", "list")];
    for (name, of) in within {
        let text = deep(30_000).into_iter().find(|(n, _)| *n == of).map(|(_, text)| text);
        expressions.push((name, text.expect("it is one of them")));
    }
    let mut cases = vec![];
    for (name, _) in &expressions {
        cases.extend(["a view", "a body", "a trigger", "a default"].map(|place| (*name, place)));
    }
    for (name, _) in &bodies {
        cases.extend(["PL/pgSQL", "MySQL"].map(|place| (*name, place)));
    }
    let slowest = Mutex::new((Duration::ZERO, String::new(), 0));
    at_once(processors(), cases, |number, (name, within)| {
        let of =
            |all: &[(&str, String)]| all.iter().find(|(n, _)| *n == name).map_or(String::new(), |(_, t)| t.clone());
        let (expression, body) = (of(&expressions), of(&bodies));
        let (text, dialect) = match within {
            "a view" => (format!("{}create view v as select {expression};\n", function("")), "postgres"),
            "a body" => (function(&format!("perform {expression};")), "postgres"),
            "a trigger" => (trigger(&format!("SET @x = {expression};")), "mysql"),
            "a default" => (format!("{}CREATE TABLE x (a int DEFAULT ({expression}));\n", trigger("")), "mysql"),
            "PL/pgSQL" => (function(&body), "postgres"),
            _ => (trigger(&body.replace(":= ", "= ").replace("x =", "SET @x =").replace("tg_op", "NEW.id")), "mysql"),
        };
        let path = place.file(&format!("{number}.sql"), text);
        let run = run(&["scan", "--from", utf8(&path), "--dialect", dialect]);
        let what = format!("{name} in {within}");
        expect_told(&run, &what);
        let mut slowest = slowest.lock().expect("nobody has panicked");
        *slowest = slowest.clone().max((run.took, what, run.memory));
        fs::remove_file(path).ok();
    });
    println!("slowest: {slowest:?}");
}

#[test]
fn what_was_too_deep_is_a_finding_with_file_line_and_reason() {
    let place = Place::new("finding");
    let sum = format!("1{}", "+1".repeat(100_000));
    let view = place.file("view.sql", format!("{}create view v as select {sum};\n", function("")));
    let run_of =
        |path: &Path, dialect: &str| run(&["scan", "--from", utf8(path), "--dialect", dialect, "--format", "json"]);
    let run = run_of(&view, "postgres");
    assert_eq!(run.code, Some(3), "{run:?}");
    let said: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let findings = said["findings"].as_array().expect("findings");
    let unread = findings.iter().find(|f| f["code"] == "EV204").expect("what was not read");
    assert!(unread["file"].as_str().is_some_and(|f| f.ends_with("view.sql")), "{unread}");
    assert_eq!(unread["line"], 5, "{unread}");
    assert!(unread["reasons"][0].as_str().is_some_and(|r| r.contains("levels deep")), "{unread}");
    // what stands beside it is judged
    assert!(findings.iter().any(|f| f["code"] == "EV101"), "{findings:?}");

    let body = place.file("body.sql", function(&format!("perform {sum};")));
    let run = run_of(&body, "postgres");
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.contains("EV203") && run.stdout.contains("levels deep"), "{:.2000}", run.stdout);
    assert!(run.stdout.contains("EV101"), "{:.2000}", run.stdout);
    let body = place.file("mysql.sql", trigger(&format!("SET @x = {sum};")));
    assert_eq!(run_of(&body, "mysql").code, Some(3));
}

#[test]
fn a_chain_of_fifty_operators_is_judged() {
    let place = Place::new("fifty");
    let chain = format!("'x'{}", " || 'y'".repeat(400));
    let text = function("").replace("'UserUpdated'", &format!("left({chain}, 20)"));
    let path = place.file("a.sql", text);
    let run = run(&["scan", "--from", utf8(&path)]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.contains("EV101") && !run.stdout.contains("EV20"), "{}", run.stdout);
}

#[test]
fn views_that_join_themselves_have_columns_once() {
    let place = Place::new("views");
    let views: String =
        (1..=60).map(|n| format!("create view v{n} as select a.* from v{0} a, v{0} b;\n", n - 1)).collect();
    let text =
        format!("{}create view v0 as select * from domain_events;\n{views}", function("insert into v60 values (1);"));
    let run = run(&["scan", "--from", utf8(&place.file("views.sql", text))]);
    assert!(run.stdout.contains("EV101"), "{run:?}");
    // twice as many with each view were 1.6 GB at 18
    assert!(run.memory < 120, "{} MB", run.memory);
}

#[test]
fn what_was_not_read_is_never_clean() {
    let place = Place::new("unread");
    let insert = "INSERT INTO domain_events (aggregate_type, aggregate_id, aggregate_version) VALUES ('E', 1, 1);";
    let kinds = [
        (
            "oracle",
            format!(
                "CREATE OR REPLACE TRIGGER AUDIT_SAL\n AFTER UPDATE OF salary ON employees FOR EACH ROW\n\
                 WHEN (new.salary <> old.salary)\nDECLARE\n PRAGMA AUTONOMOUS_TRANSACTION;\nBEGIN\n {insert}\n COMMIT;\nEND;\n/\n"
            ),
        ),
        ("go", format!("CREATE TABLE t (id int)\nGO\nCREATE TRIGGER x ON t AFTER UPDATE AS BEGIN {insert} END\nGO\n")),
        ("php", format!("<?php\nclass A {{ function up() {{ $this->execute(\"CREATE TRIGGER x {insert}\"); }} }}\n")),
        ("placeholder", format!("CREATE TRIGGER ${{prefix}}x AFTER UPDATE ON {{{{ table }}}} FOR EACH ROW {insert}\n")),
        ("prose", "Dear reader, this is no SQL; not at all.\n".to_owned()),
        ("binary", "\u{1}\u{2}\u{3}PK\u{0}\u{0}".repeat(50)),
    ];
    for (name, text) in kinds {
        for dialect in ["postgres", "mysql"] {
            let path = place.file("a.sql", &text);
            let run = run(&["scan", "--from", utf8(&path), "--dialect", dialect]);
            assert_eq!(run.code, Some(3), "{name} as {dialect}: {run:?}");
            assert!(!run.stdout.contains("No trigger or function writes events."), "{name} as {dialect}: {run:?}");
            assert!(run.stdout.contains("EV20"), "{name} as {dialect}: {run:?}");
        }
    }
    // and what was read and holds nothing is
    for (text, dialect) in [
        ("create table t (id int); insert into t values (1);", "postgres"),
        (
            "CREATE TABLE t (id int); INSERT INTO t VALUES (1); (SELECT 1); /*!40101 SET NAMES utf8 */;\n-- end\n",
            "mysql",
        ),
    ] {
        let path = place.file("a.sql", text);
        let run = run(&["scan", "--from", utf8(&path), "--dialect", dialect]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.contains("No trigger or function writes events."), "{run:?}");
    }
}

fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn a_terminal_obeys_no_name() {
    let place = Place::new("names");
    let wild = "\u{1b}[31m\u{1b}]0;pwned\u{7}\r\u{8}\u{9b}31m\u{202e}\u{2066}x\nfake line";
    let name = |name: &str| format!("{name}{wild}");
    let postgres = function("")
        .replace(" users", &format!(" \"{}\"", name("users")))
        .replace(" log", &format!(" \"{}\"", name("log")))
        .replace("'UserUpdated'", &format!("'{}'", name("Updated")));
    let mysql = trigger("")
        .replace("`users`", &format!("`{}`", name("users")))
        .replace(" log ", &format!(" `{}` ", name("log")));
    let broken = format!("create function {wild}() returns '{wild}\ncreate trigger {wild};");
    for (text, dialect) in [(&postgres, "postgres"), (&mysql, "mysql"), (&broken, "postgres"), (&broken, "mysql")] {
        let path = place.file(&name("file"), text);
        for format in ["human", "json"] {
            let run = run(&["scan", "--from", utf8(&path), "--dialect", dialect, "--format", format]);
            assert_eq!(run.code, Some(3), "{run:?}");
            assert!(!run.stdout.contains(is_obeyed), "{format} {dialect}: {:?}", run.stdout);
            assert!(!run.stderr.contains(is_obeyed), "{format} {dialect}: {:?}", run.stderr);
            // a line feed makes no line of its own; what follows a label is set in
            assert!(
                !run.stdout.lines().any(|l| l.trim_start().starts_with("fake")),
                "{format} {dialect}: {:?}",
                run.stdout
            );
            assert!(!run.stderr.lines().any(|l| l.starts_with("fake")), "{format} {dialect}: {:?}", run.stderr);
            if format == "json" {
                let said: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
                let findings = said["findings"].to_string();
                assert!(
                    text == &broken
                        || serde_json::from_str::<serde_json::Value>(&findings)
                            .is_ok_and(|f| f[0]["table"].as_str().is_some_and(|t| t.contains('\u{9b}'))),
                    "{findings}"
                );
            }
        }
    }
    for args in [
        vec!["scan", "--from", "no/such\u{1b}]0;x\u{7}.sql"],
        vec!["status", "--database-url", "postgres://me@127.0.0.1:1/a%1b]0;pwned%07b"],
        vec!["apply", "no/such\u{1b}]0;x\u{7}.toml"],
        vec!["scan", "--no-such\u{1b}]0;x\u{7}"],
    ] {
        let run = run(&args);
        assert!(run.code.is_some_and(|c| c > 0), "{run:?}");
        assert!(!run.stderr.contains(is_obeyed) && !run.stdout.contains(is_obeyed), "{args:?}: {run:?}");
    }
}

#[test]
fn no_password_is_told_whatever_the_form_of_the_url() {
    let place = Place::new("secrets");
    let secret = "S3cr3tPw";
    let urls = [
        "postgres://me:S3cr3tPw@127.0.0.1:1/db",
        "postgresql://me:S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:S3cr3tPw@127.0.0.1:port/db",
        "postgres://me:S3cr3tPw@127.0.0.1:99999/db",
        "postgres://me:S3cr3tPw@/?host=/nope",
        "postgres://me:S3cr3tPw#x@127.0.0.1:1/db",
        "postgres://me:S3cr3tPw/x@127.0.0.1:1/db",
        "postgres://me:S3cr3tPw?x@127.0.0.1:1/db",
        "postgres://me:a/S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:1#S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:1/S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:1?S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:1?a=S3cr3tPw@127.0.0.1:1/db",
        "postgres://me:x@S3cr3tPw/y@127.0.0.1:1/db",
        "postgres://127.0.0.1:1/db?user=me&password=S3cr3tPw",
        "postgres://127.0.0.1:1/db?user=me&pass%77ord=S3cr3tPw&sslmode=bad",
        "postgres://me:S3cr3tPw@127.0.0.1:1/db?foo=bar&sslmode=bad",
        "mysql://me:S3cr3tPw@127.0.0.1:1/db",
        "mariadb://me:S3cr3tPw@127.0.0.1:1",
        "mysql://me:S3cr3tPw@127.0.0.1:port/db",
        "mysql://me:1#S3cr3tPw@127.0.0.1:1/db",
        "oracle://me:S3cr3tPw@127.0.0.1:1/db",
        "me:S3cr3tPw@127.0.0.1",
        "me:S3cr3tPw@127.0.0.1:1/db?x=y",
        "host=127.0.0.1 port=1 user=me password=S3cr3tPw",
        "host=127.0.0.1 port=1 user=me password='S3cr3tPw x'",
        "PASSWORD=S3cr3tPw",
        "me:S3cr3tPw://127.0.0.1",
    ];
    // most of the time each waits for a server that does not answer
    at_once(24, urls.to_vec(), |number, url| {
        let plan = place.0.join(format!("plan{number}.toml"));
        let path = utf8(&plan);
        for args in [
            vec!["status", "--database-url", url],
            vec!["plan", "--out", path, "--database-url", url],
            vec!["scan", "--from", url],
            vec!["scan", "--from", url, "--format", "json"],
            vec!["plan", "--from", url, "--out", path, "--database-url", "postgres://me@127.0.0.1:1/db"],
            vec!["import", "--from", url, "--tables", "t", "--database-url", "postgres://me@127.0.0.1:1/db"],
            vec!["verify", "--against", url],
            vec!["apply", url],
            vec!["status", url],
            vec!["scan", "--fron", url],
        ] {
            let run = end(begin(&args), Duration::from_secs(60));
            assert!(run.code.is_some_and(|c| c != 0), "{args:?}: {run:?}");
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{args:?}: {run:?}");
            assert!(!plan.exists(), "{args:?}");
        }
    });
}

#[test]
fn without_a_name_the_user_is_the_systems() {
    let own = Command::new("id").arg("-un").output().expect("id");
    let own = String::from_utf8(own.stdout).expect("a name");
    let run = Command::new(CLI)
        .args(["status", "--database-url", "postgres:///d?host=/nowhere"])
        .env_clear()
        .output()
        .expect("the command line");
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(told.contains(&format!("as \"{}\"", own.trim())), "{told}");
}

#[test]
fn a_long_line_takes_no_memory_and_a_pipe_no_patience() {
    let place = Place::new("long");
    let size = 100_000_000;
    let cases = vec![
        ("CREATE TABLE `u` (`id` int PRIMARY KEY, `n` longtext);\nINSERT INTO `u` VALUES (1,'", "');\n", "mysql"),
        ("CREATE TABLE `u` (`id` int PRIMARY KEY, `n` longtext);\nUPDATE `u` SET n = '", "';\n", "mysql"),
        ("create table u (id int primary key, n text);\ninsert into u values (1,'", "');\n", "postgres"),
        ("create table u (id int primary key, n text);\ncomment on table u is '", "';\n", "postgres"),
        ("create table u (id int primary key, n text);\ncopy u from stdin;\n1\t", "\n\\.\n", "postgres"),
        ("", "", "postgres"),
        ("", "", "mysql"),
    ];
    at_once(processors(), cases, |number, (head, tail, dialect)| {
        let mut text = head.as_bytes().to_vec();
        text.resize(text.len() + size, b'x');
        text.extend_from_slice(tail.as_bytes());
        let path = place.file(&format!("{number}.sql"), text);
        let run = run(&["scan", "--from", utf8(&path), "--dialect", dialect]);
        let rows = head.to_ascii_lowercase().contains("insert") || head.contains("copy");
        assert_eq!(run.code, Some(if rows { 0 } else { 3 }), "{head} {:.400} {:.400}", run.stderr, run.stdout);
        assert!(run.memory < 80, "{head}: {} MB", run.memory);
        fs::remove_file(path).ok();
    });

    let fifo = place.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let silent = begin(&["scan", "--from", utf8(&fifo)]);
    let run_of_silent = end(silent, Duration::from_secs(60));
    assert_eq!(run_of_silent.code, Some(1), "{run_of_silent:?}");
    assert!(run_of_silent.stderr.contains("nobody writes into it"), "{run_of_silent:?}");
    assert!(run_of_silent.stderr.contains("hint: "), "{run_of_silent:?}");
    let reads = begin(&["scan", "--from", utf8(&fifo)]);
    fs::write(&fifo, function("")).expect("the pipe");
    let run_of_written = end(reads, Duration::from_secs(60));
    assert_eq!(run_of_written.code, Some(3), "{run_of_written:?}");
    assert!(run_of_written.stdout.contains("EV101"), "{run_of_written:?}");
    for device in ["/dev/zero", "/dev/null", "/"] {
        let run = end(
            begin(&["import", "--from", device, "--tables", "t", "--database-url", "postgres://me@127.0.0.1:1/d"]),
            Duration::from_secs(60),
        );
        assert!(run.code.is_some_and(|c| c != 0), "{run:?}");
    }
    for device in ["/dev/zero", "/dev/full"] {
        let run = run(&["scan", "--from", device]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("a device"), "{run:?}");
    }
}
