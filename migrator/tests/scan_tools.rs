//! `scan --from` of what tools make of SQL: lines that divide files, files of other servers, functions and triggers whose texts stand
//! in files of their own.

mod place;
#[path = "place/run.rs"]
mod run;

use place::Place;
use run::scan;

const LAMP: &str = "create table lamp (id int primary key, lit bool);
create table lamp_log (id bigserial primary key, lamp_id int, action text, payload jsonb, at timestamptz default now());
";
const FUNCTION: &str = "create function lamp_log() returns trigger language plpgsql as $$ begin
  insert into lamp_log (lamp_id, action, payload) values (new.id, tg_op, to_jsonb(new)); return new; end $$;
";
const TRIGGER: &str =
    "create trigger lamp_log after insert or update on lamp for each row execute function lamp_log();\n";

#[test]
fn lines_that_divide_a_file_are_no_sql() {
    let place = Place::new("rulers");
    for ruler in ["##########", "=========="] {
        let text = format!("{ruler}\n\n{LAMP}\n{ruler}\n{FUNCTION}{ruler}\n{TRIGGER}\n{ruler}\n");
        let run = scan(&place.file("a.sql", text), &["--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{run:?}");
    }
}

#[test]
fn a_name_that_was_free_before_is_one() {
    let place = Place::new("before");
    let text = format!("create table system_user (system_user_id int primary key);\n{LAMP}{FUNCTION}{TRIGGER}")
        .replace("lamp_id, action", "action, lamp_id")
        .replace("values (new.id, tg_op", "values (tg_op, (select system_user_id from system_user limit 1)");
    for more in [
        "",
        "create function who(u system_user.system_user_id%type) returns int language plpgsql as $$ declare n int; begin
        select system_user_id into n from system_user where system_user_id = u; return n; end $$;",
    ] {
        let run = scan(&place.file("a.sql", format!("{text}{more}")), &["--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{run:?}");
    }
}

#[test]
fn a_file_of_another_server_is_told_once() {
    let place = Place::new("others");
    place.file(
        "1_theirs.sql",
        "CREATE TABLE [dbo].[Lamp] (Id INT IDENTITY(1,1), Name NVARCHAR(20), At DATETIME DEFAULT GETDATE())\nGO\n
         CREATE OR ALTER PROCEDURE Light @id INT AS BEGIN SET NOCOUNT ON; UPDATE Lamp SET Name = 'x' WHERE Id = @id; END\nGO\n",
    );
    place.file("2_ours.sql", format!("{LAMP}{FUNCTION}{TRIGGER}"));
    let run = place.scan(&["--format", "json"]);
    let told = &run.json()["unjudged"];
    assert_eq!((run.code, told.as_array().map(Vec::len)), (Some(3), Some(1)), "{run:?}");
    assert!(told.to_string().contains("SQL Server's"), "{told}");
    let human = place.scan(&[]);
    assert!(format!("{}{}", human.stdout, human.stderr).contains("1 not, of"), "{human:?}");
}

#[test]
fn texts_of_functions_and_triggers_are_run_where_a_migration_names_them() {
    let place = Place::new("fx");
    place.file("db/functions/lamp_log_v01.sql", FUNCTION);
    place.file("db/triggers/lamp_log_v01.sql", TRIGGER);
    let up = "class A < ActiveRecord::Migration[7.0]\n  def change\n    create_table :lamp do |t|\n      t.boolean :lit\n    end
    create_table :lamp_log do |t|\n      t.integer :lamp_id\n      t.string :action\n      t.jsonb :payload\n      t.datetime :at\n    end
    create_function :lamp_log\n    create_trigger :lamp_log, on: :lamp\n  end\nend\n";
    place.file("db/migrate/1_a.rb", up);
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), vec!["EV121".to_owned()]), "{run:?}");
    let down = "class B < ActiveRecord::Migration[7.0]\n  def change
    drop_trigger :lamp_log, on: :lamp, revert_to_version: 1\n    drop_function :lamp_log, revert_to_version: 1
    rename_table :lamp, :bulb\n  end\nend\n";
    place.file("db/migrate/2_b.rb", down);
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(0), Vec::<String>::new()), "{run:?}");
}
