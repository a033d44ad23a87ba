//! Files as people write them, in each language.

use std::path::Path;

use super::given::What;
use super::language::Language;
use super::{Common, Given, read};
use domain_events_mysql::source::Dialect;

fn given(file: &str, text: &str) -> Vec<Given> {
    let path = Path::new(file);
    read(&mut Common::default(), Language::of(path).expect("a language"), path, text)
}

/// What a file gives, line by line, in PostgreSQL's words.
fn told(file: &str, text: &str) -> Vec<String> {
    let mut told = vec![];
    for one in given(file, text).iter().filter(|g| g.only.counts(Dialect::Postgres)) {
        let line = one.row + 1;
        match &one.what {
            What::Sql(sql) => {
                let whole = sql.with_placeholders();
                told.push(format!("{line} {}", whole.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
            What::Problem { reason, .. } => {
                told.push(format!("{line}! {}", reason.split(": read the").next().unwrap_or(reason)))
            }
            tables => told.extend(tables.of_tables(Dialect::Postgres).into_iter().map(|s| format!("{line} {s}"))),
        }
    }
    told
}

#[test]
fn sql_in_ruby() {
    let rails = r#"
class AddAudit < ActiveRecord::Migration[7.0]
  TABLES = %w[lamps rooms].freeze
  BODY = "begin return new; end"

  def up
    execute <<~SQL
      CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ #{BODY} $$;
    SQL
    TABLES.each do |table|
      connection.execute("create trigger noted after update on #{table} for each row execute function noted()")
    end
    execute "update lamps set lit = #{value}"
    add_noted(:doors)
    execute build_sql
  end

  def down
    execute "create trigger old after update on lamps for each row execute function noted()"
  end

  def add_noted(table)
    execute "create trigger noted after update on #{table} for each row execute function noted()"
  end
end
"#;
    assert_eq!(
        told("db/migrate/1_a.rb", rails),
        [
            "7 CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ begin return new; end $$;",
            "11 create trigger noted after update on lamps for each row execute function noted()",
            "11 create trigger noted after update on rooms for each row execute function noted()",
            "23 create trigger noted after update on doors for each row execute function noted()",
            "15! its SQL is put together at run time, from build_sql",
        ]
    );
    let sequel = "Sequel.migration do\n  up do\n    run 'create table a (b int)'\n    execute \"\"\"\n      create table c (d int);\n    \"\"\"\n  end\n  down do\n    run 'drop table a'\n  end\nend\n";
    assert_eq!(told("1.rb", sequel), ["3 create table a (b int)", "4 create table c (d int);"]);
    let reversible = "class A < ActiveRecord::Migration[7.0]\n def change\n  reversible do |dir|\n   dir.up { execute 'create table a (b int)' }\n   dir.down { execute 'drop table a' }\n  end\n end\nend\n";
    assert_eq!(told("1.rb", reversible), ["4 create table a (b int)"]);
    assert!(told("app.rb", "class A\n def b\n  raise 'cannot create' unless query(x).any?\n end\nend\n").is_empty());
}

#[test]
fn sql_in_python() {
    let alembic = r#"
from alembic import op
import sqlalchemy as sa
SCHEMA = "app"
CREATE = f"""
create function {SCHEMA}.noted() returns trigger language plpgsql as $$ begin return new; end $$
"""

def upgrade():
    """Create trigger noted."""
    op.execute(CREATE)
    conn = op.get_bind()
    conn.execute(sa.text("create table a (b int)"))
    for table in ("lamps", "rooms"):
        op.execute("create trigger noted after update on {} for each row execute function noted()".format(table))
    op.execute("alter table %s add c int" % name())
    op.execute(users.update().where(users.c.id == 1).values(a=2))
    op.execute(from_elsewhere(1))

def downgrade():
    op.execute("drop table a")
"#;
    assert_eq!(
        told("versions/1.py", alembic),
        [
            "5 create function app.noted() returns trigger language plpgsql as $$ begin return new; end $$",
            "13 create table a (b int)",
            "15 create trigger noted after update on lamps for each row execute function noted()",
            "15 create trigger noted after update on rooms for each row execute function noted()",
            "16 alter table ${name} add c int",
            "18! its SQL is put together at run time, from from_elsewhere(1)",
        ]
    );
    let django = r#"
from django.db import migrations
def forwards(apps, schema_editor):
    schema_editor.execute("create table c (d int)")
class Migration(migrations.Migration):
    operations = [
        migrations.RunSQL("create table a (b int)", reverse_sql="drop table a"),
        migrations.RunSQL(sql=["create table e (f int)", ("create table g (h int)", None)], reverse_sql=["drop table e"]),
        migrations.RunSQL("create table i (j int)", "create trigger k after insert on i for each row execute function l()"),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
"#;
    assert_eq!(
        told("shop/migrations/0001_a.py", django),
        [
            "7 create table a (b int)",
            "8 create table e (f int)",
            "8 create table g (h int)",
            "9 create table i (j int)",
            "4 create table c (d int)",
        ]
    );
    assert_eq!(told("a.py", "cursor.execute('''\ncreate table a (b int)\n''')\n"), ["1 create table a (b int)"]);
}

#[test]
fn sql_in_javascript_and_typescript() {
    let knex = "const BODY = 'begin return new; end';\nexports.up = async (knex) => {\n  await knex.raw(`create function ${schema}.noted() returns trigger language plpgsql as $$ ${BODY} $$`);\n  await Promise.all(['lamps', 'rooms'].map((t) => knex.schema.raw(`create trigger noted after update on ${t} for each row execute function noted()`)));\n  await knex.raw(other);\n};\nexports.down = (knex) => knex.raw('drop table a');\n";
    assert_eq!(
        told("1_a.js", knex),
        [
            "3 create function ${schema}.noted() returns trigger language plpgsql as $$ begin return new; end $$",
            "4 create trigger noted after update on lamps for each row execute function noted()",
            "4 create trigger noted after update on rooms for each row execute function noted()",
            "5! its SQL is put together at run time, from other",
        ]
    );
    let typeorm = "export class A1 implements MigrationInterface {\n  name = 'A1';\n  public async up(queryRunner: QueryRunner): Promise<void> {\n    await queryRunner.query(`CREATE TABLE \"a\" (\"b\" int)`);\n  }\n  public async down(queryRunner: QueryRunner): Promise<void> {\n    await queryRunner.query('DROP TABLE \"a\"');\n  }\n}\n";
    assert_eq!(told("1-a.ts", typeorm), ["4 CREATE TABLE \"a\" (\"b\" int)"]);
    let sequelize = "'use strict';\nmodule.exports = {\n  async up(queryInterface) {\n    await queryInterface.sequelize.query('create table a (b int)');\n  },\n  down: (queryInterface) => queryInterface.sequelize.query('drop table a'),\n};\n";
    assert_eq!(told("1-a.js", sequelize), ["4 create table a (b int)"]);
    let pgm = "export const up = (pgm) => {\n  pgm.sql('create table a (b int)');\n  pgm.createTrigger('a', 'noted', { when: 'AFTER' });\n};\nexport const down = false;\n";
    assert_eq!(
        told("1-a.mjs", pgm),
        ["2 create table a (b int)", "3! createTrigger a is made by a call that holds no SQL"]
    );
    let db = "exports.up = function (db, cb) {\n  db.runSql('create table a (b int)', cb);\n};\n";
    assert_eq!(told("1-a.js", db), ["2 create table a (b int)"]);
    let app = "export async function find(pool, sql) {\n  console.log('create trigger');\n  const m = /a/.exec(sql);\n  return pool.query(sql, [m]);\n}\n";
    assert!(told("app.ts", app).is_empty());
}

#[test]
fn texts_are_put_together_as_far_as_literals_go() {
    for (file, text, sql) in [
        ("a.rb", "execute format('create table %s_v%02d (a int)', 'x', 1)", "1 create table x_v01 (a int)"),
        ("a.py", "op.execute('create table %(n)s (a int)' % {'n': 'x'})", "1 create table x (a int)"),
        ("a.py", "op.execute('create table {0}_{n} (a int)'.format('x', n=2))", "1 create table x_2 (a int)"),
        ("a.js", "db.query(['create table x', '(a int)'].join(' '))", "1 create table x (a int)"),
        (
            "a.php",
            "<?php foreach (explode(';', 'create table x (a int); create table y (a int)') as $s) $db->exec($s);",
            "1 create table x (a int); create table y (a int)",
        ),
        ("a.py", "SQL = 'create table x '\nSQL += '(a int)'\ncursor.execute(SQL)", "1 create table x (a int)"),
        (
            "a.rb",
            "def made(name)\n \"create table #{name} (a int)\"\nend\nexecute made('x')",
            "2 create table x (a int)",
        ),
    ] {
        assert_eq!(told(file, text), [sql], "{text}");
    }
}

#[test]
fn what_only_the_way_back_runs_is_not_told() {
    let made = "create function f() returns trigger as $$ begin return new; end $$ language plpgsql";
    for (file, text) in [
        (
            "a.js",
            format!(
                "const fn = `{made}`;\nexports.up = k => k.raw('drop function f');\nexports.down = k => k.raw(fn);\n"
            ),
        ),
        (
            "b.js",
            format!(
                "const fn = `{made}`;\nmodule.exports = {{ up(k) {{ return k.raw('drop function f') }}, down(k) {{ return k.raw(fn) }} }};\n"
            ),
        ),
        (
            "a.py",
            format!(
                "FN = \"\"\"{made}\"\"\"\ndef upgrade():\n    op.execute('drop function f')\ndef downgrade():\n    op.execute(FN)\n"
            ),
        ),
        (
            "a.rb",
            format!(
                "class A < ActiveRecord::Migration[7.0]\n  FN = '{made}'\n  def up\n    execute 'drop function f'\n  end\n  def down\n    execute FN\n  end\nend\n"
            ),
        ),
    ] {
        let told = told(file, &text);
        assert!(told.len() == 1 && told[0].ends_with("drop function f"), "{file}: {told:?}");
    }
    // neither way takes it
    let told = told(
        "a.js",
        &format!(
            "const fn = `{made}`;\nexports.up = k => k.raw('select 1');\nexports.down = k => k.raw('select 2');\n"
        ),
    );
    assert!(told.iter().any(|t| t.contains("nothing that is known to run it")), "{told:?}");
}

#[test]
fn what_nothing_is_known_to_run_is_told() {
    for (file, text) in [
        (
            "a.py",
            "T = PGTrigger(definition='''\ncreate trigger a after insert on b for each row execute function c()''')\n",
        ),
        ("a.rb", "send_it(<<~SQL)\n  create trigger a after insert on b for each row execute function c()\nSQL\n"),
        (
            "a.js",
            "exports.up = () => install('create function f() returns trigger as $$ begin end $$ language plpgsql');\n",
        ),
        (
            "a.ts",
            "const unused = `\n  CREATE OR REPLACE FUNCTION f() returns trigger as $$ begin end $$ language plpgsql`;\n",
        ),
    ] {
        let told = told(file, text);
        assert!(told.len() == 1 && told[0].contains("nothing that is known to run it"), "{file}: {told:?}");
    }
    // what undoes is known, and so is what is said to people
    let back = "exports.up = () => {};\nexports.down = (k) => k.raw(`create trigger a after insert on b for each row execute function c()`);\n";
    assert!(told("a.js", back).is_empty());
}

#[test]
fn tables_of_rails() {
    let schema = r#"
ActiveRecord::Schema[7.0].define(version: 2024_01_01) do
  enable_extension "plpgsql"
  create_table "lamp_events", force: :cascade do |t|
    t.bigint "lamp_id", null: false
    t.integer "version", default: 1, null: false
    t.jsonb "payload"
    t.datetime "created_at", null: false
    t.index ["lamp_id", "version"], name: "x", unique: true
    t.index ["payload"], name: "y"
  end
  create_table :links, id: false do |t|
    t.references :lamp, null: false, index: { unique: true }
    t.string :a, :b
  end
  add_index :links, [:a, :b], unique: true
  add_column :links, :note, :text
end
"#;
    assert_eq!(
        told("db/schema.rb", schema),
        [
            "4 create table if not exists \"lamp_events\" (\"id\" bigserial not null, \"lamp_id\" bigint not null, \"version\" integer not null default 1, \
             \"payload\" jsonb, \"created_at\" timestamp not null, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "12 create table if not exists \"links\" (\"lamp_id\" bigint not null, \"a\" varchar, \"b\" varchar, unique (\"lamp_id\"))",
            "16 alter table \"links\" add unique (\"a\", \"b\")",
            "17 alter table \"links\" add column \"note\" text",
        ]
    );
    let sequel = "Sequel.migration do\n  change do\n    create_table :a do\n      primary_key :id\n      Integer :version, null: false\n      String :name\n      unique [:name, :version]\n    end\n  end\nend\n";
    assert_eq!(
        told("1.rb", sequel),
        [
            "3 create table if not exists \"a\" (\"id\" bigserial not null, \"version\" integer not null, \"name\" varchar, primary key (\"id\"), unique (\"name\", \"version\"))"
        ]
    );
}

#[test]
fn tables_of_python() {
    let django = r#"
class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            name="LampEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("lamp", models.ForeignKey(on_delete=models.CASCADE, to="shop.lamp")),
                ("version", models.PositiveIntegerField(default=1)),
                ("note", models.TextField(null=True)),
                ("tags", models.ManyToManyField(to="shop.tag")),
            ],
            options={"unique_together": {("lamp", "version")}},
        ),
        migrations.CreateModel(
            name="Plain", fields=[("a", models.IntegerField())],
            options={"db_table": "plain_table", "constraints": [models.UniqueConstraint(fields=["a"], name="x")]},
        ),
        migrations.AddField(model_name="plain", name="b", field=models.CharField(max_length=10)),
        migrations.AlterUniqueTogether(name="plain", unique_together={("a", "b")}),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.CreateModel(name="No", fields=[])]),
    ]
