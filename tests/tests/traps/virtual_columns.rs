//! Virtual generated columns (PostgreSQL 18): triggers see null in their place, and setting their expression anew changes all
//! values at once. So they are no part of any event, and that is told.

use domain_events_tests::{Db, engines};

engines! {
    virtual_columns_are_in_no_event, virtual_columns_are_refused_by_name, virtual_columns_are_told_once,
    virtual_columns_come_and_go, virtual_columns_of_partitions, virtual_columns_after_a_restore,
}

/// Where the server has none, there is nothing to test.
fn has_virtual_columns(db: &Db) -> bool {
    let version = db.admin().major_version();
    if version < 18 {
        println!("PostgreSQL {version} has no virtual generated columns: not tested");
    }
    version >= 18
}

const VG: &str = "create table vg (id int primary key, price numeric, qty int, total numeric generated always as (price * qty) virtual,
    stored_total numeric generated always as (price * qty) stored, \"Label\" text generated always as ('n' || id) virtual)";

fn check(db: &Db, aggregate_type: &str, table: &str, columns: &[&str]) {
    let less: String = columns.iter().map(|column| format!(" - '{column}'")).collect();
    db.check_fold(aggregate_type, &format!("select t.id::text, to_jsonb(t){less} from {table} t"));
    let mut s = db.owner();
    for column in columns {
        let named = format!(
            "select count(*) from domain_events.events where aggregate_type = '{aggregate_type}'
                and (jsonb_exists(event_data -> 'new_values', '{column}') or jsonb_exists(event_data -> 'old_values', '{column}'))"
        );
        assert_eq!(s.one(&named), "0", "{column} is in an event");
    }
    assert_eq!(s.table(&format!("select code, aggregate_id, detail from domain_events.check_rows('{table}')")), "");
    assert_eq!(
        s.table("select code, object from domain_events.check_infrastructure() where code ~ '^(capture|redact)'"),
        ""
    );
}

fn virtual_columns_are_in_no_event(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    let mut s = db.owner();
    for payload in ["changes", "full"] {
        s.run(VG);
        s.run("insert into vg values (1, 2.5, 4), (3, 1, 1)");
        s.run(&format!(
            "select domain_events.enable_capture('vg', 'Vg_{payload}', baseline => 'now', payload => '{payload}')"
        ));
        s.run(
            "insert into vg values (2, 3, 3); update vg set qty = 5 where id = 2; update vg set qty = 10 where id = 1;
             update vg set id = 4 where id = 3; delete from vg where id = 1; insert into vg values (1, 7, 7)",
        );
        check(db, &format!("Vg_{payload}"), "vg", &["total", "Label"]);
        // What it is computed by changes every value, and no row.
        s.run("alter table vg alter column total set expression as (price * qty * 2); update vg set qty = qty; update vg set qty = 6");
        check(db, &format!("Vg_{payload}"), "vg", &["total", "Label"]);
        s.run("alter table vg alter column stored_total set expression as (price * qty * 3); update vg set price = price + 1");
        check(db, &format!("Vg_{payload}"), "vg", &["total", "Label"]);
        s.run("drop table vg");
    }
}

fn virtual_columns_are_refused_by_name(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    let mut s = db.owner();
    s.run(VG);
    for argument in [
        "aggregate_id => '{Label}'",
        "aggregate_id => '{id,total}'",
        "include => '{id,total}'",
        "redact => '{Label}'",
        r#"event_types => '[{"on": "update", "when_changed": ["qty", "total"], "type": "TotalChanged"}]'"#,
    ] {
        let failure = s.error(&format!("select domain_events.enable_capture('vg', {argument})")).expect("22023");
        assert!(failure.message.contains("virtual generated column"), "{failure}");
    }
    assert_eq!(s.one("select count(*) from domain_events.captures"), "0");
    s.run("select domain_events.enable_capture('vg', exclude => '{total,qty,stored_total}'); insert into vg values (1, 2, 3); update vg set qty = 4");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'Vg'"), "1");
    db.check_fold("Vg", "select id::text, to_jsonb(vg) - '{qty,total,stored_total,Label}'::text[] from vg");
}

