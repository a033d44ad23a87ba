//! Shape of the store, comments, privileges.

use domain_events_tests::{Db, Engine, engines};

engines! {
    engine_tells_its_name, events_has_the_promised_columns, events_has_the_promised_keys, streams_lists_every_stream,
    every_object_has_a_comment, functions_have_a_pinned_search_path, the_public_may_nothing, internal_functions_are_private,
    a_reader_reads_only, a_writer_appends_only, an_admin_captures_own_tables_only, public_functions_are_as_promised,
}

fn engine_tells_its_name(db: &Db) {
    let mut s = db.owner();
    assert_eq!(s.table("select engine, version from domain_events.engine()"), format!("{}|0.1.0", db.engine.name()));
}

fn events_has_the_promised_columns(db: &Db) {
    let columns = db.admin().table(
        "select attname, format_type(atttypid, atttypmod), case when attnotnull then 'not null' else 'null' end,
                case when attcollation = '\"C\"'::regcollation then 'C' else '' end
           from pg_attribute where attrelid = 'domain_events.events'::regclass and attnum > 0 and not attisdropped order by attnum",
    );
    assert_eq!(
        columns,
        "global_position|bigint|not null|\n\
         transaction_id|xid8|not null|\n\
         event_id|uuid|not null|\n\
         aggregate_type|text|not null|C\n\
         aggregate_id|text|not null|C\n\
         aggregate_version|bigint|not null|\n\
         event_type|text|not null|\n\
         event_name|text|null|\n\
         event_data|jsonb|not null|\n\
         metadata|jsonb|not null|\n\
         correlation_id|text|null|\n\
         causation_id|text|null|\n\
         caused_by|text|null|\n\
         schema_version|integer|not null|\n\
         occurred_at|timestamp with time zone|not null|\n\
         recorded_at|timestamp with time zone|not null|\n\
         origin|domain_events.event_origin|not null|C"
    );
}

fn events_has_the_promised_keys(db: &Db) {
    let keys = db.admin().table(
        "select conname, pg_get_constraintdef(oid) from pg_constraint
          where conrelid = 'domain_events.events'::regclass and contype in ('u', 'p') order by conname",
    );
    assert_eq!(
        keys,
        "events_event_id_key|UNIQUE (event_id)\n\
         events_pkey|PRIMARY KEY (global_position)\n\
         uk_aggregate_version|UNIQUE (aggregate_type, aggregate_id, aggregate_version)"
    );
    // Version 0 is refused by the table itself, whoever writes.
    db.admin()
        .error(
            "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
             values ('User', '1', 0, 'UserCreated')",
        )
        .expect_code("23514");
}

fn streams_lists_every_stream(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'UserCreated')");
    s.run("select domain_events.append_event('User', '1', 'UserRenamed')");
    s.run("select domain_events.append_event('Order', '1', 'OrderPlaced')");
    let streams = s.table(
        "select s.aggregate_type, s.aggregate_id, s.version,
                s.first_recorded_at = min(e.recorded_at), s.last_recorded_at = max(e.recorded_at)
           from domain_events.streams s join domain_events.events e using (aggregate_type, aggregate_id)
          group by 1, 2, 3, s.first_recorded_at, s.last_recorded_at order by 1, 2",
    );
    assert_eq!(streams, "Order|1|1|t|t\nUser|1|2|t|t");
    db.check_versions();
}

