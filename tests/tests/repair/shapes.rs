//! Tables of other shapes.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! {
    a_key_of_several_columns,
    a_stream_without_a_type,
    columns_named_by_hand,
    order_by_time_where_nothing_counts,
    versions_of_other_types,
    hostile_names_and_values,
    a_partitioned_log,
    a_stream_of_three_columns
}

fn repaired(db: &Db, sql: &str, more: &[&str], check: &str, expected: &str) {
    let legacy = Legacy::of(db, sql);
    legacy.propose(more);
    legacy.apply().expect(0);
    assert_eq!(db.owner().table(check), expected);
    legacy.cli(&["rollback", "--yes"]).expect(0);
    legacy.propose(more);
    legacy.apply().expect(0);
    assert_eq!(db.owner().table(check), expected);
}

fn a_key_of_several_columns(db: &Db) {
    repaired(
        db,
        "create table log (day date, at timestamptz, no int, aggregate_type text, aggregate_id uuid, version int, data jsonb, primary key (day, at, no));
         insert into log select date '2024-01-01' + i, timestamptz '2024-01-01 00:00:00.123456+02' + i * interval '1 h', i, 'T', '00000000-0000-0000-0000-000000000001', 1, '{}'
           from generate_series(1, 4) i",
        &["--table", "log", "--type-column", "aggregate_type", "--id-column", "aggregate_id", "--version-column", "version"],
        "select no, version from log order by no",
        "1|1\n2|2\n3|3\n4|4",
    );
}

fn a_stream_without_a_type(db: &Db) {
    repaired(
        db,
        "create table event_store (id bigserial primary key, aggregate_id uuid not null, event_type text not null, version int not null, payload jsonb not null, created_at timestamptz default now());
         insert into event_store (aggregate_id, event_type, version, payload)
         select md5((i % 2)::text)::uuid, 'e', 1, '{}' from generate_series(1, 6) i",
        &["--table", "public.event_store", "--id-column", "aggregate_id", "--version-column", "version"],
        "select id, version from event_store order by id",
        "1|1\n2|1\n3|2\n4|2\n5|3\n6|3",
    );
}

fn columns_named_by_hand(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table notes (id int primary key, who text, what int, body text); insert into notes values (1, 'a', 1), (2, 'a', 1)",
    );
    legacy.cli(&["repair", "--table", "notes"]).expect_error(1, "42P16").saying("column");
    legacy.cli(&["repair", "--table", "nowhere"]).expect_error(1, "42P01");
    legacy
        .cli(&["repair", "--table", "notes", "--id-column", "who", "--version-column", "body"])
        .expect_error(1, "42804");
    legacy
        .cli(&["repair", "--table", "notes", "--id-column", "whom", "--version-column", "what"])
        .expect_error(1, "42703");
    legacy.cli(&["repair", "--id-column", "who"]).expect(2);
    legacy.propose(&["--table", "notes", "--id-column", "who", "--version-column", "what"]);
    legacy.apply().expect(0);
    assert_eq!(db.owner().table("select id, what from notes order by id"), "1|1\n2|2");
}

fn order_by_time_where_nothing_counts(db: &Db) {
    repaired(
        db,
        "create table log (event_id uuid primary key default gen_random_uuid(), aggregate_type text not null, aggregate_id text not null,
           aggregate_version bigint, event_type text not null, occurred_at timestamptz not null);
         insert into log (aggregate_type, aggregate_id, aggregate_version, event_type, occurred_at)
         values ('T', '1', 1, 'c', '2024-03-01'), ('T', '1', 1, 'a', '2024-01-01'), ('T', '1', null, 'b', '2024-02-01')",
        &["--table", "log", "--type-column", "aggregate_type", "--id-column", "aggregate_id", "--version-column", "aggregate_version"],
        "select event_type, aggregate_version from log order by 1",
        "a|1\nb|2\nc|3",
    );
}

fn versions_of_other_types(db: &Db) {
    for (n, data_type) in ["smallint", "numeric(20,1)"].iter().enumerate() {
        repaired(
            db,
            &format!(
                "create table log{n} (id int primary key, a text, v {data_type}, unique (a, v));
                 insert into log{n} values (1, 'x', 1), (2, 'x', 3), (3, 'x', 2.0), (4, 'x', 9)"
            ),
            &["--table", &format!("log{n}"), "--id-column", "a", "--version-column", "v"],
            &format!("select id, v::int from log{n} order by id"),
            "1|1\n2|2\n3|3\n4|4",
        );
    }
}

