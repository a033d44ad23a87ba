//! Readers on a hot standby go by the ticks of the primary.

use std::{
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Db, Engine, Session, engines_alone};

use crate::{
    history::{History, store},
    line,
    reader::{Manner, Reader},
    seed, time,
    verdict::{judge, one_era},
    writer::Writers,
};

engines_alone! { standby_reads_ticks, promotion_loses_what_was_not_replicated }

/// Waits until the standby has replayed all that the primary has written.
fn catch_up(primary: &mut Session, standby: &mut Session) {
    let end = primary.one("select pg_current_wal_flush_lsn()");
    let deadline = Instant::now() + Duration::from_secs(30);
    while standby.one(&format!("select pg_last_wal_replay_lsn() >= '{end}'")) != "t" {
        assert!(Instant::now() < deadline, "the standby does not follow");
        thread::sleep(Duration::from_millis(5));
    }
}

/// First nobody reads on the primary, where only `take_tick()` is called; then somebody does, and nothing else is needed.
fn standby_reads_ticks(engine: Engine) {
    let primary = store(engine, &[]);
    let standby = primary.copied_to(primary.cluster().standby());
    let mut ticking = primary.session("history_reader");
    let take = |ticking: &mut Session| ticking.one("select domain_events.take_tick()") == "t";
    let history = |seed, time| History { db: &primary, seed, time, writers: Writers::default() };
    let readers = |db| {
        vec![
            Reader::pages(db, 50).named("  standby, pages of 50"),
            Reader::pages(db, 1000).named("  standby, pages of 1000"),
            Reader::pages(db, 100).named("  standby, repeatable read").manner(Manner::Repeatable),
        ]
    };
    let seed = seed();
    let mut there = readers(&standby);
    let mut ticks = 0;
    let first = history(seed, time(5));
    let mut counts = first.run(&mut there, |_, _| ticks += u64::from(take(&mut ticking)));
    counts.insert("ticks".into(), ticks);
    // It looks at no more than what is new: 4 ms each. Plans that are compiled each time would take seconds.
    assert!(ticks > first.time.as_secs() * 4, "{ticks} ticks in {:?}", first.time);
    halfway(&primary, &standby, &mut ticking);
    // What came after the last tick is not theirs yet: they go on below.
    let mut both: Vec<Reader<'_>> = there.into_iter().chain([Reader::pages(&primary, 1000)]).collect();
    let second = history(seed + 1, time(3));
    let more = second.run(&mut both, |_, _| {});
    let title = format!(
        "\nhot standby on {}, seed {seed}\nby take_tick() every 20 ms: {}\nby a reader on the primary: {}",
        engine.name(),
        line(&counts),
        line(&more)
    );
    judge(&title, &primary, &both);
    one_era(&primary);
}

/// A standby never takes a tick, and shows what one showed as soon as it is replayed.
fn halfway(primary: &Db, standby: &Db, ticking: &mut Session) {
    let mut reader = standby.session("history_reader");
    ticking.run("select domain_events.take_tick()");
    catch_up(ticking, &mut reader);
    let cursor = reader.one("select domain_events.latest_cursor()");
    let next = format!("select aggregate_id, aggregate_version from domain_events.read_all('{cursor}')");
    primary.owner().run("select domain_events.append_event('Halfway', '1', 'Happened')");
    catch_up(ticking, &mut reader);
    assert_eq!(reader.table(&next), "", "without a tick nobody on a standby knows what is committed");
    assert_eq!(reader.one("select domain_events.take_tick()"), "f", "a standby takes none");
    thread::sleep(Duration::from_millis(15));
    assert_eq!(ticking.one("select domain_events.take_tick()"), "t");
    catch_up(ticking, &mut reader);
    assert_eq!(reader.table(&next), "1|1");
    assert_eq!(ticking.one("select domain_events.take_tick()"), "f", "there is nothing new");
    // A cursor of either server is good on the other.
    let here = ticking.one("select domain_events.latest_cursor()");
    assert_eq!(ticking.table(&next), "1|1");
    catch_up(ticking, &mut reader);
    assert_eq!(reader.table(&format!("select 1 from domain_events.read_all('{here}')")), "");
}

/// The standby is cut off under load, the old primary goes on, and then the standby is the primary: with what it has, the
/// prepared transactions of the other among it.
fn promotion_loses_what_was_not_replicated(engine: Engine) {
    const TIME: Duration = Duration::from_secs(4);
    let old = store(engine, &[]);
    let new = old.copied_to(old.cluster().standby());
    let seed = seed();
    let mut readers = vec![
        Reader::pages(&old, 1000),
        Reader::pages(&old, 5).named("  in the middle of a page").manner(Manner::Pausing),
        Reader::pages(&old, 100).named("  repeatable read").manner(Manner::Repeatable),
        Reader::pages(&old, 100).named("  appending").manner(Manner::Appending),
    ];
    let mut cut_off = false;
    let history = |db, seed| History { db, seed, time: TIME, writers: Writers::default() };
    let before = history(&old, seed).run(&mut readers, |elapsed, course| {
        if !cut_off && elapsed > TIME / 3 {
            course.halt();
            let mut standby = new.admin();
            catch_up(&mut old.admin(), &mut standby);
            standby.run("alter system set primary_conninfo = ''");
            standby.run("select pg_reload_conf()");
            cut_off = true;
        }
    });
    let late = old.session("history_reader").one("select domain_events.latest_cursor()");
    let read_late = format!("select 1 from domain_events.read_all('{late}')");
    let events = "select count(*) from domain_events.events";
    assert!(old.admin().number(events) > new.admin().number(events) + 100, "the standby is cut off");
    assert_eq!(new.admin().one("select pg_promote()"), "t");
    new.session("history_reader").error(&read_late).expect("55000");
    let mut readers: Vec<Reader<'_>> = readers.into_iter().map(|reader| reader.at(&new)).collect();
    let after = history(&new, seed + 1).run(&mut readers, |_, _| {});
    new.session("history_reader").error(&read_late).expect("55000");
    readers.push(Reader::pages(&new, 1000).named("  from the beginning"));
    let nobody = Writers { count: 0, long: false, ..Writers::default() };
    History { db: &new, seed, time: Duration::ZERO, writers: nobody }.run(&mut readers[4..], |_, _| {});
    let title = format!(
        "\npromotion of a standby on {}, seed {seed}\nbefore: {}\nafter: {}",
        engine.name(),
        line(&before),
        line(&after)
    );
    judge(&title, &new, &readers);
    one_era(&new);
    assert!(new.admin().number("select count(*) from domain_events.eras") > 1);
    new.check_table("Doc", "doc");
}
