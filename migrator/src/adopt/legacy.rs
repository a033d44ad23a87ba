//! A legacy event table, and its rows as events.

use serde::{Deserialize, Serialize};

use super::Mapping;
use crate::error::Error;
use crate::source::Column;
use domain_events_sql::quote::quote_literal;
use domain_events_sql::quote::quoted;

/// A legacy event table, of this server or of another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Legacy {
    /// Schema of the old name, unquoted.
    pub schema: String,
    /// The old name, unquoted: the view's.
    pub name: String,
    /// Name of the table with the legacy columns, in the same schema, unquoted.
    pub side: String,
    /// Owner of both, unquoted.
    pub owner: String,
    /// The legacy columns in order.
    pub columns: Vec<Column>,
    /// Columns of the primary key; empty if there is none.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns that the side table lacks, because the store holds them exactly: see [`Legacy::exact`].
    #[serde(default)]
    pub only_in_store: Vec<String>,
    /// What becomes of which column.
    pub mapping: Mapping,
}

impl Legacy {
    /// The view's name, qualified.
    pub fn view_name(&self) -> String {
        self.qualified(&self.name)
    }

    /// The side table's name, qualified.
    pub fn side_name(&self) -> String {
        self.qualified(&self.side)
    }

    /// A name in the legacy table's schema.
    pub(super) fn qualified(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Columns that the side table has.
    pub fn side_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| !self.only_in_store.contains(&c.name))
    }

    /// Columns whose every value comes back from the store as it was: they may be left out of the side table.
    pub fn exact(&self) -> Vec<String> {
        let single = match self.mapping.event_data.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let exact = single.and_then(|name| self.column(name)).filter(|c| c.data_type == "jsonb" && c.not_null);
        exact.map(|c| c.name.clone()).into_iter().collect()
    }

    /// Refuses what cannot be adopted whatever its rows.
    pub fn check(&self) -> Result<(), Error> {
        let refuse =
            |why: String, hint: &str| Err(Error::refused("42P16", format!("{}: {why}", self.view_name()), hint));
        for name in self.mapping.held() {
            if self.column(name).is_none() {
                return refuse(format!("column {name} of the mapping does not exist"), "Correct the mapping.");
            }
        }
        let kind = self.mapping.aggregate_type.as_deref();
        for name in kind.into_iter().chain([self.mapping.aggregate_id.as_str()]) {
            let known = self.column(name).is_some_and(|c| {
                matches!(c.category.as_str(), "S" | "E" | "B") || c.is_number() || c.data_type == "uuid"
            });
            if !known {
                return refuse(
                    format!("column {name} is no text, number or UUID, so that it does not name a stream for good"),
                    "Give the events a column of such a type.",
                );
            }
        }
        if kind.is_none() && self.mapping.constant_type.as_deref().unwrap_or_default().is_empty() {
            return refuse("its streams have no type".into(), "Set constant_type in the mapping.");
        }
        if !self.column(&self.mapping.aggregate_version).is_some_and(Column::is_integer) {
            return refuse("its version is no integer".into(), "Correct the mapping.");
        }
        Ok(())
    }

    /// A column of the row `row`.
    pub(super) fn of(row: &str, column: &str) -> String {
        format!("{row}.{}", quoted(column))
    }

    /// The stream's type as the store spells it.
    pub(super) fn type_of(&self, row: &str) -> String {
        match &self.mapping.aggregate_type {
            Some(column) => self.text_of(row, column),
            None => quote_literal(self.mapping.constant_type.as_deref().unwrap_or_default()),
        }
    }

    /// The stream's id as the store spells it.
    pub(super) fn id_of(&self, row: &str) -> String {
        self.text_of(row, &self.mapping.aggregate_id)
    }

    // by the type's output function: a cast could be a user's
    fn text_of(&self, row: &str, column: &str) -> String {
        let value = Self::of(row, column);
        match self.column(column).map(|c| c.data_type.as_str()) {
            Some("text") => value,
            _ => format!("pg_catalog.format('%s', {value})"),
        }
    }

    fn optional_text(&self, row: &str, column: &Option<String>) -> String {
        column.as_deref().map_or("null::text".into(), |c| format!("({})::text", Self::of(row, c)))
    }

    fn is(&self, column: &str, data_type: &str) -> bool {
        self.column(column).is_some_and(|c| c.data_type == data_type)
    }

    /// A payload column as jsonb; what is null stays so.
    fn json_of(&self, row: &str, column: &str) -> String {
        let value = Self::of(row, column);
        if self.is(column, "jsonb") {
            value
        } else {
            format!("case when {value} is not null then domain_events._as_payload(({value})::text) end")
        }
    }

    pub(super) fn data_of(&self, row: &str) -> String {
        match self.mapping.event_data.as_slice() {
            [] => "'{}'::jsonb".into(),
            [only] => format!("coalesce({}, '{{}}'::jsonb)", self.json_of(row, only)),
            several => {
                let pairs: Vec<String> =
                    several.iter().map(|c| format!("{}, {}", quote_literal(c), self.json_of(row, c))).collect();
                format!("pg_catalog.jsonb_build_object({})", pairs.join(", "))
            }
        }
    }

    pub(super) fn metadata_of(&self, row: &str) -> String {
        self.mapping
            .metadata
            .as_deref()
            .map_or("'{}'::jsonb".into(), |c| format!("domain_events._as_metadata({})", self.json_of(row, c)))
    }

    pub(super) fn event_type_of(&self, row: &str) -> String {
        let text = self.optional_text(row, &self.mapping.event_type);
        format!("domain_events._as_event_type({text})")
    }

    pub(super) fn schema_version_of(&self, row: &str) -> String {
        self.mapping
            .schema_version
            .as_deref()
            .map_or("1".into(), |c| format!("greatest(1, least(coalesce({}, 1), 2147483647))::int", Self::of(row, c)))
    }

    fn time_of(&self, row: &str, column: &Option<String>) -> Option<String> {
        let column = column.as_deref()?;
        let value = Self::of(row, column);
        let zone = quote_literal(&self.mapping.time_zone);
        let data_type = self.column(column)?.data_type.as_str();
        Some(match data_type {
            "date" => format!("({value}::timestamp at time zone {zone})"),
            t if t.starts_with("timestamp") && t.ends_with("without time zone") => {
                format!("({value} at time zone {zone})")
            }
            _ => value,
        })
    }

    /// When it happened, or null.
    pub(super) fn occurred_of(&self, row: &str) -> String {
        self.time_of(row, &self.mapping.occurred_at).unwrap_or_else(|| "null::timestamptz".into())
    }

    /// What tells the row from all others, as text.
    fn key_of(&self, row: &str) -> String {
        let stream = self.mapping.stream();
        let columns: Vec<&str> =
            if self.key.is_empty() { stream } else { self.key.iter().map(String::as_str).collect() };
        let parts: Vec<String> = columns.into_iter().map(|c| Self::of(row, c)).collect();
        format!("pg_catalog.concat_ws('/', {})", parts.join(", "))
    }

    /// The event's own id, or null where the row has none.
    pub(super) fn own_id_of(&self, row: &str) -> String {
        match self.mapping.event_id.as_deref() {
            Some(c) if self.is(c, "uuid") => Self::of(row, c),
            Some(_) => self.event_id_of(row),
            None => "null::uuid".into(),
        }
    }

    fn event_id_of(&self, row: &str) -> String {
        let made = |value: &str| {
            format!("domain_events._as_event_id({value}, {}, {})", quote_literal(&self.view_name()), self.key_of(row))
        };
        match self.mapping.event_id.as_deref() {
            Some(c) if self.is(c, "uuid") && self.column(c).is_some_and(|c| c.not_null) => Self::of(row, c),
            Some(c) => made(&format!("({})::text", Self::of(row, c))),
            None => made("null"),
        }
    }

    /// The row `row` of the legacy columns as an event, with its place among the old ones (an SQL expression) for a position.
    /// Of type domain_events.events; transaction_id is left to the server.
    pub fn event_row(&self, row: &str, place: &str) -> String {
        let m = &self.mapping;
        let occurred = self.time_of(row, &m.occurred_at);
        let recorded = self.time_of(row, &m.recorded_at);
        let both: Vec<String> = [&occurred, &recorded].into_iter().flatten().cloned().collect();
        let other: Vec<String> = [&recorded, &occurred].into_iter().flatten().cloned().collect();
        let known = |times: &[String]| {
            let mut times = times.to_vec();
            times.push("pg_catalog.clock_timestamp()".into());
            format!("coalesce({})", times.join(", "))
        };
        let columns = [
            format!("({place})::bigint"),
            "null".into(),
            self.event_id_of(row),
            self.type_of(row),
            self.id_of(row),
            format!("({})::bigint", Self::of(row, &m.aggregate_version)),
            self.event_type_of(row),
            self.optional_text(row, &m.event_name),
            self.data_of(row),
            self.metadata_of(row),
            self.optional_text(row, &m.correlation_id),
            self.optional_text(row, &m.causation_id),
            self.optional_text(row, &m.caused_by),
            self.schema_version_of(row),
            known(&both),
            known(&other),
            "'adopted'".into(),
        ];
        format!("row({})::domain_events.events", columns.join(", "))
    }

    /// The stream's type and id of the row `row`, as the store spells them.
    pub fn stream_of(&self, row: &str) -> (String, String) {
        (self.type_of(row), self.id_of(row))
    }

    /// That the event `e` is that of the row `row`.
    pub(super) fn is_event(&self, row: &str) -> String {
        format!(
            "e.aggregate_type = {} and e.aggregate_id = {} and e.aggregate_version = {}",
            self.type_of(row),
            self.id_of(row),
            Self::of(row, &self.mapping.aggregate_version)
        )
    }

    /// Columns of the store with what tells that the event `event` is not the row `row` there. What the store fills in by
    /// itself where the row has nothing is no difference.
    pub fn compared(&self, row: &str, event: &str) -> Vec<(&'static str, String)> {
        let m = &self.mapping;
        let mut compared = vec![
            ("event_type", format!("{event}.event_type <> {}", self.event_type_of(row))),
            ("event_data", format!("{event}.event_data <> {}", self.data_of(row))),
            ("schema_version", format!("{event}.schema_version <> {}", self.schema_version_of(row))),
        ];
        if m.event_name.is_some() {
            let name = self.optional_text(row, &m.event_name);
            compared.push(("event_name", format!("{event}.event_name is distinct from {name}")));
        }
        for (name, column) in
            [("caused_by", &m.caused_by), ("correlation_id", &m.correlation_id), ("causation_id", &m.causation_id)]
        {
            if column.is_some() {
                compared.push((name, format!("{event}.{name} <> {}", self.optional_text(row, column))));
            }
        }
        if m.occurred_at.is_some() {
            compared.push(("occurred_at", format!("{event}.occurred_at <> {}", self.occurred_of(row))));
        }
        if m.event_id.is_some() {
            compared.push(("event_id", format!("{event}.event_id <> {}", self.own_id_of(row))));
        }
        compared
    }

    /// The arguments of append_event() for the row `row`.
    pub(super) fn append_arguments(&self, row: &str) -> String {
        let m = &self.mapping;
        let mut arguments = vec![self.type_of(row), self.id_of(row), self.event_type_of(row), self.data_of(row)];
        let mut named = |name: &str, value: String| arguments.push(format!("{name} => {value}"));
        if m.event_name.is_some() {
            named("event_name", self.optional_text(row, &m.event_name));
        }
        if m.metadata.is_some() {
            named("metadata", self.metadata_of(row));
        }
        if m.event_id.is_some() {
            named("event_id", self.own_id_of(row));
        }
        for (name, column) in
            [("caused_by", &m.caused_by), ("correlation_id", &m.correlation_id), ("causation_id", &m.causation_id)]
        {
            if column.is_some() {
                named(name, self.optional_text(row, column));
            }
        }
        if m.occurred_at.is_some() {
            named("occurred_at", self.occurred_of(row));
        }
        if m.schema_version.is_some() {
            named("schema_version", self.schema_version_of(row));
        }
        arguments.join(", ")
    }
}
