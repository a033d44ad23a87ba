//! What an append is compared with: a table of its own with the store's columns and indexes, and the ways to number versions
//! that people write by hand.

use crate::common::Client;

/// One event of about 200 bytes, as an application has them.
pub fn payload() -> serde_json::Value {
    serde_json::json!({
        "order_id": "0191f5a0-7c1e-7b1a-9d52-2f6f5b0c9d11", "customer": "Ada Lovelace", "currency": "EUR",
        "lines": [{"sku": "A-1001", "quantity": 2, "price": "12.50"}, {"sku": "B-2002", "quantity": 1, "price": "99.00"}]
    })
}

/// Everything of an event that no way of writing has to find out; `{id}`, `{version}` and `{data}` are SQL.
pub fn event(kind: &str, id: &str, version: &str, data: &str) -> String {
    event_at("nextval('bare_seq')", kind, id, version, data)
}

/// The same at a position of its own.
fn event_at(position: &str, kind: &str, id: &str, version: &str, data: &str) -> String {
    format!(
        "{position}, pg_current_xact_id(), gen_random_uuid(), {kind}, {id}, {version}, 'OrderPlaced', null, {data}, '{{}}'::jsonb, \
         null, null, 'app', 1, clock_timestamp(), clock_timestamp(), 'appended'"
    )
}

/// The user's statement alone: the caller knows the version.
pub fn bare() -> String {
    format!("insert into bare_log values ({}) returning *", event("$1", "$2", "$3", "$4"))
}

/// Ours.
pub const APPEND_EVENT: &str = "select * from domain_events.append_event($1, $2, 'OrderPlaced', $3)";

/// Versions by `max() + 1`, and what has to keep two writers of one stream apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByHand {
    /// One advisory lock per stream: the best of them.
    StreamLock,
    /// One advisory lock for the whole store, so that positions are in the order of commits.
    GlobalLock,
    /// One row that counts positions, for the same end.
    CounterRow,
    /// A lock per stream, and a notification of every event.
    Notify,
}

impl ByHand {
    pub const ALL: [ByHand; 4] = [ByHand::StreamLock, ByHand::GlobalLock, ByHand::CounterRow, ByHand::Notify];

    pub fn name(self) -> &'static str {
        match self {
            ByHand::StreamLock => "advisory lock by hand",
            ByHand::GlobalLock => "one global lock",
            ByHand::CounterRow => "counter row",
            ByHand::Notify => "advisory lock + NOTIFY",
        }
    }

    fn function(self) -> &'static str {
        match self {
            ByHand::StreamLock => "append_stream_lock",
            ByHand::GlobalLock => "append_global_lock",
            ByHand::CounterRow => "append_counter_row",
            ByHand::Notify => "append_notify",
        }
    }

    /// The call, with the parameters of [`APPEND_EVENT`].
    pub fn call(self) -> String {
        format!("select * from {}($1, $2, $3)", self.function())
    }

    fn definition(self) -> String {
        const PER_STREAM: &str =
            "perform pg_advisory_xact_lock(hashtextextended(stream_id, hashtextextended(stream_type, 0)));";
        let (hold, position, tell) = match self {
            ByHand::StreamLock => (PER_STREAM, "nextval('bare_seq')", ""),
            ByHand::GlobalLock => ("perform pg_advisory_xact_lock(1);", "nextval('bare_seq')", ""),
            ByHand::CounterRow => ("update counter set n = n + 1 returning n into position;", "position", ""),
            ByHand::Notify => (PER_STREAM, "nextval('bare_seq')", "perform pg_notify('events', stream_id);"),
        };
        format!(
            "create table {name}_log (like bare_log including indexes);
             create function {name}(stream_type text, stream_id text, data jsonb) returns {name}_log language plpgsql as $$
             declare
               stored {name}_log;
               position bigint;
               next_version bigint;
             begin
               {hold}
               select coalesce(max(l.aggregate_version), 0) + 1 into next_version
                 from {name}_log l where l.aggregate_type = stream_type and l.aggregate_id = stream_id;
               insert into {name}_log values ({event}) returning * into stored;
               {tell}
               return stored;
             end $$;",
            name = self.function(),
            event = event_at(position, "stream_type", "stream_id", "next_version", "data"),
        )
    }
}

/// Makes the tables and functions to compare with.
pub fn set_up(admin: &mut Client) {
    admin.run(
        "create table bare_log (like domain_events.events including indexes);
         create sequence bare_seq;
         create table counter (n bigint not null) with (fillfactor = 10);
         insert into counter values (0);
         grant all on all tables in schema public to app_owner;
         grant all on all sequences in schema public to app_owner;",
    );
    for way in ByHand::ALL {
        admin.run(&way.definition());
    }
    admin.run("grant all on all tables in schema public to app_owner");
}
