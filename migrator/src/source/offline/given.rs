//! What files in other languages give.

use super::fold::{Fold, Problem};
use crate::source::languages::{Given, What};
use domain_events_mysql::source::Dialect;

impl Fold {
    pub(super) fn given(&mut self, file: &str, given: &[Given], problems: &mut Vec<Problem>) {
        for one in given.iter().filter(|g| g.only.counts(Dialect::Postgres)) {
            // lines stay those of the file
            let lines = "\n".repeat(one.row);
            match &one.what {
                What::Sql(text) => {
                    let (name, lines) = match &text.file {
                        Some(other) => (other.display().to_string(), ""),
                        None => (file.to_owned(), lines.as_str()),
                    };
                    self.text(&name, &format!("{lines}{}", text.with_placeholders()), problems);
                }
                What::Problem { reason, .. } => {
                    self.catalogue.statements += 1;
                    problems.push(Problem { file: file.to_owned(), line: one.row + 1, reason: reason.clone() });
                }
                tables => {
                    for sql in tables.of_tables(Dialect::Postgres) {
                        // what a library makes of a table is known in part: what does not fit changes nothing
                        self.text(file, &sql, &mut vec![]);
                    }
                }
            }
        }
    }
}
