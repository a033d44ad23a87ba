//! `install`: the store, by either engine, and the way from one engine to the other.

use serde_json::json;
use sqlx::PgConnection;

use crate::cli::InstallArgs;
use crate::commands::{indexes, kept};
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::engine_sql::{EXTENSION, FILES, VERSION, WRITERS};
use crate::error::{Error, Exit};
use crate::locks;
use crate::script::{self, Step};
use crate::store::Engine;
use crate::store::{self, Found, Powers};
use crate::{as_owner, proof};
use domain_events_sql::quote::quote_ident;

/// What an installation comes to, before anything is written.
#[derive(Debug)]
struct Decision {
    engine: Engine,
    /// The engine before, if there was one.
    from: Option<Engine>,
    steps: Vec<Step>,
    powers: Powers,
    /// Events of an earlier installation that are taken over.
    kept: Option<i64>,
    /// Privileges on the store that are not as installed, and are put right.
    privileges: i64,
}

/// Lets every object of the extension go, so that dropping it drops nothing else. Read from the catalogue: a later
/// version's objects need no list.
pub const DETACH_MEMBERS: &str = "\
do $detach$
declare
  member record;
begin
  for member in
    select i.type, i.identity
      from pg_catalog.pg_depend d
      join pg_catalog.pg_extension e on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
     cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
     where e.extname = 'pg_domain_events' and d.deptype = 'e'
       -- Since 17 row types and array types are members too, which go with their table or type and cannot go alone.
       and not (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                and exists (select from pg_catalog.pg_depend o where o.classid = d.classid and o.objid = d.objid and o.deptype = 'i'))
  loop
    execute pg_catalog.format('alter extension pg_domain_events drop %s %s',
                              pg_catalog.replace(member.type, 'composite type', 'type'), member.identity);
  end loop;
end
$detach$;";

/// What grant_privileges() cannot take back when a lesser owner of the store runs it.
const REVOKE_ON_SUPERUSERS: &str = "\
do $revoke$
declare
  excessive record;
begin
  for excessive in
    select p.oid::pg_catalog.regprocedure as function, case a.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end as grantee
      from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      join pg_catalog.pg_roles o on o.oid = p.proowner and o.rolsuper
     cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
     where n.nspname = 'domain_events' and p.proname = '_write_capture_function' and a.grantee not in (p.proowner, n.nspowner)
  loop
    execute pg_catalog.format('revoke all on function %s from %s', excessive.function, excessive.grantee);
  end loop;
end
$revoke$;";

/// The way from native to portable; events, captures and users' triggers stay as they are.
pub fn native_to_portable() -> Vec<Step> {
    vec![
        Step::new("portable functions", format!("alter extension {EXTENSION} update to 'portable';")),
        Step::new("let go of the extension's objects", DETACH_MEMBERS),
        Step::new("drop the empty extension", format!("drop extension {EXTENSION};")),
    ]
}

/// Runs the verb.
pub async fn run(args: &InstallArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    if args.dry_run {
        as_owner::begin_read_only(&mut conn, &[]).await?;
        db::pin_settings(&mut conn).await?;
        let decision = decide(args, &mut conn).await?;
        db::rollback(&mut conn).await?;
        return dry_run(&decision, args, ctx);
    }
    let decision = locks::with_lock_retry(&mut conn, args.lock.lock_timeout, ctx, async |conn| {
        locks::lock_for_transaction(conn).await?;
        db::pin_settings(conn).await?;
        let found = store::inspect(conn).await?;
        if matches!(found, Found::Foreign { kept_events: true, .. }) {
            found.check_changeable(&store::powers(conn).await?)?;
            kept::hold(conn).await?;
        }
        let decision = decide(args, conn).await?;
        if decision.from.is_some() && !decision.steps.is_empty() {
            if decision.engine == Engine::Native && decision.from != Some(decision.engine) {
                // Before the store, as writers do: who waits for the store while he holds a table would be waited for in turn.
                db::execute(conn, WRITERS, "waiting for those who write captured tables").await?;
            }
            proof::hold(conn).await?;
        }
        script::execute(&decision.steps, conn, ctx, "installing").await?;
        Ok(decision)
    })
    .await?;
    let powers = store::powers(&mut conn).await?;
    let indexes = indexes::make(&mut conn, &args.indexes, ctx).await?;
    report(&decision, &powers, &indexes, args, ctx)
}

