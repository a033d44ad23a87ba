//! The legacy trigger in MariaDB, its port in PostgreSQL, the same random changes to both: the same statements fail, the same
//! events are there. Not compared is what is declared to differ: the time of the event and its random id. JSON is compared by
//! its content (MariaDB keeps the order of keys), numbers in it by their value.

use std::{env, fs};

use domain_events_tests::{Db, Rows, engines};
use serde_json::Value;

use crate::worlds::{SEED, World};

engines! { the_seeds_events_are_the_same, the_events_of_orders_are_the_same }

const ORDERS: &str = include_str!("orders.sql");

/// A sequence of numbers that is the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len() as u64) as usize]
    }
}

struct Pair<'a> {
    world: World,
    db: &'a Db,
    session: domain_events_tests::Session,
    failed: usize,
}

impl<'a> Pair<'a> {
    fn new(script: &str, db: &'a Db) -> Self {
        let world = World::new(script);
        world.create_tables(db);
        let file = env::temp_dir().join(format!("plan-{}-{}.toml", world.maria.name, std::process::id()));
        let path = file.to_str().expect("UTF-8");
        db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3);
        db.cli("app_owner", &["apply", path]).expect(0);
        fs::remove_file(file).ok();
        let session = db.owner();
        Self { world, db, session, failed: 0 }
    }

    /// The same statement on both, with what the application sets before it.
    fn run(&mut self, actor: &str, statement: &str) {
        let set = match actor {
            "" => "set @current_actor = null, @actor_id = null;".to_owned(),
            actor => format!("set @current_actor = '{actor}', @actor_id = '7';"),
        };
        let legacy = self.world.maria.attempt(&format!("{set} {statement}"));
        let id = if actor.is_empty() { "" } else { "7" };
        self.session.run(&format!("set app.current_actor = '{actor}'; set app.actor_id = '{id}'"));
        let ported = self.session.attempt(statement);
        match (&legacy, &ported) {
            (Ok(()), Ok(_)) => {}
            (Err(legacy), Err(ported)) => {
                self.failed += 1;
                // ERROR 1644 (45000) at line 1: the message
                assert!(
                    legacy.contains(&format!("({})", ported.code))
                        || ported.code == "23505" && legacy.contains("(23000)"),
                    "{statement}\n{legacy}\n{ported}"
                );
                let message = legacy.rsplit(": ").next().unwrap_or_default();
                assert!(ported.code != "45000" || ported.message == message, "{legacy} / {}", ported.message);
            }
            _ => panic!("{statement}\nMariaDB: {legacy:?}\nPostgreSQL: {:?}", ported.map_err(|e| e.to_string())),
        }
    }

    fn compare(&mut self, query: &str) -> usize {
        let legacy = self.world.maria.rows(query);
        let ported = self.session.rows(query);
        assert_eq!(legacy.len(), ported.len(), "{query}\nMariaDB\n{}\nPostgreSQL\n{}", shown(&legacy), shown(&ported));
        for (a, b) in legacy.iter().zip(&ported) {
            let same = a.iter().zip(b).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => a == b || json(a).zip(json(b)).is_some_and(|(a, b)| alike(&a, &b)),
                (a, b) => a == b,
            });
            assert!(same, "{query}\nMariaDB    {a:?}\nPostgreSQL {b:?}");
        }
        legacy.len()
    }
}

fn shown(rows: &Rows) -> String {
    rows.iter().map(|r| format!("{r:?}\n")).collect()
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| alike(v, w)))
        }
        _ => a == b,
    }
}

