//! The operations: each writes events under a tag of its own and checks what it is told at once.

use domain_events_tests::{Rows, Trouble};

use crate::{
    ledger::Op,
    worker::{Key, Order, Tx, Worker},
};

const ROWS: u64 = 40;

type Work<'a> = fn(&mut Worker<'a>, &mut Tx) -> Result<(), Trouble>;

/// The tables that are captured: a row of "doc" is a stream, rows of "item" share the stream of their order. And a legacy
/// event table whose trigger assigns the version.
pub const TABLES: &str = "
    create table doc (id int primary key, v bigint not null, note text);
    create table item (order_id int, sku text, v int, primary key (order_id, sku));
    select domain_events.enable_capture('doc');
    select domain_events.enable_capture('item', aggregate_type => 'Order', aggregate_id => '{order_id}');
    create table legacy (kind text, id text, version bigint, tag text, unique (kind, id, version));
    select domain_events.register_event_table('legacy', 'kind', 'id', 'version');
    create function assign_version() returns trigger language plpgsql as $$
    begin
      new.version := domain_events.next_aggregate_version(new.kind, new.id, 'legacy');
      return new;
    end $$;
    create trigger assign_version before insert on legacy for each row execute function assign_version();";

fn number(rows: &Rows) -> i64 {
    rows.last()
        .and_then(|r| r[0].as_deref())
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| panic!("a number: {rows:?}"))
}

impl<'a> Worker<'a> {
    pub fn operation(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let any = self.order == Order::Any;
        let (name, work): (&str, Work<'a>) = match self.random.below(33) {
            0..=6 => ("append", Self::append),
            7 => ("wrong version", Self::wrong_version),
            8 | 9 => ("append batch", Self::append_batch),
            10 | 11 => ("append to several", Self::append_several),
            12 | 13 => ("next version, append", Self::next_and_append),
            14 | 15 if any => ("append with a shared id", Self::append_shared),
            16..=18 => ("captured insert", Self::put),
            19 | 20 => ("captured update", Self::update),
            21 => ("captured delete", Self::delete),
            22 => ("captured key change", Self::rekey),
            23 | 24 => ("captured insert, shared stream", Self::put_item),
            // A row and then the stream that it shares: an order of its own.
            25 if any => ("captured update, shared stream", Self::update_items),
            26 if any => ("captured update of many", Self::update_many),
            27 => ("forty streams", Self::forty),
            28 => ("append, caught error", Self::caught),
            29 if any => ("append beside a capture", Self::append_beside),
            30 | 31 => ("legacy insert", Self::legacy),
            _ => ("append", Self::append),
        };
        tx.last_op = name.into();
        work(self, tx)?;
        self.ledger.count(format!("operation: {name}"));
        Ok(())
    }

    /// Something to work on; in rising order none when nothing fits.
    fn pick(&mut self, tx: &Tx, kind: u8) -> Option<u64> {
        let bound = if kind == 0 { self.streams } else { ROWS.min(self.streams * 4) };
        let any = self.order == Order::Any;
        let keys = (0..6).map(|_| (kind, 1 + self.random.below(bound)));
        let fitting: Vec<Key> = keys.filter(|key| any || tx.held.contains(key) || *key > tx.top).collect();
        fitting.first().map(|key| key.1)
    }

    /// Runs an operation that holds what it wrote to. One that wrote nothing may hold a row as well: whoever waits for a row
    /// that somebody else moves to another key has locked it, and sees only then that it has no longer the key it looked for.
    /// Which one it is cannot be seen, so nothing of the kind may follow but what is held already.
    fn holding(&mut self, tx: &mut Tx, key: Key, sql: &str) -> Result<Rows, Trouble> {
        let rows = self.tagged(tx, sql, number)?;
        if number(&rows) > 0 {
            tx.hold(key);
        } else {
            tx.top = tx.top.max((key.0, u64::MAX));
        }
        Ok(rows)
    }

    /// Runs an operation under its tag; `events` says how many events it wrote, from its last row.
    fn tagged(&mut self, tx: &mut Tx, sql: &str, events: impl FnOnce(&Rows) -> i64) -> Result<Rows, Trouble> {
        let tag = tx.tag();
        match self.query(&format!("select domain_events.set_context(correlation_id => '{tag}'); {sql}")) {
            Ok(mut rows) => {
                rows.remove(0);
                let events = events(&rows);
                tx.ops.push(Op { tag, what: format!("{}: {sql}", tx.last_op), events });
                Ok(rows)
            }
            Err(trouble) => {
                tx.undone.push(tag);
                Err(trouble)
            }
        }
    }

