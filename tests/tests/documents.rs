//! README and docs/ say what is so: the session gives the output it shows, functions, targets and linked files exist, and a
//! person in a hurry can read the README.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use domain_events_tests::{Db, Engine, engines, repository};

engines! { the_60_second_session, every_function_they_name_exists, the_clients_append }

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// README, SECURITY and the pages of docs/, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = fs::read_dir(repository().join("docs")).expect("docs/").map(|entry| entry.expect("a page").path());
    let top = ["README.md", "SECURITY.md"].map(|name| repository().join(name));
    let mut found: Vec<_> = pages.chain(top).map(|p| (p.clone(), fs::read_to_string(&p).expect("a text"))).collect();
    found.sort();
    assert!(found.len() > 8, "{found:?}");
    found
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

fn every_function_they_name_exists(db: &Db) {
    let mut s = db.admin();
    let name_of =
        |code: &str| code.split_once('(').map(|(name, _)| name.trim_start_matches("domain_events.").to_owned());
    let readme = readme();
    let section =
        readme.split("## What is in the schema").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    // In code of that section, what stands before a parenthesis; everywhere, what is qualified by the schema.
    let mut names: Vec<String> = section.split('`').skip(1).step_by(2).filter_map(name_of).collect();
    for (_, text) in documents() {
        names.extend(text.split("domain_events.").skip(1).filter_map(name_of));
    }
    names.retain(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)));
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let found = s.number(&format!(
            "select count(*) from pg_proc where pronamespace = 'domain_events'::regnamespace and proname = '{name}'"
        ));
        assert!(found > 0, "domain_events.{name}() is named, and does not exist");
    }
}

/// The programs of docs/clients.md print what it says. A language that is not installed is passed over, and told.
fn the_clients_append(db: &Db) {
    let page = fs::read_to_string(repository().join("docs/clients.md")).expect("docs/clients.md");
    let block = |language: &str| {
        let rest = page.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no {language}")).1;
        rest.split_once("```").expect("an end").0
    };
    let expected = block("text");
    let example = fs::read_to_string(repository().join("tests/examples/clients.rs")).expect("the example");
    assert_eq!(
        example.split_once("\n\n").expect("a head").1,
        block("rust"),
        "docs/clients.md and tests/examples/clients.rs differ"
    );
    // target/debug/deps/documents-..: cargo puts the examples beside deps
    let built = env::current_exe().expect("a path").ancestors().nth(2).expect("a directory").join("examples/clients");
    let file = |ending: &str| db.cluster().socket_dir().join(format!("{}-client.{ending}", db.name));
    let run = |name: &str, program: &Path, source: Option<PathBuf>, present: &[&str]| {
        let is_there = Command::new(program).args(present).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !present.is_empty() && !is_there.is_ok_and(|s| s.success()) {
            eprintln!("not tested: {name}, which has no driver for PostgreSQL here");
            return;
        }
        // whoever may append and no more
        let mut command = db.client_program("psql", "app_owner");
        let settings: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
        command = Command::new(program);
        let out = command.envs(settings).args(source).output().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{name}: {}", String::from_utf8_lossy(&out.stderr));
    };
    for (language, ending, program, present) in [
        ("python", "py", "python3", ["-c", "import psycopg"]),
        ("js", "js", "node", ["-e", "require('pg')"]),
        ("php", "php", "php", ["-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"]),
    ] {
        fs::write(file(ending), block(language)).expect("the program");
        run(language, Path::new(program), Some(file(ending)), &present);
    }
    if built.exists() {
        run("rust", &built, None, &[]);
    } else {
        eprintln!("not tested: rust, whose example is built where all tests are");
    }
    db.check_versions();
}

#[test]
fn every_target_they_name_exists() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("Makefile");
    let mut count = 0;
    for (path, text) in documents() {
        for rest in text.split("`make ").skip(1).chain(text.split("\nmake ").skip(1)) {
            let target: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
            let there = makefile.contains(&format!("\n{target}:")) || makefile.contains(&format!("\n{target} "));
            assert!(there, "{} names `make {target}`, which does not exist", path.display());
            count += 1;
        }
    }
    assert!(count > 3);
}

#[test]
fn every_file_they_link_exists() {
    let mut count = 0;
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let file = path.parent().expect("a directory").join(target);
                assert!(file.exists(), "{} links {target}, which does not exist", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 10);
}

#[test]
fn the_readme_is_for_a_person_in_a_hurry() {
    let readme = readme();
    assert!(readme.lines().count() <= 150, "the README has {} lines", readme.lines().count());
    for (n, line) in readme.lines().enumerate() {
        assert!(line.chars().count() <= 120, "line {} of the README has more than 120 characters", n + 1);
    }
}
