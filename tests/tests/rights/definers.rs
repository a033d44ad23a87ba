//! Every function that runs with the rights of the store and that some role may execute, from the catalogue: each is tried by
//! a member of that role who owns nothing. One that is not listed here fails the test.

use domain_events_tests::{Db, Session, engines};

engines! { every_definer_function_checks_who_calls, only_the_stores_owner_adopts, nothing_is_left_to_everybody }

/// What comes of a call by a stranger to every table.
enum Expect {
    /// It is the role's own right, which touches no table of users: it succeeds.
    Right,
    /// It is refused with this code.
    Refused(&'static str),
}
use Expect::{Refused, Right};

/// The functions by name, with a call. `v` is the table of a victim, captured and registered.
const KNOWN: &[(&str, &str, Expect)] = &[
    // of whoever may append
    ("append_event", "select domain_events.append_event('Own', '1', 'A')", Right),
    ("append_events", "select domain_events.append_events('Own', '2', '[{\"event_type\": \"A\"}]')", Right),
    (
        "append_events",
        "select domain_events.append_events('[{\"aggregate_type\": \"Own\", \"aggregate_id\": \"3\", \"event_type\": \"A\"}]'::jsonb)",
        Right,
    ),
    ("next_aggregate_version", "select domain_events.next_aggregate_version('Own', '1')", Right),
    ("hold_stream", "select domain_events.hold_stream('Own', '1')", Right),
    ("hold_stream", "select domain_events.hold_stream(null, '1')", Refused("22004")),
    ("hold_stream", "select domain_events.hold_stream('', '1')", Refused("22023")),
    ("legacy_reader", "select * from domain_events.legacy_reader('victim.log', 2)", Right),
    ("legacy_reader", "select * from domain_events.legacy_reader('victim.secrets', 2)", Refused("42P01")),
    ("legacy_reader", "select * from domain_events.legacy_reader('pg_catalog.pg_authid', null)", Refused("42P01")),
    ("hold_legacy_stream", "select domain_events.hold_legacy_stream('victim.log', 1)", Right),
    ("hold_legacy_stream", "select domain_events.hold_legacy_stream('victim.secrets', 1)", Refused("42P01")),
    ("hold_legacy_stream", "select domain_events.hold_legacy_stream('domain_events.events', 1)", Refused("42P01")),
    // of whoever watches: they write how far they came, and nothing that is given to them
    ("check_integrity_incremental", "select count(*) from domain_events.check_integrity_incremental()", Right),
    ("raise_alerts", "select count(*) from domain_events.raise_alerts()", Right),
    // of whoever reads: where the events stand, which nobody can say to it
    (
        "take_tick",
        "select domain_events.take_tick(), domain_events.take_tick(true), domain_events.take_tick(null)",
        Right,
    ),
    // of administrators: the store's own affairs
    ("set_threshold", "select domain_events.set_threshold('max_stream_events', 1000)", Right),
    ("skip_adoption", "select domain_events.skip_adoption(1)", Refused("55000")),
    ("begin_era", "select domain_events.begin_era()", Right),
    ("acknowledge_losses", "select domain_events.acknowledge_losses()", Right),
    ("retry_capture_failures", "select domain_events.retry_capture_failures()", Right),
    ("_forget_lost_event_tables", "select domain_events._forget_lost_event_tables()", Right),
];

/// Triggers and event triggers cannot be called; what they do is in the tests of their own.
const TRIGGERS: &[&str] =
    &["_run_command", "_end_open_move", "_guard_drop", "_guard_hold", "_guard_table", "_follow_ddl"];

const ROLES: [&str; 3] = ["domain_events_reader", "domain_events_writer", "domain_events_admin"];

fn victim(db: &Db) {
    db.owner().run(
        "create schema victim;
         create table victim.secrets (id int primary key, salary int);
         insert into victim.secrets values (1, 123456);
         create table victim.log (type text, id text, version int, unique (type, id, version));
         create table victim.rows (id int primary key, v text);
         insert into victim.rows values (1, 'a');
         select domain_events.register_event_table('victim.log', 'type', 'id', 'version');
         select domain_events.enable_capture('victim.rows', aggregate_type => 'Victim');
         grant usage on schema victim to public;",
    );
}

fn member(db: &Db, role: &str) -> (String, Session) {
    let name = db.role(&format!("m_{role}"));
    db.admin().run(&format!("grant {role} to {name}"));
    let session = db.session(&name);
    (name, session)
}

/// Functions that write with more than their caller's rights: SECURITY DEFINER, and those of the library, which need nobody's.
fn powerful(db: &Db, who: &str) -> Vec<String> {
    let mut admin = db.admin();
    let list = admin.table(&format!(
        "select distinct p.proname::text from pg_proc p join pg_language l on l.oid = p.prolang
          where p.pronamespace = 'domain_events'::regnamespace and (p.prosecdef or l.lanname = 'c') and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
            and has_function_privilege('{who}', p.oid, 'execute') order by 1"
    ));
    list.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

fn every_definer_function_checks_who_calls(db: &Db) {
    victim(db);
    let mut seen = vec![];
    for role in ROLES {
        let (name, mut s) = member(db, role);
        for function in powerful(db, &name) {
            let calls: Vec<_> = KNOWN.iter().filter(|(known, ..)| *known == function).collect();
            assert!(
                !calls.is_empty(),
                "{role} may execute {function}, which runs with the store's rights: who checks it?"
            );
            for (_, call, expect) in calls {
                match (s.attempt(call), expect) {
                    (Ok(_), Right) => {}
                    (Err(failure), Refused(code)) => _ = failure.expect_code(code),
                    (Ok(_), Refused(code)) => panic!("{role}: {call} was expected to raise {code}"),
                    (Err(failure), Right) => panic!("{role}: {call}: {failure}"),
                }
            }
            seen.push(function);
        }
    }
    for (function, ..) in KNOWN {
        // next_aggregate_version is SQL on the portable engine, and runs as its caller
        assert!(
            seen.iter().any(|s| s == function) || *function == "next_aggregate_version",
            "{function} is listed and is not there"
        );
    }
    // every SECURITY DEFINER trigger function is known too
    let triggers = db.admin().table(
        "select distinct p.proname::text from pg_proc p where p.pronamespace = 'domain_events'::regnamespace and p.prosecdef
            and p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) and p.proname !~ '^capture_[0-9]+$' order by 1",
    );
    for trigger in triggers.lines() {
        assert!(TRIGGERS.contains(&trigger), "trigger function {trigger} runs with the store's rights: who checks it?");
    }
    // nothing of the victim's was touched
    let mut owner = db.owner();
    assert_eq!(owner.table("select state, aggregate_type from domain_events.captures"), "active|Victim");
    assert_eq!(owner.one("select count(*) from domain_events.event_tables"), "1");
    assert_eq!(owner.one("select count(*) from domain_events.events where aggregate_type <> 'Own'"), "0");
}

/// What puts events among the old ones, or moves the sequence, is the store's owner's alone.
fn only_the_stores_owner_adopts(db: &Db) {
    for role in ROLES {
        let (_, mut s) = member(db, role);
        for call in [
            "select domain_events._begin_adoption('x', null, 1, 10, null)",
            "select domain_events._begin_adoption('x', null, 1, 9223372036854770000, null)",
            "select domain_events._adopt_events(1, array[row(1,null,gen_random_uuid(),'Fg','1',99,'FgDeleted',null,'{}','{}',null,null,'ceo',1,now(),now(),'adopted')::domain_events.events], 1)",
            "select domain_events._end_adoption(1, 'moved', 0)",
            "select setval('domain_events.events_global_position_seq', 9)",
            "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('A', '1', 1, 'A')",
        ] {
            s.error(call).expect_code("42501");
        }
    }
    // and not even that owner can use the positions up
    let mut owner = if db.engine.name() == "native" { db.admin() } else { db.owner() };
    for (first, last) in
        [("1", "9223372036854770000"), ("-9223372036854775808", "9223372036854775807"), ("1", "1000000000001")]
    {
        owner.error(&format!("select domain_events._begin_adoption('x', null, {first}, {last}, null)")).expect("22023");
    }
    owner.run("select domain_events._begin_adoption('x', null, 1, 10, null)");
    assert_eq!(owner.one("select aggregate_version from domain_events.append_event('A', '1', 'A')"), "1");
}

/// Everybody may execute what shows and changes nothing, and no function that runs with other rights.
fn nothing_is_left_to_everybody(db: &Db) {
    victim(db);
    let stranger = db.role("stranger");
    assert_eq!(powerful(db, &stranger), Vec::<String>::new());
    let mut s = db.session(&stranger);
    s.error("insert into domain_events.commands (target, verb) values ('victim.rows', 'seal capture')")
        .expect_code("42501");
    s.error("select * from domain_events.events").expect_code("42501");
}