"#;
    assert_eq!(
        told("shop/migrations/0001_a.py", django),
        [
            "4 create table if not exists \"shop_lampevent\" (\"id\" bigserial not null, \"lamp_id\" bigint not null, \"version\" integer not null, \
             \"note\" text, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "15 create table if not exists \"plain_table\" (\"a\" integer not null, unique (\"a\"))",
            "19 alter table \"plain_table\" add column \"b\" varchar not null",
            "20 alter table \"plain_table\" add unique (\"a\", \"b\")",
        ]
    );
    let alembic = r#"
def upgrade():
    op.create_table(
        "lamp_event",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text())),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "version", name="x"),
        schema="app",
    )
    op.create_index(op.f("y"), "lamp_event", ["version"], unique=True, schema="app")
    with op.batch_alter_table("other") as batch_op:
        batch_op.add_column(sa.Column("c", sa.String(20), unique=True))
"#;
    assert_eq!(
        told("1.py", alembic),
        [
            "3 create table if not exists \"app\".\"lamp_event\" (\"id\" bigint not null, \"version\" integer not null default '1', \
             \"at\" timestamptz default current_timestamp, \"data\" jsonb, primary key (\"id\"), unique (\"id\", \"version\"))",
            "13 alter table \"app\".\"lamp_event\" add unique (\"version\")",
            "14 alter table \"other\" add column \"c\" varchar",
            "14 alter table \"other\" add unique (\"c\")",
        ]
    );
}

