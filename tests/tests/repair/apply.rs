//! Carrying a repair out, and taking it back.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! {
    a_log_without_a_key_is_renumbered_and_gets_its_key,
    a_key_that_cannot_be_built_leaves_nothing_behind,
    a_unique_key_stays_whole_while_versions_move,
    every_batch_size_comes_to_the_same,
    the_map_tells_old_from_new,
    rollback_puts_every_version_back,
    a_repair_that_does_not_fit_is_refused,
    an_edited_file_is_refused,
    a_registered_table_goes_on_counting
}

fn a_log_without_a_key_is_renumbered_and_gets_its_key(db: &Db) {
    let legacy = Legacy::new(db);
    let run = legacy.propose(&[]);
    assert!(
        run.stdout.contains("User 12") && run.stdout.contains("1 1 1") && run.stdout.contains("1 to 3"),
        "{}",
        run.stdout
    );
    legacy.cli(&["repair", "--add-key"]).expect_error(1, "23505").saying("repair --out");
    let file = std::fs::read_to_string(&legacy.file).expect("the file");
    assert!(file.contains("before = \"1 1 1\"\nafter = \"1 to 3\""), "{file}");
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect(0);
    assert_eq!(legacy.broken_streams(), 0);
    let key = "select count(*) from pg_index where indrelid = 'public.domain_events'::regclass and indisunique and indisvalid and indnkeyatts = 3";
    assert_eq!(db.owner().number(key), 1);
    assert!(legacy.findings("public.domain_events").is_empty());
    // and so the trigger can be ported
    let plan = format!("{}.plan", legacy.file());
    legacy.cli(&["plan", "--out", &plan]).expect(3);
    legacy.cli(&["apply", "--yes", &plan]).expect(0);
    std::fs::remove_file(&plan).ok();
    db.owner().run("update users set n = n + 1");
    assert_eq!(legacy.broken_streams(), 0);
    legacy.apply().expect(0).saying("applied already");
}

fn a_key_that_cannot_be_built_leaves_nothing_behind(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&[]);
    legacy.apply().expect(0);
    // the trigger is not ported yet
    db.owner().run("update users set n = n + 1 where id = 1");
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect_error(1, "23505").saying("run repair again");
    let indexes = "select count(*) from pg_index where indrelid = 'public.domain_events'::regclass";
    assert_eq!(db.owner().number(indexes), 2, "the key and the event's id");
    // one that an interrupted run has left invalid is built anew
    let failed = "create unique index concurrently uk_domain_events_version on domain_events (aggregate_type, aggregate_id, aggregate_version)";
    db.owner().error(failed).expect_code("23505");
    assert_eq!(db.owner().number(indexes), 3);
    legacy.propose(&[]);
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect(0);
    assert_eq!(db.owner().number(&format!("{indexes} and indisvalid")), 3);
    assert!(legacy.findings("public.domain_events").is_empty());
    legacy.cli(&["repair", "--add-key"]).expect(0);
}

fn a_unique_key_stays_whole_while_versions_move(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table domain_events (id bigint generated always as identity primary key, aggregate_type text not null,
           aggregate_id text not null, aggregate_version int not null check (aggregate_version > 0), event_type text not null,
           unique (aggregate_type, aggregate_id, aggregate_version));
         insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
         values ('A', '1', 3, 'e'), ('A', '1', 2, 'e'), ('A', '1', 7, 'e'), ('A', '1', 1, 'e'), ('A', '1', 5, 'e'),
                ('B', '1', 2, 'e'), ('B', '1', 1, 'e')",
    );
    legacy.propose(&["--table", "domain_events"]);
    legacy.apply().expect(0);
    assert_eq!(
        legacy.versions(),
        "1|1\n2|2\n3|3\n4|4\n5|5\n6|2\n7|1",
        "a stream that only contradicts the order stays"
    );
    legacy.propose(&["--table", "domain_events", "--reorder"]);
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
}

fn every_batch_size_comes_to_the_same(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&["--batch-size", "1"]);
    let file = std::fs::read_to_string(&legacy.file).expect("the file");
    assert!(file.contains("renumbered_streams = 20\nevents = 50\nrenumbered_events = 30\nbatches = 20"), "{file}");
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
    assert_eq!(
        db.owner().number("select count(*) from domain_events.migration_journal where step like 'renumber batch%'"),
        20
    );
}

