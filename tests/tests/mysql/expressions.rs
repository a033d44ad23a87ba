//! Every expression of the table of constructs on both servers: MariaDB evaluates what was written, PostgreSQL what it was
//! translated to, over the same rows. Compared is the text that MySQL's client shows: numbers by their value, JSON by its
//! content, times up to zeros at their end, bytes as hexadecimal digits. What is refused is not run; what is declared is, and
//! these examples agree all the same.

use std::collections::BTreeSet;

use domain_events_mysql::{
    ddl,
    dump::Session,
    schema::Schema,
    translate::{
        constructs::{self, EXPRESSIONS, TABLES},
        context::Flavor,
        notes::Fidelity,
        value::Ty,
    },
};
use domain_events_tests::{Db, Engine, MariaDb};
use serde_json::Value;

const ROWS: &str = "insert into t (id, n, m, big, d, f, s, s2, cs, flag, dt, dt6, day, tm, j, bin, u, kind) values
  (1, 1, 2, 10, 1.50, 0.25, 'abc', 'a-b-c', 'abc', 1, '2024-02-29 10:11:12', '2024-02-29 10:11:12.123456', '2024-02-29', '10:11:12', '{\"a\": 1, \"l\": [1, 2], \"o\": {\"x\": 1}, \"s\": \"Text\"}', x'00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff', 'a'),
  (2, 5, 3, 0, 0.05, 2.5, 'ABC', 'abc', 'ABC', 0, '2023-12-31 23:59:59', '2024-01-01 00:00:00.000001', '2023-01-31', '23:59:59', '{\"b\": \"x\", \"l\": []}', x'ffffffffffffffffffffffffffffffff', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'b'),
  (3, 0, 1, 7, -2.55, -1.5, '12', '3.5kg', '12', 1, '2024-07-01 00:00:00', '2024-07-01 12:00:00.500000', '2024-12-30', '00:00:00', '{}', x'000000000000000000000000000000aa', '00000000-0000-0000-0000-0000000000aa', 'a'),
  (4, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (5, -7, 2, 3, 100.00, 10, 'Öb', '', '', 2, '2024-03-05 06:07:08', '2024-03-05 06:07:08.100000', '2024-03-05', '06:07:08', '{\"a\": -2.5, \"n\": null}', x'0a', '0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a', 'b')";

/// MariaDB 10.11 has no such function.
const ONLY_MYSQL: [&str; 2] = ["UUID_TO_BIN", "BIN_TO_UUID"];

#[test]
fn every_expression_means_the_same_on_both_servers() {
    let maria = MariaDb::shared().database();
    TABLES.iter().for_each(|t| maria.run(t));
    maria.run(&format!("set sql_mode = ''; {ROWS}"));
    let db = Db::new(Engine::None);
    let mut pg = db.owner();
    let mut schema = Schema::default();
    TABLES.iter().for_each(|t| schema.take(t, 1, &Session::default()));
    for table in &schema.tables {
        let made = ddl::ddl(table, "public");
        made.table.iter().chain(&made.unique_keys).chain(&made.keys).for_each(|sql| pg.run(sql));
    }
    let rows = ROWS.replace("x'", "'\\x");
    pg.run(&rows);
    pg.run("update t set bin = rpad_bytes from (select id as i, bin || decode(repeat('00', 16 - octet_length(bin)), 'hex') as rpad_bytes from t where bin is not null) x where i = id");
    let known = constructs::known(Flavor::MariaDb);
    let mut helpers = BTreeSet::new();
    let mut wrong = vec![];
    let mut compared = 0;
    for example in EXPRESSIONS {
        let shown = constructs::expression(&known, example.text).expect("read");
        if shown.notes.iter().any(|n| n.fidelity == Fidelity::Refused)
            || ONLY_MYSQL.iter().any(|f| example.text.contains(f))
        {
            continue;
        }
        for helper in &shown.helpers {
            if helpers.insert(*helper) {
                pg.run(&helper.definition("public"));
            }
        }
        let written = example.text.replace("NEW.", "n.");
        let written = if shown.ty == Ty::Bytes { format!("hex({written})") } else { written };
        let legacy = maria.query(&format!("set sql_mode = ''; select {written} from t n order by n.id"));
        let ported = pg.attempt(&format!("select {} from public.t new order by new.id", shown.shown));
        let (legacy, ported) = match (legacy, ported) {
            (Ok(legacy), Ok(ported)) => (legacy, ported),
            // declared: PostgreSQL has no number before there is one, MySQL says 0
            (Ok(legacy), Err(e)) if example.text == "LAST_INSERT_ID()" => {
                assert_eq!(e.code, "55000", "{e}");
                assert!(legacy.iter().all(|r| r[0].as_deref() == Some("0")), "{legacy:?}");
                let legacy = maria.rows("insert into log (what) values ('x'); select last_insert_id()");
                pg.run("insert into log (what) values ('x')");
                assert_eq!(legacy, pg.rows(&format!("select ({})::text", shown.sql)));
                compared += 1;
                continue;
            }
            (legacy, ported) => {
                wrong.push(format!(
                    "{}\n  {}\n  MariaDB {legacy:?}\n  PostgreSQL {}",
                    example.text,
                    shown.sql,
                    ported.map_or_else(|e| e.to_string(), |r| format!("{r:?}"))
                ));
                continue;
            }
        };
        for (n, (a, b)) in legacy.iter().zip(&ported).enumerate() {
            compared += 1;
            if !same(a[0].as_deref(), b[0].as_deref(), shown.ty) {
                wrong.push(format!(
                    "{} (row {})\n  {}\n  MariaDB {:?}, PostgreSQL {:?}",
                    example.text,
                    n + 1,
                    shown.shown,
                    a[0],
                    b[0]
                ));
            }
        }
        assert_eq!(legacy.len(), ported.len(), "{}", example.text);
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 1000, "{compared} comparisons only");
}

fn same(a: Option<&str>, b: Option<&str>, ty: Ty) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a == b };
    if a == b {
        return true;
    }
    match ty {
        Ty::Json => match (serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)) {
            (Ok(a), Ok(b)) => alike(&a, &b),
            _ => false,
        },
        Ty::DateTime(_) | Ty::Time(_) => {
            a.trim_end_matches('0').trim_end_matches('.') == b.trim_end_matches('0').trim_end_matches('.')
        }
        _ => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            _ => false,
        },
    }
}

/// Numbers by value: 1.50 is 1.5.
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
