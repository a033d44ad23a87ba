//! The README says what is so: its session gives the output it shows, its targets and functions exist.

use std::{fs, process::Stdio};

use domain_events_tests::{Db, Engine, engines, repository};

engines! { the_60_second_session, every_function_it_names_exists }

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// One blank for many, so that widths of columns and trailing blanks do not matter; rulers are widths alone.
fn normal(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_ruler(line: &str) -> bool {
    line.chars().all(|c| "-+".contains(c))
}

fn the_60_second_session(db: &Db) {
    let readme = readme();
    let session = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a session in SQL");
    let statements: String =
        session.lines().filter_map(|line| line.strip_prefix("=# ")).map(|line| format!("{line}\n")).collect();
    let shown: Vec<String> = session
        .lines()
        .filter(|l| !l.starts_with("=#"))
        .map(normal)
        .filter(|l| !l.is_empty() && !is_ruler(l))
        .collect();
    assert!(statements.contains("enable_capture") && shown.len() > 10, "the session is not where it was");

    // Errors and rows in one stream, in the order in which they come.
    let output = db.cluster().socket_dir().join(format!("{}-readme", db.name));
    let file = fs::File::create(&output).expect("a file");
    let mut psql = db
        .client_program("psql", if db.engine == Engine::Native { "postgres" } else { "app_owner" })
        .args(["-X", "-q"])
        .stdin(Stdio::piped())
        .stdout(file.try_clone().expect("a file"))
        .stderr(file)
        .spawn()
        .expect("psql");
    use std::io::Write;
    psql.stdin.take().expect("a pipe").write_all(statements.as_bytes()).expect("statements");
    psql.wait().expect("psql");
    let output = fs::read_to_string(output).expect("output");
    let mut lines = output.lines().map(normal);
    for line in shown {
        assert!(lines.any(|l| l == line), "{line:?} is not, or not in this place, in\n{output}");
    }
    db.check_versions();
}

fn every_function_it_names_exists(db: &Db) {
    let mut s = db.admin();
    let readme = readme();
    let section =
        readme.split("## What is in the schema").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    // In code, what stands before a parenthesis or alone between backticks and looks like a function of the schema.
    let mut names: Vec<&str> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once('(').map(|(name, _)| name.trim_start_matches("domain_events.")))
        .chain(readme.split("domain_events.").skip(1).filter_map(|rest| rest.split_once('(').map(|(name, _)| name)))
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let found = s.number(&format!(
            "select count(*) from pg_proc where pronamespace = 'domain_events'::regnamespace and proname = '{name}'"
        ));
        assert!(found > 0, "the README names domain_events.{name}(), which does not exist");
    }
}

#[test]
fn every_target_it_names_exists() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("Makefile");
    let readme = readme();
    let mut count = 0;
    for rest in readme.split("`make ").skip(1).chain(readme.split("\nmake ").skip(1)) {
        let target: String =
            rest.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
        assert!(makefile.contains(&format!("\n{target}:")), "the README names `make {target}`, which does not exist");
        count += 1;
    }
    assert!(count > 3);
}
