//! on_failure: dead letters and abort. Nothing is lost in silence, and redaction holds there too.

use domain_events_tests::{Db, engines};

engines! {
    a_dead_letter_keeps_the_whole_event, a_retried_event_takes_the_next_version, the_fold_honours_a_late_events_place,
    abort_fails_the_statement, lock_timeouts_propagate, read_only_transactions_fail, dead_letters_are_redacted,
    a_dead_letter_that_cannot_be_written_fails_the_statement, retry_leaves_what_fails_again, failures_follow_the_transaction,
}

/// From now on the store refuses stream 13: a stand-in for whatever may go wrong there.
const BREAK: &str = "alter table domain_events.events add constraint boom check (aggregate_id <> '13') not valid";
const MEND: &str = "alter table domain_events.events drop constraint boom";

const USERS: &str = "create table users (id int primary key, name text, ssn text);
    select domain_events.enable_capture('users');";

fn pending(db: &Db) -> i64 {
    db.admin().number("select count(*) from domain_events.capture_failures where stored_version is null")
}

fn a_dead_letter_keeps_the_whole_event(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    db.admin().run(BREAK);
    s.run("select domain_events.set_context('ann', 'co', 'ca', '{\"m\": 1}', local => false)");
    s.run("insert into users values (12, 'a', 's'), (13, 'b', 't'), (14, 'c', 'u')");
    // The user's write passed, and so did the events of the other rows.
    assert_eq!(s.one("select count(*) from users"), "3");
    assert_eq!(s.table("select aggregate_id from domain_events.events order by 1"), "12\n14");
    assert_eq!(
        db.admin().table(
            "select table_name, operation, aggregate_type, aggregate_id, event_type, event_data, metadata ->> 'm', correlation_id,
                    causation_id, caused_by, error_code, error_message <> '', occurred_at > now() - interval '1 hour'
               from domain_events.capture_failures"
        ),
        "public.users|INSERT|User|13|UserCreated|{\"new_values\": {\"id\": 13, \"ssn\": \"t\", \"name\": \"b\"}}|1|co|ca|ann|23514|t|t"
    );
    assert_ne!(s.table("select * from domain_events.check_infrastructure()"), "", "dead letters are not told");
}

fn a_retried_event_takes_the_next_version(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run("insert into users values (13, 'a', 's')");
    db.admin().run(BREAK);
    s.run("select domain_events.set_context('ann', local => false)");
    s.run("update users set name = 'b'");
    s.run("select domain_events.set_context(local => false)");
    db.admin().run(MEND);
    s.run("select pg_sleep(0.01)");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "1");
    assert_eq!(
        s.table(
            "select aggregate_version, event_type, event_data, metadata -> 'late', caused_by, occurred_at < recorded_at - interval '9 ms'
               from domain_events.events order by 1 desc limit 1"
        ),
        "2|UserUpdated|{\"new_values\": {\"name\": \"b\"}, \"old_values\": {\"name\": \"a\"}}|true|ann|t"
    );
    assert_eq!(pending(db), 0);
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "0");
    db.check_table("User", "users");
}

fn the_fold_honours_a_late_events_place(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run("insert into users values (13, 'a', 's')");
    db.admin().run(BREAK);
    s.run("update users set name = 'lost-1', ssn = 'lost-1'; update users set name = 'lost-2'");
    db.admin().run(MEND);
    s.run("update users set name = 'c'");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "2");
    // Versions: 1 created, 2 name=c, then the two late ones, whose place is before 2.
    assert_eq!(
        s.table("select aggregate_version, event_data #>> '{new_values,name}', metadata ? 'late' from domain_events.events order by 1"),
        "1|a|f\n2|c|f\n3|lost-1|t\n4|lost-2|t"
    );
    db.check_table("User", "users");
    db.admin().run(BREAK);
    s.run("delete from users");
    db.admin().run(MEND);
    s.run("insert into users values (13, 'd', 't')");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "1");
    db.check_table("User", "users");
}

fn abort_fails_the_statement(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users', on_failure => 'abort');
         insert into users values (1, 'a');",
    );
    db.admin().run(BREAK);
    s.error("insert into users values (2, 'b'), (13, 'c')").expect_code("23514");
    assert_eq!(s.one("select count(*) from users"), "1");
    assert_eq!(pending(db), 0);
    db.check_table("User", "users");
}

fn lock_timeouts_propagate(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run("insert into users values (1, 'a')");
    let mut holder = db.owner();
    holder.run("begin; select domain_events.next_aggregate_version('User', '1')");
    s.run("set lock_timeout = '100ms'");
    s.error("update users set name = 'b'").expect_code("55P03");
    s.run("set lock_timeout = 0; set statement_timeout = '100ms'");
    s.error("update users set name = 'b'").expect_code("57014");
    s.run("set statement_timeout = 0");
    holder.run("rollback");
    assert_eq!(s.one("select name from users"), "a");
    assert_eq!(pending(db), 0);
    db.check_table("User", "users");
}

fn read_only_transactions_fail(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.error("begin read only; insert into users values (1)").expect_code("25006");
    s.run("rollback");
    assert_eq!(pending(db), 0);
}

fn dead_letters_are_redacted(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, ssn text, seen text, name text);
         select domain_events.enable_capture('users', redact => '{ssn}', exclude => '{seen}');",
    );
    db.admin().run(
        "alter table domain_events.events add constraint boom
           check (aggregate_id <> '13' or (event_data #>> '{new_values,name}')::int is null) not valid",
    );
    s.run("insert into users values (13, 'secret-1', 'secret-2', 'secret-3')");
    assert_eq!(pending(db), 1);
    let letter = db.admin().one("select to_jsonb(f) from domain_events.capture_failures f");
    assert!(!letter.contains("secret-1") && !letter.contains("secret-2"), "{letter}");
    // The error text quotes a value: where there are secrets it is not kept.
    let message = db.admin().one("select error_message from domain_events.capture_failures");
    assert!(!message.contains("secret-"), "{message}");
}

fn a_dead_letter_that_cannot_be_written_fails_the_statement(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    db.admin().run(BREAK);
    db.admin().run("alter table domain_events.capture_failures add constraint boom check (false) not valid");
    s.error("insert into users values (13, 'a', 's')").expect_code("23514");
    assert_eq!(s.one("select count(*) from users"), "0");
    s.run("insert into users values (1, 'a', 's')");
    db.check_table("User", "users");
}

fn retry_leaves_what_fails_again(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    db.admin().run(BREAK);
    s.run("insert into users values (13, 'a', 's'), (14, 'b', 't'); update users set name = 'x'");
    assert_eq!(pending(db), 2);
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "0");
    assert_eq!(pending(db), 2);
    db.admin().run(MEND);
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "2");
    db.check_table("User", "users");
    s.error("select domain_events.retry_capture_failures(-1)").expect("22023");
}

fn failures_follow_the_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    db.admin().run(BREAK);
    s.run("begin; insert into users values (13, 'a', 's'); rollback");
    assert_eq!(pending(db), 0);
    s.run("begin; savepoint a; insert into users values (13, 'a', 's'); rollback to a; insert into users values (14, 'a', 's'); commit");
    assert_eq!(pending(db), 0);
    db.check_table("User", "users");
}