fn the_seeds_events_are_the_same(db: &Db) {
    let mut pair = Pair::new(SEED, db);
    let mut random = Random(11);
    for n in 0..60 {
        let id = 1 + random.below(4);
        let actor = random.one(&["", "alice", "bob"]);
        let name = random.one(&["Ann", "ann", "Bob", "O''Hara", "Zoë"]);
        let email = random.one(&["null", "'a@b.c'", "'A@B.C'", "''"]);
        let statement = match random.below(8) {
            _ if n < 3 => format!("insert into users (name, email) values ('{name}', {email})"),
            0 => format!("insert into users (name, email) values ('{name}', {email})"),
            1 => format!(
                "update users set last_login_at = '2024-03-0{} 10:11:12', login_count = login_count + 1 where id = {id}",
                1 + random.below(9)
            ),
            2 => format!("update users set is_active = 1 - is_active where id = {id}"),
            3 => format!(
                "update users set balance = balance + {}.{:02} where id <= {id}",
                random.below(50),
                random.below(100)
            ),
            4 => format!("update users set name = '{name}' where id = {id}"),
            5 => format!("update users set email = {email}, last_login_at = null where id = {id}"),
            6 => "update users set name = name".to_owned(),
            _ => format!("delete from users where id = {}", 5 + random.below(3)),
        };
        pair.run(actor, &statement);
    }
    let events = pair.compare(
        "select aggregate_type, aggregate_id, aggregate_version, event_type, event_name, caused_by_user_id, event_data \
         from domain_events order by aggregate_type, aggregate_id, aggregate_version",
    );
    assert!(events > 100, "{events} events");
    pair.compare("select id, name, email, login_count, is_active, balance from users order by id");
    assert_eq!(
        pair.db.owner().rows("select count(*)::text from domain_events where length(event_id) <> 36"),
        [[Some("0".to_owned())]]
    );
}

fn the_events_of_orders_are_the_same(db: &Db) {
    let mut pair = Pair::new(ORDERS, db);
    let mut random = Random(7);
    let mut next = 0_u64;
    for n in 0..140 {
        let id = 1 + random.below(next.max(1));
        let actor = random.one(&["", "alice", "bob"]);
        let statement = match random.below(9) {
            // a number that a failed insert takes is not given back on every server
            _ if n < 4 => {
                next += 1;
                format!("insert into orders (id, customer, total, tags) values ({next}, 'carl', 10.50, 'new,urgent')")
            }
            0 => {
                next += 1;
                format!(
                    "insert into orders (id, customer, total, due, tags) values ({next}, '{}', {}, '2024-0{}-15', '{}')",
                    random.one(&["dora", "Emil", "élan"]),
                    random.one(&["5", "-1", "0.99", "1200"]),
                    1 + random.below(9),
                    random.one(&["", "URGENT", "a,b"])
                )
            }
            1 => format!(
                "update orders set status = '{}' where id = {id}",
                random.one(&["paid", "shipped", "open", "PAID", "lost"])
            ),
            2 => format!(
                "update orders set total = total {} where id = {id}",
                random.one(&["+ 1.25", "* 2", "- 100", "+ 0"])
            ),
            3 => format!(
                "update orders set notes = {} where id = {id}",
                random.one(&["null", "'two words'", "'  a b  c '", "''", "'x'"])
            ),
            4 => format!("update orders set due = '2024-0{}-28' where id <= {id}", 1 + random.below(9)),
            5 => format!(
                "update orders set customer = '{}', total = total + 3 where id = {id}",
                random.one(&["Carl", "carl", "Zoë"])
            ),
            6 => format!("update orders set tags = 'x' where id = {id}"),
            7 => format!("update orders set status = 'paid', total = 33.33, notes = 'both' where id = {id}"),
            _ => format!("delete from orders where id = {id}"),
        };
        pair.run(actor, &statement);
    }
    assert!(pair.failed > 0, "no statement was refused");
    let events = pair.compare(
        "select aggregate_type, aggregate_id, version, event_type, actor, payload from order_events order by aggregate_id, version",
    );
    assert!(events > 60, "{events} events");
    pair.compare("select id, customer, status, total, notes, paid, due, tags from orders order by id");
    // the rows of one statement come in another order, and the last of them is another
    pair.compare("select name, n from counters order by name");
}
