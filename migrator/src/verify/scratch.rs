//! Copies of tables and functions in schemas that are never committed: one for each schema that something is copied from, in whose
//! place it is searched, so that a copy finds the names that the original finds and no others. A copy belongs to the original's
//! owner, and code of that owner runs on it: whoever could create something among the copies could have it called by the functions
//! of others. So each role makes its copies in a schema of its own, and the connected role puts them where they are used.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::retarget::{self, Names};
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::source::{Catalogue, Function, Relation};
use crate::sql_tree::plpgsql::replace_source;
use domain_events_sql::quote::quoted;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// The schemas with the copies of one side.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// What their names begin with.
    pub prefix: String,
    /// What is copied into them.
    pub copied: &'a Names,
    /// Where unqualified names are looked for, if a function does not say.
    pub path: &'a [String],
    /// The table whose trigger is replayed.
    pub table: &'a Relation,
}

impl Scratch<'_> {
    /// Creates the schemas.
    pub async fn create(&self, conn: &mut PgConnection, owners: &[Owner]) -> Result<(), Error> {
        let mut sql = String::new();
        for schema in self.originals().into_iter().filter_map(|s| self.schema(s)) {
            let schema = format!("schema {}", quote_ident(&schema));
            sql.push_str(&format!("create {schema}; grant usage on {schema} to public; "));
        }
        for owner in owners {
            if let Some(schema) = self.workshop(owner) {
                let schema = quote_ident(&schema);
                let grant = owner.grant("create, usage", &format!("schema {schema}"));
                sql.push_str(&format!("create schema if not exists {schema}; {grant}; "));
            }
        }
        db::execute(conn, &sql, "creating the scratch schemas").await
    }

    fn originals(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = self.copied.iter().map(|(schema, _)| schema.as_str()).collect();
        schemas.dedup();
        schemas
    }

    /// The schema with the copies of what is in a schema; none where nothing of it is copied.
    pub fn schema(&self, original: &str) -> Option<String> {
        let number = self.originals().iter().position(|s| *s == original)?;
        Some(format!("{}_{number}", self.prefix))
    }

    fn place(&self, original: &str) -> String {
        self.schema(original).unwrap_or_else(|| original.to_owned())
    }

    /// Where another role makes its copies. None for the connected role, which makes them where they are used.
    pub fn workshop(&self, owner: &Owner) -> Option<String> {
        owner.oid().map(|oid| format!("{}_of_{oid}", self.prefix))
    }

    /// The copy's qualified name.
    pub fn name(&self, relation: &Relation) -> String {
        format!("{}.{}", quote_ident(&self.place(&relation.schema)), quote_ident(&relation.name))
    }

    /// Puts what was made elsewhere into a schema; runs no code.
    pub async fn put(conn: &mut PgConnection, what: &str, schema: &str) -> Result<(), Error> {
        let sql = format!("alter {what} set schema {}", quote_ident(schema));
        db::execute(conn, &sql, "putting a copy into its place").await
    }

    /// Copies a table without its rows and triggers. Its sequences are replaced, so that the user's do not move.
    pub async fn table(
        &self,
        conn: &mut PgConnection,
        relation: &Relation,
        without_key_on: Option<&str>,
    ) -> Result<(), Error> {
        let doing = format!("copying {}", relation.quoted);
        let owner = Owner::of_table(conn, &relation.quoted).await?;
        let place = self.place(&relation.schema);
        let workshop = self.workshop(&owner);
        let schema = quote_ident(workshop.as_ref().unwrap_or(&place));
        let copy = format!("{schema}.{}", quote_ident(&relation.name));
        let like = format!("create table {copy} (like {} including all)", relation.quoted);
        as_owner::staged(conn, &owner, &like).await.doing(&doing)?;
        for (n, column) in relation.columns.iter().enumerate() {
            // identity columns get a sequence of their own from LIKE
            if column.identity.is_empty() && column.default.as_deref().is_some_and(|d| d.contains("nextval(")) {
                let sequence = format!("{schema}.{}", quote_ident(&format!("{}_{n}_seq", &relation.oid)));
                let sql = format!(
                    "create sequence {sequence}; alter table {copy} alter column {} set default pg_catalog.nextval({})",
                    quote_ident(&column.name),
                    quote_literal(&sequence)
                );
                as_owner::staged(conn, &owner, &sql).await.doing(&doing)?;
            }
        }
        self.constraint_names(conn, &owner, relation, &copy).await?;
        if let Some(version) = without_key_on {
            drop_version_keys(conn, &owner, &copy, version).await?;
        }
        if workshop.is_some() {
            Self::put(conn, &format!("table {copy}"), &place).await?;
        }
        let changer = Owner::of_table(conn, &self.table.quoted).await?;
        if changer.is_other() && changer != owner {
            db::execute(conn, &changer.grant("all", &self.name(relation)), "opening the copy").await?;
        }
        Ok(())
    }

    /// ON CONFLICT ON CONSTRAINT goes by name.
    async fn constraint_names(
        &self,
        conn: &mut PgConnection,
        owner: &Owner,
        relation: &Relation,
        copy: &str,
    ) -> Result<(), Error> {
        let renames: Vec<(String, String)> = sqlx::query_as(
            "select n.conname::text, o.conname::text from pg_catalog.pg_constraint o join pg_catalog.pg_constraint n \
             on n.contype = o.contype and n.conname <> o.conname and \
             (select pg_catalog.array_agg(a.attname order by k.i) from pg_catalog.unnest(o.conkey) with ordinality k(n, i) join pg_catalog.pg_attribute a on a.attrelid = o.conrelid and a.attnum = k.n) = \
             (select pg_catalog.array_agg(a.attname order by k.i) from pg_catalog.unnest(n.conkey) with ordinality k(n, i) join pg_catalog.pg_attribute a on a.attrelid = n.conrelid and a.attnum = k.n) \
             where o.contype in ('p', 'u') and o.conrelid = pg_catalog.to_regclass($1) and n.conrelid = pg_catalog.to_regclass($2)",
        )
        .bind(&relation.quoted)
        .bind(copy)
        .fetch_all(&mut *conn)
        .await
        .doing("reading the keys of the copy")?;
        for (from, to) in renames {
            let sql = format!("alter table {copy} rename constraint {} to {}", quote_ident(&from), quote_ident(&to));
            as_owner::staged(conn, owner, &sql).await.doing("naming the keys of the copy")?;
        }
        Ok(())
    }

    /// Creates a function that works on the copies.
    pub async fn function(
        &self,
        conn: &mut PgConnection,
        function: &Function,
        definition: &str,
        fires_on: &Relation,
    ) -> Result<(), Error> {
        let unverified = |reason: String| Error::refused("0A000", format!("{}: {reason}", function.identity), "");
        let owner = Owner::named(conn, &function.owner).await?;
        let place = self.place(&function.schema);
        let workshop = self.workshop(&owner);
        let made_in = workshop.as_ref().unwrap_or(&place);
        let text = self.retargeted(function, definition, made_in, fires_on).map_err(unverified)?;
        let doing = format!("copying {}", function.identity);
        as_owner::staged(conn, &owner, &text).await.doing(&doing)?;
        // behind the name, which may hold a parenthesis itself
        let name = format!("{}.{}(", quoted(&function.schema), quoted(&function.name));
        let arguments = function.identity.strip_prefix(&name).unwrap_or(")");
        let routine =
            |schema: &str| format!("routine {}.{}({arguments}", quote_ident(schema), quote_ident(&function.name));
        let sql = format!("alter {} set search_path = {}", routine(made_in), self.path_of(function));
        as_owner::staged(conn, &owner, &sql).await.doing(&doing)?;
        if workshop.is_some() {
            Self::put(conn, &routine(made_in), &place).await?;
        }
        // the function of a trigger is called by nobody, and whoever makes the trigger needs the right once
        if !function.is_trigger {
            self.rights(conn, function, &routine(&place)).await?;
        }
        Ok(())
    }

    /// Each schema behind the one with its copies.
    fn path_of(&self, function: &Function) -> String {
        let user = if function.security_definer { &function.owner } else { &self.table.owner };
        let own = function.search_path.as_deref().unwrap_or(self.path);
        let with_copies = own.iter().flat_map(|schema| {
            let real = if schema == "$user" { user } else { schema };
            self.schema(real).into_iter().chain([schema.clone()])
        });
        let path: Vec<String> = with_copies.map(|s| quote_ident(&s)).collect();
        if path.is_empty() { "''".to_owned() } else { path.join(", ") }
    }

    /// Who may not call the original may not call the copy.
    async fn rights(&self, conn: &mut PgConnection, function: &Function, copy: &str) -> Result<(), Error> {
        let callers: Vec<(String, bool)> = sqlx::query_as(
            "select case a.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end, a.grantee = 0 \
               from pg_catalog.pg_proc p cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a \
              where p.oid::bigint = $1 and a.privilege_type = 'EXECUTE' and a.grantee <> p.proowner",
        )
        .bind(i64::from(function.oid))
        .persistent(false)
        .fetch_all(&mut *conn)
        .await
        .doing("reading who may call a function")?;
        if callers.iter().any(|(_, everybody)| *everybody) {
            return Ok(());
        }
        let mut sql = format!("revoke all on {copy} from public");
        for (caller, _) in callers {
            sql.push_str(&format!("; grant execute on {copy} to {caller}"));
        }
        db::execute(conn, &sql, "giving the rights on a copy").await
    }

    fn retargeted(
        &self,
        function: &Function,
        definition: &str,
        made_in: &str,
        fires_on: &Relation,
    ) -> Result<String, String> {
        // the body is one token of the definition: head and body are done apart
        let source = body_of(definition).ok_or("its body cannot be told from its head")?;
        let body = retarget::retarget(source, self.copied, &|schema, _| self.place(schema))?;
        let body = if function.is_trigger { retarget::firing(&body, fires_on)? } else { body };
        let whole = replace_source(definition, source, &body).ok_or("its body cannot be replaced")?;
        let mut names = self.copied.clone();
        names.insert((function.schema.clone(), function.name.clone()));
        let at = whole.find(&body).ok_or("its body cannot be found")?;
        let head = retarget_head(&whole[..at], &names, &|schema, name| {
            if (schema, name) == (&function.schema, &function.name) { made_in.to_owned() } else { self.place(schema) }
        });
        Ok(format!("{head}{}", &whole[at..]))
    }

    /// Creates a trigger on a copy.
    pub async fn trigger(
        &self,
        conn: &mut PgConnection,
        definition: &str,
        names: &Names,
        table: &Relation,
    ) -> Result<(), Error> {
        let text = retarget::retarget(definition, names, &|schema, _| self.place(schema))
            .map_err(|reason| Error::refused("0A000", reason, ""))?;
        let owner = Owner::of_table(conn, &table.quoted).await?;
        as_owner::staged(conn, &owner, &text).await.doing("creating the trigger on the copy")?;
        Ok(())
    }
}

