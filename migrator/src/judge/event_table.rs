//! Which tables hold events, and which of their columns are what. Keys, types, comments and use decide; a name only tips
//! the scale.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stream::{self, Evidence, Stream};
use super::table_use::TableUse;
use super::words::{is_actor_name, is_payload};
use super::{version, words};
use crate::source::{Column, Key, RegisteredTable};
use crate::sql_tree::ast;

/// The columns of an event table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Roles {
    /// The aggregate's type.
    pub type_column: Option<String>,
    /// The aggregate's id.
    pub id_column: Option<String>,
    /// The version within the stream.
    pub version_column: Option<String>,
    /// A column that seems to count the stream, of a type that cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd_version_column: Option<String>,
    /// What happened.
    pub event_type_column: Option<String>,
    /// A label for people.
    pub event_name_column: Option<String>,
    /// The payload.
    pub data_columns: Vec<String>,
    /// Who did it.
    pub actor_columns: Vec<String>,
    /// When it happened, when it was written, its own id: what differs from one run to the next.
    pub time_columns: Vec<String>,
    /// The columns that name a stream, in their order; type and id are among them.
    #[serde(default)]
    pub stream: Vec<String>,
    /// The unique key over the stream and the version.
    pub key: Option<String>,
    /// The columns that the key has besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<String>,
}

/// A table that statements insert into.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// Its OID.
    pub relation: u32,
    /// Whether it holds events.
    pub is_event_table: bool,
    /// Whether nobody can tell; the reasons end in the question.
    pub uncertain: bool,
    /// Whether some statement gives the greatest number + 1.
    pub by_maximum: bool,
    /// Its columns.
    pub roles: Roles,
    /// Why.
    pub reasons: Vec<String>,
    /// What names its streams, and what stands against it.
    pub stream: Stream,
}

impl Roles {
    /// What counts its rows, of whatever type.
    pub fn number(&self) -> Option<&String> {
        self.version_column.as_ref().or(self.odd_version_column.as_ref())
    }
}

pub(super) fn is_time(column: &Column) -> bool {
    // a domain over one too
    std::iter::once(&column.data_type).chain(&column.base).any(|t| t.starts_with("timestamp"))
}

