//! Shape of the store, privileges, comments, append-only.

use domain_events_tests::{Db, engines};

engines! { engine_tells_its_name }

fn engine_tells_its_name(db: &Db) {
    let mut s = db.owner();
    assert_eq!(s.table("select * from domain_events.engine()"), format!("{}|0.1.0", db.engine.name()));
}