#[test]
fn tables_of_javascript() {
    let knex = "exports.up = (knex) => knex.schema.withSchema('app').createTable('lamp_event', (table) => {\n  table.increments();\n  table.uuid('lampId').notNullable().references('id').inTable('lamp');\n  table.integer('version').notNullable().defaultTo(1);\n  table.unique(['lampId', 'version']);\n  table.timestamps(true, true);\n}).createTable('b', (t) => { t.string('a').unique(); });\n";
    assert_eq!(
        told("1.js", knex),
        [
            "1 create table if not exists \"app\".\"lamp_event\" (\"id\" serial not null, \"lampId\" uuid not null, \"version\" integer not null default 1, \
             \"created_at\" timestamp, \"updated_at\" timestamp, primary key (\"id\"), unique (\"lampId\", \"version\"))",
            "1 create table if not exists \"app\".\"b\" (\"a\" varchar, unique (\"a\"))",
        ]
    );
    let sequelize = "module.exports = { up: async (queryInterface, Sequelize) => {\n  await queryInterface.createTable('LampEvents', {\n    id: { type: Sequelize.INTEGER, primaryKey: true, autoIncrement: true, allowNull: false },\n    lampId: { type: Sequelize.UUID, field: 'lamp_id', unique: 'x' },\n    version: { type: Sequelize.INTEGER.UNSIGNED, unique: 'x' },\n  });\n  await queryInterface.addIndex('LampEvents', ['version'], { unique: true });\n  await queryInterface.addConstraint('LampEvents', { fields: ['id', 'version'], type: 'unique' });\n} };\n";
    assert_eq!(
        told("1.js", sequelize),
        [
            "2 create table if not exists \"LampEvents\" (\"id\" serial not null, \"lamp_id\" uuid, \"version\" integer, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "7 alter table \"LampEvents\" add unique (\"version\")",
            "8 alter table \"LampEvents\" add unique (\"id\", \"version\")",
        ]
    );
    let typeorm = "export class A implements MigrationInterface { async up(q: QueryRunner) { await q.createTable(new Table({ name: 'lamp_event', columns: [\n { name: 'id', type: 'int', isPrimary: true, isGenerated: true, generationStrategy: 'increment' }, { name: 'version', type: 'int' }, { name: 'n', type: 'varchar', isNullable: true } ], uniques: [{ columnNames: ['n', 'version'] }] }), true);\n  await q.createIndex('lamp_event', new TableIndex({ columnNames: ['version'], isUnique: true })); } }\n";
    assert_eq!(
        told("1.ts", typeorm),
        [
            "1 create table if not exists \"lamp_event\" (\"id\" serial not null, \"version\" integer not null, \"n\" varchar, primary key (\"id\"), unique (\"n\", \"version\"))",
            "3 alter table \"lamp_event\" add unique (\"version\")",
        ]
    );
    let pgm = "exports.up = (pgm) => {\n  pgm.createTable('lamp_event', { id: 'id', version: { type: 'integer', notNull: true } }, { constraints: { unique: ['id', 'version'] } });\n  pgm.addConstraint('lamp_event', 'x', { unique: 'version' });\n};\n";
    assert_eq!(
        told("1.js", pgm),
        [
            "2 create table if not exists \"lamp_event\" (\"id\" serial not null, \"version\" integer not null, primary key (\"id\"), unique (\"id\", \"version\"))",
            "3 alter table \"lamp_event\" add unique (\"version\")",
        ]
    );
}

