//! Importing from a real MariaDB and from dumps, as a user runs it.

mod events;
mod generated;
mod interrupted;
mod rejects;
mod tables;

use std::fs;
use std::path::PathBuf;

use domain_events_tests::{Db, Engine, MariaDatabase, MariaDb, Run, repository};

/// A legacy database, and what an import needs beside it.
struct World {
    legacy: MariaDatabase,
    dir: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

impl World {
    /// Runs a script in an empty MariaDB database.
    fn new(script: &str) -> Self {
        let legacy = MariaDb::shared().database();
        legacy.run(script);
        let dir = std::env::temp_dir().join(format!("de-import-{}-{}", std::process::id(), legacy.name));
        fs::create_dir_all(&dir).expect("a directory");
        World { legacy, dir }
    }

    /// Users and events of the seed, their versions put right.
    fn seed() -> Self {
        let script = fs::read_to_string(repository().join("tests/demo/mysql.sql")).expect("the legacy database");
        let world = World::new(&script);
        world.legacy.run(
            "update domain_events set aggregate_version = 2 where aggregate_version = 4;
             update domain_events set aggregate_version = 2 where aggregate_version = 20;
             update domain_events set is_processed = 1, processed_at = now() where aggregate_id = '1';",
        );
        world
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("a path").into()
    }

    /// Its dump by mariadb-dump.
    fn dump(&self, options: &[&str]) -> String {
        let mut command = self.legacy.server().program("mariadb-dump");
        let out = command.args(options).arg(&self.legacy.name).output().expect("mariadb-dump");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let path = self.path("dump.sql");
        fs::write(&path, out.stdout).expect("the dump");
        path
    }

    /// A file of the world's directory.
    fn file(&self, name: &str, text: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// `import --from ..` as the owner of the store; the reject file is in the world's directory.
    fn import(&self, db: &Db, from: &str, args: &[&str]) -> Run {
        let rejects = self.path("rejects.jsonl");
        let mut all = vec!["import", "--yes", "--from", from, "--rejects", &rejects];
        all.extend(args);
        db.cli(importer(db), &all)
    }

    /// Lines of the reject file: row, line and reason.
    fn rejects(&self) -> Vec<(u64, u64, String)> {
        let text = fs::read_to_string(self.path("rejects.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let number = |name: &str| row[name].as_u64().expect("a number");
                (number("row"), number("line"), row["reason"].as_str().expect("a reason").to_owned())
            })
            .collect()
    }
}

/// The owner of the store, who alone imports.
fn importer(db: &Db) -> &'static str {
    if db.engine == Engine::Portable { "app_owner" } else { "postgres" }
}

/// Everything of the store that comes from the source, in order.
const EVENTS: &str = "select event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
    correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at from domain_events.events order by global_position";

/// Nothing is wrong with the store.
#[track_caller]
fn healthy(db: &Db) {
    db.cli("postgres", &["monitor", "--check-integrity", "--full"]).expect(0);
    db.cli("postgres", &["monitor", "--check-infrastructure"]).expect(0);
    let gaps = "select count(*) from (select from domain_events.events group by aggregate_type, aggregate_id
                  having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s";
    assert_eq!(db.admin().one(gaps), "0", "streams whose versions are not 1..n");
}
