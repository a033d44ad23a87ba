//! What names a stream is a decision of the plan, and `verify` finds a wrong one by the versions that come out.

use std::fs;

use domain_events_tests::{Db, engines};
use serde_json::Value;

use crate::Legacy;

engines! { the_stream_is_a_decision, an_impossible_stream_is_refused, verify_finds_streams_that_run_together,
verify_finds_a_time_in_the_stream, verify_finds_a_count_over_the_whole_table, versions_that_the_event_table_gives_are_compared,
each_tenant_writes_in_its_own_schema }

/// The count goes on over the kinds of events, which are in the key.
const KINDS: &str = "
    create table tours (id int primary key, seats int not null);
    create table tour_events (kind text not null, tour int not null, version int not null, data jsonb, at timestamptz not null default now(),
      unique (kind, tour, version));
    create function tour_changed() returns trigger language plpgsql as $$
    begin
      insert into tour_events (kind, tour, version, data)
      values ('Tour' || initcap(tg_op), new.id, (select coalesce(max(version), 0) + 1 from tour_events where tour = new.id), to_jsonb(new));
      return null;
    end $$;
    create trigger tour_changed after insert or update on tours for each row execute function tour_changed();
    insert into tours values (1, 10), (2, 20);";

/// Three columns and no key.
const TENANTS: &str = "
    create table badges (id int primary key, site int not null default 1, holder text);
    create table badge_events (site int not null, subject_type text not null, subject_id int not null, version int not null, data jsonb, at timestamptz not null default now());
    create function badge_changed() returns trigger language plpgsql as $$
    declare v int;
    begin
      select coalesce(max(version), 0) + 1 into v from badge_events where site = new.site and subject_type = 'badge' and subject_id = new.id;
      insert into badge_events (site, subject_type, subject_id, version, data) values (new.site, 'badge', new.id, v, to_jsonb(new));
      return null;
    end $$;
    create trigger badge_changed after insert or update on badges for each row execute function badge_changed();
    insert into badges values (1, 1, 'a'), (2, 1, 'b'), (3, 1, 'c');";

fn text(legacy: &Legacy<'_>) -> String {
    fs::read_to_string(&legacy.plan).expect("the plan")
}

fn decide(legacy: &Legacy<'_>, from: &str, to: &str) {
    let old = text(legacy);
    let new = old.replacen(from, to, 1);
    assert_ne!(old, new, "{from} is not in the plan:\n{old}");
    fs::write(&legacy.plan, new).expect("the plan");
}

fn checks(legacy: &Legacy<'_>, code: i32) -> Value {
    legacy.cli(&["verify", "--format", "json", legacy.file()]).expect(code).json()["checks"].clone()
}

fn the_stream_is_a_decision(db: &Db) {
    let legacy = Legacy::of(db, KINDS);
    legacy.plan(&[]);
    assert!(text(&legacy).contains("\nstream = [\"tour\"]\n"), "{}", text(&legacy));
    assert_eq!(checks(&legacy, 0)[0]["verdict"], "equal");
    decide(&legacy, "stream = [\"tour\"]", "stream = [\"kind\", \"tour\"]");
    legacy.apply().expect(2).saying("--revise");
    legacy.plan(&["--revise", legacy.file()]);
    assert!(text(&legacy).contains("decided in the plan; the legacy code reads its newest version by (tour)"));
    // right versions would become others: that is never called equal
    let wrong = checks(&legacy, 3);
    assert_eq!(wrong[0]["verdict"], "different");
    assert!(wrong[0]["differences"].to_string().contains("version is"), "{wrong}");
    // it is honoured all the same
    legacy.apply().expect(0);
    let mut owner = db.owner();
    owner.run("update tours set seats = 11 where id = 1; update tours set seats = 12 where id = 1");
    assert_eq!(
        owner.table("select kind, version from tour_events where tour = 1 order by kind, version"),
        "TourInsert|1\nTourUpdate|1\nTourUpdate|2"
    );
    legacy.cli(&["rollback", "--yes"]).expect(0);
}

