//! A superuser runs every verb over a database whose tables, functions, types and names are another role's, who has put code
//! into all of them: nothing of it runs as anybody but that role, however the code tries to get out.

use std::path::PathBuf;

use domain_events_tests::{Db, Run, superuser_engines};

use crate::Legacy;

/// Roles of the whole server: a database of these tests has its own.
fn mallory(db: &Db) -> String {
    let role = db.role("mallory");
    db.admin().run(&format!(
        "grant create, usage on schema public to {role}; grant domain_events_writer, domain_events_reader to {role};
         grant create, temp on database {} to {role}",
        db.name
    ));
    role
}

/// Code that tells in the server's log who runs it, when that is not its owner, and that tries to become somebody else. The
/// engine's own guest has no right that its owner lacks, and the store's readers of a table run as its owner.
fn spies(db: &Db, role: &str) -> String {
    format!(
        r#"
        -- what a DBA would notice
        create function public.spy(what text) returns void language plpgsql as $$
        begin
          if current_user <> '{role}' then raise log 'FOREIGN {db} % as %', what, current_user; end if;
        end $$;
        create sequence public.ran;
        -- code of any statement that changes something: tries what would outlive the statement
        create function public.escape(what text) returns int language plpgsql as $$
        declare
          attempt text;
        begin
          perform public.spy(what);
          perform pg_catalog.nextval('public.ran');
          foreach attempt in array array[
            'reset role', 'set role postgres', 'reset session authorization', 'set session authorization postgres', 'set session authorization default',
            'declare spying cursor with hold for select public.spy(''a cursor with hold, at commit'')',
            'set constraints all deferred',
            'insert into public.traces values (1)',
            'deallocate all',
            'set search_path = public, pg_catalog', 'set standard_conforming_strings = off',
            'create type pg_temp.text as enum ()'
          ] loop
            begin
              execute attempt;
            exception when others then null;
            end;
            perform public.spy('after ' || attempt);
          end loop;
          -- what the tool calls next; altering the functions of the port would only fail the owner's own writes
          for attempt in select pg_catalog.format('alter function %s security invoker', p.oid::pg_catalog.regprocedure)
                           from pg_catalog.pg_proc p where p.proowner = current_user::pg_catalog.regrole::pg_catalog.oid and p.prosecdef
                              and p.pronamespace = pg_catalog.pg_my_temp_schema() loop
            begin
              execute attempt;
            exception when others then null;
            end;
          end loop;
          for n in 1..400 loop
            begin
              execute 'prepare sqlx_s_' || n || ' as select public.spy(''a prepared statement'')';
            exception when others then null;
            end;
          end loop;
          return 1;
        end $$;
        -- what code that only plans can leave behind, if it is let: a volatile function may do what its caller may not
        create function public.leave(what text) returns int language plpgsql as $$
        declare
          attempt text;
        begin
          foreach attempt in array array[
            'declare left_' || (pg_catalog.random() * 1e9)::int || ' cursor with hold for select public.spy(''a cursor that planning left'')',
            'insert into public.traces values (1)',
            'create or replace function public.planted() returns int language sql as ''select 1''',
            'alter function public.renamed() rename to lower'
          ] loop
            begin
              execute attempt;
            exception when others then null;
            end;
          end loop;
          return 1;
        end $$;
        -- code that the planner runs
        create function public.planned(what text) returns int language plpgsql immutable as $$
        begin
          perform public.spy(what);
          if current_user = '{role}' and session_user <> '{role}' then perform public.leave(what); end if;
          return 1;
        end $$;
        create function public.quiet(what text) returns int language plpgsql as $$
        begin perform public.spy(what); return 1; end $$;
        create function public.renamed() returns int language sql as 'select 1';

        create table public.traces (n int, at timestamptz default now());
        create function public.trace() returns trigger language plpgsql as $$
        begin
          perform public.spy('a deferred trigger');
          -- once more, for the commit itself
          begin
            set constraints all deferred;
            if (select count(*) from public.traces) < 50 then insert into public.traces values (2); end if;
          exception when others then null;
          end;
          return null;
        end $$;
        create constraint trigger trace after insert on public.traces deferrable initially deferred for each row execute function public.trace();

        create type public.mood as enum ('fine', 'bad');
        create function public.mood_json(public.mood) returns json language plpgsql as $$ begin perform public.spy('a cast to json'); return '"x"'; end $$;
        create cast (public.mood as json) with function public.mood_json(public.mood);
        create domain public.label as text check (public.planned('a domain') = 1);
        create type public.pair as (a public.label, b int);
        create function public.text_of(public.pair) returns text language plpgsql as $$ begin perform public.spy('a cast to text'); return 'x'; end $$;
        create cast (public.pair as text) with function public.text_of(public.pair);
        create function public.bigger(int, int) returns bool language plpgsql immutable as $$ begin perform public.spy('an operator'); return $1 > $2; end $$;
        create operator public.>>> (leftarg = int, rightarg = int, function = public.bigger);
        "#,
        db = db.name
    )
}

