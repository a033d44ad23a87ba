//! Adopting a table again whose first adoption was rolled back: the store still has its streams, the table has gone on.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { streams_that_the_store_knows_count_both_places, what_is_written_until_the_switch_counts,
a_stream_written_in_the_store_until_the_switch_is_refused, an_adoption_that_was_not_taken_back_to_its_end_is_ended_first }

const APPLICATION: &str = "
  create table users (id int primary key, n int not null default 0);
  create table ev (id bigserial primary key, aggregate_type text not null, aggregate_id text not null, aggregate_version int not null,
                   event_type text not null, event_data jsonb, created_at timestamptz default now(),
                   constraint uk_ev unique (aggregate_type, aggregate_id, aggregate_version));
  create function log_user() returns trigger language plpgsql as $$
  begin
    insert into ev (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
    values ('User', new.id::text, (select coalesce(max(aggregate_version), 0) + 1 from ev where aggregate_type = 'User' and aggregate_id = new.id::text),
            'UserUpdated', to_jsonb(new));
    return new;
  end $$;
  create trigger log_user after update on users for each row execute function log_user();
  insert into users select g from generate_series(1, 2000) g;
  update users set n = n + 1; update users set n = n + 1";

/// Adopted, taken back, and written twice since: every stream has 2 events in the store and 4 in the table.
fn taken_back(db: &Db) -> Legacy<'_> {
    let legacy = Legacy::of(db, APPLICATION);
    legacy.plan(&["--adopt"]);
    legacy.apply().expect(0);
    legacy.rollback().expect(0);
    db.owner().run("update users set n = n + 1; update users set n = n + 1");
    legacy.plan(&["--adopt"]);
    legacy
}