/// The body in a `pg_get_functiondef` text.
pub fn body_of(definition: &str) -> Option<&str> {
    let scan = pg_query::scan(definition).ok()?;
    let mut words = scan.tokens.iter().filter_map(|t| definition.get(t.start as usize..t.end as usize));
    let token = words.rfind(|w| w.starts_with('$'))?;
    let tag = &token[..token[1..].find('$')? + 2];
    token.strip_prefix(tag)?.strip_suffix(tag)
}

/// The head up to the opening delimiter: scanned with the delimiter cut off.
fn retarget_head(head: &str, names: &Names, schema: &dyn Fn(&str, &str) -> String) -> String {
    let cut = head.rfind('$').and_then(|end| head[..end].rfind('$')).unwrap_or(head.len());
    let changed = retarget::retarget(&head[..cut], names, schema).unwrap_or_else(|_| head[..cut].to_owned());
    format!("{changed}{}", &head[cut..])
}

/// Everything that must be copied so that the trigger's function touches no table of the user: the tables it writes, and
/// the functions on the way.
pub fn closure<'a>(
    catalogue: &'a Catalogue,
    roots: &[&'a Function],
    tables: &[&'a Relation],
) -> (Vec<&'a Function>, Names) {
    let mut names: Names = tables.iter().map(|r| (r.schema.clone(), r.name.clone())).collect();
    let mut functions: Vec<&Function> = roots.to_vec();
    // each text is scanned once: a database may have thousands of functions
    let mut words: HashSet<String> = roots.iter().flat_map(|f| retarget::words(&f.source)).collect();
    loop {
        let touches = |f: &&Function| {
            let own = retarget::words(&f.source);
            names.iter().any(|(_, n)| own.contains(n))
        };
        let more: Vec<&Function> = catalogue
            .functions
            .iter()
            .filter(|f| !f.is_trigger && words.contains(&f.name) && !functions.iter().any(|k| k.oid == f.oid))
            .filter(touches)
            .collect();
        if more.is_empty() {
            return (functions, names);
        }
        for function in more {
            names.insert((function.schema.clone(), function.name.clone()));
            words.extend(retarget::words(&function.source));
            functions.push(function);
        }
    }
}

/// Drops the unique keys over the version from a copy of an event table: the legacy versions may collide, that is what is
/// being repaired.
pub(super) async fn drop_version_keys(
    conn: &mut PgConnection,
    owner: &Owner,
    table: &str,
    version: &str,
) -> Result<(), Error> {
    let drops: Vec<String> = sqlx::query_scalar(
        "select case when c.oid is null then pg_catalog.format('drop index %s', i.indexrelid::regclass) \
         else pg_catalog.format('alter table %s drop constraint %I', i.indrelid::regclass, c.conname) end \
         from pg_catalog.pg_index i left join pg_catalog.pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid \
         where i.indrelid = pg_catalog.to_regclass($1) and i.indisunique and exists (select from pg_catalog.pg_attribute a \
         where a.attrelid = i.indrelid and a.attname = $2 and a.attnum = any (i.indkey))",
    )
    .bind(table)
    .bind(version)
    .fetch_all(&mut *conn)
    .await
    .doing("reading the keys of the copy")?;
    for sql in drops {
        as_owner::staged(conn, owner, &sql).await.doing("dropping the key of the copy")?;
    }
    Ok(())
}
