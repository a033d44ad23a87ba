//! An import that is killed goes on where it stopped, and ends as if it never had been.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, Session, engines};

use crate::{EVENTS, World, healthy};

engines! { killed_imports_go_on, an_import_goes_on_with_the_same_source_only }

const MANY: &str = "
    create table things (id int auto_increment primary key, name varchar(50), at timestamp(3) null);
    insert into things (name, at) select concat('thing ', seq), '2025-01-01' + interval seq second from seq_1_to_8000;
    create table domain_events (id bigint unsigned auto_increment primary key, event_id char(36) not null unique, aggregate_type varchar(50) not null,
      aggregate_id varchar(50) not null, aggregate_version int not null, event_type varchar(50) not null, event_data json not null,
      occurred_at timestamp(3) not null, is_processed tinyint(1) not null default 0);
    insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data, occurred_at)
      select uuid(), 'Thing', seq % 997, 1, 'ThingChanged',
             if(seq % 500 = 7, '\"\\\\u0000\"', json_object('n', seq, 'text', repeat('x', 100))), '2025-01-01' + interval seq second from seq_1_to_12000;";

const STORED: &str =
    "select coalesce(sum(rows_stored), 0) from domain_events.imports where target = 'domain_events.events'";

/// Starts the command line and kills it as soon as it has come so far; its session has ended when this returns.
fn killed_at(db: &Db, args: &[&str], so_far: impl Fn(&mut Session) -> bool) {
    let mut admin = db.admin();
    let mut child = db
        .cli_command(crate::importer(db), args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    while !so_far(&mut admin) {
        assert!(child.try_wait().expect("a status").is_none(), "it ended before it could be killed");
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("kill");
    child.wait().expect("it ended");
    while admin.number("select count(*) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()") > 0 {
        thread::sleep(Duration::from_millis(2));
    }
}

fn killed_imports_go_on(db: &Db) {
    let world = World::new(MANY);
    let whole = Db::new(db.engine);
    let dump = world.dump(&[]);
    let args = ["--tables", "things", "--events", "domain_events", "--repair-versions", "--batch-size", "200"];
    world.import(&whole, &dump, &args).expect(3);
    let rejects = std::fs::read(world.path("rejects.domain_events.jsonl")).expect("rejects");
    assert_eq!(rejects.iter().filter(|b| **b == b'\n').count(), 24);
    std::fs::remove_file(world.path("rejects.domain_events.jsonl")).expect("the file");
    let path = world.path("rejects.jsonl");
    let mut all = vec!["import", "--yes", "--from", &dump, "--rejects", &path];
    all.extend(args);
    let mut between = 0;
    for n in 0..10 {
        let mut admin = db.admin();
        killed_at(db, &all, |admin| admin.number(STORED) > n * 1000);
        let journal = admin.number(STORED);
        assert_eq!(admin.number("select count(*) from domain_events.events"), journal, "a batch is torn");
        between += i32::from(journal > 0 && journal < 11_976);
    }
    assert!(between >= 9, "killed in the middle: {between} times");
    let last = world.import(db, &dump, &args);
    last.expect(3);
    let mut admin = db.admin();
    assert_eq!(admin.rows(EVENTS), whole.admin().rows(EVENTS));
    assert_eq!(admin.rows("select * from things order by id"), whole.admin().rows("select * from things order by id"));
    assert_eq!(
        admin.rows("select * from domain_events order by id"),
        whole.admin().rows("select * from domain_events order by id")
    );
    assert_eq!(std::fs::read(world.path("rejects.domain_events.jsonl")).expect("rejects"), rejects);
    assert_eq!(admin.one("select string_agg(state, ',') from domain_events.imports"), "finished,finished");
    healthy(db);
}

fn an_import_goes_on_with_the_same_source_only(db: &Db) {
    let world = World::new(MANY);
    let dump = world.dump(&[]);
    let path = world.path("rejects.jsonl");
    let args = [
        "import",
        "--yes",
        "--from",
        &dump,
        "--rejects",
        &path,
        "--events",
        "domain_events",
        "--repair-versions",
        "--batch-size",
        "50",
    ];
    let mut admin = db.admin();
    killed_at(db, &args, |admin| admin.number(STORED) > 0);
    assert_eq!(admin.number("select count(*) from domain_events.imports where state = 'finished'"), 0);
    db.cli(crate::importer(db), &args[..8]).expect(2).saying("other options");
    let mut text = std::fs::read(&dump).expect("the dump");
    text.extend_from_slice(b"-- changed\n");
    std::fs::write(&dump, text).expect("the dump");
    db.cli(crate::importer(db), &args).expect(4).saying("not the file");
}
