//! T15: pg_dump and pg_restore, whole databases and single tables.

use domain_events_tests::{Db, Engine, engines};

engines! {
    t15_a_whole_database, t15_data_only, t15_a_single_captured_table, t15_redaction_follows_the_name, t15_dead_letters_and_pauses,
    t15_a_restored_table_before_its_first_write, t15_a_restored_table_without_its_triggers, t15_the_schema_alone,
}

pub const USE: &str = "create table users (gone int, id int primary key, name text, ssn text);
    alter table users drop column gone;
    select domain_events.enable_capture('users', redact => '{ssn}', exclude => '{}', event_types => '[{\"on\": \"delete\", \"type\": \"UserLeft\"}]');
    insert into users values (1, 'a', 'secret-1'), (2, 'b', 'secret-2');
    update users set name = 'c' where id = 1;
    create table items (order_id int, sku text, n int, primary key (order_id, sku));
    select domain_events.enable_capture('items', 'Order', '{order_id}');
    insert into items values (1, 'x', 1);
    create table log (type text, id text, version bigint, unique (type, id, version));
    insert into log values ('User', '1', 4);
    select domain_events.register_event_table('log', 'type', 'id', 'version');
    select domain_events.append_event('Note', '1', 'NoteTaken');";

pub fn goes_on(db: &Db) {
    let mut s = db.owner();
    s.run(
        "update users set name = 'z', ssn = 'secret-3'; delete from users where id = 2; insert into users values (2, 'd', 'secret-4');
         insert into items values (1, 'y', 1);
         select domain_events.append_event('Note', '1', 'NoteTaken');",
    );
    assert_eq!(
        s.table(
            "select aggregate_type, aggregate_id, max(aggregate_version) from domain_events.events
              where aggregate_type <> 'domain_events.Table' group by 1, 2 order by 1, 2"
        ),
        "Note|1|2\nOrder|1|2\nUser|1|3\nUser|2|4"
    );
    assert_eq!(s.one("select event_type from domain_events.events where aggregate_type = 'User' and aggregate_id = '2' and aggregate_version = 3"), "UserLeft");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1', 'log')"), "5");
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    assert_eq!(db.admin().table("select * from domain_events.check_infrastructure()"), "");
    assert_eq!(db.admin().table("select * from domain_events.check_integrity()"), "");
}

fn t15_a_whole_database(db: &Db) {
    db.owner().run(USE);
    let copy = db.restored();
    let all = "select event_id, aggregate_type, aggregate_id, aggregate_version, event_data, recorded_at, global_position from domain_events.events order by global_position";
    assert_eq!(copy.admin().table(all), db.admin().table(all));
    assert_eq!(copy.owner().one("select engine from domain_events.engine()"), db.engine.name());
    for sql in [
        "update domain_events.events set event_type = 'x'",
        "delete from domain_events.events",
        "truncate domain_events.events",
    ] {
        copy.admin().error(sql).expect("23001");
        copy.admin().error(&format!("set session_replication_role = replica; {sql}")).expect("23001");
    }
    goes_on(&copy);
    // And a copy of the copy.
    let again = copy.restored();
    assert_eq!(
        again.owner().one("select (domain_events.append_event('Note', '1', 'NoteTaken')).aggregate_version"),
        "3"
    );
    again.owner().run("update users set name = 'q'");
    again.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    goes_on(db);
}

