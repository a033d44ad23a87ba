//! Random schemas whose every expression tells when it is evaluated with the rights of anybody but its table's owner or the caller.
//! Then everything that the store offers is called over them.
//!
//! `HOSTILE_SEED=n` repeats one, `HOSTILE_SCHEMAS=200` is the long form.

use domain_events_tests::{Db, Session, engines};

engines! { no_foreign_expression_runs }

pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next(100) < percent
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.next(of.len() as u64) as usize]
    }
}

pub(super) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// The first seed of a run.
pub(super) fn first_seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    number("HOSTILE_SEED", clock % 1_000_000_000)
}

/// Makes the function that every planted expression calls: it counts its calls, and those with rights of anybody but its owner
/// and the session's own role. In a session of somebody else it also leaves behind what runs at the commit, with the rights of
/// whoever commits: a deferred trigger and a cursor WITH HOLD.
pub(super) fn watch_calls(db: &Db) {
    db.admin().run(
        "create extension citext;
         create schema watch; grant usage on schema watch to public; create sequence watch.called; create sequence watch.foreign_calls;
         grant all on all sequences in schema watch to public;
         create table watch.deferred (owner name, place text); grant insert on watch.deferred to public;
         create function watch.tell(owner name, place text) returns int language plpgsql volatile as $$
         begin
           if current_user not in (owner, coalesce(pg_catalog.current_setting('test.caller', true), '')) then
             raise warning '% runs as %, called by %', place, current_user, pg_catalog.current_setting('test.caller', true);
             if current_setting('transaction_read_only') = 'off' then perform pg_catalog.nextval('watch.foreign_calls'); end if;
           end if;
           return 1;
         end $$;
         create function watch.late() returns trigger language plpgsql as $$ begin perform watch.tell(new.owner, new.place || ', deferred'); return null; end $$;
         create constraint trigger late after insert on watch.deferred deferrable initially deferred for each row execute function watch.late();
         create function watch.leave(owner name, place text) returns void language plpgsql volatile as $$
         begin
           if session_user <> owner and current_setting('watch.left', true) is distinct from pg_current_xact_id()::text || place then
             perform set_config('watch.left', pg_current_xact_id()::text || place, true);
             execute format('declare %I cursor with hold for select watch.tell(%L, %L)', 'c' || clock_timestamp(), owner, place || ', held');
             insert into watch.deferred values (owner, place);
           end if;
         exception when others then
           null;  -- a transaction or a context that lets nothing be left
         end $$;
         create function watch.spy(owner name, place text) returns int language plpgsql immutable as $$
         begin
           -- an error in a read-only transaction would end the verb that is watched
           if current_setting('transaction_read_only') = 'off' then perform pg_catalog.nextval('watch.called'); end if;
           perform watch.tell(owner, place);
           perform watch.leave(owner, place);
           return 1;
         end $$;",
    );
}

