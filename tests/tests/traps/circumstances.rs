//! The traps again: for rows that were there before their capture, after a pause in which they changed unseen, and where
//! every event but a stream's first became a dead letter and was retried. The work of each trap touches all its rows.

use domain_events_tests::{Db, Session, engines};

engines! {
    t1_in_all_circumstances, t2_in_all_circumstances, t3_in_all_circumstances, t4_in_all_circumstances, t6_in_all_circumstances,
    t7a_in_all_circumstances, t7b_in_all_circumstances, t8_in_all_circumstances, t9_in_all_circumstances, t10_in_all_circumstances,
    t13_in_all_circumstances, t14_in_all_circumstances, t16_in_all_circumstances, t19_in_all_circumstances, t20_in_all_circumstances,
}

/// The schemas of the three; each is the aggregate type of its table, too.
pub(crate) const CIRCUMSTANCES: [&str; 3] = ["before", "pause", "dead"];

/// In every text `@` stands for the schema, with its point.
pub(crate) struct Trap<'a> {
    pub tables: &'a str,
    pub rows: &'a str,
    /// Further arguments of `enable_capture('@t', ..)`.
    pub capture: &'a str,
    pub unseen: &'a str,
    pub work: &'a str,
    pub want: &'a str,
}

pub(crate) const PLAIN: Trap = Trap {
    tables: "create table @t (id int primary key, s text, n int default 0)",
    rows: "insert into @t values (1, 'a'), (2, 'b'), (3, 'c')",
    capture: "",
    unseen: "update @t set s = 'unseen'; delete from @t where id = 3; insert into @t values (3, 'again')",
    work: "",
    want: "select id::text, to_jsonb(t) from @t t",
};

pub(crate) fn at(circumstance: &str, sql: &str) -> String {
    sql.replace('@', &format!("{circumstance}."))
}

/// Ends what refused events; they are put where they belong.
pub(crate) fn settle(admin: &mut Session, circumstance: &str) {
    if circumstance == "dead" {
        // A restored extension has its own constraints only.
        admin.run("alter table domain_events.events drop constraint if exists boom");
        assert_ne!(
            admin.number("select count(*) from domain_events.capture_failures where stored_version is null"),
            0,
            "nothing was refused"
        );
        admin.run("select domain_events.retry_capture_failures()");
    }
}

impl Trap<'_> {
    fn run(&self, db: &Db) {
        self.with(db, |s, circumstance| s.run(&at(circumstance, self.work)));
    }

    /// For work that is more than statements of one session. It is given the session that made the rows.
    pub fn with(&self, db: &Db, mut work: impl FnMut(&mut Session, &str)) {
        for circumstance in CIRCUMSTANCES {
            work(&mut self.prepare(db, circumstance), circumstance);
            settle(&mut db.admin(), circumstance);
            self.check(db, circumstance);
        }
    }

    /// Brings the rows into the circumstance.
    pub fn prepare(&self, db: &Db, circumstance: &str) -> Session {
        let mut s = db.owner();
        let at = |sql: &str| at(circumstance, sql);
        let capture = at(&format!(
            "select domain_events.enable_capture('@t', aggregate_type => '{circumstance}' {})",
            self.capture
        ));
        println!("{circumstance}");
        s.run(&format!("create schema {circumstance}; {}", at(self.tables)));
        match circumstance {
            "before" => {
                s.run(&at(self.rows));
                s.run(&capture);
            }
            "pause" => {
                s.run(&capture);
                s.run(&at(self.rows));
                s.run(&at("select domain_events.pause_capture('@t')"));
                s.run(&at(self.unseen));
                s.run(&at("select domain_events.resume_capture('@t')"));
            }
            _ => {
                s.run(&capture);
                s.run(&at(self.rows));
                // What an application appends itself has no dead letters.
                db.admin().run(
                    "alter table domain_events.events add constraint boom
                       check (aggregate_version = 1 or aggregate_type <> 'dead' or event_type = 'Noted') not valid",
                );
            }
        }
        s
    }

    pub fn check(&self, db: &Db, circumstance: &str) {
        db.check_fold(circumstance, &at(circumstance, self.want));
    }
}

fn t1_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, n numeric, iv interval, js json, f float8)",
        rows: "insert into @t values (1, 1.0, '1 mon', '{\"a\":1,\"b\":2}', 1.0), (2, 1, '30 days', 'null', '-0')",
        unseen: "update @t set n = n + 1, f = f + 1",
        work: "update @t set n = 1.00; update @t set iv = '30 days' where id = 1; update @t set iv = '1 mon' where id = 2;
               update @t set js = '{\"b\":2,  \"a\":1}'; set extra_float_digits = 0; update @t set f = 1.0000000000000002;
               update @t set n = n, js = js",
        ..PLAIN
    }
    .run(db);
}

