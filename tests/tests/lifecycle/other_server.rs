//! T25: a dump of one server restored into another, newer one. `make test-16`, `test-17` and `test-18` run this twice: on the older server
//! with KEEP_DUMPS, then on the newer one with DUMPS. Without them a server reads its own.

use std::{env, fs, path::PathBuf};

use domain_events_tests::{Db, Engine, engines};

use crate::{dump, restore};

engines! { t25_a_dump_goes_on_elsewhere, t25_a_dump_with_partitions_goes_on_elsewhere }

fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

fn dumped_and_restored(db: &Db, name: &str, statements: &str) -> Db {
    db.owner().run(statements);
    let own = PathBuf::from(db.file(name));
    db.quietly("pg_dump", &["-Fc", "-f", own.to_str().expect("a path")]);
    let file = format!("{}-{name}", db.engine.name());
    if let Some(kept) = directory("KEEP_DUMPS") {
        fs::create_dir_all(&kept).and_then(|()| fs::copy(&own, kept.join(&file))).expect("a copy of the dump");
    }
    let path = directory("DUMPS").map_or(own, |dumps| dumps.join(&file));
    let copy = Db::new(Engine::None).holding(db.engine);
    copy.quietly("pg_restore", &["--exit-on-error", "-d", &copy.name, path.to_str().expect("a path")]);
    copy
}

fn t25_a_dump_goes_on_elsewhere(db: &Db) {
    dump::goes_on(&dumped_and_restored(db, "dump", dump::USE));
}

fn t25_a_dump_with_partitions_goes_on_elsewhere(db: &Db) {
    restore::goes_on(&dumped_and_restored(db, "partitions", restore::USE));
}
