//! What `verify` sees: recorded changes, and errors in branches that no replay reaches.

use std::fs;

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { recorded_changes_are_replayed, recorded_changes_that_did_not_run_prove_nothing, a_plan_is_what_its_journal_has, plpgsql_check_is_asked, what_the_application_numbers_is_looked_at, several_rows_of_one_change_keep_their_order }

const SCHEMA: &str = "
    create table accounts (id int primary key, email text, plan text not null default 'free');
    create table account_events (id bigserial primary key, account_id int not null, version int not null, event_type text not null,
      data jsonb not null, by_whom text, at timestamptz not null default now(), unique (account_id, version));
    create function account_changed() returns trigger language plpgsql as $$
    begin
      if new.plan = 'gold' and current_setting('app.user_id', true) = '7' then
        insert into account_events (account_id, version, event_type, data, by_whom)
        values (new.id, 1, 'BecameGold', jsonb_build_object('lot', random()), current_setting('app.user_id'));
      else
        insert into account_events (account_id, version, event_type, data) values (new.id, 1, 'AccountChanged', to_jsonb(new));
      end if;
      return new;
    end $$;
    create trigger account_changed after update on accounts for each row execute function account_changed();
    insert into accounts select i, 'a' || i from generate_series(1, 40) i;";

/// What the tool makes up never comes to the branch that differs; what the application runs does.
fn recorded_changes_are_replayed(db: &Db) {
    let legacy = Legacy::of(db, SCHEMA);
    legacy.plan(&[]);
    let file = legacy.plan.with_extension("sql");
    let verify = |text: &str, code: i32| {
        fs::write(&file, text).expect("the recorded changes");
        let run =
            legacy.cli(&["verify", "--format", "json", "--changes", file.to_str().expect("a path"), legacy.file()]);
        fs::remove_file(&file).ok();
        run.expect(code)
    };
    let made_up = legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(0).json();
    let plain =
        verify("begin; update accounts set email = 'x' where id = 33; insert into account_events select; commit", 0)
            .json();
    let count = |v: &serde_json::Value| v["checks"][0]["changes"].as_i64().expect("a number");
    // one of the two changes this table; row 33 is none of the 20 that are copied otherwise
    assert_eq!(count(&plain), count(&made_up) + 1, "{plain}");
    let differs = verify("set app.user_id = '7';\nupdate accounts a set plan = 'gold' where a.id = 33", 3).json();
    let told = differs["checks"][0]["differences"][0].as_str().expect("a difference");
    assert!(told.starts_with("recorded, line 2: data is"), "{told}");
    let missed = verify("delete from accounts where id = 99", 0).json();
    let declared = missed["checks"][0]["declared"].to_string();
    assert!(declared.contains("recorded, line 1: no row was there to change"), "{declared}");
    verify("select 1", 2).saying("line 1").saying("hint: ");
    assert_eq!(db.owner().number("select count(*) from account_events"), 0, "nothing stays");
    assert_eq!(db.owner().number("select count(*) from accounts where plan = 'gold'"), 0, "nothing stays");
}

/// A recording whose values do not fit, or whose search_path is missing, is none.
fn recorded_changes_that_did_not_run_prove_nothing(db: &Db) {
    let legacy = Legacy::of(db, SCHEMA);
    legacy.plan(&[]);
    let file = legacy.plan.with_extension("sql");
    for (recorded, told) in [
        ("insert into accounts select 1 / 0, 'x'", "recorded, line 1: it fails: division by zero (SQLSTATE 22012)"),
        (
            "update accounts set email = 'x';\ndelete from no_such_table",
            "recorded, line 2: there is no table no_such_table",
        ),
        (
            "update accounts set email = no_such_function(email)",
            "recorded, line 1: it fails: function no_such_function(text) does not exist",
        ),
        ("set no_such_setting = 1", "recorded, line 1: it fails: unrecognized configuration parameter"),
    ] {
        fs::write(&file, recorded).expect("the recorded changes");
        let changes = file.to_str().expect("a path");
        let run = legacy.cli(&["verify", "--format", "json", "--changes", changes, legacy.file()]).expect(3).json();
        fs::remove_file(&file).ok();
        assert_eq!(run["checks"][0]["verdict"], "unverified", "{recorded}: {run}");
        let difference = run["checks"][0]["differences"][0].as_str().expect("what is told");
        assert!(difference.starts_with(told), "{recorded}: {difference}");
    }
}