    /// Within one transaction the versions of a stream follow each other: it is held.
    fn follow(&mut self, tx: &mut Tx, stream: u64, first: i64, last: i64) {
        tx.hold((0, stream));
        if let Some(before) = tx.versions.insert(stream, last) {
            assert_eq!(first, before + 1, "stream {stream} was not held: {}", tx.history());
        }
    }

    fn append(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 0) else { return Ok(()) };
        let id =
            if self.random.percent(50) { format!(", event_id => '{}'", self.random.uuid()) } else { String::new() };
        let sql =
            format!("select (domain_events.append_event('Soak', '{stream:05}', 'Happened'{id})).aggregate_version");
        let rows = self.tagged(tx, &sql, |_| 1)?;
        self.follow(tx, stream, number(&rows), number(&rows));
        Ok(())
    }

    /// Expects the version that it sees, or one that is surely wrong.
    fn wrong_version(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 0) else { return Ok(()) };
        let wrong = if self.random.percent(30) { 1_000_000 } else { 0 };
        let sql = format!(
            "select (domain_events.append_event('Soak', '{stream:05}', 'Happened', expected_version =>
               (select coalesce(max(version), 0) + {wrong} from domain_events.streams
                 where aggregate_type = 'Soak' and aggregate_id = '{stream:05}'))).aggregate_version"
        );
        let rows = self.tagged(tx, &sql, |_| 1)?;
        assert_eq!(wrong, 0, "a wrong expected_version passed");
        self.follow(tx, stream, number(&rows), number(&rows));
        Ok(())
    }

    fn append_batch(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 0) else { return Ok(()) };
        let count = 1 + self.random.below(20) as i64;
        let events = vec![r#"{"event_type": "Happened"}"#; count as usize].join(",");
        let sql = format!(
            "select min(aggregate_version), max(aggregate_version), count(distinct aggregate_version)
               from domain_events.append_events('Soak', '{stream:05}', '[{events}]')"
        );
        let rows = self.tagged(tx, &sql, |_| count)?;
        let numbers: Vec<i64> =
            rows[0].iter().map(|v| v.as_deref().and_then(|v| v.parse().ok()).expect("a number")).collect();
        assert_eq!((numbers[1] - numbers[0] + 1, numbers[2]), (count, count), "a batch is consecutive");
        self.follow(tx, stream, numbers[0], numbers[1]);
        Ok(())
    }

    fn append_several(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        // Held in sorted order whatever the order given here; a stream may come twice.
        let streams: Vec<u64> = (0..4).filter_map(|_| self.pick(tx, 0)).collect();
        if streams.is_empty() {
            return Ok(());
        }
        let events: Vec<String> = streams
            .iter()
            .map(|s| format!(r#"{{"aggregate_type": "Soak", "aggregate_id": "{s:05}", "event_type": "Happened"}}"#))
            .collect();
        let sql = format!(
            "select aggregate_id, aggregate_version from domain_events.append_events('[{}]'::jsonb) order by 1, 2",
            events.join(",")
        );
        let count = streams.len() as i64;
        let rows = self.tagged(tx, &sql, |_| count)?;
        assert_eq!(rows.len() as i64, count);
        for row in rows {
            let value = |i: usize| row[i].as_deref().and_then(|v| v.parse::<i64>().ok()).expect("a number");
            self.follow(tx, value(0) as u64, value(1), value(1));
        }
        Ok(())
    }

    fn next_and_append(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 0) else { return Ok(()) };
        let next = number(&self.query(&format!("select domain_events.next_aggregate_version('Soak', '{stream:05}')"))?);
        let again =
            number(&self.query(&format!("select domain_events.next_aggregate_version('Soak', '{stream:05}')"))?);
        assert_eq!(next, again, "the same number until it is used: {stream}, {}", tx.history());
        let sql = format!("select (domain_events.append_event('Soak', '{stream:05}', 'Happened')).aggregate_version");
        let rows = self.tagged(tx, &sql, |_| 1)?;
        assert_eq!(number(&rows), next, "the promised version of stream {stream}: {}", tx.history());
        self.follow(tx, stream, next, next);
        Ok(())
    }

    /// Several sessions store the same event: it is stored once, and everybody gets it.
    fn append_shared(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let k = self.random.below(self.shared_ids.len() as u64) as usize;
        let id = self.shared_ids[k].clone();
        self.query(&format!(
            "select domain_events.append_event('Shared', '{}', 'Happened', '{{\"k\": {k}}}', event_id => '{id}', correlation_id => 'shared')",
            k % 7
        ))?;
        tx.shared.push(id);
        Ok(())
    }

    fn put(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(id) = self.pick(tx, 2) else { return Ok(()) };
        let sql = format!(
            "with w as (insert into doc as d values ({id}, 1, null) on conflict (id) do update set v = d.v + 1 returning 1)
             select count(*) from w"
        );
        self.holding(tx, (2, id), &sql).map(|_| ())
    }

    fn update(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(id) = self.pick(tx, 2) else { return Ok(()) };
        let note = self.random.below(1000);
        let sql = format!(
            "with w as (update doc set v = v + 1, note = '{note}' where id = {id} returning 1) select count(*) from w"
        );
        self.holding(tx, (2, id), &sql).map(|_| ())
    }

    fn delete(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(id) = self.pick(tx, 2) else { return Ok(()) };
        let sql = format!("with w as (delete from doc where id = {id} returning 1) select count(*) from w");
        self.holding(tx, (2, id), &sql).map(|_| ())
    }

    /// A row moves to a higher key: two events.
    fn rekey(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let (Some(a), Some(b)) = (self.pick(tx, 2), self.pick(tx, 2)) else { return Ok(()) };
        if a >= b {
            return Ok(());
        }
        let sql = format!("with w as (update doc set id = {b} where id = {a} returning 1) select 2 * count(*) from w");
        let rows = self.holding(tx, (2, a), &sql)?;
        if number(&rows) > 0 {
            tx.hold((2, b));
        }
        Ok(())
    }

    fn put_item(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(order) = self.pick(tx, 1) else { return Ok(()) };
        let sku = self.random.uuid();
        let sql = format!("insert into item select {order}, '{sku}' || i, 0 from generate_series(1, 3) as i");
        self.tagged(tx, &sql, |_| 3)?;
        tx.hold((1, order));
        Ok(())
    }

    /// Rows of one order: the first of them, so that sessions meet on the same rows in the same order.
    fn update_items(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(order) = self.pick(tx, 1) else { return Ok(()) };
        let sql = format!(
            "with w as (update item set v = v + 1 where order_id = {order}
                           and sku = (select min(sku) from item where order_id = {order}) returning 1)
             select count(*) from w"
        );
        self.holding(tx, (1, order), &sql).map(|_| ())
    }

    fn update_many(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let from = self.random.below(ROWS);
        let sql = format!(
            "with w as (update doc set v = v + 1 where id between {from} and {} returning 1) select count(*) from w",
            from + 10
        );
        self.tagged(tx, &sql, number).map(|_| ())
    }

    /// More streams than a transaction may hold locks for; nobody else's.
    fn forty(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let fresh = self.random.uuid();
        let sql = format!(
            "select count(domain_events.append_event('Fresh', '{fresh} ' || i, 'Happened')) from generate_series(1, 40) as i"
        );
        self.tagged(tx, &sql, |_| 40).map(|_| ())
    }

    /// An event of the application's own in the stream of a captured row.
    fn append_beside(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(id) = self.pick(tx, 2) else { return Ok(()) };
        let sql = format!("select (domain_events.append_event('Doc', '{id}', 'DocSeen')).aggregate_version");
        self.tagged(tx, &sql, |_| 1).map(|_| ())
    }

    /// Several rows of one stream of the legacy table, in one statement.
    fn legacy(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 3) else { return Ok(()) };
        let count = 1 + self.random.below(3) as i64;
        let tag = tx.tag();
        let sql =
            format!("insert into legacy select 'Old', '{stream}', null, '{tag}' from generate_series(1, {count})");
        self.tagged(tx, &sql, |_| count)?;
        tx.hold((3, stream));
        Ok(())
    }

    /// The error is caught inside: its events are gone, the transaction goes on.
    fn caught(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let Some(stream) = self.pick(tx, 0) else { return Ok(()) };
        let sql = format!(
            "do $$ begin
               perform domain_events.append_event('Soak', '{stream:05}', 'Happened');
               raise exception 'undone' using errcode = 'P0001';
             exception when sqlstate 'P0001' then null; end $$"
        );
        self.tagged(tx, &sql, |_| 0).map(|_| ())
    }
}
