//! Copies of tables and functions in a schema that is never committed.

use sqlx::PgConnection;

use super::retarget::{self, Names};
use crate::as_owner::{self, Owner};
use crate::db::{self, quote_ident, quote_literal};
use crate::error::{Doing, Error};
use crate::judge::plpgsql::replace_source;
use crate::source::types::quoted;
use crate::source::{Catalogue, Function, Relation};

/// A schema with copies.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// Its name.
    pub schema: String,
    /// What is copied into it.
    pub copied: &'a Names,
    /// Where unqualified names are looked for behind it.
    pub path: &'a [String],
    /// The table whose trigger is replayed.
    pub table: &'a Relation,
}

impl Scratch<'_> {
    /// Creates the schema. What is in it belongs to whoever owns the original, and is used by all of them.
    pub async fn create(&self, conn: &mut PgConnection, owners: &[Owner]) -> Result<(), Error> {
        let schema = format!("schema {}", quote_ident(&self.schema));
        let mut sql = format!("create {schema}; grant usage on {schema} to public");
        for owner in owners.iter().filter(|o| o.is_other()) {
            sql.push_str(&format!("; {}", owner.grant("create", &schema)));
        }
        db::execute(conn, &sql, "creating the scratch schema").await
    }

    /// The copy's qualified name.
    pub fn name(&self, relation: &Relation) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&relation.name))
    }

    /// Copies a table without its rows and triggers. Its sequences are replaced, so that the user's do not move.
    pub async fn table(
        &self,
        conn: &mut PgConnection,
        relation: &Relation,
        without_key_on: Option<&str>,
    ) -> Result<(), Error> {
        let copy = self.name(relation);
        let doing = format!("copying {}", relation.quoted);
        let owner = Owner::of_table(conn, &relation.quoted).await?;
        let like = format!("create table {copy} (like {} including all)", relation.quoted);
        as_owner::staged(conn, &owner, &like).await.doing(&doing)?;
        for (n, column) in relation.columns.iter().enumerate() {
            // identity columns get a sequence of their own from LIKE
            if column.identity.is_empty() && column.default.as_deref().is_some_and(|d| d.contains("nextval(")) {
                let sequence =
                    format!("{}.{}", quote_ident(&self.schema), quote_ident(&format!("{}_{n}_seq", &relation.oid)));
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
        let changer = Owner::of_table(conn, &self.table.quoted).await?;
        if changer.is_other() && changer != owner {
            db::execute(conn, &changer.grant("all", &copy), "opening the copy").await?;
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
    pub async fn function(&self, conn: &mut PgConnection, function: &Function, definition: &str) -> Result<(), Error> {
        let unverified = |reason: String| Error::refused("0A000", format!("{}: {reason}", function.identity), "");
        let text = self.retargeted(function, definition).map_err(unverified)?;
        let owner = Owner::named(conn, &function.owner).await?;
        let doing = format!("copying {}", function.identity);
        as_owner::staged(conn, &owner, &text).await.doing(&doing)?;
        let own = function.search_path.as_deref().unwrap_or(self.path);
        let path: Vec<String> = std::iter::once(&self.schema).chain(own).map(|s| quote_ident(s)).collect();
        // behind the name, which may hold a parenthesis itself
        let name = format!("{}.{}(", quoted(&function.schema), quoted(&function.name));
        let arguments = function.identity.strip_prefix(&name).unwrap_or(")");
        let sql = format!(
            "alter routine {}.{}({arguments} set search_path = {}",
            quote_ident(&self.schema),
            quote_ident(&function.name),
            path.join(", ")
        );
        as_owner::staged(conn, &owner, &sql).await.doing(&doing)?;
        Ok(())
    }

    fn retargeted(&self, function: &Function, definition: &str) -> Result<String, String> {
        // the body is one token of the definition: head and body are done apart
        let source = body_of(definition).ok_or("its body cannot be told from its head")?;
        let body = retarget::retarget(source, self.copied, &self.schema)?;
        let body = if function.is_trigger { retarget::firing(&body, self.table)? } else { body };
        let whole = replace_source(definition, source, &body).ok_or("its body cannot be replaced")?;
        let mut names = self.copied.clone();
        names.insert((function.schema.clone(), function.name.clone()));
        let at = whole.find(&body).ok_or("its body cannot be found")?;
        let head = retarget_head(&whole[..at], &names, &self.schema);
        Ok(format!("{head}{}", &whole[at..]))
    }

    /// Creates a trigger on a copy.
    pub async fn trigger(&self, conn: &mut PgConnection, definition: &str, names: &Names) -> Result<(), Error> {
        let text = retarget::retarget(definition, names, &self.schema)
            .map_err(|reason| Error::refused("0A000", reason, ""))?;
        let owner = Owner::of_table(conn, &self.table.quoted).await?;
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
fn retarget_head(head: &str, names: &Names, schema: &str) -> String {
    let cut = head.rfind('$').and_then(|end| head[..end].rfind('$')).unwrap_or(head.len());
    let changed = retarget::retarget(&head[..cut], names, schema).unwrap_or_else(|_| head[..cut].to_owned());
    format!("{changed}{}", &head[cut..])
}

/// Everything that must be copied so that the trigger's function touches no table of the user: the tables it writes, and
/// the functions on the way.
pub fn closure<'a>(
    catalogue: &'a Catalogue,
    root: &'a Function,
    tables: &[&'a Relation],
) -> (Vec<&'a Function>, Names) {
    let mut names: Names = tables.iter().map(|r| (r.schema.clone(), r.name.clone())).collect();
    let mut functions: Vec<&Function> = vec![root];
    // each text is scanned once: a database may have thousands of functions
    let mut words = retarget::words(&root.source);
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