#[test]
fn tables_of_php() {
    let laravel = "<?php\nreturn new class extends Migration {\n public function up(): void {\n  Schema::create('lamp_events', function (Blueprint $table) {\n   $table->id();\n   $table->foreignId('lamp_id')->constrained();\n   $table->unsignedInteger('version')->default(1);\n   $table->json('data')->nullable();\n   $table->timestamps();\n   $table->unique(['lamp_id', 'version']);\n  });\n  Schema::table('lamps', fn (Blueprint $table) => $table->string('note')->nullable());\n }\n public function down(): void { Schema::dropIfExists('lamp_events'); }\n};\n";
    assert_eq!(
        told("1.php", laravel),
        [
            "4 create table if not exists \"lamp_events\" (\"id\" bigserial not null, \"lamp_id\" bigint not null, \"version\" integer not null default 1, \"data\" json, \
             \"created_at\" timestamp, \"updated_at\" timestamp, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "12 alter table \"lamps\" add column \"note\" varchar",
        ]
    );
    let phinx = "<?php\nclass A extends AbstractMigration {\n public function change(): void {\n  $table = $this->table('lamp_events');\n  $table->addColumn('lamp_id', 'integer', ['null' => false])->addColumn('version', 'integer', ['default' => 1, 'null' => false])\n   ->addIndex(['lamp_id', 'version'], ['unique' => true])->create();\n  $this->table('lamps')->addColumn('note', 'string')->update();\n }\n}\n";
    assert_eq!(
        told("1.php", phinx),
        [
            "5 create table if not exists \"lamp_events\" (\"id\" serial not null, \"lamp_id\" integer not null, \"version\" integer not null default 1, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "7 alter table \"lamps\" add column \"note\" varchar",
        ]
    );
}