fn hostile_names_and_values(db: &Db) {
    repaired(
        db,
        r#"create schema "a.b"; create table "a.b"."Ev""ents" ("Key'" text primary key, "select" text, "Id" text, "Ver sion" int, "at" timestamptz);
           insert into "a.b"."Ev""ents" values (E'k"1\n,', 'T"\', E'i\t\x7f[''', 1, '2024-01-01'), ('{"k":2}', 'T"\', E'i\t\x7f[''', 1, '2024-01-02'), ('', 'T"\', '', 5, '2024-01-02')"#,
        &[
            "--table",
            r#""a.b"."Ev""ents""#,
            "--type-column",
            "select",
            "--id-column",
            "Id",
            "--version-column",
            "Ver sion",
            "--order-by",
            "at",
        ],
        r#"select "Ver sion" from "a.b"."Ev""ents" order by "Id", "at""#,
        "1\n1\n2",
    );
}

fn a_partitioned_log(db: &Db) {
    repaired(
        db,
        "create table log (id bigint generated by default as identity, a text not null, v int not null, at timestamptz not null, primary key (id, at)) partition by range (at);
         create table log_1 partition of log for values from ('2024-01-01') to ('2024-02-01');
         create table log_2 partition of log for values from ('2024-02-01') to ('2024-03-01');
         insert into log (id, a, v, at) select i, 'x', 1, timestamptz '2024-01-20' + i * interval '5 days' from generate_series(1, 4) i",
        &["--table", "log", "--id-column", "a", "--version-column", "v", "--order-by", "id"],
        "select id, v from log order by id",
        "1|1\n2|2\n3|3\n4|4",
    );
    let look = ["repair", "--table", "log", "--id-column", "a", "--version-column", "v"];
    db.cli("app_owner", &[&look[..], &["--add-key"]].concat()).expect_error(1, "0A000");
    // what it can have is told, and enough
    let told = |code: i32| {
        let run = db.cli("app_owner", &[&["--format", "json"], &look[..]].concat()).expect(code);
        run.json()["tables"][0]["findings"][0]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(told(3).contains("it is built on each partition first"));
    db.owner().run("create unique index log_version on log (a, v, at)");
    assert!(told(0).contains("log_version holds the partition key as well"));
}

/// As the trigger reads its newest version: ported, repaired with an event that comes late, keyed, taken back.
fn a_stream_of_three_columns(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table employees (id bigserial primary key, tenant bigint not null, name text);
         create table subject_events (id bigserial primary key, tenant bigint not null, subject_type text not null, subject_id bigint not null,
           event_version int not null, event_type text not null, data jsonb, occurred_at timestamptz not null default clock_timestamp());
         create index on subject_events (tenant, subject_type, subject_id);
         create function log_employee() returns trigger language plpgsql as $$
         declare v int;
         begin
           select coalesce(max(event_version), 0) + 1 into v from subject_events
            where tenant = new.tenant and subject_type = 'Employee' and subject_id = new.id;
           insert into subject_events (tenant, subject_type, subject_id, event_version, event_type, data)
           values (new.tenant, 'Employee', new.id, v, 'EmployeeSaved', to_jsonb(new));
           return new;
         end $$;
         create trigger log_employee after insert or update on employees for each row execute function log_employee();
         insert into employees (tenant, name) select 1 + i % 2, 'e' || i from generate_series(1, 6) i;
         update employees set name = name || '!';
         update subject_events set event_version = 1 where subject_id < 4",
    );
    let versions = || {
        db.owner().table("select tenant, subject_id, string_agg(event_version::text, ' ' order by id) from subject_events group by 1, 2 order by 2")
    };
    let broken = versions();
    assert_eq!(broken, "2|1|1 1\n1|2|1 1\n2|3|1 1\n1|4|1 2\n2|5|1 2\n1|6|1 2");
    let plan = format!("{}.plan", legacy.file());
    legacy.cli(&["plan", "--out", &plan]).expect(3);
    legacy.cli(&["apply", "--yes", &plan]).expect(0);
    assert_eq!(legacy.findings("public.subject_events"), ["RP101:3:3", "RP108:0:0"]);
    legacy.propose(&[]);
    db.owner().run("update employees set name = 'late' where id = 2");
    legacy.cli(&["repair", "--yes", "--add-key", legacy.file()]).expect(0);
    assert_eq!(versions(), "2|1|1 2\n1|2|1 2 3\n2|3|1 2\n1|4|1 2\n2|5|1 2\n1|6|1 2");
    let key = "select pg_get_indexdef(i.indexrelid) from pg_index i where i.indrelid = 'subject_events'::regclass and i.indisunique and not i.indisprimary";
    assert!(
        db.owner().one(key).ends_with("(tenant, subject_type, subject_id, event_version)"),
        "{}",
        db.owner().one(key)
    );
    legacy.cli(&["repair"]).expect(0);
    db.owner().run("drop index uk_subject_events_version");
    legacy.cli(&["rollback", "--yes"]).expect(0);
    assert_eq!(versions(), broken.replace("1|2|1 1", "1|2|1 1 2"));
    legacy.cli(&["verify", &plan]).expect(0);
    std::fs::remove_file(&plan).ok();
}
