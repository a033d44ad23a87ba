//! Constructs of legacy triggers: what scan says of them, and that what it ports is right.

use domain_events_tests::{Db, Engine, engines};

use crate::Legacy;

engines! { helpers_branches_and_app_functions, what_is_right_already_is_left_alone, the_application_needs_no_new_right,
quoted_names_and_partitions, an_assigning_trigger_has_not_the_last_word, verify_tells_what_differs, verify_against_a_copy_of_the_database,
what_cannot_be_ported_is_said }

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

/// The application's role may write its tables and nothing else: neither strategy may ask more of it.
fn the_application_needs_no_new_right(db: &Db) {
    let legacy = Legacy::new(db);
    let app = db.role("app");
    db.owner().run(&format!("grant select, insert, update on users to {app}; grant insert on domain_events to {app};"));
    for strategy in ["shim", "rewrite"] {
        if strategy == "rewrite" && db.engine == Engine::Native {
            // the store's owner is another: the tool cannot grant, and must not seem to
            let plan = legacy.cli(&["plan", "--out", legacy.file(), "--strategy", "log_user_changes=rewrite"]);
            plan.expect(2).saying(&format!("grant domain_events_writer to {app}"));
            db.admin().run(&format!("grant domain_events_writer to {app}"));
        }
        legacy.plan(&["--strategy", &format!("log_user_changes={strategy}")]);
        let before = legacy.definitions();
        legacy.apply().expect(0);
        let mut session = db.session(&app);
        for _ in 0..2 {
            session.run("update users set login_count = login_count + 1 where id in (1, 2, 3)");
        }
        assert_eq!(legacy.broken_streams(), 0);
        legacy.rollback().expect(0);
        legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
        assert_eq!(legacy.definitions(), before, "{strategy}");
        assert_eq!(
            db.owner().one(&format!(
                "select has_function_privilege('{app}', 'domain_events.next_aggregate_version(text, text, regclass)', 'execute')"
            )),
            if strategy == "rewrite" && db.engine == Engine::Native { "t" } else { "f" },
            "rollback takes the grant back"
        );
    }
}

fn quoted_names_and_partitions(db: &Db) {
    let legacy = Legacy::of(
        db,
        r#"create schema "Ev";
           create type "Ev"."Kind" as enum ('Order', 'Cart');
           create table "Ev"."Log Events" (
             "Kind" "Ev"."Kind" not null, "Stream Id" text not null, "Version" int not null, "what" text not null,
             payload jsonb, happened timestamptz not null default now(), unique ("Kind", "Stream Id", "Version")
           ) partition by list ("Kind");
           create table "Ev".orders_log partition of "Ev"."Log Events" for values in ('Order');
           create table "Ev".carts_log partition of "Ev"."Log Events" for values in ('Cart');
           create table "Order" (id int primary key, note text);
           create function "Log It"() returns trigger language plpgsql set search_path = "Ev", public as $f$
           begin
             insert into "Log Events" values ('Order', new.id, 1, 'OrderChanged', row_to_json(new));
             return null;
           end $f$;
           create trigger "Log It" after insert or update on "Order" for each row execute function "Log It"();
           insert into "Order" values (1, 'a'), (2, null);"#,
    );
    let finding = legacy.scan().remove(0);
    assert_eq!(finding["event_table"], r#""Ev"."Log Events""#);
    assert_eq!((&finding["version_source"], &finding["strategy"]), (&"literal".into(), &"shim".into()), "{finding}");
    legacy.plan(&[]);
    legacy.apply().expect(0);
    let mut owner = db.owner();
    owner.run(r#"update "Order" set note = 'b'; update "Order" set note = 'c'"#);
    owner.run(r#"insert into "Ev".orders_log values ('Order', '1', 1, 'Direct', '{}')"#);
    let versions = r#"select "Stream Id", string_agg("Version"::text, ',' order by "Version") from "Ev"."Log Events" group by 1 order by 1"#;
    assert_eq!(owner.table(versions), "1|1,2,3,4\n2|1,2,3");
    let checks = legacy.cli(&["verify", "--format", "json"]).json();
    assert_eq!(checks["checks"][0]["verdict"], "equal", "{checks}");
    legacy.rollback().expect(0);
}

/// A legacy BEFORE INSERT trigger on the event table computes max()+1: it stays, the shim fires after it.
fn an_assigning_trigger_has_not_the_last_word(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{TABLES}
            create function assign() returns trigger language plpgsql as $$
            begin
              new.version := (select coalesce(max(e.version), 0) + 1 from event_store e where e.aggregate_id = new.aggregate_id);
              return new;
            end $$;
            create trigger zz_assign before insert on event_store for each row execute function assign();
            create function changed() returns trigger language plpgsql as $$
            begin
              insert into event_store (aggregate_id, event_type, data) values (new.id, 'AccountChanged', to_jsonb(new));
              return null;
            end $$;
            create trigger changed after insert or update on accounts for each row execute function changed();"
        ),
    );
    let finding = legacy.scan().remove(0);
    assert_eq!(finding["code"], "EV110", "{finding}");
    assert_eq!(finding["version_source"], "assigned_on_event_table", "{finding}");
    legacy.plan(&[]);
    legacy.apply().expect(0);
    db.owner().run("insert into accounts (email) values ('a'); update accounts set email = 'b'");
    assert_eq!(db.owner().one("select string_agg(version::text, ',' order by seq) from event_store"), "1,2");
    legacy.cli(&["scan"]).expect(0);
}

fn verify_against_a_copy_of_the_database(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{TABLES}
            create function changed() returns trigger language plpgsql as $$
            begin
              execute 'insert into public.event_store (aggregate_id, version, event_type, data) values ($1, 1, $2, $3)'
                using new.id, 'AccountChanged', to_jsonb(new);
              return null;
            end $$;
            create trigger changed after insert or update on accounts for each row execute function changed();
            insert into accounts (email) values ('a'), ('b');"
        ),
    );
    let finding = legacy.scan().remove(0);
    assert_eq!(finding["version_source"], "literal", "{finding}");
    legacy.plan(&[]);
    let here = legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(3).json();
    assert_eq!(here["checks"][0]["verdict"], "unverified", "{here}");
    // a copy, as a user makes one: the same schema in another database
    let copy = Db::new(db.engine);
    let schema = db.owner().one(
        "select string_agg(pg_get_functiondef(oid), ';') from pg_proc where pronamespace = 'public'::regnamespace",
    );
    copy.owner().run(&format!(
        "{TABLES} {schema};
         create trigger changed after insert or update on accounts for each row execute function changed();
         insert into accounts (email) values ('a'), ('b')"
    ));
    let there = legacy.cli(&["verify", "--against", &copy.url("app_owner"), "--format", "json", legacy.file()]);
    assert_eq!(there.json()["checks"][0]["verdict"], "equal", "{there:?}");
    assert_eq!(copy.owner().number("select count(*) from event_store"), 2, "nothing stays in the copy");
}

