//! Repairing versions of a legacy event table, as a user runs it.

mod apply;
mod find;
mod interrupted;
mod keyless;
mod refuse;
mod sequence;
mod shapes;
mod traffic;

use std::{fs, path::PathBuf};

use domain_events_tests::{Db, Run};

/// Users, a log without a unique key, and a trigger that hardcodes version 1.
const APPLICATION: &str = "
    create table users (id bigint generated always as identity primary key, name text, n int not null default 0);
    create table domain_events (
      id bigint generated always as identity primary key, event_id uuid not null default gen_random_uuid() unique,
      aggregate_type varchar(100) not null, aggregate_id varchar(100) not null, aggregate_version bigint not null,
      event_type varchar(255) not null, event_data jsonb not null default '{}',
      occurred_at timestamptz not null default clock_timestamp());
    create function log_user() returns trigger language plpgsql as $$
    begin
      insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
      values ('User', new.id::text, 1, 'UserUpdated', to_jsonb(new));
      return new;
    end $$;
    create trigger log_user after update on users for each row execute function log_user();
    insert into users (name) select 'u' || i from generate_series(1, 40) i;
    update users set n = 1;
    update users set n = 2 where id % 2 = 0;
    update users set n = 3 where id % 4 = 0;";

/// A database with a legacy event table, and the file of a repair.
struct Legacy<'a> {
    db: &'a Db,
    file: PathBuf,
}

impl Drop for Legacy<'_> {
    fn drop(&mut self) {
        fs::remove_file(&self.file).ok();
    }
}

impl<'a> Legacy<'a> {
    fn new(db: &'a Db) -> Self {
        Self::of(db, APPLICATION)
    }

    fn of(db: &'a Db, sql: &str) -> Self {
        db.owner().run(sql);
        let file = std::env::temp_dir().join(format!("domain-events-repair-{}-{}.toml", std::process::id(), db.name));
        Legacy { db, file }
    }

    fn file(&self) -> &str {
        self.file.to_str().expect("a path")
    }

    fn cli(&self, args: &[&str]) -> Run {
        self.db.cli("app_owner", args)
    }

    /// Writes a proposal, and expects something in it.
    fn propose(&self, more: &[&str]) -> Run {
        let mut args = vec!["repair", "--out", self.file()];
        args.extend(more);
        self.cli(&args).expect(3)
    }

    fn apply(&self) -> Run {
        self.cli(&["repair", "--yes", self.file()])
    }

    /// The findings in a table as `code:streams:events`.
    fn findings(&self, table: &str) -> Vec<String> {
        let run = self.cli(&["repair", "--format", "json"]);
        assert!(matches!(run.code, 0 | 3), "{run:?}");
        let found = run.json();
        let tables = found["tables"].as_array().expect("tables");
        let one = tables.iter().find(|t| t["table"] == table).unwrap_or_else(|| panic!("no {table} in {found}"));
        let line =
            |f: &serde_json::Value| format!("{}:{}:{}", f["code"].as_str().expect("a code"), f["streams"], f["events"]);
        one["findings"].as_array().expect("findings").iter().map(line).collect()
    }

    /// Streams whose versions are not 1, 2, 3 .. in the order of ids.
    fn broken_streams(&self) -> i64 {
        self.db.owner().number(
            "select count(*) from (
               select from (select *, row_number() over (partition by aggregate_type, aggregate_id order by id) as place from domain_events) e
                group by aggregate_type, aggregate_id having bool_or(aggregate_version is distinct from place)) s",
        )
    }

    /// All versions, in the order of ids.
    fn versions(&self) -> String {
        self.db.owner().table("select id, aggregate_version from domain_events order by id")
    }
}