/// Tables whose every part runs code, and the legacy trigger that the tool ports.
const TABLES: &str = r#"
    create table public.users (id int primary key, name public.label, mood public.mood default 'fine', pair public.pair default '(x,1)',
      score int default public.quiet('a default') check (public.planned('a check') = 1),
      double int generated always as (public.planned('a generated column')) stored,
      check (1 operator(public.>>>) 0));
    create index on public.users ((public.planned('an index expression of users')));
    create index on public.users (id) where public.planned('an index predicate of users') = 1;
    create statistics public.users_planned on (public.planned('statistics of users')), id from public.users;
    alter table public.users enable row level security;
    create policy everybody on public.users using (public.quiet('a policy') = 1);

    create table public.domain_events (id bigserial primary key, aggregate_type text not null default 'User', aggregate_id text not null,
      aggregate_version int not null, event_type text not null, event_data jsonb,
      is_processed bool default (public.quiet('a default of events') = 1), mood public.mood default 'fine', label public.label,
      check (public.planned('a check of events') = 1),
      unique (aggregate_type, aggregate_id, aggregate_version));
    create index on public.domain_events ((public.planned('an index expression')));
    create index on public.domain_events (id) where public.planned('an index predicate') = 1;
    create statistics public.events_planned on (public.planned('statistics')), id from public.domain_events;
    create view public.unprocessed as select * from public.domain_events where public.quiet('a view') = 1;
    create function public.log_user() returns trigger language plpgsql set search_path = public as $$
    begin
      perform public.escape('a trigger function');
      insert into public.domain_events (aggregate_id, aggregate_version, event_type, event_data) values (new.id::pg_catalog.text, 1, 'UserUpdated', to_jsonb(new));
      return new;
    end $$;
    insert into public.users (id, name) select g, 'n' from generate_series(1, 5) g;
    create trigger log_user after update on public.users for each row execute function public.log_user();
    update public.users set score = 2 where id < 3;
"#;

/// Names that a careless statement would find before those of the catalogue.
const NAMES: &str = r#"
    create function public.array_agg(name) returns name[] language plpgsql as $$ begin perform public.spy('array_agg(name)'); return null; end $$;
    create function public.lower(name) returns text language plpgsql as $$ begin perform public.spy('lower(name)'); return ''; end $$;
    create function public.format_type(oid, int) returns text language plpgsql as $$ begin perform public.spy('format_type'); return ''; end $$;
    create function public.count(bigint) returns bigint language plpgsql as $$ begin perform public.spy('count'); return 0; end $$;
    create function public.is(name, name) returns bool language plpgsql as $$ begin perform public.spy('name = name'); return false; end $$;
    create operator public.= (leftarg = name, rightarg = name, function = public.is);
    create function public.is(oid, int) returns bool language plpgsql as $$ begin perform public.spy('oid = int'); return false; end $$;
    create operator public.= (leftarg = oid, rightarg = int, function = public.is);
    create function public.is("char", text) returns bool language plpgsql as $$ begin perform public.spy('char = text'); return false; end $$;
    create operator public.= (leftarg = "char", rightarg = text, function = public.is);
    create operator public.<> (leftarg = "char", rightarg = text, function = public.is);
    create function public.is(name, text) returns bool language plpgsql as $$ begin perform public.spy('name ~~ text'); return false; end $$;
    create operator public.~~ (leftarg = name, rightarg = text, function = public.is);
    create operator public.!~ (leftarg = name, rightarg = text, function = public.is);
    create function public.joined(text, name) returns text language plpgsql as $$ begin perform public.spy('text || name'); return ''; end $$;
    create operator public.|| (leftarg = text, rightarg = name, function = public.joined);
    create function public.bits(smallint, int) returns int language plpgsql as $$ begin perform public.spy('smallint & int'); return 0; end $$;
    create operator public.& (leftarg = smallint, rightarg = int, function = public.bits);