fn every_object_has_a_comment(db: &Db) {
    let silent = db.admin().table(
        "with n as (select 'domain_events'::regnamespace::oid as oid)
         select 'schema', nspname::text from pg_namespace, n
          where pg_namespace.oid = n.oid and obj_description(pg_namespace.oid, 'pg_namespace') is null
         union all
         select c.relkind::text, c.relname::text from pg_class c, n
          where c.relnamespace = n.oid and obj_description(c.oid, 'pg_class') is null
            and c.relkind in ('r', 'p', 'v', 'm', 'S')
         union all
         select 'index', c.relname::text from pg_class c, n
          where c.relnamespace = n.oid and c.relkind = 'i' and obj_description(c.oid, 'pg_class') is null
            and not exists (select from pg_constraint k where k.conindid = c.oid)
         union all
         select 'column', c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid, n
          where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
            and col_description(c.oid, a.attnum) is null
         union all
         select 'function', p.oid::regprocedure::text from pg_proc p, n
          where p.pronamespace = n.oid and obj_description(p.oid, 'pg_proc') is null
         union all
         select 'type', t.typname::text from pg_type t left join pg_class c on c.oid = t.typrelid, n
          where t.typnamespace = n.oid and t.typelem = 0 and coalesce(c.relkind, 'c') = 'c'
            and obj_description(t.oid, 'pg_type') is null
         union all
         select 'trigger', c.relname || '.' || t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid, n
          where c.relnamespace = n.oid and not t.tgisinternal and obj_description(t.oid, 'pg_trigger') is null
         order by 1, 2",
    );
    assert_eq!(silent, "", "objects without a comment");
}

fn functions_have_a_pinned_search_path(db: &Db) {
    // A security definer function without a pinned search_path runs whatever its caller puts first.
    let open = db.admin().table(
        "select p.oid::regprocedure from pg_proc p
          where p.pronamespace = 'domain_events'::regnamespace and p.prosecdef
            and not exists (select from unnest(p.proconfig) as c where c ~ '^search_path=.*pg_temp$')
            and p.prolang <> (select oid from pg_language where lanname = 'c')",
    );
    assert_eq!(open, "", "security definer functions whose search_path is not pinned, or does not end in pg_temp");
}

fn the_public_may_nothing(db: &Db) {
    let stranger = db.role("stranger");
    let mut s = db.session(&stranger);
    for sql in [
        "select * from domain_events.events",
        "select * from domain_events.streams",
        "select * from domain_events.captures",
        "select domain_events.append_event('User', '1', 'UserCreated')",
        "select domain_events.append_events('User', '1', '[]')",
        "select domain_events.next_aggregate_version('User', '1')",
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('a', 'b', 1, 'c')",
        "select domain_events.fold_stream('User', '1')",
        "select domain_events.enable_capture('pg_catalog.pg_class')",
        "select nextval('domain_events.events_global_position_seq')",
    ] {
        s.error(sql).expect_code("42501");
    }
}

fn internal_functions_are_private(db: &Db) {
    let stranger = db.role("stranger");
    let mut s = db.admin();
    for role in [&*stranger, "domain_events_reader", "domain_events_writer", "domain_events_admin"] {
        let callable = s.table(&format!(
            "select p.oid::regprocedure from pg_proc p
              where p.pronamespace = 'domain_events'::regnamespace and (p.proname like '\\_%' or p.prorettype = 'trigger'::regtype)
                and has_function_privilege('{role}', p.oid, 'execute') order by 1"
        ));
        // Internal functions that public ones call as their caller are listed in the SQL; none may write for the caller.
        let dangerous = s.table(&format!(
            "select p.oid::regprocedure from pg_proc p
              where p.pronamespace = 'domain_events'::regnamespace and p.prosecdef
                and (p.proname like '\\_%' or p.prorettype = 'trigger'::regtype)
                and '{role}' <> 'domain_events_admin'
                and has_function_privilege('{role}', p.oid, 'execute') order by 1"
        ));
        assert_eq!(dangerous, "", "security definer internals that {role} may call");
        if role == stranger {
            assert_eq!(callable, "", "internal functions that everybody may call");
        }
    }
}

fn a_reader_reads_only(db: &Db) {
    let role = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {role}"));
    db.owner().run("select domain_events.append_event('User', '1', 'UserCreated')");
    let mut s = db.session(&role);
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
    assert_eq!(s.one("select count(*) from domain_events.streams"), "1");
    s.run("select domain_events.fold_stream('User', '1')");
    s.error("select domain_events.append_event('User', '1', 'UserRenamed')").expect_code("42501");
    s.error("select domain_events.next_aggregate_version('User', '1')").expect_code("42501");
}

