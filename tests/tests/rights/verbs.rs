//! A superuser runs every verb of the command line over random schemas of a lesser role: none of their code runs as anybody but
//! that role, and what such a role wrote into the store's journal is run by nobody else.
//!
//! `HOSTILE_SEED=n` repeats a schema, `HOSTILE_SCHEMAS=200` is the long form.

use std::path::{Path, PathBuf};

use domain_events_tests::{Db, Engine, Run, Session, superuser_engines};

use crate::hostile::{Random, as_role, expect_no_foreign_call, first_seed, number, plant, table, tried, watch_calls};
use crate::names::{names, tell_who_runs};

superuser_engines! { no_verb_runs_foreign_code, a_plan_that_a_lesser_role_wrote_is_not_run }

/// Files of one test, gone with the value.
struct Files(PathBuf);

impl Files {
    fn new(db: &Db) -> Self {
        let path = std::env::temp_dir().join(format!("domain-events-verbs-{}-{}", std::process::id(), db.name));
        std::fs::create_dir_all(&path).expect("a directory");
        Files(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn no_verb_runs_foreign_code(db: &Db) {
    watch_calls(db);
    let (first, files) = (first_seed(), Files::new(db));
    let owner = db.role("owner");
    tell_who_runs(db, &owner);
    db.admin().run(&format!(
        "grant domain_events_admin, domain_events_writer to {owner}; grant create on database {} to {owner}",
        db.name
    ));
    let verbs = |seed: u64, args: &[&str]| {
        let run = db.cli("postgres", args);
        if std::env::var_os("HOSTILE_VERBOSE").is_some() {
            eprintln!("{args:?} -> {}\n{}", run.code, run.stderr);
        }
        // what a random schema does not let it do is refused, in words
        assert!(
            (0..=5).contains(&run.code) && !run.stderr.contains("panicked"),
            "HOSTILE_SEED={seed} {args:?}: {run:?}"
        );
        assert!(!run.stderr.contains("XX000"), "HOSTILE_SEED={seed} {args:?}: {run:?}");
        expect_no_foreign_call(db, &format!("HOSTILE_SEED={seed} {args:?}"));
        run
    };
    let mut carried_out = [0; 3];
    let count = number("HOSTILE_SCHEMAS", 2);
    for n in 0..count {
        let seed = first + n;
        eprintln!("HOSTILE_SEED={seed}");
        let done = one_schema(db, seed, &owner, &files, &|args| verbs(seed, args));
        for (all, one) in carried_out.iter_mut().zip(done) {
            *all += u64::from(one);
        }
    }
    // a generator whose schemas are all refused would prove nothing
    eprintln!("of {count} schemas {carried_out:?} were ported, adopted, repaired");
    assert!(carried_out[0] > 0 && (count < 20 || carried_out.iter().all(|c| *c * 5 > count)), "{carried_out:?}");
    // adopted events keep the times that they had
    db.check_versions_of("Row");
    verbs(first, &["install"]);
    let other = if db.engine == Engine::Native { "portable" } else { "native" };
    verbs(first, &["install", "--engine", other]);
    verbs(first, &["uninstall", "--keep-events", "--dry-run"]);
    verbs(first, &["uninstall", "--drop-events", "--yes"]);
}

/// A legacy application that writes its own events, with code in everything.
fn legacy(o: &mut Session, random: &mut Random, owner: &str, schema: &str) -> (String, String) {
    let spy = |place: &str| format!("watch.spy('{owner}', '{place}')");
    let rows = table(o, random, owner, schema, 0);
    // names that end what is made of them; this test's own texts are quoted with less care
    let hostile: Vec<String> = names()
        .into_iter()
        .filter(|name| !name.contains("$$") && !name.contains(['\\', '\n', '%']))
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    let hostile: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let known = random.pick(&["domain_events", "\"Domain'Events\"", "event_log", "\"events %s\""]);
    let name = if random.chance(50) { random.pick(&hostile) } else { known };
    let events = format!("{schema}.{name}");
    let id = random.pick(&["text", "varchar(200)"]);
    let number = random.pick(&["int", "bigint"]);
    let more = random
        .pick(&["", ", seen int default watch.spy('{owner}', 'events default')", ", kept jsonb"])
        .replace("{owner}", owner);
    o.run(&format!(
        "create table {events} (id bigserial primary key, aggregate_type text not null, aggregate_id {id} not null, aggregate_version {number} not null,
           event_type text not null, event_data jsonb, created_at timestamptz default now(){more}, check ({} = 1), unique (aggregate_type, aggregate_id, aggregate_version))",
        spy("events check")
    ));
    if random.chance(60) {
        plant(o, random, owner, schema, &events, 9);
    }
    o.run(&format!(
        "create function {schema}.log() returns trigger language plpgsql as $$
         begin
           perform {};
           insert into {events} (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
           values ('Row', new.id, {}, 'RowChanged', jsonb_build_object('what', new.what));
           return new;
         end $$;
         create trigger \"log it\" after {} on {rows} for each row execute function {schema}.log()",
        spy("legacy trigger"),
        random
            .pick(&[
                "1",
                "coalesce((select max(aggregate_version) from {events} where aggregate_type = 'Row' and aggregate_id = new.id::text), 0) + 1"
            ])
            .replace("{events}", &events),
        random.pick(&["update", "insert or update", "update of what"]),
    ));
    if random.chance(50) {
        for name in [
            "count(bigint) returns bigint",
            "lower(name) returns text",
            "format_type(oid, int) returns text",
            "to_regclass(text) returns regclass",
        ] {
            o.run(&format!(
                "create function {schema}.{name} language plpgsql as $$ begin perform {}; return null; end $$",
                spy("a name of the catalogue")
            ));
        }
        for (symbol, left, right) in
            [("=", "name", "name"), ("=", "oid", "int"), ("||", "text", "name"), ("<>", "\"char\"", "text")]
        {
            let result = if symbol == "||" { "text" } else { "bool" };
            o.run(&format!(
                "create function {schema}.op({left}, {right}) returns {result} language plpgsql as $$ begin perform {}; return null; end $$;
                 create operator {schema}.{symbol} (leftarg = {left}, rightarg = {right}, function = {schema}.op)",
                spy("an operator of the catalogue")
            ));
        }
    }
    for what in ["a", "b"] {
        tried(o, &format!("update {rows} set what = '{what}'"));
    }
    (rows, events)
}

/// Which of porting, adopting and repairing succeeded.
fn one_schema(db: &Db, seed: u64, owner: &str, files: &Files, cli: &dyn Fn(&[&str]) -> Run) -> [bool; 3] {
    let mut random = Random::of(seed);
    let random = &mut random;
    let mut o = as_role(db, owner, random);
    let schema = format!("\"v{seed}{}\"", random.pick(&["", "'s", "%", " x", "é"]));
    o.run(&format!("create schema {schema}; grant usage on schema {schema} to public"));
    let (rows, events) = legacy(&mut o, random, owner, &schema);
    // the owner of a database chooses what sessions of superusers begin with
    let settings = [
        &format!("search_path = {schema}, public, pg_catalog") as &str,
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "row_security = off",
        "constraint_exclusion = on",
        "plan_cache_mode = force_generic_plan",
    ];
    let mut database = db.owner();
    database.run(&format!("alter database {} reset all", db.name));
    for setting in settings {
        if random.chance(40) {
            database.run(&format!("alter database {} set {setting}", db.name));
        }
    }
    let plan = files.path(&format!("{seed}.toml"));
    let plan = plan.as_str();
    let strategy = random.pick(&["shim", "rewrite", "capture"]);
    let strategy = format!("log it={strategy}");
    cli(&["scan"]);
    cli(&["scan", "--format", "json"]);
    if cli(&["plan", "--out", plan, "--strategy", &strategy]).code == 2 || !Path::new(plan).exists() {
        cli(&["plan", "--out", plan]);
    }
    let mut done = [false; 3];
    if Path::new(plan).exists() {
        cli(&["apply", "--dry-run", plan]);
        cli(&["verify", plan]);
        done[0] = cli(&["apply", "--yes", plan]).code == 0;
        tried(&mut o, &format!("update {rows} set what = 'c'"));
        cli(&["verify"]);
        cli(&["monitor", "--full"]);
        cli(&["rollback", "--yes"]);
        cli(&["apply", "--finish", "--yes", plan]);
    }
    let adoption = files.path(&format!("{seed}a.toml"));
    cli(&["plan", &format!("--adopt={events}"), "--out", &adoption]);
    if Path::new(&adoption).exists() {
        done[1] = cli(&["apply", "--yes", &adoption]).code == 0;
        cli(&["verify", &adoption]);
        cli(&[
            "monitor",
            "--check-integrity",
            "--check-performance",
            "--check-infrastructure",
            "--stats",
            "--failures",
            "--alert",
        ]);
        cli(&["rollback", "--yes"]);
    }
    let repair = files.path(&format!("{seed}r.toml"));
    if tried(
        &mut o,
        &format!(
            "do $$ declare c name; begin
               select conname into c from pg_constraint where conrelid = '{}'::regclass and contype = 'u';
               execute format('alter table {} drop constraint %I', c); end $$;
             insert into {events} (aggregate_type, aggregate_id, aggregate_version, event_type) values ('Row', '1', 1, 'Again'), ('Row', '1', 7, 'Again')",
            events.replace('\'', "''"),
            events.replace('%', "%%").replace('\'', "''"),
        ),
    ) {
        cli(&["repair", "--table", &events]);
        cli(&["repair", "--table", &events, "--out", &repair]);
        if Path::new(&repair).exists() {
            cli(&["repair", &repair, "--dry-run"]);
            done[2] = cli(&["repair", &repair, "--yes"]).code == 0;
            cli(&["rollback", "--yes"]);
        }
    }
    let dump = files.path("dump.sql");
    let text = "CREATE TABLE `moved` (`id` int PRIMARY KEY, `kind` varchar(20));\nINSERT INTO `moved` VALUES (1,'low'),(2,'high');\n\
                CREATE TABLE `told` (`id` int PRIMARY KEY AUTO_INCREMENT, `aggregate_type` varchar(9), `aggregate_id` varchar(9), `aggregate_version` int, `event_type` varchar(20), `event_data` json, `created_at` timestamp);\n\
                INSERT INTO `told` VALUES (1,'Told{}','1',1,'A','{\"a\": 1}','2020-01-01 00:00:00');\n";
    std::fs::write(&dump, text.replace("{}", &seed.to_string())).expect("a dump");
    let bare = schema.trim_matches('"').to_owned();
    let rejects = files.path("rejects.jsonl");
    if random.chance(50) {
        // it is there already, and is the owner's
        tried(
            &mut o,
            &format!(
                "create table {schema}.moved (id int primary key default watch.spy('{owner}', 'a default of moved'), kind text check (watch.spy('{owner}', 'a check of moved') = 1))"
            ),
        );
    }
    cli(&["import", "--from", &dump, "--tables", "moved", "--schema", &bare, "--rejects", &rejects, "--yes"]);
    cli(&["import", "--from", &dump, "--events", "told", "--schema", &bare, "--rejects", &rejects, "--yes"]);
    cli(&["status"]);
    database.run(&format!("alter database {} reset all", db.name));
    db.admin().run(&format!("set client_min_messages = error; drop schema {schema} cascade; delete from domain_events.capture_failures; delete from domain_events.event_tables; delete from domain_events.capture_config; delete from domain_events.adoptions; delete from domain_events.migration_plans"));
    done
}

/// A legacy application whose plan is in the journal, and a member of the administrators' role who puts another plan there.
fn journal_with(db: &Db, files: &Files, applied_by: &str) -> (String, Session) {
    let sql = std::fs::read_to_string(domain_events_tests::repository().join("tests/demo/legacy.sql"))
        .expect("the demo's database");
    db.owner().run(&sql);
    let plan = files.path("plan.toml");
    db.cli(applied_by, &["plan", "--out", &plan]).expect(3);
    db.cli(applied_by, &["apply", "--yes", &plan]).expect(0);
    let member = db.role("member");
    db.admin().run(&format!(
        "grant domain_events_admin to {member}; grant create on database {} to {member}; create sequence public.ran; grant all on sequence public.ran to public",
        db.name
    ));
    let mut m = db.session(&member);
    m.run(&format!(
        "create schema evil;
         create function evil.run() returns int language plpgsql as $$ begin
           if current_user <> '{member}' then perform nextval('public.ran'); end if; return 1; end $$;
         grant usage on schema evil to public"
    ));
    (plan, m)
}

/// The applied plan once more, under another id, with undo statements of one's own.
const FORGE: &str = "insert into domain_events.migration_plans (plan_id, state, plan, tool_version)
  select 'forged', 'applied', jsonb_set(jsonb_set(plan, '{plan_id}', '\"forged\"'), '{step}',
           (select jsonb_agg(jsonb_set(s, '{statement}', (select jsonb_agg(t || jsonb_build_object('undo', 'select evil.run(), (select engine from domain_events.engine())'))
                                                            from jsonb_array_elements(s -> 'statement') as t))) from jsonb_array_elements(plan -> 'step') as s)), tool_version
    from domain_events.migration_plans where plan_id <> 'forged';
  insert into domain_events.migration_journal (plan_id, entry, action, step, statement, object_kind, object, before_state, after_state)
  select 'forged', entry, action, step, statement, object_kind, object, before_state, after_state from domain_events.migration_journal where plan_id <> 'forged'";

fn a_plan_that_a_lesser_role_wrote_is_not_run(db: &Db) {
    let files = Files::new(db);
    let (plan, mut m) = journal_with(db, &files, "postgres");
    let mut admin = db.admin();
    let real = admin.one("select plan_id from domain_events.migration_plans");
    // what is there already says what it said, and by whom
    for (change, code) in [
        ("update domain_events.migration_plans set plan = '{}'", "42501"),
        ("update domain_events.migration_plans set applied_by = 'postgres'", "42501"),
        ("update domain_events.migration_plans set plan_id = 'x'", "42501"),
        ("update domain_events.migration_journal set statement = 'x'", "42501"),
        ("update domain_events.repaired_versions set old_version = 1", "42501"),
        (
            "insert into domain_events.migration_plans (plan_id, state, plan, tool_version, applied_by) values ('x', 'applied', '{}', '1', 'postgres')",
            "42501",
        ),
        (
            "insert into domain_events.migration_journal (plan_id, entry, action, step, statement, done_by) values ('x', 1, 'apply', '', '', 'postgres')",
            "42501",
        ),
        ("delete from domain_events.migration_plans", "42501"),
    ] {
        m.error(change).expect_code(code);
    }
    m.run(FORGE);
    for args in [&["rollback", "--yes"] as &[&str], &["rollback", "forged", "--yes"], &["verify"]] {
        db.cli("postgres", args).expect_error(1, "42501").saying("forged");
    }
    // nor by another administrator, who could not have been asked
    db.cli("app_owner", &["rollback", "forged", "--yes"]).expect_error(1, "42501");
    // a superuser's session that runs the member's code writes as that member
    m.run(
        "create table evil.t (id int);
         create function evil.write() returns trigger language plpgsql security definer as $$ begin
           insert into domain_events.migration_plans (plan_id, state, plan, tool_version) values ('by trigger', 'applied', '{}', '1'); return new; end $$;
         create trigger t before insert on evil.t for each row execute function evil.write()",
    );
    admin.run("insert into evil.t values (1)");
    let member = m.one("select current_user");
    assert_eq!(admin.one("select string_agg(distinct applied_by, ',') from domain_events.migration_plans where plan_id in ('forged', 'by trigger')"), member);
    db.cli("postgres", &["rollback", "by trigger", "--yes"]).expect_error(1, "42501");
    // a row that holds another plan is none
    admin.run("insert into domain_events.migration_plans (plan_id, state, plan, tool_version) select 'other', 'applied', plan, tool_version from domain_events.migration_plans where plan_id = 'forged'");
    db.cli("postgres", &["rollback", "other", "--yes"]).expect_error(1, "55000");
    admin.run("delete from domain_events.migration_plans where plan_id = 'other'");
    // what the superuser applied is taken back as ever
    db.cli("postgres", &["verify", &plan]).expect(0);
    db.cli("postgres", &["rollback", &real, "--yes"]).expect(0);
    assert_eq!(admin.one("select is_called from public.ran"), "f", "a plan of the member ran as somebody else");
    let told =
        admin.table("select object from domain_events.check_infrastructure() where code = 'privilege_excessive'");
    assert_eq!(told, "", "the roles have no more rights than they need");
    admin.run(&format!("grant update (plan) on domain_events.migration_plans to {member}"));
    let told =
        admin.table("select object from domain_events.check_infrastructure() where code = 'privilege_excessive'");
    assert_eq!(told, "domain_events.migration_plans.plan");
}

/// The owner of a store can write what a superuser is said to have applied.
#[test]
fn the_owner_of_a_store_plans_for_no_superuser() {
    let db = &Db::new(Engine::Portable);
    let files = Files::new(db);
    let (plan, _) = journal_with(db, &files, "app_owner");
    let mut owner = db.owner();
    owner.run(&format!(
        "grant usage on schema domain_events to app_owner; {}",
        FORGE.replace("evil.run()", "public.evil_run()")
    ));
    owner.run("update domain_events.migration_plans set applied_by = 'postgres'");
    for args in [&["rollback", "--yes"] as &[&str], &["verify"]] {
        db.cli("postgres", args).expect_error(1, "42501").saying("owner of schema domain_events");
    }
    owner.run("delete from domain_events.migration_plans where plan_id = 'forged'");
    // a file is as good as whoever gives it, and the owner takes the plan back
    db.cli("postgres", &["verify", &plan]).expect(0);
    db.cli("app_owner", &["rollback", "--yes"]).expect(0);
}
