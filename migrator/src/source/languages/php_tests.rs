//! Migrations as people write them.

use crate::from_mysql::files::from_texts;
use domain_events_mysql::source::Source;

fn from(text: &str) -> Source {
    from_texts([("database/migrations/2025_01_01_000000_x.php", text)])
}

fn names(source: &Source) -> Vec<String> {
    source.programs.iter().map(|p| format!("{} {}", p.program.name.name, p.program.position.line)).collect()
}

fn problems(source: &Source) -> Vec<String> {
    source
        .problems
        .iter()
        .map(|p| format!("{}: {}: {}", p.line, p.object.clone().unwrap_or_default(), p.reason))
        .collect()
}

#[test]
fn laravel_reads_up_and_never_down() {
    let source = from(
        r#"<?php

use Illuminate\Database\Migrations\Migration;

return new class extends Migration
{
    const TABLE = 'users';

    public function up(): void
    {
        DB::statement('CREATE TABLE e (a INT, note VARCHAR(10) DEFAULT \'x\')');
        DB::unprepared('DROP TRIGGER IF EXISTS log_user_changes');
        DB::unprepared(<<<'SQL'
            CREATE TRIGGER log_user_changes AFTER UPDATE ON users FOR EACH ROW
            BEGIN
                INSERT INTO e VALUES ("it's $5", 1);
            END
        SQL);
        DB::connection('mysql')->statement("
            CREATE TRIGGER second BEFORE INSERT ON " . self::TABLE . " FOR EACH ROW
            SET NEW.name = \"\$x\", @y = 'a\\'b';
        ");
        $this->function();
    }

    private function function(): void
    {
        $sql = "CREATE FUNCTION f() RETURNS INT ";
        $sql .= 'RETURN 1';
        DB::unprepared($sql);
    }

    public function down(): void
    {
        DB::unprepared('DROP TRIGGER log_user_changes');
        DB::unprepared('CREATE TRIGGER old AFTER UPDATE ON users FOR EACH ROW SET @a = 1');
    }
};
"#,
    );
    assert_eq!(problems(&source), Vec::<String>::new());
    assert_eq!(names(&source), ["log_user_changes 14", "second 20", "f 28"]);
    let second = &source.programs[1].program;
    assert!(second.text.ends_with("SET NEW.name = \"$x\", @y = 'a\\'b'"), "{}", second.text);
    assert_eq!(source.schema.tables.len(), 1);
}

#[test]
fn what_is_put_together_at_run_time_is_told() {
    let source = from(
        r#"<?php
class AddTriggers extends Migration {
    public function up() {
        foreach ($this->tables() as $table) {
            DB::unprepared("CREATE TRIGGER {$table}_ai AFTER INSERT ON $table FOR EACH ROW SET @a = 1");
        }
        DB::statement(sprintf('ALTER TABLE %s ADD x INT', $this->name()));
        DB::unprepared(file_get_contents(database_path('triggers.sql')));
        DB::statement("UPDATE users SET a = {$x}");
        DB::statement("INSERT INTO users VALUES (" . time() . ")");
    }
}
"#,
    );
    assert_eq!(
        problems(&source),
        [
            "5: trigger (named at run time): its SQL is put together at run time, from $table: read the live database instead",
            "7: table (named at run time): its SQL is put together at run time, from $this->name(): read the live database instead",
            "8: : its SQL is put together at run time, from file_get_contents(database_path('triggers.sql')): read the live \
             database instead",
        ]
    );
    assert!(source.programs.is_empty());
}

#[test]
fn phinx_doctrine_codeigniter_and_plain_scripts() {
    for (text, expected) in [
        (
            "<?php\nfinal class A extends AbstractMigration {\n public function change(): void {\n  $this->execute('CREATE TRIGGER a AFTER INSERT ON u FOR EACH ROW SET @a = 1');\n }\n}",
            "a 4",
        ),
        (
            "<?php\nfinal class A extends AbstractMigration {\n public function up(Schema $schema): void {\n  $this->addSql(<<<SQL\nCREATE TRIGGER b\nAFTER INSERT ON u FOR EACH ROW SET @a = 1\nSQL);\n }\n public function down(Schema $schema): void { $this->addSql('DROP TRIGGER b'); }\n}",
            "b 5",
        ),
        (
            "<?php\nclass A extends CI_Migration {\n public function up() {\n  $this->db->query(\"CREATE TRIGGER c AFTER INSERT ON u FOR EACH ROW SET @a = 1\");\n }\n}",
            "c 4",
        ),
        ("<?php\n$pdo->exec('CREATE TRIGGER d AFTER INSERT ON u FOR EACH ROW SET @a = 1');\n", "d 2"),
        ("<?php\nmysqli_query($link, 'CREATE TRIGGER e AFTER INSERT ON u FOR EACH ROW SET @a = 1');", "e 2"),
        (
            "<html><?php function f($db) { $db->query('CREATE TRIGGER f AFTER INSERT ON u FOR EACH ROW SET @a = 1'); } ?></html>",
            "f 1",
        ),
    ] {
        let source = from(text);
        assert_eq!(problems(&source), Vec::<String>::new(), "{text}");
        assert_eq!(names(&source), [expected], "{text}");
    }
}

#[test]
fn branches_for_other_databases_are_left_out() {
    let source = from(
        r#"<?php
return new class extends Migration {
    public function up() {
        if (DB::getDriverName() === 'pgsql') {
            DB::unprepared('CREATE TRIGGER p AFTER INSERT ON u FOR EACH ROW EXECUTE FUNCTION f()');
        } elseif (DB::getDriverName() === 'mysql') {
            DB::unprepared('CREATE TRIGGER m AFTER INSERT ON u FOR EACH ROW SET @a = 1');
        } else {
            DB::unprepared('CREATE TRIGGER n AFTER INSERT ON u FOR EACH ROW SET @a = 1');
        }
        if (config('database.default') !== 'sqlite') {
            DB::unprepared('CREATE TRIGGER o AFTER INSERT ON u FOR EACH ROW SET @a = 1');
        }
    }
};
"#,
    );
    assert_eq!(names(&source), ["m 7", "o 12"]);
}

#[test]
fn broken_and_hostile_php_does_no_harm() {
    for text in [
        "",
        "<?php",
        "<?php class {",
        "<?php DB::statement(",
        "<?php $this->execute();",
        "no php at all",
        "<?php class A { function up() { $this->up(); self::up(); DB::unprepared(\"\\u{110000}\\777{$a\"); } }",
    ] {
        from(text);
    }
    from(&format!("<?php $x = {}'a';", "(".repeat(5_000)));
    let deep = format!("<?php $create = {}'a'{};", "(".repeat(600), ")".repeat(600));
    assert!(problems(&from(&deep))[0].contains("nested more than"));
    let concat = format!("<?php $db->query('CREATE ' {});", ". 'x'".repeat(3_000));
    assert!(problems(&from(&concat))[0].contains("nested more than"));
    let concat = format!(
        "<?php $db->query('CREATE TRIGGER t AFTER INSERT ON u FOR EACH ROW SET @a = ' {}.'1');",
        ". ''".repeat(200)
    );
    assert_eq!(names(&from(&concat)), ["t 1"]);
}
