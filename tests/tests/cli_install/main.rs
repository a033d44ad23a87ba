//! `install`, `uninstall` and `status`, by running the binary.

mod capture;
mod connect;
mod hostile;
mod install;
mod kept;
mod lesser_owner;
mod sessions;
mod status;
mod switch;
mod uninstall;

use domain_events_tests::{Db, Engine};

/// A database without anything.
fn empty() -> Db {
    Db::new(Engine::None)
}

/// A database with the portable engine of `app_owner`, installed by the command line.
fn installed() -> Db {
    let db = empty();
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
    db
}

/// Table `users`, captured, with three events in two streams.
fn capture_users(db: &Db) {
    db.owner().run(
        "create table public.users (id int primary key, email text);
         select domain_events.enable_capture('public.users');
         insert into public.users values (1, 'a@x'), (2, 'b@x');
         update public.users set email = 'c@x' where id = 1;",
    );
}

/// Everything that installation could touch, as text: equal before and after when nothing was done.
fn catalogue(db: &Db) -> String {
    db.admin().table(
        "select 'schema', nspname, pg_get_userbyid(nspowner) from pg_namespace where nspname !~ '^pg_' union all
         select 'class', oid::regclass::text, relkind::text from pg_class where relnamespace::regnamespace::text !~ '^(pg_|information)' union all
         select 'function', oid::regprocedure::text, md5(prosrc) from pg_proc where pronamespace::regnamespace::text !~ '^(pg_|information)' union all
         select 'trigger', tgname, tgrelid::regclass::text || tgenabled::text from pg_trigger where not tgisinternal union all
         select 'extension', extname, extversion from pg_extension order by 1, 2, 3",
    )
}
