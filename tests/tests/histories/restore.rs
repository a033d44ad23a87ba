//! A dump, restored into a cluster whose transactions have lower numbers, in the middle of a history.

use std::time::Duration;

use domain_events_tests::{Db, Engine, engines_alone};

use crate::{
    history::{History, server, store},
    line,
    reader::{Manner, Reader, Strategy},
    seed,
    verdict::judge,
    writer::Writers,
};

engines_alone! { restore_into_young_cluster }

/// 20,000 transactions, as savepoints of one.
const AGE: &str = "do $$ begin
    create temporary table aged (n int);
    for i in 1 .. 20000 loop
      begin insert into aged values (i); exception when others then null; end;
    end loop; end $$";

/// The readers stop, the writers do not; then the dump; then what the dump does not hold.
fn restore_into_young_cluster(engine: Engine) {
    const TIME: Duration = Duration::from_secs(5);
    let old = store(engine, &[]);
    old.admin().run(AGE);
    let (seed, writers) = (seed(), Writers::default());
    let mut readers = vec![
        Reader::pages(&old, 1000),
        Reader::pages(&old, 50),
        Reader::pages(&old, 5).named("  in the middle of a page").manner(Manner::Pausing),
        Reader::new(&old, "  one type", Strategy::Cursor { max_count: 100, filter: ", aggregate_types => '{User}'" })
            .wanted("aggregate_type = 'User'"),
        Reader::pages(&old, 100).named("  repeatable read").manner(Manner::Repeatable),
    ];
    let path = old.file("middle.dump");
    let mut dumped = false;
    // After a third of the time the long transaction is open, with events that the dump cannot hold.
    let before = History { db: &old, seed, time: TIME, writers }.run(&mut readers, |elapsed, course| {
        if !dumped && elapsed > TIME / 3 {
            course.halt();
            old.quietly("pg_dump", &["-Fc", "-f", &path]);
            dumped = true;
        }
    });
    let late = old.session("history_reader").one("select domain_events.latest_cursor()");
    let lost = "domain_events.events where aggregate_type = 'Long'";
    assert_eq!(old.admin().number(&format!("select count(*) from {lost}")), 4);

    let young = Db::on(server(&[("track_commit_timestamp", "off")]), Engine::None).holding(engine);
    young.admin().run("grant domain_events_reader, domain_events_writer, domain_events_admin to app_owner");
    young.quietly("pg_restore", &["--exit-on-error", "-d", &young.name, &path]);
    assert_eq!(young.admin().number(&format!("select count(*) from {lost}")), 0, "it was not committed");
    let newest = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    assert!(young.admin().number(newest) < old.admin().number(newest) - 10000, "the new cluster is young");
    // Before anybody reads there.
    young.owner().run(
        "select count(domain_events.append_event('User', (i % 3)::text, 'Happened')) from generate_series(1, 100) as i",
    );
    let mut readers: Vec<Reader<'_>> = readers.into_iter().map(|reader| reader.at(&young)).collect();
    readers.push(Reader::pages(&young, 1000).named("  from the beginning"));
    let read_late = format!("select 1 from domain_events.read_all('{late}')");
    young.session("history_reader").error(&read_late).expect("55000");
    let after = History { db: &young, seed: seed + 1, time: TIME, writers }.run(&mut readers, |_, _| {});
    young.session("history_reader").error(&read_late).expect("55000");
    let title = format!(
        "\ndump and restore on {}, seed {seed}\nbefore: {}\nafter: {}",
        engine.name(),
        line(&before),
        line(&after)
    );
    judge(&title, &young, &readers);
    young.check_table("Doc", "doc");
}
