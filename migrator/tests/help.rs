//! Help texts are part of the interface: a change shows up here.

use std::process::{Command, Output};

const VERBS: [&str; 15] = [
    "install",
    "uninstall",
    "status",
    "scan",
    "plan",
    "apply",
    "verify",
    "rollback",
    "capture",
    "repair",
    "import",
    "monitor",
    "tail",
    "completions",
    "man",
];

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_domain-events"));
    for name in ["DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE"] {
        command.env_remove(name);
    }
    command.args(args).env("COLUMNS", "100").output().expect("domain-events runs")
}

fn stdout(args: &[&str]) -> String {
    let out = run(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stderr.is_empty(), "{args:?} writes to stderr");
    String::from_utf8(out.stdout).expect("UTF-8")
}

#[test]
fn the_tool_has_a_short_and_a_long_help() {
    insta::assert_snapshot!("short", stdout(&["-h"]));
    insta::assert_snapshot!("long", stdout(&["--help"]));
}

#[test]
fn every_verb_has_help() {
    for verb in VERBS {
        insta::assert_snapshot!(verb, stdout(&[verb, "--help"]));
    }
    for action in ["enable", "disable", "pause", "resume", "list"] {
        insta::assert_snapshot!(format!("capture-{action}"), stdout(&["capture", action, "--help"]));
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for args in [
        &["instal"][..],
        &[],
        &["install", "--engine", "fast"],
        &["uninstall", "--keep-events", "--drop-events"],
        &["status", "--format", "xml"],
        &["plan"],
        &["apply"],
        &["install", "--lock-timeout", "0"],
        &["status"],
    ] {
        let out = run(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(out.stdout.is_empty(), "{args:?} writes to stdout");
        assert!(!out.stderr.is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn completions_name_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        for verb in VERBS {
            assert!(script.contains(verb), "{shell} completions lack {verb}");
        }
    }
}

#[test]
fn the_manual_page_has_its_sections_and_one_page_per_verb() {
    let page = stdout(&["man"]);
    for word in [".TH", "NAME", "SYNOPSIS", "domain\\-events", "Exit codes"] {
        assert!(page.contains(word), "the manual page lacks {word}");
    }
    let directory = std::env::temp_dir().join(format!("domain-events-man-{}", std::process::id()));
    let out = run(&["man", "--out", &directory.display().to_string()]);
    assert!(out.status.success() && out.stdout.is_empty());
    for verb in VERBS {
        assert!(directory.join(format!("domain-events-{verb}.1")).exists(), "no page for {verb}");
    }
    assert!(directory.join("domain-events-capture-enable.1").exists(), "no page for what capture does");
    assert!(directory.join("domain-events.1").exists());
    std::fs::remove_dir_all(directory).expect("the pages are removed");
}

#[test]
fn no_color_reaches_a_pipe() {
    let out = Command::new(env!("CARGO_BIN_EXE_domain-events")).arg("status").env("DATABASE_URL", "mysql://x").output();
    let stderr = String::from_utf8(out.expect("domain-events runs").stderr).expect("UTF-8");
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr}");
}
