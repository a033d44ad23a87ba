//! An upgrade leaves what a new installation makes, object by object. Until there are two releases, the one before is this one
//! with something of each kind as it may have been.

use std::collections::BTreeSet;

use domain_events_manifest::{Engine as Store, Manifest, SKELETON, expand, manifest};
use domain_events_tests::{Db, Engine, Session, all_engines, repository};

all_engines! { an_upgraded_store_equals_a_fresh_one, an_upgrade_that_fails_changes_nothing }

/// Everything in the schema with its definition, owner, rights and comment.
const OBJECTS: &str = "
    select 'function' as kind, p.oid::regprocedure::text as object, pg_get_functiondef(p.oid) as definition,
           pg_get_userbyid(p.proowner) as owner,
           (select array_agg(a::text order by a::text) from aclexplode(p.proacl) a)::text as rights,
           obj_description(p.oid, 'pg_proc') as comment
      from pg_proc p where p.pronamespace = 'domain_events'::regnamespace
    union all
    select 'relation ' || c.relkind::text, c.oid::regclass::text, coalesce(pg_get_viewdef(c.oid), (select array_agg(o order by o) from unnest(c.reloptions) o)::text),
           pg_get_userbyid(c.relowner), (select array_agg(a::text order by a::text) from aclexplode(c.relacl) a)::text,
           obj_description(c.oid, 'pg_class')
      from pg_class c where c.relnamespace = 'domain_events'::regnamespace
    union all
    select 'column', a.attrelid::regclass || '.' || a.attname,
           format('%s %s %s', format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), null, a.attacl::text,
           col_description(a.attrelid, a.attnum)
      from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.relnamespace = 'domain_events'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select 'constraint', c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid), null, null, obj_description(c.oid, 'pg_constraint')
      from pg_constraint c where c.connamespace = 'domain_events'::regnamespace
    union all
    select 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) || t.tgenabled::text, null, null, obj_description(t.oid, 'pg_trigger')
      from pg_trigger t join pg_class c on c.oid = t.tgrelid where c.relnamespace = 'domain_events'::regnamespace and not t.tgisinternal
    union all
    select 'member', pg_describe_object(d.classid, d.objid, 0), null, null, null, null
      from pg_depend d join pg_extension x on d.refclassid = 'pg_extension'::regclass and d.refobjid = x.oid
     where x.extname = 'pg_domain_events' and d.deptype = 'e'
    order by 1, 2";

fn installed() -> Manifest {
    let native = repository().join("pg_extension/sql/pg_domain_events--portable--0.1.0.sql");
    manifest(&repository().join("sql"), &native).expect("the files of sql/")
}

fn proof(engine: Engine) -> String {
    installed().proof(if engine == Engine::Native { Store::Native } else { Store::Portable })
}

/// The script of a release of which this was written by hand.
fn script(engine: Engine, by_hand: &str) -> String {
    let name = if engine == Engine::Native { "native" } else { "portable" };
    let skeleton = SKELETON.replace("ENGINE", name).replace("-- 2. ", &format!("{by_hand}\n-- 2. "));
    let script = expand(&skeleton, &installed(), false).expect("the script of an upgrade");
    // What only the server does in the script of an extension.
    let script = script.replace("MODULE_PATHNAME", "$libdir/pg_domain_events");
    script.replace("perform pg_catalog.pg_extension_config_dump(kept.name, '')", "null")
}

/// The release before: a function fewer and one more, another body, view, comment, right and setting, a table more.
const BEFORE: &str = "
    drop function domain_events.acknowledge_losses();
    create or replace function domain_events.engine(out engine text, out version text) language sql immutable parallel safe
      as $$ select 'old'::text, '0.0.9'::text $$;
    create or replace function domain_events._threshold(name text) returns numeric language sql as $$ select 0::numeric $$;
    create or replace view domain_events.thresholds as
      select d.name, d.value, d.value as default_value, d.description from domain_events._threshold_defaults() d(name, value, description);
    comment on table domain_events.events is 'old';
    comment on column domain_events.events.event_data is null;
    revoke execute on all functions in schema domain_events from domain_events_writer, domain_events_admin;
    grant update on domain_events.monitor_settings to domain_events_writer;
    create function domain_events._gone() returns int language sql as 'select 1';
    create table domain_events.old (n int);
    alter table domain_events.events reset (autovacuum_vacuum_scale_factor);";
const BY_HAND: &str = "
    drop function domain_events._gone(); drop table domain_events.old;
    alter table domain_events.events set (autovacuum_vacuum_scale_factor = 0.02);";

/// Whoever may upgrade: the store's owner, or a superuser.
fn set_back(db: &Db) -> Session {
    let mut s = if db.engine == Engine::Portable { db.owner() } else { db.admin() };
    if db.engine == Engine::Native {
        let functions = "alter extension pg_domain_events drop function domain_events";
        s.run(&format!("{functions}.acknowledge_losses(); {functions}._plan_basis(oid)"));
    }
    s.run(BEFORE);
    s
}

fn an_upgraded_store_equals_a_fresh_one(db: &Db) {
    db.owner().run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');",
    );
    let fresh = db.admin().table(OBJECTS);
    let mut s = set_back(db);
    assert_ne!(db.admin().table(OBJECTS), fresh);
    s.run(&format!("begin; {} commit", script(db.engine, BY_HAND)));
    if db.engine == Engine::Native {
        // The script of an extension does so by itself.
        let functions = "alter extension pg_domain_events add function domain_events";
        s.run(&format!("{functions}.acknowledge_losses(); {functions}._plan_basis(oid)"));
    }
    let upgraded = db.admin().table(OBJECTS);
    let [upgraded, fresh] = [&upgraded, &fresh].map(|table| table.lines().collect::<BTreeSet<_>>());
    assert_eq!(upgraded.symmetric_difference(&fresh).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(s.one("select engine from domain_events.engine()"), db.engine.name());
    assert_eq!(s.table(&proof(db.engine)), "");

    db.owner().run("update users set name = 'b'");
    db.check_table("User", "users");
}

fn an_upgrade_that_fails_changes_nothing(db: &Db) {
    let mut s = set_back(db);
    let before = db.admin().table(OBJECTS);
    let failed = s.error(&script(db.engine, &format!("{BY_HAND} select 1 / 0;")));
    failed.expect_code("22012");
    assert_eq!(db.admin().table(OBJECTS), before);
}
