//! With whose rights an adoption reads the legacy table: code of its owner never runs with those of the store's owner.

use domain_events_tests::{Db, superuser_engines};

superuser_engines! { code_of_users_never_runs_with_the_rights_of_the_stores_owner, a_legacy_table_is_read_without_code_of_its_owner }

/// The store is a superuser's. What the legacy table's owner can do to the function that is asked while the table is moved:
/// another path, with operators and functions of his own; another result, whose types have casts; no SECURITY DEFINER, just
/// after that was looked at.
fn code_of_users_never_runs_with_the_rights_of_the_stores_owner(db: &Db) {
    let mut owner = db.owner();
    let mut admin = db.admin();
    owner.run(
        "create schema evil; grant usage on schema evil to public;
         create sequence evil.seen; grant usage on sequence evil.seen to public;
         create function evil.look() returns void language plpgsql as $$
         begin
           perform nextval('evil.seen');
           if current_user not in ('app_owner', 'domain_events_guest') then raise exception 'code of a user runs as %', current_user; end if;
         end $$;
         create function evil.number(bigint, bigint) returns bigint language plpgsql as 'begin perform evil.look(); return $1 operator(pg_catalog.+) $2; end';
         create operator evil.+ (leftarg = bigint, rightarg = bigint, function = evil.number);
         create operator evil.- (leftarg = bigint, rightarg = bigint, function = evil.number);
         create function evil.differ(text, text) returns bool language plpgsql as 'begin perform evil.look(); return false; end';
         create operator evil.<> (leftarg = text, rightarg = text, function = evil.differ);
         create operator evil.= (leftarg = text, rightarg = text, function = evil.differ);
         create table log (id int);
         create function head(a text, b text, c bigint) returns domain_events.events language plpgsql security definer as $$
         begin
           perform evil.look();
           perform set_config('search_path', 'evil, pg_catalog', false);
           return row(1, null, gen_random_uuid(), $1, $2, 1, 'Old', null, '{}', '{}', null, null, null, 1, now(), now(), 'adopted')::domain_events.events;
         end $$",
    );
    owner.error("select domain_events._begin_adoption('log', 'log', 1, 10, 'public.head')").expect_code("42501");
    admin.run("select domain_events._begin_adoption('log', 'log', 1, 10, 'public.head')");
    owner.run("select domain_events.append_event('A', '1', 'A')");
    owner.run("reset search_path");
    assert_eq!(owner.number("select aggregate_version from domain_events.events where event_type = 'A'"), 2);
    owner.run(
        "drop function head(text, text, bigint);
         create type evil.strange as (n int);
         create function evil.say(evil.strange) returns text language plpgsql as $$ begin perform evil.look(); return 'A'; end $$;
         create function evil.number(evil.strange) returns bigint language plpgsql as $$ begin perform evil.look(); return 2; end $$;
         create cast (evil.strange as text) with function evil.say(evil.strange) as assignment;
         create cast (evil.strange as bigint) with function evil.number(evil.strange) as assignment;
         create function head(a text, b text, c bigint)
           returns table (p evil.strange, x xid8, i uuid, t evil.strange, a2 text, v evil.strange, e text, n text, d jsonb, m jsonb, c1 text, c2 text, c3 text, s int, o timestamptz, r timestamptz)
           language sql security definer
           as $$ select row(1)::evil.strange, null::xid8, gen_random_uuid(), row(1)::evil.strange, $2, row(1)::evil.strange, 'Old', null, '{}'::jsonb, '{}'::jsonb, null, null, null, 1, now(), now() $$",
    );
    let calls = owner.number("select last_value from evil.seen");
    owner
        .attempt("select domain_events.append_event('A', '4', 'A')")
        .map_or_else(|e| assert!(!e.message.contains("code of a user"), "{e}"), drop);
    assert!(owner.number("select last_value from evil.seen") > calls, "the casts were made");
    owner.run(
        "drop function head(text, text, bigint);
         create function head(a text, b text, c bigint) returns domain_events.events language plpgsql as $$
         begin raise exception 'called by %', current_user using errcode = 'DE999'; end $$;
         revoke all on function head from public",
    );
    owner.error("select domain_events.append_event('A', '5', 'A')").expect("55000").naming("SECURITY DEFINER");
    // as if it had been changed after that was found out
    let late = admin.error("select domain_events._ask_as_guest('public.head', 'A', '5', 1)");
    assert_eq!((late.code.as_str(), late.message.as_str()), ("42501", "permission denied for function head"));
    owner.run("grant execute on function head to public");
    let late = admin.error("select domain_events._ask_as_guest('public.head', 'A', '5', 1)");
    assert_eq!((late.code.as_str(), late.message.as_str()), ("DE999", "called by domain_events_guest"));
    owner.error("select domain_events._ask_as_guest('public.head', 'A', '5', 1)").expect_code("42501");
    owner
        .error("alter function domain_events._ask_as_guest(text, text, text, bigint) security invoker")
        .expect_code("42501");
    admin.run("select domain_events._end_adoption(max(adoption_id), 'moved', 0) from domain_events.adoptions");
    assert_eq!(owner.one("select to_regprocedure('domain_events._ask_as_guest(text,text,text,bigint)') is null"), "t");
}

/// next_aggregate_version() reads a legacy table with the rights of the table's owner, not of the store's, here a superuser.
fn a_legacy_table_is_read_without_code_of_its_owner(db: &Db) {
    let mut owner = db.owner();
    owner.run(
        "create function look() returns void language plpgsql as $$
         begin if current_user <> 'app_owner' then raise exception 'code of a user runs as %', current_user; end if; end $$;
         create type kind as enum ('order');
         create function to_kind(text) returns kind language plpgsql as $$
         declare kind public.kind; begin perform public.look(); execute 'select ''order''::public.kind' into kind; return kind; end $$;
         create cast (text as kind) with function to_kind as implicit;
         create function is_id(text) returns bool language plpgsql as $$ begin perform public.look(); return true; end $$;
         create domain an_id as varchar(40) check (is_id(value));
         create table log (kind kind, id an_id, version int, unique (kind, id, version));
         insert into log values ('order', 'a''\\b', 1), ('order', 'a''\\b', 2);
         select domain_events.register_event_table('log', 'kind', 'id', 'version')",
    );
    for mut s in [db.owner(), db.admin()] {
        assert_eq!(s.number("select domain_events.next_aggregate_version('order', 'a''\\b', 'log')"), 3);
        assert_eq!(s.number("select domain_events.next_aggregate_version('order', 'b', 'log')"), 1);
    }
    // a view in its place
    owner.run(
        "alter table log rename to old_log;
         create view log as select kind, id, version from old_log where look() is not null;
         select domain_events._register_event_table('log', 'kind', 'id', 'version')",
    );
    let mut admin = db.admin();
    assert_eq!(admin.number("select domain_events.next_aggregate_version('order', 'a''\\b', 'log')"), 3);
    assert_eq!(admin.number("select domain_events.next_aggregate_version('order', 'b', 'old_log')"), 1);
    owner.run("create table other (id int); create view two as select l.* from old_log l, other");
    owner.error("select domain_events._register_event_table('two', 'kind', 'id', 'version')").expect("42809");
    owner.run(
        "drop view log, two; create type pair as (a an_id); alter table old_log alter id type pair using row(id)::pair",
    );
    owner.error("select domain_events.next_aggregate_version('order', '(b)', 'old_log')").expect("55000");
    owner
        .error("select domain_events.register_event_table('old_log', 'kind', 'id', 'version')")
        .expect("42804")
        .naming("pair");
}