/// Neither what verify compares by nor the id by which the journal knows a plan can be edited in silence.
fn a_plan_is_what_its_journal_has(db: &Db) {
    let legacy = Legacy::of(db, SCHEMA);
    legacy.plan(&[]);
    let text = fs::read_to_string(&legacy.plan).expect("the plan");
    let id = text.lines().find(|l| l.starts_with("plan_id = ")).expect("an id");
    let other = "plan_id = \"20200101-000000-abcd\"";
    for (line, edited) in [("version_source = \"literal\"", "version_source = \"max_plus_one\""), (id, other)] {
        assert!(text.contains(line), "{line}");
        fs::write(&legacy.plan, text.replacen(line, edited, 1)).expect("the plan");
        for verb in [&["verify"][..], &["apply", "--yes"], &["apply", "--finish", "--yes"]] {
            legacy.cli(&[verb, &[legacy.file()]].concat()).expect(2).saying("edited by hand");
        }
    }
    fs::write(&legacy.plan, &text).expect("the plan");
    legacy.apply().expect(0);
    // whatever its digest says: the plan of this id is another one
    let journal = "update domain_events.migration_plans set plan = plan || '{\"content\": \"0\"}'";
    db.admin().run(&format!("alter table domain_events.migration_plans disable trigger user; {journal}"));
    for verb in [&["verify"][..], &["apply", "--yes"], &["apply", "--finish", "--yes"]] {
        legacy.cli(&[verb, &[legacy.file()]].concat()).expect(4).saying("another plan");
    }
    assert_eq!(db.owner().one("select state from domain_events.migration_plans"), "applied");
}

/// Its findings count where the new function has them and the old one had not.
fn plpgsql_check_is_asked(db: &Db) {
    let available = "select count(*) from pg_available_extensions where name = 'plpgsql_check'";
    if db.admin().number(available) == 0 {
        eprintln!("not tested: the package postgresql-NN-plpgsql-check is not installed");
        return;
    }
    let faulty = |text: &str| {
        text.replace("return new;", "if new.email = 'never' then new.no_such_column := 1; end if; return new;")
    };
    // the old function has the fault already: the port did not make it
    let legacy = Legacy::of(db, &faulty(SCHEMA));
    db.admin().run("create extension plpgsql_check");
    legacy.plan(&["--strategy", "account_changed=rewrite"]);
    legacy.cli(&["verify", legacy.file()]).expect(0);
    // it comes after the plan was made, in a branch that no replay reaches
    let fresh = Db::new(db.engine);
    let legacy = Legacy::of(&fresh, SCHEMA);
    fresh.admin().run("create extension plpgsql_check");
    legacy.plan(&[]);
    legacy.apply().expect(0);
    legacy.cli(&["verify"]).expect(0);
    let function = fresh.owner().one("select pg_get_functiondef('account_changed()'::regprocedure)");
    fresh.owner().run(&faulty(&function));
    let run = legacy.cli(&["verify", "--format", "json"]).expect(3).json();
    let differences = run["checks"][0]["differences"].to_string();
    assert!(
        differences.contains("plpgsql_check of public.account_changed()") && differences.contains("no_such_column"),
        "{run}"
    );
}

/// The shim would number the application's own rows too.
fn what_the_application_numbers_is_looked_at(db: &Db) {
    let legacy = Legacy::of(db, SCHEMA);
    let o = db.owner();
    let verdict = || {
        let run = legacy.cli(&["verify", "--format", "json", legacy.file()]);
        let check = run.json()["checks"][0].clone();
        (check["verdict"].as_str().expect("a verdict").to_owned(), check.to_string())
    };
    let write = |rows: &str| {
        db.owner().run(&format!(
            "truncate account_events; insert into account_events (account_id, version, event_type, data) select a, v, 'Rank', '{}' from (values {rows}) r(a, v)"
        , "{}"));
    };
    drop(o);
    legacy.plan(&["--strategy", "account_changed=shim"]);
    // as events are: from one on, from where older ones were deleted, one that was deleted between
    write("(1, 1), (1, 2), (2, 7), (2, 8), (3, 1), (3, 3), (4, 1), (5, 9)");
    let (verdict_of_events, told) = verdict();
    assert_eq!(verdict_of_events, "equal", "{told}");
    assert!(told.contains("in 1 of 3 streams"), "{told}");
    // ranks
    for rows in ["(1, 3), (1, 2), (1, 1), (2, 2), (2, 1)", "(1, 10), (1, 20), (1, 30), (2, 10), (2, 20)"] {
        write(rows);
        let (verdict, told) = verdict();
        assert_eq!(verdict, "different", "{told}");
        assert!(
            told.contains("in 2 of 2 streams of public.account_events the rows do not count as the shim does"),
            "{told}"
        );
    }
    // an answer is kept in the plan
    legacy.plan(&["--strategy", "account_changed=shim", "--treat", "account_events=events"]);
    let (verdict, told) = verdict();
    assert_eq!(verdict, "equal", "{told}");
    assert!(told.contains("do not count as the shim does"), "{told}");
}

/// Whatever is taken for an event: what one statement numbers 30, 20, 10 is not numbered 1, 2, 3 unseen.
fn several_rows_of_one_change_keep_their_order(db: &Db) {
    let seeded = SCHEMA.replace(
        "values (new.id, 1, 'AccountChanged', to_jsonb(new));",
        "values (new.id, 30, 'AccountChanged', to_jsonb(new)), (new.id, 20, 'AccountChanged', to_jsonb(new));",
    );
    assert_ne!(seeded, SCHEMA);
    let legacy = Legacy::of(db, &seeded);
    // a type that is told with each row speaks for events
    legacy.plan(&["--strategy", "account_changed=shim"]);
    let told = legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(3).stdout;
    assert!(
        told.contains("version of the rows of [1] is [1,2] instead of [30,20]")
            || told.contains("is [1, 2] instead of [30, 20]"),
        "{told}"
    );
}