"#;

/// What the server's log says of code that ran as somebody else.
fn foreign(db: &Db) -> Vec<String> {
    let mark = format!("FOREIGN {} ", db.name);
    let log = db.cluster().log();
    let mut told: Vec<String> = vec![];
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, what)) = line.split_once(mark.as_str()).filter(|_| line.contains(" LOG: ")) else { continue };
        let mut what = what.to_owned();
        // how it came to be called
        while let Some(more) = lines.next_if(|l| l.starts_with('\t') || l.contains(" CONTEXT: ")) {
            what.push_str(&format!("\n  {more}"));
        }
        if told.len() < 5 {
            told.push(what);
        }
    }
    told
}

struct Hostile<'a> {
    db: &'a Db,
    role: String,
    file: PathBuf,
}

impl Drop for Hostile<'_> {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}

impl<'a> Hostile<'a> {
    fn new(db: &'a Db) -> Self {
        let role = mallory(db);
        db.session(&role).run(&format!("{}{TABLES}{NAMES}", spies(db, &role)));
        assert!(foreign(db).is_empty(), "the database's own code: {:?}", foreign(db));
        let file = std::env::temp_dir().join(format!("domain-events-hostile-{}-{}.toml", std::process::id(), db.name));
        Hostile { db, role, file }
    }

    /// Old and new were compared; a statement in a text, which nobody can judge, is left to a person.
    #[track_caller]
    fn verified(&self, args: &[&str]) {
        let run = self.ran(args);
        assert!(run.stdout.contains(" equal") && !run.stdout.contains(" unverified"), "{run:?}");
    }

    #[track_caller]
    fn verb(&self, code: i32, args: &[&str]) -> Run {
        self.ran(args).expect(code)
    }

    /// Runs a verb as a superuser; nothing of the database's runs as one.
    #[track_caller]
    fn ran(&self, args: &[&str]) -> Run {
        let file = self.file.to_str().expect("a path");
        if args[0] == "plan" {
            std::fs::remove_file(file).ok();
        }
        let args: Vec<&str> = args.iter().map(|a| if *a == "FILE" { file } else { a }).collect();
        let run = self.db.cli("postgres", &args);
        let found = foreign(self.db);
        assert!(found.is_empty(), "{args:?} runs code of the tables' owner as somebody else: {found:#?}\n{run:?}");
        run
    }
}

