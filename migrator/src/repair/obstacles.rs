//! Why a table's versions must not be changed: somebody refers to them, they are part of a hash, or the table refuses.

use serde::Serialize;
use sqlx::PgConnection;

use super::Subject;
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::Error;

/// One reason against renumbering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// RP2 and two digits.
    pub code: &'static str,
    /// The constraint, trigger, column or rule.
    pub object: String,
    /// Why.
    pub reason: String,
    /// Whether `--allow OBJECT` sets it aside.
    pub may_be_allowed: bool,
}

/// Everything against it, but for what was allowed by name.
pub async fn find(conn: &mut PgConnection, subject: &Subject, allowed: &[String]) -> Result<Vec<Obstacle>, Error> {
    if subject.is_store() {
        return Ok(vec![Obstacle {
            code: "RP200",
            object: subject.table.clone(),
            reason: "the event store is append-only: its versions are never changed; see domain-events monitor".into(),
            may_be_allowed: false,
        }]);
    }
    let mut all = vec![];
    if subject.key.is_empty() {
        all.push(Obstacle {
            code: "RP207",
            object: subject.table.clone(),
            reason: "it has no primary key by which an event could be named: add one, for example a column generated always as identity".into(),
            may_be_allowed: false,
        });
    }
    let owner = Owner::of_table(conn, &subject.table).await?;
    let arguments = [subject.table.as_str(), subject.version_column.as_str()];
    for (code, may_be_allowed, sql) in QUERIES {
        let doing = format!("looking for what forbids changes of {}", subject.table);
        // row security is that of the role which reads the rows
        let reader = if *code == "RP206" { owner.clone() } else { Owner::own() };
        let rows: Vec<(String, String)> =
            as_owner::rows(conn, &reader, sql, "object text, reason text", &arguments, &doing).await?;
        all.extend(rows.into_iter().map(|(object, reason)| Obstacle {
            code,
            object,
            reason,
            may_be_allowed: *may_be_allowed,
        }));
    }
    all.retain(|o| !(o.may_be_allowed && allowed.contains(&o.object)));
    Ok(all)
}

/// Refuses if there is any.
pub async fn expect_none(conn: &mut PgConnection, subject: &Subject, allowed: &[String]) -> Result<(), Error> {
    db::pin_settings(conn).await?;
    match find(conn, subject, allowed).await?.first() {
        None => Ok(()),
        Some(obstacle) => Err(refusal(subject, obstacle)),
    }
}

/// The refusal as an error.
pub fn refusal(subject: &Subject, obstacle: &Obstacle) -> Error {
    let hint = if obstacle.may_be_allowed {
        format!("If renumbering does no harm there: --allow {}", obstacle.object)
    } else if subject.is_store() {
        "Correct it with a new event: domain_events.append_event().".into()
    } else {
        "Remove the obstacle first; nothing was changed.".into()
    };
    let sqlstate = match obstacle.code {
        "RP200" => "23001",
        "RP201" => "23503",
        "RP207" => "42P16",
        _ => "55000",
    };
    Error::refused(
        sqlstate,
        format!(
            "the versions of {} cannot be changed: {} {}: {}",
            subject.table, obstacle.code, obstacle.object, obstacle.reason
        ),
        hint,
    )
}

