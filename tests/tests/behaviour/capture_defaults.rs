//! What enable_capture derives when it is told nothing but the table.

use domain_events_tests::{Db, Session, engines};

engines! {
    type_names_are_singular_camel_case, a_type_in_use_is_refused, the_first_row_makes_three_events, dotted_names,
    event_types_map_operations_and_columns, bad_event_types_are_refused, payload_full, include_and_exclude, redact,
    a_no_op_update_writes_nothing, the_context_goes_with_the_event, captures_lists_what_is_captured,
    wide_tables_are_captured, quoted_names_are_captured,
}

/// Events of one stream type: id, version, type, data.
fn events(s: &mut Session, aggregate_type: &str) -> String {
    s.table(&format!(
        "select aggregate_id, aggregate_version, event_type, event_data from domain_events.events
          where aggregate_type = '{aggregate_type}' order by global_position"
    ))
}

fn type_names_are_singular_camel_case(db: &Db) {
    let mut s = db.owner();
    for (table, name) in [
        ("users", "User"),
        ("\"user\"", "User2"), // User is taken by users: given explicitly below
        ("order_items", "OrderItem"),
        ("categories", "Category"),
        ("addresses", "Address"),
        ("boxes", "Box"),
        ("quizzes", "Quizz"),
        ("batches", "Batch"),
        ("dishes", "Dish"),
        ("compass", "Compass"),
        ("census", "Census"),
        ("analysis", "Analysis"),
        ("sales_orders", "SalesOrder"),
        ("people", "People"),
        ("news_items_2024", "NewsItems2024"),
        ("\"WeirdTables\"", "WeirdTable"),
        ("houses", "Hous"),
        ("a", "A"),
    ] {
        s.run(&format!("create table {table} (id int primary key)"));
        if name == "User2" {
            assert!(s.error("select domain_events.enable_capture('\"user\"')").hint.contains("aggregate_type"));
            s.run("select domain_events.enable_capture('\"user\"', aggregate_type => 'User2')");
        } else {
            s.run(&format!("select domain_events.enable_capture('{table}')"));
        }
        s.run(&format!("insert into {table} values (1)"));
        let got = s.one(
            "select aggregate_type || ' ' || event_type from domain_events.events order by global_position desc limit 1",
        );
        assert_eq!(got, format!("{name} {name}Created"), "type of table {table}");
    }
}

fn a_type_in_use_is_refused(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create schema other; create table users (id int primary key); create table other.users (id int primary key)",
    );
    s.run("select domain_events.enable_capture('users')");
    let failure = s.error("select domain_events.enable_capture('other.users')");
    assert!(failure.hint.contains("aggregate_type"), "{failure}");
    s.run("select domain_events.enable_capture('other.users', 'OtherUser')");
    s.run("insert into users values (1); insert into other.users values (1)");
    db.check_table("User", "users");
    db.check_table("OtherUser", "other.users");
}

fn the_first_row_makes_three_events(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, age int);
         select domain_events.enable_capture('users');
         insert into users values (1, 'ann', 30);
         update users set name = 'bob';
         delete from users;",
    );
    assert_eq!(
        events(&mut s, "User"),
        "1|1|UserCreated|{\"new_values\": {\"id\": 1, \"age\": 30, \"name\": \"ann\"}}\n\
         1|2|UserUpdated|{\"new_values\": {\"name\": \"bob\"}, \"old_values\": {\"name\": \"ann\"}}\n\
         1|3|UserDeleted|{\"old_values\": {\"id\": 1, \"age\": 30, \"name\": \"bob\"}}"
    );
    assert_eq!(
        s.table("select domain_events.fold_stream('User', '1', v) from generate_series(1, 3) v"),
        "{\"id\": 1, \"age\": 30, \"name\": \"ann\"}\n{\"id\": 1, \"age\": 30, \"name\": \"bob\"}\n~"
    );
    db.check_table("User", "users");
}

fn dotted_names(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table order_items (id int primary key, n int);
         select domain_events.enable_capture('order_items', event_name_style => 'dotted');
         insert into order_items values (1, 1); update order_items set n = 2; delete from order_items;",
    );
    let types = s.table("select event_type from domain_events.events order by global_position");
    assert_eq!(types, "order_item.created\norder_item.updated\norder_item.deleted");
    s.error("select domain_events.disable_capture('order_items'); select domain_events.enable_capture('order_items', event_name_style => 'kebab')")
        .expect("22023");
}