#[test]
fn models_of_prisma() {
    let schema = "datasource db {\n  provider = \"postgresql\"\n}\nenum Kind { A B }\nmodel LampEvent {\n  id Int @id @default(autoincrement())\n  lampId String @map(\"lamp_id\") @db.Uuid\n  version Int @default(1) // of the lamp\n  kind Kind?\n  data Json\n  at DateTime @default(now())\n  lamp Lamp @relation(fields: [lampId], references: [id])\n  @@unique([lampId, version])\n  @@map(\"lamp_events\")\n}\nmodel Lamp {\n  id String @id @db.Uuid\n  name String @unique\n  events LampEvent[]\n}\n";
    assert_eq!(
        told("prisma/schema.prisma", schema),
        [
            "5 create table if not exists \"lamp_events\" (\"id\" serial not null, \"lamp_id\" uuid not null, \"version\" integer not null default 1, \"kind\" text, \
             \"data\" json not null, \"at\" timestamp not null default current_timestamp, primary key (\"id\"), unique (\"lamp_id\", \"version\"))",
            "16 create table if not exists \"Lamp\" (\"id\" uuid not null, \"name\" varchar not null, primary key (\"id\"), unique (\"name\"))",
        ]
    );
}

#[test]
fn tables_in_words_of_mysql() {
    let made = given(
        "1.php",
        "<?php\nreturn new class { function up() { Schema::create('e', function ($table) { $table->id(); $table->jsonb('d'); $table->uuid('u')->unique(); }); } };\n",
    );
    assert_eq!(
        made[0].what.of_tables(Dialect::MySql),
        [
            "create table if not exists `e` (`id` bigint auto_increment not null, `d` json not null, `u` char(36) not null, primary key (`id`), unique (`u`))"
        ]
    );
}