/// Each gives object and reason, texts, for the table $1 and its version column $2, seen with a search_path of the catalogue alone.
const QUERIES: &[(&str, bool, &str)] = &[
    // a foreign key onto a key that holds the version
    ("RP201", false,
     "select f.conname::text, pg_catalog.format('the version is referenced by %s: %s', f.conrelid::regclass, pg_catalog.pg_get_constraintdef(f.oid))
        from pg_catalog.pg_constraint f
       where f.contype = 'f' and f.confrelid = $1::regclass
         and exists (select from pg_catalog.pg_attribute a where a.attrelid = f.confrelid and a.attname = $2 and a.attnum = any (f.confkey))
       order by 1"),
    // the table itself refers elsewhere by it
    ("RP201", false,
     "select f.conname::text, pg_catalog.format('the version is part of a reference: %s', pg_catalog.pg_get_constraintdef(f.oid))
        from pg_catalog.pg_constraint f
       where f.contype = 'f' and f.conrelid = $1::regclass
         and exists (select from pg_catalog.pg_attribute a where a.attrelid = f.conrelid and a.attname = $2 and a.attnum = any (f.conkey))
       order by 1"),
    // a trigger that an update fires: a guard refuses it, any other does more than renumber
    ("RP202", false,
     "select t.tgname::text, pg_catalog.format('an update fires %s, which %s', p.oid::regprocedure,
             case when p.prosrc ~* 'raise\\s+exception' then 'refuses it: the events are guarded as immutable'
                  else 'ignores it: the events are guarded as immutable' end)
        from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
       where t.tgrelid in (select $1::regclass union select r.relid from pg_catalog.pg_partition_tree($1::regclass) r) and not t.tgisinternal
         and t.tgenabled <> 'D' and t.tgtype & 16 <> 0 and t.tgparentid = 0
         and (p.prosrc ~* 'raise\\s+exception' or t.tgtype & 3 = 3 and p.prosrc ~* 'return\\s+(null|old)')
         and (t.tgattr = '' or exists (select from pg_catalog.pg_attribute a where a.attrelid = t.tgrelid and a.attname = $2 and a.attnum = any (t.tgattr)))
       order by 1"),
    ("RP203", true,
     "select t.tgname::text, pg_catalog.format('an update fires %s, which may do more than the repair should', p.oid::regprocedure)
        from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
       where t.tgrelid in (select $1::regclass union select r.relid from pg_catalog.pg_partition_tree($1::regclass) r) and not t.tgisinternal
         and t.tgenabled <> 'D' and t.tgtype & 16 <> 0 and t.tgparentid = 0
         and not (p.prosrc ~* 'raise\\s+exception' or t.tgtype & 3 = 3 and p.prosrc ~* 'return\\s+(null|old)')
         and (t.tgattr = '' or exists (select from pg_catalog.pg_attribute a where a.attrelid = t.tgrelid and a.attname = $2 and a.attnum = any (t.tgattr)))
       order by 1"),
    ("RP204", true,
     "select a.attname::text, 'by its name and type it holds a hash or a signature of the event, which may contain the version'
        from pg_catalog.pg_attribute a
       where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> $2
         and a.atttypid in ('bytea'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
         and a.attname ~* '(^|_)(hash|sha\\d*|md5|checksum|digest|hmac|mac|signature|fingerprint)($|_)'
       order by 1"),
    ("RP205", false,
     "select a.attname::text, pg_catalog.format('it is generated from the version: %s', pg_catalog.pg_get_expr(d.adbin, d.adrelid))
        from pg_catalog.pg_attribute a join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where a.attrelid = $1::regclass and a.attgenerated <> '' and exists (
             select from pg_catalog.pg_depend p join pg_catalog.pg_attribute v on v.attrelid = p.refobjid and v.attnum = p.refobjsubid
              where p.classid in ('pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_class'::regclass) and p.refobjid = $1::regclass and v.attname = $2
                and (p.classid = 'pg_catalog.pg_attrdef'::regclass and p.objid = d.oid
                     or p.classid = 'pg_catalog.pg_class'::regclass and p.objid = $1::regclass and p.objsubid = a.attnum))
       order by 1"),
    ("RP205", false,
     "select r.rulename::text, 'a rule rewrites updates of the table'
        from pg_catalog.pg_rewrite r where r.ev_class = $1::regclass and r.ev_type = '2' order by 1"),
    ("RP206", false,
     "select $1::text, 'row security hides events from this role: run it as a role that bypasses it' || pg_catalog.left($2, 0)
       where pg_catalog.row_security_active($1::regclass::oid)"),
];
