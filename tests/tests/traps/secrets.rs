//! T14: what is excluded or redacted stays so: under its name when the column is made anew, after a restore, in another table's
//! capture.

use domain_events_tests::{Db, Engine, engines};

engines! {
    t14_an_excluded_column_made_anew, t14_names_swapped_before_a_restore, t14_columns_added_before_a_restore,
    t10_what_the_partition_excluded_stays_secret, t10_a_secret_is_no_aggregate_id, t21_a_baseline_of_ones_own_making,
}

fn tells(db: &Db, secret: &str) -> i64 {
    db.admin().number(&format!("select count(*) from domain_events.events e where e::text like '%{secret}%'"))
}

fn t14_an_excluded_column_made_anew(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table ex (id int primary key, ssn text, note text);
         select domain_events.enable_capture('ex', exclude => '{ssn}');
         insert into ex values (1, 'secret-1', 'a');
         alter table ex drop column ssn; alter table ex add column ssn varchar;
         insert into ex values (2, 'b', 'secret-2');
         alter table ex drop column ssn; update ex set note = 'c';
         alter table ex add column ssn text, add column more int;
         insert into ex (id, ssn, more) values (3, 'secret-3', 7); update ex set ssn = 'secret-4' where id = 2; update ex set more = 8;
         begin; alter table ex drop column ssn; savepoint a; alter table ex add column ssn int; insert into ex (id, ssn) values (4, 123456789); commit",
    );
    assert_eq!((tells(db, "secret"), tells(db, "123456789")), (0, 0));
    assert_eq!(s.one("select exclude from domain_events.captures"), "{ssn}");
    db.check_fold("Ex", "select id::text, to_jsonb(ex) - 'ssn' from ex");
    s.run("alter table ex drop column ssn; update ex set note = 'd'");
    let copy = db.restored();
    copy.owner().run("alter table ex add column ssn text; insert into ex (id, ssn) values (5, 'secret-5'); update ex set ssn = 'secret-6', note = 'e'");
    assert_eq!(tells(&copy, "secret"), 0);
    copy.check_fold("Ex", "select id::text, to_jsonb(ex) - 'ssn' from ex");
}

/// Nobody has written, and no event trigger has followed: only the order of the columns tells.
fn t14_names_swapped_before_a_restore(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sw (id int primary key, pub text, sec text); create table ou (id int primary key, pub text, sec text);
         create table ty (id int primary key, pub text, sec int); create table fr (id int primary key, pub text, sec text);
         select domain_events.enable_capture('sw', 'Sw', redact => '{sec}'); select domain_events.enable_capture('ou', 'Ou', exclude => '{sec}');
         select domain_events.enable_capture('ty', 'Ty', redact => '{sec}'); select domain_events.enable_capture('fr', 'Fr', include => '{id,pub}');
         insert into sw values (1, 'public', 'TOPSECRET'); insert into ou values (1, 'public', 'TOPSECRET');
         insert into ty values (1, 'public', 1); insert into fr values (1, 'public', 'TOPSECRET')",
    );
    if db.engine != Engine::Portable {
        db.admin().run("alter event trigger domain_events_follow_ddl disable");
    }
    for table in ["sw", "ou", "fr"] {
        s.run(&format!("alter table {table} rename pub to tmp; alter table {table} rename sec to pub; alter table {table} rename tmp to sec"));
    }
    s.run("alter table ty alter column pub type varchar");
    let copy = db.restored();
    let mut s = copy.owner();
    s.run("update sw set pub = pub || '!'; update ou set pub = pub || '!'; update fr set pub = pub || '!'; insert into ou values (2, 'TOPSECRET', 'x'); update ty set pub = 'TOPSECRET'");
    assert_eq!(tells(&copy, "TOPSECRET"), 0);
    s.run("update sw set pub = pub || '!', sec = 'TOPSECRET'; delete from ou where id = 1");
    assert_eq!(tells(&copy, "TOPSECRET"), 0);
    let findings = s.table("select distinct object from domain_events.check_infrastructure() where code = 'redaction_without_column' order by 1");
    assert_eq!(findings, "public.fr\npublic.ou\npublic.sw\npublic.ty");
    let again = copy.restored();
    again.owner().run("update sw set pub = pub || '?'");
    assert_eq!(tells(&again, "TOPSECRET"), 0);
    // Made anew, the rules are those of the names again.
    again.owner().run("select domain_events.disable_capture('sw'); select domain_events.enable_capture('sw', 'Sw', redact => '{pub}'); update sw set sec = 'shown'");
    assert_eq!(tells(&again, "shown"), 1);
}

