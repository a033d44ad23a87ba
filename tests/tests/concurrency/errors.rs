//! Errors of a user's own objects keep their SQLSTATE on the way through us, and nothing half-done stays behind.

use domain_events_tests::{Db, engines};

use crate::append;

engines! { a_users_sqlstate_passes_through_an_append, a_users_sqlstate_passes_through_a_capture, a_swallowed_insert_is_an_error }

/// A trigger of the owner on the store itself, as a site may add one.
const FAILING: &str = "
    create function public.fails() returns trigger language plpgsql as $$
    begin
      if new.event_type like 'Fail%' then
        raise exception 'refused by the site' using errcode = substr(new.event_type, 5), detail = 'its detail', hint = 'its hint';
      end if;
      return new;
    end $$;
    create trigger site before insert on domain_events.events for each row execute function public.fails();";

const CODES: [&str; 8] = ["ZZ123", "P0001", "23505", "23000", "40001", "22023", "DE001", "55000"];

fn a_users_sqlstate_passes_through_an_append(db: &Db) {
    db.admin().run(FAILING);
    let mut s = db.owner();
    s.run("set statement_timeout = '5s'");
    for code in CODES {
        for call in [
            format!("domain_events.append_event('User', '1', 'Fail{code}')"),
            format!(
                "domain_events.append_events('User', '1', '[{{\"event_type\": \"A\"}}, {{\"event_type\": \"Fail{code}\"}}]')"
            ),
            format!(
                "domain_events.append_events('[{{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"Fail{code}\"}}]'::jsonb)"
            ),
        ] {
            let failure = s.error(&format!("select {call}")).expect_code(code);
            assert_eq!(
                (failure.message.as_str(), failure.detail.as_str(), failure.hint.as_str()),
                ("refused by the site", "its detail", "its hint")
            );
        }
    }
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
    assert_eq!(s.one(&append("1")), "1");
    db.check_versions();
}

fn a_users_sqlstate_passes_through_a_capture(db: &Db) {
    db.admin().run(FAILING);
    let mut s = db.owner();
    s.run("set statement_timeout = '5s'");
    for (n, code) in CODES.iter().enumerate() {
        s.run(&format!(
            "create table t{n} (id int primary key);
             select domain_events.enable_capture('t{n}', 'T{n}', on_failure => 'abort',
               event_types => '[{{\"on\": \"insert\", \"type\": \"Fail{code}\"}}]')"
        ));
        let failure = s.error(&format!("insert into t{n} values (1)")).expect_code(code);
        assert_eq!(failure.message, "refused by the site");
        assert_eq!(s.one(&format!("select count(*) from t{n}")), "0");
        s.run(&format!(
            "create table d{n} (id int primary key);
             select domain_events.enable_capture('d{n}', 'D{n}', on_failure => 'dead_letter',
               event_types => '[{{\"on\": \"insert\", \"type\": \"Fail{code}\"}}]')"
        ));
        if *code == "40001" {
            s.error(&format!("insert into d{n} values (1)")).expect_code(code);
        } else {
            s.run(&format!("insert into d{n} values (1)"));
            assert_eq!(
                s.table(&format!("select error_code, error_message from domain_events.capture_failures where table_name = 'public.d{n}'")),
                format!("{code}|refused by the site")
            );
        }
    }
    assert_eq!(s.one("select count(*) from domain_events.events where event_type like 'Fail%'"), "0");
    db.check_versions();
}

/// A trigger that throws the row away must not make an append wait for ever, or tell of an event that is not there.
fn a_swallowed_insert_is_an_error(db: &Db) {
    db.admin().run(
        "create function public.swallows() returns trigger language plpgsql as $$
         begin return case when new.event_type = 'Lost' then null else new end; end $$;
         create trigger site before insert on domain_events.events for each row execute function public.swallows();",
    );
    let mut s = db.owner();
    s.run("set statement_timeout = '5s'");
    s.run(&append("1"));
    for call in [
        "domain_events.append_event('User', '1', 'Lost')",
        "domain_events.append_events('User', '1', '[{\"event_type\": \"Lost\"}]')",
    ] {
        let failure = s.error(&format!("select {call}"));
        assert_ne!(failure.code, "57014", "{call} never ends");
        assert!(!failure.hint.is_empty(), "{failure}");
    }
    assert_eq!(s.one(&append("1")), "2");
    db.check_versions();
}
