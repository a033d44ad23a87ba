//! T2 in a database without an encoding.

use domain_events_tests::{Db, Engine, engines};

engines! { t2_a_database_without_an_encoding }

fn t2_a_database_without_an_encoding(db: &Db) {
    let name = format!("{}_ascii", db.name);
    let mut server = db.cluster().connect("postgres", "postgres");
    server.run(&format!(
        "create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' owner app_owner"
    ));
    db.engine.install(db.cluster(), &name);
    let mut s = db.cluster().connect(&name, "app_owner");
    s.run(
        r#"create table t (id text primary key, js json, n int);
           select domain_events.enable_capture('t');
           insert into t values ('1', '"\u00e9"', 1), ('2', '"\u0041"', 1);
           update t set n = 2; update t set js = '{"k": "\u4e00"}' where id = '1';"#,
    );
    let failures = "select aggregate_id, error_code, error_message from domain_events.capture_failures";
    assert_eq!(s.table(failures), "");
    assert_eq!(
        s.table(
            "select aggregate_id, event_data #>> '{new_values,js,$value}', event_data #>> '{new_values,js}' = 'A'
                   from domain_events.events where event_data -> 'new_values' ? 'js' order by global_position"
        ),
        "1|unrepresentable|f\n2|~|t\n1|unrepresentable|f"
    );
    // No text in any encoding.
    if db.engine == Engine::Native {
        s.run("insert into t values (repeat(chr(233), 1100), null, 1); update t set n = 2; delete from t where n = 2");
        assert_eq!(s.table(failures), "");
        assert_eq!(
            s.one("select count(*) from domain_events.events where aggregate_id = 'sha256:' || encode(sha256(decode(repeat('e9', 1100), 'hex')), 'hex')"),
            "3"
        );
    }
    drop(s);
    server.run(&format!("drop database {name} with (force)"));
}