fn an_impossible_stream_is_refused(db: &Db) {
    let legacy = Legacy::of(db, KINDS);
    legacy.plan(&[]);
    let good = text(&legacy);
    for (stream, why) in [
        ("[\"at\", \"tour\"]", "a time"),
        ("[\"nowhere\"]", "there is no column nowhere"),
        ("[\"tour\", \"version\"]", "the version itself"),
        ("[\"tour\", \"tour\"]", "named twice"),
        ("[]", "one to 4 columns"),
        ("[\"tour\", \"data\"]", "would take one number there"),
    ] {
        fs::write(&legacy.plan, &good).expect("the plan");
        decide(&legacy, "stream = [\"tour\"]", &format!("stream = {stream}"));
        let revise = ["plan", "--revise", legacy.file(), "--out", legacy.file()];
        legacy.cli(&revise).expect(2).saying(why).saying("hint: ");
    }
}

fn verify_finds_streams_that_run_together(db: &Db) {
    let legacy = Legacy::of(db, TENANTS);
    legacy.plan(&[]);
    let stream = "stream = [\"site\", \"subject_type\", \"subject_id\"]";
    assert!(text(&legacy).contains(stream), "{}", text(&legacy));
    assert_eq!(checks(&legacy, 0)[0]["verdict"], "equal");
    decide(&legacy, stream, "stream = [\"subject_type\", \"site\"]");
    legacy.plan(&["--revise", legacy.file()]);
    let wrong = checks(&legacy, 3);
    assert!(wrong[0]["differences"].to_string().contains("version is"), "{wrong}");
    legacy.apply().expect(0);
    let applied = checks(&legacy, 3);
    assert_eq!(applied[0]["verdict"], "different", "also once it is applied");
}

fn verify_finds_a_time_in_the_stream(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table rooms (id int primary key, heat int);
         create table room_events (room int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (room, version, at));
         create function room_changed() returns trigger language plpgsql as $$
         begin
           insert into room_events (room, version, event_type, data)
           values (new.id, (select coalesce(max(version), 0) + 1 from room_events where room = new.id), 'RoomHeated', to_jsonb(new));
           return null;
         end $$;
         create trigger room_changed after update on rooms for each row execute function room_changed();
         insert into rooms values (1, 1), (2, 2);
         select domain_events.register_event_table('room_events', '{at,room}', 'version');",
    );
    // somebody registered it so: scan says that the code reads another stream, and proposes nothing
    legacy.cli(&["plan", "--out", legacy.file()]).expect(3).saying("it is registered by (at, room)");
    legacy.plan(&["--strategy", "room_changed=shim"]);
    let wrong = checks(&legacy, 3);
    let differences = wrong[0]["differences"].to_string();
    assert!(differences.contains("the plan's stream has at, which is another with every event"), "{wrong}");
    assert!(differences.contains("the legacy code reads its newest version by (room)"), "{wrong}");
    db.owner().run("select domain_events.unregister_event_table('room_events')");
    legacy.plan(&[]);
    assert_eq!(checks(&legacy, 0)[0]["verdict"], "equal");
    legacy.apply().expect(0);
    for heat in 1..=3 {
        db.owner().run(&format!("update rooms set heat = {heat}"));
    }
    assert_eq!(
        db.owner().one("select string_agg(version::text, ' ' order by at) from room_events where room = 2"),
        "1 2 3"
    );
}

fn verify_finds_a_count_over_the_whole_table(db: &Db) {
    let whole = KINDS.replace("from tour_events where tour = new.id", "from tour_events");
    let legacy = Legacy::of(db, &whole.replace("unique (kind, tour, version)", "unique (tour, version)"));
    legacy.cli(&["plan", "--out", legacy.file()]).expect(3).saying("one count for all streams");
    legacy.plan(&["--strategy", "tour_changed=shim"]);
    assert!(text(&legacy).contains("the numbers may be others than before"), "{}", text(&legacy));
    assert_eq!(checks(&legacy, 3)[0]["verdict"], "different");
}