fn what_cannot_be_ported_is_said(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table t (id int primary key, x text, v int not null default 1);
         create table audit_log (id bigserial primary key, row_id int, action text, at timestamptz default now(), data jsonb, v int,
                                 unique (row_id, v));
         create function copied() returns trigger language plpgsql as $$
         begin
           insert into audit_log (row_id, action, data, v) values (new.id, tg_op, to_jsonb(new), new.v);
           return null;
         end $$;
         create function secret() returns trigger language plpgsql as $$
         begin
           execute tg_argv[0] using new.id;
           return null;
         end $$;
         create trigger copied after update on t for each row execute function copied();
         create trigger secret after delete on t for each row execute function secret('select 1');",
    );
    let findings = legacy.scan();
    let of = |trigger: &str| {
        findings.iter().find(|f| f["trigger"] == trigger).unwrap_or_else(|| panic!("{trigger} in {findings:?}"))
    };
    assert_eq!(
        (&of("copied")["version_source"], &of("copied")["strategy"]),
        (&"copied_from_row".into(), &"manual".into())
    );
    assert_eq!((&of("secret")["version_source"], &of("secret")["strategy"]), (&"dynamic".into(), &"manual".into()));
    legacy.plan(&[]).saying("is left to you");
    legacy.apply().expect(0).saying("nothing to do");
    legacy.cli(&["verify", legacy.file()]).expect(3);
}

fn verify_tells_what_differs(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{TABLES}
            create function changed() returns trigger language plpgsql as $$
            begin
              insert into event_store (aggregate_id, version, event_type, data)
              values (new.id, 1, 'AccountChanged', jsonb_build_object('email', new.email, 'lot', random()));
              return null;
            end $$;
            create trigger changed after update on accounts for each row execute function changed();
            insert into accounts (email) values ('a');"
        ),
    );
    legacy.plan(&[]);
    let run = legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(3).json();
    let check = &run["checks"][0];
    assert_eq!(check["verdict"], "different", "{check}");
    assert!(check["differences"][0].as_str().expect("a text").contains("data is"), "{check}");
    // an empty table is replayed with rows made up
    db.owner().run("truncate accounts");
    let run = legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(3).json();
    assert_eq!(run["checks"][0]["verdict"], "different", "{run}");
}