/// Every verb, porting by shim, repairing, adopting; and the store is whole in the end.
fn every_verb_acts_as_the_owner(db: &Db) {
    let hostile = Hostile::new(db);
    hostile.verb(3, &["scan"]);
    hostile.verb(3, &["plan", "--out", "FILE"]);
    hostile.verb(3, &["apply", "--dry-run", "FILE"]);
    hostile.verified(&["verify", "FILE"]);
    hostile.verb(0, &["apply", "--yes", "FILE"]);
    hostile.verified(&["verify", "FILE"]);
    hostile.verified(&["verify"]);
    let ran = db.admin().number("select last_value from public.ran");
    hostile.verb(0, &["rollback", "--yes"]);
    hostile.verb(3, &["apply", "--finish", "--dry-run", "FILE"]);
    hostile.verb(0, &["apply", "--finish", "--yes", "FILE"]);
    assert!(ran > 10, "the code that tries to get out ran {ran} times");

    hostile.verb(3, &["plan", "--adopt", "--out", "FILE"]);
    hostile.verb(3, &["apply", "--dry-run", "FILE"]);
    hostile.verb(0, &["apply", "--yes", "FILE"]);
    assert_eq!(db.admin().number("select count(*) from domain_events.events where aggregate_type = 'User'"), 2);
    hostile.verified(&["verify", "FILE"]);
    hostile.verb(0, &["monitor", "--full"]);
    hostile.verb(0, &["rollback", "--yes"]);

    // as their owner: whoever else asked would run the code
    let mut owner = db.session(&hostile.role);
    owner.run(
        "alter table public.domain_events drop constraint domain_events_aggregate_type_aggregate_id_aggregate_version_key;
         insert into public.domain_events (aggregate_id, aggregate_version, event_type) values ('1', 1, 'Again'), ('1', 7, 'Again')",
    );
    hostile.verb(3, &["repair", "--table", "public.domain_events"]);
    std::fs::remove_file(&hostile.file).ok(); // a plan, which no repair is written over
    hostile.verb(3, &["repair", "--table", "public.domain_events", "--out", "FILE"]);
    hostile.verb(3, &["repair", "FILE", "--dry-run"]);
    hostile.verb(0, &["repair", "FILE", "--yes"]);
    assert_eq!(
        owner.one("select string_agg(aggregate_version::text, ' ' order by id) from public.domain_events where aggregate_id = '1'"),
        "1 2 3"
    );
    hostile.verb(0, &["rollback", "--yes"]);
    hostile.verb(0, &["status"]);
}

/// What the tool makes for a table belongs to the table's owner, and is left as it was found.
fn what_is_made_for_a_table_is_its_owners(db: &Db) {
    let hostile = Hostile::new(db);
    let made = "select string_agg(p.proname || ' ' || pg_get_userbyid(p.proowner), ', ' order by 1) from pg_proc p
                 where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner <> (select relowner from pg_class where oid = 'public.users'::regclass)";
    hostile.verb(3, &["plan", "--out", "FILE"]);
    hostile.verb(0, &["apply", "--yes", "FILE"]);
    assert_eq!(db.admin().one(made), "~", "functions that run with another's rights");
    hostile.verb(0, &["rollback", "--yes"]);
    hostile.verb(0, &["apply", "--finish", "--yes", "FILE"]);
    hostile.verb(3, &["plan", "--adopt", "--out", "FILE"]);
    hostile.verb(0, &["apply", "--yes", "FILE"]);
    assert_eq!(db.admin().one(made), "~", "functions that run with another's rights");
    let left = "select count(*) from pg_namespace where nspname like 'domain\\_events\\_%'";
    assert_eq!(db.admin().number(left), 0, "a schema of the tool's is left");
}

/// An owner who may neither log in, nor make anything in the schema of their own table.
fn an_owner_without_rights_on_the_schema_is_acted_for(db: &Db) {
    let hostile = Hostile::new(db);
    db.admin().run(
        "do $$ declare role text := (select pg_get_userbyid(relowner) from pg_class where oid = 'public.users'::regclass);
           begin
             execute format('revoke all on schema public from public; revoke create on schema public from %I; alter role %I nologin', role, role);
           end $$",
    );
    hostile.verb(3, &["plan", "--adopt", "--out", "FILE"]);
    hostile.verb(0, &["apply", "--yes", "FILE"]);
    hostile.verb(0, &["rollback", "--yes"]);
    let lent = format!("select has_schema_privilege('{}', 'public', 'create')", hostile.role);
    assert_eq!(db.admin().one(&lent), "f", "the right to make something in the schema is taken back");
    let used = "select string_agg(proname, ' ') from pg_proc where pronamespace = 'public'::regnamespace and proname in ('planted', 'lower') and pronargs = 0";
    assert_eq!(db.admin().one(used), "~", "and nothing else was made there meanwhile");
}

superuser_engines! { every_verb_acts_as_the_owner, what_is_made_for_a_table_is_its_owners,
an_owner_without_rights_on_the_schema_is_acted_for, a_superuser_ports_as_the_owner_does,
copies_call_what_the_originals_call }

