//! Makes up a script step by step: what comes next depends on what the server made of the last one.

use std::collections::VecDeque;

use crate::{
    model::{Model, Table},
    random::Random,
    step::Step,
    value::{TYPES_SQL, quote},
};

/// What a step does to the transaction.
enum Turn {
    None,
    Begin,
    End,
    Savepoint(String),
    RollbackTo(String),
}

pub struct Generator {
    pub random: Random,
    pub model: Model,
    /// The server's major version.
    pub version: u64,
    /// Features left out.
    without: Vec<String>,
    pub triggers: u32,
    pub captures: u32,
    queue: VecDeque<Step>,
    /// The model once the last step has succeeded.
    pub pending: Option<Model>,
    turn: Turn,
    /// Models to go back to: the transaction's start, then its savepoints.
    stack: Vec<(String, Model)>,
    aborted: bool,
}

impl Generator {
    pub fn new(seed: u64, version: u64, without: &[String]) -> Generator {
        let mut generator = Generator {
            random: Random::new(seed),
            model: Model::default(),
            version,
            without: without.to_vec(),
            triggers: 0,
            captures: 0,
            queue: VecDeque::new(),
            pending: None,
            turn: Turn::None,
            stack: vec![],
            aborted: false,
        };
        generator.random.no_empty = !generator.has("emptyid");
        generator.prepare();
        generator
    }

    /// False when the feature was left out by `DIFF_WITHOUT`.
    pub fn has(&self, feature: &str) -> bool {
        !self.without.iter().any(|w| w == feature)
    }

    pub fn step(&mut self, step: Step) {
        self.queue.push_back(step);
    }

    fn prepare(&mut self) {
        self.step(Step::new(TYPES_SQL.trim().trim_end_matches(';')));
        for _ in 0..1 + self.random.below(2) {
            self.create_table();
        }
        if self.has("fk") && self.random.percent(35) {
            self.create_child();
        }
        for table in 0..self.model.tables.len() {
            let strict = self.random.percent(65);
            if !strict {
                for _ in 0..2 {
                    let insert = self.insert(table);
                    self.step(insert);
                }
            }
            self.enable_capture(table, strict);
            if self.has("nested") {
                while self.random.percent(40) {
                    self.create_trigger(table);
                }
            }
        }
    }

    pub fn next(&mut self) -> Step {
        if self.aborted {
            self.queue.clear();
            return match self.stack.last() {
                Some((name, _)) if !name.is_empty() && self.random.percent(70) => self.rollback_to(),
                _ => self.end("rollback"),
            };
        }
        if let Some(step) = self.queue.pop_front() {
            return step;
        }
        let depth = self.stack.len();
        match self.random.below(100) {
            0..=7 if depth == 0 => {
                self.turn = Turn::Begin;
                Step::new("begin")
            }
            0..=2 if depth > 0 => self.end("rollback"),
            3..=14 if depth > 0 => self.end("commit"),
            15..=20 if depth > 0 => {
                let name = format!("s{depth}");
                self.turn = Turn::Savepoint(name.clone());
                Step::new(format!("savepoint {name}"))
            }
            21..=24 if depth > 1 => self.rollback_to(),
            25..=29 => self.setting(),
            30..=33 => self.context(),
            34..=40 if self.has("ddl") => self.ddl(),
            41..=44 => self.administration(),
            _ => self.statement(),
        }
    }

    fn end(&mut self, sql: &str) -> Step {
        self.turn = Turn::End;
        Step::new(sql)
    }

    fn rollback_to(&mut self) -> Step {
        let name = self.stack.last().map(|(name, _)| name.clone()).unwrap_or_default();
        self.turn = Turn::RollbackTo(name.clone());
        Step::new(format!("rollback to savepoint {name}"))
    }

    /// Takes note of what became of the last step.
    pub fn outcome(&mut self, step: &mut Step, ok: bool) {
        let turn = std::mem::replace(&mut self.turn, Turn::None);
        let pending = self.pending.take();
        match turn {
            Turn::Begin if ok => self.stack.push((String::new(), self.model.clone())),
            Turn::Savepoint(name) if ok => self.stack.push((name, self.model.clone())),
            Turn::RollbackTo(name) => {
                if let Some((_, model)) = self.stack.iter().find(|(n, _)| *n == name) {
                    self.model = model.clone();
                }
                self.aborted = false;
            }
            Turn::End => {
                let start = self.stack.first().map(|(_, model)| model.clone());
                self.stack.clear();
                self.aborted = false;
                if (!ok || step.sql == "rollback")
                    && let Some(model) = start
                {
                    self.model = model;
                }
            }
            _ if ok => {
                if let Some(model) = pending {
                    self.model = model;
                }
            }
            _ => self.aborted |= !self.stack.is_empty(),
        }
        step.checks = std::rc::Rc::new(self.model.checks());
    }

    /// True between begin and commit.
    pub fn in_transaction(&self) -> bool {
        !self.stack.is_empty()
    }

    /// Ends what is open.
    pub fn finish(&mut self) -> Option<Step> {
        self.in_transaction().then(|| self.end(if self.aborted { "rollback" } else { "commit" }))
    }