#[test]
fn broken_and_hostile_files_do_no_harm() {
    for ending in ["rb", "py", "js", "ts", "php", "prisma"] {
        let file = format!("a.{ending}");
        for text in [
            "create",
            "create((((",
            "def up; execute <<~SQL\n create table",
            "def upgrade():\n  op.execute(f'{'create",
            "exports.up = (k) => k.raw(`create ${`${`",
            "model create {",
            "model A {\n@@unique([\n@@map(\n create \"",
            "def up\n up\n create_table :a do |t| t.index t.unique end\nend",
            "x = create\nx += x\n",
            "const up = () => up(up); create(up);",
            "\u{0}create\u{202e}'",
        ] {
            given(&file, text);
        }
        given(&file, &format!("create = {}1{}", "(".repeat(600), ")".repeat(600)));
        given(&file, &format!("create = {}", "'a' + ".repeat(600)));
    }
    // what grows without end
    let grows = format!("def upgrade():\n s = 'create table a'\n{} op.execute(s)\n", " s = s + s\n".repeat(60));
    assert_eq!(told("a.py", &grows).len(), 1);
    let nested = (0..12).fold("op.execute('create table a')".to_owned(), |inner, n| {
        format!("for a{n} in [1,2,3,4,5,6,7,8]:\n{}", inner.lines().map(|l| format!(" {l}\n")).collect::<String>())
    });
    assert!(told("a.py", &nested).last().is_some_and(|l| l.contains("too long")));
}
