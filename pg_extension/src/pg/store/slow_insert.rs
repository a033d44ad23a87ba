//! The insert for a store that somebody has added triggers, constraints, row security or partitions to: an ordinary
//! INSERT under the owner's identity, so that every one of them counts.

use pgrx::pg_sys::{self, Datum, Oid};

use super::event_row::{EventRow, Stored};
use crate::error::{Error, Result};
use crate::pg::datum::{self, Text};
use crate::pg::guard::{Caught, attempt};
use crate::pg::{spi, subtransaction};

const INSERT: &std::ffi::CStr = c"insert into domain_events.events (event_id, aggregate_type, aggregate_id, \
aggregate_version, event_type, event_name, event_data, metadata, correlation_id, causation_id, caused_by, schema_version, \
occurred_at, recorded_at, origin) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
on conflict on constraint uk_aggregate_version do nothing returning *";

pub fn insert(owner: Oid, row: &EventRow) -> Result<Option<Stored>> {
    // SAFETY: a plain global; the context outlives the call, SPI switches away from it and back.
    let outer = unsafe { pg_sys::CurrentMemoryContext };
    let text = |text: Text| (pg_sys::TEXTOID, Some(text.datum));
    let optional = |text: Option<Text>| (pg_sys::TEXTOID, text.map(|text| text.datum));
    let moment = |time: i64| (pg_sys::TIMESTAMPTZOID, Some(Datum::from(time)));
    let values = [
        (pg_sys::UUIDOID, Some(datum::uuid(&row.event_id))),
        text(row.stream.aggregate_type),
        text(row.stream.aggregate_id),
        (pg_sys::INT8OID, Some(Datum::from(row.version))),
        text(row.event_type),
        optional(row.event_name),
        (pg_sys::JSONBOID, Some(row.event_data)),
        (pg_sys::JSONBOID, Some(row.metadata)),
        optional(row.correlation_id),
        optional(row.causation_id),
        optional(row.caused_by),
        (pg_sys::INT4OID, Some(Datum::from(row.schema_version))),
        moment(row.occurred_at.unwrap_or(row.recorded_at)),
        moment(row.recorded_at),
        (pg_sys::TEXTOID, Some(row.origin.datum())),
    ];
    let inserted = || {
        spi::first_row(owner, INSERT, &values, |stored| {
            // SAFETY: the row is copied out of SPI's memory.
            unsafe {
                let own = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = outer;
                let tuple = pg_sys::heap_copytuple(stored.tuple);
                pg_sys::CurrentMemoryContext = own;
                Stored { tuple }
            }
        })
    };
    // Whose id is taken was written elsewhere meanwhile, and has to be looked at; every other error is passed on.
    let done = if row.has_own_id { subtransaction::run(inserted) } else { attempt(inserted) };
    done.or_else(|error: Caught| match error.unique_key().as_deref() {
        Some("events_event_id_key") if row.has_own_id => Ok(None),
        Some("events_pkey") => Err(Error::PositionTaken { position: None }),
        _ => error.resume(),
    })
}
