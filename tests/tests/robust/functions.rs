//! Every public function with arguments that nobody would give it: the same calls on both engines, as a superuser and as an ordinary
//! role. No session is lost, nothing is an internal error, and both engines say the same.
//!
//! The functions behind them, which a superuser may call, do not take the server down either.
//!
//! `FUZZ_SEED=n` repeats a run, `FUZZ_CALLS=100000` is a long one, `FUZZ_VERBOSE=1` prints each call before it is made.

use std::collections::HashMap;

use domain_events_tests::{Db, Engine, Session, engines};

use crate::number;

engines! { no_function_takes_the_server_down }

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.next(of.len())]
    }
}

/// A function of the store, and the types of its arguments.
struct Function {
    name: String,
    types: Vec<String>,
    names: Vec<String>,
    /// What it returns is the same on both engines and in every run.
    is_told: bool,
}

const TEXTS: &[&str] = &[
    "null",
    "''",
    "'x'",
    "'Row'",
    "'rows'",
    "'1'",
    "'[\"a\", \"1\"]'",
    "'['",
    "' '",
    "repeat('x', 255)",
    "repeat('x', 256)",
    "repeat('x', 1024)",
    "repeat('x', 1025)",
    "repeat('é', 1024)",
    "repeat('x', 1000000)",
    "e'\\x01\\x02\\x7f'",
    "e'a\\nb'",
    "'a''b\"c%I$1\\'",
    "'domain_events.Table'",
    "'domain_events.'",
    "U&'\\+01F4A3'",
    "U&'\\202E'",
    "U&'\\FFFF'",
    "'public.rows'",
    "'-1'",
    "'9223372036854775808'",
    "'NaN'",
    "'changes'",
    "'full'",
    "'now'",
    "'lazy'",
    "'abort'",
    "'dead_letter'",
    "'pascal'",
    "'dotted'",
    "'max_stream_events'",
    "'{{a: b}}'",
    "'$value'",
    "'null'",
    "raw_text('\\xff')",
    "raw_text('\\xc3')",
    "raw_text('\\x6100ff62')",
    "raw_text('\\xeda080')",
    "raw_text('\\xf8808080ff')",
];
const NUMBERS: &[&str] = &["null", "0", "1", "2", "-1", "100", "10000", "2147483647", "-2147483648"];
const LARGE: &[&str] = &["9223372036854775807", "-9223372036854775808", "2147483648", "4294967296"];
const DATA: &[&str] = &[
    "null",
    "'null'",
    "'{}'",
    "'[]'",
    "'1'",
    "'\"x\"'",
    "'true'",
    "'{\"a\": 1}'",
    "'{\"event_type\": \"A\"}'",
    "'[{\"event_type\": \"A\"}]'",
    "'[{\"event_type\": \"A\", \"event_data\": null}, null]'",
    "'[[[[]]]]'",
    "'[{\"event_type\": null}]'",
    "'[{\"event_type\": {}}]'",
    "'{\"on\": \"update\"}'",
    "'[{\"on\": \"update\", \"type\": \"X\", \"when_changed\": [\"v\"]}]'",
    "'[{\"on\": 1}]'",
    "'[{\"aggregate_type\": \"F\", \"aggregate_id\": \"1\", \"event_type\": \"A\"}]'",
    "'[{\"aggregate_type\": \"F\", \"aggregate_id\": \"1\", \"event_type\": \"A\", \"expected_version\": -1}]'",
    "'[{\"aggregate_type\": \"F\", \"aggregate_id\": \"1\", \"expected_version\": 1e400}]'",
    "'[{\"aggregate_type\": \"F\", \"aggregate_id\": \"1\", \"event_type\": \"A\", \"occurred_at\": \"infinity\"}]'",
    "'[{\"event_type\": \"A\", \"event_id\": \"x\"}]'",
    "'[{\"event_type\": \"A\", \"schema_version\": 1.5}]'",
    "'1e400'",
    "'-0.0'",
    "'{\"\": {\"\": [{}]}}'",
    "'{\"complete\": true, \"late\": true, \"after_version\": -1, \"in_table\": \"public.rows\"}'",
    "repeat('[', 500)::text || repeat(']', 500)",
    "(select jsonb_agg(i) from generate_series(1, 20000) as i)",
    "(select jsonb_object_agg('k' || i, i) from generate_series(1, 3000) as i)",
    "(select jsonb_agg('{\"event_type\": \"A\"}'::jsonb) from generate_series(1, 300))",
    "to_jsonb(repeat('x', 100000))",
    "jsonb_build_object('actor', repeat('x', 9000))",
];
const TIMES: &[&str] = &[
    "null",
    "now()",
    "'infinity'",
    "'-infinity'",
    "'4714-11-24 00:00:00+00 bc'",
    "'294276-12-31 23:59:59.999999+00'",
    "'epoch'",
];
const TABLES: &[&str] = &[
    "null",
    "0",
    "4294967295",
    "16383",
    "'rows'",
    "'keyless'",
    "'parts'",
    "'parts_one'",
    "'dropped'",
    "'log'",
    "'seen'",
    "'rows_pkey'",
    "'counter'",
    "'pair'",
    "'kept'",
    "'pg_class'",
    "'pg_authid'",
    "'domain_events.events'",
    "'domain_events.streams'",
    "'domain_events.capture_config'",
    "'domain_events.events_global_position_seq'",
    "'none'",
    "'away'",
    "'heirs'",
    "'passing'",
    "'information_schema.tables'",
];
const ARRAYS: &[&str] = &[
    "null",
    "'{}'",
    "'{null}'",
    "'{id}'",
    "'{id,v}'",
    "'{v,v}'",
    "'{id,null}'",
    "'{{id,v},{v,id}}'",
    "'[0:1]={id,v}'",
    "'[-2147483648:-2147483647]={id,v}'",
    "'{nope}'",
    "'{\"\"}'",
    "'{ctid}'",
    "'{xmin}'",
    "'{a,1}'",
    "'{tableoid,id}'",
    "(select array_agg('c' || i) from generate_series(1, 2000) as i)",
    "array_fill('id'::text, array[5000])",
    "array['x', repeat('y', 3000)]",
];

