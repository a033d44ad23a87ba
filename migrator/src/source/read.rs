//! Reading the catalogue of a live server.

use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use super::{Catalogue, Function, Store};
use crate::as_owner;
use crate::db;
use crate::error::{Doing, Error};
use crate::store;

/// Schemas that hold no user's objects, and objects that belong to an extension.
const FOREIGN: &str = "n.nspname not in ('pg_catalog', 'information_schema', 'domain_events') and n.nspname !~ '^pg_(toast|temp_|toast_temp_)'";

/// What makes a function the one that was planned for; `p` is its row in pg_proc.
pub(crate) const FUNCTION_FINGERPRINT: &str = "pg_catalog.md5(pg_catalog.pg_get_functiondef(p.oid))";

/// What makes a trigger the one that was planned for; `t` is its row in pg_trigger.
pub(crate) const TRIGGER_FINGERPRINT: &str =
    "pg_catalog.md5(pg_catalog.pg_get_triggerdef(t.oid) || pg_catalog.pg_get_functiondef(t.tgfoid))";

/// What makes a table the one that was planned for: its columns and unique keys. `c` is its row in pg_class.
pub(crate) const TABLE_FINGERPRINT: &str = "pg_catalog.md5(coalesce((select pg_catalog.string_agg(pg_catalog.format('%s %s %s %s', \
    fa.attname, pg_catalog.format_type(fa.atttypid, fa.atttypmod), fa.attnotnull, fa.attgenerated), ',' order by fa.attnum) \
    from pg_catalog.pg_attribute fa where fa.attrelid = c.oid and fa.attnum > 0 and not fa.attisdropped), '') \
    || coalesce((select pg_catalog.string_agg(pg_catalog.pg_get_indexdef(fi.indexrelid), ',' order by fi.indexrelid) \
    from pg_catalog.pg_index fi where fi.indrelid = c.oid and fi.indisunique and fi.indisvalid), ''))";

/// What depends on a table being a table, in words. `c` is its row in pg_class.
const BOUND: &str = "\
    select 'row level security' where c.relrowsecurity \
    union all select 'its partitions or children' from pg_catalog.pg_inherits h where c.oid in (h.inhrelid, h.inhparent) \
    union all select pg_catalog.format('rule %s', r.rulename) from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN' \
    union all select pg_catalog.format('publication %s', p.pubname) from pg_catalog.pg_publication p \
     where p.puballtables or exists (select from pg_catalog.pg_publication_rel l where l.prpubid = p.oid and l.prrelid = c.oid) \
    union all select pg_catalog.format('foreign key %s, which changes or deletes its rows', f.conname) from pg_catalog.pg_constraint f \
     where f.conrelid = c.oid and f.contype = 'f' and (f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd')) \
    union all select pg_catalog.format('%s, which names it by number', pg_catalog.pg_describe_object(d.classid, d.objid, 0)) from pg_catalog.pg_depend d \
     where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid \
    union all select pg_catalog.format('%s, which uses its row type', pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)) from pg_catalog.pg_depend d \
     where d.refclassid = 'pg_catalog.pg_type'::regclass and d.deptype = 'n' \
       and d.refobjid in (c.reltype, (select y.typarray from pg_catalog.pg_type y where y.oid = c.reltype))";

/// Reads everything in one READ ONLY snapshot of its own.
pub async fn read(conn: &mut PgConnection) -> Result<Catalogue, Error> {
    as_owner::begin_read_only(conn, &[]).await?;
    let read = read_in_transaction(conn).await;
    db::rollback(conn).await?;
    read
}

