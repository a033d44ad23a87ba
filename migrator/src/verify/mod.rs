//! Proving that old and new write the same events: the same changes are replayed through both on copies, in a transaction
//! that is rolled back, and what they wrote is compared column by column.

mod adopted;
mod application;
mod changes;
mod check;
mod lint;
pub mod recorded;
pub mod replay;
mod retarget;
mod scratch;
mod stage;
mod tried;

use serde::Serialize;
use sqlx::PgConnection;

use recorded::Recorded;
use tried::Tried;

use crate::apply::{self, journal};
use crate::context::Context;
use crate::db;
use crate::error::Error;
use crate::judge::{self, Report, Strategy};
use crate::plan::{Plan, Port};
use crate::source::{self, Catalogue};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same events, up to what is declared.
    Equal,
    /// Other events.
    Different,
    /// It could not be tried.
    Unverified,
}

impl Verdict {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Unverified => "unverified",
        }
    }
}

/// One trigger, old against new.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The plan.
    pub plan_id: String,
    /// The trigger, or the function where there is none.
    pub trigger: Option<String>,
    /// Its table.
    pub table: Option<String>,
    /// Where its events go.
    pub event_table: Option<String>,
    /// How it was ported.
    pub strategy: Strategy,
    /// What came out.
    pub verdict: Verdict,
    /// Changes replayed.
    pub changes: usize,
    /// Events compared.
    pub events: usize,
    /// What differs, or why it could not be tried.
    pub differences: Vec<String>,
    /// What may differ, as the plan says.
    pub declared: Vec<String>,
}

/// Checks every port of a plan. `real` replays on the tables themselves: only for a copy of the database.
pub async fn verify(
    conn: &mut PgConnection,
    plan: &Plan,
    real: bool,
    recorded: &[Recorded],
    ctx: &Context,
) -> Result<Vec<Check>, Error> {
    let ports: Vec<&Port> = plan.ports.iter().filter(|p| p.strategy != Strategy::Manual).collect();
    let mut catalogue = source::read(conn).await?;
    catalogue.treats.clone_from(&plan.treat);
    let report = judge::judge(&catalogue);
    let ground = Ground { plan, catalogue: &catalogue, report: &report, real, recorded };
    let bar = ctx.out.progress(ports.len() as u64, "replaying");
    let mut checks: Vec<Check> = vec![];
    for port in ports {
        bar.inc(1);
        let same = |c: &&mut Check| {
            c.trigger == port.trigger
                && c.table == port.table
                && c.event_table == port.event_table
                && port.trigger.is_some()
        };
        // a trigger's function is replayed as a whole, whatever the number of its statements
        if let Some(known) = checks.iter_mut().find(same) {
            let more =
                port.declared_differences.iter().filter(|d| !known.declared.contains(d)).cloned().collect::<Vec<_>>();
            known.declared.extend(more);
            continue;
        }
        checks.push(one(conn, &ground, port).await?);
    }
    // a table that only the application writes
    for legacy in &plan.adoptions {
        let table = legacy.view_name();
        if !checks.iter().any(|c| c.event_table.as_ref() == Some(&table) && c.strategy != Strategy::Capture) {
            checks.push(one(conn, &ground, &adopted::port(&table)).await?);
        }
    }
    bar.finish_and_clear();
    Ok(checks)
}

/// What all checks of a run share.
struct Ground<'a> {
    plan: &'a Plan,
    catalogue: &'a Catalogue,
    report: &'a Report,
    real: bool,
    recorded: &'a [Recorded],
}

async fn one(conn: &mut PgConnection, ground: &Ground<'_>, port: &Port) -> Result<Check, Error> {
    let begin = "begin; set local lock_timeout = '500ms'; set local client_min_messages = warning; \
                 set local check_function_bodies = off";
    db::execute(conn, begin, "beginning a transaction").await?;
    db::pin_settings(conn).await?;
    let tried = tried(conn, ground, port).await;
    // rolled back whatever happened; a broken connection has nothing to keep
    let rolled_back = db::rollback(conn).await;
    let (verdict, tried) = match tried {
        Ok(mut tried) if !tried.differences.is_empty() => {
            tried.differences.append(&mut tried.unproven);
            (Verdict::Different, tried)
        }
        Ok(tried) if tried.events == 0 => {
            let why = "no event was written in the replay, so that nothing was compared".to_owned();
            (Verdict::Unverified, Tried { differences: vec![why], ..tried })
        }
        Ok(mut tried) if !tried.unproven.is_empty() => {
            tried.differences.append(&mut tried.unproven);
            (Verdict::Unverified, tried)
        }
        Ok(tried) => (Verdict::Equal, tried),
        Err(error) => {
            rolled_back?;
            (Verdict::Unverified, Tried { differences: vec![error.to_string()], ..Tried::default() })
        }
    };
    Ok(Check {
        plan_id: ground.plan.plan_id.clone(),
        trigger: port.trigger.clone().or_else(|| port.function.clone()),
        table: port.table.clone(),
        event_table: port.event_table.clone(),
        strategy: port.strategy,
        verdict,
        changes: tried.changes,
        events: tried.events,
        differences: tried.differences,
        declared: port.declared_differences.iter().cloned().chain(tried.notes).collect(),
    })
}

async fn tried(conn: &mut PgConnection, ground: &Ground<'_>, port: &Port) -> Result<Tried, Error> {
    let Ground { plan, catalogue, report, real, recorded } = *ground;
    let adopted = plan.adoptions.iter().find(|a| Some(a.view_name()) == port.event_table);
    if let Some(legacy) = adopted.filter(|_| port.strategy != Strategy::Capture) {
        return adopted::compare(conn, legacy).await;
    }
    let applied = matches!(journal::state_of(conn, &plan.plan_id).await?.as_deref(), Some("applied" | "finished"));
    let case = check::Case::new(catalogue, report, plan, port, real)?;
    let astray = recorded.iter().filter_map(|r| r.astray(catalogue)).collect::<Vec<_>>();
    let recorded: Vec<_> = recorded.iter().filter_map(|r| r.change(case.table, catalogue)).collect();
    let changed = if applied && !real { apply::changed_since(conn, plan).await? } else { vec![] };
    // before a replay on the tables themselves empties them
    let written = application::compare(conn, &case).await?;
    let mut tried = if real {
        stage::on_real_tables(conn, &case, recorded).await
    } else {
        stage::on_copies(conn, &case, recorded).await
    }?;
    tried.unproven.splice(0..0, astray);
    tried.differences.extend(written.differences);
    tried.notes.extend(written.notes);
    // what was proven must also be what is there
    tried.differences.extend(changed.into_iter().map(|c| format!("changed since the plan was applied: {c}")));
    Ok(tried)
}
