//! Whatever part of the events the store refuses for a while: once the dead letters are retried, every stream folds to the
//! table's row, or to nothing. Statements that move keys from row to row, all of it in few rows, with any part refused.
//!
//! `LETTERS_CASES=20000` draws so many cases, `LETTERS_SEED=n` others than the usual ones.

use std::fmt::Write;

use domain_events_tests::{Db, Session, engines};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

engines! {
    t9_letters_of_any_part_of_the_events, t9_letters_of_rows_that_move_between_partitions, t9_letters_of_every_two_statements,
}

const SILENT: &str = "update t set v = v";

/// Over rows 1, 2, 3 of the case; `{n}` is a number, `{s}` that of the statement.
const CHANGES: [&str; 12] = [
    "update t set id = id + 1",
    "update t set id = id - 1",
    "update t set id = {4} + {0} - id where id <> {2}",
    "update t set id = id + 1, v = v + 1 where id > {1}",
    "delete from t where id = {2}",
    "delete from t",
    "insert into t select g, {s} from generate_series({1}, {3}) g where not exists (select from t where id = g)",
    "update t set v = v + 1",
    SILENT,
    "with gone as (delete from t where id = {1}) update t set id = {1} where id = {2}",
    "update t set v = v + 1 where id = {2}; update t set id = {8} - (id - {0}) where id in ({2}, {3})",
    "update t set v = v + 10 where id <= {2}",
];

/// What a trigger of the table does when a row's `v` rises by 10.
const NESTED: &str = "create function nested() returns trigger language plpgsql as $$
    begin
      if tg_op = 'UPDATE' and new.v = old.v + 10 then
        case new.id % 4
          when 0 then update t set v = v + 1 where id = new.id + 1;
          when 1 then update t set id = id + 5 where id = new.id + 1;
          when 2 then delete from t where id = new.id + 1;
          else update t set v = v + 1 where id = new.id;
        end case;
      end if;
      return null;
    end $$;
    create trigger zz after update on t for each row execute function nested()";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Statement,
    Transaction,
    /// The second statement is undone.
    Savepoint,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Retry {
    AtOnce,
    OneByOne,
    /// Some between the statements too.
    Between,
}

#[derive(Clone, Debug)]
struct Case {
    changes: Vec<&'static str>,
    unit: Unit,
    retry: Retry,
    /// Rows that no event has told of before.
    is_unseen: bool,
    /// `<statement><what><row>`: begins, changes, ends.
    refused: String,
}

fn tokens(statements: usize, mut is_refused: impl FnMut(usize, char, i64) -> bool) -> String {
    let mut list = String::from(" ");
    for statement in 1..=statements {
        for what in ['b', 'c', 'e'] {
            for row in -3..=9 {
                if is_refused(statement, what, row) {
                    write!(list, "{statement}{what}{row} ").unwrap();
                }
            }
        }
    }
    list
}

struct World {
    owner: Session,
    admin: Session,
    base: i64,
    letters: i64,
}

impl World {
    fn new(db: &Db, partitions: &str) -> World {
        let (mut owner, mut admin) = (db.owner(), db.admin());
        owner.run(&format!(
            "create table t (id int primary key deferrable, v int) {partitions}; select domain_events.enable_capture('t', 'T')"
        ));
        admin.run(
            "create function public.refuses(id text, data jsonb) returns boolean language plpgsql as $$
             declare
               rule text := current_setting('test.refused', true);
             begin
               return coalesce(rule, '') <> '' and strpos(rule, format(' %s%s%s ', current_setting('test.statement'),
                 case when data ? 'new_aggregate_id' or not data ? 'new_values' then 'e' when data ? 'old_values' then 'c' else 'b' end,
                 id::int - current_setting('test.base')::int)) > 0;
             end $$;
             alter table domain_events.events add constraint dba check (aggregate_type <> 'T' or not public.refuses(aggregate_id, event_data)) not valid",
        );
        World { owner, admin, base: 0, letters: 0 }
    }

