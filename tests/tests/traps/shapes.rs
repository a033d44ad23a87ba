//! Tables of odd shapes, and capture functions on triggers that nobody was meant to make.

use domain_events_tests::{Db, engines};

engines! {
    tables_without_columns_stay_writable, generated_columns_alone_make_a_row, triggers_made_by_hand_lose_no_write_and_tell_nothing_twice,
    triggers_that_no_capture_can_serve_are_refused, the_function_of_another_capture_tells_nothing,
}

fn letters(db: &Db) -> String {
    db.admin().table(
        "select operation, error_code, event_data, count(*) from domain_events.capture_failures group by 1, 2, 3 order by 1, 2, 3",
    )
}

fn tables_without_columns_stay_writable(db: &Db) {
    let mut s = db.owner();
    s.run("create table bare (id int primary key); select domain_events.enable_capture('bare'); alter table bare drop column id");
    s.run("insert into bare default values; insert into bare default values; delete from bare; truncate bare");
    assert_eq!(
        letters(db),
        "DELETE|22004|{\"old_values\": {}}|2\nINSERT|22004|{\"new_values\": {}}|2",
        "a row without an identity"
    );
    s.run("alter table bare add z int; insert into bare values (1); update bare set z = 2; alter table bare drop column z");
    s.run("insert into bare default values; delete from bare");
    assert_eq!(s.one("select count(*) from bare"), "0");
    // With a key again, it is a table like others.
    s.run("drop table bare");
    s.run(
        "create table kept (a int, id int primary key, b int, c int);
         select domain_events.enable_capture('kept', include => '{b}');
         alter table kept drop column b; insert into kept values (1, 1, 1); update kept set a = 2; delete from kept;
         insert into kept values (3, 3, 3)",
    );
    db.check_versions();
    assert_eq!(
        s.table("select event_type from domain_events.events where aggregate_type = 'Kept' order by global_position"),
        "KeptCreated\nKeptDeleted\nKeptCreated"
    );
}

fn generated_columns_alone_make_a_row(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table g (id int generated always as identity primary key, d int generated always as (id * 2) stored);
         select domain_events.enable_capture('g');
         insert into g default values; insert into g default values; update g set id = default where id = 1; delete from g where id = 2;",
    );
    db.check_table("G", "g");
    s.run("create table dropped (a int, b int, c int)");
    s.run("alter table dropped drop a, add id int primary key, drop b, add e text");
    s.run("select domain_events.enable_capture('dropped')");
    s.run("insert into dropped values (1, 2, 'x'); alter table dropped drop c; update dropped set e = 'y'; insert into dropped values (3, 'z')");
    db.check_table("Dropped", "dropped");
}

fn function(db: &Db, table: &str) -> String {
    db.admin().one(&format!(
        "select 'domain_events.capture_' || capture_id || '()' from domain_events.capture_config where relation = '{table}'::regclass"
    ))
}

const WRITES: &str = "insert into public.k values (1, 'a'), (2, 'b'), (3, 'c'); update public.k set v = v || 'x'; update public.k set id = 12 where id = 2;
    delete from public.k where id = 3; insert into public.k values (3, 'again')";

fn triggers_made_by_hand_lose_no_write_and_tell_nothing_twice(db: &Db) {
    for (number, table) in [
        "create table public.k (id int primary key, v text)",
        "create table public.k (id int primary key, v text) partition by range (id); create table k1 partition of k for values from (0) to (10);
         create table k2 partition of k for values from (10) to (20)",
    ]
    .iter()
    .enumerate()
    {
        let mut s = db.owner();
        s.run(table);
        s.run(&format!("select domain_events.enable_capture('k', aggregate_type => 'K{number}')"));
        let function = function(db, "public.k");
        for trigger in [
            format!("create trigger own after insert or update or delete on k for each row execute function {function}"),
            format!("create trigger \" \" after insert or update or delete on k for each row execute function {function}"),
            format!("create trigger own after update on k for each row when (new.v <> 'a') execute function {function}"),
            format!("create constraint trigger own after insert or update or delete on k deferrable initially deferred for each row execute function {function}"),
            format!("create trigger own before insert or delete on k for each row execute function {function}"),
            format!("create trigger own before update on k for each row execute function {function}"),
            format!("create trigger own before insert or update or delete or truncate on k for each statement execute function {function}"),
            format!("create trigger own after truncate on k for each statement execute function {function}"),
        ] {
            db.admin().run(&trigger);
            let written = s.one("select count(*) from domain_events.events");
            s.run(WRITES);
            assert_eq!(s.table("select id, v from k order by id"), "1|ax\n3|again\n12|bx", "{trigger}");
            let told = s.number(&format!("select count(*) - {written} from domain_events.events"));
            // A row that moves to another partition past a trigger of a user may be told as its end and its beginning.
            assert_eq!(told, 10, "{trigger}");
            db.check_table(&format!("K{number}"), "k");
            s.run("truncate k");
            db.check_table(&format!("K{number}"), "k");
            db.admin().run(if trigger.contains("\" \"") { "drop trigger \" \" on k" } else { "drop trigger own on k" });
        }
        s.run("drop table k");
    }
}

fn triggers_that_no_capture_can_serve_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run("create table k (id int primary key, v text); select domain_events.enable_capture('k'); create table o (id int primary key, v text);
           create view w as select * from o");
    let function = function(db, "public.k");
    for (trigger, write) in [
        ("after insert on o for each statement", "insert into o values (1, 'a')"),
        ("after insert or update or delete on k for each statement", "insert into k values (1, 'a')"),
        ("after insert on k referencing new table as fresh for each statement", "insert into k values (1, 'a')"),
        ("instead of insert on w for each row", "insert into w values (1, 'a')"),
    ] {
        db.admin().run(&format!("create trigger own {trigger} execute function {function}"));
        s.error(write).expect("39P01");
        let table = if trigger.contains(" w ") {
            "w"
        } else if trigger.contains(" k ") {
            "k"
        } else {
            "o"
        };
        db.admin().run(&format!("drop trigger own on {table}"));
    }
    s.run("insert into k values (1, 'a'); insert into o values (1, 'a')");
    db.check_table("K", "k");
}

fn the_function_of_another_capture_tells_nothing(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table k (id int primary key, v text); select domain_events.enable_capture('k');
           create table other (id int primary key, v text, w int); select domain_events.enable_capture('other');
           create table free (id int primary key, v text)",
    );
    let function = function(db, "public.k");
    for table in ["other", "free"] {
        db.admin().run(&format!(
            "create trigger own after insert or update or delete on {table} for each row execute function {function}"
        ));
        s.run(&format!("insert into {table} values (1, 'a'); update {table} set v = 'b'; update {table} set id = 2; delete from {table} where id = 2; insert into {table} values (2, 'c')"));
    }
    assert_eq!(s.table("select aggregate_type, count(*) from domain_events.events group by 1"), "Other|6");
    db.check_table("Other", "other");
    assert_eq!(letters(db), "");
}
