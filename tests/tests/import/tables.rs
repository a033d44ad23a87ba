//! Audited tables: types, keys, sequences, values.

use domain_events_tests::{Db, engines};

use crate::World;

engines! { every_type_comes_over, a_table_works_as_before, names_that_are_taken_are_refused }

const TYPES: &str = r#"create table `All Types` (
  id int unsigned not null auto_increment primary key, t1 tinyint(1), tu tinyint unsigned, s smallint, m mediumint, b bigint, bu bigint unsigned,
  d decimal(20,5), f float, r double, bits bit(10), c char(5), v varchar(20) character set latin1, x text, l longtext,
  e enum('a','it''s','b,c'), st set('x','y','z'), bin binary(4), vb varbinary(9), bl blob, dt date, dtm datetime(3), ts timestamp(6) null, tm time(2),
  y year, j json, u uuid, g int generated always as (s * 2) stored, gv varchar(9) generated always as (upper(c)) virtual,
  unique key k (v), key p (x(5)), fulltext key ft (x));
insert into `All Types` (t1,tu,s,m,b,bu,d,f,r,bits,c,v,x,l,e,st,bin,vb,bl,dt,dtm,ts,tm,y,j,u) values
 (1,255,-32768,8388607,-9223372036854775808,9223372036854775807,'-123456789012345.12345',1.5,1e300,b'1000000001','ab ','caf\u00e9','tab\t nl\n cr\r bs\\ q'' "',
  '\\N','it''s','x,z',x'00ff5c0a','a\0b\\',x'',  '2024-02-29','2024-02-29 23:59:59.999','2024-06-01 12:00:00.123456','23:59:59.99',1999,'{"b": 1, "a": [1.0, null, "\\u00e9"]}','0193e8f0-0000-7000-8000-00000000000a'),
 (null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null),
 (0,0,0,0,0,0,0,-0.25,0,b'0','','','','','a','',x'00000000','','','1000-01-01','1000-01-01 00:00:00','1970-01-01 00:00:01','00:00:00',2155,'[]','00000000-0000-0000-0000-000000000000')"#;

const VALUES: &str = "select * from \"All Types\" order by id";

fn every_type_comes_over(db: &Db) {
    let world = World::new(&TYPES.replace("caf\\u00e9", "caf\u{e9}"));
    world.import(db, &world.legacy.url(), &["--tables", "All Types"]).expect(0);
    let mut admin = db.admin();
    let live = admin.rows(VALUES);
    let text = |row: usize| live[row].iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>();
    assert_eq!(
        text(0),
        [
            "1",
            "1",
            "255",
            "-32768",
            "8388607",
            "-9223372036854775808",
            "9223372036854775807",
            "-123456789012345.12345",
            "1.5",
            "1e+300",
            "1000000001",
            "ab",
            "caf\u{e9}",
            "tab\t nl\n cr\r bs\\ q' \"",
            "\\N",
            "it's",
            "x,z",
            "\\x00ff5c0a",
            "\\x6100625c",
            "\\x",
            "2024-02-29",
            "2024-02-29 23:59:59.999",
            "2024-06-01 12:00:00.123456+00",
            "23:59:59.99",
            "1999",
            "{\"a\": [1.0, null, \"\u{e9}\"], \"b\": 1}",
            "0193e8f0-0000-7000-8000-00000000000a",
            "-65536",
            "AB",
        ]
    );
    assert_eq!(text(1)[1..], ["NULL"; 28]);
    assert_eq!(text(2)[14..17], ["", "a", ""]);
    for options in [&[][..], &["--hex-blob"], &["--skip-extended-insert"], &["--complete-insert", "--skip-quote-names"]]
    {
        let other = Db::new(db.engine);
        world.import(&other, &world.dump(options), &["--tables", "All Types"]).expect(0);
        assert_eq!(other.admin().rows(VALUES), live, "dump with {options:?}");
    }
}

fn a_table_works_as_before(db: &Db) {
    let world = World::seed();
    world.legacy.run("alter table users auto_increment = 100");
    let run = world.import(db, &world.dump(&[]), &["--tables", "users,domain_events", "--format", "json"]).expect(0);
    let document = run.json();
    assert_eq!(
        (document["tables"][0]["stored"].as_u64(), document["tables"][1]["stored"].as_u64()),
        (Some(5), Some(7))
    );
    let notes = document["tables"][0]["notes"].to_string();
    assert!(
        notes.contains("enum") && notes.contains("ON UPDATE") && notes.contains("without regard to case"),
        "{notes}"
    );
    let mut admin = db.admin();
    assert_eq!(admin.one("insert into users (name, email) values ('New', 'new@example.com') returning id"), "100");
    assert_eq!(admin.one("select status || login_count from users where id = 100"), "active0");
    // ON UPDATE CURRENT_TIMESTAMP
    admin.run("update users set updated_at = '2001-01-01' where id = 1");
    assert_eq!(admin.one("select updated_at::date from users where id = 1"), "2001-01-01");
    admin.run("update users set login_count = 5 where id = 1");
    assert_eq!(admin.one("select updated_at > now() - interval '1 minute' from users where id = 1"), "t");
    for (sql, code) in [
        ("insert into users (name, email) values ('Twin', 'ada@example.com')", "23505"),
        ("update users set status = 'gone'", "23514"),
        ("update users set login_count = -1", "23514"),
        (
            "insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data) \
          values ('x', 'User', '1', 1, 'e', 'n', '{}')",
            "23505",
        ),
        ("update domain_events set caused_by_user_id = 77", "23503"),
    ] {
        assert_eq!(admin.error(sql).code, code, "{sql}");
    }
    admin.run("delete from users where id = 5");
    assert_eq!(
        admin.one("select count(*) from domain_events where aggregate_id = '5' and caused_by_user_id is null"),
        "1"
    );
    // made only
    let other = Db::new(db.engine);
    world.import(&other, &world.legacy.url(), &["--tables", "users", "--no-rows"]).expect(0);
    assert_eq!(other.admin().one("select count(*) from users"), "0");
}

fn names_that_are_taken_are_refused(db: &Db) {
    let world = World::seed();
    db.admin().run("create table users (id int)");
    let from = world.legacy.url();
    world.import(db, &from, &["--tables", "users"]).expect_error(1, "42P07").saying("--schema");
    db.admin().run("create schema legacy; grant all on schema legacy to public");
    world.import(db, &from, &["--tables", "users", "--schema", "legacy"]).expect(0);
    assert_eq!(db.admin().one("select count(*) from legacy.users"), "5");
    // again: it is there already, and nothing is doubled
    world.import(db, &from, &["--tables", "users", "--schema", "legacy"]).expect(0);
    assert_eq!(db.admin().one("select count(*) from legacy.users"), "5");
    world.import(db, &from, &["--tables", "nothing"]).expect(1).saying("nothing");
    world
        .import(db, &world.file("empty.sql", b"select 1;"), &["--tables", "users"])
        .expect_error(1, "42P01")
        .saying("CREATE TABLE");
    world.import(db, &from, &[]).expect(2).saying("--tables");
    world.import(db, "postgres://nowhere/x", &["--tables", "users"]).expect(2).saying("mysql://");
    world.import(db, &world.path("missing.sql"), &["--tables", "users"]).expect(1).saying("missing.sql");
}
