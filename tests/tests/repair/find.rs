//! What a repair finds, without touching anything.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! {
    every_fault_is_found,
    a_whole_log_is_clean,
    looking_writes_nothing,
    the_store_is_examined_and_never_renumbered
}

fn every_fault_is_found(db: &Db) {
    let legacy = Legacy::new(db);
    // 40 users, 20 twice, 10 three times: 30 events that share a version
    assert_eq!(legacy.findings("public.domain_events"), ["RP101:20:30", "RP108:0:0"]);
    db.owner().run(
        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, occurred_at) values
           ('Gap', '1', 1, 'a', '2020-01-01'), ('Gap', '1', 4, 'a', '2020-01-02'),
           ('Odd', '1', 0, 'a', '2020-01-01'), ('Odd', '1', 1, 'a', '2020-01-02'),
           ('Order', '1', 2, 'a', '2020-01-01'), ('Order', '1', 1, 'a', '2020-01-02');
         -- what INSERT .. ON CONFLICT DO NOTHING and a rollback leave behind: a number that no row has
         do $$ begin insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('Lost', '1', 1, 'a');
               raise exception 'rolled back'; exception when raise_exception then null; end $$;
         insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('Whole', '1', 1, 'a')",
    );
    assert_eq!(
        legacy.findings("public.domain_events"),
        ["RP101:20:30", "RP102:1:2", "RP103:1:1", "RP104:1:2", "RP105:1:1", "RP106:0:1", "RP108:0:0"]
    );
    let run = legacy.cli(&["repair"]).expect(3).saying("repair --out");
    for text in ["Gap 1: 1 4", "Order 1: 2 1", "Odd 1: 0 1", "no repair brings them back"] {
        assert!(run.stdout.contains(text), "{text:?} is not shown in\n{}", run.stdout);
    }
}

fn a_whole_log_is_clean(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table domain_events (id bigint generated always as identity primary key, aggregate_type text not null,
           aggregate_id text not null, aggregate_version bigint not null, event_type text not null, payload jsonb,
           occurred_at timestamptz not null default now(), unique (aggregate_type, aggregate_id, aggregate_version));
         insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
         select 'T', i % 7, i / 7 + 1, 'e' from generate_series(0, 69) i;
         select domain_events.register_event_table('domain_events', 'aggregate_type', 'aggregate_id', 'aggregate_version')",
    );
    assert!(legacy.findings("public.domain_events").is_empty());
    legacy.cli(&["repair"]).expect(0);
    // a table that nothing in the database writes to is found by its name, and its columns by its key
    legacy.cli(&["repair", "--table", "domain_events"]).expect(0);
}

fn looking_writes_nothing(db: &Db) {
    let legacy = Legacy::new(db);
    let before = legacy.versions();
    legacy.cli(&["repair"]).expect(3);
    legacy.propose(&[]);
    legacy.cli(&["repair", "--dry-run", legacy.file()]).expect(3).saying("nothing was changed");
    assert_eq!(legacy.versions(), before);
    let mut owner = db.owner();
    assert_eq!(owner.number("select count(*) from domain_events.migration_plans"), 0);
    assert_eq!(owner.number("select count(*) from domain_events.repaired_versions"), 0);
    // the server itself would refuse to write: a role that may do nothing else can look
    owner.run(&format!("alter role app_owner in database {} set default_transaction_read_only = on", db.name));
    legacy.cli(&["repair"]).expect(3);
    legacy.cli(&["repair", "--dry-run", legacy.file()]).expect(3);
    legacy.apply().expect_error(1, "25006");
    assert_eq!(legacy.broken_streams(), 20);
}

fn the_store_is_examined_and_never_renumbered(db: &Db) {
    let legacy = Legacy::of(db, "select domain_events.append_event('T', i::text, 'e') from generate_series(1, 5) i");
    assert!(legacy.findings("domain_events.events").is_empty());
    // forged past every function
    db.admin().run("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('T', '1', 5, 'x')");
    assert_eq!(legacy.findings("domain_events.events"), ["RP102:1:3"]);
    legacy
        .cli(&["repair", "--table", "domain_events.events", "--out", legacy.file()])
        .expect_error(1, "23001")
        .saying("append-only");
    assert!(!legacy.file.exists());
}
