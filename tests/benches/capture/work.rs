//! The work that is measured, as SQL.

use crate::{
    common::{Client, Cost},
    contestants::{Contestant, Payloads, Way},
};

/// A row, of the number g.
pub const ROW: &str = "g, 1, 'hello world', 12.50, 'some more text here', '{a,b}'::text[], '{\"k\": 1}'::jsonb, clock_timestamp(), clock_timestamp()";

/// An id of version 7 from built-in functions: the random ones of gen_random_uuid() would be cheaper to make, but their index
/// costs a third more once it holds some 100,000, and the floor has to be what is cheapest.
const EVENT_ID: &str = "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing \
     substring(int8send((date_part('epoch', clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid";

/// Rows per block, and per transaction, where statements touch one row each.
const BLOCK: usize = 1000;

/// What is done to the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// A statement per row, many in a transaction.
    InsertOne,
    UpdateOne,
    /// A statement per row, and each its own transaction.
    InsertAlone,
    UpdateAlone,
    InsertMany,
    UpdateMany,
    DeleteMany,
    Copy,
    UpdateBesideBig,
}

impl Work {
    /// In the order in which they are done; DELETE last, it takes what the others left.
    pub const ALL: [Work; 9] = [
        Work::InsertOne,
        Work::UpdateOne,
        Work::InsertAlone,
        Work::UpdateAlone,
        Work::InsertMany,
        Work::UpdateMany,
        Work::DeleteMany,
        Work::Copy,
        Work::UpdateBesideBig,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Work::InsertOne => "1-row INSERT",
            Work::UpdateOne => "1-row UPDATE, 2 of 9 columns",
            Work::InsertAlone => "1-row INSERT, own transaction",
            Work::UpdateAlone => "1-row UPDATE, own transaction",
            Work::InsertMany => "bulk INSERT",
            Work::UpdateMany => "bulk UPDATE, 2 of 9 columns",
            Work::DeleteMany => "bulk DELETE",
            Work::Copy => "COPY",
            Work::UpdateBesideBig => "UPDATE beside 1 MB TOAST",
        }
    }
}

/// How much of it, and which round it is: each round has rows of its own, so that every stream is written as often.
#[derive(Clone, Copy)]
pub struct Size {
    pub round: usize,
    pub single: usize,
    pub bulk: usize,
    pub big: usize,
}

impl Size {
    fn first(&self) -> usize {
        1 + self.round * 2 * (self.single + self.bulk)
    }

    fn rows(&self, work: Work) -> (usize, usize) {
        let (from, count) = match work {
            Work::InsertOne | Work::UpdateOne => (self.first(), self.single),
            Work::InsertAlone | Work::UpdateAlone => (self.first() + self.single, self.single),
            Work::InsertMany | Work::UpdateMany | Work::DeleteMany => (self.first() + 2 * self.single, self.bulk),
            Work::Copy => (self.first() + 2 * self.single + self.bulk, self.bulk),
            Work::UpdateBesideBig => (1, self.big),
        };
        (from, from + count - 1)
    }
}

/// Rows whose 1 MB column is never changed.
pub fn make_big_rows(contestants: &mut [Contestant], count: usize) {
    for contestant in contestants {
        contestant.client.run(&format!(
            "insert into {}_big with big as materialized
               (select string_agg(md5(i::text), '') as value from generate_series(1, 32768) as i)
             select {ROW}, big.value from generate_series(1, {count}) g, big",
            contestant.name
        ));
    }
}