impl TableUse<'_> {
    pub(super) fn roles(&self, known: Option<&RegisteredTable>) -> (Roles, Stream) {
        let mut roles = Roles::default();
        let stream = match known {
            Some(known) => self.registered(known, &mut roles),
            None => self.stream(&mut roles),
        };
        let taken: Vec<String> = roles
            .stream
            .iter()
            .chain(&roles.id_column)
            .chain(&roles.type_column)
            .chain(&roles.version_column)
            .cloned()
            .collect();
        for column in self.relation.columns.iter().filter(|c| !taken.contains(&c.name)) {
            let name = column.name.to_lowercase();
            let fed = self.values(&column.name);
            // a text that holds a document, if it is not one of a few
            let document = column.category == "S"
                && words::is_document(&column.name)
                && !fed.is_empty()
                && !self.fed_by_constants(&column.name);
            if is_payload(column) || document || fed.iter().any(|v| builds_json(v)) {
                roles.data_columns.push(column.name.clone());
            } else if is_time(column)
                || (column.data_type == "uuid" || is_made_up(column, &fed)) && !self.fed_by_row(&column.name)
            {
                roles.time_columns.push(column.name.clone());
            } else if fed.iter().any(|v| is_actor(v)) && !self.is_set_on_the_way(&column.name)
                || ["user", "actor", "caused_by", "changed_by", "performed_by"].iter().any(|w| name.contains(w))
            {
                roles.actor_columns.push(column.name.clone());
            }
        }
        let texts = self
            .relation
            .columns
            .iter()
            .filter(|c| matches!(c.category.as_str(), "S" | "E") && !taken.contains(&c.name));
        let mut said: Vec<&Column> = texts
            .filter(|c| self.fed_by_constants(&c.name) || self.is_operation(&c.name) || self.is_told_by_a_caller(c))
            .collect();
        // among several, the one whose name speaks of a type comes first, a label last
        said.sort_by_key(|c| {
            let name = c.name.to_lowercase();
            let ends = |words: &[&str]| words.iter().any(|w| name.ends_with(w));
            // a type of aggregate that is not part of the key is a constant too
            let of_stream = ["aggregate", "stream", "entity", "table", "schema"].iter().any(|w| name.contains(w));
            (of_stream, !ends(&["type", "action", "operation", "op", "kind"]), name.ends_with("name"))
        });
        roles.event_type_column = said.first().map(|c| c.name.clone());
        roles.event_name_column = said.get(1).map(|c| c.name.clone());
        (roles, stream)
    }

    fn evidence<'e>(&'e self, version: &'e str) -> Evidence<'e> {
        let Self { relation, uses, catalogue, collected, .. } = self;
        Evidence { relation, catalogue, collected, uses, version }
    }

    /// What the table was registered by; the code may say something else.
    fn registered(&self, known: &RegisteredTable, roles: &mut Roles) -> Stream {
        let named = known.type_column.iter().chain([&known.id_column]).cloned().collect();
        let columns = if known.stream_columns.is_empty() { named } else { known.stream_columns.clone() };
        let read = self.evidence(&known.version_column).stream().unwrap_or_default();
        let wanted = |k: &&Key| columns.iter().chain([&known.version_column]).all(|c| k.columns.contains(c));
        let key = self.relation.keys.iter().filter(wanted).min_by_key(|k| k.columns.len()).cloned();
        let mut stream = Stream { columns, key, read_by: read.read_by, ..Stream::default() };
        if let Some(by) = stream
            .read_by
            .as_ref()
            .filter(|by| by.len() != stream.columns.len() || by.iter().any(|c| !stream.columns.contains(c)))
        {
            stream.doubts.push(format!(
                "it is registered by {}, its newest version is read by {}",
                stream::list(stream.columns.iter().map(String::as_str)),
                stream::list(by.iter().map(String::as_str))
            ));
        }
        roles.version_column = Some(known.version_column.clone());
        (roles.type_column, roles.id_column) = (known.type_column.clone(), Some(known.id_column.clone()));
        self.fill(roles, &stream);
        stream
    }

    fn fill(&self, roles: &mut Roles, stream: &Stream) {
        roles.stream.clone_from(&stream.columns);
        roles.key = stream.key.as_ref().map(|k| k.name.clone());
        let further = stream.key.iter().flat_map(|k| &k.columns);
        let further = further.filter(|c| !stream.columns.contains(c) && Some(*c) != roles.version_column.as_ref());
        roles.further = further.cloned().collect();
    }

    /// The version and what names its stream: the code's own words, a unique key, else comment and use.
    fn stream(&self, roles: &mut Roles) -> Stream {
        for key in self.relation.keys.iter().filter(|k| k.columns.len() >= 2) {
            let candidates = key.columns.iter().filter_map(|c| self.relation.column(c));
            // with nothing before it but a time it counts no stream, unless it is called so
            let times =
                key.columns.iter().filter_map(|c| self.relation.column(c)).filter(|c| stream::is_time(c)).count();
            let stream = key.columns.len() > times + 1;
            let candidates = candidates.filter(|c| {
                self.may_count_in_key(c) && !self.is_a_place_elsewhere(c) && (stream || self.counts(c) > 0)
            });
            // what comes first names the stream, unless it is called a version
            let candidates = candidates.filter(|c| key.columns[0] != c.name || self.counts(c) > 0);
            let best = candidates.enumerate().max_by_key(|(n, c)| (self.counts(c), *n)).map(|(_, c)| c);
            let Some(version) = best.filter(|c| self.counts(c) >= 0) else { continue };
            roles.version_column = Some(version.name.clone());
            if key.columns.len() <= 3 {
                break;
            }
        }
        // unique by itself: a place in the whole log, not in a stream
        let global = |c: &&Column| self.relation.keys.iter().any(|k| k.columns == [c.name.as_str()]);
        if roles.version_column.is_none() {
            // a log of versions that counts them over the whole table, in so many words
            let log = words::tells_of_changes(&self.relation.name);
            let counted = |c: &&Column| log && words::is_version(&c.name) && self.counts(c) >= 4;
            let may = self.relation.columns.iter().filter(|c| self.may_count(c) && (!global(c) || counted(c)));
            let version = may.max_by_key(|c| self.counts(c));
            // without a key, a constant alone does not make a stream version: schema versions and action codes are constants too
            roles.version_column =
                version.filter(|c| self.counts(c) >= 3 || self.told_as_version(c)).map(|c| c.name.clone());
        }
        let Some(version) = roles.version_column.clone() else {
            let odd = self.relation.columns.iter().find(|c| !global(c) && self.counts_oddly(c));
            roles.odd_version_column = odd.map(|c| c.name.clone());
            return Stream::default();
        };
        let mut stream = self.evidence(&version).stream().unwrap_or_default();
        // one count over all rows that is not called a version: a place in the log
        if stream.key.is_none() && stream.whole && !words::is_version(&version) {
            roles.version_column = None;
            return Stream::default();
        }
        match stream.columns.as_slice() {
            [] => self.by_use(roles, &mut stream),
            [id] => roles.id_column = Some(id.clone()),
            [a, b] => {
                let a_is_type = self.type_likeness(a) >= self.type_likeness(b);
                let (kind, id) = if a_is_type { (a, b) } else { (b, a) };
                let pair = [kind.clone(), id.clone()];
                (roles.type_column, roles.id_column) = (Some(kind.clone()), Some(id.clone()));
                stream.columns = pair.to_vec();
            }
            many => {
                let kind = many.iter().filter(|c| self.type_likeness(c) >= 3).max_by_key(|c| self.type_likeness(c));
                roles.id_column = many.iter().rev().find(|c| Some(*c) != kind).cloned();
                roles.type_column = kind.cloned();
            }
        }
        self.fill(roles, &stream);
        stream
    }

    /// Neither a key nor the code names the stream: what is taken from the row, and what looks like a type.
    fn by_use(&self, roles: &mut Roles, stream: &mut Stream) {
        let fed =
            |c: &&Column| !is_payload(c) && Some(&c.name) != roles.version_column.as_ref() && self.fed_by_row(&c.name);
        let mut fed: Vec<&Column> = self.relation.columns.iter().filter(fed).collect();
        fed.sort_by_key(|c| (!c.name.to_lowercase().ends_with("id"), is_actor_name(&c.name)));
        roles.id_column = fed.first().map(|c| c.name.clone());
        let kind =
            self.relation.columns.iter().filter(|c| c.category == "S" && Some(&c.name) != roles.id_column.as_ref());
        let kind = kind.filter(|c| self.type_likeness(&c.name) >= 3).max_by_key(|c| self.type_likeness(&c.name));
        roles.type_column = kind.map(|c| c.name.clone());
        if let Some(id) = &roles.id_column {
            stream.columns = roles.type_column.iter().chain([id]).cloned().collect();
        }
    }

    fn type_likeness(&self, column: &str) -> i32 {
        let name = column.to_lowercase();
        let mut points = 0;
        if self.relation.column(column).is_some_and(|c| c.category == "S") {
            points += 1;
        }
        if self.fed_by_constants(column) || self.values(column).iter().any(|v| version::mentions(v, "tg_table_name")) {
            points += 2;
        }
        if self.fed_by_row(column) {
            points -= 3;
        }
        if name.contains("aggregate_type") || name.contains("stream_type") || name.contains("entity_type") {
            points += 1;
        }
        if name.contains("event") || name.contains("action") {
            points -= 2;
        }
        if name.ends_with("id") {
            points -= 1;
        }
        points
    }
}

