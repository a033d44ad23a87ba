//! T23: every function and every capture works under whatever a user may set.

use std::cell::RefCell;

use domain_events_tests::{Db, Session, engines};

engines! { t23_whatever_the_session_sets, t23_whatever_role_and_database_set }

/// What is set together for a session; each value of a parameter is in one of the groups. `SETTINGS_EACH=1` sets each alone.
const GROUPS: &[&[&str]] = &[
    &[
        "plpgsql.extra_errors = 'all'",
        "plpgsql.variable_conflict = 'use_column'",
        "plpgsql.print_strict_params = on",
        "quote_all_identifiers = on",
        "search_path = ''",
        "default_transaction_isolation = 'repeatable read'",
        "default_toast_compression = 'pglz'",
        "lc_messages = 'C'",
        "lc_monetary = 'C'",
        "lc_numeric = 'C'",
        "lc_time = 'C'",
        "datestyle = 'German'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        "xmlbinary = 'hex'",
        "xmloption = 'document'",
        "client_min_messages = 'error'",
        "jit = off",
        "plan_cache_mode = 'force_generic_plan'",
        "work_mem = '64kB'",
        "temp_buffers = '800kB'",
        "password_encryption = 'md5'",
        "domain_events.actor = 'somebody'",
        "domain_events.metadata = 'no json'",
        "domain_events.correlation_id = ''",
    ],
    &[
        "plpgsql.extra_warnings = 'all'",
        "plpgsql.variable_conflict = 'use_variable'",
        "plpgsql.check_asserts = off",
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "backslash_quote = on",
        "search_path = pg_temp, public, pg_catalog",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'Postgres, DMY'",
        "bytea_output = 'escape'",
        "array_nulls = off",
        "enable_partition_pruning = off",
        "enable_partitionwise_join = on",
        "enable_partitionwise_aggregate = on",
        "jit = off",
        "constraint_exclusion = on",
        "plan_cache_mode = 'force_custom_plan'",
        "synchronous_commit = off",
        "commit_delay = 0",
        "gin_fuzzy_search_limit = 1",
        "default_statistics_target = 1",
        "cursor_tuple_fraction = 0.01",
    ],
    &[
        "check_function_bodies = off",
        "transform_null_equals = on",
        "row_security = off",
        "client_encoding = 'LATIN1'",
        "statement_timeout = '600s'",
        "lock_timeout = '600s'",
        "idle_in_transaction_session_timeout = '600s'",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "enable_material = off",
        "from_collapse_limit = 1",
        "join_collapse_limit = 1",
        "geqo_threshold = 2",
        "jit = off",
        "force_parallel_mode = on",
        "debug_parallel_query = on",
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
        "parallel_leader_participation = off",
    ],
];

/// Plans that take ten times as long where the catalogue is read. `SETTINGS_EACH=1`: for all of the work, too.
const PLANS: &[&[&str]] = &[
    &["enable_indexscan = off", "enable_bitmapscan = off", "enable_indexonlyscan = off", "jit = off"],
    &["enable_seqscan = off", "enable_sort = off", "enable_hashagg = off", "enable_nestloop = off", "jit = off"],
    &["jit = on", "jit_above_cost = 0"],
];

/// What reads much of the catalogue, or lets the next change of a row do so.
const READS_THE_CATALOGUE: &[&str] = &[
    "create ",
    "alter ",
    "truncate ",
    "_capture(",
    "follow_partitions(",
    "event_table(",
    "check_",
    "raise_alerts(",
    "retry_capture_failures(",
    "set more",
    "set less",
    "_pc values",
    "set n = n + 1",
    "price = 8",
];

/// What not every supported server has; two are the old and the new name of one.
const NOT_EVERYWHERE: [&str; 3] = ["default_toast_compression", "force_parallel_mode", "debug_parallel_query"];