/// Reads everything in the caller's transaction. Sets `search_path` to nothing for the rest of it, so that every
/// definition comes out fully qualified.
pub async fn read_in_transaction(conn: &mut PgConnection) -> Result<Catalogue, Error> {
    // the path of the role's own functions, before the one of ours
    db::execute(conn, "set local search_path = default", "reading the search path").await?;
    let (database, server_version, search_path, role, time_zone): (String, i32, Vec<String>, String, String) = sqlx::query_as(
        "select pg_catalog.current_database()::text, pg_catalog.current_setting('server_version_num')::int, \
         array(select s::text from pg_catalog.unnest(pg_catalog.current_schemas(false)) s), session_user::text, pg_catalog.current_setting('TimeZone')",
    )
    .fetch_one(&mut *conn)
    .await
    .doing("reading the server's version")?;
    db::pin_settings(conn).await?;
    let mut functions: Vec<Function> = rows(conn, &functions_sql(), "reading the functions").await?;
    for function in &mut functions {
        function.search_path = function.settings.iter().find_map(|s| s.strip_prefix("search_path=")).map(identifiers);
    }
    let triggers: Vec<super::Trigger> = rows(conn, &triggers_sql(), "reading the triggers").await?;
    let rules: Vec<super::Rule> = rows(conn, &rules_sql(), "reading the rules").await?;
    Ok(Catalogue {
        database,
        server_version,
        search_path,
        role,
        time_zone,
        relations: rows(conn, &relations_sql(), "reading the tables").await?,
        statements: functions.len() + triggers.len() + rules.len(),
        functions,
        triggers,
        rules,
        store: the_store(conn).await?,
        ..Catalogue::default()
    })
}

async fn rows<T: DeserializeOwned>(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<Vec<T>, Error> {
    let sql = format!("select coalesce(pg_catalog.json_agg(q), '[]')::text from ({sql}) q");
    let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.as_str())).fetch_one(conn).await.doing(doing)?;
    serde_json::from_str(&text).map_err(|e| Error::json(doing, e))
}

fn relations_sql() -> String {
    format!(
        "select c.oid::int8 as oid, n.nspname as schema, c.relname as name, c.oid::regclass::text as quoted, c.relkind::text as kind,
                c.relispartition as is_partition, coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid)::int8 as root,
                pg_catalog.pg_get_userbyid(c.relowner)::text as owner, pg_catalog.obj_description(c.oid, 'pg_class') as comment,
                case when c.reltuples > 0 then c.reltuples::float8 else 0 end as estimated_rows,
                coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
                    'category', coalesce(b.typcategory, t.typcategory)::text,
                    'base', pg_catalog.format_type(b.oid, t.typtypmod), 'not_null', a.attnotnull,
                    'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'identity', a.attidentity::text, 'generated', a.attgenerated::text,
                    'references', exists (select from pg_catalog.pg_constraint f where f.conrelid = c.oid and f.contype = 'f' and a.attnum = any (f.conkey)),
                    'comment', pg_catalog.col_description(c.oid, a.attnum),
                    'used', exists (select from pg_catalog.pg_depend u where u.refclassid = 'pg_catalog.pg_class'::regclass and u.refobjid = c.oid
                                     and u.refobjsubid = a.attnum and u.classid <> 'pg_catalog.pg_attrdef'::regclass
                                     -- since 18 NOT NULL is a constraint
                                     and not exists (select from pg_catalog.pg_constraint n where u.classid = 'pg_catalog.pg_constraint'::regclass and n.oid = u.objid and n.contype = 'n'))) order by a.attnum)
                  from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
                  left join pg_catalog.pg_type b on b.oid = nullif(t.typbasetype, 0)
                  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
                coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', ic.relname, 'primary', i.indisprimary, 'columns',
                    (select pg_catalog.json_agg(a.attname order by k.n)
                       from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k(attnum, n)
                       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum where k.n <= i.indnkeyatts)) order by ic.relname)
                  from pg_catalog.pg_index i join pg_catalog.pg_class ic on ic.oid = i.indexrelid
                 where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null), '[]') as keys,
                coalesce((select pg_catalog.json_agg(g.grantee order by g.grantee) from (
                    select distinct case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end as grantee
                      from pg_catalog.aclexplode(c.relacl) x where x.privilege_type = 'INSERT' and x.grantee <> c.relowner) g), '[]') as inserters,
                exists (select from pg_catalog.pg_constraint f where f.confrelid = c.oid and f.contype = 'f') as referenced,
                coalesce((select pg_catalog.json_agg(distinct v.ev_class::regclass::text) from pg_catalog.pg_depend d
                           join pg_catalog.pg_rewrite v on v.oid = d.objid where d.classid = 'pg_catalog.pg_rewrite'::regclass
                            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid and v.ev_class <> c.oid), '[]') as views,
                {TABLE_FINGERPRINT} as fingerprint, c.relacl::text as acl,
                array(select b.why from ({BOUND}) as b(why) order by 1) as bound,
                array(select a.attname::text from pg_catalog.pg_partitioned_table p cross join pg_catalog.unnest(p.partattrs::int2[]) with ordinality as k(attnum, n)
                        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum where p.partrelid = c.oid order by k.n) as partition_columns
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' and {FOREIGN}
            and not exists (select from pg_catalog.pg_depend e where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
          order by n.nspname, c.relname"
    )
}

