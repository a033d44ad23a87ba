//! T11: the store is append-only, also for its owner and a superuser's plain statement.

use domain_events_tests::{Db, Engine, Session, engines};

engines! {
    t11_append_only_for_a_superuser, t11_append_only_for_the_owner, t11_append_only_under_replica_role,
    t11_truncate_of_a_captured_table_keeps_its_history,
}

const CHANGES: &[&str] = &[
    "update domain_events.events set event_data = '{}'",
    "update domain_events.events set event_type = event_type where false",
    "delete from domain_events.events",
    "delete from domain_events.events where aggregate_version = 1",
    "truncate domain_events.events",
    "truncate domain_events.events cascade",
    "with gone as (delete from domain_events.events returning 1) select count(*) from gone",
    "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', '1', 1, 'x')
       on conflict (aggregate_type, aggregate_id, aggregate_version) do update set event_type = 'x'",
];

fn refuses_every_change(s: &mut Session) {
    for sql in CHANGES {
        s.error(sql).expect("23001");
    }
    assert_eq!(
        s.table("select aggregate_version, event_type from domain_events.events order by 1"),
        "1|UserCreated\n2|UserRenamed"
    );
}

fn two_events(db: &Db) {
    db.owner().run(
        "select domain_events.append_event('User', '1', 'UserCreated');
         select domain_events.append_event('User', '1', 'UserRenamed');",
    );
}

fn t11_append_only_for_a_superuser(db: &Db) {
    two_events(db);
    refuses_every_change(&mut db.admin());
    db.check_versions();
}

fn t11_append_only_for_the_owner(db: &Db) {
    two_events(db);
    // The owner of the store: the database's owner (portable), or who created the extension.
    let owner =
        db.admin().one("select tableowner from pg_tables where schemaname = 'domain_events' and tablename = 'events'");
    assert_eq!(owner, if db.engine == Engine::Portable { "app_owner" } else { "postgres" });
    refuses_every_change(&mut db.session(&owner));
    db.check_versions();
}

fn t11_append_only_under_replica_role(db: &Db) {
    two_events(db);
    let mut s = db.admin();
    s.run("set session_replication_role = replica");
    refuses_every_change(&mut s);
}

fn t11_truncate_of_a_captured_table_keeps_its_history(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a'), (2, 'b');
         truncate users;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "2");
    assert_eq!(
        s.table(
            "select aggregate_id, event_type from domain_events.events where aggregate_type = 'domain_events.Table'"
        ),
        "public.users|TableTruncated"
    );
    db.check_table("User", "users");
}