/// What row types and domains of the store are made of.
type Made = HashMap<String, Vec<String>>;

fn made_types(s: &mut Session) -> Made {
    s.rows(
        "select format('domain_events.%I', t.typname),
                case t.typtype when 'd' then t.typbasetype::regtype::text
                               else (select string_agg(a.atttypid::regtype::text, '|' order by a.attnum) from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) end
           from pg_type t where t.typnamespace = 'domain_events'::regnamespace and t.typtype in ('c', 'd')",
    )
    .iter()
    .map(|row| {
        let (name, parts) = (row[0].clone().unwrap(), row[1].clone().unwrap_or_default());
        (name, parts.split('|').map(str::to_owned).collect())
    })
    .collect()
}

/// A value of a type, as SQL.
fn value(random: &mut Random, made: &Made, data_type: &str, is_super: bool) -> String {
    if let Some(parts) = made.get(data_type) {
        let mut values: Vec<String> = parts.iter().map(|part| value(random, made, part, is_super)).collect();
        return match (values.len(), random.next(8)) {
            (_, 0) => format!("null::{data_type}"),
            // a domain's own check may refuse it
            (1, _) => format!("{}::{data_type}", values.remove(0)),
            _ => format!("row({})::{data_type}", values.join(", ")),
        };
    }
    if let Some(part) = data_type.strip_suffix("[]").filter(|part| made.contains_key(*part)) {
        let values: Vec<String> = (0..random.next(4)).map(|_| value(random, made, part, is_super)).collect();
        return format!("array[{}]::{data_type}", values.join(", "));
    }
    // an explicit null of the type, or a value in words of it
    let one = match data_type {
        "text" | "name" | "\"char\"" => loop {
            // bytes that are no text: only a superuser can make them
            let text = random.pick(TEXTS);
            if is_super || !text.starts_with("raw_text") {
                break text.to_owned();
            }
        },
        "integer" | "smallint" => random.pick(NUMBERS).to_owned(),
        "bigint" => random.pick(&[NUMBERS, LARGE].concat()).to_owned(),
        "oid" => random.pick(&["null", "0", "4294967295", "1259", "16384"]).to_owned(),
        "numeric" => random
            .pick(&["null", "'NaN'", "'Infinity'", "'-Infinity'", "'1e1000'", "'-1e-1000'", "0", "1000", "0.5"])
            .to_owned(),
        "boolean" => random.pick(&["null", "true", "false"]).to_owned(),
        "jsonb" | "json" => random.pick(DATA).to_owned(),
        "uuid" => random
            .pick(&[
                "null",
                "'00000000-0000-0000-0000-000000000000'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                "gen_random_uuid()",
            ])
            .to_owned(),
        "bytea" => random.pick(&["null", "''", "'\\x00ff'", "decode(repeat('ff', 100000), 'hex')"]).to_owned(),
        "regclass" => random.pick(TABLES).to_owned(),
        "text[]" | "name[]" => random.pick(ARRAYS).to_owned(),
        t if t.starts_with("timestamp") => random.pick(TIMES).to_owned(),
        t if t.ends_with("[]") => random.pick(&["null", "'{}'", "'{null}'"]).to_owned(),
        _ => "null".to_owned(),
    };
    let cast = format!("({one})::{data_type}");
    // the number of an object, which the other engine's database has too
    if data_type == "regclass" && one.parse::<u64>().is_ok() { format!("{one}::oid::regclass") } else { cast }
}