    /// Nothing, or what is wrong.
    fn run(&mut self, case: &Case) -> Option<String> {
        self.base += 100;
        let base = self.base;
        self.owner.run("set test.refused = ''; delete from t");
        let rows = format!("insert into t select {base} + g, g from generate_series(1, 3) g");
        if case.is_unseen {
            self.admin
                .run(&format!("set session_replication_role = replica; {rows}; set session_replication_role = origin"));
        } else {
            self.owner.run(&rows);
        }
        self.owner.run(&format!("set test.refused = '{}'; set test.base = '{base}'", case.refused));
        let mut statements = vec![];
        for (n, change) in case.changes.iter().enumerate() {
            let mut sql = change.replace("{s}", &format!("{}", 100 * (n + 1)));
            for number in 0..10 {
                sql = sql.replace(&format!("{{{number}}}"), &format!("{}", base + number));
            }
            statements.push(format!("set test.statement = '{}'; {sql}", n + 1));
        }
        let done = match case.unit {
            Unit::Statement => statements.iter().try_for_each(|sql| {
                let sql = sql.replace("; ", "; commit; ");
                let done = self.owner.attempt(&sql).map(drop);
                if case.retry == Retry::Between {
                    self.admin.run("select domain_events.retry_capture_failures(2)");
                }
                done
            }),
            Unit::Transaction => self.owner.attempt(&format!("begin; {}; commit", statements.join("; "))).map(drop),
            Unit::Savepoint => {
                let undone = statements.remove(1.min(statements.len() - 1));
                let rest = statements.join("; ");
                self.owner.attempt(&format!("begin; savepoint s; {undone}; rollback to s; {rest}; commit")).map(drop)
            }
        };
        if let Err(failure) = done {
            assert_eq!(failure.code, "23505", "{case:?}: {failure}");
            self.owner.run("rollback");
        }
        let per_call = if case.retry == Retry::AtOnce { "" } else { "1" };
        loop {
            let stored = self.admin.number(&format!("select domain_events.retry_capture_failures({per_call})"));
            self.letters += stored;
            if stored == 0 {
                break;
            }
        }
        let wrong = self.wrong(case.is_unseen);
        if !wrong.is_empty() {
            let events = self.admin.table(&format!(
                "select aggregate_id, aggregate_version, event_data, metadata from domain_events.events
                  where aggregate_type = 'T' and aggregate_id::int between {base} - 10 and {base} + 50 order by aggregate_id::int, 2"
            ));
            return Some(format!("{case:?}\nid|row|fold\n{wrong}\nevents\n{events}"));
        }
        // What has become right, goes on being right.
        self.owner.run(
            "set test.refused = ''; update t set v = v - 5; delete from t where id % 2 = 0; update t set id = id + 1",
        );
        let wrong = self.wrong(case.is_unseen);
        (!wrong.is_empty()).then(|| format!("{case:?}, afterwards\nid|row|fold\n{wrong}"))
    }

    /// Streams whose fold is not the row. `told`: of rows that have had an event.
    fn wrong(&mut self, told: bool) -> String {
        let join = if told { "right" } else { "full" };
        let base = self.base;
        self.admin.table(&format!(
            "with want as (select id::text, to_jsonb(t) as value from t),
                  got as (select distinct aggregate_id collate \"default\" as id from domain_events.events
                           where aggregate_type = 'T' and aggregate_id in (select n::text from generate_series({base} - 10, {base} + 50) n))
             select id, value, fold from (select id, value, domain_events.fold_stream('T', id) as fold from want {join} join got using (id)) s
              where value::text is distinct from fold::text
              union all
             select aggregate_id, to_jsonb(max(aggregate_version)), to_jsonb(count(*)) from domain_events.events
              where aggregate_type = 'T' and aggregate_id in (select n::text from generate_series({base} - 10, {base} + 50) n)
              group by 1 having max(aggregate_version) <> count(*)
              union all
             select 'letter ' || failure_id || ' of ' || aggregate_id, event_data, metadata from domain_events.capture_failures where stored_version is null"
        ))
    }
}

