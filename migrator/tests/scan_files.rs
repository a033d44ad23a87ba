//! `scan --from` as people meet it: files in any state, what was not judged, and many findings told well.

use std::fs;

mod place;
#[path = "place/run.rs"]
mod run;

use place::Place;
use run::scan;

const LAMP: &str = "create table lamp (id int primary key, lit bool);
create table lamp_events (lamp_id int, version int, event_type text, payload jsonb, at timestamptz default now(), unique (lamp_id, version));
create function lamp_changed() returns trigger language plpgsql as $$ begin
  insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$;
create trigger lamp_changed after update on lamp for each row execute function lamp_changed();
";

#[test]
fn the_last_line_counts_what_was_judged_and_what_was_not() {
    let place = Place::new("count");
    place.file("a.sql", "create table t (id int);\ninsert into t values (1);\n");
    let clean = place.scan(&[]);
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert_eq!(clean.stdout, "No trigger or function writes events.\n2 statements judged, 0 not, of 2\n");
    place.file(
        "b.sql",
        "create tabel u (id int);\ncreate trigger x after update on t for each row execute function gone();\n",
    );
    let run = place.scan(&[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(!run.stdout.contains("No trigger or function"), "{run:?}");
    assert_eq!(run.stdout.lines().last(), Some("2 statements judged, 2 not, of 4"));
    let json = place.scan(&["--format", "json"]);
    assert_eq!(json.code, Some(3));
    let mut codes: Vec<String> =
        json.json()["unjudged"].as_array().expect("a list").iter().map(|u| u["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, ["\"EV204\"", "\"EV208\""]);
    assert_eq!(json.json()["statements"]["unjudged"], 2);
    assert_eq!(json.stderr.lines().last(), Some("2 statements judged, 2 not, of 4"));
}

#[test]
fn files_that_cannot_be_read_are_told_by_name_and_the_rest_is_judged() {
    for dialect in ["postgres", "mysql"] {
        let place = Place::new(dialect);
        let nothing = place.scan(&["--dialect", dialect]);
        assert_eq!(nothing.code, Some(1), "{nothing:?}");
        assert!(nothing.stderr.contains("holds no file"), "{nothing:?}");
        place.file("1_good.sql", "create table t (id int);\n");
        // by itself an empty file is a dump that failed; among others it is one that does nothing
        let empty = place.file("2_empty.sql", "\n");
        let run = scan(&empty, &["--dialect", dialect]);
        assert!(run.code == Some(3) && run.stdout.contains("2_empty.sql"), "{run:?}");
        let run = place.scan(&["--dialect", dialect]);
        assert!(run.code == Some(0) && run.stderr.contains("left out, as empty: 1 (2_empty.sql)"), "{run:?}");
        fs::remove_file(empty).expect("removed");
        for (name, bytes) in
            [("3_archive.sql", &b"PGDMP\x01\x0e\x00\x04\x08\x00"[..]), ("4_packed.sql", b"\x1f\x8b\x08\x00\x00\x00")]
        {
            let file = place.file(name, bytes);
            for run in [scan(&file, &["--dialect", dialect]), place.scan(&["--dialect", dialect])] {
                assert_eq!(run.code, Some(3), "{run:?}");
                assert!(run.stdout.contains(name), "{run:?}");
            }
            fs::remove_file(file).expect("removed");
        }
        std::os::unix::fs::symlink("nowhere.sql", place.0.join("5_link.sql")).expect("a link");
        let run = place.scan(&["--dialect", dialect]);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stdout.contains("5_link.sql"), "{run:?}");
        assert!(scan(&place.0.join("5_link.sql"), &["--dialect", dialect]).code == Some(1));
    }
}

#[test]
fn files_that_read_others_come_once_and_in_their_order() {
    let place = Place::new("include");
    let parts: Vec<&str> = LAMP.split_inclusive(";\n").collect();
    place.file("install.sql", "\\set ON_ERROR_STOP on\n\\ir parts/b_tables.sql;\n\\i parts/a_rest.sql\n");
    place.file("parts/b_tables.sql", parts[..2].concat());
    place.file("parts/a_rest.sql", parts[2..].concat());
    for run in [place.scan(&["--format", "json"]), scan(&place.0.join("install.sql"), &["--format", "json"])] {
        assert_eq!(run.codes(), ["EV101"], "{run:?}");
        assert_eq!(run.json()["statements"]["of"], 4, "{run:?}");
    }
    let missing = place.file("other.sql", "\\ir not/there.sql\n");
    let run = scan(&missing, &[]);
    assert!(run.code == Some(3) && run.stdout.contains("not/there.sql"), "{run:?}");
}

#[test]
fn texts_in_other_encodings_are_read() {
    let place = Place::new("encodings");
    // a comment and a string in GBK, whose last byte looks like a backslash, and in Latin 1
    let gbk =
        [b"create table t (id int); comment on table t is '\xd6\xd0\xce\xc4\x81\x5c';\n", LAMP.as_bytes()].concat();
    let latin = [b"-- caf\xe9\ncomment on table t is 'na\xefve';\n", LAMP.as_bytes()].concat();
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(LAMP.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (name, bytes) in [("gbk.sql", gbk), ("latin.sql", latin), ("wide.sql", wide)] {
        let run = scan(&place.file(name, bytes), &["--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{name}: {run:?}");
    }
    let mysql = "CREATE TABLE `lamp` (`id` int, `n` varchar(9) COMMENT '{}', PRIMARY KEY (`id`)) ENGINE=InnoDB;
CREATE TABLE `lamp_log` (`lamp_id` int, `version` int, `action` varchar(9) COMMENT '{}', `at` datetime, UNIQUE KEY k (`lamp_id`, `version`));
CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW INSERT INTO lamp_log (lamp_id, version, action, at) VALUES (NEW.id, 1, 'x', NOW());\n";
    for said in [&b"\xb5\xc6\x81\x5c"[..], b"l\xe1mpara"] {
        let mut bytes = vec![];
        for (n, part) in mysql.split("{}").enumerate() {
            bytes.extend_from_slice(if n > 0 { said } else { b"" });
            bytes.extend_from_slice(part.as_bytes());
        }
        let run = scan(&place.file("mysql.sql", bytes), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{run:?}");
    }
}

#[test]
fn php_is_php_whatever_its_file_is_called() {
    let place = Place::new("php");
    let php = "<?php\nreturn new class { public function up() { DB::unprepared(\"\n  CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW INSERT INTO lamp_events (lamp_id, version) VALUES (NEW.id, 1)\n\"); } };\n";
    let file = place.file("migration.sql", php);
    assert_eq!(scan(&file, &["--dialect", "mysql", "--format", "json"]).codes(), ["EV101"]);
    let run = scan(&file, &["--dialect", "postgres"]);
    assert!(run.code == Some(3) && run.stdout.contains("a program of MySQL's"), "{run:?}");
}

#[test]
fn statements_of_mysql_end_where_their_tools_end_them() {
    let place = Place::new("delimiters");
    let table = "CREATE TABLE lamp (id int PRIMARY KEY, revision int NOT NULL)";
    let log = "CREATE TABLE lamp_history (lamp_id int NOT NULL, revision int NOT NULL, at datetime, UNIQUE KEY k (lamp_id, revision))";
    let trigger = "CREATE TRIGGER lamp_au BEFORE UPDATE ON lamp FOR EACH ROW BEGIN\n  IF NEW.revision <> OLD.revision THEN\n    INSERT INTO lamp_history (lamp_id, revision, at) VALUES (OLD.id, OLD.revision, NOW());\n  END IF;\nEND";
    for (head, end) in [
        ("/* DELIMITER GO */\n", "\nGO\n"),
        ("", "\nGO\n"),
        ("", "\ngo\n\n"),
        ("", "\n/\n"),
        ("--liquibase formatted sql\n--changeset me:1 endDelimiter:@@\n", "@@\n"),
        ("--liquibase formatted sql\n--changeset me:1 splitStatements:true endDelimiter:/\n", "\n/\n"),
        ("-- DELIMITER $$\n", "$$\n"),
        ("DELIMITER //\n", "//\n"),
    ] {
        let text = format!("{head}{table}{end}{log}{end}{trigger}{end}");
        let run = scan(&place.file("a.sql", &text), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV104"], "{text}\n{run:?}");
    }
}

#[test]
fn mysql_without_its_tables_is_judged_by_itself() {
    let place = Place::new("mysql");
    let insert = "INSERT INTO {t} (lamp_id, version, event_type, payload) VALUES (NEW.id, 1, 'LampChanged', JSON_OBJECT('lit', NEW.lit))";
    let trigger = |table: &str| {
        format!("CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW {};\n", insert.replace("{t}", table))
    };
    let lamp = "CREATE TABLE lamp (id int PRIMARY KEY, lit bool);\n";
    for text in [
        trigger("lamp_events"),
        format!("{lamp}{}", trigger("lamp_events")),
        format!("{lamp}{}", trigger("logs.lamp_events")),
    ] {
        let run = scan(&place.file("a.sql", &text), &["--dialect", "mysql", "--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{text}\n{run:?}");
        let finding = &run.json()["findings"][0];
        assert_eq!(
            (finding["trigger"].as_str(), finding["strategy"].as_str()),
            (Some("lamp_au"), Some("manual")),
            "{finding}"
        );
        assert!(finding["reasons"].to_string().contains("assumed: "), "{finding}");
    }
    // a procedure that is not there may write anything
    let call = format!("{lamp}CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW CALL note_lamp(NEW.id);\n");
    let run = scan(&place.file("a.sql", &call), &["--dialect", "mysql", "--format", "json"]);
    assert_eq!((run.code, run.codes()), (Some(3), vec!["EV208".to_owned()]), "{run:?}");
}

#[test]
fn many_findings_of_one_kind_are_said_once() {
    let place = Place::new("many");
    for n in 0..40 {
        place.file(&format!("{n}.sql"), format!("create table t{n} (id int,, b int);\n"));
    }
    let run = place.scan(&[]);
    assert_eq!(run.code, Some(3));
    assert!(run.stdout.lines().count() < 15, "{}", run.stdout);
    assert!(run.stdout.contains("EV204 in 40 places"), "{}", run.stdout);
    assert_eq!(run.stdout.lines().last(), Some("0 statements judged, 40 not, of 40"));
    assert!(run.stderr.contains("--verbose"), "{run:?}");
    let all = place.scan(&["--verbose"]);
    for n in 0..40 {
        assert!(all.stdout.contains(&format!("/{n}.sql:1")), "{n}: {}", all.stdout);
    }
    assert_eq!(place.scan(&["--format", "json"]).codes().len(), 40);
}

#[test]
fn a_person_answers_what_nobody_else_can() {
    let place = Place::new("treat");
    let file = place.file(
        "a.sql",
        "create table lamp (id int primary key);
         create table lamp_repair_log (id serial primary key, lamp_id int not null, repair_no int not null, at timestamptz default now(), unique (lamp_id, repair_no));
         create function f() returns trigger language plpgsql as $$ begin insert into lamp_repair_log (lamp_id, repair_no) values (new.id, 1); return new; end $$;
         create trigger t after insert on lamp for each row execute function f();\n",
    );
    let with = |more: &[&str]| scan(&file, &[&["--format", "json"], more].concat());
    assert_eq!(with(&[]).codes(), ["EV109"]);
    assert_eq!(with(&["--treat", "lamp_repair_log=events"]).codes(), ["EV101"]);
    let entity = with(&["--treat", "public.lamp_repair_log=entity"]);
    assert_eq!((entity.codes(), entity.code), (vec!["EV100".to_owned()], Some(0)));
    for wrong in ["lamps=events", "lamp_repair_log", "lamp_repair_log=things"] {
        assert_eq!(with(&["--treat", wrong]).code, Some(2), "{wrong}");
    }
}

/// A table of events, and a trigger that numbers with a constant, for each language: tables made by its code, SQL beside it.
const LANGUAGES: [(&str, &str); 6] = [
    (
        "db/migrate/20240101_make.rb",
        r#"class Make < ActiveRecord::Migration[7.0]
  def up
    create_table(:lamp) { |t| t.boolean :lit }
    create_table :lamp_events do |t|
      t.references :lamp, null: false
      t.integer :version, null: false
      t.string :event_type
      t.jsonb :payload
      t.datetime :at
      t.index [:lamp_id, :version], unique: true
    end
    execute <<~SQL
      create function lamp_changed() returns trigger language plpgsql as $$ begin
        insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$;
      create trigger lamp_changed after update on lamp for each row execute function lamp_changed();
    SQL
  end

  def down
    execute "drop trigger lamp_changed on lamp"
  end
end
"#,
    ),
    (
        "lamp/migrations/0001_make.py",
        r#"from django.db import migrations, models
FUNCTION = """create function lamp_changed() returns trigger language plpgsql as $$ begin
  insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$"""
class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(name="Lamp", fields=[("id", models.AutoField(primary_key=True)), ("lit", models.BooleanField())], options={"db_table": "lamp"}),
        migrations.CreateModel(
            name="Event",
            fields=[("id", models.AutoField(primary_key=True)), ("lamp", models.ForeignKey("Lamp", models.CASCADE)), ("version", models.IntegerField()),
                    ("event_type", models.TextField()), ("payload", models.JSONField()), ("at", models.DateTimeField(null=True))],
            options={"db_table": "lamp_events", "unique_together": {("lamp", "version")}},
        ),
        migrations.RunSQL([FUNCTION, "create trigger lamp_changed after update on lamp for each row execute function lamp_changed()"],
                          reverse_sql="drop trigger lamp_changed on lamp"),
    ]
"#,
    ),
    (
        "versions/1a_make.py",
        r#"def upgrade():
    op.create_table("lamp", sa.Column("id", sa.Integer, primary_key=True), sa.Column("lit", sa.Boolean))
    op.create_table("lamp_events", sa.Column("lamp_id", sa.Integer, nullable=False), sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event_type", sa.Text), sa.Column("payload", JSONB), sa.Column("at", sa.DateTime(timezone=True)), sa.UniqueConstraint("lamp_id", "version"))
    op.execute("""create function lamp_changed() returns trigger language plpgsql as $$ begin
      insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$""")
    for table in ["lamp"]:
        op.execute(f"create trigger {table}_changed after update on {table} for each row execute function lamp_changed()")
"#,
    ),
    (
        "migrations/1_make.js",
        r#"exports.up = async (knex) => {
  await knex.schema.createTable('lamp', (t) => { t.increments(); t.boolean('lit'); });
  await knex.schema.createTable('lamp_events', (t) => {
    t.integer('lamp_id').notNullable(); t.integer('version').notNullable(); t.text('event_type'); t.jsonb('payload'); t.timestamp('at');
    t.unique(['lamp_id', 'version']);
  });
  await knex.raw(`create function lamp_changed() returns trigger language plpgsql as $$ begin
    insert into ${schema}.lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$`);
  await knex.raw(`create trigger lamp_changed after update on lamp for each row execute function lamp_changed()`);
};
exports.down = (knex) => knex.raw('drop trigger lamp_changed on lamp');
"#,
    ),
    (
        "src/1-make.ts",
        r#"export class Make1 implements MigrationInterface {
  public async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.createTable(new Table({ name: 'lamp', columns: [{ name: 'id', type: 'int', isPrimary: true }, { name: 'lit', type: 'boolean' }] }));
    await queryRunner.createTable(new Table({ name: 'lamp_events', columns: [
      { name: 'lamp_id', type: 'int' }, { name: 'version', type: 'int' }, { name: 'event_type', type: 'text' },
      { name: 'payload', type: 'jsonb' }, { name: 'at', type: 'timestamptz', isNullable: true } ], uniques: [{ columnNames: ['lamp_id', 'version'] }] }));
    await queryRunner.query(`create function lamp_changed() returns trigger language plpgsql as $$ begin
      insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$`);
    await queryRunner.query('create trigger lamp_changed after update on lamp for each row execute function lamp_changed()');
  }
  public async down(queryRunner: QueryRunner): Promise<void> { await queryRunner.query('drop trigger lamp_changed on lamp'); }
}
"#,
    ),
    (
        "database/migrations/1_make.php",
        r#"<?php
return new class extends Migration {
  public function up() {
    Schema::create('lamp', function (Blueprint $t) { $t->id(); $t->boolean('lit'); });
    Schema::create('lamp_events', function (Blueprint $t) {
      $t->foreignId('lamp_id'); $t->integer('version'); $t->text('event_type'); $t->json('payload'); $t->timestamps(); $t->unique(['lamp_id', 'version']);
    });
    DB::unprepared('create function lamp_changed() returns trigger language plpgsql as $$ begin
      insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, \'LampChanged\', to_jsonb(new)); return new; end $$;
      create trigger lamp_changed after update on lamp for each row execute function lamp_changed()');
  }
  public function down() { DB::unprepared('drop trigger lamp_changed on lamp'); }
};
"#,
    ),
];

#[test]
fn migrations_in_other_languages_are_read_with_their_tables() {
    for (name, text) in LANGUAGES {
        let place = Place::new("languages");
        let file = place.file(name, text);
        for run in [place.scan(&["--format", "json"]), scan(&file, &["--format", "json"])] {
            let json = run.json();
            assert_eq!(run.codes(), ["EV101"], "{name}: {run:?}");
            assert_eq!(json["findings"][0]["strategy"], "shim", "{name}: {run:?}");
            assert_eq!(json["findings"][0]["event_table"], "public.lamp_events", "{name}: {run:?}");
        }
    }
}

#[test]
fn folders_of_several_languages_are_read_in_the_order_of_their_names() {
    let place = Place::new("mixed");
    place.file("1_tables.sql", "create table lamp (id int primary key, lit bool);");
    place.file(
        "2_events.js",
        "exports.up = (pgm) => {\n  pgm.createTable('lamp_events', { lamp_id: 'int', version: 'int', event_type: 'text', payload: 'jsonb' }, { constraints: { unique: ['lamp_id', 'version'] } });\n};\n",
    );
    let body = "insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, {}, 'X', to_jsonb(new)); return new;";
    let function = |value: &str| {
        format!(
            "create or replace function told() returns trigger language plpgsql as $$ begin {} end $$",
            body.replace("{}", value)
        )
    };
    place.file("9_first.py", format!("def upgrade():\n  op.execute('''{}''')\n", function("7")));
    place.file(
        "10_second.rb",
        format!("Sequel.migration do\n up do\n  run <<~SQL\n  {};\n  create trigger told after update on lamp for each row execute function told();\n  SQL\n end\nend\n",
            function("(select coalesce(max(version), 0) + 1 from lamp_events where lamp_id = new.id)")),
    );
    place.file(
        "node_modules/x/index.js",
        "exports.up = (k) => k.raw('create trigger x after update on lamp for each row execute function told()');",
    );
    place.file("app/service.rb", "def a\n  connection.execute(sql)\nend\n");
    let run = place.scan(&["--format", "json"]);
    assert_eq!(run.codes(), ["EV102"], "{run:?}");
    assert_eq!(run.json()["problems"].as_array().map(Vec::len), Some(0), "{run:?}");
}

#[test]
fn a_file_of_sql_that_a_migration_runs_comes_in_its_place() {
    let place = Place::new("included");
    place.file("sql/old.sql", LAMP.replace("1, 'LampChanged'", "2, 'LampChanged'"));
    place.file(
        "1_a.ts",
        "export async function up(knex: Knex) {\n  const ddl = fs.readFileSync(path.join(__dirname, 'sql', 'old.sql'));\n  await knex.raw(`set search_path = public;\n ${ddl}`);\n}\n",
    );
    let newer = "create or replace function lamp_changed() returns trigger language plpgsql as $$ begin insert into lamp_events (lamp_id, version, event_type, payload) values (new.id, 1, 'LampChanged', to_jsonb(new)); return new; end $$;";
    place.file("2_b.sql", newer);
    let run = place.scan(&["--format", "json"]);
    assert_eq!(run.codes(), ["EV101"], "{run:?}");
    assert!(run.stdout.contains("the version is the constant 1"), "{run:?}");
}

#[test]
fn a_file_of_sql_that_a_program_reads_for_something_unknown_is_read_by_itself() {
    for runs in [
        "await helper(knex, ddl)",
        "await knex.raw(ddl.replace('a', 'b'))",
        "for (const one of cut(ddl)) { await knex.raw(one); }",
    ] {
        let place = Place::new("elsewhere");
        place.file("1_a.sql", LAMP);
        place.file(
            "1_a.js",
            format!("exports.up = async (knex) => {{\n  await knex.raw('create schema x');\n  const ddl = fs.readFileSync(path.join(__dirname, '1_a.sql'), 'utf8');\n  {runs};\n}};\n"),
        );
        let run = place.scan(&["--format", "json"]);
        assert!(run.codes().contains(&"EV101".to_owned()), "{runs}: {run:?}");
    }
}

#[test]
fn files_that_undo_others_are_left_out_and_named() {
    let place = Place::new("undo");
    place.file("Create-lamp.sql", LAMP);
    let undo = "drop trigger lamp_changed on lamp;\ndrop function lamp_changed();\ndrop table lamp_events;\n";
    for name in ["Rollback-create-lamp.sql", "Drop-lamp.sql", "zz_undo_lamp.sql", "lamp_rollback.sql"] {
        let file = place.file(name, undo);
        let run = place.scan(&["--format", "json"]);
        assert_eq!(run.codes(), ["EV101"], "{name}: {run:?}");
        assert!(run.stderr.contains(&format!("as what undoes others: 1 ({name})")), "{run:?}");
        fs::remove_file(file).expect("removed");
    }
    assert!(!place.scan(&[]).stderr.contains("undoes"));
}

#[test]
fn sql_is_sql_whatever_its_ending_and_templates_of_it_are_told() {
    let (tables, triggers) = LAMP.split_at(LAMP.find("create function").expect("a function"));
    for ending in ["ddl", "pgsql", "psql", "plpgsql", "trigger", "trg", "fnc", "TRG"] {
        let place = Place::new("endings");
        place.file("tables.sql", tables);
        place.file(&format!("triggers.{ending}"), triggers);
        assert_eq!(place.scan(&["--format", "json"]).codes(), ["EV101"], "{ending}");
    }
    for ending in ["tpl", "j2", "sqlt", "sql.j2", "sql.tpl", "sql.erb"] {
        let place = Place::new("templates");
        place.file("tables.sql", tables);
        place.file(&format!("triggers.{ending}"), triggers);
        place.file(&format!("page.{ending}"), "<p>{{ title }}</p>");
        place.file("triggers.sql.bak", triggers);
        let run = place.scan(&["--format", "json"]);
        assert_eq!((run.code, run.codes()), (Some(3), vec!["EV204".to_owned()]), "{ending}: {run:?}");
        assert!(run.stdout.contains(&format!("triggers.{ending}")), "{run:?}");
    }
}

#[test]
fn a_function_that_is_dropped_with_all_takes_its_triggers_along() {
    let place = Place::new("cascade");
    let text = |drop: &str| format!("{LAMP}{drop}\n");
    let run = scan(&place.file("a.sql", text("drop function if exists lamp_changed() cascade;")), &[]);
    assert!(run.code == Some(0) && run.stdout.contains("No trigger"), "{run:?}");
    // one with other arguments is another function
    let run =
        scan(&place.file("b.sql", text("drop function if exists lamp_changed(int) cascade;")), &["--format", "json"]);
    assert_eq!(run.codes(), ["EV101"], "{run:?}");
}

#[test]
fn a_star_behind_the_table_of_a_mysql_delete_means_nothing() {
    let place = Place::new("star");
    let text = "create table item (id int primary key, ref int);\ndelimiter $$\ncreate procedure clean() begin\n  delete i.* from item as i where i.ref is null;\nend$$\n";
    let run = scan(&place.file("a.sql", text), &["--dialect", "mysql"]);
    assert!(run.code == Some(0), "{run:?}");
}

#[test]
fn migrations_of_alembic_come_in_the_order_of_their_revisions() {
    let place = Place::new("revisions");
    let file = |own: &str, before: &str, sql: &str| {
        format!("revision = '{own}'\ndown_revision = {before}\ndef upgrade():\n    op.execute(\"\"\"{sql}\"\"\")\n")
    };
    place.file("versions/ff_first.py", file("ff", "None", LAMP));
    let newer = LAMP.lines().skip(2).take(2).collect::<Vec<_>>().join("\n");
    let newer = newer.replace("create function", "create or replace function");
    place.file("versions/bb_second.py", file("bb", "'ff'", &newer.replace("new.id, 1", "new.id, 2")));
    place.file("versions/aa_third.py", file("aa", "'bb'", &newer.replace("new.id, 1", "new.id, 3")));
    let run = place.scan(&["--format", "json"]);
    assert!(run.codes() == ["EV101"] && run.stdout.contains("the constant 3"), "{run:?}");
}

#[test]
fn whose_sql_it_is_is_seen_in_the_sql_or_in_the_settings() {
    let place = Place::new("dialects");
    // a body without a block is MySQL's
    let trigger = "exports.up = (knex) => knex.raw(`CREATE TRIGGER lamp_au AFTER UPDATE ON lamp FOR EACH ROW INSERT INTO lamp_events (lamp_id, version) VALUES (NEW.id, 1)`);\n";
    place.file("a/1_a.js", trigger);
    place.file("a/notes.go", "// create trigger x\nvar sql = \"create trigger x\"");
    let run = scan(&place.0.join("a"), &["--format", "json"]);
    assert_eq!(run.codes(), ["EV101", "EV204"], "{run:?}");
    assert!(run.stdout.contains("notes.go") && run.stdout.contains("a language that is not read"), "{run:?}");
    // where the SQL does not tell, the settings do
    let change = "exports.up = (knex) => knex.raw(`ALTER TABLE lamp MODIFY id bigint`);\n";
    place.file("c/1_a.js", "exports.up = (knex) => knex.schema.createTable('lamp', (t) => t.integer('id'));\n");
    place.file("c/2_b.js", change);
    assert_eq!(scan(&place.0.join("c"), &["--format", "json"]).codes(), ["EV204"]);
    place.file("c/knexfile.js", "module.exports = { client: 'mysql2' };\n");
    assert_eq!(scan(&place.0.join("c"), &["--format", "json"]).code, Some(0));
    // a test of the server decides, whichever it is
    let both = "exports.up = (knex) => {\n  if (knex.client.config.client === 'pg') {\n    return knex.raw('create table a (b jsonb); create function f() returns trigger language plpgsql as $$ begin return new; end $$; create trigger t before insert on a for each row execute function f()');\n  } else {\n    return knex.raw('CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1');\n  }\n};\n";
    place.file("b/1_a.js", both);
    for dialect in ["postgres", "mysql"] {
        let run = scan(&place.0.join("b"), &["--dialect", dialect, "--format", "json"]);
        assert_eq!(run.json()["problems"].as_array().map(Vec::len), Some(0), "{dialect}: {run:?}");
    }
}

#[test]
fn what_code_puts_together_is_told_and_code_without_sql_is_an_error() {
    let place = Place::new("dynamic");
    place.file("1_a.rb", "class A < ActiveRecord::Migration[7.0]\n  def up\n    execute triggers_of(:lamp)\n    create_table(name_of) { |t| t.integer :a }\n  end\nend\n");
    place.file("2_b.py", "def upgrade():\n    op.create_entity(PGTrigger(definition='after insert'))\n");
    let run = place.scan(&["--format", "json"]);
    assert_eq!((run.code, run.codes().len()), (Some(3), 3), "{run:?}");
    assert!(run.codes().iter().all(|c| c == "EV204") && run.stdout.contains("\"unjudged\": 3"), "{run:?}");
    let place = Place::new("none");
    let file = place.file("app.rb", "class A\n  def create\n  end\nend\n");
    for run in [place.scan(&[]), scan(&file, &[])] {
        assert!(run.code == Some(1) && run.stderr.contains("holds no"), "{run:?}");
    }
}
