//! A legacy application to be ported: its database, its plan file, the command line over it.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use domain_events_tests::{Db, Engine, Run, repository};

/// A legacy database with its plan file.
pub struct Legacy<'a> {
    pub db: &'a Db,
    /// Where the plan is written; gone with the value.
    pub plan: PathBuf,
    /// Whether a superuser runs the command line, to whom the store belongs, instead of the application's owner: to adopt events.
    pub as_superuser: AtomicBool,
}

impl Drop for Legacy<'_> {
    fn drop(&mut self) {
        fs::remove_file(&self.plan).ok();
    }
}

impl<'a> Legacy<'a> {
    /// The application of the demo: users, an event table, a trigger that hardcodes version 1.
    pub fn new(db: &'a Db) -> Self {
        let sql = fs::read_to_string(repository().join("tests/demo/legacy.sql")).expect("the demo's database");
        Self::of(db, &sql)
    }

    /// Any other.
    pub fn of(db: &'a Db, sql: &str) -> Self {
        db.owner().run(sql);
        let plan = std::env::temp_dir().join(format!("domain-events-plan-{}-{}.toml", std::process::id(), db.name));
        Legacy { db, plan, as_superuser: AtomicBool::new(false) }
    }

    pub fn file(&self) -> &str {
        self.plan.to_str().expect("a path")
    }

    pub fn user(&self) -> &'static str {
        if self.as_superuser.load(Ordering::Relaxed) { "postgres" } else { "app_owner" }
    }

    pub fn cli(&self, args: &[&str]) -> Run {
        // a plan is written over nothing
        if args[0] == "plan" && args.contains(&self.file()) && !args.contains(&"--revise") {
            fs::remove_file(&self.plan).ok();
        }
        self.db.cli(self.user(), args)
    }

    pub fn scan(&self) -> Vec<serde_json::Value> {
        let run = self.cli(&["scan", "--format", "json"]);
        assert!(matches!(run.code, 0 | 3), "{run:?}");
        run.json()["findings"].as_array().expect("findings").clone()
    }

    /// Makes a plan and expects work in it.
    pub fn plan(&self, more: &[&str]) -> Run {
        if more.contains(&"--adopt") && self.db.engine != Engine::Portable {
            self.as_superuser.store(true, Ordering::Relaxed);
        }
        let mut args = vec!["plan", "--out", self.file()];
        args.extend(more);
        self.cli(&args).expect(3)
    }

    pub fn apply(&self) -> Run {
        self.cli(&["apply", "--yes", self.file()])
    }

    pub fn rollback(&self) -> Run {
        self.cli(&["rollback", "--yes"])
    }

    /// Every function and trigger of the application, to the byte, with owner, comment, privileges and enabled state.
    pub fn definitions(&self) -> String {
        self.db.owner().table(
            "set search_path = '';
             select d from (
               select pg_get_functiondef(p.oid) || p.proowner::regrole::text || coalesce(p.proacl::text, '-')
                      || coalesce(obj_description(p.oid, 'pg_proc'), '-') as d
                 from pg_proc p where p.pronamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema|domain_events$)')
               union all
               select pg_get_triggerdef(t.oid) || t.tgenabled::text || coalesce(obj_description(t.oid, 'pg_trigger'), '-')
                 from pg_trigger t join pg_class c on c.oid = t.tgrelid
                where not t.tgisinternal and c.relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema|domain_events$)')
                  and t.tgname !~ '^( domain_events_(capture|truncate)|~domain_events_move)'
               union all
               select c.oid::regclass::text || coalesce(c.relacl::text, '-') from pg_class c
                where c.relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema|domain_events$)') and c.relkind in ('r', 'p')) x
              order by d collate \"C\"",
        )
    }

    /// Streams of the legacy event table whose versions are not 1, 2, 3 ..
    pub fn broken_streams(&self) -> i64 {
        self.db.owner().number(
            "select count(*) from (select from domain_events group by aggregate_type, aggregate_id
               having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s",
        )
    }
}
