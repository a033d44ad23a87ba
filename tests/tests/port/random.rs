//! Legacy schemas at random: the same writes in one session give the same rows and versions before and after the port, unless the
//! legacy code gave none that could stay. `PORT_SEED=n` repeats a run, `PORT_ROUNDS=n` makes more of them.

use std::env;

use domain_events_tests::{Db, engines};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Legacy;

engines! { a_port_counts_as_the_legacy_code_did }

/// Pairs of a table and its event table in one database.
const PAIRS: usize = 14;
const WRITES: usize = 40;

struct Random(StdRng);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// One legacy table with its events.
struct Pair {
    sql: String,
    /// What the legacy code counts by.
    stream: Vec<&'static str>,
    /// Whether one session alone gets right versions of it.
    is_right: bool,
    about: String,
}

fn pair(n: usize, random: &mut Random) -> Pair {
    let stream: Vec<&'static str> = match random.below(6) {
        0 => vec!["item"],
        1 => vec!["kind", "item"],
        2 => vec!["tenant", "item"],
        3 | 4 => vec!["tenant", "kind", "item"],
        _ => vec!["item", "tenant"],
    };
    let source = random.pick(&[
        "inline",
        "inline",
        "variable",
        "sql",
        "plpgsql",
        "newest",
        "count",
        "later",
        "assigned",
        "literal",
        "from zero",
        "whole",
    ]);
    let partitioned = random.pick(if source == "literal" { &["no", "time"] } else { &["no", "no", "time", "region"] });
    let mut further: Vec<&str> = match partitioned {
        "time" => vec!["at"],
        "region" => vec!["region"],
        _ => random.pick(&["", "", "", "at", "action", "region"]).split_whitespace().collect(),
    };
    let keyed = partitioned != "no" || random.percent(70);
    if keyed && random.percent(10) && !further.contains(&"action") {
        further.push("action");
    }
    if source == "literal" {
        // the key alone says what the stream is
        further.retain(|c| *c == "at");
    }
    let about = format!(
        "{source} by {stream:?}, key {}{further:?}, partitioned by {partitioned}",
        if keyed { "with " } else { "none " }
    );
    let given = |c: &str| match c {
        "item" => "x.id".to_owned(),
        "kind" => "'Thing'".to_owned(),
        other => format!("x.{other}"),
    };
    let alias = random.pick(&["", "e"]);
    let column = |c: &str| if alias.is_empty() { c.to_owned() } else { format!("{alias}.{c}") };
    let from = format!("things_{n}_events {alias}");
    let by = |value: &dyn Fn(&str) -> String| -> String {
        stream.iter().map(|c| format!("{} = {}", column(c), value(c))).collect::<Vec<_>>().join(" and ")
    };
    let condition = by(&given);
    let version = column("version");
    let arguments = |of: &dyn Fn(&str) -> String| stream.iter().map(|c| of(c)).collect::<Vec<_>>().join(", ");
    let types = arguments(&|c| format!("p_{c} {}", if c == "kind" { "text" } else { "int" }));
    let helper_condition = by(&|c| format!("p_{c}"));
    let (helper, statement, value) = match source {
        "inline" => (String::new(), String::new(), format!("(select coalesce(max({version}), 0) + 1 from {from} where {condition})")),
        "variable" => (String::new(), format!("select coalesce(max({version}), 0) + 1 into v from {from} where {condition};"), "v".into()),
        "later" => (
            String::new(),
            format!("select max({version}) into v from {from} where {condition}; v := coalesce(v, 0); v := v + 1;"),
            "v".into(),
        ),
        "newest" => (
            String::new(),
            String::new(),
            format!("coalesce((select {version} from {from} where {condition} order by {version} desc limit 1), 0) + 1"),
        ),
        "count" => (String::new(), String::new(), format!("(select count(*) + 1 from {from} where {condition})")),
        "sql" => (
            format!("create function next_{n}({types}) returns int language sql as $$ select coalesce(max({version}), 0) + 1 from {from} where {helper_condition} $$;"),
            String::new(),
            format!("next_{n}({})", arguments(&given)),
        ),
        "plpgsql" => (
            format!(
                "create function next_{n}({types}) returns int language plpgsql as $$ declare w int; begin
                   select max({version}) into w from {from} where {helper_condition}; return coalesce(w, 0) + 1; end $$;"
            ),
            String::new(),
            format!("next_{n}({})", arguments(&given)),
        ),
        "from zero" => (String::new(), String::new(), format!("(select coalesce(max({version}), -1) + 1 from {from} where {condition})")),
        "whole" => (String::new(), String::new(), format!("(select coalesce(max({version}), 0) + 1 from {from})")),
        "assigned" => (
            format!(
                "create function assign_{n}() returns trigger language plpgsql as $$ begin
                   new.version := (select coalesce(max({version}), 0) + 1 from {from} where {}); return new; end $$;
                 create trigger assign_{n} before insert on things_{n}_events for each row execute function assign_{n}();",
                by(&|c| format!("new.{c}"))
            ),
            String::new(),
            "0".into(),
        ),
        _ => (String::new(), String::new(), "1".into()),
    };
    let key = if keyed {
        let columns: Vec<&str> = stream
            .iter()
            .copied()
            .chain(["version"])
            .chain(further.iter().copied().filter(|c| !stream.contains(c)))
            .collect();
        format!(", unique ({})", columns.join(", "))
    } else {
        String::new()
    };
    let partitions = match partitioned {
        "time" => format!(" partition by range (at); create table things_{n}_events_all partition of things_{n}_events default"),
        "region" => format!(
            " partition by list (region); create table things_{n}_events_a partition of things_{n}_events for values in (1);
              create table things_{n}_events_b partition of things_{n}_events default"
        ),
        _ => String::new(),
    };
    let sql = format!(
        "create table things_{n} (id int primary key, tenant int not null, region int not null, note text);
         create table things_{n}_events (tenant int not null, kind text not null, item int not null, version int not null, region int not null,
           action text not null, data jsonb, at timestamptz not null default clock_timestamp(){key}){partitions};
         {helper}
         create function log_things_{n}() returns trigger language plpgsql as $$
         declare v int; x things_{n};
         begin
           if tg_op = 'DELETE' then x := old; else x := new; end if;
           {statement}
           insert into things_{n}_events (tenant, kind, item, version, region, action, data)
           values (x.tenant, 'Thing', x.id, {value}, x.region, 'Thing' || lower(tg_op), to_jsonb(x));
           return null;
         end $$;
         create trigger log_things_{n} after insert or update or delete on things_{n} for each row execute function log_things_{n}();"
    );
    Pair { sql, stream, is_right: source != "literal", about }
}

