//! A row of the table.

use domain_events_tests::Db;
use serde_json::{Value, json};

use crate::common::{Goal, figure, median};

/// How two figures become a ratio.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Ours over the baseline: less is better.
    Less,
    /// The throughput that costs allow, baseline over ours: more is better.
    Throughput,
    /// Figures that are throughputs already, ours over the baseline: more is better.
    Rate,
}

/// One comparison.
pub struct Comparison {
    engine: &'static str,
    work: String,
    baseline_name: String,
    unit: &'static str,
    baseline: f64,
    ours: f64,
    ratio: f64,
    goal: Goal,
}

impl Comparison {
    /// From the figures of each round: microseconds of CPU time, or events per second. What is compared was measured side by
    /// side, so the ratio is the median of the rounds' ratios: it stays the same when the machine is slower for a while.
    pub fn new(
        db: &Db,
        work: &str,
        baseline_name: &str,
        baseline: &[f64],
        ours: &[f64],
        better: Better,
        goal: Goal,
    ) -> Comparison {
        let ratios: Vec<f64> = baseline
            .iter()
            .zip(ours)
            .map(|(baseline, ours)| if better == Better::Throughput { baseline / ours } else { ours / baseline })
            .collect();
        let unit = if better == Better::Rate { "events/s" } else { "us" };
        Comparison {
            engine: db.engine.name(),
            work: work.into(),
            baseline_name: baseline_name.into(),
            unit,
            baseline: median(baseline),
            ours: median(ours),
            ratio: median(&ratios),
            goal,
        }
    }

    /// Cells, in the order of [`Comparison::HEADER`].
    pub fn cells(&self) -> Vec<String> {
        let digits = usize::from(self.unit == "us");
        vec![
            self.work.clone(),
            self.engine.into(),
            self.baseline_name.clone(),
            format!("{:.digits$} {}", self.baseline, self.unit),
            format!("{:.digits$} {}", self.ours, self.unit),
            format!("{:.2}", self.ratio),
            self.goal.text(),
            self.goal.verdict(self.ratio),
        ]
    }

    /// The names of the cells.
    pub const HEADER: [&str; 8] = ["work", "engine", "beside", "baseline", "ours", "ratio", "goal", "met?"];

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "bench": "append", "work": self.work, "engine": self.engine, "beside": self.baseline_name, "unit": self.unit,
            "baseline": figure(self.baseline), "ours": figure(self.ours), "ratio": figure(self.ratio),
            "goal": self.goal.text(), "met": self.goal.met(self.ratio),
        })
    }
}