fn versions_that_the_event_table_gives_are_compared(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table masts (id int primary key, height int);
         create table mast_history (id bigserial primary key, mast int not null, version int not null default 1, action text not null, data jsonb,
           is_current boolean not null default true, at timestamptz not null default now(), unique (mast, version));
         create function number_it() returns trigger language plpgsql as $$
         begin
           select coalesce(max(version), 0) + 1 into new.version from mast_history where mast = new.mast;
           update mast_history set is_current = false where mast = new.mast and is_current;
           return new;
         end $$;
         create trigger number_it before insert on mast_history for each row execute function number_it();
         create function mast_changed() returns trigger language plpgsql as $$
         begin
           insert into mast_history (mast, action, data) values (new.id, tg_op, to_jsonb(new));
           return null;
         end $$;
         create trigger mast_changed after insert or update on masts for each row execute function mast_changed();
         insert into masts values (1, 10), (2, 20);",
    );
    legacy.plan(&[]);
    assert_eq!(checks(&legacy, 0)[0]["verdict"], "equal");
    decide(&legacy, "stream = [\"mast\"]", "stream = [\"mast\", \"version\"]");
    legacy.cli(&["plan", "--revise", legacy.file(), "--out", legacy.file()]).expect(2);
    legacy.plan(&[]);
    legacy.apply().expect(0);
    db.owner().run("update masts set height = height + 1; update masts set height = height + 1");
    assert_eq!(
        db.owner().table("select mast, version, is_current from mast_history order by mast, version"),
        "1|1|f\n1|2|f\n1|3|t\n2|1|f\n2|2|f\n2|3|t"
    );
    assert_eq!(checks(&legacy, 0)[0]["verdict"], "equal");
}

/// One function for all tenants, which finds the event table by the search path of the session.
fn each_tenant_writes_in_its_own_schema(db: &Db) {
    let tenant = |name: &str| {
        format!(
            "create schema {name};
             create table {name}.pets (id int primary key, name text not null);
             create table {name}.pet_events (id bigserial primary key, pet_id int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (pet_id, version));
             insert into {name}.pets values (1, 'a'), (2, 'b');
             create trigger pet_changed after insert or update on {name}.pets for each row execute function public.pet_changed();"
        )
    };
    let legacy = Legacy::of(
        db,
        &format!(
            "create function public.pet_changed() returns trigger language plpgsql as $$
             begin
               insert into pet_events (pet_id, version, event_type, data) values (new.id, 1, 'PetChanged', to_jsonb(new));
               return new;
             end $$;
             {}{}",
            tenant("north"),
            tenant("south")
        ),
    );
    let found: Vec<String> =
        legacy.scan().iter().map(|f| format!("{} {} {}", f["table"], f["event_table"], f["strategy"])).collect();
    assert_eq!(found, ["\"north.pets\" \"north.pet_events\" \"shim\"", "\"south.pets\" \"south.pet_events\" \"shim\""]);
    legacy
        .cli(&["plan", "--out", legacy.file(), "--strategy", "north.pets.pet_changed=rewrite"])
        .expect(2)
        .saying("another search_path");
    legacy.plan(&[]);
    let before = checks(&legacy, 0);
    assert_eq!(before.as_array().map(Vec::len), Some(2), "{before}");
    legacy.apply().expect(0);
    let mut owner = db.owner();
    for schema in ["north", "south", "south"] {
        owner.run(&format!(
            "set search_path = {schema}; update pets set name = name || 'x'; update pets set name = name || 'y'"
        ));
    }
    let versions = "select string_agg(version::text, ' ' order by version) from {}.pet_events where pet_id = 1";
    assert_eq!(owner.one(&versions.replace("{}", "north")), "1 2");
    assert_eq!(owner.one(&versions.replace("{}", "south")), "1 2 3 4");
    checks(&legacy, 0);
}
