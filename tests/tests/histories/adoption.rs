//! A legacy table is moved into the store, newest events first and below the readers' positions, while its streams are
//! written: readers wait, and then get the block as a whole.

use std::time::{Duration, Instant};

use domain_events_tests::{Db, Engine, Session, engines_alone};

use crate::{
    history::{History, store},
    line,
    reader::{Manner, Reader, now},
    seed,
    verdict::{Truth, judge, one_era},
    writer::Writers,
};

engines_alone! { adoption_holds_readers, adoption_skips_on_request }

/// Old events of twenty streams of the type "Old", of those that the writers choose from.
const LEGACY: &str = "
    create table log (place bigint primary key, id text not null, version bigint not null);
    insert into log select i, ((i % 20) * 3 + 2)::text, 1 + i / 20 from generate_series(0, 499) as i;
    create function old_event(log) returns domain_events.events language sql stable set search_path = pg_catalog, pg_temp as $$
      select row($1.place, null, md5('old ' || $1.place)::uuid, 'Old', $1.id, $1.version, 'OldHappened', null, '{}', '{}',
                 null, null, null, 1, '2020-01-01'::timestamptz + $1.place * interval '1 s',
                 '2020-01-01'::timestamptz + $1.place * interval '1 s', 'adopted')::domain_events.events $$;
    create function head(aggregate_type text, aggregate_id text, last_place bigint) returns domain_events.events
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
      select public.old_event(l) from public.log l
       where $1 = 'Old' and l.id = $2 and l.place <= $3 order by l.version desc limit 1 $$";

/// The block of an adoption, moved in batches.
struct Adoption {
    session: Session,
    id: i64,
    first: i64,
    last: i64,
    /// Places from here on are moved.
    down_to: i64,
}

impl Adoption {
    fn begin(db: &Db) -> Adoption {
        // The store's owner adopts.
        let mut session = if db.engine == Engine::Portable { db.owner() } else { db.admin() };
        let begun = session.rows(
            "select adoption_id, first_position, last_position
               from domain_events._begin_adoption('log', 'public.log', 0, 499, 'public.head')",
        );
        let number = |i: usize| begun[0][i].as_deref().and_then(|n| n.parse().ok()).expect("a number");
        Adoption { id: number(0), first: number(1), last: number(2), down_to: 500, session }
    }

    /// True while there is more to move. As the command line does it: who moves gives up before a deadlock is looked for, or
    /// writers of several streams would be ended for its sake.
    fn move_on(&mut self) -> bool {
        let from = self.down_to - 25;
        let moved = self.session.attempt(&format!(
            "begin; set local lock_timeout = '200ms';
             select domain_events._adopt_events({}, array_agg(public.old_event(l) order by l.place), {from})
               from public.log l where l.place >= {from} and l.place < {};
             commit",
            self.id, self.down_to
        ));
        match moved {
            Ok(_) => self.down_to = from,
            Err(failure) => {
                failure.expect_code("55P03");
                self.session.run("rollback");
            }
        }
        self.down_to > 0
    }

    fn end(&mut self) {
        let count = "select count(*) from domain_events.events where global_position";
        let events = self.session.number(&format!("{count} between {} and {}", self.first, self.last));
        self.session.run(&format!("select domain_events._end_adoption({}, 'moved', {events})", self.id));
    }
}

/// A history in whose middle an adoption begins, and one in which it is moved; the streams of the type "Old" are written
/// only then.
struct Case<'a> {
    db: &'a Db,
    seed: u64,
    title: String,
}

const TIME: Duration = Duration::from_secs(3);

