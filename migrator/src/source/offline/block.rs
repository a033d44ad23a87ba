//! DO blocks: what they do, and whether that is sure. Conditions that are constants are followed; what stands behind a RETURN
//! or is undone by an error is not done.

use serde_json::Value;

use super::state::Runs;
use crate::catalogue::{Catalogue, Function};
use crate::sql_tree::{ast, plpgsql};
use domain_events_sql::quote::quote_literal;

/// A statement of a block; texts that EXECUTE runs among them, where they are constants.
pub(super) struct Step {
    pub sql: String,
    /// Whether it runs.
    pub runs: Runs,
}

/// What a DO block does.
pub(super) struct Block {
    pub steps: Vec<Step>,
    /// Why something that it may make is not seen.
    pub unseen: Option<String>,
}

/// Reads a DO block.
pub(super) fn read(source: &str) -> Result<Block, String> {
    let function = Function {
        definition: format!("create function block() returns void language plpgsql as {}", quote_literal(source)),
        source: source.to_owned(),
        ..Function::default()
    };
    // what cannot be read as a body is told as that
    plpgsql::parse(&function, &Catalogue::default())?;
    let tree = plpgsql::tree(&function, &Catalogue::default())?;
    let mut walk = Walk { block: Block { steps: vec![], unseen: None }, committed: 0, returns: false };
    let action = tree.pointer("/0/PLpgSQL_function/action/PLpgSQL_stmt_block").unwrap_or(&Value::Null);
    if walk.block(action, &Way { runs: Runs::Surely, conditions: vec![] })? == Leaves::Error {
        // nobody handles it: the whole is undone
        walk.block.steps.truncate(walk.committed);
    }
    Ok(walk.block)
}

/// How control leaves a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leaves {
    /// It goes on behind it.
    On,
    /// It perhaps does.
    Perhaps,
    /// It leaves the block: RETURN, EXIT.
    Block,
    /// By an error.
    Error,
}

/// The way to a statement.
#[derive(Debug, Clone)]
struct Way {
    runs: Runs,
    /// Conditions that are no constants, and whether they must not hold.
    conditions: Vec<(String, bool)>,
}

impl Way {
    fn perhaps(&self) -> Self {
        // what these conditions would settle is not settled by them any more
        let conditions = [self.conditions.clone(), vec![(String::new(), false)]].concat();
        Self { runs: self.runs.min(Runs::Perhaps), conditions }
    }

    fn under(&self, condition: &str, negated: bool) -> Self {
        let conditions = [self.conditions.clone(), vec![(condition.to_owned(), negated)]].concat();
        Self { runs: self.runs.min(Runs::Perhaps), conditions }
    }
}

struct Walk {
    block: Block,
    /// Steps so far that no error undoes.
    committed: usize,
    /// Whether something left more than the loop that it stands in.
    returns: bool,
}

impl Walk {
    fn list(&mut self, statements: &[Value], way: &Way) -> Result<Leaves, String> {
        let (begun, from) = (way.runs, self.block.steps.len());
        let mut way = way.clone();
        let mut leaves = Leaves::On;
        for statement in statements {
            let Some((name, node)) = statement.as_object().and_then(|s| s.iter().next()) else { continue };
            match self.statement(name, node, &mut way)? {
                Leaves::On => {}
                Leaves::Perhaps => leaves = Leaves::Perhaps,
                ends if way.runs == begun && leaves == Leaves::On => return Ok(ends),
                // it is not sure that control came here
                ends => {
                    if ends == Leaves::Error {
                        self.unsure(from);
                    }
                    return Ok(Leaves::Perhaps);
                }
            }
        }
        Ok(leaves)
    }