fn begin(legacy: &Legacy<'_>) -> Child {
    let mut command = legacy.db.cli_command(legacy.user(), &["apply", "--yes", legacy.file()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("apply")
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("apply ended");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn wait_until(db: &Db, what: &str, condition: &str) {
    let mut watcher = db.admin();
    let begun = Instant::now();
    while watcher.one(condition) != "t" {
        assert!(begun.elapsed().as_secs() < 60, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Begins to adopt, and kills it (-9) as soon as the table is a view.
fn kill_in_the_middle(legacy: &Legacy<'_>) {
    let mut child = begin(legacy);
    let mut watcher = legacy.db.admin();
    while watcher.number("select count(*) from pg_class where oid = to_regclass('ev') and relkind = 'v'") == 0 {
        if child.try_wait().expect("apply").is_some() {
            panic!("apply ended: {:?}", end(child));
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("kill");
    child.wait().expect("apply ended");
    // until the server has noticed
    wait_until(
        legacy.db,
        "the killed apply is gone",
        "select count(*) = 0 from pg_stat_activity where application_name = 'domain-events' and datname = current_database()",
    );
}

const WAITS_FOR_THE_TABLE: &str = "select count(*) > 0 from pg_locks where not granted and mode = 'AccessExclusiveLock' and relation = 'ev'::regclass";

/// Versions without gap, in their order, in both places, and nothing that the monitor finds.
fn is_right(db: &Db) {
    let mut owner = db.owner();
    for table in ["ev", "domain_events.events"] {
        let broken = format!(
            "select count(*) from (select from {table} where aggregate_type = 'User' group by aggregate_id
              having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s"
        );
        assert_eq!(owner.number(&broken), 0, "{table}");
    }
    assert_eq!(owner.table("select * from domain_events.check_integrity()"), "");
}

fn streams_that_the_store_knows_count_both_places(db: &Db) {
    let legacy = taken_back(db);
    let mut owner = db.owner();
    kill_in_the_middle(&legacy);
    let newest = |owner: &mut domain_events_tests::Session, id: &str| {
        owner.number(&format!("select max(aggregate_version) from ev where aggregate_id = '{id}'"))
    };
    // nobody moves the rest: every writer goes on, and counts both places
    owner.run("update users set n = n + 1 where id in (1, 1500, 2000)");
    for id in ["1", "1500", "2000"] {
        assert_eq!(newest(&mut owner, id), 5, "{id}");
    }
    assert_eq!(owner.number("select domain_events.next_aggregate_version('User', '2')"), 5);
    assert_eq!(
        owner.number(
            "select aggregate_version from domain_events.append_event('User', '3', 'Noted', expected_version => 4)"
        ),
        5
    );
    owner
        .error("select domain_events.append_event('User', '4', 'Noted', expected_version => 2)")
        .expect("23000")
        .naming("actual 4");
    assert_eq!(
        owner.table("select aggregate_version from domain_events.append_events('[{\"event_type\":\"A\",\"aggregate_type\":\"User\",\"aggregate_id\":\"5\"}]', '[{\"aggregate_type\":\"User\",\"aggregate_id\":\"6\",\"version\":4}]')"),
        "5"
    );
    // taken back in the middle, the table has all of its own
    legacy.rollback().expect(0);
    assert_eq!(owner.one("select relkind from pg_class where oid = 'ev'::regclass"), "r");
    owner.run("update users set n = n + 1 where id > 10");
    assert_eq!(newest(&mut owner, "1500"), 6);
    is_right(db);
    // and a third time, to the end
    legacy.plan(&["--adopt"]);
    kill_in_the_middle(&legacy);
    owner.run("update users set n = n + 1 where id > 10");
    assert_eq!(newest(&mut owner, "1500"), 7);
    assert_eq!(newest(&mut owner, "20"), 6);
    legacy.apply().expect(0).saying("goes on");
    owner.run("update users set n = n + 1 where id > 10");
    is_right(db);
    assert_eq!(owner.table("select code from domain_events.check_infrastructure()"), "");
}

fn what_is_written_until_the_switch_counts(db: &Db) {
    let legacy = taken_back(db);
    let mut owner = db.owner();
    // the check sees streams that are equal in both places, and then they are not
    legacy.apply().expect(0);
    legacy.rollback().expect(0);
    let mut reader = db.owner();
    reader.run("begin; select count(*) from ev");
    legacy.plan(&["--adopt"]);
    let child = begin(&legacy);
    wait_until(db, "the switch waits", WAITS_FOR_THE_TABLE);
    // in one of its pauses
    owner.run("update users set n = n + 1 where id = 7");
    reader.run("commit");
    let (code, text) = end(child);
    assert_eq!(code, Some(0), "{text}");
    owner.run("update users set n = n + 1 where id = 7");
    assert_eq!(owner.number("select max(aggregate_version) from ev where aggregate_id = '7'"), 6);
    is_right(db);
}

fn a_stream_written_in_the_store_until_the_switch_is_refused(db: &Db) {
    let legacy = taken_back(db);
    let mut owner = db.owner();
    // the rows of stream 7 are far from the last ones, which are looked at again
    owner.run("select setval('ev_id_seq', 50000); update users set n = n + 1 where id = 8");
    let mut reader = db.owner();
    reader.run("begin; select count(*) from ev");
    let child = begin(&legacy);
    wait_until(db, "the switch waits", WAITS_FOR_THE_TABLE);
    owner.run("select domain_events.append_event('User', '7', 'Noted')");
    reader.run("commit");
    let (code, text) = end(child);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("version 3 of stream (User, 7)") && text.contains("nothing was changed"), "{text}");
    assert_eq!(owner.one("select relkind from pg_class where oid = 'ev'::regclass"), "r");
    assert_eq!(owner.number("select count(*) from domain_events.adoptions where state = 'moving'"), 0);
    owner.run("update users set n = n + 1 where id = 7");
}

fn an_adoption_that_was_not_taken_back_to_its_end_is_ended_first(db: &Db) {
    let legacy = taken_back(db);
    let plan = db.admin().one("select plan_id from domain_events.adoptions");
    // as a rollback leaves it that is killed once the table is back
    db.admin().run("update domain_events.adoptions set state = 'moving', ended_at = null");
    legacy.apply().expect_error(1, "55000").saying(&format!("rollback {plan}"));
    legacy.cli(&["rollback", "--yes", &plan]).expect(0);
    legacy.apply().expect(0);
    db.owner().run("update users set n = n + 1");
    is_right(db);
}
