//! What the server promised: the client's own account of every operation, and its comparison with the store.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
};

use domain_events_tests::Session;

/// One operation: its tag is the correlation id of every event it wrote.
#[derive(Clone)]
pub struct Op {
    pub tag: String,
    pub what: String,
    pub events: i64,
}

#[derive(Default)]
pub struct Ledger {
    /// Operations of committed transactions.
    promised: Vec<Op>,
    /// Tags of operations that were rolled back.
    undone: HashSet<String>,
    /// Transactions whose commit was sent and not answered: whole or not at all.
    unsure: Vec<Vec<Op>>,
    /// event ids that several sessions try to store: those some commit promised, and those a lost commit may have stored.
    shared: HashSet<String>,
    shared_unsure: HashSet<String>,
    /// Everything else worth printing.
    pub counts: BTreeMap<String, u64>,
}

pub enum Fate {
    Committed,
    RolledBack,
    Unsure,
}

impl Ledger {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Books a transaction that has ended.
    pub fn book(&mut self, ops: Vec<Op>, undone: Vec<String>, shared: Vec<String>, fate: Fate) {
        self.undone.extend(undone);
        match fate {
            Fate::Committed => {
                self.promised.extend(ops);
                self.shared.extend(shared);
                self.count("transactions committed");
            }
            Fate::RolledBack => {
                self.undone.extend(ops.into_iter().map(|op| op.tag));
                self.count("transactions rolled back");
            }
            Fate::Unsure => {
                self.unsure.push(ops);
                self.shared_unsure.extend(shared);
                self.count("commits without an answer");
            }
        }
    }

    pub fn merge(&mut self, other: Ledger) {
        self.promised.extend(other.promised);
        self.undone.extend(other.undone);
        self.unsure.extend(other.unsure);
        self.shared.extend(other.shared);
        self.shared_unsure.extend(other.shared_unsure);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// Compares with the store: nothing promised is missing, nothing rolled back is there, nothing is there in part.
    pub fn settle(&mut self, s: &mut Session) {
        let mut stored: HashMap<String, i64> = s
            .rows(
                "select tag, sum(n) from (
                   select correlation_id, count(*) from domain_events.events
                    where correlation_id is not null and correlation_id <> 'shared' group by 1
                   union all
                   select tag, count(*) from legacy group by 1) as stored(tag, n) group by 1",
            )
            .into_iter()
            .map(|row| (row[0].clone().expect("a tag"), row[1].as_deref().expect("a count").parse().expect("a number")))
            .collect();
        let mut wrong = String::new();
        let total: i64 = stored.values().sum();
        for op in &self.promised {
            let got = stored.remove(&op.tag).unwrap_or(0);
            if got != op.events {
                writeln!(wrong, "operation {} was promised {} events, {got} are stored", op.tag, op.events)
                    .expect("text");
            }
        }
        for ops in &self.unsure {
            let got: Vec<i64> = ops.iter().map(|op| stored.remove(&op.tag).unwrap_or(0)).collect();
            let whole = ops.iter().zip(&got).all(|(op, got)| op.events == *got);
            let nothing = got.iter().all(|got| *got == 0);
            if !whole && !nothing {
                let tags: Vec<&str> = ops.iter().map(|op| op.tag.as_str()).collect();
                writeln!(wrong, "a transaction without an answer is stored in part: {tags:?} {got:?}").expect("text");
            }
            *self.counts.entry(format!("  of these {}", if whole { "stored" } else { "not stored" })).or_default() += 1;
        }
        for (tag, events) in stored {
            let what = if self.undone.contains(&tag) { "rolled back" } else { "unknown" };
            writeln!(wrong, "operation {tag} was {what}, {events} events are stored").expect("text");
        }
        let shared: HashSet<String> = s
            .rows("select event_id from domain_events.events where correlation_id = 'shared'")
            .into_iter()
            .map(|mut row| row[0].take().expect("an id"))
            .collect();
        for id in self.shared.difference(&shared) {
            writeln!(wrong, "event {id} was promised and is not stored").expect("text");
        }
        for id in shared.difference(&self.shared).filter(|id| !self.shared_unsure.contains(*id)) {
            writeln!(wrong, "event {id} was rolled back by everybody and is stored").expect("text");
        }
        assert!(wrong.is_empty(), "{wrong}");
        *self.counts.entry("events stored, legacy table included".into()).or_default() +=
            total as u64 + shared.len() as u64;
    }
}
