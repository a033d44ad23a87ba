//! The MariaDB server of the tests itself.

use domain_events_tests::MariaDb;

#[test]
fn a_script_with_delimiters_runs_and_values_come_back() {
    let db = MariaDb::shared().database();
    db.run(
        "create table t (a int primary key, b varchar(20));
         delimiter $$
         create trigger u before insert on t for each row begin set new.b = concat(new.b, '!'); end$$
         delimiter ;
         insert into t values (1, 'x\ty'), (2, null);",
    );
    let rows = db.rows("select a, b from t order by a");
    assert_eq!(rows, [vec![Some("1".into()), Some("x\ty!".into())], vec![Some("2".into()), None]]);
    let refused = db.attempt("insert into t values (1, 'z')").expect_err("a duplicate");
    assert!(refused.contains("ERROR 1062 (23000)"), "{refused}");
}
