//! Figures for people, and the same for programs.

use serde_json::Value;

/// What a ratio has to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown for comparison only.
    None,
}

impl Goal {
    /// "<= 1.1", or nothing.
    pub fn text(self) -> String {
        match self {
            Goal::AtMost(limit) => format!("<= {limit}"),
            Goal::AtLeast(limit) => format!(">= {limit}"),
            Goal::None => String::new(),
        }
    }

    /// Whether a ratio meets the goal, judged as it is printed: with two decimals.
    pub fn met(self, ratio: f64) -> Option<bool> {
        let shown = (ratio * 100.0).round() / 100.0;
        match self {
            Goal::AtMost(limit) => Some(shown <= limit),
            Goal::AtLeast(limit) => Some(shown >= limit),
            Goal::None => None,
        }
    }

    /// "yes", "no" or nothing.
    pub fn verdict(self, ratio: f64) -> String {
        match self.met(ratio) {
            Some(true) => "yes".into(),
            Some(false) => "no".into(),
            None => String::new(),
        }
    }
}

/// Prints rows as a Markdown table that is aligned as it stands. Columns of figures are set to the right.
pub fn print_table(header: &[&str], figures: &[usize], rows: &[Vec<String>]) {
    let width: Vec<usize> = (0..header.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([header[i].chars().count()]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&width)
            .enumerate()
            .map(|(i, (cell, &w))| if figures.contains(&i) { format!("{cell:>w$}") } else { format!("{cell:<w$}") })
            .collect();
        println!("| {} |", cells.join(" | "));
    };
    line(header.to_vec());
    let rule: Vec<String> = width
        .iter()
        .enumerate()
        .map(|(i, &w)| if figures.contains(&i) { "-".repeat(w - 1) + ":" } else { "-".repeat(w) })
        .collect();
    line(rule.iter().map(String::as_str).collect());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    println!();
}

/// A figure as JSON: no more digits than it deserves.
pub fn figure(value: f64) -> Value {
    Value::from((value * 1000.0).round() / 1000.0)
}

/// Prints a JSON document per line.
pub fn print_json(rows: impl IntoIterator<Item = Value>) {
    for row in rows {
        println!("{row}");
    }
}
