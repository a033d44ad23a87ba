//! T1 exact change detection, T2 values jsonb cannot hold, T8 final values only, T16 TOAST, T20 types of every kind.

use domain_events_tests::{Cluster, Db, engines};

engines! {
    t1_change_detection_is_exact, t1_under_every_setting, t2_json_that_jsonb_cannot_hold, t2_a_huge_bytea, t2_huge_texts_together,
    t2_a_users_value_object, t8_before_triggers_are_seen, t8_cancelled_rows_give_nothing, t8_on_conflict, t8_merge, t8_copy,
    t8_generated_columns, t8_generated_columns_of_partitioned_tables, t16_an_unchanged_toast_column_costs_nothing, t20_types_of_every_kind, t20_types_without_equality,
    t20_nested_composites_and_arrays,
    t20_nulls_within_arrays_of_composites,
}

const T1: &str =
    "create table t (id int primary key, n numeric, iv interval, j jsonb, js json, f float8, c bpchar(5), tx text);
    select domain_events.enable_capture('t', 'T');
    insert into t values (1, 1.0, '1 mon', null, '{\"a\":1,\"b\":2}', 1.0, 'a', 'e');";

/// What the fold shows of a row of T1's table: jsonb null is told from SQL NULL.
const T1_ROWS: &str = "select id::text, to_jsonb(t) || case when j = 'null' then '{\"j\": {\"$value\": \"jsonb null\"}}' else '{}'::jsonb end from t";

fn t1_change_detection_is_exact(db: &Db) {
    let mut s = db.owner();
    s.run(T1);
    let mut events = 1;
    for (sql, writes) in [
        ("update t set n = 1.00", 1),
        ("update t set n = 1.00", 0),
        ("update t set iv = '30 days'", 1),
        ("update t set j = 'null'", 1),
        ("update t set j = 'null'", 0),
        ("update t set j = null", 1),
        ("update t set js = '{\"b\":2,  \"a\":1}'", 1),
        ("set extra_float_digits = 0; update t set f = 1.0000000000000002", 1),
        ("update t set n = n, js = js, iv = iv, f = f, j = j, c = c, tx = tx", 0),
        ("update t set f = '-0'", 1),
        ("update t set f = '0'", 1),
        ("update t set f = 'NaN'", 1),
        ("update t set f = 'NaN'", 0),
        ("update t set tx = 'E'", 1),
        ("update t set tx = 'e '", 1),
        ("update t set n = null", 1),
        ("update t set n = null", 0),
        ("update t set n = 'NaN'", 1),
    ] {
        s.run(sql);
        events += writes;
        assert_eq!(s.number("select count(*) from domain_events.events"), events, "events after {sql}");
    }
    db.check_fold("T", T1_ROWS);
    assert_eq!(
        s.table("select event_data -> 'new_values' -> 'j' from domain_events.events where event_data -> 'new_values' ? 'j' order by 1 nulls first"),
        "null\nnull\n{\"$value\": \"jsonb null\"}"
    );
}

fn t1_under_every_setting(db: &Db) {
    let mut s = db.owner();
    s.run(T1);
    for setting in [
        "set extra_float_digits = -15",
        "set intervalstyle = 'iso_8601'",
        "set timezone = 'Pacific/Apia'",
        "set datestyle = 'Postgres, DMY'",
        "set standard_conforming_strings = off",
        "set transform_null_equals = on",
        "set array_nulls = off",
        "set quote_all_identifiers = on",
        "set xmloption = document",
        "set enable_seqscan = off; set enable_indexscan = off; set enable_bitmapscan = off",
        "set plan_cache_mode = force_generic_plan",
        "set search_path = ''",
        "set check_function_bodies = off",
        "set row_security = off",
        "set client_min_messages = error",
        "set default_transaction_isolation = 'serializable'",
        "set bytea_output = 'escape'",
    ] {
        s.run(setting);
        s.run("update public.t set f = f + 1e-10, n = n + 0.10, iv = iv + '1 mon'");
        s.run("update public.t set f = f, n = n, iv = iv");
    }
    assert_eq!(s.number("select count(*) from domain_events.events"), 18);
    db.check_fold("T", T1_ROWS);
}

