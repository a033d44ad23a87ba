//! A legacy row as an event: the same values that `domain_events.append_event()` would get from the view of the old name.

use sha2::{Digest, Sha256};

use super::checksum;
use super::encode::{self, Field, Reason, ZeroDates};
use super::json;
use super::record::Record;
use crate::adopt::Legacy;
use domain_events_mysql::schema::Table;
use domain_events_mysql::types::Codec;

/// Columns that COPY fills, in its order; the version comes second.
pub const COLUMNS: &str = "global_position, aggregate_version, event_id, aggregate_type, aggregate_id, event_type, event_name, \
                           event_data, metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, \
                           origin";

/// Limits of the store.
const LONGEST_TYPE: usize = 255;
const LONGEST_ID: usize = 1024;
/// As domain_events._check_size().
const LARGEST: usize = 1 << 28;
/// How the types of the store's own streams begin.
const RESERVED: &str = "domain_events.";

/// Which column of the source is what.
#[derive(Debug)]
struct Places {
    kind: Option<usize>,
    id: usize,
    version: usize,
    event_id: Option<usize>,
    event_type: Option<usize>,
    event_name: Option<usize>,
    data: Vec<usize>,
    metadata: Option<usize>,
    texts: [Option<usize>; 3],
    schema_version: Option<usize>,
    occurred_at: Option<usize>,
    recorded_at: Option<usize>,
    key: Vec<usize>,
}

/// Makes events of rows.
#[derive(Debug)]
pub struct Maker {
    fields: Vec<Field>,
    places: Places,
    constant_type: String,
    /// What ids are made from where a row has none: the view's name.
    name: String,
    zone: String,
    now: String,
    value: Vec<u8>,
    /// The stream.
    pub kind: String,
    /// The stream.
    pub id: String,
    /// The version that the source gives.
    pub version: i64,
    /// What follows the version in COPY's line.
    pub rest: Vec<u8>,
    /// What the event's hash is made of.
    pub hashed: Vec<u8>,
    /// Some instant is in a zone that only the server knows: hashes cannot be compared.
    pub untold: bool,
}

impl Maker {
    /// For a table. `now` stands for times that the source does not have.
    pub fn new(table: &Table, legacy: &Legacy, zero_dates: ZeroDates, now: String) -> Self {
        let m = &legacy.mapping;
        let place = |name: &str| table.columns.iter().position(|c| c.name == name);
        let maybe = |name: &Option<String>| name.as_deref().and_then(place);
        let fields = table.columns.iter().map(|c| Field { nullable: true, ..Field::new(c, zero_dates) }).collect();
        Self {
            fields,
            places: Places {
                kind: maybe(&m.aggregate_type),
                id: place(&m.aggregate_id).unwrap_or(0),
                version: place(&m.aggregate_version).unwrap_or(0),
                event_id: maybe(&m.event_id),
                event_type: maybe(&m.event_type),
                event_name: maybe(&m.event_name),
                data: m.event_data.iter().filter_map(|n| place(n)).collect(),
                metadata: maybe(&m.metadata),
                texts: [maybe(&m.correlation_id), maybe(&m.causation_id), maybe(&m.caused_by)],
                schema_version: maybe(&m.schema_version),
                occurred_at: maybe(&m.occurred_at),
                recorded_at: maybe(&m.recorded_at),
                key: if legacy.key.is_empty() {
                    m.stream().into_iter().filter_map(place).collect()
                } else {
                    legacy.key.iter().filter_map(|k| place(k)).collect()
                },
            },
            constant_type: m.constant_type.clone().unwrap_or_default(),
            name: legacy.view_name(),
            zone: m.time_zone.clone(),
            now,
            value: vec![],
            kind: String::new(),
            id: String::new(),
            version: 0,
            rest: vec![],
            hashed: vec![],
            untold: false,
        }
    }

    // The text of a column, if it is not null.
    fn text(&mut self, record: &Record, column: usize) -> Result<Option<String>, Reason> {
        self.value.clear();
        let known = self.fields[column].text(record.value(column), record.zone(), &mut self.value)?;
        if !known {
            return Ok(None);
        }
        let text = std::str::from_utf8(&self.value)
            .map_err(|_| format!("column {}: it is no text", self.fields[column].name))?;
        Ok(Some(text.to_owned()))
    }

