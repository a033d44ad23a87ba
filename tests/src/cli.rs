//! The command line, run as a user runs it.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Db;

/// What a run of `domain-events` came to.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
}

/// The binary that was built together with the tests.
pub fn domain_events() -> Command {
    let exe = env::current_exe().expect("the path of the test");
    let name = format!("domain-events{}", env::consts::EXE_SUFFIX);
    let path: PathBuf = exe.ancestors().nth(2).expect("target/<profile>/deps").join(name);
    assert!(path.exists(), "{} is missing: run cargo test for the whole workspace", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    let variables = [
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGUSER",
        "PGPASSWORD",
        "PGDATABASE",
        "PGOPTIONS",
        "PGSSLMODE",
        "PGSERVICE",
        "PGSERVICEFILE",
    ];
    for name in variables.into_iter().chain(["DATABASE_URL"]) {
        command.env_remove(name);
    }
    command
}

/// Runs a prepared command to its end.
pub fn run(command: &mut Command) -> Run {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { code: out.status.code().expect("an exit code"), stdout: text(out.stdout), stderr: text(out.stderr) }
}

impl Db {
    /// `domain-events` with this database in `DATABASE_URL`.
    pub fn cli_command(&self, user: &str, args: &[&str]) -> Command {
        let mut command = domain_events();
        command.env("DATABASE_URL", self.url(user)).args(args);
        command
    }

    /// Runs `domain-events` on this database.
    pub fn cli(&self, user: &str, args: &[&str]) -> Run {
        run(&mut self.cli_command(user, args))
    }
}

impl Run {
    /// Asserts the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "wrong exit code\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that a word stands in the messages.
    #[track_caller]
    pub fn saying(self, word: &str) -> Run {
        assert!(self.stderr.contains(word), "{word:?} is not said\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts an error as every error must be: `error:` with its SQLSTATE, and a `hint:`.
    #[track_caller]
    pub fn expect_error(self, code: i32, sqlstate: &str) -> Run {
        self.expect(code).saying("error: ").saying("hint: ").saying(&format!("(SQLSTATE {sqlstate})"))
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e} in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}