fn t2_json_that_jsonb_cannot_hold(db: &Db) {
    let mut s = db.owner();
    s.run(
        r#"create table t (id int primary key, js json, n int);
           select domain_events.enable_capture('t', 'T');
           insert into t values (1, '{"k":"a\u0000b"}', 1);
           insert into t values (2, '1e500000', 1);
           insert into t values (3, '"\ud800"', 1);
           insert into t values (4, '{"ok": 1}', 1);
           update t set n = 2;
           update t set js = '{"k":"\u0000 other"}' where id = 1;"#,
    );
    assert_eq!(s.number("select count(*) from domain_events.events"), 9);
    let marker = s.json("select event_data -> 'new_values' -> 'js' from domain_events.events where aggregate_id = '1' and aggregate_version = 1");
    assert_eq!(marker["$value"], "unrepresentable");
    assert_eq!(marker["type"], "json");
    assert_eq!(marker["bytes"], 16);
    assert_eq!(marker["sha256"], s.one(r#"select encode(sha256(convert_to('{"k":"a\u0000b"}', 'UTF8')), 'hex')"#));
    db.check_fold(
        "T",
        r#"select id::text, case when id = 4 then to_jsonb(t) else
             jsonb_build_object('id', id, 'n', n, 'js', jsonb_build_object('$value', 'unrepresentable', 'type', 'json',
               'bytes', octet_length(js::text), 'sha256', encode(sha256(convert_to(js::text, 'UTF8')), 'hex'))) end from t"#,
    );
}

fn t2_a_huge_bytea(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table blobs (id int primary key, b bytea, n int);
         select domain_events.enable_capture('blobs');
         insert into blobs select 1, decode(repeat('ab', 150 * 1024 * 1024), 'hex'), 1;
         update blobs set n = 2;
         insert into blobs values (2, '\\x0102', 1);",
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    assert_eq!(
        s.table(
            "select e.event_data #>> '{new_values,b,$value}', e.event_data #>> '{new_values,b,type}',
                    e.event_data #>> '{new_values,b,bytes}', e.event_data #>> '{new_values,b,sha256}' = encode(sha256(b), 'hex')
               from domain_events.events e, blobs where id = 1 and aggregate_id = '1' and aggregate_version = 1"
        ),
        "unrepresentable|bytea|157286400|t"
    );
    // The update left b alone: its event does not mention it.
    assert_eq!(
        s.one("select event_data ->> 'new_values' from domain_events.events where aggregate_version = 2"),
        "{\"n\": 2}"
    );
    assert_eq!(s.one("select count(*) from domain_events.capture_failures"), "0");
    db.check_versions();
}

fn t2_huge_texts_together(db: &Db) {
    // Each would fit alone, all of them do not: the user's write passes, and nothing is lost in silence.
    let mut s = db.owner();
    s.run(
        "create table docs (id int primary key, a text, b text, c text);
         select domain_events.enable_capture('docs');
         insert into docs select 1, repeat('x', 100000000), repeat('y', 100000000), repeat('z', 100000000);
         update docs set a = 'small', b = 'small', c = 'small';",
    );
    assert_eq!(s.one("select a from docs"), "small");
    assert_eq!(s.one("select count(*) from domain_events.events"), "2");
    db.check_table("Doc", "docs");
}

fn t2_a_users_value_object(db: &Db) {
    let mut s = db.owner();
    s.run(
        r#"create table t (id int primary key, j jsonb);
           select domain_events.enable_capture('t', 'T');
           insert into t values (1, '{"$value": "redacted"}'), (2, '{"a": {"$value": 1}}'), (3, '"$value"');"#,
    );
    assert_eq!(
        s.table("select aggregate_id, event_data -> 'new_values' -> 'j' from domain_events.events order by 1"),
        "1|{\"of\": {\"$value\": \"redacted\"}, \"$value\": \"literal\"}\n2|{\"a\": {\"$value\": 1}}\n3|\"$value\""
    );
}

fn t8_before_triggers_are_seen(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, s text);
         select domain_events.enable_capture('users');
         create function final() returns trigger language plpgsql as $$ begin new.s := new.s || '!'; return new; end $$;
         create trigger zz before insert or update on users for each row execute function final();
         insert into users values (1, 'a'); update users set s = 'b';",
    );
    assert_eq!(
        s.table("select event_data #>> '{new_values,s}' from domain_events.events order by aggregate_version"),
        "a!\nb!"
    );
    db.check_table("User", "users");
}

fn t8_cancelled_rows_give_nothing(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, s text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');
         create function never() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger zz before insert or update or delete on users for each row execute function never();
         insert into users values (2, 'b'); update users set s = 'b'; delete from users;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
    db.check_table("User", "users");
}

