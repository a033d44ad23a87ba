//! T14: the table changes between captures in one session. Redaction follows the column; the secret appears nowhere.

use domain_events_tests::{Db, engines};

engines! {
    t14_columns_come_and_go, t14_redaction_follows_a_rename, t14_a_redacted_column_is_dropped, t14_type_changes,
    t14_the_table_moves, t14_swapped_names, t14_in_one_transaction, t14_prepared_statements_survive, t14_key_changes,
    t14_the_table_is_dropped,
    t14_a_mapping_follows_a_rename_at_once,
}

fn t14_columns_come_and_go(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, n int, seen int);
         select domain_events.enable_capture('t', 'T', exclude => '{seen}');
         insert into t values (1, 1, 1);
         alter table t add c text default 'd';
         update t set n = 2;
         alter table t drop column n;
         update t set c = 'e';
         alter table t add n text;
         update t set n = 'new';
         alter table t rename seen to seen_at;
         update t set seen_at = 5;
         insert into t values (2, 1, 'x', 'y');
         delete from t where id = 2;",
    );
    db.check_fold("T", "select id::text, to_jsonb(t) - 'seen_at' from t");
    // The excluded column made no event under either name.
    assert_eq!(s.one("select count(*) from domain_events.events where event_data::text like '%seen%'"), "0");
}

fn t14_redaction_follows_a_rename(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table people (id int primary key, ssn text, n int);
         select domain_events.enable_capture('people', 'Person', redact => '{ssn}');
         insert into people values (1, 'secret-1', 1);
         alter table people rename ssn to tax_no;
         update people set tax_no = 'secret-2';
         alter table people alter tax_no type varchar(20);
         update people set tax_no = 'secret-3', n = 2;
         insert into people values (2, 'secret-4', 1);
         delete from people where id = 2;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    db.check_fold("Person", "select id::text, to_jsonb(t) || '{\"tax_no\": {\"$value\": \"redacted\"}}' from people t");
    let log = db.cluster().log();
    assert!(
        !log.lines().any(|l| l.contains(&format!(" {} ", db.name)) && l.contains("secret-")),
        "the secret is in the server's log"
    );
}

fn t14_a_redacted_column_is_dropped(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table people (id int primary key, ssn text, n text);
         select domain_events.enable_capture('people', 'Person', redact => '{ssn}');
         insert into people values (1, 'secret-1', 'a');
         alter table people drop column ssn;
         update people set n = 'visible?';
         alter table people add ssn text;
         update people set ssn = 'secret-2';",
    );
    // The rule matches no column any more: everything is a marker until somebody looks.
    assert_eq!(
        s.one("select count(*) from domain_events.events where events::text like any ('{%secret%,%visible%}')"),
        "0"
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    assert_eq!(s.one("select count(*) > 0 from domain_events.check_infrastructure() where code like 'redact%'"), "t");
    db.check_versions();
}

fn t14_type_changes(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, n int, e text);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 1, 'a');
         alter table t alter n type numeric using n + 0.50;
         update t set e = 'b';
         create type mood as enum ('sad', 'ok');
         alter table t alter e type mood using 'ok';
         update t set e = 'sad';
         alter table t alter n type jsonb using '{\"a\": 1}';
         update t set n = 'null';
         update t set n = '[1]';
         alter type mood add value 'great';",
    );
    s.run("update t set e = 'great'");
    db.check_table("T", "t");
}

fn t14_the_table_moves(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create schema s2;
         create table t (id int primary key, n int);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 1);
         alter table t rename to t2;
         update t2 set n = 2;
         alter table t2 set schema s2;
         update s2.t2 set n = 3;
         alter table s2.t2 alter id type bigint;
         update s2.t2 set n = 4;
         create table t (id int primary key, n int);
         insert into t values (1, 100);
         truncate s2.t2;
         insert into s2.t2 values (1, 5);",
    );
    assert_eq!(
        s.table("select aggregate_type, aggregate_id, count(*) from domain_events.events group by 1, 2 order by 1"),
        "T|1|5\ndomain_events.Table|s2.t2|1"
    );
    db.check_table("T", "s2.t2");
}