fn event_types_map_operations_and_columns(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, email text, name text, active bool);
         select domain_events.enable_capture('users', event_types => '[
           {\"on\": \"insert\", \"type\": \"UserRegistered\"},
           {\"on\": \"update\", \"when_changed\": [\"email\"], \"type\": \"UserEmailChanged\"},
           {\"on\": \"update\", \"when_changed\": [\"name\", \"active\"], \"type\": \"UserProfileChanged\"},
           {\"on\": \"delete\", \"type\": \"UserLeft\"}]');
         insert into users values (1, 'a', 'a', true);
         update users set email = 'b';
         update users set name = 'b';
         update users set active = false, email = 'c';
         update users set email = email, active = true;
         delete from users;",
    );
    assert_eq!(
        s.table("select event_type from domain_events.events order by global_position"),
        "UserRegistered\nUserEmailChanged\nUserProfileChanged\nUserEmailChanged\nUserProfileChanged\nUserLeft"
    );
    db.check_table("User", "users");
}

fn bad_event_types_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key, email text)");
    for (event_types, code) in [
        ("{}", "22023"),
        ("1", "22023"),
        ("[1]", "22023"),
        ("[{\"on\": \"update\"}]", "22023"),
        ("[{\"type\": \"A\"}]", "22023"),
        ("[{\"on\": \"upsert\", \"type\": \"A\"}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"\"}]", "22023"),
        ("[{\"on\": \"update\", \"type\": 1}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"A\", \"when\": 1}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"A\", \"when_changed\": \"email\"}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"A\", \"when_changed\": []}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"A\", \"when_changed\": [1]}]", "22023"),
        ("[{\"on\": \"insert\", \"type\": \"A\", \"when_changed\": [\"email\"]}]", "22023"),
        ("[{\"on\": \"update\", \"type\": \"A\", \"when_changed\": [\"nothing\"]}]", "42703"),
    ] {
        s.error(&format!("select domain_events.enable_capture('users', event_types => '{event_types}')")).expect(code);
    }
    // JSON that is none never reaches the function: the server's own error.
    s.error("select domain_events.enable_capture('users', event_types => '{broken')").expect_code("22P02");
    assert_eq!(s.one("select count(*) from domain_events.captures"), "0");
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid = 'users'::regclass"), "0");
}

fn payload_full(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, age int);
         select domain_events.enable_capture('users', payload => 'full');
         insert into users values (1, 'ann', 30);
         update users set name = 'bob';
         update users set name = name;
         delete from users;",
    );
    assert_eq!(
        events(&mut s, "User"),
        "1|1|UserCreated|{\"new_values\": {\"id\": 1, \"age\": 30, \"name\": \"ann\"}}\n\
         1|2|UserUpdated|{\"new_values\": {\"id\": 1, \"age\": 30, \"name\": \"bob\"}, \"old_values\": {\"id\": 1, \"age\": 30, \"name\": \"ann\"}}\n\
         1|3|UserDeleted|{\"old_values\": {\"id\": 1, \"age\": 30, \"name\": \"bob\"}}"
    );
    db.check_table("User", "users");
}

fn include_and_exclude(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, seen int);
         create table orders (id int primary key, name text, seen int);
         select domain_events.enable_capture('users', include => '{id,name}');
         select domain_events.enable_capture('orders', exclude => '{seen}');
         insert into users values (1, 'a', 1); insert into orders values (1, 'a', 1);
         update users set seen = 2; update orders set seen = 2;
         update users set name = 'b', seen = 3; update orders set name = 'b', seen = 3;",
    );
    for aggregate_type in ["User", "Order"] {
        assert_eq!(
            events(&mut s, aggregate_type),
            format!(
                "1|1|{aggregate_type}Created|{{\"new_values\": {{\"id\": 1, \"name\": \"a\"}}}}\n\
                 1|2|{aggregate_type}Updated|{{\"new_values\": {{\"name\": \"b\"}}, \"old_values\": {{\"name\": \"a\"}}}}"
            )
        );
    }
    // A column added later: captured unless the columns were named by include.
    s.run(
        "alter table users add extra int; alter table orders add extra int;
         update users set extra = 1; update orders set extra = 1;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "2");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'Order'"), "3");
    db.check_fold("User", "select id::text, to_jsonb(t) - 'seen' - 'extra' from users t");
    db.check_fold("Order", "select id::text, to_jsonb(t) - 'seen' from orders t");
}

