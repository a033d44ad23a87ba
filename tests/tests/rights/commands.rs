//! The view through which the owner of a table gives the store a command.

use domain_events_tests::{Db, engines};

engines! { commands_are_the_owners, a_command_is_not_kept_for_later, baselines_need_no_grant, captures_of_members_of_the_owner }

const COMMANDS: &[(&str, &str)] = &[
    (
        "register capture",
        r#"{"aggregate_type": "X", "aggregate_id": ["id"], "event_name_style": "pascal", "payload": "changes", "on_failure": "abort", "baseline": "lazy", "replication": "origin"}"#,
    ),
    ("open capture", "{}"),
    ("seal capture", "{}"),
    ("capture state", r#"{"state": "paused"}"#),
    ("unregister capture", "{}"),
    ("find capture", "{}"),
    ("drop idle functions", "{}"),
    ("record partitions", "{}"),
    ("baseline query", "{}"),
    ("store baseline", r#"{"rows": [{"id": "1", "data": {"v": "forged"}, "relation": 1259}]}"#),
    ("end streams", r#"{"ids": ["1"]}"#),
    (
        "register event table",
        r#"{"source": 1260, "stream_columns": ["rolname"], "version_column": "oid", "reader": 1}"#,
    ),
    ("unregister event table", "{}"),
];

fn commands_are_the_owners(db: &Db) {
    let mut owner = db.owner();
    owner.run(
        "create table rows (id int primary key, v text);
         create table log (type text, id text, version int, unique (type, id, version));
         select domain_events.register_event_table('log', 'type', 'id', 'version');
         select domain_events.enable_capture('rows', aggregate_type => 'R');",
    );
    // the list above is what the store knows
    let known = owner.table("select m[1] from regexp_matches(pg_get_functiondef('domain_events._run_command()'::regprocedure), E'when \\'([a-z ]+)\\' then', 'g') as m");
    let mut known: Vec<_> = known.lines().collect();
    known.sort_unstable();
    let mut tried: Vec<_> = COMMANDS.iter().map(|(verb, _)| *verb).collect();
    tried.sort_unstable();
    assert_eq!(known, tried);
    let name = db.role("admin");
    db.admin().run(&format!("grant domain_events_admin to {name}; grant create on database {} to {name}", db.name));
    let mut s = db.session(&name);
    s.run("create schema mine; create table mine.t (id int primary key, v text)");
    for (verb, arguments) in COMMANDS {
        for table in ["rows", "log", "pg_catalog.pg_authid", "domain_events.events"] {
            s.error(&format!("insert into domain_events.commands (target, verb, arguments) values ('{table}', '{verb}', '{arguments}')"))
                .expect("42501");
        }
        s.error(&format!(
            "insert into domain_events.commands (target, verb, arguments) values (null, '{verb}', '{arguments}')"
        ))
        .expect("22004");
        s.error(&format!("insert into domain_events.commands (target, verb, arguments) values (4000000000::oid, '{verb}', '{arguments}')")).expect("42P01");
    }
    // in the name of one's own table nothing of another is reached
    s.run("select domain_events.enable_capture('mine.t', aggregate_type => 'Mine')");
    for (verb, arguments, code) in [
        ("store baseline", r#"{"rows": [{"id": "1", "data": {"v": "forged"}, "relation": 1259}]}"#, "22023"),
        ("store baseline", r#"{"rows": [{"id": "1", "data": 7, "relation": 1259}]}"#, "22023"),
        (
            "register event table",
            r#"{"source": 1260, "stream_columns": ["rolname"], "version_column": "oid", "reader": 1}"#,
            "42809",
        ),
        ("register capture", r#"{"aggregate_type": "domain_events.Table", "event_name_style": "pascal"}"#, "22023"),
        ("capture state", r#"{"state": "nothing"}"#, "23514"),
        ("drop everything", "{}", "22023"),
    ] {
        s.error(&format!(
            "insert into domain_events.commands (target, verb, arguments) values ('mine.t', '{verb}', '{arguments}')"
        ))
        .expect_code(code);
    }
    s.run("create view mine.v as select 1 as id; create index i on mine.t (v)");
    for relation in ["mine.v", "mine.i"] {
        s.error(&format!(
            "insert into domain_events.commands (target, verb, arguments) values ('{relation}', 'register capture', '{}')",
            COMMANDS[0].1
        ))
        .expect("42809");
    }
    assert_eq!(owner.one("select state from domain_events.captures where target = 'rows'::regclass"), "active");
    owner.run("insert into rows values (1, 'a')");
    db.check_table("R", "rows");
}

/// Ownership is asked for when the command is given: by nobody else's rights, in no other way, and not from before.
fn a_command_is_not_kept_for_later(db: &Db) {
    let name = db.role("admin");
    db.admin().run(&format!("grant domain_events_admin to {name}; grant create on database {} to {name}", db.name));
    let mut s = db.session(&name);
    s.run("create schema mine; create table mine.t (id int primary key)");
    s.run("select domain_events.enable_capture('mine.t', aggregate_type => 'Mine')");
    let pause = "insert into domain_events.commands (target, verb, arguments) values ('mine.t', 'capture state', '{\"state\": \"paused\"}')";
    s.run(&format!("prepare pause as {pause}"));
    s.run("prepare as_parameter (regclass) as insert into domain_events.commands (target, verb, arguments) values ($1, 'capture state', '{\"state\": \"paused\"}')");
    s.run(&format!("create function mine.pause() returns void language plpgsql as $f$ begin {pause}; end $f$"));
    s.run(&format!("create function mine.pause_as_me() returns void language plpgsql security definer as $f$ begin {pause}; end $f$"));
    s.run("select mine.pause(); execute pause; execute as_parameter ('mine.t'); select domain_events.resume_capture('mine.t')");
    // the kept value of a variable, over a change of the owner
    let mut admin = db.admin();
    admin.run("alter table mine.t owner to app_owner");
    for again in
        ["execute pause", "execute as_parameter ('mine.t')", "select mine.pause()", "select mine.pause_as_me()"]
    {
        s.error(again).expect("42501");
    }
    s.error(
        "do $$ declare t regclass := 'mine.t'; begin insert into domain_events.commands (target, verb) values (t, 'seal capture'); end $$",
    )
    .expect("42501");
    // who becomes somebody else is that one
    admin.run(&format!("grant app_owner to {name}"));
    s.run("begin; set local role app_owner; execute pause; commit");
    assert_eq!(admin.one("select state from domain_events.captures"), "paused");
    admin.run("select domain_events.resume_capture('mine.t')");
    admin.run(&format!("revoke app_owner from {name}"));
    s.error("execute pause").expect("42501");
    assert_eq!(admin.one("select state from domain_events.captures"), "active");
}

/// A baseline reads the table with its owner's rights: none are given to the store's owner, and none are taken.
fn baselines_need_no_grant(db: &Db) {
    let mut owner = db.owner();
    let other = db.role("other");
    db.admin().run(&format!("grant domain_events_admin to {other}; grant create on database {} to {other}", db.name));
    let mut s = db.session(&other);
    let store =
        owner.one("select pg_get_userbyid(relowner) from pg_class where oid = 'domain_events.events'::regclass");
    s.run("create schema own; create table own.t (id int primary key, v text); insert into own.t select i, 'x' from generate_series(1, 1200) as i");
    let rights = "select coalesce(c.relacl::text, '-') || coalesce(n.nspacl::text, '-') from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = 'own.t'::regclass";
    for given in [
        "",
        "grant select on own.t to {store}",
        "grant select, update on own.t to {store}; grant usage on schema own to {store}",
        "grant select on own.t to {store} with grant option",
    ] {
        s.run(&given.replace("{store}", &store));
        s.run("select domain_events.enable_capture('own.t', aggregate_type => 'T')");
        let before = s.one(rights);
        assert_eq!(s.one("select domain_events.baseline_capture('own.t', 700)"), "700");
        assert_eq!(s.one("select domain_events.baseline_capture('own.t', null)"), "500");
        assert_eq!(s.one("select domain_events.baseline_capture('own.t')"), "0");
        assert_eq!(s.one(rights), before, "{given}");
        db.check_table("T", "own.t");
        s.run("select domain_events.disable_capture('own.t')");
    }
}

/// A member of the table's owner captures it as that owner does, and nothing stays granted.
fn captures_of_members_of_the_owner(db: &Db) {
    let (team, member) = (db.role("team"), db.role("member"));
    db.admin().run(&format!(
        "grant {team} to {member}; grant domain_events_admin to {member}; grant create on database {} to {team}",
        db.name
    ));
    let mut s = db.session(&member);
    s.run(&format!(
        "set role {team}; create schema shared; create table shared.t (id int primary key, v text);
         create table shared.p (id int primary key) partition by list (id); create table shared.p1 partition of shared.p for values in (1); reset role;
         select domain_events.enable_capture('shared.t', aggregate_type => 'T', baseline => 'now');
         select domain_events.enable_capture('shared.p', aggregate_type => 'P', baseline => 'now');"
    ));
    s.run("insert into shared.t values (1, 'a'); update shared.t set v = 'b'; insert into shared.p values (1)");
    s.run("create table shared.p2 partition of shared.p for values in (2); select domain_events.follow_partitions('shared.p'); insert into shared.p values (2)");
    db.check_table("T", "shared.t");
    db.check_table("P", "shared.p");
    s.run("select domain_events.disable_capture('shared.t'); select domain_events.disable_capture('shared.p')");
    assert_eq!(db.admin().one("select count(*) from pg_proc where proname ~ '^capture_[0-9]+$'"), "0");
}
