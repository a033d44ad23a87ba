//! One legacy database, read live and from dumps: the same tables and programs come out.

use std::fs;

use domain_events::from_mysql::files::from_path;
use domain_events::from_mysql::server;
use domain_events_mysql::ast::ProgramKind;
use domain_events_mysql::source::{self, MissingKind, Source};
use domain_events_tests::{MariaDatabase, MariaDb};

const LEGACY: &str = r#"
    create table users (id bigint unsigned not null auto_increment primary key, name varchar(50), note text);
    create table domain_events (
        id bigint unsigned not null auto_increment primary key,
        aggregate_type varchar(100) not null, aggregate_id varchar(100) not null, aggregate_version bigint unsigned not null,
        event_data json, unique key uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version));
    create view everyone as select * from users;
    delimiter $$
    create function GetNextAggregateVersion(p_type varchar(100), p_id varchar(100)) returns bigint unsigned
    reads sql data deterministic
    begin
        declare v bigint unsigned default 1;
        select coalesce(max(aggregate_version), 0) + 1 into v from domain_events
        where aggregate_type = p_type and aggregate_id = p_id;
        return v;
    end$$
    create procedure note_it(in p_id bigint) begin update users set note = 'noted' where id = p_id; end$$
    create trigger second_of_two after update on users for each row
        insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_data)
        values ("User", new.id, GetNextAggregateVersion("User", new.id), json_object('it''s; -- ', "END $$ \\"))$$
    create trigger first_of_two after update on users for each row precedes second_of_two begin
        -- a comment; END
        if not (new.name <=> old.name) then set @changed = 1; /* END IF; */ end if;
    end$$
    set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'$$
    create trigger quoted before insert on users for each row set new."note" = 'a\' $$
    create event tidy on schedule every 1 day do delete from users where note = 'gone'$$
    delimiter ;
"#;

fn legacy() -> MariaDatabase {
    let db = MariaDb::shared().database();
    db.run(LEGACY);
    db
}

fn live(db: &MariaDatabase) -> Source {
    live_at(&db.url())
}

fn live_at(url: &str) -> Source {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server::from_url(url)).expect("the legacy database is read")
}

/// What must not depend on the way it was read.
fn shape(source: &Source) -> Vec<String> {
    let mut lines: Vec<String> = source
        .programs
        .iter()
        .map(|p| {
            let (mode, program) = (p.program.sql_mode, &p.program);
            format!(
                "{} {}: {} {} {:?}",
                source::kind_of(program),
                program.name.name,
                mode.ansi_quotes,
                mode.no_backslash_escapes,
                kinds(program)
            )
        })
        .chain(
            source
                .schema
                .tables
                .iter()
                .map(|t| format!("table {}: {} columns, {} keys", t.name, t.columns.len(), t.keys.len())),
        )
        .chain(source.views.iter().map(|v| format!("view {v}")))
        .collect();
    lines.sort();
    lines
}

fn kinds(program: &domain_events_mysql::ast::Program) -> Vec<String> {
    let mut kinds = vec![];
    domain_events_mysql::walk::statements(program, &mut |s| {
        kinds.push(format!("{:?}", s.kind).split(['(', ' ', '{']).next().unwrap_or_default().to_owned());
    });
    kinds
}

#[test]
fn live_and_from_a_dump_the_same_comes_out() {
    let db = legacy();
    let live = live(&db);
    assert_eq!(live.problems, []);
    assert_eq!(live.missing, []);
    assert!(live.server.as_ref().is_some_and(|s| s.mariadb && s.version.contains("MariaDB")));
    assert_eq!(live.database.as_deref(), Some(db.name.as_str()));
    let orders: Vec<_> = live.triggers().map(|(p, t)| (p.program.name.name.as_str(), t.action_order)).collect();
    assert_eq!(orders, [("first_of_two", Some(1)), ("second_of_two", Some(2)), ("quoted", Some(1))]);
    assert!(!shape(&live).iter().any(|line| line.contains("Unread")), "{:#?}", shape(&live));
    assert_eq!(shape(&live).len(), 9);

    let file = std::env::temp_dir().join(format!("domain-events-{}-{}.sql", std::process::id(), db.name));
    for options in [&["--routines", "--events"] as &[&str], &["--routines", "--events", "--databases"]] {
        let dump = db.server().program("mariadb-dump").args(options).arg(&db.name).output().expect("mariadb-dump");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        fs::write(&file, &dump.stdout).expect("a dump");
        let dumped = from_path(&file).expect("the dump is read");
        assert_eq!(dumped.problems, []);
        assert_eq!(dumped.missing, []);
        assert!(dumped.server.as_ref().is_some_and(|s| s.mariadb));
        assert_eq!(shape(&dumped), shape(&live));
    }
    fs::remove_file(&file).expect("removed");
}

#[test]
fn a_dump_without_routines_says_so() {
    let db = legacy();
    let file = std::env::temp_dir().join(format!("domain-events-{}-{}.sql", std::process::id(), db.name));
    let dump = db.server().program("mariadb-dump").arg(&db.name).output().expect("mariadb-dump");
    fs::write(&file, &dump.stdout).expect("a dump");
    let source = from_path(&file).expect("the dump is read");
    fs::remove_file(&file).expect("removed");
    let missing: Vec<_> = source.missing.iter().map(|m| (m.kind, m.name.as_str(), m.used_by.join(","))).collect();
    assert_eq!(missing, [(MissingKind::Function, "GetNextAggregateVersion", "trigger second_of_two".to_owned())]);
}

#[test]
fn a_user_who_may_not_read_a_body_is_told() {
    let db = legacy();
    let user = format!("reader_{}", db.name);
    db.run(&format!(
        "create user {user}@'127.0.0.1' identified by 's3cret'; grant select, execute, trigger on {}.* to {user}@'127.0.0.1';",
        db.name
    ));
    let url = db.url().replace("root@", &format!("{user}:s3cret@"));
    let source = live_at(&url);
    let problems: Vec<_> = source.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("function GetNextAggregateVersion: its text may not be read"), "{problems:?}");
    assert!(!problems.concat().contains("s3cret"), "{problems:?}");
    assert_eq!(source.triggers().count(), 3);
}

#[test]
fn a_server_that_is_not_there_or_refuses_is_told_with_what_to_do() {
    let db = legacy();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (url, reason) in [
        (db.url().replace("root@", "nobody:wrong@"), "Access denied"),
        (db.url().replace(&db.name, "no_such_database"), "Unknown database"),
        ("mysql://root@127.0.0.1:1/x".to_owned(), "refused"),
    ] {
        let error = runtime.block_on(server::from_url(&url)).expect_err(&url);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.hint().is_some() && !error.to_string().contains("wrong"), "{error}");
    }
    let socket = format!("mysql://root@localhost/{}?socket={}", db.name, db.server().socket().display());
    assert_eq!(live_at(&socket).triggers().count(), 3);
}

#[test]
fn triggers_of_every_timing_keep_their_kind() {
    let source = live(&legacy());
    let heads: Vec<String> = source
        .programs
        .iter()
        .filter_map(|p| match &p.program.kind {
            ProgramKind::Trigger(t) => Some(format!("{} {:?} {:?} {}", p.program.name, t.timing, t.events, t.table)),
            _ => None,
        })
        .collect();
    assert_eq!(
        heads,
        ["first_of_two After [Update] users", "second_of_two After [Update] users", "quoted Before [Insert] users"]
    );
}