fn t15_data_only(db: &Db) {
    db.owner().run(USE);
    let copy = db.restored_data_only();
    let count = "select count(*) from domain_events.events";
    assert_eq!(copy.admin().one(count), db.admin().one(count));
    // `--disable-triggers` ends with ENABLE TRIGGER ALL, which turns ALWAYS into ORIGIN: held all the same, or told.
    let told = copy.admin().table("select code from domain_events.check_infrastructure()");
    copy.admin().error("delete from domain_events.events").expect("23001");
    if let Ok(rows) = copy
        .admin()
        .attempt("begin; set local session_replication_role = replica; delete from domain_events.events; rollback")
    {
        assert!(rows.is_empty() && told.contains("append_only"), "the store is open and nobody is told: {told:?}");
    }
    let mut s = copy.owner();
    s.run("update users set name = 'z', ssn = 'secret-3'");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    copy.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

fn t15_a_single_captured_table(db: &Db) {
    db.owner().run(USE);
    let path = db.file("users.dump");
    // Data alone, into the table where it was: captured again, since rows are written again.
    db.quietly("pg_dump", &["-a", "-Fc", "-t", "users", "-f", &path]);
    db.owner().run("delete from users");
    db.quietly("pg_restore", &["--exit-on-error", "-d", &db.name, &path]);
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    assert_eq!(db.owner().one("select max(aggregate_version) from domain_events.events where aggregate_type = 'User' and aggregate_id = '1'"), "4");
    // The whole table, dropped and restored: another OID, other attribute numbers, the same streams.
    db.quietly("pg_dump", &["-Fc", "-t", "users", "-f", &path]);
    db.owner().run("drop table users");
    db.quietly("pg_restore", &["--exit-on-error", "-d", &db.name, &path]);
    let mut s = db.owner();
    s.run("update users set name = 'after', ssn = 'secret-9'; insert into users values (3, 'new', 'secret-8')");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(
        s.table("select aggregate_id, max(aggregate_version) >= 5 from domain_events.events where aggregate_type = 'User' and aggregate_id in ('1') group by 1"),
        "1|t"
    );
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

/// Attribute numbers change in a dump when columns were dropped: in the new database the name decides.
fn t15_redaction_follows_the_name(db: &Db) {
    db.owner().run(
        "create table people (a int, b int, c int, id int primary key, ssn text, open text, n int);
         select domain_events.enable_capture('people', 'Person', redact => '{ssn}');
         alter table people drop column a, drop column b, drop column c;
         insert into people values (1, 'secret-1', 'shown', 1);",
    );
    let copy = db.restored();
    let mut s = copy.owner();
    s.run("update people set ssn = 'secret-2', open = 'shown too'");
    s.run("alter table people rename ssn to tax_no; update people set tax_no = 'secret-3', n = 2");
    s.run("insert into people values (2, 'secret-4', 'x', 1)");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    copy.check_fold(
        "Person",
        "select id::text, to_jsonb(t) || '{\"tax_no\": {\"$value\": \"redacted\"}}' from people t",
    );
}

fn t15_dead_letters_and_pauses(db: &Db) {
    db.owner().run(USE);
    db.owner().run("select domain_events.pause_capture('items')");
    db.admin().run("alter table domain_events.events add constraint boom check (aggregate_id <> '13') not valid");
    db.owner().run("insert into users values (13, 'x', 'secret-13')");
    db.admin().run("alter table domain_events.events drop constraint boom");
    let copy = db.restored();
    let mut s = copy.owner();
    assert_eq!(s.one("select state from domain_events.captures where target = 'items'::regclass"), "paused");
    s.run("update items set n = 9");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'Order'"), "1");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "1");
    copy.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    s.run("select domain_events.resume_capture('items'); update items set n = 10");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events where aggregate_type = 'Order'"), "2");
}

/// A captured table is dropped and restored: what is asked of its capture before a row is written finds it as the first write
/// would, and what is told is true.
fn t15_a_restored_table_before_its_first_write(db: &Db) {
    let mut s = db.owner();
    s.run(USE);
    s.run(
        "create table sales (id int, region text, primary key (id, region)) partition by list (region);
         create table sales_eu partition of sales for values in ('eu'); create table sales_us partition of sales for values in ('us');
         select domain_events.enable_capture('sales', aggregate_id => '{id}'); insert into sales values (1, 'eu'), (2, 'us')",
    );
    let told = "select code, object from domain_events.check_infrastructure() order by 1";
    let user = if db.engine == Engine::Native { "postgres" } else { "app_owner" };
    let asked: [(&str, &[&str], &str); 3] = [
        ("users", &["-t", "users"], "User"),
        ("sales", &["-t", "sales*"], "Sale"),
        ("users", &["-n", "public", "-t", "users", "--clean", "--if-exists"], "User"),
    ];
    for (table, what, kind) in asked {
        let path = db.file("one.sql");
        db.quietly("pg_dump", &[&["-f", &*path], what].concat());
        let again = || {
            if !what.contains(&"--clean") {
                db.owner().run(&format!("drop table {table}"));
            }
            let out = db
                .client_program("psql", "postgres")
                .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &path])
                .output()
                .expect("psql");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        };
        let mut s = db.owner();
        for (ask, answer) in [
            (format!("select domain_events.enable_capture('{table}')"), Some("42710")),
            (format!("select * from domain_events.check_rows('{table}')"), Some("55000")),
            (format!("select domain_events.pause_capture('{table}')"), None),
            (format!("select domain_events.resume_capture('{table}')"), None),
            (format!("select domain_events.baseline_capture('{table}')"), None),
            (format!("select domain_events.follow_partitions('{table}')"), None),
            (format!("select * from domain_events.tell_rows('{table}')"), None),
        ] {
            if what.contains(&"--clean") && !ask.contains("tell_rows") {
                continue; // the same once it is restored
            }
            again();
            assert_eq!(s.table(told), format!("captured_table_restored|public.{table}"), "{what:?}");
            if ask.contains("check_rows") {
                let status = db.cli(user, &["--format", "json", "status"]).expect(3).json();
                let tables: Vec<_> =
                    status["captures"].as_array().expect("captures").iter().map(|c| c["table"].as_str()).collect();
                assert!(tables.contains(&Some(&*format!("public.{table}"))), "{tables:?}");
            }
            match answer {
                Some(code) => drop(s.error(&ask).expect(code)),
                None => s.run(&ask),
            }
            if answer == Some("55000") {
                let statement =
                    s.one("select substring(detail from 'until: (.*)$') from domain_events.check_infrastructure()");
                assert!(statement.starts_with("select * from domain_events.tell_rows("), "{statement}");
                s.run(&statement);
            }
            if answer == Some("42710") {
                // what was refused has changed nothing
                assert_eq!(s.table(told), format!("captured_table_restored|public.{table}"));
                continue;
            }
            if ask.contains("pause_capture") {
                assert_eq!(s.table(told), format!("capture_paused|public.{table}"));
                s.run(&format!("select domain_events.resume_capture('{table}')"));
            }
            assert_eq!(s.table(told), "", "{ask}");
            s.run(&format!("insert into {table} (id) select 90 where false"));
            assert_eq!(
                s.table(&format!("select * from domain_events.check_rows('{table}') where code is not null")),
                "",
                "{ask}"
            );
        }
        // It is not forgotten, and gives its type to no other table.
        again();
        assert_eq!(db.admin().one("select domain_events.forget_dropped_tables()"), "0");
        s.run(&format!("create schema if not exists other; create table other.{table} (id int primary key)"));
        s.error(&format!("select domain_events.enable_capture('other.{table}')")).expect("42710");
        s.run(&format!("drop table other.{table}"));
        assert_eq!(s.table(told), format!("captured_table_restored|public.{table}"));
        // A session that knew the table before goes on with the new one.
        let (write, fold) = match table {
            "users" => (
                "insert into users (id, name, ssn) values (50, 'x', 'secret-7'); delete from users where id = 50",
                "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t",
            ),
            _ => (
                "insert into sales values (50, 'us'); delete from sales where id = 50",
                "select id::text, to_jsonb(t) from sales t",
            ),
        };
        s.run(&format!(
            "select domain_events.pause_capture('{table}'); select domain_events.resume_capture('{table}'); {write}"
        ));
        db.check_fold(kind, fold);
        assert_eq!(s.table(told), "");
        again();
        s.run(&format!("select domain_events.disable_capture('{table}')"));
        assert_eq!(s.table(told), "");
        let left = format!("select count(*) from pg_trigger where tgrelid = '{table}'::regclass and not tgisinternal");
        assert_eq!(s.one(&left), "0");
        let enable = if table == "users" { "redact => '{ssn}'" } else { "aggregate_id => '{id}'" };
        s.run(&format!("select domain_events.enable_capture('{table}', {enable}); {write}"));
        db.check_fold(kind, fold);
    }
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    db.check_versions();
}