fn a_writer_appends_only(db: &Db) {
    let role = db.role("writer");
    db.admin().run(&format!("grant domain_events_writer to {role}"));
    let mut s = db.session(&role);
    assert_eq!(s.one("select (domain_events.append_event('User', '1', 'UserCreated')).aggregate_version"), "1");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "2");
    s.error("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('a', 'b', 1, 'c')")
        .expect_code("42501");
    for sql in [
        "update domain_events.events set event_type = 'x'",
        "delete from domain_events.events",
        "truncate domain_events.events",
    ] {
        s.error(sql).expect_code("42501");
    }
    db.check_versions();
}

fn an_admin_captures_own_tables_only(db: &Db) {
    let (role, other) = (db.role("admin"), db.role("plain"));
    db.admin().run(&format!(
        "grant domain_events_admin to {role};
         create schema s; grant create, usage on schema s to {role}, {other};
         create table s.foreign_owner (id int primary key)"
    ));
    let mut s = db.session(&role);
    s.run("create table s.mine (id int primary key); select domain_events.enable_capture('s.mine')");
    s.error("select domain_events.enable_capture('s.foreign_owner')").expect_code("42501");
    let mut plain = db.session(&other);
    plain.run("create table s.plains (id int primary key)");
    plain.error("select domain_events.enable_capture('s.plains')").expect_code("42501");
    s.run("insert into s.mine values (1)");
    db.check_table("Mine", "s.mine");
}

/// Names and types of the arguments are part of the contract: callers name them.
fn public_functions_are_as_promised(db: &Db) {
    let mut s = db.admin();
    let signature = |s: &mut domain_events_tests::Session, name: &str| {
        s.table(&format!(
            "select pg_get_function_identity_arguments(oid) || ' -> ' || pg_get_function_result(oid) from pg_proc
              where pronamespace = 'domain_events'::regnamespace and proname = '{name}' order by 1"
        ))
    };
    assert_eq!(
        signature(&mut s, "next_aggregate_version"),
        "aggregate_type text, aggregate_id text, event_table regclass -> bigint\n\
         stream text[], event_table regclass -> bigint"
    );
    assert_eq!(
        signature(&mut s, "append_event"),
        "aggregate_type text, aggregate_id text, event_type text, event_data jsonb, event_name text, metadata jsonb, \
         expected_version bigint, event_id uuid, caused_by text, correlation_id text, causation_id text, \
         occurred_at timestamp with time zone, schema_version integer -> domain_events.events"
    );
    assert_eq!(
        signature(&mut s, "append_events"),
        "aggregate_type text, aggregate_id text, events jsonb, expected_version bigint -> SETOF domain_events.events\n\
         events jsonb, expected jsonb -> SETOF domain_events.events"
    );
    assert!(signature(&mut s, "enable_capture").starts_with(
        "target regclass, aggregate_type text, aggregate_id text[], include text[], exclude text[], redact text[], \
         event_types jsonb, event_name_style text, payload text, on_failure text, baseline text, replication text"
    ));
    assert!(signature(&mut s, "disable_capture").starts_with("target regclass"));
    assert!(signature(&mut s, "pause_capture").starts_with("target regclass"));
    assert!(signature(&mut s, "resume_capture").starts_with("target regclass"));
    assert_eq!(
        signature(&mut s, "fold_stream"),
        "aggregate_type text, aggregate_id text, up_to_version bigint -> jsonb"
    );
    assert_eq!(
        signature(&mut s, "set_context"),
        "actor text, correlation_id text, causation_id text, metadata jsonb, local boolean -> void"
    );
    assert_eq!(
        signature(&mut s, "register_event_table"),
        "event_table regclass, stream_columns name[], version_column name -> void\n\
         event_table regclass, type_column name, id_column name, version_column name -> void"
    );
}

/// The installation of a superuser is the same store.
#[test]
fn portable_installed_by_a_superuser() {
    let db = Db::new(Engine::PortableSuper);
    engine_tells_its_name(&db);
    events_has_the_promised_columns(&db);
    the_public_may_nothing(&db);
    a_writer_appends_only(&db);
}
