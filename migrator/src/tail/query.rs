//! What is asked of the store, as texts: the simple protocol has no parameters.

use domain_events_sql::quote::quote_literal;

use super::{Since, Stream};
use crate::as_owner;
use crate::db;

/// The beginning of a message, which the server runs as one transaction: what follows depends on no setting of the role, the
/// database or the server, and nothing of it is left afterwards.
fn pin(isolation: &str) -> String {
    format!(
        "set transaction isolation level {isolation}; {}; {}; {}; set local jit = off",
        db::UNLIMITED,
        db::SETTINGS,
        db::RENDERING
    )
}

/// For a single statement.
fn single() -> String {
    pin("read committed")
}

/// Which columns of an event `e` are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All, as one JSON object.
    Json,
    /// Those that people look at; of the payload so many characters, if not all.
    Human(Option<usize>),
}

impl Shape {
    fn columns(self) -> String {
        match self {
            Self::Json => "pg_catalog.row_to_json(e)::text".to_owned(),
            Self::Human(most) => {
                let data = match most {
                    Some(most) => format!("pg_catalog.left(e.event_data::text, {most})"),
                    None => "e.event_data::text".to_owned(),
                };
                format!(
                    "pg_catalog.to_char(e.recorded_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), e.aggregate_type::text, \
                     e.aggregate_id::text, e.aggregate_version::text, e.event_type::text, e.caused_by::text, {data}"
                )
            }
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of streams of these types; of all, if there are none.
    pub types: Vec<String>,
    /// Of these types.
    pub event_types: Vec<String>,
    /// Recorded since then: a text that PostgreSQL reads.
    pub since: Option<String>,
    /// Of this operation.
    pub correlation_id: Option<String>,
}

impl Filter {
    fn arguments(&self) -> [String; 4] {
        [
            array(&self.types),
            array(&self.event_types),
            format!("{}::timestamptz", text(self.since.as_deref())),
            text(self.correlation_id.as_deref()),
        ]
    }
}

/// A row for each event, with its cursor in front; a row with nothing but a cursor, where no event is wanted.
pub fn page(after: Option<&str>, most: u32, filter: &Filter, shape: Shape) -> String {
    let [types, event_types, since, correlation_id] = filter.arguments();
    format!(
        "{}; select e.cursor, e.global_position::text, {columns} \
           from domain_events.read_all({after}, {most}, {types}, {event_types}, {since}, {correlation_id}) as e",
        single(),
        columns = shape.columns(),
        after = text(after),
    )
}

/// The cursor behind all that is committed, in a row by itself.
pub fn latest() -> String {
    format!("{}; select domain_events.latest_cursor()", single())
}

/// Whether the first of two cursors was handed out before the second.
pub fn is_before(first: &str, second: &str) -> String {
    format!("{}; select domain_events.cursor_before({}, {})::text", single(), text(Some(first)), text(Some(second)))
}

/// Whether a cursor is behind all of a tick, not in the midst of what one adds to another (`sql/reading/74_ticks.sql`): what was
/// committed when its page was read has been read.
pub fn is_whole(cursor: &str) -> bool {
    !cursor.contains(':')
}

/// The cursor behind all that is committed, and the newest events that it is behind, newest first: a row with a cursor, and a row for each event.
pub fn newest(most: u32, filter: &Filter, shape: Shape) -> String {
    let [types, event_types, since, correlation_id] = filter.arguments();
    // what the cursor is behind is what the newest tick shows: the same snapshot as this one, but on standbys and while an
    // adoption moves events
    format!(
        "{}; select domain_events.latest_cursor(); \
         select null::text, e.global_position::text, {columns} \
           from domain_events.events as e, domain_events._newest_tick() as t \
          where (e.global_position <= t.boundary \
                 or e.global_position <= t.position_after and domain_events._is_visible(e.transaction_id, t)) \
            and ({types} is null or e.aggregate_type = any ({types})) \
            and ({event_types} is null or e.event_type = any ({event_types})) \
            and ({since} is null or e.recorded_at >= {since}) \
            and ({correlation_id} is null or e.correlation_id = {correlation_id}) \
          order by e.global_position desc limit {most}",
        pin("repeatable read"),
        columns = shape.columns(),
    )
}

/// The versions of a stream from one on, or down from one.
pub fn stream(stream: &Stream, from: Versions, most: u32, shape: Shape) -> String {
    let range = match from {
        Versions::Up(from) => format!("from_version => {from}"),
        Versions::Down(Some(to)) => format!("to_version => {to}, backwards => true"),
        Versions::Down(None) => "backwards => true".to_owned(),
    };
    format!(
        "{}; select null::text, e.aggregate_version::text, {columns} \
           from domain_events.read_stream({kind}, {id}, max_count => {most}, {range}) as e",
        single(),
        columns = shape.columns(),
        kind = quote_literal(&stream.kind),
        id = quote_literal(&stream.id),
    )
}

/// In which order a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// From this version on.
    Up(i64),
    /// Down from this version, or from the newest.
    Down(Option<i64>),
}

/// The time that somebody means, by the server's clock.
pub fn time(since: &Since) -> String {
    format!("{}; select ({})::text", single(), since.sql())
}

/// What the connected role may do here, whether the server takes no writes, and whether it is a standby.
pub const SITUATION: &str = "\
set local search_path = pg_catalog, pg_temp;
select coalesce(has_table_privilege('domain_events.events', 'select') and bool_and(has_function_privilege(p.oid, 'execute')), false)::text,
       (current_setting('default_transaction_read_only') = 'on' or pg_is_in_recovery())::text
  from pg_proc p where p.pronamespace = 'domain_events'::regnamespace and p.proname in ('read_all', 'read_stream', 'latest_cursor')";

fn text(value: Option<&str>) -> String {
    format!("{}::text", value.map_or("null".to_owned(), quote_literal))
}

fn array(values: &[String]) -> String {
    let literal = match values {
        [] => "null".to_owned(),
        _ => quote_literal(&as_owner::array(values.iter().map(|value| Some(value.as_str())))),
    };
    format!("{literal}::text[]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_in_their_literals() {
        let hostile = "'); drop table x; --\\' \"{},$1";
        let filter = Filter {
            types: vec![hostile.into(), "Order".into()],
            event_types: vec![hostile.into()],
            since: Some(hostile.into()),
            correlation_id: Some(hostile.into()),
        };
        let count = |sql: &str| pg_query::parse(sql).expect(sql).protobuf.stmts.len();
        let pins = count(&single());
        let own = Stream { kind: hostile.into(), id: hostile.into() };
        for shape in [Shape::Json, Shape::Human(None), Shape::Human(Some(80))] {
            for (sql, statements) in [
                (page(Some(hostile), 1, &filter, shape), 1),
                (newest(1, &filter, shape), 2),
                (stream(&own, Versions::Down(Some(7)), 1, shape), 1),
                (stream(&own, Versions::Up(1), 1, shape), 1),
            ] {
                assert_eq!(count(&sql), pins + statements, "{sql}");
            }
        }
    }
}