/// `pg_restore -t` makes no triggers, and a table of another owner's has none either: no capture, and no word that it goes on.
fn t15_a_restored_table_without_its_triggers(db: &Db) {
    let mut s = db.owner();
    s.run(USE);
    s.run("drop table users; create table users (id int primary key, name text, ssn text)");
    assert_eq!(s.table("select code from domain_events.check_infrastructure()"), "captured_table_missing");
    assert!(s.one("select detail from domain_events.check_infrastructure()").contains("enable_capture()"));
    s.error("select domain_events.pause_capture('users')").expect("42704");
    // nobody takes a capture by giving the command themselves
    s.run("insert into domain_events.commands (target, verb) values ('users', 'find capture')");
    assert_eq!(s.table("select code from domain_events.check_infrastructure()"), "captured_table_missing");
    s.run("select domain_events.enable_capture('users', redact => '{ssn}'); insert into users values (1, 'again', 'secret-4')");
    assert_eq!(s.table("select code from domain_events.check_infrastructure()"), "");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
}

/// A dump of the schema alone brings triggers and no captures: that says how each is had again, in any order.
fn t15_the_schema_alone(db: &Db) {
    db.owner().run(USE);
    let path = db.file("schema.dump");
    db.quietly("pg_dump", &["-s", "-Fc", "-f", &path]);
    let copy = Db::new(Engine::None).holding(db.engine);
    db.quietly("pg_restore", &["--exit-on-error", "-d", &copy.name, &path]);
    let mut s = copy.owner();
    let told = "select code, object from domain_events.check_infrastructure() where code like 'capture_%' order by 2";
    assert_eq!(s.table(told), "capture_without_configuration|public.items\ncapture_without_configuration|public.users");
    let remedy = s.one(
        "select detail from domain_events.check_infrastructure() where code like 'capture_%' order by object limit 1",
    );
    assert!(remedy.contains("domain_events.enable_capture('public.items')"), "{remedy}");
    // not as they were numbered
    s.run("select domain_events.enable_capture('public.items', 'Order', '{order_id}')");
    assert_eq!(s.table(told), "capture_without_configuration|public.users");
    s.run("select domain_events.enable_capture('users', redact => '{ssn}'); insert into users values (1, 'a', 'secret-1'); insert into items values (1, 'x', 1)");
    assert_eq!(s.table(told), "");
    assert_eq!(s.one("select count(*) from pg_trigger where not tgisinternal and tgrelid in ('users'::regclass, 'items'::regclass)"), "4");
    assert_eq!(
        s.table("select aggregate_type, count(*) from domain_events.events group by 1 order by 1"),
        "Order|1\nUser|1"
    );
    copy.check_versions();
}

