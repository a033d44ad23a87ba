//! A store that others have built on, or damaged: what it refuses becomes a dead letter, whatever the reason, and an append
//! fails with an error that says what is wrong.

use std::thread;

use domain_events_tests::{Db, Session, engines};

engines! {
    whatever_the_store_refuses_becomes_a_dead_letter, abort_fails_the_statement_with_the_reason,
    an_append_that_the_store_refuses_leaves_nothing, a_sequence_behind_the_events_says_how_to_mend_it,
    one_id_in_two_streams_at_once, a_constraint_that_comes_while_a_writer_waits_counts, both_engines_propagate_the_same_errors,
}

struct Obstacle {
    make: &'static str,
    mend: &'static str,
    code: &'static str,
    /// Only of this size something is refused.
    size: usize,
}

const EVENTS: &str = "domain_events.events";

/// What stands in the way of events whose type is not `Free`.
const OBSTACLES: &[Obstacle] = &[
    Obstacle {
        make: "do $$ begin execute format('alter sequence domain_events.events_global_position_seq maxvalue %s',
                 (select last_value + 1 from domain_events.events_global_position_seq)); end $$",
        mend: "alter sequence domain_events.events_global_position_seq no maxvalue",
        code: "2200H",
        size: 1,
    },
    Obstacle {
        make: "do $$ begin perform set_config('test.position', last_value::text, false) from domain_events.events_global_position_seq;
                 perform setval('domain_events.events_global_position_seq', 9223372036854775807); end $$",
        mend: "select setval('domain_events.events_global_position_seq', (select max(global_position) from domain_events.events))",
        code: "2200H",
        size: 1,
    },
    Obstacle {
        make: "select setval('domain_events.events_global_position_seq', 1, false)",
        mend: "select setval('domain_events.events_global_position_seq', (select max(global_position) from domain_events.events))",
        code: "55000",
        size: 1,
    },
    Obstacle {
        make: "alter table domain_events.events add constraint own check (aggregate_type = 'Free') not valid",
        mend: "alter table domain_events.events drop constraint own",
        code: "23514",
        size: 1,
    },
    Obstacle {
        make: "create unique index own on domain_events.events (schema_version) where aggregate_type <> 'Free' and global_position > 1000000000;
               select setval('domain_events.events_global_position_seq', 1000000001)",
        mend: "drop index domain_events.own",
        code: "23505",
        size: 1,
    },
    Obstacle {
        make: "alter table domain_events.events add constraint own exclude using btree (caused_by with =) where (aggregate_type <> 'Free' and global_position > 2000000000);
               select setval('domain_events.events_global_position_seq', 2000000001)",
        mend: "alter table domain_events.events drop constraint own",
        code: "23P01",
        size: 1,
    },
    Obstacle {
        make: "create index own on domain_events.events (event_type) include (event_data)",
        mend: "drop index domain_events.own",
        code: "54000",
        size: 3000,
    },
    Obstacle {
        make: "create index own on domain_events.events ((event_data::text)) where global_position > 2500000000;
               select setval('domain_events.events_global_position_seq', 2500000001)",
        mend: "drop index domain_events.own",
        code: "54000",
        size: 3000,
    },
    Obstacle {
        make: "create index own on domain_events.events ((1 / (length(aggregate_type) - length(aggregate_type)))) where aggregate_type <> 'Free' and global_position > 3000000000;
               select setval('domain_events.events_global_position_seq', 3000000001)",
        mend: "drop index domain_events.own",
        code: "22012",
        size: 1,
    },
    Obstacle {
        make: "alter table domain_events.events alter event_data set storage plain",
        mend: "alter table domain_events.events alter event_data set storage extended",
        code: "54000",
        size: 3000,
    },
    Obstacle {
        make: "alter table domain_events.events add constraint own check (event_name is not null or aggregate_type = 'Free') not valid",
        mend: "alter table domain_events.events drop constraint own",
        code: "23514",
        size: 1,
    },
    Obstacle {
        make: "create function public.own() returns trigger language plpgsql as $$ begin
                 assert new.aggregate_type = 'Free', 'no'; return new; end $$;
               create trigger own before insert on domain_events.events for each row execute function public.own()",
        mend: "drop function public.own() cascade",
        code: "P0004",
        size: 1,
    },
    Obstacle {
        make: "create function public.own() returns trigger language plpgsql as $$ begin
                 if new.aggregate_type <> 'Free' then raise exception 'no' using errcode = 'ZZ123'; end if; return null; end $$;
               create trigger own after insert on domain_events.events for each row execute function public.own()",
        mend: "drop function public.own() cascade",
        code: "ZZ123",
        size: 1,
    },
    Obstacle {
        make: "create function public.own() returns trigger language plpgsql as $$ begin
                 return case new.aggregate_type when 'Free' then new end; end $$;
               create trigger own before insert on domain_events.events for each row execute function public.own()",
        mend: "drop function public.own() cascade",
        code: "55000",
        size: 1,
    },
    Obstacle {
        make: "create rule own as on insert to domain_events.events do also select 1",
        mend: "drop rule own on domain_events.events",
        code: "0A000",
        size: 1,
    },
];