fn t2_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, js json)",
        rows: "insert into @t values (1, '{}'), (2, '{\"k\":\"\\u0000\"}')",
        unseen: "update @t set js = '1e500000'",
        work: "update @t set js = '{\"k\":\"a\\u0000b\"}'; update @t set js = '1e500000' where id = 2; insert into @t values (3, '\"\\u0000\"')",
        want: "select id::text, jsonb_build_object('id', id, 'js', jsonb_build_object('$value', 'unrepresentable', 'type', 'json',
                 'bytes', octet_length(js::text), 'sha256', encode(sha256(convert_to(js::text, 'UTF8')), 'hex'))) from @t t",
        ..PLAIN
    }
    .run(db);
}

fn t3_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id timestamptz primary key, iv interval, b bytea)",
        rows: "set timezone = 'UTC'; insert into @t values ('2024-01-01 00:00+00', '1 day', '\\x00ff'), ('2024-06-01 12:00+02', '1 mon', '\\x41')",
        unseen: "set timezone = 'America/St_Johns'; update @t set b = '\\x42'",
        work: "set timezone = 'Asia/Tokyo'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'; set datestyle = 'SQL, DMY';
               update @t set iv = '2 days'; set timezone = 'UTC'; update @t set b = '\\x43'",
        ..PLAIN
    }
    .run(db);
}

fn t4_in_all_circumstances(db: &Db) {
    Trap {
        work: "begin; update @t set n = 1; rollback; begin; update @t set n = 2; savepoint a; update @t set n = 3; rollback to a; commit;
               delete from @t where id = 2; insert into @t values (2, 'again'), (4, 'new'); delete from @t where id = 4;
               truncate @t; insert into @t values (1, 'after'), (4, 'after'); update @t set n = 7",
        ..PLAIN
    }
    .run(db);
}

fn t6_in_all_circumstances(db: &Db) {
    Trap {
        rows: "insert into @t select i, 'x' from generate_series(1, 3000) i",
        work: "update @t set n = n + 1; delete from @t where id % 3 = 0; insert into @t select i, 'y' from generate_series(1, 3000, 3) i on conflict (id) do update set s = 'z'",
        ..PLAIN
    }
    .run(db);
}

fn t7a_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, s text, n int default 0);
                 create function @up() returns trigger language plpgsql as $$ begin
                   if new.n < 3 then update @t set n = new.n + 1 where id = new.id; end if; return null; end $$;
                 create trigger \" early\" after update on @t for each row execute function @up();
                 create trigger late after update on @t for each row execute function @up()",
        work: "update @t set n = 0; update @t set n = 2, s = 'x'",
        ..PLAIN
    }
    .run(db);
}

fn t7b_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, s text, n int default 0);
                 create function @others() returns trigger language plpgsql as $$ begin
                   if pg_trigger_depth() = 1 and new.s = 'go' then
                     update @t set n = n + 1 where id <> new.id; update @t set s = 'go', n = 0 where id = 2; delete from @t where id = 3;
                   end if; return null; end $$;
                 create trigger zz after insert or update on @t for each row execute function @others()",
        work: "update @t set s = 'go', n = 0; insert into @t values (3, 'go'), (4, 'go'), (5, 'go'); update @t set s = 'end'",
        ..PLAIN
    }
    .run(db);
}

fn t8_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, s text, n int default 0, g int generated always as (n * 2) stored);
                 create function @final() returns trigger language plpgsql as $$ begin
                   if new.s = 'cancel' then return null; end if; new.s := new.s || '!'; return new; end $$;
                 create trigger zz before insert or update on @t for each row execute function @final()",
        work: "update @t set n = 5; update @t set s = 'cancel'; insert into @t (id, s) values (1, 'no'), (9, 'yes') on conflict do nothing;
               insert into @t (id, s) values (1, 'x'), (8, 'y') on conflict (id) do update set s = excluded.s, n = 6;
               with a as (update @t set n = 7 where id = 2 returning id) delete from @t where id = 9",
        ..PLAIN
    }
    .run(db);
}