    fn setting(&mut self) -> Step {
        let settings: &[(&str, &[&str])] = &[
            ("timezone", &["UTC", "Asia/Tokyo", "America/St_Johns", "-05:30"]),
            ("datestyle", &["ISO, MDY", "SQL, DMY", "German", "Postgres, MDY"]),
            ("intervalstyle", &["postgres", "sql_standard", "iso_8601", "postgres_verbose"]),
            ("bytea_output", &["hex", "escape"]),
            ("extra_float_digits", &["0", "-15", "3", "1"]),
            ("xmloption", &["content", "document"]),
            ("plan_cache_mode", &["auto", "force_generic_plan", "force_custom_plan"]),
            ("search_path", &["public", "evil, pg_catalog, public", "", "pg_temp, public, evil"]),
            ("jit", &["on", "off"]),
            ("enable_seqscan", &["on", "off"]),
            ("default_transaction_isolation", &["read committed", "repeatable read", "serializable"]),
            ("quote_all_identifiers", &["on", "off"]),
            ("row_security", &["on", "off"]),
            ("check_function_bodies", &["on", "off"]),
            ("lc_monetary", &["C", "C.UTF-8"]),
        ];
        if !self.has("settings") {
            return self.statement();
        }
        let (name, values) = *self.random.pick(settings);
        let value = *self.random.pick(values);
        if name == "search_path" {
            let schemas: Vec<String> = value.split(", ").map(quote).collect();
            // Types of literals stand unqualified.
            let schemas = if value.contains("public") { schemas.join(", ") } else { "'public'".into() };
            return Step::new(format!("set search_path = {schemas}"));
        }
        let local = if self.in_transaction() && self.random.percent(50) { "local " } else { "" };
        Step::new(format!("set {local}{name} = {}", quote(value)))
    }

    fn context(&mut self) -> Step {
        if !self.has("context") {
            return self.statement();
        }
        let marks = self.has("marks");
        Step::new(match self.random.below(8) {
            0 => "set domain_events.actor = ''".into(),
            1 => "set domain_events.metadata = 'no json {'".into(),
            2 => "set domain_events.actor = 'it''s \"me\" ä€😀'".into(),
            3 => format!(
                "select set_config('domain_events.correlation_id', repeat('ä', {}), false)",
                [10, 4096, 4097, 60000][self.random.below(4)]
            ),
            4 => "set domain_events.metadata = '[1, 2]'".into(),
            5 => "reset domain_events.actor".into(),
            6 => format!(
                "select set_config('domain_events.metadata', jsonb_build_object('k', repeat('x', {}), '{}', true)::text, {})",
                [1, 9000][self.random.below(2)],
                if marks { "late" } else { "l" },
                self.random.percent(50)
            ),
            _ => format!(
                "select domain_events.set_context(actor => 'a{}', correlation_id => 'c', metadata => '{{\"m\": 1.0, \"{}\": true}}', local => {})",
                self.random.below(3),
                if marks { "complete" } else { "c" },
                self.random.percent(50)
            ),
        })
    }

    /// A captured table, if there is one.
    fn captured(&mut self) -> Option<usize> {
        let captured: Vec<usize> =
            (0..self.model.tables.len()).filter(|i| self.model.tables[*i].capture.is_some()).collect();
        (!captured.is_empty()).then(|| *self.random.pick(&captured))
    }

    /// The product's own functions.
    fn administration(&mut self) -> Step {
        let Some(index) = self.captured() else { return self.statement() };
        let table = self.model.tables[index].clone();
        let target = quote(&table.sql());
        match self.random.below(10) {
            0..=2 if self.has("pause") => {
                self.relax(index);
                let step = self.with_reset(format!("select domain_events.pause_capture({target})"), &table);
                // Not for ever.
                let lines = 1 + self.random.below(3);
                for _ in 0..lines {
                    let statement = self.statement_on(index);
                    self.step(statement);
                }
                let resume = self.with_reset(format!("select domain_events.resume_capture({target})"), &table);
                self.step(resume);
                step
            }
            3 if self.has("pause") => self.with_reset(format!("select domain_events.resume_capture({target})"), &table),
            4 | 5 if self.has("pause") => {
                let keep = if self.random.percent(30) { ", keep_triggers => true" } else { "" };
                let step = Step::new(format!("select domain_events.disable_capture({target}{keep})"));
                self.model.tables[index].capture = None;
                let statement = self.statement_on(index);
                self.step(statement);
                self.enable_capture(index, false);
                step
            }
            6 | 7 if self.has("baseline") => {
                Step::new(format!("select domain_events.baseline_capture({target}, {})", self.random.between(1, 20)))
            }
            8 => Step::new("select domain_events.retry_capture_failures()"),
            _ => Step::new(
                "select target::text, aggregate_type, aggregate_id, include, exclude, redact, event_types, state, pending_failures \
                   from domain_events.captures order by 2",
            ),
        }
    }

    /// From now on rows exist that have no event.
    pub fn relax(&mut self, table: usize) {
        if let Some(capture) = &mut self.model.tables[table].capture {
            capture.strict = false;
        }
    }

    fn with_reset(&self, sql: String, table: &Table) -> Step {
        match &table.capture {
            Some(capture) => Step::new(sql).resetting(&capture.aggregate_type),
            None => Step::new(sql),
        }
    }
}