fn writes(n: usize, random: &mut Random) -> Vec<String> {
    let mut all = vec![];
    for _ in 0..WRITES {
        let id = random.below(5);
        all.push(match random.below(8) {
            0..=2 => format!(
                "insert into things_{n} values ({id}, {}, {}, 'a') on conflict (id) do update set note = things_{n}.note || 'i'",
                random.below(2),
                random.below(3)
            ),
            3 => format!("delete from things_{n} where id = {id}"),
            4 => format!("update things_{n} set note = note || 'x', region = region + 1"),
            5 => format!("update things_{n} set tenant = 1 - tenant where id = {id}"),
            _ => format!("update things_{n} set note = note || 'y' where id = {id}"),
        });
    }
    all
}

fn rows(db: &Db, n: usize) -> String {
    db.owner().table(&format!(
        "select tenant, kind, item, version, region, action, data from things_{n}_events order by at, version, item"
    ))
}

fn a_port_counts_as_the_legacy_code_did(db: &Db) {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("PORT_SEED").unwrap_or(14);
    let rounds = number("PORT_ROUNDS").unwrap_or(1);
    for seed in first..first + rounds {
        println!("PORT_SEED={seed}");
        if seed == first {
            round(db, seed);
        } else {
            round(&Db::new(db.engine), seed);
        }
    }
}

fn round(db: &Db, seed: u64) {
    let mut random = Random(StdRng::seed_from_u64(seed));
    let pairs: Vec<Pair> = (0..PAIRS).map(|n| pair(n, &mut random)).collect();
    let writes: Vec<Vec<String>> = (0..PAIRS).map(|n| writes(n, &mut random)).collect();
    let schema: Vec<&str> = pairs.iter().map(|p| p.sql.as_str()).collect();
    let legacy = Legacy::of(db, &schema.join("\n"));
    let mut owner = db.owner();
    // a write that fails, fails in both
    let mut run = |n: usize| -> Vec<bool> { writes[n].iter().map(|sql| owner.attempt(sql).is_ok()).collect() };
    let before: Vec<(Vec<bool>, String)> = (0..PAIRS).map(|n| (run(n), rows(db, n))).collect();
    for n in 0..PAIRS {
        db.owner().run(&format!("truncate things_{n}, things_{n}_events"));
    }
    let plan = legacy.cli(&["plan", "--format", "json", "--out", legacy.file()]).expect(3).json();
    legacy.apply().expect(0);
    let verified = legacy.cli(&["verify", "--format", "json"]).json()["checks"].clone();
    let mut ported = 0;
    for (n, pair) in pairs.iter().enumerate() {
        let (table, about) =
            (format!("public.things_{n}_events"), format!("seed {seed}, pair {n}: {}\n{}", pair.about, pair.sql));
        let port = plan["ports"].as_array().expect("ports").iter().find(|p| p["event_table"] == *table).expect(&about);
        let is_ported = port["strategy"] != "manual";
        ported += usize::from(is_ported);
        let after = (run(n), rows(db, n));
        if pair.is_right || !is_ported {
            assert_eq!(after.1, before[n].1, "{about}\nport: {port}");
            assert_eq!(after.0, before[n].0, "{about}\nport: {port}");
        } else {
            let stream = pair.stream.join(", ");
            let broken = format!(
                "select count(*) from (select from things_{n}_events group by {stream} having min(version) <> 1 or max(version) <> count(*)) s"
            );
            assert_eq!(db.owner().number(&broken), 0, "{about}");
            assert!(after.0.iter().all(|done| *done), "a write fails: {about}");
        }
        let check = verified.as_array().expect("checks").iter().find(|c| c["event_table"] == *table);
        assert_eq!(check.map(|c| &c["verdict"]).filter(|v| **v != "equal"), None, "{about}\n{check:?}");
    }
    assert!(ported > PAIRS / 2, "seed {seed}: only {ported} of {PAIRS} are ported: {plan:#}");
}
