//! Rows that cannot be imported are told with line and reason, and leave nothing broken behind.

use domain_events_tests::{Db, engines};

use crate::{World, healthy};

engines! { bad_rows_of_a_table_are_told, bad_events_take_the_rest_of_their_stream_along, repaired_versions_close_the_gap }

fn bad_rows_of_a_table_are_told(db: &Db) {
    let world = World::new("select 1");
    let dump = world.file(
        "dump.sql",
        b"CREATE TABLE t (id int not null primary key, d date, j json, s varchar(3) not null, n bigint unsigned) ENGINE=InnoDB;
INSERT INTO t VALUES
(1,'2025-01-01','{}','abc',1),
(2,'0000-00-00',NULL,'a',1),
(3,NULL,'{\"a\"','a',1),
(4,NULL,NULL,'a\\0b',1),
(5,NULL,NULL,'abcd',1),
(6,NULL,NULL,NULL,1),
(7,NULL,NULL,'a',18446744073709551615),
(8,NULL,NULL,'a'),
(9,NULL,NULL,now(),1),
(1,NULL,NULL,'b',2),
(10,NULL,NULL,'\xff',1),
(11,NULL,'{\"x\": \"\\\\u0000\"}','a',1);
INSERT INTO t VALUES (12,NULL,NULL,'z',0) (13);
INSERT INTO t VALUES (14,NULL,NULL,'z',0);
",
    );
    for batch in ["1", "3", "10000"] {
        let db = &Db::new(db.engine);
        std::fs::remove_file(world.path("rejects.jsonl")).ok();
        world
            .import(db, &dump, &["--tables", "t", "--keys-first", "--batch-size", batch])
            .expect(3)
            .saying("rows were rejected");
        let got = world.rejects();
        let wanted = [
            (2, 4, "0000-00-00"),
            (3, 5, "json"),
            (4, 6, "byte 0"),
            (5, 7, "22001"),
            (6, 8, "NOT NULL"),
            (7, 9, "22003"),
            (8, 10, "4 values for 5 columns"),
            (9, 11, "now()"),
            (10, 12, "23505"),
            (11, 13, "no text"),
            (12, 14, "22P05"),
            (14, 15, "a comma or the end of the statement"),
        ];
        assert_eq!(got.len(), wanted.len(), "batches of {batch}: {got:?}");
        for ((row, line, reason), (want_row, want_line, word)) in got.iter().zip(wanted) {
            assert_eq!((*row, *line), (want_row, want_line), "{reason}");
            assert!(reason.contains(word), "{word} is not in {reason}");
        }
        assert_eq!(db.admin().one("select string_agg(id || s, ',' order by id) from t"), "1abc,12z,14z");
    }
    let other = Db::new(db.engine);
    std::fs::remove_file(world.path("rejects.jsonl")).ok();
    world
        .import(&other, &dump, &["--tables", "t", "--zero-dates", "null"])
        .expect_error(1, "23505")
        .saying("--keys-first");
    assert_eq!(other.admin().one("select d is null from t where id = 2"), "t");
}

fn events(rows: &[&str]) -> Vec<u8> {
    let head = "CREATE TABLE e (id int not null auto_increment primary key, event_id char(36) not null, aggregate_type varchar(99) not null,
  aggregate_id varchar(2000) not null, aggregate_version bigint not null, event_type varchar(99), event_data json not null) ENGINE=InnoDB;
INSERT INTO e VALUES\n";
    format!("{head}{};\n", rows.join(",\n")).into_bytes()
}

fn row(id: u32, stream: &str, version: u32, data: &str) -> String {
    format!("({id},'0193e8f0-0000-7000-8000-{id:012}','User','{stream}',{version},'Happened','{data}')")
}

fn broken() -> Vec<u8> {
    let twin = row(3, "b", 2, "{}").replace("(3,", "(5,");
    let rows = [
        row(1, "a", 1, "{}"),
        row(2, "b", 1, "{}"),
        row(3, "a", 2, "{\"broken\""),
        row(4, "a", 3, "{}"),
        twin, // its id is free: the first with it was rejected
        row(6, "c", 1, "{}").replace("000000000006", "000000000002"),
        row(7, "c", 2, "{}"),
        row(8, "d", 1, "{\"x\": \"\\\\u0000\"}"),
        row(9, "b", 3, "{}"),
    ];
    events(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bad_events_take_the_rest_of_their_stream_along(db: &Db) {
    let world = World::new("select 1");
    let dump = world.file("dump.sql", &broken());
    for batch in ["1", "2", "1000"] {
        let db = &Db::new(db.engine);
        std::fs::remove_file(world.path("rejects.jsonl")).ok();
        world.import(db, &dump, &["--events", "e", "--batch-size", batch]).expect(3);
        let got = world.rejects();
        let rows: Vec<_> = got.iter().map(|(row, line, _)| (*row, *line)).collect();
        assert_eq!(rows, [(3, 6), (4, 7), (6, 9), (7, 10), (8, 11)], "{got:?}");
        for (i, word) in [(0, "no JSON"), (1, "gap"), (2, "events_event_id_key"), (3, "gap"), (4, "no JSON")] {
            assert!(got[i].2.contains(word), "{word} is not in {}", got[i].2);
        }
        healthy(db);
        assert_eq!(db.admin().one("select string_agg(aggregate_id || aggregate_version, ',' order by global_position) from domain_events.events"), "a1,b1,b2,b3");
        assert_eq!(db.admin().one("select count(*) from e"), "4");
    }
}

fn repaired_versions_close_the_gap(db: &Db) {
    let world = World::new("select 1");
    let dump = world.file("dump.sql", &broken());
    for batch in ["1", "2", "1000"] {
        let db = &Db::new(db.engine);
        std::fs::remove_file(world.path("rejects.jsonl")).ok();
        world.import(db, &dump, &["--events", "e", "--repair-versions", "--batch-size", batch]).expect(3);
        assert_eq!(world.rejects().iter().map(|r| r.0).collect::<Vec<_>>(), [3, 6, 8]);
        healthy(db);
        let versions = "select string_agg(aggregate_id || aggregate_version, ',' order by id) from e";
        assert_eq!(db.admin().one(versions), "a1,b1,a2,b2,c1,b3");
        assert_eq!(db.admin().one("select string_agg(aggregate_id || aggregate_version, ',' order by global_position) from domain_events.events"), "a1,b1,a2,b2,c1,b3");
    }
}