fn call(random: &mut Random, made: &Made, function: &Function, is_super: bool) -> String {
    let named = random.next(4) == 0;
    let mut arguments = vec![];
    for (data_type, name) in function.types.iter().zip(&function.names) {
        // by name, some are left to their defaults
        if named && random.next(3) == 0 {
            continue;
        }
        let value = value(random, made, data_type, is_super);
        arguments.push(if named { format!("{name} => {value}") } else { value });
    }
    format!("select * from domain_events.{}({})", function.name, arguments.join(", "))
}

fn functions(s: &mut Session, which: &str) -> Vec<Function> {
    let rows = s.rows(&format!(
        "select p.proname, coalesce((select string_agg(t::regtype::text, '|' order by n) from unnest(p.proargtypes::oid[]) with ordinality as a(t, n)), ''),
                coalesce(array_to_string(p.proargnames[1:p.pronargs], '|'), '')
           from pg_proc p
          where p.pronamespace = 'domain_events'::regnamespace and p.proname {which} and p.proname !~ '^capture_[0-9]+$'
            and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) and p.prokind <> 'p'
            and 'internal'::regtype <> all (p.proargtypes)
          order by p.proname, 2"
    ));
    let split = |text: &str| text.split('|').filter(|t| !t.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    rows.iter()
        .map(|row| {
            let name = text(&row[0]);
            // numbers of objects, sizes, times and random ids differ
            let is_told = [
                "next_aggregate_version",
                "fold_stream",
                "hold_stream",
                "baseline_capture",
                "unregister_event_table",
                "set_threshold",
            ]
            .contains(&name.as_str());
            Function { is_told, types: split(&text(&row[1])), names: split(&text(&row[2])), name }
        })
        .collect()
}

/// The tables that arguments name.
fn prepare(db: &Db, role: &str) {
    let mut admin = db.admin();
    admin.run(&format!(
        "grant domain_events_reader, domain_events_writer, domain_events_admin to {role}; grant create on schema public to {role};
         create cast (bytea as text) without function;
         create function public.raw_text(bytea) returns text language sql immutable as 'select $1::text'"
    ));
    let mut s = db.session(role);
    s.run(
        "create table rows (id int primary key, v text, n numeric); insert into rows select i, 'v', i from generate_series(1, 20) as i;
         create table keyless (id int, v text); create table parts (id int, v text, primary key (id)) partition by range (id);
         create table parts_one partition of parts for values from (0) to (100); insert into parts select i, 'x' from generate_series(1, 9) as i;
         create table dropped (gone int, id int primary key, pair int, v text); alter table dropped drop gone, drop pair; insert into dropped values (1, 'x');
         create table log (t text, id text, v int, unique (t, id, v)); insert into log values ('A', '1', 1), ('A', '1', 2);
         create view seen as select * from rows; create sequence counter; create type pair as (a int, b text);
         create materialized view kept as select 1 as id; create table heirs () inherits (rows); create table none ();
         create table away (id int primary key, d dropped, p pair, a pair[], r numrange, x xml, j json); create temp table passing (id int primary key);
         select domain_events.enable_capture('rows', aggregate_type => 'Row'); update rows set v = 'w';",
    );
}

/// What came of a call, as far as both engines must agree on it.
fn outcome(s: &mut Session, sql: &str, function: &Function) -> String {
    match s.attempt(sql) {
        Ok(rows) if function.is_told => format!("{rows:?}"),
        Ok(_) => "done".into(),
        Err(failure) => {
            assert_ne!(failure.code, "XX000", "{sql}: {failure}");
            failure.code
        }
    }
}