fn virtual_columns_are_told_once(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    db.owner().run(VG);
    let notices = |call: &str| {
        let out = db.client_program("psql", "app_owner").args(["-X", "-q", "-c", call]).output().expect("psql");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let told = notices("select domain_events.enable_capture('vg')");
    assert!(told.contains("virtual generated columns of public.vg are not captured: total, \"Label\""), "{told}");
    assert!(told.contains("HINT:"), "{told}");
    notices("select domain_events.disable_capture('vg')");
    for known in ["exclude => '{total,Label}'", "include => '{price}'"] {
        let told = notices(&format!("select domain_events.enable_capture('vg', {known})"));
        assert_eq!(told, "", "{known}");
        notices("select domain_events.disable_capture('vg')");
    }
    db.check_versions();
}

fn virtual_columns_come_and_go(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    let mut s = db.owner();
    s.run("create table w (id int primary key, a int, secret text); select domain_events.enable_capture('w', redact => '{secret}')");
    s.run("insert into w values (1, 1, 'x'); alter table w add g int generated always as (a * 2) virtual; update w set a = 2");
    let check = |columns: &[&str], aggregate_type: &str| {
        let less: String = columns.iter().map(|column| format!(" - '{column}'")).collect();
        db.check_fold(
            aggregate_type,
            &format!("select id::text, to_jsonb(w){less} || '{{\"secret\": {{\"$value\": \"redacted\"}}}}' from w"),
        );
    };
    check(&["g"], "W");
    s.run("alter table w rename g to h; update w set a = 3; alter table w alter h set expression as (a * 5); update w set a = 4");
    check(&["h"], "W");
    s.run("alter table w drop h, add h int generated always as (a + 1) stored; update w set a = 5");
    check(&[], "W");
    s.run("alter table w drop h, add h int generated always as (a + 1) virtual; update w set a = 6; insert into w (id, a) values (2, 2)");
    check(&["h"], "W");
    // One that takes the place of a redacted column does not make the rule fit again.
    s.run("alter table w drop secret, add secret text generated always as ('s' || a) virtual; update w set a = 7");
    assert_eq!(
        s.one("select count(*) from domain_events.check_infrastructure() where code = 'redaction_without_column'"),
        "1"
    );
    let hidden = r#"{"$value": "redacted"}"#;
    assert_eq!(
        s.one("select event_data #>> '{new_values,a}' from domain_events.events order by global_position desc limit 1"),
        hidden
    );
    db.check_versions();
}

fn virtual_columns_of_partitions(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    let mut s = db.owner();
    s.run(
        "create table p (id int, k int, g int generated always as (k * 2) virtual, n int, primary key (id, k)) partition by list (k);
         create table p1 partition of p for values in (1);
         create table p2 (n int, dropped int, k int not null, g int generated always as (k * 3) virtual, id int not null);
         alter table p2 drop dropped; alter table p attach partition p2 for values in (2);
         select domain_events.enable_capture('p', aggregate_id => '{id}');
         insert into p (id, k, n) values (1, 1, 1), (2, 2, 2); update p set k = 3 - k; update p set n = n + 1; delete from p where id = 2",
    );
    check(db, "P", "p", &["g"]);
    s.run("create table p3 partition of p for values in (3); insert into p (id, k, n) values (3, 3, 3); update p set n = 9; truncate p1");
    check(db, "P", "p", &["g"]);
}

fn virtual_columns_after_a_restore(db: &Db) {
    if !has_virtual_columns(db) {
        return;
    }
    let mut s = db.owner();
    s.run(VG);
    s.run("alter table vg add gone int; alter table vg drop gone; alter table vg add n int");
    s.run("select domain_events.enable_capture('vg', include => '{price,n}'); insert into vg (id, price, qty, n) values (1, 2, 3, 4)");
    let copy = db.restored();
    copy.owner().run(
        "update vg set n = 5; insert into vg (id, price, qty, n) values (2, 2, 3, 4); update vg set price = 8, qty = 1",
    );
    copy.check_fold("Vg", "select id::text, jsonb_build_object('price', price, 'n', n) from vg");
}
