//! A source as PostgreSQL would have it; that nothing in a file stops its reader.

use super::catalogue::{Destination, TranslatedCatalogue};
use super::files::from_texts;

const WORLD: &str = "
create table parent (id int not null primary key);
create table child (id int not null primary key, parent_id int, name varchar(20), n int,
  constraint child_parent foreign key (parent_id) references parent (id) on delete cascade);
create table log (id bigint not null auto_increment primary key, what varchar(50), actor varchar(50));";

fn translated(programs: &str) -> TranslatedCatalogue {
    let script = format!("{WORLD}\ndelimiter $$\n{programs}\ndelimiter ;\n");
    let source = from_texts([("world.sql", script.as_str())]);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    TranslatedCatalogue::new(&source, &Destination::default())
}

fn notes(translated: &TranslatedCatalogue, name: &str) -> String {
    let item = translated.programs.iter().find(|i| i.made.name == name).expect("an item");
    item.made.notes.iter().map(|n| format!("{} {n}\n", n.fidelity.name())).collect()
}

#[test]
fn a_foreign_key_that_now_fires_a_trigger_is_told() {
    let translated = translated(
        "create trigger d after delete on child for each row insert into log (what) values (old.name)$$
         create trigger i after insert on child for each row insert into log (what) values (new.name)$$",
    );
    assert!(notes(&translated, "d").contains("declared FOREIGN KEY child_parent: ON DELETE CASCADE from parent"));
    assert!(!notes(&translated, "i").contains("FOREIGN KEY"));
}

#[test]
fn triggers_fire_in_the_order_they_had() {
    let translated = translated(
        "create trigger z after insert on child for each row insert into log (what) values ('first')$$
         create trigger a after insert on child for each row insert into log (what) values ('third')$$
         create trigger m after insert on child for each row precedes a insert into log (what) values ('second')$$
         create trigger alone after update on child for each row insert into log (what) values ('x')$$",
    );
    let mut names: Vec<(&str, &str)> = translated
        .programs
        .iter()
        .filter_map(|i| i.made.trigger.as_ref().map(|(n, _)| (n.as_str(), i.made.name.as_str())))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [("01_z", "z"), ("02_m", "m"), ("03_a", "a"), ("alone", "alone")]);
}

#[test]
fn a_before_trigger_that_only_writes_elsewhere_fires_after() {
    let translated = translated(
        "create trigger w before update on child for each row insert into log (what) values (new.name)$$
         create trigger c before insert on child for each row set new.name = upper(new.name)$$",
    );
    let sql = |name: &str| {
        translated
            .programs
            .iter()
            .find(|i| i.made.name == name)
            .and_then(|i| i.made.trigger.clone())
            .expect("a trigger")
            .1
    };
    assert!(sql("w").contains("after update"), "{}", sql("w"));
    assert!(notes(&translated, "w").contains("declared BEFORE: it fires AFTER"));
    assert!(sql("c").contains("before insert"), "{}", sql("c"));
    let made = &translated.programs.iter().find(|i| i.made.name == "c").expect("c").made.create;
    assert!(made.contains("new.name := upper(new.name);") && made.contains("return new;"), "{made}");
}

#[test]
fn a_user_variable_that_another_program_reads_is_a_setting() {
    let translated = translated(
        "create trigger u before update on child for each row begin set @who = new.name; set @own = 1; set new.n = @own; end$$
         create trigger v after update on child for each row insert into log (what, actor) values ('v', @who)$$",
    );
    let made = |name: &str| translated.programs.iter().find(|i| i.made.name == name).expect("an item").made.clone();
    assert!(
        made("u").create.contains("perform set_config('app.who', coalesce(new.name, ''), false);"),
        "{}",
        made("u").create
    );
    assert!(made("u").create.contains("user_own bigint; -- @own"), "{}", made("u").create);
    assert!(made("v").create.contains("nullif(current_setting('app.who', true), '')"), "{}", made("v").create);
    assert_eq!(made("v").settings.get("@who").map(String::as_str), Some("app.who"));
}

#[test]
fn new_under_delete_is_flagged_and_not_repaired() {
    // the servers refuse it, files may hold it
    let translated =
        translated("create trigger d after delete on child for each row insert into log (what) values (new.name)$$");
    assert!(notes(&translated, "d").contains("declared NEW under DELETE"));
}

#[test]
fn what_is_not_translated_is_told_and_its_event_is_seen() {
    let translated = translated(
        "create trigger i after insert on child for each row insert into log (what) values (sha1(new.name))$$",
    );
    assert!(
        notes(&translated, "i").contains("refused sha1(new.name)") || notes(&translated, "i").contains("refused SHA1"),
        "{}",
        notes(&translated, "i")
    );
    let item = translated.programs.iter().find(|i| i.made.name == "i").expect("i");
    assert!(item.made.create.contains("insert into public.log"), "{}", item.made.create);
}

const WORDS: &[&str] = &[
    "CREATE",
    "OR REPLACE",
    "TRIGGER",
    "FUNCTION",
    "PROCEDURE",
    "EVENT",
    "TABLE",
    "VIEW",
    "DROP",
    "RENAME",
    "ALTER",
    "IF EXISTS",
    "IF NOT EXISTS",
    "t",
    "`q`",
    "db",
    ".",
    ",",
    "(",
    ")",
    "TO",
    "LIKE",
    "RENAME TO",
    "ON",
    "AFTER",
    "BEFORE",
    "INSERT",
    "UPDATE",
    "FOR EACH ROW",
    "BEGIN",
    "END",
    "SET @a = 1",
    "RETURNS INT",
    "RETURN f(1)",
    "DO",
    "ON SCHEDULE",
    ";",
    ";;",
    "$$",
    "\n",
    "\nDELIMITER $$\n",
    "\nDELIMITER ;\n",
    "/*!50003",
    "*/",
    "/*",
    "-- x\n",
    "'",
    "\"",
    "`",
    "USE a;",
    "SET sql_mode='ANSI_QUOTES';",
    "a INT",
    "PRIMARY KEY (a)",
    "<?php",
    "DB::statement('",
    "');",
    "$this->execute(\"",
    "\");",
    "{",
    "}",
    "$x",
    "public function up()",
    "class A",
    "<<<SQL\n",
    "\nSQL",
    "é",
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_file_stops_it(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
        let text = words.join(" ");
        from_texts([("a.sql", text.as_str())]);
        from_texts([("a.php", format!("<?php {text}").as_str()), ("b.sql", &text)]);
    }
}

#[test]
fn what_a_procedure_prepares_is_judged() {
    let found = |body: &str| {
        let translated = translated(&format!(
            "create table ev (id bigint not null auto_increment primary key, aggregate_type varchar(50) not null, aggregate_id varchar(50) not null,
               aggregate_version int not null, event_type varchar(50) not null, event_data json, created_at timestamp default current_timestamp,
               unique key u (aggregate_type, aggregate_id, aggregate_version))$$
             create procedure p(i int) begin {body} end$$"
        ));
        let report = crate::judge::judge(&translated.catalogue);
        report.judged.iter().map(|j| j.finding.code.clone()).collect::<Vec<_>>()
    };
    let insert =
        "insert into ev (aggregate_type, aggregate_id, aggregate_version, event_type) values ('U', '1', 1, 'x')";
    assert_eq!(found(&format!("{insert};")), ["EV101"]);
    assert_eq!(found(&format!("prepare q from \"{insert}\"; execute q;")), ["EV101"]);
    assert_eq!(found(&format!("execute immediate concat(\"{insert}\", i);")), ["EV201"]);
}