struct Random(StdRng);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn case(&mut self, changes: &[&'static str]) -> Case {
        let length = 1 + self.below(4);
        let share = self.one_of(&[2, 3, 5, 10]);
        let changes = (0..length).map(|_| self.one_of(changes)).collect::<Vec<_>>();
        // A change that makes no event makes an old row look like this transaction's own: docs/guarantees.md.
        let units = if changes.contains(&SILENT) {
            &[Unit::Statement][..]
        } else {
            &[Unit::Statement, Unit::Statement, Unit::Transaction, Unit::Savepoint]
        };
        let whats: &[char] = self.one_of(&[&['b', 'c', 'e'], &['e'], &['b'], &['c', 'e']]);
        Case {
            changes,
            unit: self.one_of(units),
            retry: self.one_of(&[Retry::AtOnce, Retry::OneByOne, Retry::Between]),
            is_unseen: self.below(5) == 0,
            refused: tokens(length, |_, what, _| whats.contains(&what) && self.below(10) < share),
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn t9_letters_of_any_part_of_the_events(db: &Db) {
    random_cases(db, "", 60, true);
}

fn t9_letters_of_rows_that_move_between_partitions(db: &Db) {
    let partitions = "partition by hash (id);
        create table t_0 partition of t for values with (modulus 2, remainder 0);
        create table t_1 partition of t for values with (modulus 2, remainder 1)";
    random_cases(db, partitions, 30, false);
}

fn random_cases(db: &Db, partitions: &str, default: u64, has_trigger: bool) {
    let (seed, cases) = (number("LETTERS_SEED", 1), number("LETTERS_CASES", default));
    println!("LETTERS_SEED={seed} LETTERS_CASES={cases}");
    let mut random = Random(StdRng::seed_from_u64(seed));
    let mut world = World::new(db, partitions);
    let mut wrong = vec![];
    for n in 0..cases {
        if n == cases / 2 && has_trigger {
            world.owner.run(NESTED);
        }
        let case = random.case(&CHANGES);
        wrong.extend(world.run(&case).map(|what| format!("case {n}: {what}")));
    }
    assert!(world.letters as u64 > cases, "{} letters", world.letters);
    assert!(wrong.is_empty(), "seed {seed}: {} of {cases} cases; {}", wrong.len(), shortest(&wrong));
    world.owner.run("delete from t");
    db.check_table("T", "t");
}

fn t9_letters_of_every_two_statements(db: &Db) {
    let mut world = World::new(db, "");
    let mut wrong = vec![];
    let every = number("LETTERS_CASES", 0) > 0;
    for (n, second) in CHANGES.iter().enumerate() {
        for first in CHANGES.iter().filter(|first| every || *first == second || **first == CHANGES[0]) {
            for unit in [Unit::Statement, Unit::Transaction] {
                if unit == Unit::Transaction && (*first == SILENT || *second == SILENT) {
                    continue;
                }
                // All events, those that give a key up, those of rows 2 and 4, of the first statement, those that take a key over.
                for part in (0..5).filter(|part| every || (n + part) % 2 == 0) {
                    let refused = tokens(2, |statement, what, row| match part {
                        0 => true,
                        1 => what == 'e',
                        2 => row == 2 || row == 4,
                        3 => statement == 1,
                        _ => what == 'b' && row != 3,
                    });
                    let retry = if part % 2 == 0 { Retry::AtOnce } else { Retry::OneByOne };
                    let case = Case { changes: vec![first, second], unit, retry, is_unseen: false, refused };
                    wrong.extend(world.run(&case));
                }
            }
        }
    }
    assert!(world.letters > 300, "{} letters", world.letters);
    assert!(wrong.is_empty(), "{} cases; {}", wrong.len(), shortest(&wrong));
    world.owner.run("delete from t");
    db.check_table("T", "t");
}

fn shortest(wrong: &[String]) -> &str {
    wrong.iter().min_by_key(|case| case.len()).map_or("", String::as_str)
}
