//! Which user variables a program may read before it assigned them: their value comes from outside, and must not be lost.
//! A branch that may be passed by, a loop that may not run and a block that may be left early assign nothing for certain.

use std::collections::BTreeSet;

use super::context::Known;
use super::effects::{in_statement, user_variables, walk};
use crate::ast::{Branch, DeclarationKind, HandlerAction, Program, Statement, StatementKind};

/// User variables, in lower case, that may hold another one's value when they are read.
pub fn read_early(program: &Program) -> BTreeSet<String> {
    let mut flow = Flow::default();
    flow.statement(&program.body, &mut BTreeSet::new());
    flow.early
}

/// User variables that the program always assigns before it reads them, and that nothing else of the source reads.
pub(super) fn local_variables(program: &Program, known: &Known) -> BTreeSet<String> {
    let early = read_early(program);
    let all: BTreeSet<String> = user_variables(program).into_iter().map(|(name, _)| name).collect();
    all.into_iter().filter(|n| !early.contains(n) && !known.session_variables.contains(n)).collect()
}

#[derive(Default)]
struct Flow {
    early: BTreeSet<String>,
}

type Set = BTreeSet<String>;

impl Flow {
    fn statements(&mut self, statements: &[Statement], set: &mut Set) {
        statements.iter().for_each(|s| self.statement(s, set));
    }

    fn statement(&mut self, statement: &Statement, set: &mut Set) {
        let mut own = vec![];
        in_statement(statement, &mut own);
        for (name, assigned) in own {
            if assigned {
                set.insert(name);
            } else if !set.contains(&name) {
                self.early.insert(name);
            }
        }
        match &statement.kind {
            StatementKind::If { branches, otherwise } | StatementKind::Case { branches, otherwise, .. } => {
                self.branches(branches, otherwise.as_deref(), set);
            }
            StatementKind::Loop { body, .. }
            | StatementKind::While { body, .. }
            | StatementKind::Repeat { body, .. }
            | StatementKind::For { body, .. } => {
                self.statements(body, &mut set.clone());
            }
            StatementKind::Block(block) => {
                let before = set.clone();
                let mut early_end = false;
                for declaration in &block.declarations {
                    if let DeclarationKind::Handler { action, body, .. } = &declaration.kind {
                        early_end |= *action != HandlerAction::Continue;
                        self.statement(body, &mut before.clone());
                    }
                }
                self.statements(&block.body, set);
                let leaves = |s: &Statement| {
                    let mut found = false;
                    walk(s, &mut |s| {
                        found |= matches!((&s.kind, &block.label), (StatementKind::Leave(l), Some(own)) if l.eq_ignore_ascii_case(own));
                    });
                    found
                };
                if early_end || block.body.iter().any(leaves) {
                    *set = before;
                }
            }
            _ => {}
        }
    }

    fn branches(&mut self, branches: &[Branch], otherwise: Option<&[Statement]>, set: &mut Set) {
        let mut ends: Vec<Set> = vec![];
        for body in branches.iter().map(|b| b.body.as_slice()).chain(otherwise) {
            let mut inner = set.clone();
            self.statements(body, &mut inner);
            ends.push(inner);
        }
        if otherwise.is_some()
            && let Some(common) = ends.into_iter().reduce(|a, b| a.intersection(&b).cloned().collect())
        {
            *set = common;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Position, SqlMode};
    use crate::parser::{self, Text};

    fn early(body: &str) -> Vec<String> {
        let text = format!("CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW {body}");
        let text = Text { text: &text, position: Position { line: 1, column: 1 }, mode: SqlMode::default() };
        read_early(&parser::program(text).expect("a program").expect("read")).into_iter().collect()
    }

    #[test]
    fn what_may_not_be_assigned_comes_from_outside() {
        let insert = "INSERT INTO log (actor) VALUES (@actor);";
        assert!(early(&format!("BEGIN SET @actor = 'x'; {insert} END")).is_empty());
        assert!(
            early(&format!("BEGIN IF a THEN SET @actor = 'x'; ELSE SET @actor = 'y'; END IF; {insert} END")).is_empty()
        );
        assert!(early(&format!("BEGIN IF a THEN SET @actor = 'x'; {insert} END IF; END")).is_empty());
        for passed_by in [
            "IF NEW.n = 1 THEN SET @actor = 'x'; END IF;",
            "CASE NEW.n WHEN 1 THEN SET @actor = 'x'; WHEN 2 THEN SET @actor = 'y'; END CASE;",
            "WHILE NEW.n = 1 DO SET @actor = 'x'; END WHILE;",
            "b: BEGIN IF NEW.n = 1 THEN LEAVE b; END IF; SET @actor = 'x'; END b;",
            "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; SET @actor = 'x'; END;",
        ] {
            assert_eq!(early(&format!("BEGIN {passed_by} {insert} END")), ["actor"], "{passed_by}");
        }
        let cursor = "BEGIN DECLARE c CURSOR FOR SELECT a FROM log WHERE actor = @actor; OPEN c; SET @actor = 1; END";
        assert_eq!(early(cursor), ["actor"]);
    }
}