/// Whether every event gets a random value of its own there.
fn is_made_up(column: &Column, fed: &[&Value]) -> bool {
    let random = |name: &str| name.starts_with("gen_random_") || name.starts_with("uuid_generate_") || name == "uuidv7";
    let given = fed.iter().any(|v| ast::calls(v).iter().any(|(_, name, _)| random(name)));
    given || column.default.as_deref().is_some_and(|d| d.contains("gen_random_uuid(") || d.contains("uuid_generate_"))
}

pub(super) fn builds_json(value: &Value) -> bool {
    ast::calls(value).iter().any(|(_, name, _)| {
        matches!(
            name.as_str(),
            "row_to_json"
                | "to_json"
                | "to_jsonb"
                | "json_build_object"
                | "jsonb_build_object"
                | "hstore"
                | "json_object"
                | "jsonb_object"
        )
    })
}

/// current_user and its like, or a setting of the session.
pub fn is_actor(value: &Value) -> bool {
    !ast::find(value, "SqlvalueFunction").is_empty() && session_user(value)
        || ast::calls(value).iter().any(|(_, name, _)| name == "current_setting")
}

fn session_user(value: &Value) -> bool {
    // SVFOP_CURRENT_ROLE .. SVFOP_SESSION_USER
    ast::find(value, "SqlvalueFunction")
        .iter()
        .any(|f| f.get("op").and_then(Value::as_i64).is_some_and(|op| (10..=13).contains(&op)))
}
