//! Which legacy column becomes which column of the store.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::judge::Roles;
use crate::source::{Column, Key};

/// Legacy columns by what they are in the store. What no field names lives on in the side table alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Column with the aggregate's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate_type: Option<String>,
    /// The type of every stream where no column tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant_type: Option<String>,
    /// Column with the aggregate's id.
    pub aggregate_id: String,
    /// Column with the version.
    pub aggregate_version: String,
    /// Column with the event's id; without one, or where it holds no UUID, the id is made from the row's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Column with what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Column with a label for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Columns with the payload: one becomes event_data, several become its keys.
    #[serde(default)]
    pub event_data: Vec<String>,
    /// Column with context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Column that groups the events of one operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Column with what led to the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Column with who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// Column with the version of the payload's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Column with when it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// Column with when it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// Time zone of times that name none.
    pub time_zone: String,
    /// Integer column that counts the inserts: old events keep its order.
    pub order_by: String,
}

impl Mapping {
    /// Maps by role, then by name and type. `keys` are the unique keys of the legacy table.
    pub fn propose(columns: &[Column], keys: &[Key], roles: &Roles, constant_type: &str) -> Result<Self, Error> {
        let (Some(id), Some(version)) = (&roles.id_column, &roles.version_column) else {
            return Err(Error::refused(
                "42P16",
                "the stream of the events is not known",
                "Name its columns: domain_events.register_event_table(), then plan again.",
            ));
        };
        let mut taken: Vec<String> =
            [&roles.type_column, &roles.id_column, &roles.version_column].into_iter().flatten().cloned().collect();
        let unique = |name: &str| keys.iter().any(|k| k.columns == [name.to_owned()]);
        let mut take = |fits: &dyn Fn(&Column) -> bool| {
            let found = columns.iter().find(|c| !taken.contains(&c.name) && fits(c)).map(|c| c.name.clone());
            taken.extend(found.clone());
            found
        };
        let named = |c: &Column, names: &[&str]| names.contains(&c.name.to_lowercase().as_str());
        let order_by = take(&|c| {
            unique(&c.name)
                && c.not_null
                && matches!(c.data_type.as_str(), "smallint" | "integer" | "bigint")
                && c.is_numbered()
        });
        let Some(order_by) = order_by else {
            return Err(Error::refused(
                "42P16",
                "no unique integer column counts the events, so that their order is not known",
                "Add one: alter table .. add column seq bigint generated always as identity unique; it writes the table anew.",
            ));
        };
        let is_text = |c: &Column| c.category == "S";
        let is_time = |c: &Column| c.data_type.starts_with("timestamp") || c.data_type == "date";
        let is_json = |c: &Column| matches!(c.data_type.as_str(), "json" | "jsonb");
        let event_id = take(&|c| {
            unique(&c.name)
                && (c.data_type == "uuid" || is_text(c) && named(c, &["event_id", "event_uuid", "uuid", "guid"]))
        });
        let role = |name: &Option<String>, columns: &[Column]| {
            name.clone().filter(|n| columns.iter().any(|c| c.name == *n && matches!(c.category.as_str(), "S" | "E")))
        };
        let event_type = match role(&roles.event_type_column, columns) {
            Some(name) => take(&|c| c.name == name),
            None => take(&|c| is_text(c) && named(c, &["event_type", "event", "type", "action", "operation"])),
        };
        const PAYLOAD: &[&str] = &["event_data", "data", "payload", "body", "event_payload", "details"];
        let label = role(&roles.event_name_column, columns).filter(|n| !PAYLOAD.contains(&n.to_lowercase().as_str()));
        let event_name = match label {
            Some(name) => take(&|c| c.name == name),
            None => take(&|c| is_text(c) && named(c, &["event_name"])),
        };
        let metadata = take(&|c| {
            (is_json(c) || is_text(c)) && named(c, &["metadata", "event_metadata", "meta", "context", "headers"])
        });
        let mut event_data = vec![];
        for wanted in roles.data_columns.iter().filter(|d| Some(*d) != metadata.as_ref()) {
            event_data.extend(take(&|c| c.name == *wanted));
        }
        if event_data.is_empty() {
            event_data.extend(take(&|c| (is_json(c) || is_text(c)) && named(c, PAYLOAD)));
        }
        let correlation_id = take(&|c| named(c, &["correlation_id", "correlation", "request_id"]));
        let causation_id = take(&|c| named(c, &["causation_id", "causation", "cause_id"]));
        let caused_by = match roles.actor_columns.first() {
            Some(actor) => take(&|c| c.name == *actor),
            None => take(&|c| {
                named(
                    c,
                    &[
                        "caused_by",
                        "caused_by_user_id",
                        "user_id",
                        "actor",
                        "actor_id",
                        "who",
                        "changed_by",
                        "performed_by",
                        "author",
                    ],
                )
            }),
        };
        let schema_version = take(&|c| {
            c.is_integer() && named(c, &["schema_version", "event_version", "payload_version", "event_schema_version"])
        });
        let recorded_at = take(&|c| is_time(c) && named(c, &["recorded_at", "inserted_at", "logged_at", "stored_at"]));
        let occurred_at =
            take(&|c| is_time(c) && named(c, &["occurred_at", "occurred_on", "happened_at", "event_time", "occurred"]))
                .or_else(|| {
                    take(&|c| {
                        is_time(c)
                            && named(
                                c,
                                &["created_at", "created", "changed_at", "timestamp", "ts", "action_tstamp", "stamp"],
                            )
                    })
                })
                .or_else(|| take(&|c| is_time(c) && roles.time_columns.contains(&c.name) && c.default.is_some()));
        Ok(Self {
            constant_type: roles.type_column.is_none().then(|| constant_type.to_owned()),
            aggregate_type: roles.type_column.clone(),
            aggregate_id: id.clone(),
            aggregate_version: version.clone(),
            event_id,
            event_type,
            event_name,
            event_data,
            metadata,
            correlation_id,
            causation_id,
            caused_by,
            schema_version,
            occurred_at,
            recorded_at,
            time_zone: "UTC".into(),
            order_by,
        })
    }

    /// The columns that name an event's stream and its version.
    pub fn stream(&self) -> Vec<&str> {
        let kind = self.aggregate_type.as_deref();
        kind.into_iter().chain([self.aggregate_id.as_str(), self.aggregate_version.as_str()]).collect()
    }

    /// The columns whose values the store holds: nobody changes them any more.
    pub fn held(&self) -> Vec<&str> {
        let optional = [
            &self.event_id,
            &self.event_type,
            &self.event_name,
            &self.metadata,
            &self.correlation_id,
            &self.causation_id,
            &self.caused_by,
            &self.schema_version,
            &self.occurred_at,
            &self.recorded_at,
        ];
        let mut held = self.stream();
        held.extend(optional.into_iter().flatten().map(String::as_str));
        held.extend(self.event_data.iter().map(String::as_str));
        held.push(&self.order_by);
        held
    }
}
