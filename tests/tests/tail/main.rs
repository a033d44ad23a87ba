//! `domain-events tail`, by running the binary.

mod arguments;
mod circumstances;
mod follow;
mod output;
mod restart;
mod select;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain_events_tests::{Db, Run, Session, domain_events, run};
use serde_json::Value;

/// What anything that is waited for may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `tail` to its end.
fn tail(db: &Db, args: &[&str]) -> Run {
    run(db.cli_command("app_owner", &["tail"]).args(args))
}

/// The same with one JSON object a line.
fn events(db: &Db, args: &[&str]) -> Vec<Event> {
    let out = tail(db, &[&["--format", "json"], args].concat()).expect(0);
    assert_eq!(out.stderr, "");
    out.stdout.lines().map(Event::read).collect()
}

/// What of an event is looked at here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    position: i64,
    stream: String,
    version: i64,
    kind: String,
    cursor: Option<String>,
}

impl Event {
    fn read(line: &str) -> Event {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {line}")).to_owned();
        let number = |name: &str| json[name].as_i64().unwrap_or_else(|| panic!("{name} in {line}"));
        Event {
            position: number("global_position"),
            stream: format!("{}/{}", text("aggregate_type"), text("aggregate_id")),
            version: number("aggregate_version"),
            kind: text("event_type"),
            cursor: json["cursor"].as_str().map(str::to_owned),
        }
    }
}

fn positions(events: &[Event]) -> Vec<i64> {
    events.iter().map(|e| e.position).collect()
}

/// So many events in a stream, in one transaction.
fn append(s: &mut Session, stream: &str, count: u32) {
    s.run(&format!(
        "select domain_events.append_event('Order', '{stream}', 'OrderChanged', jsonb_build_object('n', g), caused_by => 'alice') \
           from generate_series(1, {count}) g"
    ));
}

/// A run that goes on, and its lines so far.
struct Following {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(vec![]));
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            // a line that a killed process has not ended is none
            let Ok(line) = line else { return };
            into.lock().expect("lines").push(line);
        }
    });
    lines
}

impl Following {
    fn spawn(command: &mut Command) -> Following {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("domain-events starts");
        let stdout = collect(child.stdout.take().expect("stdout"));
        let stderr = collect(child.stderr.take().expect("stderr"));
        Following { child, stdout, stderr }
    }

    fn start(db: &Db, args: &[&str]) -> Following {
        Self::spawn(
            db.cli_command("app_owner", &["tail", "--follow", "--format", "json", "--interval", "20"]).args(args),
        )
    }

    fn lines(&self) -> Vec<String> {
        self.stdout.lock().expect("lines").clone()
    }

    fn messages(&self) -> String {
        self.stderr.lock().expect("lines").join("\n")
    }

    fn events(&self) -> Vec<Event> {
        self.lines().iter().map(|line| Event::read(line)).collect()
    }

    /// Waits until it has printed so many lines.
    #[track_caller]
    fn wait_for(&mut self, count: usize) {
        self.wait_until(&format!("{count} lines"), |f| f.lines().len() >= count);
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Following) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let ended = self.child.try_wait().expect("a process");
            assert!(
                Instant::now() < deadline && ended.is_none(),
                "{what}: not so, with {} lines, {ended:?}\n{}",
                self.lines().len(),
                self.messages()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal; the exit code, none where the signal has ended it.
    fn signal(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a process") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "{signal} does not end it");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A directory of one test, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(db: &Db) -> Place {
        let path = std::env::temp_dir().join(format!("domain-events-tail-{}-{}", std::process::id(), db.name));
        std::fs::create_dir_all(&path).expect("a directory");
        Place(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// `tail` on another server than that of the database.
fn tail_at(url: &str, args: &[&str]) -> Command {
    let mut command = domain_events();
    command.env("DATABASE_URL", url).arg("tail").args(args);
    command
}
