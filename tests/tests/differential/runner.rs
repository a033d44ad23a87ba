//! Runs a script on both engines, each in a database of its own on one server, and looks for what differs.

use std::collections::HashMap;

use domain_events_tests::{Cluster, Engine, Failure, RENDERING, Rows, Session, Trouble};

use crate::{compare, invariant, model::ORACLE_SQL, step::Step, value::quote};

/// What went wrong. `kind` tells one fault from another while a script is made smaller.
#[derive(Debug, Clone)]
pub struct Finding {
    pub kind: String,
    pub detail: String,
}

impl Finding {
    pub fn new(kind: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding { kind: kind.into(), detail: detail.into() }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub scripts: u64,
    pub statements: u64,
    pub refused: u64,
    pub events: u64,
    pub late: u64,
    pub dead_letters: u64,
    pub folds: u64,
}

/// One engine.
pub struct Side {
    pub engine: &'static str,
    database: String,
    session: Session,
    copy_file: String,
    pub checker: Session,
    /// By type: streams with no event after this position do not tell the present rows.
    pub since: HashMap<String, i64>,
    /// Events and dead letters up to here have been compared.
    pub compared: (i64, i64),
}

/// Both of them.
pub struct Runner {
    cluster: &'static Cluster,
    pub sides: [Side; 2],
    in_transaction: bool,
    pub counts: Counts,
}

/// Databases to copy, one of each engine.
pub fn make_templates(cluster: &Cluster, engines: [Engine; 2]) {
    for (n, engine) in engines.into_iter().enumerate() {
        let name = template(n);
        cluster.connect("postgres", "postgres").run(&format!("create database {name} owner app_owner"));
        engine.install(cluster, &name);
        let mut admin = cluster.connect(&name, "postgres");
        admin.run(&format!("grant all on schema public to app_owner; grant create on database {name} to app_owner; grant pg_read_server_files to app_owner"));
        admin.run(ORACLE_SQL);
        assert_eq!(admin.one("select engine from domain_events.engine()"), engine.name());
    }
}

fn template(n: usize) -> String {
    format!("differential_template_{n}")
}

impl Runner {
    pub fn new(cluster: &'static Cluster) -> Runner {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut admin = cluster.connect("postgres", "postgres");
        let sides = [0, 1].map(|n| {
            let database = format!("differential_{number}_{n}");
            admin.run(&format!(
                "create database {database} template {} strategy file_copy owner app_owner",
                template(n)
            ));
            let mut checker = cluster.connect(&database, "postgres");
            checker.run(RENDERING);
            checker.run("set client_min_messages = error; set jit = off");
            let engine = match checker.one("select engine from domain_events.engine()").as_str() {
                "native" => "native",
                _ if n == 0 => "portable",
                _ => "portable again",
            };
            let mut session = cluster.connect(&database, "app_owner");
            session.run("set client_min_messages = error; set statement_timeout = '300s'");
            let copy_file = cluster.socket_dir().join("copy").display().to_string();
            Side { engine, database, session, copy_file, checker, since: HashMap::new(), compared: (0, 0) }
        });
        Runner { cluster, sides, in_transaction: false, counts: Counts::default() }
    }

    /// Runs a step on both; true when both did it, false when both refused it.
    pub fn run(&mut self, step: &Step) -> Result<bool, Finding> {
        let [left, right] = &mut self.sides;
        let (a, b) = (left.send(step)?, right.send(step)?);
        self.counts.statements += 1;
        let ok = match (&a, &b) {
            (Ok(a), Ok(b)) if a == b => true,
            (Err(a), Err(b)) if a.code == b.code && a.message == b.message => {
                if a.code.starts_with("XX") {
                    return Err(Finding::new(format!("internal error {}", a.code), format!("{a}\nin {}", step.sql)));
                }
                self.counts.refused += 1;
                // A capture may refuse a row that has no id, under 'abort'; nothing else.
                if a.context.contains("domain_events.capture_") && a.code != "22004" && a.code != "25P02" {
                    return Err(Finding::new(
                        format!("refused by capture {}", a.code),
                        format!("{a}\nin {}", step.sql),
                    ));
                }
                if std::env::var_os("DIFF_REFUSED").is_some() {
                    println!("refused: {} {}", a.code, a.message);
                }
                false
            }
            _ => {
                let code = |r: &Result<Rows, Failure>| r.as_ref().map_or_else(|e| e.code.clone(), |_| "rows".into());
                return Err(Finding::new(
                    format!("result {}/{}", code(&a), code(&b)),
                    format!("{}\n{}: {a:?}\n{}: {b:?}", step.sql, left.engine, right.engine),
                ));
            }
        };
        match step.sql.as_str() {
            "begin" => self.in_transaction |= ok,
            "commit" | "rollback" => self.in_transaction = false,
            _ => {}
        }
        if ok {
            for side in &mut self.sides {
                for aggregate_type in &step.resets {
                    let position = side.checker.number(
                        "select case when is_called then last_value else 0 end from domain_events.events_global_position_seq",
                    );
                    side.since.insert(aggregate_type.clone(), position);
                }
            }
        }
        Ok(ok)
    }

    /// What must hold between transactions.
    pub fn check(&mut self, step: &Step) -> Result<(), Finding> {
        if self.in_transaction || step.sql.starts_with("set ") {
            return Ok(());
        }
        compare::compare(&mut self.sides, &step.checks, &mut self.counts)?;
        let mut digests = vec![];
        for side in &mut self.sides {
            digests.push(invariant::check(side, &step.checks, &mut self.counts)?);
        }
        if digests[0] != digests[1] {
            return Err(Finding::new("rows", format!("the users' tables differ: {digests:?}")));
        }
        Ok(())
    }
}

impl Side {
    fn send(&mut self, step: &Step) -> Result<Result<Rows, Failure>, Finding> {
        let sent = match &step.copy {
            // From a file: the client loses its place in the protocol when the server refuses a line.
            Some(data) => {
                std::fs::write(&self.copy_file, data).expect("a file for COPY");
                self.session.try_run(&step.sql.replace("from stdin", &format!("from {}", quote(&self.copy_file))))
            }
            None => self.session.try_run(&step.sql),
        };
        match sent {
            Ok(rows) => Ok(Ok(rows)),
            Err(Trouble::Refused(failure)) if failure.code.starts_with("57P") => {
                Err(Finding::new(format!("crash {}", self.engine), format!("{failure}\nin {}", step.sql)))
            }
            Err(Trouble::Refused(failure)) => Ok(Err(failure)),
            Err(Trouble::Lost(error)) => {
                Err(Finding::new(format!("crash {}", self.engine), format!("{error}\nin {}", step.sql)))
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Ok(mut admin) = self.cluster.try_connect("postgres", "postgres") {
            for side in &self.sides {
                admin.attempt(&format!("drop database if exists {} with (force)", side.database)).ok();
            }
        }
    }
}
