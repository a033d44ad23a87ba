//! What psql alone decides of a script: which of its branches are taken, and where it is left.

use super::fold::Fold;
use super::state::{Branch, Runs};

impl Fold {
    /// `\if`, `\elif`, `\else`, `\endif`, `\q`; whether it is one of them.
    pub(super) fn branches(&mut self, verb: &str, condition: &str) -> bool {
        match verb {
            "\\if" => {
                let holds = self.holds(condition);
                self.script.branches.push(Branch { now: holds, taken: holds });
            }
            "\\elif" => {
                let holds = self.holds(condition);
                if let Some(branch) = self.script.branches.last_mut() {
                    branch.now = holds.min(branch.taken.otherwise());
                    branch.taken = branch.taken.max(holds);
                }
            }
            "\\else" => {
                if let Some(branch) = self.script.branches.last_mut() {
                    branch.now = branch.taken.otherwise();
                    branch.taken = Runs::Surely;
                }
            }
            "\\endif" => {
                self.script.branches.pop();
            }
            "\\q" | "\\quit" => self.script.rest = self.script.runs().otherwise().min(self.script.rest),
            _ => return false,
        }
        true
    }

    /// A condition, as psql reads it: what it cannot read as a truth value is false.
    fn holds(&self, condition: &str) -> Runs {
        let word = condition.trim();
        let value = match word.strip_prefix(':') {
            Some(name) if name.starts_with("{?") => {
                let known = self.variables.contains_key(name.trim_start_matches("{?").trim_end_matches('}'));
                return if known && self.variables_are_known { Runs::Surely } else { Runs::Perhaps };
            }
            Some(name) => match self.variables.get(name.trim_matches(['\'', '"'])) {
                Some(value) if self.variables_are_known => value.as_str(),
                _ => return Runs::Perhaps,
            },
            None => word,
        };
        // a placeholder of a tool, a command of the shell, several words
        if value.contains([':', '`', '$', '{', '%', '@']) || value.split_whitespace().count() > 1 {
            return Runs::Perhaps;
        }
        let value = value.trim_matches('\'').to_ascii_lowercase();
        let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
        match begins("true", 1) || begins("yes", 1) || value == "on" || value == "1" {
            true => Runs::Surely,
            false => Runs::Not,
        }
    }
}