/// Everything that a session may ask of the store. `{t}` names its tables.
const WORK: &[&str] = &[
    "create table public.{t} (id int primary key, name text, at timestamptz default now(), data jsonb, bytes bytea, tags text[], price numeric)",
    "create table public.{t}_p (id int, r text, n int, primary key (id, r)) partition by list (r)",
    "create table public.{t}_pa partition of public.{t}_p for values in ('a')",
    "create table public.{t}_pb partition of public.{t}_p for values in ('b')",
    "insert into public.{t} (id, name) values (100, 'before')",
    "select domain_events.enable_capture('public.{t}', '{t}', redact => array['bytes'], baseline => 'now', event_types => '[{\"on\": \"update\", \"when_changed\": [\"name\"], \"type\": \"Renamed\"}]')",
    "select domain_events.enable_capture('public.{t}_p', '{t}p', aggregate_id => array['id'])",
    "create table public.{t}_2 (id int primary key, n int)",
    "create table public.{t}_3 (id int primary key, n int)",
    "select domain_events.enable_capture('public.{t}_2', '{t}s'), domain_events.enable_capture('public.{t}_3', '{t}s')",
    "create table public.{t}_4 (id int primary key, n int)",
    "select domain_events.enable_capture('public.{t}_4', '{t}s')",
    "insert into public.{t} values (1, 'a', now(), '{\"a\": 1}', 'abc', '{x,y}', 1.0), (2, 'b', now(), null, null, null, null)",
    "update public.{t} set name = 'c', price = 1.00, data = '{\"a\": null}' where id = 1",
    "update public.{t} set id = 3 where id = 2",
    "update public.{t} set id = id + 10",
    "insert into public.{t}_p values (1, 'a', 1), (2, 'b', 1)",
    "update public.{t}_p set r = 'b' where id = 1",
    "update public.{t}_p set n = n + 1",
    "insert into public.{t}_2 values (1, 1)",
    "insert into public.{t}_3 values (2, 1)",
    "insert into public.{t}_4 values (3, 1)",
    "truncate public.{t}_3",
    "alter table public.{t} add column more int default 3",
    "update public.{t} set more = 4",
    "alter table public.{t} rename column more to less",
    "update public.{t} set less = 5",
    "create table public.{t}_pc (id int not null, r text not null, n int, primary key (id, r))",
    "select domain_events.enable_capture('public.{t}_pc', '{t}c')",
    "insert into public.{t}_pc values (7, 'c', 1)",
    "alter table public.{t}_p attach partition public.{t}_pc for values in ('c')",
    "select domain_events.follow_partitions('public.{t}_p')",
    "update public.{t}_p set n = n + 1",
    "truncate public.{t}_pa",
    "alter table public.{t}_p detach partition public.{t}_pb",
    "select domain_events.follow_partitions('public.{t}_p')",
    "select domain_events.pause_capture('public.{t}')",
    "update public.{t} set price = 7",
    "select domain_events.resume_capture('public.{t}')",
    "update public.{t} set price = 8",
    "select domain_events.baseline_capture('public.{t}')",
    "select domain_events.set_context('me', 'c', 'd', '{\"k\": 1}')",
    "select domain_events.append_event('{t}a', '1', 'Made', '{\"a\": 1}', event_name => 'n', metadata => '{}', expected_version => 0)",
    "select domain_events.append_events('{t}a', '2', '[{\"event_type\": \"X\"}, {\"event_type\": \"Y\", \"event_data\": {\"a\": [1, null]}}]')",
    "select domain_events.append_events('[{\"aggregate_type\": \"{t}a\", \"aggregate_id\": \"1\", \"event_type\": \"X\"}]'::jsonb, '[{\"aggregate_type\": \"{t}a\", \"aggregate_id\": \"1\", \"version\": 1}]'::jsonb)",
    "select domain_events.next_aggregate_version('{t}a', '1')",
    "select domain_events.fold_stream('{t}', '11'), domain_events.uuid_v7(), domain_events.engine()",
    "select * from domain_events.read_stream('{t}a', '1')",
    "create table public.{t}_log (kind text, id text, v int, unique (kind, id, v))",
    "select domain_events.register_event_table('public.{t}_log', 'kind', 'id', 'v')",
    "insert into public.{t}_log values ('k', '1', domain_events.next_aggregate_version('k', '1', 'public.{t}_log'))",
    "insert into public.{t}_log values ('k', '1', domain_events.next_aggregate_version('k', '1', 'public.{t}_log'))",
    "select domain_events.unregister_event_table('public.{t}_log')",
    "create table public.{t}_bad (id int primary key, k text)",
    "select domain_events.enable_capture('public.{t}_bad', '{t}bad', aggregate_id => array['k'])",
    "insert into public.{t}_bad values (1, null)",
    "select domain_events.retry_capture_failures()",
    "select domain_events.disable_capture('public.{t}_bad', keep_triggers => true)",
    "select domain_events.disable_capture('public.{t}_4')",
    "select count(*) from domain_events.check_integrity()",
    "select count(*) from domain_events.check_integrity_incremental()",
    "select count(*) from domain_events.check_performance()",
    "select count(*) from domain_events.check_infrastructure()",
    "select domain_events.stats()",
    "select count(*) from domain_events.raise_alerts()",
    "select domain_events.set_threshold(name, value) from domain_events.thresholds limit 1",
    "select * from domain_events.captures",
    "delete from public.{t} where id = 11",
];