/// What is added comes behind what there was.
fn t14_columns_added_before_a_restore(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, gone int, sec text, open text);
         select domain_events.enable_capture('t', redact => '{sec}');
         alter table t drop column gone; insert into t values (1, 'hidden-1', 'a')",
    );
    if db.engine != Engine::Portable {
        db.admin().run("alter event trigger domain_events_follow_ddl disable");
    }
    s.run("alter table t add column more int");
    let copy = db.restored();
    copy.owner().run("update t set sec = 'hidden-2', more = 3; insert into t values (2, 'hidden-3', 'b', 4)");
    assert_eq!(tells(&copy, "hidden"), 0);
    copy.check_fold("T", "select id::text, to_jsonb(t) || '{\"sec\": {\"$value\": \"redacted\"}}' from t");
    assert_eq!(
        copy.owner()
            .table("select * from domain_events.check_infrastructure() where code = 'redaction_without_column'"),
        ""
    );
}

fn t10_what_the_partition_excluded_stays_secret(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, ssn text, open text) partition by list (region);
         create table us_sales (id int, region text, ssn text, open text);
         select domain_events.enable_capture('sales', aggregate_id => '{id}');
         select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}', exclude => '{ssn}');
         insert into us_sales values (1, 'us', 'secret-1');
         alter table sales attach partition us_sales for values in ('us'); create table sales_rest partition of sales default;
         update sales set ssn = 'secret-2'; insert into sales values (2, 'us', 'secret-3'), (3, 'eu', 'secret-4'); update us_sales set ssn = 'secret-5'",
    );
    assert_eq!(tells(db, "secret"), 0);
    assert_eq!(s.one("select redact from domain_events.captures where target = 'sales'::regclass"), "{ssn}");
    db.check_fold("Sale", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from sales t");
}

fn t10_a_secret_is_no_aggregate_id(db: &Db) {
    let mut s = db.owner();
    for (n, rule) in ["redact", "exclude"].into_iter().enumerate() {
        s.run(&format!(
            "create table root{n} (id int, email text) partition by range (id); create table part{n} (id int primary key, email text);
             create table rest{n} partition of root{n} for values from (100) to (200);
             select domain_events.enable_capture('root{n}', 'Root{n}', aggregate_id => '{{email}}');
             select domain_events.enable_capture('part{n}', 'Part{n}', {rule} => '{{email}}');
             insert into part{n} values (1, 'secret@a')",
        ));
        let attach = format!("alter table root{n} attach partition part{n} for values from (0) to (100)");
        if db.engine == Engine::Native {
            s.error(&attach).expect_code("42P16");
        } else {
            // Nothing can refuse it; nothing is told of it then.
            s.run(&attach);
            s.run(&format!("update root{n} set email = 'secret@b'; insert into root{n} values (2, 'secret@c')"));
            s.error(&format!("select domain_events.follow_partitions('root{n}')")).expect_code("42P16");
            s.run(&format!("alter table root{n} detach partition part{n}"));
        }
        assert_eq!(tells(db, "secret"), 0);
        assert_eq!(s.number("select count(*) from domain_events.capture_failures f where f::text like '%secret%'"), 0);
        s.run(&format!("insert into root{n} values (101, 'open@a')"));
        assert_eq!(tells(db, "open@a"), n as i64 + 1);
    }
    db.check_versions();
}

/// The owner of a table may say what its rows are, in the form that rows have.
fn t21_a_baseline_of_ones_own_making(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id text primary key, n int, x int); select domain_events.enable_capture('t', exclude => '{x}')");
    let command = |row: &str| {
        format!(
            "insert into domain_events.commands (target, verb, arguments) select 't', 'store baseline', jsonb_build_object('rows', jsonb_build_array({row}))"
        )
    };
    for row in [
        "jsonb_build_object('id', '1', 'data', '{\"id\": \"1\"}'::jsonb)",
        "jsonb_build_object('id', '1', 'data', '{\"other\": 1}'::jsonb, 'relation', 't'::regclass::oid)",
        "jsonb_build_object('id', '1', 'data', '{\"x\": 1}'::jsonb, 'relation', 't'::regclass::oid)",
        "jsonb_build_object('id', 1, 'data', '{\"id\": \"1\"}'::jsonb, 'relation', 't'::regclass::oid)",
        "jsonb_build_object('id', '1', 'data', '[]'::jsonb, 'relation', 't'::regclass::oid)",
    ] {
        s.error(&command(row)).expect_code("22023");
    }
    s.run(&command("jsonb_build_object('id', repeat('i', 2000), 'data', jsonb_build_object('id', repeat('i', 2000), 'n', 1), 'relation', 't'::regclass::oid)"));
    assert_eq!(s.one("select left(aggregate_id, 7) from domain_events.events"), "sha256:");
}