/// A store of a superuser's with event triggers comes to a managed database, whose owner can make none: that is no fault of the copy.
#[test]
fn t15_a_managed_database() {
    let db = Db::new(Engine::PortableSuper);
    db.admin().run("select domain_events.append_event('A', '1', 'Made')");
    let path = db.file("m.dump");
    db.quietly("pg_dump", &["-Fc", "-f", &path]);
    let copy = Db::new(Engine::None).holding(Engine::Portable);
    let out = copy
        .client_program("pg_restore", "app_owner")
        .args(["-O", "-d", &copy.name, &path])
        .output()
        .expect("pg_restore");
    assert!(String::from_utf8_lossy(&out.stderr).contains("event trigger"), "{out:?}");
    let mut s = copy.owner();
    assert_eq!(s.number("select count(*) from domain_events.events"), 1);
    assert_eq!(s.number("select count(*) from pg_event_trigger"), 0);
    assert_eq!(s.table("select code, object, detail from domain_events.check_infrastructure()"), "");
    copy.cli("app_owner", &["monitor"]).expect(0);
    // a superuser's store still tells
    db.admin().run("drop event trigger domain_events_guard_hold");
    assert_eq!(
        db.admin().table("select code, object from domain_events.check_infrastructure()"),
        "event_trigger_missing|domain_events_guard_hold"
    );
}
