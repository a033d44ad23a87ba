//! Generated columns of every kind come over, with their values where the source has them.

use domain_events_tests::{Db, engines};

use crate::World;

engines! { generated_columns_of_a_server_and_of_its_dump_keep_their_values, a_dump_without_their_values_is_imported_too }

const LINE: &str = "create table line (id int not null auto_increment primary key, qty int not null, price int not null, \
    total int generated always as (qty * price) stored, twice int generated always as (total * 2) virtual, \
    many int generated always as (qty > 1) virtual, label varchar(40) generated always as (concat('n', qty)) stored, \
    day date generated always as (cast(updated_at as date)) virtual, \
    updated_at timestamp not null default current_timestamp on update current_timestamp, key (total))";

fn expect_values(db: &Db, own: &[&str]) {
    let generated = db.admin().table(
        "select attname from pg_attribute where attrelid = 'public.line'::regclass and attgenerated <> '' order by 1",
    );
    let generated: Vec<&str> = generated.lines().collect();
    assert!(own.iter().all(|c| generated.contains(c)), "{generated:?}");
}

fn generated_columns_of_a_server_and_of_its_dump_keep_their_values(db: &Db) {
    let world = World::new(&format!(
        "{LINE}; insert into line (qty, price, updated_at) values (2, 3, '2024-01-01'), (1, 5, '2024-02-03')"
    ));
    for from in [world.legacy.url(), world.dump(&[])] {
        let db = &Db::new(db.engine);
        let run = world.import(db, &from, &["--tables", "line"]).expect(0);
        assert!(run.stdout.contains("generated"), "{run:?}");
        expect_values(db, &["total"]);
        let rows = db.admin().table("select id, total, twice, label, day from public.line order by id");
        assert_eq!(rows.trim(), "1 6 12 n2 2024-01-01\n2 5 10 n1 2024-02-03".replace(' ', "|"), "{from} {rows}");
        // ON UPDATE CURRENT_TIMESTAMP beside a generated column
        db.admin().run("update public.line set qty = 3 where id = 1");
        let rows = db.admin().table("select total, updated_at > '2024-06-01' from public.line where id = 1");
        assert_eq!(rows.trim().replace('|', " "), "9 t");
        let again = world.import(db, &from, &["--tables", "line"]).expect(0);
        assert!(again.stdout.contains("imported already"), "{again:?}");
    }
}

fn a_dump_without_their_values_is_imported_too(db: &Db) {
    let world = World::new("select 1");
    let dump = world.file(
        "mysqldump.sql",
        b"-- MySQL dump 10.13\nCREATE TABLE `line` (`id` int NOT NULL AUTO_INCREMENT, `qty` int NOT NULL, `price` int NOT NULL, \
          `total` int GENERATED ALWAYS AS (`qty` * `price`) STORED, `label` varchar(9) GENERATED ALWAYS AS (concat(`qty`,'x')) VIRTUAL NOT NULL, \
          `updated_at` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (`id`)) ENGINE=InnoDB;\n\
          INSERT INTO `line` (`id`,`qty`,`price`,`updated_at`) VALUES (1,2,3,'2024-01-01 00:00:00');\n",
    );
    let run = world.import(db, &dump, &["--tables", "line"]).expect(0);
    assert!(run.stdout.contains("label: is generated"), "{run:?}");
    let rows = db.admin().table("select total, label is null from public.line");
    assert_eq!(rows.trim().replace('|', " "), "6 t");
}