fn redact(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, ssn text, name text);
         select domain_events.enable_capture('users', redact => '{ssn}');
         insert into users values (1, 'secret-1', 'a');
         update users set ssn = 'secret-2';
         update users set ssn = ssn;
         update users set name = 'b';
         update users set ssn = null;
         delete from users;
         insert into users values (1, 'secret-3', 'c');",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(
        s.table("select event_type, event_data -> 'new_values' -> 'ssn' from domain_events.events order by aggregate_version"),
        "UserCreated|{\"$value\": \"redacted\"}\n\
         UserUpdated|{\"$value\": \"redacted\"}\n\
         UserUpdated|~\n\
         UserUpdated|{\"$value\": \"redacted\"}\n\
         UserDeleted|~\n\
         UserCreated|{\"$value\": \"redacted\"}"
    );
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    let failure =
        s.error("create table t (id int primary key); select domain_events.enable_capture('t', redact => '{id}')");
    failure.expect("22023");
}

fn a_no_op_update_writes_nothing(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, n numeric, j jsonb);
         select domain_events.enable_capture('users');
         insert into users values (1, null, 1.0, '{}');
         update users set name = name, n = n, j = j;
         update users set id = id, name = null;
         update users set name = 'x' where false;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
    db.check_table("User", "users");
}

fn the_context_goes_with_the_event(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');
         begin;
         select domain_events.set_context('ann', 'co', 'ca', '{\"ip\": \"::1\"}');
         update users set name = 'b';
         commit;
         update users set name = 'c';",
    );
    assert_eq!(
        s.table(
            "select caused_by, correlation_id, causation_id, metadata ->> 'ip', schema_version, occurred_at <= recorded_at,
                    transaction_id is not null
               from domain_events.events order by aggregate_version"
        ),
        "app_owner|~|~|~|1|t|t\nann|co|ca|::1|1|t|t\napp_owner|~|~|~|1|t|t"
    );
    db.check_table("User", "users");
}

fn captures_lists_what_is_captured(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, ssn text, seen int);
         select domain_events.enable_capture('users', exclude => '{seen}', redact => '{ssn}');",
    );
    let row = s.json("select to_jsonb(c) from domain_events.captures c");
    let text = row.to_string();
    for word in ["users", "User", "active", "ssn", "seen", "dead_letter", "lazy", "origin"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    s.run("select domain_events.pause_capture('users')");
    assert!(s.one("select c::text from domain_events.captures c").contains("paused"));
    s.run("select domain_events.disable_capture('users')");
    assert_eq!(s.one("select count(*) from domain_events.captures"), "0");
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid = 'users'::regclass and not tgisinternal"), "0");
    s.run("insert into users values (1)");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "0");
}

fn wide_tables_are_captured(db: &Db) {
    // A function call takes at most 100 arguments.
    let columns: Vec<String> = (1..=300).map(|i| format!("c{i} int default {i}")).collect();
    let mut s = db.owner();
    s.run(&format!("create table wides (id int primary key, {})", columns.join(", ")));
    s.run("select domain_events.enable_capture('wides'); insert into wides values (1); update wides set c7 = 0, c250 = null");
    db.check_table("Wide", "wides");
}

fn quoted_names_are_captured(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create schema \"Odd schema\";
         create table \"Odd schema\".\"We ird's \"\"table\"\"\" (\"the id\" int primary key, \"o'clock\" text, \"new\" int, \"$1\" int, \"old\" text);
         select domain_events.enable_capture('\"Odd schema\".\"We ird''s \"\"table\"\"\"', 'Odd');
         insert into \"Odd schema\".\"We ird's \"\"table\"\"\" values (1, 'a', 1, 2, 'o');
         update \"Odd schema\".\"We ird's \"\"table\"\"\" set \"o'clock\" = 'b', \"$1\" = null;",
    );
    db.check_fold("Odd", "select \"the id\"::text, to_jsonb(t) from \"Odd schema\".\"We ird's \"\"table\"\"\" t");
}