    fn statement(&mut self, name: &str, node: &Value, way: &mut Way) -> Result<Leaves, String> {
        Ok(match name {
            "PLpgSQL_stmt_execsql" => self.step(expression(node, "sqlstmt"), way),
            "PLpgSQL_stmt_dynexecute" => self.dynamic(&expression(node, "query"), way)?,
            "PLpgSQL_stmt_block" => match self.block(node, way)? {
                // EXIT leaves the block that it names
                Leaves::Block | Leaves::Perhaps => self.goes_on_perhaps(way),
                other => other,
            },
            "PLpgSQL_stmt_if" => self.branches(node, way)?,
            "PLpgSQL_stmt_case" => {
                for when in array(node, "case_when_list").iter().filter_map(|w| w.get("PLpgSQL_case_when")) {
                    self.list(array(when, "stmts"), &way.perhaps())?;
                }
                self.list(array(node, "else_stmts"), &way.perhaps())?;
                Leaves::On
            }
            "PLpgSQL_stmt_return" => {
                self.returns = true;
                Leaves::Block
            }
            "PLpgSQL_stmt_exit" => {
                self.returns |= node.get("label").is_some();
                if node.get("cond").is_none() { Leaves::Block } else { self.goes_on_perhaps(way) }
            }
            "PLpgSQL_stmt_raise" if raises(node) => Leaves::Error,
            "PLpgSQL_stmt_rollback" => {
                match way.runs {
                    Runs::Surely => self.block.steps.truncate(self.committed),
                    _ => self.unsure(self.committed),
                }
                Leaves::On
            }
            "PLpgSQL_stmt_commit" => {
                if way.runs == Runs::Surely {
                    self.committed = self.block.steps.len();
                }
                Leaves::On
            }
            "PLpgSQL_stmt_dynfors" => {
                self.dynamic(&expression(node, "query"), way)?;
                self.list(array(node, "body"), &way.perhaps())?;
                Leaves::On
            }
            "PLpgSQL_stmt_while" if constant(&expression(node, "cond")) == Some(false) => Leaves::On,
            _ => {
                // a loop may have no turn; RETURN in it leaves the block
                let before = std::mem::take(&mut self.returns);
                self.list(array(node, "body"), &way.perhaps())?;
                let returns = std::mem::replace(&mut self.returns, before);
                self.returns |= returns;
                if returns { self.goes_on_perhaps(way) } else { Leaves::On }
            }
        })
    }

    fn goes_on_perhaps(&mut self, way: &mut Way) -> Leaves {
        *way = way.perhaps();
        Leaves::Perhaps
    }

    fn branches(&mut self, node: &Value, way: &mut Way) -> Result<Leaves, String> {
        let elsifs = array(node, "elsif_list").iter().filter_map(|e| e.get("PLpgSQL_if_elsif"));
        let whens = std::iter::once((expression(node, "cond"), array(node, "then_body")))
            .chain(elsifs.map(|e| (expression(e, "cond"), array(e, "stmts"))));
        let mut rest = way.clone();
        let mut left = vec![];
        for (condition, statements) in whens {
            match constant(&condition) {
                Some(true) => {
                    let ends = self.list(statements, &rest)?;
                    left.push(ends);
                    if rest.runs == way.runs {
                        *way = rest;
                        return Ok(ends);
                    }
                    return Ok(self.after(&left, way));
                }
                Some(false) => {}
                None => {
                    left.push(self.list(statements, &rest.under(&condition, false))?);
                    // what stands behind the whole runs if this branch does not leave
                    if matches!(left.last(), Some(Leaves::Block)) {
                        *way = way.under(&condition, true);
                    }
                    rest = rest.under(&condition, true);
                }
            }
        }
        let otherwise = array(node, "else_body");
        if rest.runs == way.runs && left.is_empty() {
            return self.list(otherwise, &rest);
        }
        left.push(self.list(otherwise, &rest)?);
        Ok(self.after(&left, way))
    }

    /// Behind branches of which some leave. An error in one of them is a check that is expected to hold.
    fn after(&mut self, left: &[Leaves], way: &mut Way) -> Leaves {
        if left.iter().all(|l| *l == Leaves::Error) {
            return Leaves::Error;
        }
        if left.iter().all(|l| *l >= Leaves::Block) {
            return Leaves::Block;
        }
        if left.iter().any(|l| matches!(l, Leaves::Perhaps)) { self.goes_on_perhaps(way) } else { Leaves::On }
    }

    /// A block, whose handler undoes all of it.
    fn block(&mut self, node: &Value, way: &Way) -> Result<Leaves, String> {
        let body = array(node, "body");
        let handlers = node.pointer("/exceptions/PLpgSQL_exception_block/exc_list").and_then(Value::as_array);
        let Some(handlers) = handlers else { return self.list(body, way) };
        let from = self.block.steps.len();
        let mut leaves = self.list(body, way)?;
        let several = self.block.steps.len() > from + 1 || body.len() > 1;
        if leaves == Leaves::Error {
            self.block.steps.truncate(from);
        } else if several {
            // the error of one undoes the others
            self.unsure(from);
        }
        let mut passes = false;
        for handler in handlers.iter().filter_map(|h| h.get("PLpgSQL_exception")) {
            passes |= self.list(array(handler, "action"), &way.perhaps())? != Leaves::Error;
        }
        if leaves == Leaves::Error && passes {
            leaves = Leaves::Perhaps;
        }
        Ok(leaves)
    }

