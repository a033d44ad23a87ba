//! What code of a table's owner leaves behind in the session of somebody else who has the store run it: at the commit deferred triggers
//! and cursors WITH HOLD would run with that session's rights, settings and prepared statements would outlive it.

use domain_events_tests::{Db, Engine};

/// A legacy table of the owner, and all that can be left behind.
const LEAVE: &str = "
    create table log (id bigserial primary key, aggregate_type text not null, aggregate_id text not null, aggregate_version int not null, event_type text not null,
                      unique (aggregate_type, aggregate_id, aggregate_version));
    insert into log (aggregate_type, aggregate_id, aggregate_version, event_type) values ('Order', '1', 1, 'OrderMade');
    create table ran (who text, how text); grant insert on ran to public;
    create table deferred (n int);
    create function late() returns trigger language plpgsql as $$ begin insert into public.ran values (current_user, 'deferred trigger'); return null; end $$;
    create constraint trigger late after insert on deferred deferrable initially deferred for each row execute function late();
    create function held() returns int language plpgsql as $$ begin insert into public.ran values (current_user, 'cursor with hold'); return 1; end $$;
    create function leave() returns int language plpgsql as $$
    begin
      if session_user <> 'app_owner' then
        insert into public.deferred values (1);
        execute format('declare %I cursor with hold for select public.held()', 'c' || clock_timestamp());
        perform set_config('datestyle', 'SQL, DMY', false);
        execute format('prepare %I as select public.held()', 's' || clock_timestamp());
      end if;
      return 1;
    end $$;";

fn set_up(engine: Engine) -> Db {
    let db = Db::new(engine);
    db.owner().run(LEAVE);
    db
}

/// Nothing of the owner's ran as anybody else, and nothing of it is left in the session that the statements ran in.
fn expect_nothing_left(db: &Db, role: &str, statements: &[&str]) {
    let mut session = db.session(role);
    let datestyle = session.one("show datestyle");
    for statement in statements {
        session.run(statement);
    }
    assert_eq!(session.one("show datestyle"), datestyle);
    assert_eq!(session.table("select name from pg_prepared_statements where from_sql"), "");
    assert_eq!(session.table("select name from pg_cursors where is_holdable"), "");
    assert_eq!(db.admin().table("select who, how from public.ran where who <> 'app_owner'"), "");
}

fn a_head_function_leaves_nothing_behind(engine: Engine) {
    let db = set_up(engine);
    let mut admin = db.admin();
    db.owner().run(
        "create function head(a text, b text, c bigint) returns domain_events.events language plpgsql security definer as $$ begin perform public.leave(); return null; end $$;
         revoke all on function head from public",
    );
    admin.run(
        "create table public.mine (id int primary key); select domain_events.enable_capture('public.mine');
         select domain_events._begin_adoption('log', 'public.log', 1, 1, 'public.head')",
    );
    expect_nothing_left(
        &db,
        "postgres",
        &[
            "insert into public.mine values (1)",
            "select domain_events.append_event('Invoice', '1', 'InvoiceSent')",
            "begin; insert into public.mine values (2); commit",
        ],
    );
    assert_eq!(admin.number("select count(*) from domain_events.events where aggregate_version = 1 and event_type in ('InvoiceSent', 'MineCreated')"), 3);
}

#[test]
fn a_head_function_leaves_nothing_behind_native() {
    a_head_function_leaves_nothing_behind(Engine::Native);
}

#[test]
fn a_head_function_leaves_nothing_behind_portable() {
    a_head_function_leaves_nothing_behind(Engine::PortableSuper);
}

fn registering_a_table_leaves_nothing_behind(engine: Engine) {
    let db = set_up(engine);
    db.owner().run(
        "create function planned() returns int language plpgsql immutable as $$ begin perform public.act(); return 1; end $$;
         create function act() returns int language plpgsql volatile as $$ begin return public.leave(); exception when others then return 1; end $$;
         create index planned on log (event_type) where public.planned() = 1",
    );
    let register = "select domain_events.register_event_table('public.log', 'aggregate_type', 'aggregate_id', 'aggregate_version')";
    expect_nothing_left(
        &db,
        "postgres",
        &[register, "select domain_events.unregister_event_table('public.log')", register],
    );
}

#[test]
fn registering_a_table_leaves_nothing_behind_native() {
    registering_a_table_leaves_nothing_behind(Engine::Native);
}

#[test]
fn registering_a_table_leaves_nothing_behind_portable() {
    registering_a_table_leaves_nothing_behind(Engine::PortableSuper);
}

/// A head function that answers for every stream, with a place that is taken, keeps nobody for ever.
fn a_head_function_that_lies_is_an_error(engine: Engine) {
    let db = set_up(engine);
    let mut admin = db.admin();
    db.owner().run(
        "create function head(a text, b text, c bigint) returns domain_events.events language sql security definer as $$
           select row(1, null, gen_random_uuid(), $1, $2, 1, 'Old', null, '{}', '{}', null, null, null, 1, now(), now(), 'adopted')::domain_events.events $$",
    );
    admin.run(
        "create table public.mine (id int primary key); select domain_events.enable_capture('public.mine');
         select domain_events._begin_adoption('log', 'public.log', 1, 1, 'public.head');
         select domain_events.append_event('Invoice', '1', 'InvoiceSent')",
    );
    admin.run("set statement_timeout = '60s'");
    admin
        .error("select domain_events.append_event('Invoice', '2', 'InvoiceSent')")
        .expect("55000")
        .naming("place or id");
    admin.error("select domain_events.next_aggregate_version('Invoice', '3')").expect_code("55000");
    // The user's write passes; the event waits.
    admin.run("insert into public.mine values (1)");
    assert_eq!(admin.table("select aggregate_id, error_code from domain_events.capture_failures"), "1|55000");
    admin.run(
        "select domain_events._end_adoption(max(adoption_id), 'withdrawn', 1) from domain_events.adoptions; select domain_events.retry_capture_failures()",
    );
    assert_eq!(admin.number("select count(*) from domain_events.events where event_type = 'MineCreated'"), 1);
    admin.run("select domain_events.append_event('Invoice', '2', 'InvoiceSent')");
}

#[test]
fn a_head_function_that_lies_is_an_error_native() {
    a_head_function_that_lies_is_an_error(Engine::Native);
}

#[test]
fn a_head_function_that_lies_is_an_error_portable() {
    a_head_function_that_lies_is_an_error(Engine::PortableSuper);
}
