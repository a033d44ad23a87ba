//! A session with session_replication_role = replica: what is done to captures needs triggers that fire, and is refused; events go on.

use domain_events_tests::{Db, engines};

engines! { what_needs_triggers_is_refused, events_go_on }

const MADE: &str = "create table public.users (id int primary key, name text); select domain_events.enable_capture('public.users');
    create table public.orders (id int primary key, name text); select domain_events.enable_capture('public.orders', replication => 'always');
    create table public.sales (id int primary key) partition by range (id); select domain_events.enable_capture('public.sales');
    create table public.other (id int primary key);
    create table public.log (kind text not null, id text not null, version bigint not null, unique (kind, id, version));
    create table public.log_2 (kind text not null, id text not null, version bigint not null, unique (kind, id, version));
    select domain_events.register_event_table('public.log', 'kind', 'id', 'version');
    insert into public.users values (1, 'a'); insert into public.orders values (1, 'a')";

const STATE: &str = "select jsonb_build_array((select jsonb_agg(to_jsonb(c) order by c.target) from domain_events.captures c),
    (select jsonb_agg(to_jsonb(k) order by k.capture_id, k.attnum) from domain_events.capture_columns k),
    (select jsonb_agg(to_jsonb(t) order by t.event_table) from domain_events.event_tables t), (select count(*) from domain_events.events),
    (select count(*) from pg_trigger), (select count(*) from pg_proc))";

fn what_needs_triggers_is_refused(db: &Db) {
    db.owner().run(MADE);
    let mut admin = db.admin();
    let before = admin.one(STATE);
    for call in [
        "enable_capture('public.other')",
        "enable_capture('public.users')",
        "enable_capture(null)",
        "pause_capture('public.users')",
        "resume_capture('public.users')",
        "disable_capture('public.users')",
        "disable_capture('public.users', keep_triggers => true)",
        "disable_capture('public.other')",
        "baseline_capture('public.users')",
        "baseline_capture('public.users', 0)",
        "tell_rows('public.users')",
        "follow_partitions('public.sales')",
        "forget_dropped_tables()",
        "register_event_table('public.log_2', 'kind', 'id', 'version')",
        "register_event_table('public.log_2', '{kind,id}', 'version')",
        "unregister_event_table('public.log')",
        "unregister_event_table('public.log_2')",
        "_command('public.users', 'capture state', '{\"state\": \"paused\"}')",
    ] {
        let call = format!("select domain_events.{call}");
        for set in ["set session_replication_role = replica", "begin; set local session_replication_role = replica"] {
            admin.run(set);
            let told = admin.error(&call).expect_code("55000");
            assert!(told.message.contains("session_replication_role is replica"), "{call}: {}", told.message);
            assert!(told.detail.contains("triggers"), "{call}: {}", told.detail);
            assert!(told.hint.contains("set session_replication_role = origin"), "{call}: {}", told.hint);
            admin.run("rollback; reset session_replication_role");
        }
    }
    assert_eq!(admin.one(STATE), before);
    // As the hint says.
    admin.run("set session_replication_role = origin; select domain_events.pause_capture('public.users')");
    assert_eq!(admin.one("select state from domain_events.captures where target = 'public.users'::regclass"), "paused");
    admin.run("set session_replication_role = local; select domain_events.resume_capture('public.users')");
    assert_eq!(admin.table("select code from domain_events.check_infrastructure()"), "");
    db.check_table("User", "public.users");
}

fn events_go_on(db: &Db) {
    db.owner().run(MADE);
    let mut admin = db.admin();
    admin.run("set session_replication_role = replica");
    assert_eq!(admin.one("select aggregate_version from domain_events.append_event('Note', '1', 'NoteTaken')"), "1");
    admin.run("select domain_events.append_events('Note', '1', '[{\"event_type\": \"NoteTaken\"}]')");
    admin.run("insert into public.orders values (2, 'b'); update public.orders set name = 'c'; delete from public.orders where id = 1");
    assert_eq!(admin.one("select domain_events.retry_capture_failures()"), "0");
    for read in [
        "check_rows('public.orders')",
        "check_infrastructure()",
        "check_integrity()",
        "read_stream('Note', '1')",
        "grant_privileges()",
        "next_aggregate_version('public.log', '1', 'public.log')",
    ] {
        admin.run(&format!("select * from domain_events.{read}"));
    }
    admin.run("reset session_replication_role");
    db.check_table("Order", "public.orders");
    db.check_table("User", "public.users");
}