fn works(db: &Db, run: impl Fn(&str) -> Result<(), String>, n: usize, setting: &str) {
    let table = format!("t{n}");
    for statement in WORK {
        run(&statement.replace("{t}", &table)).unwrap_or_else(|failure| {
            panic!("under {setting}: {failure}\nin {statement}\n(SETTINGS_EACH=1 tells which)")
        });
    }
    let failures = db.admin().table("select distinct aggregate_type, error_code from domain_events.capture_failures");
    assert!(failures.lines().all(|line| line.ends_with("bad|22004")), "under {setting}: {failures}");
    let mut admin = db.admin();
    admin.run("delete from domain_events.capture_failures");
    db.check_fold(
        &table,
        &format!("select id::text, to_jsonb(t) || '{{\"bytes\": {{\"$value\": \"redacted\"}}}}' from public.{table} t"),
    );
    db.check_table(&format!("{table}p"), &format!("public.{table}_p"));
}

/// [`GROUPS`], or each setting alone.
fn groups<'a>(all: &[&'a [&'a str]]) -> Vec<Vec<&'a str>> {
    match std::env::var_os("SETTINGS_EACH") {
        None => all.iter().map(|group| group.to_vec()).collect(),
        Some(_) => all.iter().copied().flatten().map(|&setting| vec![setting]).collect(),
    }
}

fn name(setting: &str) -> &str {
    setting.split(' ').next().expect("name = value")
}

/// A session of the owner under these settings. What only a superuser may set, he sets for all sessions of the owner.
fn session_under(db: &Db, settings: &[&str]) -> Session {
    let mut admin = db.admin();
    admin.run("do 'begin end'"); // the parameters of PL/pgSQL are known once it was called
    let mut own = Vec::new();
    for setting in settings {
        match admin.rows(&format!("select context from pg_settings where lower(name) = '{}'", name(setting))).first() {
            Some(row) if row[0].as_deref() == Some("user") => own.push(setting),
            Some(_) => admin.run(&format!("alter role app_owner in database {} set {setting}", db.name)),
            None if name(setting).contains('.') => own.push(setting),
            None => assert!(NOT_EVERYWHERE.contains(&name(setting)), "no parameter of this name: {setting}"),
        }
    }
    let mut session = db.owner();
    for setting in own {
        session.run(&format!("set {setting}"));
    }
    session
}

/// What was set has not been lost on the way, nor been set back by what was called.
fn check_in_force(session: &mut Session, settings: &[&str]) {
    for setting in settings {
        let source = session.rows(&format!("select source from pg_settings where lower(name) = '{}'", name(setting)));
        match source.first() {
            Some(row) => assert!(matches!(row[0].as_deref(), Some("session" | "database user")), "{setting}: {row:?}"),
            None if NOT_EVERYWHERE.contains(&name(setting)) => {}
            None => {
                assert_ne!(session.one(&format!("select current_setting('{}', true)", name(setting))), "~", "{setting}")
            }
        }
    }
}

fn t23_whatever_the_session_sets(db: &Db) {
    let (ordinary, plans) = (groups(GROUPS), groups(PLANS));
    for (n, settings) in ordinary.iter().chain(&plans).enumerate() {
        let in_parts = n >= ordinary.len() && std::env::var_os("SETTINGS_EACH").is_none();
        let session = RefCell::new(session_under(db, settings));
        let run = |sql: &str| {
            let mut session = session.borrow_mut();
            let is_spared = in_parts && READS_THE_CATALOGUE.iter().any(|part| sql.contains(part));
            if is_spared {
                settings.iter().for_each(|setting| session.run(&format!("reset {}", name(setting))));
            }
            let result = session.attempt(sql).map(drop).map_err(|f| f.to_string());
            if is_spared {
                settings.iter().for_each(|setting| session.run(&format!("set {setting}")));
            }
            result
        };
        works(db, run, n, &settings.join("; "));
        check_in_force(&mut session.borrow_mut(), settings);
        db.admin().run(&format!("alter role app_owner in database {} reset all", db.name));
    }
}

/// What holds for every session of a role, also for those that the store begins itself.
fn t23_whatever_role_and_database_set(db: &Db) {
    let settings: &[&str] =
        &["search_path = ''", "plpgsql.extra_errors = 'all'", "default_transaction_isolation = 'repeatable read'"];
    let (mut admin, name) = (db.admin(), &db.name);
    for (n, settings) in groups(&[settings]).iter().enumerate() {
        for setting in settings {
            admin.run(&format!("alter database {name} set {setting}"));
        }
        admin.run(&format!("alter role app_owner in database {name} set statement_timeout = '600s'"));
        // A connection for each statement, as behind a pooler in transaction mode.
        works(db, |sql| db.owner().attempt(sql).map(drop).map_err(|f| f.to_string()), n, &settings.join("; "));
        admin.run(&format!("alter database {name} reset all; alter role app_owner in database {name} reset all"));
    }
}