    /// Reads the stream and the version alone.
    pub fn stream(&mut self, record: &Record) -> Result<(), Reason> {
        self.kind.clear();
        match self.places.kind {
            Some(column) => {
                let kind = self.text(record, column)?.ok_or("the event has no type of a stream")?;
                self.kind.push_str(&kind);
            }
            None => self.kind.push_str(&self.constant_type),
        }
        self.id = self.text(record, self.places.id)?.ok_or("the event has no id of a stream")?;
        if self.kind.is_empty() || self.kind.len() > LONGEST_TYPE {
            return Err(format!("the type of a stream has 1 to {LONGEST_TYPE} bytes, not {}", self.kind.len()));
        }
        if self.kind.starts_with(RESERVED) {
            return Err(format!(
                "the type of a stream must not begin with {RESERVED}: such streams are the store's own"
            ));
        }
        if self.id.is_empty() || self.id.len() > LONGEST_ID {
            return Err(format!("the id of a stream has 1 to {LONGEST_ID} bytes, not {}", self.id.len()));
        }
        let version = self.text(record, self.places.version)?.unwrap_or_default();
        let whole = version.split('.').next().unwrap_or_default();
        self.version =
            whole.parse().map_err(|_| format!("the version \"{version}\" is no number that the store can hold"))?;
        Ok(())
    }

    /// Makes the event; `stream` was called with the same row.
    pub fn make(&mut self, record: &Record) -> Result<(), Reason> {
        let event_id = self.event_id(record)?;
        let event_type = match self.optional(record, self.places.event_type)? {
            None => "Event".to_owned(),
            Some(text) if text.is_empty() => "Event".to_owned(),
            Some(text) if text.len() <= LONGEST_TYPE => text,
            Some(text) => text.chars().take(60).collect(),
        };
        let event_name = self.optional(record, self.places.event_name)?;
        let data = self.data(record)?;
        let metadata = self.metadata(record)?;
        let [correlation_id, causation_id, caused_by] = self.places.texts;
        let correlation_id = self.optional(record, correlation_id)?;
        let causation_id = self.optional(record, causation_id)?;
        let caused_by = self.optional(record, caused_by)?;
        let schema_version = match self.optional(record, self.places.schema_version)? {
            Some(text) => text.parse::<i64>().unwrap_or(1).clamp(1, i64::from(i32::MAX)),
            None => 1,
        };
        let occurred = self.time(record, self.places.occurred_at)?;
        let recorded = self.time(record, self.places.recorded_at)?;
        let first = occurred.as_ref().or(recorded.as_ref()).unwrap_or(&self.now);
        let second = recorded.as_ref().or(occurred.as_ref()).unwrap_or(&self.now);

        self.rest.clear();
        self.hashed.clear();
        let schema_version = schema_version.to_string();
        let parts: [(Option<&str>, bool); 13] = [
            (Some(&event_id), true),
            (Some(&self.kind), true),
            (Some(&self.id), true),
            (Some(&event_type), true),
            (event_name.as_deref(), true),
            (Some(&data), true),
            (Some(&metadata), true),
            (correlation_id.as_deref(), true),
            (causation_id.as_deref(), true),
            (caused_by.as_deref(), true),
            (Some(&schema_version), true),
            (Some(first), false),
            (Some(second), false),
        ];
        for (i, (part, hashed)) in parts.into_iter().enumerate() {
            if i > 0 {
                self.rest.push(b'\t');
            }
            match part {
                Some(text) => encode::escape(text.as_bytes(), &mut self.rest),
                None => self.rest.extend_from_slice(encode::NULL),
            }
            if hashed {
                match part {
                    Some(text) => self.hashed.extend_from_slice(text.as_bytes()),
                    None => self.hashed.push(checksum::NULL),
                }
                self.hashed.push(checksum::SEPARATOR);
            }
        }
        // the instant, where its zone is an offset; a named zone is the server's to know
        match instant(first) {
            Some(instant) => self.hashed.extend_from_slice(instant.to_string().as_bytes()),
            None => self.untold = true,
        }
        self.rest.extend_from_slice(b"\timported\n");
        if self.rest.len() > LARGEST {
            return Err(format!(
                "the event has {} bytes as text: no dump could hold more than 256 MB",
                self.rest.len()
            ));
        }
        Ok(())
    }

    fn optional(&mut self, record: &Record, column: Option<usize>) -> Result<Option<String>, Reason> {
        column.map_or(Ok(None), |column| self.text(record, column))
    }

    fn time(&mut self, record: &Record, column: Option<usize>) -> Result<Option<String>, Reason> {
        let Some(column) = column else { return Ok(None) };
        let text = self.text(record, column)?;
        Ok(text.map(|text| match self.fields[column].codec {
            Codec::Timestamp => text,
            Codec::Date => zoned(&format!("{text} 00:00:00"), &self.zone),
            _ => zoned(&text, &self.zone),
        }))
    }