fn seeded(db: &Db, number: usize, on_failure: &str) -> Session {
    let mut s = db.owner();
    s.run("set client_min_messages = warning");
    s.run(&format!(
        "create table t{number} (id int primary key, v text);
         select domain_events.enable_capture('t{number}', on_failure => '{on_failure}');
         insert into t{number} select n, 'v' from generate_series(1, 5) as n"
    ));
    s
}

/// As large as that, and no smaller when compressed.
fn value(size: usize) -> String {
    format!("(select string_agg(md5(n::text), '') from generate_series(1, {}) as n)", size.div_ceil(32) * 3)
}

fn whatever_the_store_refuses_becomes_a_dead_letter(db: &Db) {
    for (number, obstacle) in OBSTACLES.iter().enumerate() {
        let mut s = seeded(db, number, "dead_letter");
        db.admin().run(obstacle.make);
        let v = value(obstacle.size);
        for statement in [
            format!("insert into t{number} values (11, {v})"),
            format!("insert into t{number} select n, {v} from generate_series(12, 14) as n"),
            format!("update t{number} set v = {v} || 'x' where id in (1, 2, 12)"),
            format!("update t{number} set id = 20, v = {v} where id = 13"),
            format!("delete from t{number} where id in (3, 14)"),
            format!(
                "begin; insert into t{number} values (30, {v}); update t{number} set v = 'z' where id = 30; commit"
            ),
        ] {
            s.attempt(&statement).unwrap_or_else(|e| panic!("{}: {statement}: {e}", obstacle.make));
        }
        assert_eq!(s.one(&format!("select count(*) from t{number}")), "8", "{}", obstacle.make);
        let codes = "select coalesce(string_agg(distinct error_code, ' '), 'none') from domain_events.capture_failures where stored_version is null";
        assert_eq!(db.admin().one(codes), obstacle.code, "{}", obstacle.make);
        db.check_versions_of(&format!("T{number}"));

        db.admin().run(obstacle.mend);
        s.run("select domain_events.retry_capture_failures()");
        s.run(&format!("update t{number} set v = v || '!' where id in (1, 11, 20)"));
        db.check_table(&format!("T{number}"), &format!("t{number}"));
    }
}

fn abort_fails_the_statement_with_the_reason(db: &Db) {
    for (number, obstacle) in OBSTACLES.iter().enumerate() {
        let mut s = seeded(db, number, "abort");
        db.admin().run(obstacle.make);
        let v = value(obstacle.size);
        let mut is_refused = false;
        for id in 11..20 {
            match s.attempt(&format!("insert into t{number} values ({id}, {v})")) {
                Err(failure) => {
                    failure.expect_code(obstacle.code);
                    is_refused = true;
                    break;
                }
                Ok(_) => continue,
            }
        }
        assert!(is_refused, "{}", obstacle.make);
        db.admin().run(obstacle.mend);
        db.check_table(&format!("T{number}"), &format!("t{number}"));
    }
}

fn an_append_that_the_store_refuses_leaves_nothing(db: &Db) {
    for (number, obstacle) in OBSTACLES.iter().enumerate() {
        let mut s = seeded(db, number, "dead_letter");
        db.admin().run(obstacle.make);
        let data = format!("jsonb_build_object('v', {})", value(obstacle.size));
        let is_free = obstacle.code != "23505" && obstacle.code != "23P01";
        let mut refused = 0;
        for pass in 1..=2 {
            let one = format!("select domain_events.append_event('A{number}'");
            let event = format!("jsonb_build_object('event_type', 'E', 'event_data', {data})");
            let of = |id: &str| {
                format!("{event} || '{{\"aggregate_type\": \"A{number}\", \"aggregate_id\": \"{id}-{pass}\"}}'")
            };
            for call in [
                format!("{one}, '1-{pass}', 'E', {data})"),
                format!("{one}, '2-{pass}', 'E', {data}, event_id => gen_random_uuid())"),
                format!("{one}, '3-{pass}', 'E', {data}, expected_version => 0)"),
                format!(
                    "select domain_events.append_events('A{number}', 'b-{pass}', jsonb_build_array({event}, {event}))"
                ),
                format!("select domain_events.append_events(jsonb_build_array({}, {}), '[]')", of("b1"), of("b2")),
            ] {
                if let Err(failure) = s.attempt(&call) {
                    failure.expect_code(obstacle.code);
                    refused += 1;
                }
            }
        }
        assert!(refused >= if is_free { 2 } else { 1 }, "{}: {refused}", obstacle.make);
        db.admin().run(obstacle.mend);
        db.check_versions_of(&format!("A{number}"));
        let parts =
            format!("select count(*) % 2 from {EVENTS} where aggregate_type = 'A{number}' and aggregate_id like 'b%'");
        assert_eq!(db.admin().one(&parts), "0", "half of a batch: {}", obstacle.make);
        db.check_table(&format!("T{number}"), &format!("t{number}"));
    }
}