async fn decide(args: &InstallArgs, conn: &mut PgConnection) -> Result<Decision, Error> {
    let found = store::inspect(conn).await?;
    let powers = store::powers(conn).await?;
    found.check_changeable(&powers)?;
    let from = found.engine();
    let engine = choose_engine(args.engine, from, &powers)?;
    let mut steps = steps(&found, engine);
    let privileges = match &found {
        Found::Store { .. } => misplaced_privileges(conn).await?,
        _ => 0,
    };
    if privileges > 0 {
        // what the store's owner puts in their place meanwhile is run by nobody else
        let owner = as_owner::Owner::of_store(conn).await?;
        if owner.is_other() {
            steps.insert(0, Step::new("privileges on functions of superusers", REVOKE_ON_SUPERUSERS));
        }
        steps.insert(0, Step::new("privileges", "select domain_events.grant_privileges();").of(owner));
    }
    let kept = match &found {
        Found::Foreign { kept_events: true, .. } => {
            steps = kept::around(steps, kept::made_again(conn).await?);
            Some(kept::count(conn).await?)
        }
        _ => None,
    };
    Ok(Decision { engine, from, steps, powers, kept, privileges })
}

/// How many findings there are about privileges: a dump that was restored without them lets everybody execute every function.
async fn misplaced_privileges(conn: &mut PgConnection) -> Result<i64, Error> {
    let sql = "select count(*) from domain_events._privilege_findings()";
    as_owner::store_count(conn, sql, "checking the privileges").await
}

/// An installed engine stays unless another one is asked for by name: nobody's engine changes under them.
fn choose_engine(asked: Option<Engine>, installed: Option<Engine>, powers: &Powers) -> Result<Engine, Error> {
    let engine = asked.or(installed).unwrap_or(if powers.native_offered && powers.native_allowed {
        Engine::Native
    } else {
        Engine::Portable
    });
    if engine == Engine::Native && installed != Some(Engine::Native) {
        if !powers.native_offered {
            return Err(Error::refused(
                "0A000",
                format!("the server does not offer extension {EXTENSION} {VERSION}; nothing was changed"),
                "Copy the extension's files to the server (docs/install.md), or use --engine portable.",
            ));
        }
        if !powers.native_allowed {
            return Err(Error::refused(
                "42501",
                format!("role \"{}\" may not create extension {EXTENSION}; nothing was changed", powers.role),
                "Connect as a superuser, or use --engine portable.",
            ));
        }
    }
    Ok(engine)
}

fn steps(found: &Found, engine: Engine) -> Vec<Step> {
    match (found, engine) {
        (Found::Store { .. }, _) if found.engine() == Some(engine) => Vec::new(),
        (Found::Store { extension, .. }, Engine::Native) => {
            let adopt = format!("create extension {EXTENSION} version 'portable';");
            let update = format!("alter extension {EXTENSION} update to '{VERSION}';");
            let mut steps = vec![Step::new("native functions", update)];
            if extension.is_none() {
                steps.insert(0, Step::new("adopt the portable objects", adopt));
            }
            steps
        }
        (Found::Store { .. }, Engine::Portable) => native_to_portable(),
        (_, Engine::Native) => {
            vec![Step::new("the extension", format!("create extension {EXTENSION} version '{VERSION}';"))]
        }
        (_, Engine::Portable) => FILES.iter().map(|(name, sql)| Step::new(*name, *sql)).collect(),
    }
}

fn dry_run(decision: &Decision, args: &InstallArgs, ctx: &Context) -> Result<Exit, Error> {
    let Decision { engine, from, steps, powers, kept, privileges } = decision;
    let indexes: Vec<Step> = indexes::steps(&args.indexes);
    if ctx.out.is_json() {
        ctx.out.json(&json!({
            "dry_run": true,
            "engine": engine.name(),
            "version": VERSION,
            "engine_before": from.map(Engine::name),
            "steps": steps,
            "indexes": indexes,
            "kept_events": kept,
            "privileges_mended": privileges,
            "missing_roles": powers.missing_roles,
        }))?;
    } else {
        script::print(steps, ctx)?;
        // each outside of a transaction
        indexes.iter().try_for_each(|step| ctx.out.line(format!("\n-- {}\n{}", step.title, step.sql)))?;
    }
    ctx.out.note(format!("dry run: {}; nothing was changed", describe(decision, "would be")));
    Ok(if steps.is_empty() && indexes.is_empty() { Exit::Clean } else { Exit::Pending })
}

fn describe(decision: &Decision, verb: &str) -> String {
    let name = decision.engine.name();
    match decision.from {
        Some(from) if from == decision.engine => format!("{name} engine {VERSION} is already installed"),
        Some(from) => format!("the engine {verb} switched from {} to {name} {VERSION}", from.name()),
        None => format!("{name} engine {VERSION} {verb} installed"),
    }
}

