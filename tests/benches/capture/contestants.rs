//! Who is measured, and how each is set up. Every one has tables of its own with the same nine columns.

use domain_events_tests::{Db, Engine};

use crate::common::Client;

/// Nine columns of the types that applications have.
pub const COLUMNS: &str =
    "id bigint primary key, a int, b text, n numeric, t text, tags text[], j jsonb, c timestamptz, u timestamptz";

/// How a contestant records the change of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Not at all: the user's statement alone.
    Bare,
    /// A hand-written CTE that writes the same row and a finished event: the cheapest SQL that could do the job.
    Floor,
    /// A trigger, whoever wrote it.
    Trigger,
}

/// One way to record changes, with its connection.
pub struct Contestant {
    pub name: &'static str,
    pub way: Way,
    pub client: Client,
    /// The engine, for ours.
    pub engine: Option<Engine>,
}

/// The events that a capture makes of the three changes that are measured; the floor writes the same as constants.
pub struct Payloads {
    pub created: String,
    pub updated: String,
    pub deleted: String,
}

/// Bare, floor and peers live beside the first engine.
pub fn set_up(databases: &[Db]) -> (Vec<Contestant>, Payloads) {
    let home = databases.first().expect("an engine");
    let mut admin = Client::new(home, "postgres");
    let mut all = Vec::new();
    let mut enter = |name: &'static str, way, engine, db: &Db, trigger: &dyn Fn(&mut Client, &str)| {
        let mut client = Client::new(db, "postgres");
        for table in [name.to_string(), format!("{name}_big")] {
            let extra = if table.ends_with("_big") { ", big text" } else { "" };
            client.run(&format!("create table {table} ({COLUMNS}{extra})"));
            trigger(&mut client, &table);
        }
        all.push(Contestant { name, way, client, engine });
    };

    enter("bare", Way::Bare, None, home, &|_, _| {});
    make_log(&mut admin, "floor_log");
    enter("floor", Way::Floor, None, home, &|_, _| {});
    for db in databases {
        enter(db.engine.name(), Way::Trigger, Some(db.engine), db, &|client, table| {
            // The floor writes the same type, to the letter.
            let kind = if table.ends_with("_big") { "BigRow" } else { "Row" };
            client.run(&format!("select domain_events.enable_capture('{table}', aggregate_type => '{kind}')"));
        });
    }
    make_log(&mut admin, "plpgsql_log");
    admin.run(PLPGSQL);
    enter("plpgsql", Way::Trigger, None, home, &|client, table| {
        client.run(&format!(
            "create trigger log after insert or update or delete on {table} for each row execute function log_by_hand()"
        ));
    });
    if installed(&mut admin, "table_log") {
        enter("table_log", Way::Trigger, None, home, &|client, table| {
            client.run(&format!("select table_log_init(5, '{table}')"));
        });
    }
    if installed(&mut admin, "pgq") {
        admin.run("select pgq.create_queue('changes')");
        enter("pgq", Way::Trigger, None, home, &|client, table| {
            client.run(&format!(
                "create trigger log after insert or update or delete on {table} for each row execute function pgq.jsontriga('changes')"
            ));
        });
    }
    let payloads = payloads(&mut admin);
    (all, payloads)
}

/// A table with the columns and indexes of the store.
fn make_log(admin: &mut Client, name: &str) {
    admin
        .run(&format!("create table {name} (like domain_events.events including indexes); create sequence {name}_seq"));
}

fn installed(admin: &mut Client, extension: &str) -> bool {
    let available =
        admin.number(&format!("select count(*) from pg_available_extensions where name = '{extension}'")) > 0;
    if available {
        admin.run(&format!("create extension {extension}"));
    } else {
        eprintln!("{extension} is absent: its package is not installed (make bench-capture installs it on Debian).");
    }
    available
}

/// What a capture stores for one row, as JSON text.
fn payloads(admin: &mut Client) -> Payloads {
    admin.run(&format!(
        "create table sample ({COLUMNS}); select domain_events.enable_capture('sample');
         insert into sample select {row} from generate_series(12345, 12345) g;
         update sample set a = a + 1, u = clock_timestamp();
         delete from sample",
        row = crate::work::ROW
    ));
    let mut event = |version| {
        admin.text(&format!(
            "select event_data::text from domain_events.events where aggregate_type = 'Sample' and aggregate_version = {version}"
        ))
    };
    Payloads { created: event(1), updated: event(2), deleted: event(3) }
}

/// What a developer writes: versions by max() + 1, the difference of two jsonb rows. It should hold the stream by an advisory
/// lock as well, but with one per stream the bulk statements end with "out of shared memory".
const PLPGSQL: &str = "
create function log_by_hand() returns trigger language plpgsql as $$
declare
  old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  stream text := coalesce(new_row, old_row) ->> 'id';
  data jsonb;
begin
  if tg_op = 'UPDATE' then
    select jsonb_build_object('old_values', jsonb_object_agg(key, old_row -> key), 'new_values', jsonb_object_agg(key, value))
      into data from jsonb_each(new_row) where value is distinct from old_row -> key;
  elsif tg_op = 'INSERT' then
    data := jsonb_build_object('new_values', new_row);
  else
    data := jsonb_build_object('old_values', old_row);
  end if;
  insert into plpgsql_log
  select nextval('plpgsql_log_seq'), pg_current_xact_id(), gen_random_uuid(), tg_table_name, stream,
         coalesce(max(l.aggregate_version), 0) + 1, tg_op, null, data, '{}', null, null, session_user, 1,
         clock_timestamp(), clock_timestamp()
    from plpgsql_log l where l.aggregate_type = tg_table_name and l.aggregate_id = stream;
  return null;
end $$";
