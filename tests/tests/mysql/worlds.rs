//! Legacy worlds, loaded into MariaDB; their dumps; their tables in PostgreSQL.

use std::{env, fs, path::PathBuf};

use domain_events::from_mysql::files::from_path;
use domain_events_mysql::ddl;
use domain_events_tests::{Db, MariaDatabase, MariaDb};

/// The legacy world of the seeds: the table, the function that looks right, the trigger that is wrong, one that hardcodes.
pub const SEED: &str = include_str!("seed.sql");

/// A world in MariaDB, and its dump.
pub struct World {
    /// The database.
    pub maria: MariaDatabase,
    /// Its dump, without rows.
    pub dump: PathBuf,
}

impl World {
    /// Loads a script.
    pub fn new(script: &str) -> World {
        let maria = MariaDb::shared().database();
        maria.run(script);
        let dump = env::temp_dir().join(format!("{}-{}.sql", maria.name, std::process::id()));
        let mut command = maria.server().program("mariadb-dump");
        let out =
            command.args(["--routines", "--triggers", "--no-data"]).arg(&maria.name).output().expect("mariadb-dump");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        fs::write(&dump, out.stdout).expect("a file for the dump");
        World { maria, dump }
    }

    /// Makes its tables in PostgreSQL.
    pub fn create_tables(&self, db: &Db) {
        let source = from_path(&self.dump).expect("the dump");
        assert!(source.problems.is_empty(), "{:?}", source.problems);
        let made: Vec<ddl::Ddl> = source.schema.tables.iter().map(|t| ddl::ddl(t, "public")).collect();
        for sql in made.iter().flat_map(|d| d.table.iter().chain(&d.unique_keys).chain(&d.keys)) {
            db.owner().run(sql);
        }
        for (_, sql) in made.iter().flat_map(|d| &d.foreign_keys) {
            db.owner().run(sql);
        }
    }

    /// The dump's path.
    pub fn path(&self) -> &str {
        self.dump.to_str().expect("UTF-8")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_file(&self.dump).ok();
    }
}