fn functions_sql() -> String {
    format!(
        "select p.oid::int8 as oid, n.nspname as schema, p.proname as name,
                pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) as identity,
                coalesce((select pg_catalog.json_agg(coalesce(a.name, '') order by a.n)
                            from pg_catalog.generate_series(1, p.pronargs) as s(n)
                            join lateral (select s.n, case when p.proargmodes is null then p.proargnames[s.n] else
                                 (select x.name from (select m.name, pg_catalog.row_number() over (order by m.i) as r
                                    from rows from (pg_catalog.unnest(p.proargnames), pg_catalog.unnest(p.proargmodes)) with ordinality as m(name, mode, i)
                                   where m.mode in ('i', 'b', 'v')) x where x.r = s.n) end as name) a on true), '[]') as arguments,
                l.lanname as language, p.prorettype = 'pg_catalog.trigger'::regtype as is_trigger, p.prosrc as source,
                pg_catalog.pg_get_functiondef(p.oid) as definition, {FUNCTION_FINGERPRINT} as fingerprint, p.prosecdef as security_definer,
                coalesce(pg_catalog.to_json(p.proconfig), '[]') as settings,
                p.provolatile::text as volatility, pg_catalog.pg_get_userbyid(p.proowner)::text as owner,
                pg_catalog.obj_description(p.oid, 'pg_proc') as comment, case when p.proacl is not null then array(select x.a from pg_catalog.unnest(p.proacl) x(a)
                          where not pg_catalog.starts_with(x.a::text, 'domain_events_guest='))::text end as acl
           from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang
          where p.prokind in ('f', 'p') and {FOREIGN}
            and not exists (select from pg_catalog.pg_depend e where e.classid = 'pg_catalog.pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
          order by n.nspname, p.proname, p.oid"
    )
}

fn triggers_sql() -> String {
    // the bits of tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate, 64 instead
    format!(
        "select t.oid::int8 as oid, t.tgname as name, t.tgrelid::int8 as relation, t.tgfoid::int8 as function, t.tgenabled::text as enabled,
                nullif(t.tgparentid::int8, 0) as parent,
                case when t.tgtype & 64 <> 0 then 'INSTEAD OF' when t.tgtype & 2 <> 0 then 'BEFORE' else 'AFTER' end as timing,
                pg_catalog.array_remove(array[case when t.tgtype & 4 <> 0 then 'INSERT' end, case when t.tgtype & 16 <> 0 then 'UPDATE' end,
                    case when t.tgtype & 8 <> 0 then 'DELETE' end, case when t.tgtype & 32 <> 0 then 'TRUNCATE' end], null) as events,
                t.tgtype & 1 <> 0 as row,
                coalesce((select pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.unnest(t.tgattr::int2[]) with ordinality as k(attnum, n)
                           join pg_catalog.pg_attribute a on a.attrelid = t.tgrelid and a.attnum = k.attnum), '[]') as columns,
                t.tgqual is not null as conditional,
                coalesce((select pg_catalog.json_agg(a.v order by a.n) from pg_catalog.unnest(pg_catalog.string_to_array(
                    pg_catalog.encode(t.tgargs, 'escape'), '\\000')) with ordinality as a(v, n) where a.n <= t.tgnargs), '[]') as arguments,
                pg_catalog.pg_get_triggerdef(t.oid) as definition, {TRIGGER_FINGERPRINT} as fingerprint, pg_catalog.obj_description(t.oid, 'pg_trigger') as comment
           from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where not t.tgisinternal and {FOREIGN}
          order by n.nspname, c.relname, t.tgname"
    )
}