#[test]
fn both_engines_answer_whatever_is_asked() {
    // the same calls in every run of the suite: which of two faults of one call is told first still differs in some (seed 4711)
    let seed = number("FUZZ_SEED", 12);
    eprintln!("FUZZ_SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let engines = [Db::new(Engine::PortableSuper), Db::new(Engine::Native)];
    let roles: Vec<String> = engines.iter().map(|db| db.role("caller")).collect();
    for (db, role) in engines.iter().zip(&roles) {
        prepare(db, role);
    }
    let known: Vec<Vec<Function>> = engines.iter().map(|db| functions(&mut db.admin(), "!~ '^_'")).collect();
    let made = made_types(&mut engines[0].admin());
    let all = &known[0];
    let names =
        |all: &[Function]| all.iter().map(|f| format!("{}({})", f.name, f.types.join(", "))).collect::<Vec<_>>();
    assert_eq!(names(&known[0]), names(&known[1]));
    let mut sessions: Vec<[Session; 2]> =
        engines.iter().zip(&roles).map(|(db, role)| [db.admin(), db.session(role)]).collect();
    for s in sessions.iter_mut().flatten() {
        s.run("set statement_timeout = '20s'; set client_min_messages = error");
    }
    let (mut done, mut different) = (0_u64, vec![]);
    let calls = number("FUZZ_CALLS", 600);
    for n in 0..calls {
        let function = &all[if n < all.len() as u64 { n as usize } else { random.next(all.len()) }];
        let is_super = random.next(2) == 0;
        let sql = call(&mut random, &made, function, is_super);
        if std::env::var_os("FUZZ_VERBOSE").is_some() {
            eprintln!("{sql:.300}");
        }
        let outcomes: Vec<String> =
            sessions.iter_mut().map(|s| outcome(&mut s[usize::from(!is_super)], &sql, function)).collect();
        done += u64::from(outcomes[0].len() != 5);
        if outcomes[0] != outcomes[1] {
            different.push(format!("{sql:.400}\n   portable {:.200}\n   native   {:.200}", outcomes[0], outcomes[1]));
        }
        // the rows of captured tables go on being written
        if n % 20 == 0 {
            for s in &mut sessions {
                s[1].run("update rows set v = v || 'x' where id <= 3");
            }
        }
    }
    eprintln!("{calls} calls, {done} of them succeeded");
    assert!(
        different.is_empty(),
        "FUZZ_SEED={seed}: {} differ:\n{}",
        different.len(),
        different.iter().take(10).cloned().collect::<Vec<_>>().join("\n")
    );
    for db in &engines {
        db.check_versions();
    }
}

/// Nobody but the store's owner may call these, and each trusts its callers: they may do anything to the store, within a transaction
/// that is rolled back, but the server goes on.
fn no_function_takes_the_server_down(db: &Db) {
    let seed = number("FUZZ_SEED", 12);
    eprintln!("FUZZ_SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let role = db.role("caller");
    prepare(db, &role);
    let mut s = db.admin();
    s.run("set statement_timeout = '20s'; set client_min_messages = error");
    let (all, made) = (functions(&mut s, "~ '^_'"), made_types(&mut s));
    assert!(all.len() > 100, "{}", all.len());
    let started = s.one("select pg_postmaster_start_time()");
    let mut done = 0;
    let calls = number("FUZZ_CALLS", 600).max(all.len() as u64);
    for n in 0..calls {
        let function = &all[if n < all.len() as u64 { n as usize } else { random.next(all.len()) }];
        let sql = call(&mut random, &made, function, true);
        if std::env::var_os("FUZZ_VERBOSE").is_some() {
            eprintln!("{sql:.300}");
        }
        s.run("begin");
        done += u64::from(outcome(&mut s, &sql, function) == "done");
        s.run("rollback");
        if n % 20 == 0 {
            db.session(&role).run("update rows set v = v || 'x' where id <= 3");
        }
    }
    eprintln!("{calls} calls of {} functions, {done} of them succeeded", all.len());
    assert!(done * 10 > calls, "{done}");
    assert_eq!(s.one("select pg_postmaster_start_time()"), started);
    db.check_versions();
}