/// The same plans by a superuser: the same comes out, to the byte.
fn a_superuser_ports_as_the_owner_does(db: &Db) {
    let legacy = Legacy::new(db);
    let before = legacy.definitions();
    let cli = |code: i32, args: &[&str]| db.cli("postgres", args).expect(code);
    for more in [vec![], vec!["--adopt"]] {
        std::fs::remove_file(&legacy.plan).ok();
        let mut args = vec!["plan", "--out", legacy.file()];
        args.extend(&more);
        cli(3, &args);
        if more.is_empty() {
            cli(0, &["verify", legacy.file()]);
        }
        cli(0, &["apply", "--yes", legacy.file()]);
        cli(0, &["verify"]);
        cli(0, &["rollback", "--yes"]);
        cli(0, &["apply", "--finish", "--yes", legacy.file()]);
        assert_eq!(legacy.definitions(), before);
    }
}

/// A SECURITY DEFINER function of a superuser, on a table of a lesser role who puts a function of the catalogue's name wherever
/// that role may, and has one already that looks like part of the port. On copies it finds the same names as on the tables.
fn copies_call_what_the_originals_call(db: &Db) {
    let role = mallory(db);
    db.admin().run(&format!(
        "create schema app; grant usage on schema app to public; create schema al authorization {role};
         create table app.log (id bigserial primary key, aggregate_type text not null default 'Order', aggregate_id text not null, aggregate_version int not null,
           event_type text not null, event_data jsonb, unique (aggregate_type, aggregate_id, aggregate_version));
         create function app.payload(n text) returns jsonb language plpgsql security definer set search_path = pg_catalog, app as $f$
           begin perform 1 from app.log limit 1; return jsonb_build_object('n', n); end $f$;
         revoke all on function app.payload(text) from public;
         create function app.log_order() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $f$ begin
           insert into app.log (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
           values ('Order', new.id::text, 1, 'OrderUpdated', jsonb_build_object('n', new.n) || app.payload(new.n)); return new; end $f$"
    ));
    // what a body is that tells who runs it, and names a table that is copied
    let body = format!(
        "begin if current_user <> ''{role}'' then raise log ''FOREIGN {} a planted function as %'', current_user; end if; perform 1 from al.orders where false; return ''{{}}''; end",
        db.name
    );
    db.session(&role).run(&format!(
        "create function al.check_it(int) returns bool language plpgsql as $$ declare place name; begin
           if session_user <> '{role}' then
             for place in select nspname from pg_namespace where has_schema_privilege('{role}', oid, 'create') and nspname !~ '^(pg_|al$)' loop
               execute format('create or replace function %I.jsonb_build_object(text, text) returns jsonb language plpgsql as %L', place, '{body}');
               execute format('grant all on function %I.jsonb_build_object(text, text) to public', place);
             end loop;
             for place in select n.nspname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.proname = 'payload' and n.nspname <> 'app' loop
               begin
                 execute format('select %I.payload(''x'')', place);
                 raise log 'FOREIGN {} the copy of a function that may not be called, as %', current_user;
               exception when insufficient_privilege then null;
               end;
             end loop;
           end if;
           return true; end $$;
         create table al.orders (id int primary key check (al.check_it(id)), n text);
         create function al.jsonb_build_object(text, text) returns jsonb language plpgsql as '{body}';
         grant usage on schema al to public; insert into al.orders values (1, 'a'), (2, 'b')",
        db.name
    ));
    db.admin().run(
        "create trigger log_order after insert or update on al.orders for each row execute function app.log_order()",
    );
    let file = std::env::temp_dir().join(format!("domain-events-copies-{}-{}.toml", std::process::id(), db.name));
    let path = file.to_str().expect("a path");
    db.cli("postgres", &["plan", "--out", path]).expect(3);
    let run = db.cli("postgres", &["verify", path]);
    std::fs::remove_file(&file).ok();
    assert!(foreign(db).is_empty(), "{:#?}\n{run:?}", foreign(db));
    assert!(run.stdout.contains(" equal") && !run.stdout.contains(" unverified"), "{run:?}");
}