/// Does a piece of work once and gives its cost per row.
pub fn measure(contestant: &mut Contestant, work: Work, size: Size, payloads: &Payloads) -> Cost {
    let (from, to) = size.rows(work);
    let rows = (to - from + 1) as f64;
    let plain = contestant.way != Way::Floor;
    let table = contestant.name;
    let set = "a = a + 1, u = clock_timestamp()";
    let event = |id: &str, version: usize, kind: &str, data: &str| {
        format!(
            "nextval('floor_log_seq'), pg_current_xact_id(), {EVENT_ID}, 'Row', ({id})::text, {version}, 'Row{kind}', null, \
             '{data}'::jsonb, '{{}}'::jsonb, null, null, 'postgres', 1, clock_timestamp(), clock_timestamp(), 'captured'"
        )
    };
    let cost = match work {
        Work::InsertOne | Work::InsertAlone => {
            let insert = format!("insert into {table} values ({ROW})");
            let both = format!(
                "with i as ({insert}) insert into floor_log values ({})",
                event("g", 1, "Created", &payloads.created)
            );
            in_blocks(&mut contestant.client, work, if plain { &insert } else { &both }, from, to)
        }
        Work::UpdateOne | Work::UpdateAlone => {
            let update = format!("update {table} set {set} where id = g");
            let both = format!(
                "with i as ({update}) insert into floor_log values ({})",
                event("g", 2, "Updated", &payloads.updated)
            );
            in_blocks(&mut contestant.client, work, if plain { &update } else { &both }, from, to)
        }
        Work::InsertMany => {
            let insert = format!("insert into {table} select {ROW} from generate_series({from}, {to}) g");
            let both = with_events(&insert, &event("i.id", 1, "Created", &payloads.created));
            contestant.client.cost_of(|c| c.run(if plain { &insert } else { &both }))
        }
        Work::UpdateMany => {
            let update = format!("update {table} set {set} where id between {from} and {to}");
            let both = with_events(&update, &event("i.id", 2, "Updated", &payloads.updated));
            contestant.client.cost_of(|c| c.run(if plain { &update } else { &both }))
        }
        Work::DeleteMany => {
            let delete = format!("delete from {table} where id between {from} and {to}");
            let both = with_events(&delete, &event("i.id", 3, "Deleted", &payloads.deleted));
            contestant.client.cost_of(|c| c.run(if plain { &delete } else { &both }))
        }
        Work::Copy => {
            let data: String = (from..=to)
                .map(|g| {
                    format!(
                        "{g}\t1\thello world\t12.50\tsome more text here\t{{a,b}}\t{{\"k\": 1}}\t2026-01-02 03:04:05.678901+00\t2026-01-02 03:04:05.678901+00\n"
                    )
                })
                .collect();
            let events = format!(
                "insert into floor_log select {} from generate_series({from}, {to}) g",
                event("g", 1, "Created", &payloads.created)
            );
            contestant.client.cost_of(|c| {
                c.run("begin");
                c.copy_in(&format!("copy {table} from stdin"), &data);
                if !plain {
                    c.run(&events);
                }
                c.run("commit");
            })
        }
        Work::UpdateBesideBig => {
            let update = format!("update {table}_big set {set} where id = g");
            let both = format!(
                "with i as ({update}) insert into floor_log values ({})",
                event("'big-' || g", size.round + 2, "Updated", &payloads.updated)
            );
            in_blocks(&mut contestant.client, work, if plain { &update } else { &both }, from, to)
        }
    };
    Cost { cpu: cost.cpu / rows, wal: cost.wal / rows }
}

fn with_events(statement: &str, event: &str) -> String {
    format!("with i as ({statement} returning id) insert into floor_log select {event} from i")
}

/// One statement per row, inside the server, so that neither network nor parser is measured.
fn in_blocks(client: &mut Client, work: Work, statement: &str, from: usize, to: usize) -> Cost {
    let commit = if matches!(work, Work::InsertAlone | Work::UpdateAlone) { "commit; " } else { "" };
    let mut sum = Cost { cpu: 0.0, wal: 0.0 };
    let mut lo = from;
    while lo <= to {
        let hi = to.min(lo + BLOCK - 1);
        let block = format!("do $do$ begin for g in {lo}..{hi} loop {statement}; {commit}end loop; end $do$");
        let cost = client.cost_of(|c| c.run(&block));
        sum = Cost { cpu: sum.cpu + cost.cpu, wal: sum.wal + cost.wal };
        lo = hi + 1;
    }
    sum
}