fn t14_swapped_names(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, secret text, open text);
         select domain_events.enable_capture('t', 'T', redact => '{secret}');
         insert into t values (1, 'hidden-1', 'shown-1');
         alter table t rename secret to tmp; alter table t rename open to secret; alter table t rename tmp to open;
         update t set open = 'hidden-2', secret = 'shown-2';",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%hidden%'"), "0");
    assert_eq!(s.one("select count(*) from domain_events.events where event_data::text like '%shown%'"), "2");
    db.check_fold("T", "select id::text, to_jsonb(t) || '{\"open\": {\"$value\": \"redacted\"}}' from t");
}

fn t14_in_one_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(
        "begin;
         create table t (id int primary key, n int);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 1);
         alter table t add c text default 'x';
         update t set n = 2;
         savepoint a;
         alter table t drop column c;
         update t set n = 3;
         rollback to a;
         update t set c = 'y';
         commit;
         update t set c = 'z';",
    );
    db.check_table("T", "t");
}

fn t14_prepared_statements_survive(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    a.run(
        "create table t (id int primary key, n int);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 1), (2, 1);
         prepare up as update t set n = n + 1 where id = 1;
         execute up; execute up; execute up; execute up; execute up; execute up; execute up;",
    );
    b.run("alter table t add c text default 'x', add d int");
    a.run("execute up");
    b.run("alter table t drop column d");
    a.run("execute up; update t set c = 'y'");
    b.run("select domain_events.pause_capture('t')");
    a.run("execute up");
    b.run("select domain_events.resume_capture('t')");
    a.run("execute up");
    b.run("select domain_events.disable_capture('t')");
    a.run("execute up");
    b.run("select domain_events.enable_capture('t', 'T', exclude => '{c}')");
    a.run("execute up; update t set c = 'unseen'");
    db.check_fold(
        "T",
        "select id::text, to_jsonb(t) - 'c' from t where id = 1 union all
                        select id::text, to_jsonb(t) - 'c' || '{\"c\": \"y\"}' from t where id = 2",
    );
    assert_eq!(a.one("select count(*) from domain_events.events where events::text like '%unseen%'"), "0");
}

fn t14_key_changes(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, code text not null, n int);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 'a', 1);
         alter table t rename id to ident;
         update t set n = 2;
         alter table t drop constraint t_pkey; alter table t add primary key (code);
         update t set n = 3;",
    );
    // The identity is what it was at the start: columns, not the key.
    assert_eq!(s.table("select distinct aggregate_id from domain_events.events"), "1");
    db.check_fold("T", "select ident::text, to_jsonb(t) from t");
    // Without its identity column the table cannot be captured as before: the user's write still passes, nothing is lost in silence.
    s.run("alter table t drop column ident; update t set n = 4");
    assert_eq!(s.one("select n from t"), "4");
    let told = s.one(
        "select (select count(*) from domain_events.capture_failures) + (select count(*) from domain_events.events where event_data #>> '{new_values,n}' = '4')
              + (select count(*) from domain_events.check_infrastructure())",
    );
    assert_ne!(told, "0", "the loss of the identity column is told nowhere");
}

fn t14_the_table_is_dropped(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, n int);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 1);
         drop table t;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'T'"), "1");
    assert_eq!(s.one("select count(*) > 0 from domain_events.check_infrastructure()"), "t");
    // A new table of that name is captured anew; versions go on.
    s.run("create table t (id int primary key, n int)");
    s.attempt("select domain_events.disable_capture('t')").ok();
    s.run("select domain_events.enable_capture('t', 'T'); insert into t values (1, 2)");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events where aggregate_type = 'T'"), "2");
    db.check_versions();
}

fn t14_a_mapping_follows_a_rename_at_once(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table people (id int primary key, email text, phone text);
         select domain_events.enable_capture('people', 'Person', event_types => '[{\"on\": \"update\", \"when_changed\": [\"email\"], \"type\": \"EmailChanged\", \"name\": \"new address\"}]');
         insert into people values (1, 'a', 'b');
         alter table people rename email to mail; alter table people rename phone to email;
         update people set email = '555'; update people set mail = 'm2';
         alter table people rename mail to address;
         update people set address = 'm3'; update people set email = '556';",
    );
    assert_eq!(
        s.table("select event_type, event_name from domain_events.events where aggregate_version > 1 order by aggregate_version"),
        "PersonUpdated|~\nEmailChanged|new address\nEmailChanged|new address\nPersonUpdated|~"
    );
    db.check_table("Person", "people");
}
