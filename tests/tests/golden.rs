//! What people see: scripts of `golden/` through psql, their output compared to the byte with `golden/expected/`.
//!
//! The output is the same on both engines, error texts and hints included; scripts in `golden/portable/` show what that engine
//! alone makes. `GOLDEN_UPDATE=1 cargo test --test golden portable` writes the expected files anew; read the difference before
//! you commit it.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use domain_events_tests::{Db, Engine, repository};

#[test]
fn portable() {
    run(Engine::PortableSuper, scripts("."));
    run(Engine::PortableSuper, scripts("portable"));
}

#[test]
fn native() {
    run(Engine::Native, scripts("."));
}

/// A function that no script calls is a function whose output nobody has looked at.
#[test]
fn every_public_function_is_called() {
    let scripts: String = scripts(".").values().map(|path| fs::read_to_string(path).expect("a script")).collect();
    let db = Db::new(Engine::Portable);
    let names = db.admin().table(
        "select distinct proname from pg_catalog.pg_proc
          where pronamespace = 'domain_events'::regnamespace and proname !~ '^_' order by 1",
    );
    let missing: Vec<_> = names.lines().filter(|name| !scripts.contains(&format!("domain_events.{name}("))).collect();
    assert!(missing.is_empty(), "no golden script calls {missing:?}");
}

fn run(engine: Engine, scripts: BTreeMap<String, PathBuf>) {
    let mut wrong = String::new();
    for (name, script) in scripts {
        let db = Db::new(engine);
        let psql = db.client_program("psql", "app_owner");
        // A shell, for errors among the rows that they came with.
        let output = Command::new("sh")
            .args(["-c", r#""$0" -X -a -q -v SHOW_CONTEXT=never <"$1" 2>&1"#])
            .args([psql.get_program(), script.as_os_str()])
            .envs(psql.get_envs().map(|(name, value)| (name, value.unwrap_or_default())))
            .envs([("LC_ALL", "C"), ("PGOPTIONS", "-c timezone=UTC")])
            .output();
        let output = output.expect("sh").stdout;
        let got = String::from_utf8(output).expect("text");
        let file = repository().join("tests/golden/expected").join(format!("{name}.out"));
        if env::var_os("GOLDEN_UPDATE").is_some() {
            fs::write(&file, &got).expect("the expected file");
        } else {
            let expected = fs::read_to_string(&file).unwrap_or_default();
            if got != expected {
                wrong += &format!("\n--- {name}: first difference\n{}", first_difference(&expected, &got));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Of a folder of `golden/`, by their names below it.
fn scripts(folder: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(repository().join("tests/golden").join(folder)).expect("a folder of tests/golden");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| (format!("{folder}/{}", path.file_stem().expect("a name").to_string_lossy()), path))
        .collect()
}

fn first_difference(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let at = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let part = |lines: &[&str]| lines[at.saturating_sub(3).min(lines.len())..(at + 6).min(lines.len())].join("\n");
    format!("line {}\nexpected:\n{}\ngot:\n{}\n", at + 1, part(&expected), part(&got))
}
