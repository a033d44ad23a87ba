//! Constructs of legacy triggers: what scan says of them, and that what it ports is right.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { helpers_branches_and_app_functions, what_is_right_already_is_left_alone }

const TABLES: &str = "
    create table accounts (id uuid primary key default gen_random_uuid(), email text, version int not null default 1);
    create table event_store (
      seq bigserial primary key, aggregate_id uuid not null, version int not null, event_type text not null,
      data jsonb not null, at timestamptz not null default now(), unique (aggregate_id, version));";

fn helpers_branches_and_app_functions(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{TABLES}
            create function next_version(p_id uuid) returns int language plpgsql stable as $$
            declare v int;
            begin
              select coalesce(max(version), 0) + 1 into v from event_store where aggregate_id = p_id;
              return v;
            end $$;
            create function log_event(p_id uuid, p_type text, p_data jsonb) returns void language plpgsql as $$
            begin
              insert into event_store (aggregate_id, version, event_type, data)
              values (p_id, next_version(p_id), p_type, p_data);
            end $$;
            create function account_events() returns trigger language plpgsql as $$
            declare row public.accounts%rowtype;
            begin
              if tg_op = 'INSERT' then
                perform log_event(new.id, 'AccountOpened', to_jsonb(new));
              elsif tg_op = 'UPDATE' then
                row := old;
                if row.email is distinct from new.email then
                  perform log_event(new.id, 'EmailChanged', jsonb_build_object('from', old.email, 'to', new.email));
                end if;
              else
                perform log_event(old.id, 'AccountClosed', to_jsonb(old));
              end if;
              return null;
            end $$;
            create trigger account_events after insert or update or delete on accounts
              for each row execute function account_events();"
        ),
    );
    let findings = legacy.scan();
    let types: Vec<_> = findings.iter().map(|f| f["event_type"].as_str().unwrap_or("-")).collect();
    assert_eq!(types.len(), 3, "{findings:?}");
    assert!(["AccountOpened", "EmailChanged", "AccountClosed"].iter().all(|t| types.contains(t)), "{types:?}");
    for finding in &findings {
        assert_eq!(finding["version_source"], "max_plus_one", "{finding}");
        assert_eq!(finding["strategy"], "shim", "{finding}");
        assert_eq!(finding["trigger"], "account_events", "{finding}");
    }
    legacy.plan(&[]);
    legacy.apply().expect(0);
    let verified = legacy.cli(&["verify", "--format", "json"]);
    assert_eq!(verified.json()["checks"][0]["verdict"], "equal", "{verified:?}");
    let mut owner = db.owner();
    owner.run(
        "insert into accounts (email) select 'a' || i from generate_series(1, 5) i;
         update accounts set email = email || 'x'; update accounts set email = email; delete from accounts",
    );
    let streams = "select count(*), sum(n) from (select count(*) n from event_store group by aggregate_id
                    having min(version) = 1 and max(version) = count(*)) s";
    assert_eq!(owner.table(streams), "5|15");
    legacy.rollback().expect(0);
}

fn what_is_right_already_is_left_alone(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{TABLES}
            create table mirror (id uuid, email text, copied_at timestamptz);
            create function locked() returns trigger language plpgsql as $$
            declare v int;
            begin
              perform pg_advisory_xact_lock(hashtext(new.id::text));
              select coalesce(max(version), 0) + 1 into v from event_store where aggregate_id = new.id;
              insert into event_store (aggregate_id, version, event_type, data) values (new.id, v, 'AccountChanged', to_jsonb(new));
              insert into mirror values (new.id, new.email, now());
              return null;
            end $$;
            create trigger locked after insert or update on accounts for each row execute function locked();"
        ),
    );
    let findings = legacy.scan();
    let codes: Vec<_> = findings.iter().map(|f| f["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes.len(), 2, "{findings:?}");
    assert!(codes.contains(&"EV103") && codes.contains(&"EV100"), "{findings:?}");
    legacy.cli(&["scan"]).expect(0);
    legacy.cli(&["plan", "--out", legacy.file()]).expect(0);
    legacy.apply().expect(0).saying("nothing to do");
}