fn the_map_tells_old_from_new(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&[]);
    legacy.apply().expect(0);
    let map = "select old_version, new_version, is_late, repaired_at is not null, undone_at is null from domain_events.repaired_versions m
                join public.domain_events e on e.id::text = m.row_key and e.aggregate_version = m.new_version
               where m.aggregate_type = 'User' and m.aggregate_id = '4' order by new_version";
    assert_eq!(db.owner().table(map), "1|1|f|t|t\n1|2|f|t|t\n1|3|f|t|t");
    let findings = "select code || object from domain_events.check_infrastructure() where severity = 'error'";
    assert_eq!(db.owner().table(findings), "");
    // nothing is pending after it, and nothing hinders the removal of the store
    legacy.cli(&["status"]).expect(0);
    legacy.cli(&["verify"]).expect(0);
    db.cli("postgres", &["uninstall", "--dry-run", "--drop-events"]).expect(3);
}

fn rollback_puts_every_version_back(db: &Db) {
    let legacy = Legacy::new(db);
    let before = legacy.versions();
    legacy.propose(&["--batch-size", "7"]);
    legacy.apply().expect(0);
    legacy.cli(&["rollback", "--yes"]).expect(0);
    assert_eq!(legacy.versions(), before);
    legacy.apply().expect_error(1, "55000").saying("rolled back");
    // with a key that forbids the old versions there is no way back
    legacy.propose(&[]);
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect(0);
    // once more finds the key that it made
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect(0);
    legacy.cli(&["rollback", "--yes"]).expect_error(1, "23505").saying("domain-events rollback repair-");
    assert_eq!(legacy.broken_streams(), 0);
}

fn a_repair_that_does_not_fit_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&[]);
    db.owner().run("update domain_events set aggregate_version = 9 where id = (select max(id) from domain_events where aggregate_id = '4')");
    let before = legacy.versions();
    legacy.cli(&["repair", "--dry-run", legacy.file()]).expect(4).saying("User 4");
    legacy.apply().expect(4).saying("hint: ");
    assert_eq!(legacy.versions(), before);
    legacy.propose(&[]);
    db.owner().run("alter table domain_events add column extra text");
    legacy.apply().expect(4);
    legacy.propose(&[]);
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
}

fn an_edited_file_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&[]);
    let text = std::fs::read_to_string(&legacy.file).expect("the file");
    for (from, to) in [("order_by = [\"id\"]", "order_by = [\"event_id\"]"), ("\"1\",2]", "\"1\",5]")] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&legacy.file, text.replacen(from, to, 1)).expect("the file");
        legacy.apply().expect(2).saying("edited by hand");
    }
    std::fs::write(&legacy.file, "format = 1\n").expect("the file");
    legacy.apply().expect(2);
}

fn a_registered_table_goes_on_counting(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table domain_events (id bigint generated always as identity primary key, aggregate_type text not null,
           aggregate_id text not null, aggregate_version bigint not null, event_type text not null,
           unique (aggregate_type, aggregate_id, aggregate_version));
         select domain_events.register_event_table('domain_events', 'aggregate_type', 'aggregate_id', 'aggregate_version');
         insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
         values ('A', '1', 1, 'e'), ('A', '1', 4, 'e'), ('A', '1', 9, 'e')",
    );
    legacy.propose(&[]);
    // somebody has asked for a number and not used it yet: the repair waits for him, and he is numbered with the others
    let mut writer = db.owner();
    writer.run("begin");
    assert_eq!(writer.number("select domain_events.next_aggregate_version('A', '1', 'public.domain_events')"), 10);
    std::thread::scope(|scope| {
        let repair = scope.spawn(|| legacy.apply());
        std::thread::sleep(std::time::Duration::from_millis(900));
        // while the repair waits it lets go of the table again and again
        let mut tries = 0;
        writer.run("savepoint s; set local lock_timeout = '300ms'");
        let insert = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('A', '1', 10, 'late')";
        while writer.attempt(insert).is_err() {
            writer.run("rollback to savepoint s; set local lock_timeout = '300ms'");
            tries += 1;
            assert!(tries < 20, "the repair never lets go");
        }
        writer.run("commit");
        repair.join().expect("the repair").expect(0).saying("numbered after the others");
    });
    assert_eq!(legacy.versions(), "1|1\n2|2\n3|3\n4|4");
    assert_eq!(db.owner().number("select domain_events.next_aggregate_version('A', '1', 'public.domain_events')"), 5);
}