fn a_sequence_behind_the_events_says_how_to_mend_it(db: &Db) {
    let mut s = seeded(db, 0, "abort");
    for call in [
        "select domain_events.append_event('A', '1', 'E')",
        "select domain_events.append_event('A', '1', 'E', event_id => gen_random_uuid())",
        "select domain_events.append_events('A', '1', '[{\"event_type\": \"E\"}, {\"event_type\": \"E\"}]')",
        "insert into t0 values (10, 'v')",
        "update t0 set v = 'x' where id = 1",
        "update t0 set id = 9 where id = 2",
        "delete from t0 where id = 3",
    ] {
        db.admin().run("select setval('domain_events.events_global_position_seq', 1, false)");
        let failure = s.error(call).expect_code("55000");
        assert!(failure.to_string().contains("position sequence is behind"), "{failure}");
        let statement = failure.hint.strip_prefix("Run: ").unwrap_or_else(|| panic!("no statement to run: {failure}"));
        db.admin().run(statement);
        s.run(call);
    }
    db.check_table("T0", "t0");
}

/// The first writer of an id decides; whoever waited for it learns that the id is another event's.
fn one_id_in_two_streams_at_once(db: &Db) {
    let id = "00000000-0000-7000-8000-000000000001";
    for (n, second) in [
        format!("select domain_events.append_event('A', 'second', 'E', event_id => '{id}')"),
        format!("select * from domain_events.append_events('A', 'second', '[{{\"event_type\": \"E\", \"event_id\": \"{id}\"}}, {{\"event_type\": \"E\"}}]')"),
    ]
    .iter()
    .enumerate()
    {
        let first = format!("select domain_events.append_event('A', 'first{n}', 'E', event_id => '{id}')");
        if n == 0 {
            let (_, result) = db.contend(&first, "begin", second);
            let failure = result.expect_err("an id for two events").expect_code("23505");
            assert_ne!(failure.hint, "", "{failure}");
        } else {
            db.owner().error(second).expect_code("23505");
        }
    }
    assert_eq!(db.admin().one(&format!("select count(*) from {EVENTS}")), "1");
    db.check_versions();
}

fn a_constraint_that_comes_while_a_writer_waits_counts(db: &Db) {
    let mut s = seeded(db, 0, "abort");
    let (mut changer, pid) = (db.admin(), s.pid());
    s.run("update t0 set v = 'x' where id = 1");
    changer.run("begin; alter table domain_events.events add constraint own check (aggregate_type = 'Free') not valid");
    let result = thread::scope(|scope| {
        let waiting = scope.spawn(|| s.attempt("select domain_events.append_event('A', '1', 'E')"));
        db.wait_until_blocked(pid);
        changer.run("commit");
        waiting.join().expect("the session that waited")
    });
    result.expect_err("the constraint was not heeded").expect_code("23514");
    db.check_table("T0", "t0");
}

/// SPEC 5 lists what fails the user's statement: everything else becomes a dead letter.
fn both_engines_propagate_the_same_errors(db: &Db) {
    let mut s = seeded(db, 0, "dead_letter");
    db.admin().run(
        "create function public.own() returns trigger language plpgsql as $$ begin
           if new.aggregate_type = 'T0' then execute format('do $d$ begin raise exception ''no'' using errcode = %L; end $d$', current_setting('test.code')); end if;
           return new; end $$;
         create trigger own before insert on domain_events.events for each row execute function public.own()",
    );
    for (code, propagates) in [
        ("40001", true),
        ("40P01", true),
        ("53100", true),
        ("53200", true),
        ("57014", true),
        ("57P01", true),
        ("58030", true),
        ("XX000", true),
        ("XX001", true),
        ("55P03", true),
        ("25006", true),
        ("55000", false),
        ("55006", false),
        ("25001", false),
        ("P0001", false),
        ("P0004", false),
        ("23505", false),
        ("42501", false),
        ("42P01", false),
        ("54001", false),
        ("22P02", false),
        ("ZZ999", false),
    ] {
        s.run(&format!("set test.code = '{code}'"));
        let result = s.attempt("update t0 set v = v || 'x' where id = 1");
        if propagates {
            result.expect_err(code).expect_code(code);
        } else {
            result.unwrap_or_else(|e| panic!("{code}: {e}"));
            let last = "select error_code from domain_events.capture_failures order by failure_id desc limit 1";
            assert_eq!(db.admin().one(last), code);
        }
    }
    db.admin().run("drop function public.own() cascade");
    s.run("select domain_events.retry_capture_failures()");
    db.check_table("T0", "t0");
}
