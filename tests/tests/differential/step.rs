//! A script: what is sent to both engines, one step after the other.

use std::rc::Rc;

use crate::model::Check;

#[derive(Debug, Clone, Default)]
pub struct Step {
    pub sql: String,
    /// Lines that follow `copy .. from stdin`.
    pub copy: Option<String>,
    /// Types whose streams do not tell the present rows once this has run, until each has its next event.
    pub resets: Vec<String>,
    /// What must hold when no transaction is open after it.
    pub checks: Rc<Vec<Check>>,
}

impl Step {
    pub fn new(sql: impl Into<String>) -> Step {
        Step { sql: sql.into(), ..Step::default() }
    }

    pub fn resetting(mut self, aggregate_type: &str) -> Step {
        self.resets.push(aggregate_type.to_owned());
        self
    }
}

/// The script as psql takes it.
pub fn text(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        out.push_str(&step.sql);
        out.push_str(";\n");
        if let Some(data) = &step.copy {
            out.push_str(data);
            out.push_str("\\.\n");
        }
    }
    out
}
