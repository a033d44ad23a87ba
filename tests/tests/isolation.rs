//! Two and more sessions, step by step: the specs of `specs/` run by PostgreSQL's own `pg_isolation_regress`.
//!
//! The output has to be that of `expected/`, to the byte, on both engines. `expected/native/` holds what docs/guarantees.md
//! lets differ: under REPEATABLE READ and SERIALIZABLE the native engine goes on where the portable one, which cannot read
//! past its snapshot, raises 40001. `specs/native/` holds what the portable engine does not promise; each says why. An
//! output found under an engine's name is compared with that file alone, so that neither engine can pass with the other's
//! answer. By hand:
//! `SPECS=savepoint cargo test --workspace --exclude pg_domain_events --test isolation`.

use std::{env, fs, path::Path, process::Command};

use domain_events_tests::{Cluster, Db, Engine, bin_dir, repository};

#[test]
fn portable() {
    run(Engine::Portable);
}

#[test]
fn native() {
    run(Engine::Native);
}

/// The specs that a file holds, by their names: one, or one for each level that stands in the place of LEVEL.
fn specifications(path: &Path) -> Vec<(String, String)> {
    let read = || fs::read_to_string(path).expect("a spec");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    match path.extension().and_then(|e| e.to_str()) {
        Some("spec") => vec![(name, read())],
        Some("levels") => ["read committed", "repeatable read", "serializable"]
            .iter()
            .map(|level| {
                let named = level.replace(' ', "_");
                let spec = read().replace("_LEVEL", &format!("_{named}")).replace("LEVEL", level);
                (format!("{name}_{named}"), spec)
            })
            .collect(),
        _ => vec![],
    }
}

fn run(engine: Engine) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "8")]), engine);
    let specs = repository().join("tests/specs");
    let expected = repository().join("tests/expected");
    // A copy, because the server's user may not read the checkout.
    let work = db.cluster().socket_dir().join("isolation");
    for part in ["specs", "expected"] {
        fs::create_dir_all(work.join(part)).expect("a directory");
    }
    let mut names = Vec::new();
    let own_specs = fs::read_dir(specs.join(engine.name())).into_iter().flatten();
    for entry in fs::read_dir(&specs).expect("tests/specs").chain(own_specs) {
        for (name, spec) in specifications(&entry.expect("an entry").path()) {
            if env::var("SPECS").is_ok_and(|wanted| wanted.split(',').all(|w| w != name)) {
                continue;
            }
            fs::write(work.join("specs").join(format!("{name}.spec")), spec).expect("a spec");
            let own = expected.join(engine.name()).join(format!("{name}.out"));
            let common = expected.join(format!("{name}.out"));
            let answer = work.join("expected").join(format!("{name}.out"));
            fs::copy(if own.exists() { own } else { common }, answer)
                .unwrap_or_else(|e| panic!("no expected output of {name}: {e}"));
            names.push(name);
        }
    }
    names.sort();

    let out = db
        .client_program("psql", "app_owner")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(specs.join("setup.sql"))
        .output();
    let out = out.expect("psql");
    assert!(out.status.success(), "setup.sql fails:\n{}", String::from_utf8_lossy(&out.stderr));

    let runner = runner();
    let mut command = if db.cluster().runs_as_other_user() {
        let mut chown = Command::new("chown");
        assert!(chown.args(["-R", "postgres:"]).arg(&work).status().expect("chown").success());
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(&runner);
        command
    } else {
        Command::new(&runner)
    };
    let out = command
        .arg(format!("--inputdir={}", work.display()))
        .arg(format!("--outputdir={}", work.display()))
        .arg(format!("--bindir={}", bin_dir().display()))
        .arg(format!("--host={}", db.cluster().socket_dir().display()))
        .arg(format!("--port={}", db.cluster().port()))
        .arg(format!("--dbname={}", db.name))
        .args(["--user=postgres", "--use-existing"])
        .args(&names)
        // Seconds until a step that hangs is given up.
        .env("PGISOLATIONTIMEOUT", "20")
        .env_remove("RUST_BACKTRACE")
        .current_dir("/")
        .output()
        .expect("pg_isolation_regress");
    if let Ok(keep) = env::var("SPECS_RESULTS") {
        for name in &names {
            let result = work.join("results").join(format!("{name}.out"));
            fs::copy(result, Path::new(&keep).join(format!("{name}.out"))).expect("keep the result");
        }
    }
    assert!(
        out.status.success(),
        "{}{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
        fs::read_to_string(work.join("regression.diffs")).unwrap_or_default()
    );
    db.check_versions();
    assert_eq!(db.admin().table("select * from domain_events.check_integrity()"), "");
}

/// Packages of the server's headers put it beside pgxs.
fn runner() -> std::path::PathBuf {
    let out = Command::new(bin_dir().join("pg_config")).arg("--pgxs").output().expect("pg_config");
    let pgxs = String::from_utf8(out.stdout).expect("a path");
    let runner = Path::new(pgxs.trim()).parent().expect("a directory").join("../test/isolation/pg_isolation_regress");
    assert!(runner.exists(), "{} is missing: install the server's development package", runner.display());
    runner
}