fn t8_on_conflict(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, s text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');
         insert into users values (1, 'x') on conflict do nothing;
         insert into users values (1, 'b'), (2, 'c') on conflict (id) do update set s = excluded.s;
         insert into users values (1, 'b') on conflict (id) do update set s = excluded.s;",
    );
    assert_eq!(
        s.table("select aggregate_id, event_type from domain_events.events order by global_position"),
        "1|UserCreated\n1|UserUpdated\n2|UserCreated"
    );
    db.check_table("User", "users");
}

fn t8_merge(db: &Db) {
    let mut s = db.owner();
    if s.major_version() < 15 {
        return;
    }
    s.run(
        "create table users (id int primary key, s text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a'), (3, 'z');
         merge into users u using (values (1, 'b'), (2, 'c'), (3, 'd')) as n(id, s) on u.id = n.id
           when matched and n.id = 3 then delete
           when matched then update set s = n.s
           when not matched then insert values (n.id, n.s);",
    );
    assert_eq!(
        s.table("select aggregate_id, event_type from domain_events.events where global_position > 0 order by aggregate_id, aggregate_version"),
        "1|UserCreated\n1|UserUpdated\n2|UserCreated\n3|UserCreated\n3|UserDeleted"
    );
    db.check_table("User", "users");
}

fn t8_copy(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key, s text); select domain_events.enable_capture('users')");
    s.copy_in("copy users from stdin", "1\ta\n2\t\\N\n3\tc\n");
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    db.check_table("User", "users");
}

fn t8_generated_columns(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sums (id int primary key, a int, g int generated always as (a * 2) stored,
                            i int generated always as identity);
         select domain_events.enable_capture('sums');
         insert into sums values (1, 2); update sums set a = 5;",
    );
    assert_eq!(
        s.table("select event_data -> 'new_values' from domain_events.events order by aggregate_version"),
        "{\"a\": 2, \"g\": 4, \"i\": 1, \"id\": 1}\n{\"a\": 5, \"g\": 10}"
    );
    db.check_table("Sum", "sums");
}

fn t8_generated_columns_of_partitioned_tables(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sums (id int, a int, g int generated always as (id * 2) stored, primary key (id, a)) partition by list (a);
         create table sums_1 partition of sums for values in (1);
         create table sums_2 partition of sums for values in (2);",
    );
    let refused = s.error("select domain_events.enable_capture('sums', aggregate_id => '{id,g}')");
    assert_eq!(refused.code, "22023", "{refused:?}");
    // A column of the id that is gone is told by a dead letter for each change, not by its move as well.
    s.run(
        "alter table sums drop g, add g int not null default 7;
         select domain_events.enable_capture('sums', aggregate_id => '{id,g}');
         insert into sums values (1, 1);
         alter table sums drop g, add g int generated always as (id * 2) stored;
         update sums set a = 2 where id = 1;",
    );
    assert_eq!(s.one("select string_agg(distinct error_code, ' ') from domain_events.capture_failures"), "22004");
}

fn t16_an_unchanged_toast_column_costs_nothing(db: &Db) {
    // A server of its own: WAL is counted for the whole server, and page images would drown the figure.
    let cluster = Cluster::start(&[("full_page_writes", "off"), ("autovacuum", "off")]);
    let db = Db::on(cluster, db.engine);
    let mut s = db.admin();
    s.run(
        "create table docs (id int primary key, n int, big text);
         alter table docs alter big set storage external;
         select domain_events.enable_capture('docs');
         insert into docs select 1, 0, string_agg(md5(i::text), '') from generate_series(1, 32768) i;
         update docs set n = 1;",
    );
    for payload in ["n = n + 1", "n = n + 1, big = big"] {
        let before = s.one("select pg_current_wal_insert_lsn()");
        s.run(&format!("update docs set {payload}"));
        let wal = s.number(&format!("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')"));
        assert!(wal < 4_000, "{wal} bytes of WAL for `{payload}` beside an unchanged 1 MB column");
    }
    assert_eq!(
        s.one("select pg_column_size(event_data) < 200 from domain_events.events where aggregate_version = 3"),
        "t"
    );
    db.check_table("Doc", "docs");
}