thread_local! {
    /// So much of the server's log has been looked at: a test has a thread.
    static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Something planted has run, and nothing with other rights.
#[track_caller]
pub(super) fn expect_no_foreign_call(db: &Db, what: &str) {
    let mut admin = db.admin();
    let foreign = admin.one("select case when is_called then last_value else 0 end from watch.foreign_calls");
    // in a read-only transaction a call leaves nothing but its word in the log
    let log = db.cluster().log();
    let (seen, here) = (SEEN.replace(log.len()), format!(" {} ", db.name));
    let new = log.get(seen..).unwrap_or(&log);
    let told: Vec<&str> = new.lines().filter(|l| l.contains(" runs as ") && l.contains(&here)).take(3).collect();
    assert!(foreign == "0" && told.is_empty(), "{what}: an expression ran with other rights:\n{}", told.join("\n"));
    assert_eq!(admin.one("select is_called from watch.called"), "t", "{what}: no expression ran at all");
}

fn no_foreign_expression_runs(db: &Db) {
    let first = first_seed();
    watch_calls(db);
    let mut admin = db.admin();
    let (owner, writer) = (db.role("owner"), db.role("writer"));
    let reader = db.role("reader");
    admin.run(&format!(
        "grant domain_events_admin, domain_events_writer to {owner}; grant domain_events_writer to {writer}; grant domain_events_reader to {reader};
         grant create on database {} to {owner}",
        db.name
    ));
    for n in 0..number("HOSTILE_SCHEMAS", 5) {
        let seed = first + n;
        eprintln!("HOSTILE_SEED={seed}");
        one_schema(db, seed, &owner, &writer, &reader);
        expect_no_foreign_call(db, &format!("HOSTILE_SEED={seed}"));
    }
    db.check_versions();
}

pub(super) fn as_role(db: &Db, role: &str, random: &mut Random) -> Session {
    let mut s = db.session(role);
    s.run(&format!(
        "set test.caller = '{role}'; set constraint_exclusion = {}; set check_function_bodies = on",
        random.pick(&["on", "partition", "off"])
    ));
    s
}

/// A statement that may fail, as random ones do: what counts is whose rights its expressions run with.
pub(super) fn tried(s: &mut Session, sql: &str) -> bool {
    match s.attempt(sql) {
        Ok(_) => true,
        Err(failure) => {
            assert_ne!(failure.code, "XX000", "{sql}: {failure}");
            if std::env::var_os("HOSTILE_VERBOSE").is_some() {
                eprintln!("{sql}\n  -> {failure}");
            }
            false
        }
    }
}

fn one_schema(db: &Db, seed: u64, owner: &str, writer: &str, reader: &str) {
    let mut random = Random::of(seed);
    let random = &mut random;
    let mut o = as_role(db, owner, random);
    let schema = format!("\"h{seed}{}\"", random.pick(&["", "'s", "%", " x", "é"]));
    o.run(&format!("create schema {schema}; grant usage on schema {schema} to public"));
    let mut tables = vec![];
    for n in 0..2 + random.next(2) {
        tables.push(table(&mut o, random, owner, &schema, n));
    }
    for table in &tables {
        o.run(&format!("grant all on {table} to {writer}"));
    }
    let mut w = as_role(db, writer, random);
    let mut r = as_role(db, reader, random);
    let mut a = db.admin();
    a.run("set test.caller = 'postgres'");
    let literal = |name: &str| format!("'{}'", name.replace('\'', "''"));
    for table in &tables {
        let name = literal(table);
        let form = random.pick(&["'kind', 'id', 'v'", "'{kind,id}'::name[], 'v'"]);
        if tried(&mut o, &format!("select domain_events.register_event_table({name}, {form})")) {
            for id in ["1", "2"] {
                let next = format!("domain_events.next_aggregate_version('low', '{id}', {name})");
                tried(&mut w, &format!("select {next}"));
                tried(&mut w, &format!("insert into {table} (kind, id, v) select 'low', '{id}', {next}"));
                tried(&mut w, &format!("select domain_events.next_aggregate_version(array['low', '{id}'], {name})"));
                tried(&mut a, &format!("select {next}"));
            }
        }
        if random.chance(30) {
            tried(&mut o, &format!("alter table {table} rename v to ver"));
            tried(&mut w, &format!("select domain_events.next_aggregate_version('low', '1', {name})"));
        }
        tried(
            &mut w,
            &format!("insert into {table} (kind, id, v, what) values ('low', '7', 1, 'x'), ('low', '8', 1, 'y')"),
        );
        let options = format!(
            "aggregate_id => '{}', payload => '{}', on_failure => '{}'{}{}",
            random.pick(&["{id}", "{kind,id}", "{kind,id,v}"]),
            random.pick(&["changes", "full"]),
            random.pick(&["abort", "dead_letter"]),
            random.pick(&["", ", redact => '{what}'", ", exclude => '{what}'"]),
            random.pick(&["", ", baseline => 'now'", ", replication => 'always'"]),
        );
        tried(
            &mut o,
            &format!(
                "select domain_events.enable_capture({name}, aggregate_type => 'T{}', {options})",
                random.next(1_000_000_000)
            ),
        );
        for sql in [
            format!("insert into {table} (kind, id, v, what) values ('low', '9', 2, 'x')"),
            format!("update {table} set what = 'z', v = v + 10"),
            format!("update {table} set id = '19' where id::text = '9'"),
            format!("delete from {table} where id::text = '19'"),
        ] {
            tried(&mut w, &sql);
        }
        tried(
            &mut o,
            &format!("select domain_events.baseline_capture({name}, {})", random.pick(&["1", "10000", "null"])),
        );
        tried(
            &mut o,
            &format!("alter table {table} add column later int default watch.spy('{owner}', 'later default')"),
        );
        tried(&mut w, &format!("insert into {table} (kind, id, v, what) values ('low', '10', 3, null)"));
        tried(
            &mut o,
            &format!("select domain_events.pause_capture({name}); select domain_events.resume_capture({name})"),
        );
        tried(&mut o, &format!("select domain_events.follow_partitions({name})"));
        tried(&mut o, &format!("select count(*) from domain_events.check_rows({name})"));
        tried(&mut o, &format!("select told from domain_events.tell_rows({name})"));
        tried(&mut w, &format!("truncate {table}"));
    }
    watch(&mut r);
    watch(&mut a);
    tried(&mut a, "select domain_events.retry_capture_failures()");
    for table in &tables {
        let name = literal(table);
        tried(
            &mut o,
            &format!(
                "select domain_events.disable_capture({name}, keep_triggers => {})",
                random.pick(&["true", "false"])
            ),
        );
        if random.chance(50) {
            tried(&mut o, &format!("select domain_events.unregister_event_table({name})"));
        }
    }
    watch(&mut r);
    o.run(&format!("set client_min_messages = error; drop schema {schema} cascade"));
    watch(&mut r);
    // what it could not store, of tables that are gone
    a.run("delete from domain_events.capture_failures; delete from domain_events.event_tables; delete from domain_events.capture_config");
}

/// Everything that looks at the store.
fn watch(s: &mut Session) {
    for sql in [
        "select count(*) from domain_events.check_infrastructure()",
        "select count(*) from domain_events.check_integrity()",
        "select count(*) from domain_events.check_integrity_incremental()",
        "select count(*) from domain_events.check_performance(all_events => true)",
        "select count(*) from domain_events.stats()",
        "select count(*) from domain_events.raise_alerts()",
        "select count(*) from domain_events.captures",
        "select count(domain_events.fold_stream(t.aggregate_type, t.aggregate_id)) from domain_events.streams t",
        "select count(*) from domain_events.streams t, domain_events.read_stream(t.aggregate_type, t.aggregate_id)",
    ] {
        assert!(tried(s, sql), "{sql} fails");
    }
}

/// Makes one table, which may be a legacy event table and may be captured.
pub(super) fn table(o: &mut Session, random: &mut Random, owner: &str, schema: &str, n: u64) -> String {
    let spy = |place: &str| format!("watch.spy('{owner}', '{place}')");
    let kind = format!("{schema}.kind{n}");
    let table = format!("{schema}.\"{}{n}\"", random.pick(&["log", "L'og", "%s", "order", "ü", "a \"\"b"]));
    let id = match random.next(6) {
        0 => "text".to_owned(),
        1 => "public.citext".into(),
        2 => "numeric".into(),
        3 => "bigint".into(),
        4 => {
            let domain = format!("{schema}.dom{n}");
            o.run(&format!("create domain {domain} as varchar(40) check ({} = 1)", spy("domain check")));
            domain
        }
        _ => "char(10)".into(),
    };
    match random.next(3) {
        0 => o.run(&format!("create domain {kind} as text check ({} = 1) default 'low'", spy("kind domain"))),
        _ => {
            o.run(&format!("create type {kind} as enum ('low', 'high')"));
            // casts of the owner's own
            for (target, body) in [("text", "'low'"), ("json", "'1'::json"), ("jsonb", "'1'::jsonb")] {
                let function = format!("{schema}.\"cast_{target}{n}\"");
                o.run(&format!(
                    "create function {function}({kind}) returns {target} language plpgsql immutable as $$ begin perform {}; return {body}; end $$",
                    spy(&format!("cast to {target}"))
                ));
                if random.chance(50) {
                    tried(o, &format!("create cast ({kind} as {target}) with function {function}({kind}) as implicit"));
                }
            }
            let function = format!("{schema}.\"equal{n}\"");
            o.run(&format!("create function {function}({kind}, {kind}) returns bool language plpgsql immutable as $$ begin perform {}; return true; end $$", spy("operator")));
            o.run(&format!("create operator {schema}.= (leftarg = {kind}, rightarg = {kind}, function = {function})"));
        }
    }
    let partitioned = random.chance(25);
    let generated = if random.chance(50) {
        format!(", made int generated always as ({}) stored", spy("generated column"))
    } else {
        String::new()
    };
    let check =
        if random.chance(70) { format!(", check ({} = 1), check (v > {})", spy("check"), -1) } else { String::new() };
    o.run(&format!(
        "create table {table} (kind {kind}, id {id}, v {version}, what text default ('x' || {default}){generated}{check}, unique (kind, id, v)){by}",
        version = random.pick(&["int", "bigint", "smallint"]),
        default = spy("default"),
        by = if partitioned { " partition by list (v)" } else { "" },
    ));
    if partitioned {
        o.run(&format!(
            "create table {schema}.p{n}a partition of {table} for values in ({}); create table {schema}.p{n}b partition of {table} default",
            spy("partition bound")
        ));
    }
    plant(o, random, owner, schema, &table, n);
    tried(o, &format!("insert into {table} (kind, id, v) values ('low', '1', 1), ('low', '1', 2), ('low', '2', 1)"));
    tried(o, &format!("analyze {table}"));
    table
}

/// Puts code of the owner wherever a table can have some.
pub(super) fn plant(o: &mut Session, random: &mut Random, owner: &str, schema: &str, table: &str, n: u64) {
    let spy = |place: &str| format!("watch.spy('{owner}', '{place}')");
    let columns = format!(
        "select a.attname from pg_attribute a where a.attrelid = '{}'::regclass and a.attnum > 0 and a.atttypid = any (array[{{}}]::regtype[]) order by a.attnum limit 1",
        table.replace('\'', "''")
    );
    let version = o.one(&columns.replace("{}", "'int', 'bigint', 'smallint'"));
    let text = o.one(&columns.replace("{}", "'text'"));
    let mut planted = vec![
        format!("create index on {table} (({}))", spy("index expression")),
        format!("create index on {table} ({version}) where {} = 1", spy("index predicate")),
        format!("create index on {table} (({version} + {}))", spy("index expression over v")),
        format!("create statistics {schema}.st{n} on ({}), {version} from {table}", spy("statistics")),
        format!("create statistics {schema}.su{n} on ({version} + {}), {text} from {table}", spy("statistics over v")),
        format!("alter table {table} add constraint late check ({} = 1) not valid", spy("late check")),
        format!("create policy p on {table} using ({} = 1) with check ({0} = 1); alter table {table} enable row level security", spy("policy")),
        format!(
            "create function {schema}.trig{n}() returns trigger language plpgsql as $$ begin perform {}; return new; end $$;
             create trigger \" a{n}\" before insert or update on {table} for each row execute function {schema}.trig{n}()",
            spy("trigger")
        ),
        format!("create rule r{n} as on update to {table} where {} = 2 do also nothing", spy("rule")),
        format!("create view {schema}.view{n} as select *, {} as seen from {table}", spy("view")),
    ];
    if random.chance(20) {
        planted.push(format!("alter table {table} force row level security"));
    }
    for sql in planted {
        if random.chance(60) {
            tried(o, &sql);
        }
    }
}