    fn event_id(&mut self, record: &Record) -> Result<String, Reason> {
        if let Some(text) = self.optional(record, self.places.event_id)?
            && let Some(id) = uuid(text.strip_prefix("\\x").unwrap_or(&text))
        {
            return Ok(id);
        }
        // as domain_events._as_event_id() makes it
        let mut key = vec![];
        for column in self.places.key.clone() {
            key.extend(self.text(record, column)?);
        }
        let hash = Sha256::digest(format!("{}/{}", self.name, key.join("/")));
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Ok(uuid(&hex).unwrap_or(hex))
    }

    // A payload column as jsonb's text; none when it is null.
    fn json(&mut self, record: &Record, column: usize) -> Result<Option<String>, Reason> {
        let Some(text) = self.text(record, column)? else { return Ok(None) };
        if let Some(canonical) = json::canonical(&text) {
            return Ok(Some(canonical));
        }
        if self.fields[column].codec == Codec::Json {
            return Err(format!("column {}: it is no JSON that PostgreSQL can hold", self.fields[column].name));
        }
        let mut quoted = String::new();
        json::quote(&text, &mut quoted);
        Ok(Some(quoted))
    }

    fn data(&mut self, record: &Record) -> Result<String, Reason> {
        let columns = self.places.data.clone();
        match columns.as_slice() {
            [] => Ok("{}".into()),
            [only] => Ok(self.json(record, *only)?.unwrap_or_else(|| "{}".into())),
            several => {
                let mut object = String::from("{");
                for (i, column) in several.iter().enumerate() {
                    if i > 0 {
                        object.push_str(", ");
                    }
                    json::quote(&self.fields[*column].name, &mut object);
                    object.push_str(": ");
                    object.push_str(self.json(record, *column)?.as_deref().unwrap_or("null"));
                }
                object.push('}');
                json::canonical(&object).ok_or_else(|| "its payload is no JSON that PostgreSQL can hold".into())
            }
        }
    }

    fn metadata(&mut self, record: &Record) -> Result<String, Reason> {
        let Some(column) = self.places.metadata else { return Ok("{}".into()) };
        Ok(match self.json(record, column)? {
            None => "{}".into(),
            Some(text) if text == "null" => "{}".into(),
            Some(text) if text.starts_with('{') => text,
            Some(other) => format!("{{\"value\": {other}}}"),
        })
    }
}

fn zoned(time: &str, zone: &str) -> String {
    match offset(zone) {
        Some(_) if zone.eq_ignore_ascii_case("utc") => format!("{time}+00:00"),
        Some(_) => format!("{time}{zone}"),
        None => format!("{time} {zone}"),
    }
}

/// A UUID as PostgreSQL prints it.
fn uuid(text: &str) -> Option<String> {
    let hex: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    let dashes = text.len() - hex.len();
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) || !matches!(dashes, 0 | 4) {
        return None;
    }
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

// Minutes east of Greenwich: UTC, +00:00, -05:30.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?))
}

/// Microseconds since 1970 of `2025-01-02 03:04:05.678+00:00`; none where the zone is named.
fn instant(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(' ')?;
    let mut date = date.split('-');
    let mut number = || date.next()?.parse::<i64>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    let at = rest.find(['+', '-'])?;
    let (time, zone) = rest.split_at(at);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let (second, fraction) = time.next()?.split_once('.').map_or_else(|| (rest.get(6..8), ""), |(s, f)| (Some(s), f));
    let second = second?.parse::<i64>().ok()?;
    let micros = format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?;
    // days from civil, with March as the first month
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)? * 60;
    Some(seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_counted() {
        for (text, want) in [
            ("1970-01-01 00:00:00+00:00", Some(0)),
            ("2025-09-27 15:08:34.25+00:00", Some(1_758_985_714_250_000)),
            ("2000-02-29 23:59:59+02:00", Some(951_861_599_000_000)),
            ("1969-12-31 19:00:00-05:00", Some(0)),
            ("2025-09-27 15:08:34 Europe/Berlin", None),
        ] {
            assert_eq!(instant(text), want, "{text}");
        }
        assert_eq!(zoned("2025-01-01 00:00:00", "UTC"), "2025-01-01 00:00:00+00:00");
        assert_eq!(zoned("2025-01-01 00:00:00", "Asia/Tokyo"), "2025-01-01 00:00:00 Asia/Tokyo");
    }

    #[test]
    fn uuids_are_recognised() {
        let want = Some("0193e8f0-0000-7000-8000-00000000000a".to_owned());
        assert_eq!(uuid("0193E8F0-0000-7000-8000-00000000000A"), want);
        assert_eq!(uuid("0193e8f0000070008000000000000 00a"), None);
        assert_eq!(uuid("0193e8f000007000800000000000000a"), want);
    }
}