fn t20_types_of_every_kind(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create type mood as enum ('sad', 'ok');
         create type pair as (a int, b text);
         create domain positive as int check (value > 0);
         create domain note as text;
         create domain moods as mood[];
         create type span as range (subtype = float8);
         set timezone = 'UTC';
         create table t (id int primary key, i2 int2, i8 int8, f4 float4, f8 float8, n numeric(20, 5), tx text, v varchar(9), c char(4),
           nm name, b bool, by bytea, d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval, u uuid, j json, jb jsonb,
           x xml, ip inet, ci cidr, mac macaddr, p point, bx box, pth path, m money, bi bit(3), vb varbit, tsv tsvector, tsq tsquery,
           e mood, ea mood[], pr pair, pra pair[], dp positive, dn note, dm moods, r int4range, sp span, mr int4multirange,
           ia int[], ta text[], ja json[], jba jsonb[], ch \"char\", o oid, xi xid8, rc regclass, l pg_lsn)",
    );
    s.run("select domain_events.enable_capture('t', 'T'); insert into t (id) values (1)");
    s.run(
        "insert into t values (2, 1, 9007199254740993, 0.1, 0.1, 1.50000, 'ä\"\\', 'v', 'c', 'n', true, '\\x00ff', '2024-02-03', '01:02:03.5',
           '01:02+02', '2024-02-03 04:05', '2024-02-03 04:05+00', '1 mon 2 days', gen_random_uuid(), '{\"b\":1, \"a\":[1.0]}', '{\"z\": 1.00}',
           '<a/>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2)', '(1,2),(3,4)', '[(1,2),(3,4)]', 12.34, '101', '11', 'a:1 b', 'a & b',
           'sad', '{sad,ok,NULL}', '(1,\"x y\")', array['(1,a)'::pair, null], 5, 'note', '{ok}', '[1,5)', '[0.5,1.5]', '{[1,2),[5,7)}',
           '{{1,2},{3,4}}', '{a,NULL,\"b c\"}', array['{\"a\":1}'::json], array['null'::jsonb, '1'], 'x', 5, '7', 'pg_class', '1/2');
         update t set tx = 'changed' where id = 1;
         update t set ea = '{}', ia = '[0:1]={7,8}', pr = null, pra = '{}', e = 'ok', tsv = 'c', dp = 6, sp = 'empty', mr = '{}' where id = 2;
         delete from t where id = 1;",
    );
    db.check_table("T", "t");
}

fn t20_types_without_equality(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, j json, x xml, p point, b box, ja json[], pa point[]);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, '{}', '<a/>', '(1,2)', '(1,2),(3,4)', array['{}'::json], array['(1,2)'::point]);
         update t set j = j, x = x, p = p, b = b, ja = ja, pa = pa;
         update t set p = '(1,3)';
         update t set j = '{ }';
         update t set x = '<a />';
         update t set ja = array['{ }'::json];",
    );
    // box compares by area with =: an equal area elsewhere is a change all the same.
    s.run("update t set b = '(11,12),(13,14)'");
    assert_eq!(s.one("select count(*) from domain_events.events"), "6");
    db.check_table("T", "t");
}

fn t20_nested_composites_and_arrays(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create type inner_t as (n numeric, j jsonb);
         create type outer_t as (i inner_t, a inner_t[], s text);
         create domain outer_d as outer_t;
         create table t (id int primary key, o outer_t, oa outer_t[], d outer_d);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, row(row(1.0, '{\"a\": null}'), array[row(2.00, 'null')::inner_t], 's'), '{}', null);
         update t set o.s = 'x';
         update t set o.i = row(1.00, '{\"a\": null}');
         update t set oa = array[o, null, o];
         update t set d = row(null, '{}', null);
         alter type inner_t add attribute extra text;
         update t set o.s = 'y';",
    );
    db.check_table("T", "t");
}

fn t20_nulls_within_arrays_of_composites(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create type mood as enum ('a', 'b');
         create type inner_pair as (x int, m mood);
         create type outer_pair as (p inner_pair, ps inner_pair[]);
         create table t (id int primary key, flat inner_pair[], deep inner_pair[], nested outer_pair[]);
         select domain_events.enable_capture('t', 'T');
         insert into t values
           (1, array[null, row(1, 'a')::inner_pair], array[[null, row(1, 'a')::inner_pair], [row(null, null)::inner_pair, null]],
            array[[null, row(null, array[[null, row(2, 'b')::inner_pair]])::outer_pair]]),
           (2, '{}', null, array[[row(row(1, 'a')::inner_pair, null)::outer_pair]]);
         update t set deep = array[[null, null]]::inner_pair[] where id = 1;",
    );
    db.check_table("T", "t");
}
