//! A stream against its model: random appends, expectations, repeated ids, batches and rollbacks must end as a list would.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use domain_events_tests::{Db, Session, engines};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

engines! { a_stream_behaves_as_its_model }

#[derive(Debug, Clone)]
enum Operation {
    Append { stream: u8, content: u8, expected: Option<i64>, id: Option<u8> },
    Batch { stream: u8, contents: Vec<u8>, expected: Option<i64> },
    Next { stream: u8 },
    Begin,
    Savepoint,
    RollbackToSavepoint,
    Rollback,
    Commit,
}

/// What a list of streams would hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    streams: HashMap<u8, Vec<u8>>,
    ids: HashMap<u8, (u8, u8, i64)>,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let expected = prop_oneof![3 => Just(None), 3 => (0i64..6).prop_map(Some)];
    let append = (0u8..3, 0u8..3, expected.clone(), prop::option::weighted(0.5, 0u8..6))
        .prop_map(|(stream, content, expected, id)| Operation::Append { stream, content, expected, id });
    let batch = (0u8..3, prop::collection::vec(0u8..3, 0..4), expected)
        .prop_map(|(stream, contents, expected)| Operation::Batch { stream, contents, expected });
    let operation = prop_oneof![
        8 => append,
        3 => batch,
        2 => (0u8..3).prop_map(|stream| Operation::Next { stream }),
        1 => Just(Operation::Begin),
        1 => Just(Operation::Savepoint),
        1 => Just(Operation::RollbackToSavepoint),
        1 => Just(Operation::Rollback),
        1 => Just(Operation::Commit),
    ];
    prop::collection::vec(operation, 1..40)
}

impl Model {
    fn version(&self, stream: u8) -> i64 {
        self.streams.get(&stream).map_or(0, |events| events.len() as i64)
    }

    /// The version, or the SQLSTATE.
    fn append(&mut self, stream: u8, content: u8, expected: Option<i64>, id: Option<u8>) -> Result<i64, &'static str> {
        if let Some(&(of, with, version)) = id.and_then(|id| self.ids.get(&id)) {
            return if (of, with) == (stream, content) { Ok(version) } else { Err("23505") };
        }
        let version = self.version(stream) + 1;
        if expected.is_some_and(|expected| expected != version - 1) {
            return Err("23000");
        }
        self.streams.entry(stream).or_default().push(content);
        if let Some(id) = id {
            self.ids.insert(id, (stream, content, version));
        }
        Ok(version)
    }
}

/// The transaction the session is in: what it goes back to, and to which savepoint.
#[derive(Default)]
struct Transaction {
    before: Option<Model>,
    savepoint: Option<Model>,
}

struct Case<'a> {
    session: &'a mut Session,
    /// Streams and ids are named after the case, so that all cases share one store.
    number: u32,
    model: Model,
    transaction: Transaction,
}

impl Case<'_> {
    fn stream(&self, stream: u8) -> String {
        format!("'Case {}', '{stream}'", self.number)
    }

    /// Runs one statement as the application would: inside a transaction under a savepoint, so that an error ends nothing.
    fn ask(&mut self, sql: &str) -> Result<String, String> {
        if self.transaction.before.is_some() {
            self.session.run("savepoint ask");
        }
        let answer = match self.session.attempt(sql) {
            Ok(rows) => Ok(rows.iter().map(|row| row[0].clone().unwrap_or_default()).collect::<Vec<_>>().join(",")),
            Err(failure) => Err(failure.code),
        };
        if self.transaction.before.is_some() {
            self.session.run(if answer.is_ok() {
                "release savepoint ask"
            } else {
                "rollback to ask; release savepoint ask"
            });
        }
        answer
    }

    fn step(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Append { stream, content, expected, id } => {
                let sql = format!(
                    "select (domain_events.append_event({}, 'E', '{{\"c\": {content}}}'{}{})).aggregate_version",
                    self.stream(*stream),
                    expected.map_or(String::new(), |v| format!(", expected_version => {v}")),
                    id.map_or(String::new(), |id| format!(
                        ", event_id => '{:08x}-0000-7000-8000-0000000000{id:02x}'",
                        self.number
                    )),
                );
                let want = self.model.append(*stream, *content, *expected, *id);
                prop_assert_eq!(self.ask(&sql), want.map(|v| v.to_string()).map_err(String::from), "{}", sql);
            }
            Operation::Batch { stream, contents, expected } => {
                let events: Vec<String> = contents
                    .iter()
                    .map(|c| format!("{{\"event_type\": \"E\", \"event_data\": {{\"c\": {c}}}}}"))
                    .collect();
                let sql = format!(
                    "select aggregate_version from domain_events.append_events({}, '[{}]', {})",
                    self.stream(*stream),
                    events.join(","),
                    expected.map_or("null".into(), |v| v.to_string()),
                );
                let first = self.model.version(*stream) + 1;
                let want = if expected.is_some_and(|v| v != first - 1) {
                    Err("23000".to_owned())
                } else {
                    self.model.streams.entry(*stream).or_default().extend(contents);
                    Ok((first..first + contents.len() as i64).map(|v| v.to_string()).collect::<Vec<_>>().join(","))
                };
                prop_assert_eq!(self.ask(&sql), want, "{}", sql);
            }
            Operation::Next { stream } => {
                let sql = format!("select domain_events.next_aggregate_version({})", self.stream(*stream));
                let want = (self.model.version(*stream) + 1).to_string();
                prop_assert_eq!(self.ask(&sql), Ok(want), "{}", sql);
            }
            Operation::Begin if self.transaction.before.is_none() => {
                self.session.run("begin");
                self.transaction.before = Some(self.model.clone());
            }
            Operation::Savepoint if self.transaction.before.is_some() => {
                self.session.run("savepoint mine");
                self.transaction.savepoint = Some(self.model.clone());
            }
            Operation::RollbackToSavepoint if self.transaction.savepoint.is_some() => {
                self.session.run("rollback to savepoint mine");
                self.model = self.transaction.savepoint.clone().expect("a savepoint");
            }
            Operation::Rollback => self.end("rollback"),
            Operation::Commit => self.end("commit"),
            Operation::Begin | Operation::Savepoint | Operation::RollbackToSavepoint => {}
        }
        Ok(())
    }

    fn end(&mut self, how: &str) {
        if let Some(before) = self.transaction.before.take() {
            self.session.run(how);
            self.transaction.savepoint = None;
            if how == "rollback" {
                self.model = before;
            }
        }
    }
}

fn a_stream_behaves_as_its_model(db: &Db) {
    let session = RefCell::new(db.owner());
    let count = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let result = runner.run(&operations(), |operations| {
        let mut session = session.borrow_mut();
        count.set(count.get() + 1);
        let mut case = Case {
            session: &mut session,
            number: count.get(),
            model: Model::default(),
            transaction: Transaction::default(),
        };
        let steps = operations.iter().try_for_each(|operation| case.step(operation));
        case.end("commit");
        steps?;
        for (stream, contents) in &case.model.streams {
            let stored = case.session.table(&format!(
                "select aggregate_version || ':' || (event_data ->> 'c') from domain_events.events
                  where (aggregate_type, aggregate_id) = ({}) order by aggregate_version",
                format_args!("'Case {}', '{stream}'", case.number)
            ));
            let want: Vec<String> = contents.iter().enumerate().map(|(i, c)| format!("{}:{c}", i + 1)).collect();
            prop_assert_eq!(stored, want.join("\n"));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    db.check_versions();
}
