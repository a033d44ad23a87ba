//! Makes a failing script smaller, as far as that is cheap.

use std::time::{Duration, Instant};

use domain_events_tests::Cluster;

use crate::{
    runner::{Finding, Runner},
    step::Step,
};

/// Runs a script from the start; the finding and the step at which it shows. Only at the end is everything looked at.
fn replay(cluster: &'static Cluster, steps: &[Step]) -> Option<(Finding, usize)> {
    let mut runner = Runner::new(cluster);
    for (n, step) in steps.iter().enumerate() {
        let is_last = n + 1 == steps.len();
        let outcome = runner.run(step).and_then(|ok| if ok && is_last { runner.check(step) } else { Ok(()) });
        if let Err(finding) = outcome {
            return Some((finding, n));
        }
    }
    None
}

struct Smaller {
    cluster: &'static Cluster,
    steps: Vec<Step>,
    finding: Finding,
    until: Instant,
}

impl Smaller {
    /// Goes on without these steps if the finding is still there.
    fn without(&mut self, leave_out: impl Fn(usize, &Step) -> bool) -> bool {
        let fewer: Vec<Step> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(n, s)| *n == 0 || !leave_out(*n, s))
            .map(|(_, s)| s.clone())
            .collect();
        if fewer.len() == self.steps.len() || Instant::now() >= self.until {
            return false;
        }
        match replay(self.cluster, &fewer) {
            Some((found, last)) if found.kind == self.finding.kind => {
                self.steps = fewer;
                self.steps.truncate(last + 1);
                self.finding = found;
                true
            }
            _ => false,
        }
    }
}

/// Leaves out what the finding does not need. The first step (types) stays.
pub fn minimise(cluster: &'static Cluster, steps: Vec<Step>, finding: Finding, time: Duration) -> (Vec<Step>, Finding) {
    let mut smaller = Smaller { cluster, steps, finding, until: Instant::now() + time };
    // What is most often not needed: settings, then whole tables, then triggers.
    smaller.without(|_, s| {
        ["set ", "select set_config", "reset "].iter().any(|p| s.sql.starts_with(p))
            || s.sql.contains("from domain_events.captures")
    });
    let named = |start: &str, steps: &[Step]| -> Vec<String> {
        let words = steps.iter().filter_map(|s| s.sql.strip_prefix(start));
        words.filter_map(|rest| rest.split([' ', '(']).next().map(str::to_owned)).collect()
    };
    for start in ["create table ", "create function "] {
        for name in named(start, &smaller.steps) {
            smaller.without(|_, s| s.sql.contains(&name));
        }
    }
    let mut size = smaller.steps.len().div_ceil(2);
    while Instant::now() < smaller.until {
        let mut from = 1;
        let mut is_smaller = false;
        while from < smaller.steps.len() && Instant::now() < smaller.until {
            match smaller.without(|n, _| (from..from + size).contains(&n)) {
                true => is_smaller = true,
                false => from += size,
            }
        }
        if size == 1 && !is_smaller {
            break;
        }
        size = (size / 2).max(1);
    }
    (smaller.steps, smaller.finding)
}
