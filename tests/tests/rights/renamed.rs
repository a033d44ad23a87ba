//! Tables that their owner renames, drops and makes anew while a superuser's command looks at them: what is gone is an error or a
//! line that says so, and is never read with the superuser's rights.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use domain_events_tests::{Db, Run, Session, superuser_engines};

superuser_engines! { a_table_that_becomes_a_view_is_not_read, a_captured_table_that_is_renamed_is_told }

/// An owner with code that is called by whoever reads what is theirs.
fn owner(db: &Db) -> (String, Session) {
    let owner = db.role("owner");
    db.admin().run(&format!(
        "grant domain_events_admin, domain_events_writer, domain_events_reader to {owner}; grant create on database {} to {owner}",
        db.name
    ));
    let mut o = db.session(&owner);
    // in the log, since a sequence does not count in a READ ONLY transaction
    o.run(&format!(
        "create schema a; grant usage on schema a to public;
         create function a.spy(what text) returns int language plpgsql immutable as $$ begin
           if current_user <> '{owner}' then raise log 'FOREIGN % % as %', pg_catalog.current_database(), what, current_user; end if; return 1; end $$"
    ));
    (owner, o)
}

fn foreign(db: &Db) -> Vec<String> {
    let mark = format!("FOREIGN {} ", db.name);
    db.cluster().log().lines().filter(|l| l.contains(" LOG: ") && l.contains(&mark)).map(str::to_owned).collect()
}

fn blocked(db: &Db, args: &[&str], meanwhile: impl FnOnce()) -> Run {
    let tool: Child =
        db.cli_command("postgres", args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool");
    let mut admin = db.admin();
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'domain-events' and wait_event_type = 'Lock'";
    let came = (0..1000).any(|_| {
        sleep(Duration::from_millis(10));
        admin.number(waiting) > 0
    });
    meanwhile();
    let out = tool.wait_with_output().expect("the tool");
    assert!(came, "{args:?} does not wait: {out:?}");
    Run {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// A transaction with a snapshot from before sees no row of the new relation in the catalogue.
fn a_table_that_becomes_a_view_is_not_read(db: &Db) {
    let (owner, mut o) = owner(db);
    for table in ["t1", "t2"] {
        o.run(&format!(
            "create table a.{table} (id bigserial primary key, aggregate_type text not null, aggregate_id text not null, aggregate_version int not null, event_type text not null, event_data jsonb);
             create table a.of_{table} (id int primary key);
             create function a.log_{table}() returns trigger language plpgsql as $$ begin
               insert into a.{table} (aggregate_type, aggregate_id, aggregate_version, event_type) values ('X', new.id::text, 1, 'E'); return new; end $$;
             create trigger log after insert on a.of_{table} for each row execute function a.log_{table}();
             insert into a.{table} (aggregate_type, aggregate_id, aggregate_version, event_type) values ('X', '1', 1, 'E'), ('X', '1', 1, 'E'), ('X', '1', 7, 'E')"
        ));
    }
    let file = std::env::temp_dir().join(format!("renamed-{}-{}.toml", std::process::id(), db.name));
    let path = file.to_str().expect("UTF-8");
    db.cli("postgres", &["repair", "--out", path]).expect(3);
    let mut lock = db.session(&owner);
    lock.run("begin; lock table a.t1 in access exclusive mode");
    let run = blocked(db, &["repair", path, "--dry-run"], || {
        o.run(
            "set lock_timeout = '5s'; drop table a.t2;
             create view a.t2 as select 1::bigint as id, 'X'::text as aggregate_type, '1'::text as aggregate_id, 1 as aggregate_version, 'E'::text as event_type, null::jsonb as event_data
               where a.spy('the new view') = 1"
        );
        lock.run("commit");
    });
    std::fs::remove_file(&file).ok();
    assert_eq!(foreign(db), Vec::<String>::new(), "{run:?}");
    assert!(matches!(run.code, 1 | 4), "{run:?}");
    // and from the beginning it is its owner's view
    let run = db.cli("postgres", &["repair", "--table", "a.t2"]);
    assert_eq!(foreign(db), Vec::<String>::new(), "{run:?}");
}

fn a_captured_table_that_is_renamed_is_told(db: &Db) {
    let (owner, mut o) = owner(db);
    for table in ["t1", "t2", "t3"] {
        o.run(&format!(
            "create table a.{table} (id int primary key, v int); select domain_events.enable_capture('a.{table}'); insert into a.{table} values (1, 1);
             create index on a.{table} (v) where a.spy('index predicate') = 1"
        ));
    }
    let mut lock = db.session(&owner);
    lock.run("begin; lock table a.t1 in access exclusive mode");
    let run = blocked(db, &["monitor", "--full", "--check-integrity"], || {
        o.run("set lock_timeout = '5s'; alter table a.t2 rename to x2; drop table a.t3; create view a.t3 as select * from a.x2");
        lock.run("commit");
    });
    assert_eq!(foreign(db), Vec::<String>::new(), "{run:?}");
    assert!(run.stdout.contains("a.t2") && run.stdout.contains("was dropped or renamed meanwhile"), "{run:?}");
}
