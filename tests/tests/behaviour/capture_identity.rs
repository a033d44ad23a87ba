//! Aggregate ids, key changes (T9).

use domain_events_tests::{Db, engines};

engines! {
    composite_keys_are_a_json_array, ids_may_be_named, long_ids_are_hashed, t3_ids_and_payloads_do_not_depend_on_the_session,
    t9_a_key_change_is_two_events, t9_a_key_shift_claims_no_false_change, t9_a_key_change_onto_an_old_stream,
    t9_two_statements_in_one_cte, several_rows_of_one_stream_are_announced, null_in_a_named_id, ids_of_every_type,
}

fn composite_keys_are_a_json_array(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table order_items (order_id int, sku text, n int, primary key (order_id, sku));
         select domain_events.enable_capture('order_items');
         insert into order_items values (7, 'a\"b', 1), (8, 'ä, c', 1);
         update order_items set n = 2;",
    );
    assert_eq!(
        s.table("select distinct aggregate_id from domain_events.events order by 1"),
        "[\"7\", \"a\\\"b\"]\n[\"8\", \"ä, c\"]"
    );
    db.check_fold("OrderItem", "select to_jsonb(array[order_id::text, sku])::text, to_jsonb(t) from order_items t");
}

fn ids_may_be_named(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table logs (at timestamptz, who text not null, n int);
         create table users (id int primary key, email text unique not null);",
    );
    s.error("select domain_events.enable_capture('logs')").expect("42P16").naming("aggregate_id");
    s.error("select domain_events.enable_capture('logs', aggregate_id => '{nothing}')").expect("42703");
    s.run(
        "select domain_events.enable_capture('logs', aggregate_id => '{who}');
         select domain_events.enable_capture('users', aggregate_id => '{email}');
         insert into logs values (now(), 'ann', 1);
         insert into users values (1, 'a@b');",
    );
    assert_eq!(
        s.table("select aggregate_type, aggregate_id from domain_events.events order by 1"),
        "Log|ann\nUser|a@b"
    );
    db.check_fold("User", "select email, to_jsonb(t) from users t");
}

fn long_ids_are_hashed(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table docs (id text primary key, n int);
         select domain_events.enable_capture('docs');
         insert into docs values (repeat('x', 1024), 1), (repeat('x', 1025), 1), (repeat('ä', 513), 1);
         update docs set n = 2;",
    );
    assert_eq!(s.one("select count(distinct aggregate_id) from domain_events.events"), "3");
    db.check_fold(
        "Doc",
        "select case when octet_length(id) > 1024 then 'sha256:' || encode(sha256(convert_to(id, 'UTF8')), 'hex') else id end, to_jsonb(t)
           from docs t",
    );
}

fn t3_ids_and_payloads_do_not_depend_on_the_session(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table ticks (at timestamptz primary key, iv interval, b bytea, f float8, m money, d date, ts timestamp, a timestamptz[], r tstzrange);
         create table blobs (b bytea, d date, primary key (b, d));
         select domain_events.enable_capture('ticks');
         select domain_events.enable_capture('blobs');
         set timezone = 'UTC';
         insert into ticks values ('2024-01-01 00:00+00', '1 day 02:03', '\\x00ff', 0.1, 12.34, '2024-02-03', '2024-02-03 04:05',
                                   '{2024-01-01 00:00+00}', '[2024-01-01 00:00+00,)');
         insert into blobs values ('\\x00ff', '2024-02-03');",
    );
    for (n, settings) in [
        "set timezone = 'Asia/Tokyo'",
        "set intervalstyle = 'sql_standard'",
        "set bytea_output = 'escape'",
        "set datestyle = 'SQL, DMY'",
        "set extra_float_digits = -15",
        "set lc_monetary = 'C'; set intervalstyle = 'iso_8601'; set datestyle = 'German, MDY'",
    ]
    .iter()
    .enumerate()
    {
        s.run(settings);
        s.run(&format!("update ticks set iv = '{n} days 01:02'; update ticks set f = 0.1 + {n}, m = m + 1::money, a = a || at, d = d + 1"));
        s.run(
            "delete from blobs; insert into blobs values ('\\x00ff', '03.02.2024'::text::date)"
                .replace(
                    "03.02.2024",
                    match n {
                        3 | 4 => "03/02/2024",
                        5 => "02.03.2024",
                        _ => "2024-02-03",
                    },
                )
                .as_str(),
        );
    }
    s.run("reset all; set timezone = 'UTC'");
    assert_eq!(
        s.table("select aggregate_type, aggregate_id, count(*) from domain_events.events group by 1, 2 order by 1"),
        "Blob|[\"\\\\x00ff\", \"2024-02-03\"]|13\nTick|2024-01-01 00:00:00+00|13"
    );
    db.check_fold("Tick", "select at::text, to_jsonb(t) from ticks t");
    db.check_fold("Blob", "select to_jsonb(array[b::text, d::text])::text, to_jsonb(t) from blobs t");
}

fn t9_a_key_change_is_two_events(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');
         update users set id = 100, name = 'b';
         update users set name = 'c';",
    );
    assert_eq!(
        s.table("select aggregate_id, aggregate_version, event_type, event_data from domain_events.events order by global_position"),
        "1|1|UserCreated|{\"new_values\": {\"id\": 1, \"name\": \"a\"}}\n\
         1|2|UserRekeyed|{\"new_values\": {\"id\": 100}, \"old_values\": {\"id\": 1}, \"new_aggregate_id\": \"100\"}\n\
         100|1|UserRekeyed|{\"new_values\": {\"id\": 100, \"name\": \"b\"}, \"old_aggregate_id\": \"1\"}\n\
         100|2|UserUpdated|{\"new_values\": {\"name\": \"c\"}, \"old_values\": {\"name\": \"b\"}}"
    );
    assert_eq!(s.one("select domain_events.fold_stream('User', '1')"), "~");
    assert_eq!(s.one("select domain_events.fold_stream('User', '1', 1)"), "{\"id\": 1, \"name\": \"a\"}");
    db.check_table("User", "users");
}