fn rules_sql() -> String {
    format!(
        "select r.rulename as name, r.ev_class::int8 as relation, pg_catalog.pg_get_ruledef(r.oid) as definition
           from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where r.rulename <> '_RETURN' and {FOREIGN} order by n.nspname, c.relname, r.rulename"
    )
}

async fn the_store(conn: &mut PgConnection) -> Result<Option<Store>, Error> {
    // the store may be absent, of another version, or not ours at all
    let known: (bool, bool, Option<String>) = sqlx::query_as(
        "select coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('domain_events.engine()'), 'execute') \
         and pg_catalog.has_table_privilege(pg_catalog.to_regclass('domain_events.event_tables'), 'select'), false), \
         coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('domain_events.capture_config'), 'select'), false), \
         (select pg_catalog.pg_get_userbyid(nspowner)::text from pg_catalog.pg_namespace where nspname = 'domain_events')",
    )
    .fetch_one(&mut *conn)
    .await
    .doing("looking for the event store")?;
    let (true, has_captures, Some(owner)) = known else { return Ok(None) };
    let (engine, version) = store::engine(conn).await?;
    let doing = "reading the registered event tables";
    let sql = "select coalesce(pg_catalog.json_agg(q), '[]')::text from (select event_table::oid::int8 as oid, type_column, id_column, \
         version_column, stream_columns from domain_events.event_tables order by 1) q";
    let texts: Vec<(String,)> = as_owner::store_rows(conn, sql, "tables text", &[], doing).await?;
    let text = texts.first().map_or("[]", |(text,)| text.as_str());
    let event_tables = serde_json::from_str(text).map_err(|e| Error::json(doing, e))?;
    let captured = if has_captures {
        let sql = "select relation::oid::int8 from domain_events.capture_config order by 1";
        let captured: Vec<(i64,)> =
            as_owner::store_rows(conn, sql, "oid int8", &[], "reading the captured tables").await?;
        captured.into_iter().filter_map(|(oid,)| u32::try_from(oid).ok()).collect()
    } else {
        Vec::new()
    };
    let executors: Vec<String> = sqlx::query_scalar(
        "select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where pg_catalog.has_function_privilege(r.oid, \
         pg_catalog.to_regprocedure('domain_events.next_aggregate_version(text, text, regclass)'), 'execute') order by 1",
    )
    .fetch_all(&mut *conn)
    .await
    .doing("reading who may ask for a version")?;
    let may_grant: bool = sqlx::query_scalar(
        "select coalesce((select pg_catalog.pg_has_role(p.proowner, 'usage') from pg_catalog.pg_proc p where p.oid = \
         pg_catalog.to_regprocedure('domain_events.next_aggregate_version(text, text, regclass)')), false)",
    )
    .fetch_one(&mut *conn)
    .await
    .doing("reading who may grant")?;
    Ok(Some(Store { engine, version, owner, event_tables, captured, executors, may_grant }))
}

/// The names in a list of identifiers, as `search_path` holds them.
fn identifiers(list: &str) -> Vec<String> {
    let (mut names, mut name, mut quoted, mut chars) = (Vec::new(), String::new(), false, list.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if !quoted && c.is_whitespace() => {}
            c if !quoted => name.extend(c.to_lowercase()),
            c => name.push(c),
        }
    }
    names.push(name);
    names.retain(|n| !n.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::identifiers;

    #[test]
    fn a_search_path_is_split_as_the_server_does() {
        assert_eq!(identifiers("public, pg_temp"), ["public", "pg_temp"]);
        assert_eq!(identifiers("\"My, Schema\", \"a\"\"b\",X"), ["My, Schema", "a\"b", "x"]);
        assert!(identifiers("\"\"").is_empty());
    }
}
