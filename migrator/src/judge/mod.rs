//! From the catalogue to findings: which statements write events, where their version comes from, what can port them.

mod against;
mod analysis;
pub mod assumed;
mod bodies;
pub mod codes;
mod collect;
mod collected;
mod count;
mod counter;
mod counting;
mod dynamic;
mod elsewhere;
mod event_table;
mod evidence;
mod finding;
mod guards;
mod handed_over;
mod held;
mod locks;
mod missing;
mod numbering;
mod origin;
mod own;
mod ports;
mod reads;
mod row;
pub mod sql;
pub mod stream;
mod table_use;
mod tells;
#[cfg(test)]
mod tests;
mod texts;
mod unjudged;
mod variables;
mod verdict;
mod version;
mod words;
mod write;

use std::collections::{BTreeMap, BTreeSet};

pub use collected::{Collected, Write};
pub use event_table::{Roles, Target, is_actor};
pub use evidence::recognise;
pub use finding::{Finding, Judged, Report, Severity, Strategy};
pub use origin::{Origin, VersionSource};
pub use texts::constants;

use crate::catalogue::Catalogue;
use analysis::Analysis;

/// Judges a database.
pub fn judge(catalogue: &Catalogue) -> Report {
    let read = bodies::bodies(catalogue);
    let whole = assumed::with(catalogue, &read);
    let catalogue = whole.as_ref();
    let collected = collect::collect(catalogue, read);
    let mut targets = BTreeMap::new();
    for relation in
        collected.writes.iter().filter_map(|w| w.insert.as_ref()?.relation).filter_map(|oid| catalogue.relation(oid))
    {
        targets.entry(relation.oid).or_insert_with(|| evidence::recognise(relation, catalogue, &collected));
    }
    let numbered = numbering::tables(catalogue, &collected, &mut targets);
    let analysis = Analysis { catalogue, collected: &collected, targets: &targets };
    let mut judged: Vec<Judged> =
        collected.writes.iter().enumerate().filter_map(|(n, w)| analysis.write(n, w)).collect();
    judged.extend(collected.unread.iter().map(|u| analysis.unread(u)));
    let known: BTreeSet<u32> = judged.iter().filter_map(|j| j.event_table).collect();
    let unsaid = numbered.iter().filter(|n| !known.contains(&n.relation) || n.is_besides(&targets));
    judged.extend(unsaid.filter_map(|n| analysis.numbered(n)));
    once(&mut judged, &collected);
    analysis.by_itself(&mut judged);
    analysis.own(&mut judged);
    withdraw_shims(&mut judged, catalogue);
    judged.sort_by(|a, b| order(&a.finding).cmp(&order(&b.finding)));
    // what was assumed is nobody's to port
    targets.retain(|oid, _| catalogue.relation(*oid).is_some_and(|r| !r.assumed));
    Report { judged, targets, collected }
}

/// A function of the application that runs texts of which nothing is seen is named once, with all the lines where it does.
fn once(judged: &mut Vec<Judged>, collected: &Collected) {
    let unseen = |j: &Judged| j.trigger.is_none() && j.write.is_some_and(|n| collected.writes[n].insert.is_none());
    let mut first: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    let mut more: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut kept: Vec<Judged> = vec![];
    for one in std::mem::take(judged) {
        if !unseen(&one) {
            kept.push(one);
            continue;
        }
        match first.get(&one.function) {
            Some(at) => more.entry(*at).or_default().extend(one.finding.line),
            None => {
                first.insert(one.function, kept.len());
                kept.push(one);
            }
        }
    }
    for (at, mut lines) in more {
        lines.sort_unstable();
        lines.dedup();
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        kept[at].finding.reasons.push(format!("the same in line {}", lines.join(", ")));
    }
    *judged = kept;
}

/// A shim serves a whole table: where one statement's own number has to stay, the shim is nobody's proposal.
fn withdraw_shims(judged: &mut [Judged], catalogue: &Catalogue) {
    let expects = |j: &Judged| j.finding.reasons.iter().any(|r| r.contains(ports::EXPECTS));
    let never: Vec<(u32, String)> =
        judged.iter().filter(|j| expects(j)).filter_map(|j| Some((j.event_table?, j.finding.place()))).collect();
    for one in judged.iter_mut().filter(|j| !expects(j) && j.finding.allowed.contains(&Strategy::Shim)) {
        let Some((_, other)) = never.iter().find(|(table, _)| Some(*table) == one.event_table) else { continue };
        one.finding.allowed.retain(|s| *s != Strategy::Shim);
        if one.finding.strategy == Some(Strategy::Shim) {
            one.finding.strategy = Some(Strategy::Manual);
        }
        one.finding
            .reasons
            .push(format!("shim is not possible: {other} writes into the same table, where {}", ports::EXPECTS));
    }
    let left: Vec<(u32, String)> = judged
        .iter()
        .filter(|j| {
            let left = j.finding.needs_work() && j.finding.strategy == Some(Strategy::Manual);
            // right under its lock, and told elsewhere: a shim takes another lock
            left || j.finding.code == codes::LOCKED.code && !j.declared.is_empty()
        })
        .filter(|j| j.finding.allowed.contains(&Strategy::Shim))
        .filter_map(|j| Some((j.event_table?, j.finding.place())))
        .collect();
    for one in judged.iter_mut().filter(|j| j.finding.strategy == Some(Strategy::Shim)) {
        let place = one.finding.place();
        let other = left.iter().find(|(table, other)| Some(*table) == one.event_table && *other != place);
        if let Some((_, other)) = other {
            let relation = one.event_table.and_then(|oid| catalogue.relation(oid));
            let answered = relation.and_then(|r| catalogue.treat(r)).is_some();
            let table = relation.map(|r| r.quoted.as_str()).unwrap_or_default();
            one.finding.strategy = Some(Strategy::Manual);
            if !answered {
                one.finding.allowed.retain(|s| *s != Strategy::Shim);
            }
            one.finding.reasons.push(format!(
                "a shim would also renumber what {other} writes into the same table: {}",
                if answered {
                    "choose it yourself if that may be".to_owned()
                } else {
                    format!("it can be chosen after --treat {table}=events")
                }
            ));
        }
    }
}

type Order<'a> = (std::cmp::Reverse<Severity>, [&'a Option<String>; 3], Option<usize>);

fn order(f: &Finding) -> Order<'_> {
    (std::cmp::Reverse(f.severity), [&f.table, &f.trigger, &f.function], f.line)
}
