//! The monitor: every finding is provoked for real and recognised, and a healthy database gives none.

mod alerts;
mod captures;
mod cli;
mod figures;
mod infrastructure;
mod integrity;
mod performance;
mod rows;

use domain_events_tests::{Db, Session};

/// What the store's triggers refuse is possible for a superuser who switches them off.
const OPEN: &str = "alter table domain_events.events disable trigger user";
const CLOSE: &str = "alter table domain_events.events enable always trigger events_append_only;
                     alter table domain_events.events enable always trigger events_append_only_truncate";

/// The codes that a check finds, each once, in order.
fn codes(s: &mut Session, check: &str) -> String {
    s.table(&format!("select distinct code from domain_events.{check} order by 1")).replace('\n', " ")
}

fn integrity(s: &mut Session) -> String {
    codes(s, "check_integrity()")
}

fn incremental(s: &mut Session) -> String {
    codes(s, "check_integrity_incremental()")
}

fn infrastructure(s: &mut Session) -> String {
    codes(s, "check_infrastructure()")
}

fn performance(s: &mut Session) -> String {
    codes(s, "check_performance()")
}

/// A captured table with a history, streams of the application's own, a rollback and a dead letter that was stored in the end.
fn lively(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table public.users (id int primary key, email text, secret text);
         select domain_events.enable_capture('public.users', redact => '{secret}');
         insert into public.users select i, 'user' || i || '@x', 'secret' from generate_series(1, 20) i;
         update public.users set email = 'new' || id || '@x' where id > 10;
         delete from public.users where id > 18",
    );
    s.run("begin; insert into public.users values (100, 'x', 'y'); rollback");
    s.run(
        "insert into public.users values (19, 'again@x', 'z');
         update public.users set id = 200 where id = 1;
         select domain_events.append_event('Order', i::text, 'OrderPlaced', jsonb_build_object('n', i)) from generate_series(1, 10) i;
         select domain_events.append_events('Order', '1', '[{\"event_type\":\"OrderPaid\"},{\"event_type\":\"OrderShipped\"}]')",
    );
    s.run("select domain_events.pause_capture('public.users')");
    s.run("select domain_events.resume_capture('public.users')");
    s.run("truncate public.users");
}

/// Runs SQL as a superuser, expects the findings, undoes it, and expects none.
#[track_caller]
fn provoke(db: &Db, check: fn(&mut Session) -> String, cause: &str, expected: &str, cure: &str) {
    let mut admin = db.admin();
    admin.run(cause);
    assert_eq!(check(&mut admin), expected, "after {cause}");
    admin.run(cure);
    assert_eq!(check(&mut admin), "", "after {cause} was undone by {cure}");
}