/// `decision.powers` is from before, `now` from after: the roles may have been created in between.
fn report(
    decision: &Decision,
    now: &Powers,
    indexes: &[String],
    args: &InstallArgs,
    ctx: &Context,
) -> Result<Exit, Error> {
    let run_as_superuser = role_statements(now);
    if ctx.out.is_json() {
        ctx.out.json(&json!({
            "engine": decision.engine.name(),
            "version": VERSION,
            "engine_before": decision.from.map(Engine::name),
            "changed": !decision.steps.is_empty() || !indexes.is_empty(),
            "kept_events": decision.kept,
            "privileges_mended": decision.privileges,
            "indexes_made": indexes,
            "native_offered": now.native_offered,
            "native_allowed": now.native_allowed,
            "missing_roles": now.missing_roles,
            "run_as_role_creator": run_as_superuser,
        }))?;
    }
    ctx.out.note(describe(decision, "was"));
    if decision.privileges > 0 {
        ctx.out.note(format!(
            "{} privileges on the store were not as installed: domain_events.grant_privileges() has put them right",
            decision.privileges
        ));
    }
    if let Some(events) = decision.kept {
        ctx.out.note(format!(
            "{events} events that an earlier uninstall had kept are in the store again, and their versions go on; tables are to be captured anew: domain-events capture enable TABLE"
        ));
    }
    indexes.iter().for_each(|name| ctx.out.note(format!("index {name} was built")));
    if args.engine.is_none() && decision.engine == Engine::Portable && decision.from.is_none() {
        let why = if now.native_offered {
            format!("role \"{}\" may not create extension {EXTENSION}", now.role)
        } else {
            format!("this server does not offer extension {EXTENSION} {VERSION}")
        };
        ctx.out.note(format!("portable because: {why}"));
    }
    if !run_as_superuser.is_empty() {
        ctx.out.note(format!(
            "the store works for its owner; role \"{}\" may not create roles, so let somebody who may run on this database:",
            now.role
        ));
        if !ctx.out.is_json() {
            for statement in run_as_superuser {
                ctx.out.line(statement)?;
            }
        }
    }
    Ok(Exit::Clean)
}

/// What somebody with CREATEROLE runs when the installer has no such right.
fn role_statements(powers: &Powers) -> Vec<String> {
    if powers.missing_roles.is_empty() {
        return Vec::new();
    }
    let mut statements: Vec<_> =
        powers.missing_roles.iter().map(|role| format!("create role {role} nologin;")).collect();
    let owner = quote_ident(&powers.role);
    statements.extend(powers.missing_roles.iter().map(|role| format!("grant {role} to {owner};")));
    statements.push(format!("select domain_events.grant_privileges();  -- as {owner} or a superuser"));
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(native_offered: bool, native_allowed: bool) -> Powers {
        Powers {
            role: "me".into(),
            superuser: false,
            create_role: false,
            native_offered,
            native_allowed,
            missing_roles: vec!["domain_events_reader".into()],
        }
    }

    fn store(engine: &str, extension: Option<&str>) -> Found {
        Found::Store {
            owner: "me".into(),
            mine: true,
            engine: engine.into(),
            version: VERSION.into(),
            extension: extension.map(str::to_owned),
        }
    }

    #[test]
    fn native_is_the_default_where_it_is_offered_and_allowed() {
        assert_eq!(choose_engine(None, None, &powers(true, true)).ok(), Some(Engine::Native));
        assert_eq!(choose_engine(None, None, &powers(true, false)).ok(), Some(Engine::Portable));
        assert_eq!(choose_engine(None, None, &powers(false, false)).ok(), Some(Engine::Portable));
    }

    #[test]
    fn an_installed_engine_stays_unless_another_is_named() {
        let both = powers(true, true);
        assert_eq!(choose_engine(None, Some(Engine::Portable), &both).ok(), Some(Engine::Portable));
        assert_eq!(choose_engine(Some(Engine::Native), Some(Engine::Portable), &both).ok(), Some(Engine::Native));
    }

    #[test]
    fn an_engine_that_cannot_be_had_is_refused_with_its_reason() {
        let state = |p| choose_engine(Some(Engine::Native), None, &p).err().and_then(|e| e.sqlstate());
        assert_eq!(state(powers(false, false)).as_deref(), Some("0A000"));
        assert_eq!(state(powers(true, false)).as_deref(), Some("42501"));
    }

    #[test]
    fn a_half_way_switch_is_completed() {
        let titles = |found: &Found, engine| steps(found, engine).into_iter().map(|s| s.sql).collect::<Vec<_>>();
        assert!(titles(&store("portable", None), Engine::Portable).is_empty());
        assert_eq!(titles(&store("portable", None), Engine::Native).len(), 2);
        assert_eq!(titles(&store("portable", Some("portable")), Engine::Native).len(), 1);
    }

    #[test]
    fn missing_roles_come_as_statements_to_run() {
        let statements = role_statements(&powers(false, false));
        assert_eq!(
            statements,
            [
                "create role domain_events_reader nologin;",
                "grant domain_events_reader to \"me\";",
                "select domain_events.grant_privileges();  -- as \"me\" or a superuser"
            ]
        );
    }
}
