//! `scan --from`, run on files.

use std::process::Command;

use serde_json::Value;

use super::place::Place;

impl Place {
    pub fn scan(&self, more: &[&str]) -> Run {
        scan(&self.0, more)
    }
}

/// What a scan says.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn codes(&self) -> Vec<String> {
        let json = self.json();
        let all = json["findings"].as_array().unwrap_or_else(|| panic!("findings of {self:?}")).iter();
        all.map(|f| f["code"].as_str().expect("a code").to_owned()).collect()
    }
}

pub fn scan(path: &std::path::Path, more: &[&str]) -> Run {
    let out = Command::new(env!("CARGO_BIN_EXE_domain-events"))
        .args(["scan", "--from", path.to_str().expect("UTF-8")])
        .args(more)
        .env_remove("DATABASE_URL")
        .output()
        .expect("domain-events runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}