impl Case<'_> {
    /// An adoption waits for open writers: none is open for long.
    fn history(&self, time: Duration, kinds: &'static [&'static str]) -> History<'_> {
        let writers = Writers { kinds, long: false, ..Writers::default() };
        History { db: self.db, seed: self.seed, time, writers }
    }

    fn begin(&mut self, readers: &mut [Reader<'_>]) -> Adoption {
        self.db.owner().run(LEGACY);
        let mut adoption = None;
        let counts = self.history(TIME, &["Order", "User"]).run(readers, |elapsed, _| {
            if adoption.is_none() && elapsed > TIME / 2 {
                adoption = Some(Adoption::begin(self.db));
            }
        });
        self.title += &format!("\nbefore: {}", line(&counts));
        self.seed += 1;
        adoption.expect("half of the time is over")
    }

    /// When the end of the adoption began.
    fn moving(
        &mut self,
        adoption: &mut Adoption,
        readers: &mut [Reader<'_>],
        mut meanwhile: impl FnMut(&mut Adoption),
    ) -> i64 {
        let mut ended = None;
        let mut moved = Instant::now();
        let counts = self.history(TIME * 2, &["Order", "User", "Old"]).run(readers, |_, _| {
            if ended.is_none() && moved.elapsed() > Duration::from_millis(100) {
                moved = Instant::now();
                meanwhile(adoption);
                if !adoption.move_on() {
                    ended = Some(now());
                    adoption.end();
                }
            }
        });
        self.title += &format!("\nmeanwhile and after: {}", line(&counts));
        ended.expect("all is moved")
    }

    /// Who reads from the beginning in the end.
    fn late(&self) -> Reader<'_> {
        let mut reader = [Reader::pages(self.db, 1000).named("  from the beginning")];
        let nobody = Writers { count: 0, long: false, ..Writers::default() };
        History { db: self.db, seed: self.seed, time: Duration::ZERO, writers: nobody }.run(&mut reader, |_, _| {});
        let [reader] = reader;
        reader
    }
}

fn readers(db: &Db) -> Vec<Reader<'_>> {
    vec![
        Reader::pages(db, 1000),
        Reader::pages(db, 7),
        Reader::pages(db, 200).named("  pausing").manner(Manner::Pausing),
        Reader::pages(db, 100).named("  repeatable read").manner(Manner::Repeatable),
        Reader::pages(db, 100).named("  appending").manner(Manner::Appending),
    ]
}

fn case<'a>(db: &'a Db, what: &str) -> Case<'a> {
    let seed = seed();
    Case { db, seed, title: format!("\n{what} on {}, seed {seed}", db.engine.name()) }
}

fn adoption_holds_readers(engine: Engine) {
    let db = store(engine, &[]);
    let (mut case, mut readers) = (case(&db, "adoption of 500 events"), readers(&db));
    let mut adoption = case.begin(&mut readers);
    let ended = case.moving(&mut adoption, &mut readers, |_| {});
    readers.push(case.late());
    judge(&case.title, &db, &readers);
    one_era(&db);
    let truth = Truth::of(&db, "true");
    for reader in &readers {
        let mut block_is_over = false;
        for seen in &reader.seen {
            let position = truth.get(&seen.id).expect("a stored event").position;
            if position >= adoption.first {
                assert!(seen.at >= ended, "{}: position {position} is seen before all is moved", reader.name);
                block_is_over |= position > adoption.last;
                assert!(!block_is_over || position > adoption.last, "{}: the block comes in pieces", reader.name);
            }
        }
    }
}

/// Who has a cursor then goes on at once, and never gets the block.
fn adoption_skips_on_request(engine: Engine) {
    let db = store(engine, &[]);
    let mut case = case(&db, "adoption of 500 events, skipped");
    let mut readers: Vec<Reader<'_>> = readers(&db).into_iter().map(|r| r.wanted("origin <> 'adopted'")).collect();
    let mut adoption = case.begin(&mut readers);
    let mut skipped = None;
    let ended = case.moving(&mut adoption, &mut readers, |adoption| {
        if adoption.down_to < 350 && skipped.is_none() {
            skipped = Some(now());
            adoption.session.run(&format!("select domain_events.skip_adoption({})", adoption.id));
        }
    });
    readers.push(case.late());
    judge(&case.title, &db, &readers);
    one_era(&db);
    let truth = Truth::of(&db, "true");
    for reader in &readers[..readers.len() - 1] {
        let beyond = |at: &i64| skipped.is_some_and(|skipped| *at > skipped) && *at < ended;
        let newer = reader.seen.iter().filter(|seen| truth.get(&seen.id).expect("an event").position > adoption.last);
        let early = newer.map(|seen| seen.at).filter(beyond).count();
        assert!(early > 0, "{} goes on while the block is moved", reader.name);
    }
}
