//! What must not be renumbered is not.

use domain_events_tests::{Db, engines};

use crate::{APPLICATION, Legacy};

engines! {
    a_version_that_is_referenced_stays,
    a_guarded_log_stays,
    a_hashed_log_stays,
    a_generated_column_forbids_it,
    rows_without_a_key_cannot_be_named,
    a_rule_and_row_security_forbid_it,
    what_drops_updates_in_silence_is_noticed
}

/// Everything broken, everything as it was, and the reason said.
fn refused(db: &Db, more: &str, sqlstate: &str, words: &[&str]) -> String {
    let legacy = Legacy::of(db, &format!("{APPLICATION}; {more}"));
    let before = legacy.versions();
    let mut run = legacy.cli(&["repair", "--table", "domain_events", "--out", legacy.file()]).expect_error(1, sqlstate);
    for word in words {
        run = run.saying(word);
    }
    assert!(!legacy.file.exists());
    // without a name, the table is left out with a warning
    legacy.cli(&["repair", "--out", legacy.file()]).expect(3).saying("is left out");
    assert_eq!(legacy.versions(), before);
    run.stderr
}

fn a_version_that_is_referenced_stays(db: &Db) {
    refused(
        db,
        "delete from domain_events e using domain_events f where f.aggregate_id = e.aggregate_id and f.id < e.id;
         update domain_events set aggregate_version = 2 where id % 2 = 0;
         alter table domain_events add constraint uk unique (aggregate_type, aggregate_id, aggregate_version);
         create table notes (t varchar(100), i varchar(100), v bigint, constraint notes_event foreign key (t, i, v)
           references domain_events (aggregate_type, aggregate_id, aggregate_version))",
        "23503",
        &["RP201", "notes_event"],
    );
}

fn a_guarded_log_stays(db: &Db) {
    let text = refused(
        db,
        "create function guard() returns trigger language plpgsql as $$ begin raise exception 'events are immutable'; end $$;
         create trigger immutable before update or delete on domain_events for each row execute function guard()",
        "55000",
        &["RP202", "immutable"],
    );
    assert!(!text.contains("--allow"), "a guard is not set aside: {text}");
}

fn a_hashed_log_stays(db: &Db) {
    let text = refused(db, "alter table domain_events add column prev_hash bytea", "55000", &["RP204", "prev_hash"]);
    assert!(text.contains("--allow prev_hash"), "{text}");
    // whoever knows better says so
    let legacy = Legacy::of(db, "select 1");
    legacy.propose(&["--table", "domain_events", "--allow", "prev_hash"]);
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
}

fn a_generated_column_forbids_it(db: &Db) {
    refused(
        db,
        "alter table domain_events add column label text generated always as (aggregate_id || ':' || aggregate_version::text) stored",
        "55000",
        &["RP205", "label"],
    );
}

fn rows_without_a_key_cannot_be_named(db: &Db) {
    refused(
        db,
        "alter table domain_events drop constraint domain_events_pkey, drop constraint domain_events_event_id_key",
        "42P16",
        &["RP207", "primary key"],
    );
}

fn a_rule_and_row_security_forbid_it(db: &Db) {
    refused(
        db,
        "create rule no_update as on update to domain_events do instead nothing",
        "55000",
        &["RP205", "no_update"],
    );
    db.owner().run("drop rule no_update on domain_events; alter table domain_events enable row level security, force row level security");
    let legacy = Legacy::of(db, "create policy all_of_them on domain_events using (true)");
    legacy
        .cli(&["repair", "--table", "domain_events", "--out", legacy.file()])
        .expect_error(1, "55000")
        .saying("row security");
}

fn what_drops_updates_in_silence_is_noticed(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{APPLICATION};
             create function keep() returns trigger language plpgsql as $$
             declare kept domain_events := old; begin return kept; end $$;
             create trigger touch before update on domain_events for each row execute function keep()"
        ),
    );
    let before = legacy.versions();
    legacy
        .cli(&["repair", "--table", "domain_events", "--out", legacy.file()])
        .expect_error(1, "55000")
        .saying("RP203");
    legacy.propose(&["--allow", "touch"]);
    let run = legacy.apply();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("did not take"), "{}", run.stderr);
    assert_eq!(legacy.versions(), before);
}
