//! T7: triggers within triggers. Event order is row-version order.

use domain_events_tests::{Db, engines};

engines! {
    t7a_a_user_trigger_updates_the_same_row, t7a_names_that_sort_first, t7a_constraint_triggers, t7a_cascades,
    t7a_both_tables_captured, t7b_a_trigger_updates_another_row_of_the_statement, t7b_a_trigger_deletes_another_row_of_the_statement,
    t7_deep_recursion,
}

fn t7a_a_user_trigger_updates_the_same_row(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table ord (id int primary key, s text);
         create function aaa() returns trigger language plpgsql as $$ begin
           if new.s = 'first' then update ord set s = 'second' where id = new.id; end if; return null; end $$;
         create trigger \"AAA_user\" after insert or update on ord for each row execute function aaa();
         select domain_events.enable_capture('ord', 'Ord');
         insert into ord values (1, 'orig'), (2, 'first');
         update ord set s = 'first' where id = 1;",
    );
    assert_eq!(
        s.table("select event_data #>> '{new_values,s}' from domain_events.events where aggregate_id = '1' order by aggregate_version"),
        "orig\nfirst\nsecond"
    );
    db.check_table("Ord", "ord");
}

fn t7a_names_that_sort_first(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table ord (id int primary key, s int);
         create function up() returns trigger language plpgsql as $$ begin
           if new.s < 5 then update ord set s = new.s + 1 where id = new.id; end if; return null; end $$;",
    );
    for name in ["0", "!", " ", "\u{1}", " a", "  domain", "A"] {
        s.run(&format!(
            "create trigger \"{name}\" after update on ord for each row execute function up();
             delete from ord; insert into ord values (1, 10)"
        ));
        if name == "0" {
            s.run("select domain_events.enable_capture('ord', 'Ord')");
        }
        s.run("update ord set s = 1");
        assert_eq!(s.one("select s from ord"), "5");
        println!("trigger {name:?}");
        db.check_table("Ord", "ord");
        s.run(&format!("drop trigger \"{name}\" on ord"));
    }
}

fn t7a_constraint_triggers(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table ord (id int primary key, s int);
         create function up() returns trigger language plpgsql as $$ begin
           if new.s < 5 then update ord set s = new.s + 1 where id = new.id; end if; return null; end $$;
         create constraint trigger a after update on ord deferrable initially immediate for each row execute function up();
         create constraint trigger b after update on ord deferrable initially deferred for each row execute function up();
         select domain_events.enable_capture('ord', 'Ord');
         insert into ord values (1, 10); update ord set s = 1;
         begin; update ord set s = 2; update ord set s = 3; commit;
         begin; set constraints all deferred; update ord set s = 0; update ord set s = 1; commit;",
    );
    db.check_table("Ord", "ord");
}

fn t7a_cascades(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table parents (id int primary key, n int);
         create table children (id int primary key, parent int references parents on delete cascade on update cascade, n int);
         create table nulls (id int primary key, parent int references parents on delete set null on update cascade);
         select domain_events.enable_capture('parents');
         select domain_events.enable_capture('children', 'Child');
         select domain_events.enable_capture('nulls', 'Nul');
         insert into parents values (1, 1), (2, 1), (3, 1);
         insert into children select i, i % 3 + 1, 0 from generate_series(1, 9) i;
         insert into nulls select i, i % 3 + 1 from generate_series(1, 9) i;
         update parents set id = id + 10;
         delete from parents where id = 11;
         update children set n = 1, parent = 12;
         delete from parents;",
    );
    assert_eq!(s.one("select count(*) from children"), "0");
    for (aggregate_type, table) in [("Parent", "parents"), ("Child", "children"), ("Nul", "nulls")] {
        db.check_table(aggregate_type, table);
    }
}

fn t7a_both_tables_captured(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table orders (id int primary key, total int);
         create table lines (id int primary key, order_id int, amount int);
         create function sum_up() returns trigger language plpgsql as $$ begin
           update orders set total = (select sum(amount) from lines where order_id = new.order_id) where id = new.order_id;
           return null; end $$;
         create trigger \" 0\" after insert or update on lines for each row execute function sum_up();
         select domain_events.enable_capture('orders');
         select domain_events.enable_capture('lines');
         insert into orders values (1, 0);
         insert into lines select i, 1, i from generate_series(1, 5) i;
         update lines set amount = amount * 2;",
    );
    db.check_table("Order", "orders");
    db.check_table("Line", "lines");
}

fn t7b_a_trigger_updates_another_row_of_the_statement(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text);
         create function other() returns trigger language plpgsql as $$ begin
           if new.id = 1 and new.s = 'go' then update t set s = 'touched' where id = 2; end if; return null; end $$;
         create trigger zz after update on t for each row execute function other();
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 'a'), (2, 'b'), (3, 'c');
         update t set s = 'go';",
    );
    assert_eq!(s.one("select s from t where id = 2"), "touched");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_id = '2'"), "3");
    db.check_table("T", "t");
    // The next plain change is folded right as well.
    s.run("update t set s = 'plain'");
    db.check_table("T", "t");
}

fn t7b_a_trigger_deletes_another_row_of_the_statement(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text);
         create function other() returns trigger language plpgsql as $$ begin
           if new.id = 1 and new.s = 'go' then delete from t where id = 2; update t set s = 'x', id = 30 where id = 3; end if; return null; end $$;
         create trigger zz after update on t for each row execute function other();
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 'a'), (2, 'b'), (3, 'c');
         update t set s = 'go';",
    );
    assert_eq!(s.table("select id, s from t order by 1"), "1|go\n30|x");
    db.check_table("T", "t");
    s.run("insert into t values (2, 'again')");
    db.check_table("T", "t");
}

fn t7_deep_recursion(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, n int);
         create function down() returns trigger language plpgsql as $$ begin
           if new.n > 0 then update t set n = new.n - 1 where id = new.id; end if; return null; end $$;
         create trigger zz after update on t for each row execute function down();
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 0);
         update t set n = 60;",
    );
    assert_eq!(
        s.one("select string_agg(event_data #>> '{new_values,n}', ',' order by aggregate_version) from domain_events.events where aggregate_version > 1"),
        (0..=60).rev().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    db.check_table("T", "t");
}
