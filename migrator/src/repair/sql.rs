//! The queries over one table, for any shape of it.

use super::Subject;
use domain_events_sql::quote::quote_ident;

impl Subject {
    /// A column of the row `t`.
    fn column(&self, name: &str) -> String {
        format!("t.{}", quote_ident(name))
    }

    /// The version of the row `t`.
    pub(super) fn version(&self) -> String {
        self.column(&self.version_column)
    }

    /// The stream's type of the row `t`, as text.
    pub(super) fn kind(&self) -> String {
        self.type_column.as_deref().map_or("null::text".into(), |c| format!("{}::text", self.column(c)))
    }

    /// The stream's id of the row `t`, as text.
    pub(super) fn id(&self) -> String {
        match self.id_columns.as_slice() {
            [(one, _)] => format!("{}::text", self.column(one)),
            many => self.list(many),
        }
    }

    /// Condition that the row `t` belongs to a stream at all.
    pub(super) fn has_stream(&self) -> String {
        let columns = self.stream_columns();
        columns.iter().map(|c| format!("{} is not null", self.column(c))).collect::<Vec<_>>().join(" and ")
    }

    /// What names the row `t`, as text.
    pub(super) fn row_key(&self) -> String {
        match self.key.as_slice() {
            [] => "null::text".into(),
            [(one, _)] => format!("{}::text", self.column(one)),
            many => self.list(many),
        }
    }

    /// Columns of the row `t`, as the text of a JSON array of texts.
    fn list(&self, columns: &[(String, String)]) -> String {
        let texts: Vec<String> = columns.iter().map(|(c, _)| format!("{}::text", self.column(c))).collect();
        format!("pg_catalog.jsonb_build_array({})::text", texts.join(", "))
    }

    /// Condition that the row `t` is the one of `m.row_key`, written so that the key's index serves it.
    pub(super) fn is_row_of(&self) -> String {
        match self.key.as_slice() {
            [] => "false".into(),
            [(one, data_type)] => format!("{} = m.row_key::{data_type}", self.column(one)),
            many => many
                .iter()
                .enumerate()
                .map(|(n, (c, data_type))| format!("{} = (m.row_key::jsonb ->> {n})::{data_type}", self.column(c)))
                .collect::<Vec<_>>()
                .join(" and "),
        }
    }

    /// Condition that the row `t` is in the stream `s`.
    pub(super) fn is_in_stream(&self) -> String {
        // compared in the collation that an index of the table most likely has
        let text = |column: &str| format!("(s.{column} collate pg_catalog.\"default\")");
        let equal = |(n, (column, data_type)): (usize, &(String, String))| {
            let id = text("aggregate_id");
            let value = if self.id_columns.len() == 1 { id } else { format!("({id}::jsonb ->> {n})") };
            format!("{} = {value}::{data_type}", self.column(column))
        };
        let mut condition = self.id_columns.iter().enumerate().map(equal).collect::<Vec<_>>().join(" and ");
        if self.type_column.is_some() {
            condition.push_str(&format!(" and {} = {}", self.kind(), text("aggregate_type")));
        }
        condition
    }

    /// The order of events, of the row `t`.
    pub(super) fn order(&self) -> String {
        if self.order_by.is_empty() {
            return self.version();
        }
        self.order_by.iter().map(|c| self.column(c)).collect::<Vec<_>>().join(", ")
    }

    /// One row per event: type, id, row_key, version, place (its number in the right order), previous (the version before it
    /// in the order of versions), and whether time runs backwards there.
    fn events(&self) -> String {
        let (kind, id, order, version) = (self.kind(), self.id(), self.order(), self.version());
        let stream = format!("{kind} collate \"C\", {id} collate \"C\"");
        let backwards = self.time_column.as_deref().map_or("false".into(), |c| {
            let time = self.column(c);
            format!("coalesce({time} < pg_catalog.lag({time}) over (partition by {stream} order by {version}, {order}), false)")
        });
        format!(
            "select {kind} collate \"C\" as kind, {id} collate \"C\" as id, {key} as row_key, {version} as version,
                    pg_catalog.row_number() over (partition by {stream} order by {order}) as place,
                    pg_catalog.lag({version}) over (partition by {stream} order by {version}, {order}) as previous,
                    {backwards} as backwards
               from {table} t where {present}",
            key = self.row_key(),
            table = self.table,
            present = self.has_stream(),
        )
    }

    /// One row per stream with its faults. `before` is the versions in the order of events, cut off after forty.
    pub(super) fn streams(&self) -> String {
        format!(
            "select kind, id, pg_catalog.count(*) as events, pg_catalog.count(*) filter (where version = previous) as duplicates,
                    pg_catalog.count(*) filter (where version is null or version < 1 or version <> pg_catalog.trunc(version::numeric)) as odd,
                    (greatest(coalesce(pg_catalog.max(version), 0), 0) - pg_catalog.count(distinct version) filter (where version >= 1))::bigint as missing,
                    pg_catalog.count(*) filter (where version is distinct from place) as misplaced,
                    pg_catalog.count(*) filter (where backwards) as backwards,
                    pg_catalog.array_to_string((pg_catalog.array_agg(coalesce(version::text, 'null') order by place))[1:40], ' ') as before
               from ({}) e group by kind, id",
            self.events()
        )
    }

    /// Every event of the streams to renumber, stream by stream, in the order of events.
    pub(super) fn renumbering(&self, reorder: bool) -> String {
        let misplaced = if reorder { " or misplaced" } else { "" };
        format!(
            "select kind::text, id::text, row_key, version::text as version, place, events from (
               select e.*, pg_catalog.count(*) over s as events, pg_catalog.count(version) over s as numbered,
                      pg_catalog.min(version) over s as lowest, pg_catalog.max(version) over s as highest,
                      pg_catalog.bool_or(version = previous or version <> pg_catalog.trunc(version::numeric)) over s as doubled,
                      pg_catalog.bool_or(version is distinct from place) over s as misplaced
                 from ({}) e window s as (partition by kind, id)) x
              where numbered < events or lowest <> 1 or highest <> events or doubled{misplaced}
              order by kind, id, place",
            self.events()
        )
    }
}
