//! Whether captured tables are what their streams say, for `monitor --full`: `domain_events.check_rows()`, asked as each table's
//! owner, in batches, and no further than the threshold `checked_rows` allows.

use std::time::Instant;

use sqlx::PgConnection;

use super::{Check, Finding, Timing};
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;

/// Rows of one statement: so long a snapshot is held.
const BATCH: i64 = 10_000;
/// Ids that a finding names.
const NAMED: usize = 3;

/// A captured table.
#[derive(Debug)]
struct Table {
    // qualified and quoted
    name: String,
    is_lazy: bool,
    is_readable: bool,
    // where to begin, if it is too large to be compared whole
    middle: Option<String>,
}

/// What `check_rows()` gives: code, id, and where the next call goes on.
type Found = (Option<String>, Option<String>, Option<String>);

/// Captures that are active, of one type or all.
const CAPTURES: &str = "select k.target::oid::int8, k.baseline = 'lazy' from domain_events.captures k \
  where k.state = 'active' and ($1::text is null or k.aggregate_type = $1::text)";

/// Their tables. In one that is too large to be compared whole, each run begins somewhere else.
const TABLES: &str = "select pg_catalog.format('%I.%I', n.nspname, c.relname) as name, k.is_lazy, \
        pg_catalog.pg_has_role(c.relowner, 'usage') and pg_catalog.has_function_privilege( \
          case when me.rolsuper then c.relowner else me.oid end, 'domain_events.check_rows(regclass, int, text)', 'execute') as is_readable, \
        case when c.relkind = 'r' and c.reltuples > $3 \
             then pg_catalog.format('rows %s (%s,0)', c.oid::bigint, pg_catalog.floor(pg_catalog.random() * c.relpages)::bigint) end as middle \
   from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::boolean[])) as k(target, is_lazy) \
   join pg_catalog.pg_class c on c.oid::bigint = k.target join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
  cross join (select r.oid, r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) as me order by 1";

/// Compares the rows of every captured table, or of those of one type; and how long each took.
pub async fn check(conn: &mut PgConnection, aggregate_type: Option<&str>) -> Result<(Check, Vec<Timing>), Error> {
    let began = Instant::now();
    let doing = "reading the captures";
    let sql = "select value::bigint from domain_events.thresholds where name = 'checked_rows'";
    let limit: Vec<(i64,)> = as_owner::ask_store(conn, sql, "value int8", &[], doing).await?;
    let limit = limit.first().map_or(0, |(limit,)| *limit);
    let (mut findings, mut timings) = (vec![], vec![]);
    if limit > 0 {
        let captures: Vec<(i64, bool)> =
            as_owner::ask_store(conn, CAPTURES, "oid int8, is_lazy bool", &[aggregate_type], doing).await?;
        let (oids, lazy): (Vec<i64>, Vec<bool>) = captures.into_iter().unzip();
        let tables: Vec<(String, bool, bool, Option<String>)> =
            sqlx::query_as(TABLES).bind(oids).bind(lazy).bind(limit as f64).fetch_all(&mut *conn).await.doing(doing)?;
        for (name, is_lazy, is_readable, middle) in tables {
            let (section, began) = (format!("rows of {name}"), Instant::now());
            findings.extend(compare(conn, &Table { name, is_lazy, is_readable, middle }, limit).await?);
            timings.push(Timing { section, seconds: began.elapsed().as_secs_f64() });
        }
    }
    Ok((Check { seconds: began.elapsed().as_secs_f64(), findings }, timings))
}

async fn compare(conn: &mut PgConnection, table: &Table, limit: i64) -> Result<Vec<Finding>, Error> {
    if !table.is_readable {
        let why =
            "who looks has to be its owner and a member of domain_events_admin, or a superuser where the owner is one";
        return Ok(vec![unread(table, why)]);
    }
    let mut found: Vec<(String, String)> = vec![];
    let (mut after, mut left) = (table.middle.clone().unwrap_or_default(), limit);
    loop {
        let size = left.min(BATCH);
        let rows = match batch(conn, table, size, &after).await {
            Ok(rows) => rows,
            // what is wrong with a table is no reason not to look at the others, and a message could quote its rows
            Err(error) => {
                db::rollback(conn).await?;
                let why = match error.sqlstate().unwrap_or_default() {
                    code if code == "42P01" => "it was dropped or renamed meanwhile".to_owned(),
                    code => format!("SQLSTATE {code}"),
                };
                return Ok(told(table, &found).chain([unread(table, &why)]).collect());
            }
        };
        left -= size;
        let mut next = None;
        for (code, id, place) in rows {
            match code {
                Some(code) => found.push((code, id.unwrap_or_default())),
                None => next = place,
            }
        }
        match next {
            None if table.middle.is_none() => return Ok(told(table, &found).collect()),
            Some(place) if left > 0 => after = place,
            _ => {
                let why = format!(
                    "it has more than {limit} rows and streams: another run looks at others; all of them: select * from domain_events.check_rows({});",
                    quote_literal(&table.name)
                );
                return Ok(told(table, &found).chain([unread(table, &why)]).collect());
            }
        }
    }
}

async fn batch(conn: &mut PgConnection, table: &Table, size: i64, after: &str) -> Result<Vec<Found>, Error> {
    let doing = format!("comparing the rows of {}", table.name);
    as_owner::begin_read_only(conn, &[&table.name]).await?;
    let owner = Owner::of_table(conn, &table.name).await?;
    let sql = "select code, aggregate_id, next from domain_events.check_rows($1::regclass, $2::int, nullif($3, ''))";
    let columns = "code text, aggregate_id text, next text";
    let rows = as_owner::rows(conn, &owner, sql, columns, &[&table.name, &size.to_string(), after], &doing).await?;
    db::rollback(conn).await?;
    Ok(rows)
}

fn unread(table: &Table, why: &str) -> Finding {
    finding(table, "rows_unread", "info", format!("not all of its rows were compared with their streams: {why}"), None)
}

fn told<'a>(table: &'a Table, found: &'a [(String, String)]) -> impl Iterator<Item = Finding> + 'a {
    let codes = [
        (
            "row_differs",
            "warning",
            "are not what their streams say: they changed unseen, and their next events will tell",
        ),
        ("row_outdated", "info", "are older than the columns of the table, which their next events will tell"),
        ("row_gone", "warning", "are in their streams and not in the table: they went unseen"),
        (
            "row_unknown",
            if table.is_lazy { "info" } else { "warning" },
            "have no event: they came unseen, or before the capture",
        ),
    ];
    codes.into_iter().filter_map(move |(code, severity, what)| {
        let ids: Vec<&str> = found.iter().filter(|(c, _)| c == code).map(|(_, id)| id.as_str()).collect();
        if ids.is_empty() {
            return None;
        }
        let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if ids.len() > NAMED { ", .." } else { "" };
        let mend = format!("select * from domain_events.tell_rows({});", quote_literal(&table.name));
        let detail = format!("{} rows {what} ({named}{more}). The owner runs: {mend}", ids.len());
        Some(finding(table, code, severity, detail, Some(ids.len() as f64)))
    })
}

fn finding(table: &Table, code: &str, severity: &str, detail: String, value: Option<f64>) -> Finding {
    Finding {
        code: code.to_owned(),
        severity: severity.to_owned(),
        object: table.name.clone(),
        detail,
        value,
        threshold: None,
    }
}