    /// What was done since is perhaps undone.
    fn unsure(&mut self, from: usize) {
        for step in &mut self.block.steps[from..] {
            step.runs = step.runs.min(Runs::Perhaps);
        }
    }

    fn step(&mut self, sql: String, way: &Way) -> Leaves {
        let settled =
            way.conditions.iter().all(|(condition, negated)| asks_whether_it_is_there(condition, *negated, &sql));
        let runs = if settled && way.runs == Runs::Perhaps { Runs::Surely } else { way.runs };
        self.block.steps.push(Step { sql, runs });
        Leaves::On
    }

    fn dynamic(&mut self, query: &str, way: &Way) -> Result<Leaves, String> {
        let expr = ast::parse_expression(query)?;
        if let Some(text) = ast::string_constant(&expr) {
            return Ok(self.step(text, way));
        }
        let words = query.to_ascii_lowercase();
        let of_variables = ast::find(&expr, "Sval").is_empty();
        let what = ["trigger", "function", "procedure", "rule", "table"].iter().any(|w| words.contains(w));
        // a text of variables alone may be anything
        if of_variables || words.contains("create") && what {
            self.block.unseen = Some("a DO block makes statements at run time: read the live database instead".into());
        }
        Ok(Leaves::On)
    }
}

/// Whether it ends in an error: NOTICE and its like do not.
fn raises(node: &Value) -> bool {
    /// `elog_level` of ERROR.
    const ERROR: u64 = 21;
    node.get("elog_level").and_then(Value::as_u64).is_none_or(|level| level >= ERROR)
}

/// The value of a condition of constants: `false`, `1 = 2`.
fn constant(condition: &str) -> Option<bool> {
    let plain: String = condition.chars().filter(|c| !c.is_whitespace() && !"()".contains(*c)).collect();
    let plain = plain.to_ascii_lowercase();
    match plain.as_str() {
        "true" | "notfalse" => return Some(true),
        "false" | "nottrue" | "null" => return Some(false),
        _ => {}
    }
    let number = |text: &str| text.parse::<i64>().ok();
    for (sign, holds) in [
        ("<>", i64::ne as fn(&i64, &i64) -> bool),
        ("!=", i64::ne),
        ("<=", i64::le),
        (">=", i64::ge),
        ("=", i64::eq),
        ("<", i64::lt),
        (">", i64::gt),
    ] {
        if let Some((left, right)) = plain.split_once(sign) {
            return Some(holds(&number(left)?, &number(right)?));
        }
    }
    None
}

/// Whether a condition asks for nothing but what the statement is about, and holds where it is there: `if exists (select from
/// pg_trigger where tgname = 'x') then drop trigger x ..`.
fn asks_whether_it_is_there(condition: &str, negated: bool, statement: &str) -> bool {
    const CATALOGUES: [&str; 3] = ["pg_", "information_schema", "to_reg"];
    const KINDS: [&str; 7] = ["public", "table", "trigger", "function", "view", "drop", "on"];
    let lower = condition.trim().trim_start_matches('(').to_ascii_lowercase();
    if !CATALOGUES.iter().any(|c| lower.contains(c)) {
        return false;
    }
    let is_missing =
        lower.starts_with("not ") ^ lower.trim_end().ends_with("is null") ^ lower.trim_end().ends_with("= 0");
    let statement = statement.to_ascii_lowercase();
    let words: Vec<&str> = statement.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let literals = lower.split('\'').skip(1).step_by(2);
    let names = literals.filter_map(|l| l.rsplit('.').next()).map(|l| l.trim_matches('"'));
    let about = names.filter(|n| !KINDS.contains(n)).any(|name| words.contains(&name));
    about && is_missing == negated
}

fn array<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn expression(node: &Value, key: &str) -> String {
    node.get(key).and_then(|e| e.pointer("/PLpgSQL_expr/query")).and_then(Value::as_str).unwrap_or_default().to_owned()
}