fn t9_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key deferrable, s text, n int default 0)",
        work: "update @t set id = 100 where id = 1; update @t set id = id + 1; update @t set id = 2, n = 1 where id = 101; update @t set n = 2",
        unseen: "update @t set s = 'unseen'; update @t set id = id + 10; update @t set id = 100 where id = 13;
                 update @t set id = 4 where id = 11; update @t set id = 3 where id = 100; update @t set id = 1 where id = 4",
        ..PLAIN
    }
    .run(db);
}

fn t10_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int, region int, n int default 0, primary key (id, region)) partition by list (region);
                 create table @t_0 partition of @t for values in (0); create table @t_1 partition of @t default",
        rows: "insert into @t values (1, 0), (2, 1), (3, 0)",
        capture: ", aggregate_id => '{id}'",
        unseen: "update @t set region = 1 - region; update @t set n = 1",
        work: "update @t set region = 1 - region, n = 5; insert into @t_1 values (4, 7); update @t set region = 0 where id = 4;
               delete from @t_0 where id = 4; update @t set region = region + 1; update @t set n = n + 1;
               insert into @t values (5, 0), (6, 0), (7, 9); update @t set region = 3 where id = 6; truncate @t_0; insert into @t values (5, 0)",
        ..PLAIN
    }
    .run(db);
}

fn t13_in_all_circumstances(db: &Db) {
    Trap {
        work: "select set_config('domain_events.actor', repeat('x', 100000), false); set domain_events.metadata = 'no json {';
               update @t set n = 1; set domain_events.metadata = '{\"late\": true, \"after_version\": 0, \"complete\": true, \"queued\": true, \"failure_id\": 1}';
               update @t set n = 2; set domain_events.actor = ''; update @t set n = 3; reset domain_events.metadata",
        ..PLAIN
    }
    .run(db);
}

fn t14_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, s text, ssn text default 'secret')",
        rows: "insert into @t (id, s) values (1, 'a'), (2, 'b'), (3, 'c')",
        capture: ", redact => '{ssn}'",
        unseen: "alter table @t add u int default 5; update @t set s = 'unseen'",
        work: "alter table @t add c text default 'd'; update @t set s = 'x'; alter table @t rename ssn to tax_no; update @t set tax_no = 'other';
               alter table @t drop column s; update @t set c = 'e'; alter table @t alter id type bigint; update @t set c = 'f'",
        want: "select id::text, to_jsonb(t) || '{\"tax_no\": {\"$value\": \"redacted\"}}' from @t t",
    }
    .run(db);
    let mut admin = db.admin();
    assert_eq!(
        admin.one("select (select count(*) from domain_events.events e where e::text ~ 'secret|other') + (select count(*) from domain_events.capture_failures f where f::text ~ 'secret|other')"),
        "0",
        "a redacted value is told"
    );
}

fn t16_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create table @t (id int primary key, big text, n int default 0); alter table @t alter big set storage external",
        rows: "insert into @t select i, repeat('x', 300000) from generate_series(1, 3) i",
        unseen: "update @t set n = 1; update @t set big = repeat('y', 300000) where id = 2",
        work: "update @t set n = n + 1; update @t set n = n + 1; update @t set big = big where id = 1",
        ..PLAIN
    }
    .run(db);
}

fn t19_in_all_circumstances(db: &Db) {
    Trap {
        work: "do $$ begin for i in 1..3 loop update @t set n = n + 1 where id = i; update @t set n = n + 1, s = 'twice' where id = i;
                 begin update @t set n = -1 where id = i; raise exception 'undo'; exception when others then null; end; end loop; end $$",
        ..PLAIN
    }
    .run(db);
}

fn t20_in_all_circumstances(db: &Db) {
    Trap {
        tables: "create type @pair as (a int, b text); create domain @positive as int check (value > 0); create type @mood as enum ('sad', 'ok');
                 create table @t (id int primary key, j json, p @pair, ps @pair[], d @positive, r numrange, m @mood, pt point, xid8 xid8, tags text[])",
        rows: "insert into @t values (1, '{}', '(1,x)', '{}', 1, '[1,2)', 'ok', '(1,2)', '7', '{a,b}'), (2, null, null, null, null, null, null, null, null, null)",
        unseen: "update @t set tags = '{c}'",
        work: "update @t set j = '[1]', p = '(2,)', ps = array['(1,y)'::@pair], d = 2; update @t set r = '(,3]', m = 'sad', pt = '(-0,NaN)', xid8 = '8', tags = '{{1,2},{3,4}}'",
        want: "select id::text, to_jsonb(t) from @t t",
        capture: "",
    }
    .run(db);
}