fn t9_a_key_shift_claims_no_false_change(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table rows (id int primary key deferrable, s text);
         select domain_events.enable_capture('rows', 'Row');
         insert into rows select i, 'r' || i from generate_series(1, 20) i;
         update rows set id = id + 1;
         update rows set id = id + 1;",
    );
    assert_eq!(
        s.one("select count(*) from domain_events.events where event_type = 'RowUpdated' or event_data -> 'old_values' ? 's'"),
        "0"
    );
    db.check_table("Row", "rows");
    assert_eq!(s.one("select count(*) from domain_events.events where event_type = 'RowRekeyed'"), "80");
}

fn t9_a_key_change_onto_an_old_stream(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'one'), (2, 'two');
         delete from users where id = 2;
         update users set id = 2 where id = 1;
         insert into users values (1, 'again');
         update users set id = 3 where id = 2;
         update users set id = 2 where id = 3;",
    );
    assert_eq!(
        s.table("select event_type from domain_events.events where aggregate_id = '2' order by aggregate_version"),
        "UserCreated\nUserDeleted\nUserRekeyed\nUserRekeyed\nUserRekeyed"
    );
    db.check_table("User", "users");
}

fn t9_two_statements_in_one_cte(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, s text);
         select domain_events.enable_capture('users');
         insert into users values (5, 'x');
         with a as (update users set s = 'a' where id = 5 returning 1), b as (insert into users values (50, 'y') returning 1)
         select 1 from a, b;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    db.check_table("User", "users");
}

fn several_rows_of_one_stream_are_announced(db: &Db) {
    // Where several rows share a stream, writers of one stream wait for each other: enable_capture says so.
    let mut s = db.owner();
    s.run("create table order_items (order_id int, sku text, n int, primary key (order_id, sku))");
    let out = db
        .client_program("psql", "app_owner")
        .args(["-X", "-c", "select domain_events.enable_capture('order_items', 'Order', '{order_id}')"])
        .output()
        .expect("psql");
    let notice = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && notice.contains("NOTICE") && notice.contains("order_items"), "{notice}");
    s.run("insert into order_items values (1, 'a', 1), (1, 'b', 1); update order_items set n = 2 where sku = 'a'; delete from order_items");
    assert_eq!(
        s.one("select count(*) from domain_events.events where aggregate_type = 'Order' and aggregate_id = '1'"),
        "5"
    );
    db.check_versions();
}

fn null_in_a_named_id(db: &Db) {
    let mut s = db.owner();
    s.run("create table logs (who text, n int)");
    // It is said; a row without an id never stops the user's write and is not lost.
    let enable = |column: &str| {
        let call = format!("select domain_events.enable_capture('logs', aggregate_id => '{{{column}}}')");
        let out = db.client_program("psql", "app_owner").args(["-X", "-c", &call]).output().expect("psql");
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let told = enable("who");
    assert!(told.contains("rows of public.logs whose id is null have no stream"), "{told}");
    s.run("select domain_events.disable_capture('logs'); alter table logs alter n set not null");
    assert!(!enable("n").contains("whose id is null"));
    s.run("select domain_events.disable_capture('logs'); select domain_events.enable_capture('logs', aggregate_id => '{who}')");
    s.run("insert into logs values (null, 1), ('ann', 2)");
    assert_eq!(s.one("select count(*) from logs"), "2");
    assert_eq!(
        s.one(
            "select (select count(*) from domain_events.events where aggregate_type = 'Log') + (select count(*) from domain_events.capture_failures)"
        ),
        "2"
    );
}

fn ids_of_every_type(db: &Db) {
    let mut s = db.owner();
    s.run("create type mood as enum ('sad', 'ok'); create domain code as text; set timezone = 'UTC'");
    for (n, (column, value, id)) in [
        ("uuid", "'0123456789abcdef0123456789abcdef'", "01234567-89ab-cdef-0123-456789abcdef"),
        ("numeric", "1.50", "1.50"),
        ("float8", "0.1", "0.1"),
        ("bool", "true", "t"),
        ("char(5)", "'ab'", "ab   "),
        ("date", "'2024-01-02'", "2024-01-02"),
        ("mood", "'sad'", "sad"),
        ("code", "'x y'", "x y"),
        ("int[]", "'{1,2}'", "{1,2}"),
        ("bytea", "'\\xff'", "\\xff"),
        ("inet", "'10.0.0.1'", "10.0.0.1"),
        ("name", "'n'", "n"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("int4range", "'[1,5)'", "[1,5)"),
    ]
    .iter()
    .enumerate()
    {
        s.run(&format!(
            "create table k{n} (id {column} primary key, v int); select domain_events.enable_capture('k{n}', 'K{n}');
             insert into k{n} values ({value}, 1); update k{n} set v = 2"
        ));
        assert_eq!(
            s.table(&format!("select aggregate_id, max(aggregate_version) from domain_events.events where aggregate_type = 'K{n}' group by 1")),
            format!("{id}|2"),
            "id of type {column}"
        );
    }
    db.check_versions();
}
