//! What the generator knows of the database, and what it therefore expects of the store.

use crate::value::{CASTED, NO_ORACLE, Type, ident, quote};

#[derive(Debug, Clone)]
pub struct Column {
    /// Stays when the column is renamed.
    pub id: u32,
    pub name: String,
    pub ty: Type,
    pub generated: bool,
    pub not_null: bool,
    /// A trigger's body or another column names it: no DDL.
    pub pinned: bool,
}

#[derive(Debug, Clone)]
pub struct Partitions {
    pub column: u32,
    /// Qualified names and the values each takes.
    pub leaves: Vec<(String, Vec<String>)>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub columns: Vec<Column>,
    pub next_id: u32,
    /// Columns of a primary or other unique key.
    pub key: Vec<u32>,
    pub deferrable: bool,
    /// No key holds `key` unique: statements have to.
    pub by_discipline: bool,
    pub partitions: Option<Partitions>,
    pub capture: Option<Capture>,
}

#[derive(Debug, Clone)]
pub struct Capture {
    pub aggregate_type: String,
    pub id: Vec<u32>,
    pub include: Option<Vec<u32>>,
    pub exclude: Vec<u32>,
    pub redact: Vec<u32>,
    /// Captured from the first row on, without a gap.
    pub strict: bool,
}

impl Capture {
    fn shows(&self, column: u32) -> bool {
        match &self.include {
            Some(include) => include.contains(&column),
            None => !self.exclude.contains(&column),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub tables: Vec<Table>,
}

/// What must hold of one captured table once a transaction has ended.
#[derive(Debug, Clone)]
pub struct Check {
    pub aggregate_type: String,
    pub strict: bool,
    /// `select id, row` of the live rows.
    pub rows: String,
    /// Columns that are left out on both sides.
    pub unchecked: Vec<String>,
}

impl Column {
    pub fn sql(&self) -> String {
        ident(&self.name)
    }

    /// The value as SPEC 5 wants it.
    fn expected(&self) -> String {
        let value = format!("t.{}", self.sql());
        match self.ty.name {
            "json" => format!("oracle.document({value})"),
            "jsonb" => format!("oracle.document({value})"),
            "casted[]" => format!("to_jsonb(({value})::text[])"),
            _ if self.ty.is(CASTED) => format!("to_jsonb(({value})::text)"),
            _ => format!("to_jsonb({value})"),
        }
    }
}

impl Table {
    pub fn sql(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    pub fn column(&self, id: u32) -> Option<&Column> {
        self.columns.iter().find(|c| c.id == id)
    }

    pub fn key_columns(&self) -> Vec<&Column> {
        self.key.iter().filter_map(|id| self.column(*id)).collect()
    }

    /// Columns that a statement may set.
    pub fn writable(&self) -> Vec<&Column> {
        self.columns.iter().filter(|c| !c.generated).collect()
    }

    /// Writable columns outside the key.
    pub fn payload(&self) -> Vec<&Column> {
        self.columns.iter().filter(|c| !c.generated && !self.key.contains(&c.id)).collect()
    }

    /// Its capture says in which partition a row is: a move that shows in no captured column makes no event.
    pub fn tells_partitions(&self) -> bool {
        self.capture.as_ref().zip(self.partitions.as_ref()).is_some_and(|(c, p)| c.shows(p.column))
    }

    pub fn check(&self) -> Option<Check> {
        let capture = self.capture.as_ref()?;
        let ids: Option<Vec<&Column>> = capture.id.iter().map(|id| self.column(*id)).collect();
        let ids = ids?;
        // Where several rows share a stream, its fold is none of them.
        if self.key.is_empty()
            || !self.key.iter().all(|id| capture.id.contains(id))
            || self.key_columns().len() != self.key.len()
        {
            return None;
        }
        let hidden = capture.redact.iter().any(|id| self.column(*id).is_none());
        let captured = |c: &&Column| capture.shows(c.id);
        let pairs: Vec<String> = self
            .columns
            .iter()
            .filter(captured)
            .map(|c| {
                let value = if hidden || capture.redact.contains(&c.id) {
                    "'{\"$value\":\"redacted\"}'::jsonb".into()
                } else if c.ty.is(NO_ORACLE) {
                    "null::jsonb".into()
                } else {
                    c.expected()
                };
                format!("{}, {value}", quote(&c.name))
            })
            .collect();
        let text = |c: &&Column| format!("format('%s', t.{})", c.sql());
        let id = match &ids[..] {
            [one] => text(one),
            many => format!("to_jsonb(array[{}])::text", many.iter().map(text).collect::<Vec<_>>().join(", ")),
        };
        Some(Check {
            aggregate_type: capture.aggregate_type.clone(),
            strict: capture.strict,
            rows: format!(
                "select oracle.short({id}) as id, jsonb_build_object({}) as row from {} t",
                pairs.join(", "),
                self.sql()
            ),
            unchecked: self.columns.iter().filter(|c| !hidden && c.ty.is(NO_ORACLE)).map(|c| c.name.clone()).collect(),
        })
    }
}

impl Model {
    pub fn checks(&self) -> Vec<Check> {
        self.tables.iter().filter_map(Table::check).collect()
    }
}

/// Functions of the checks, in a schema of their own.
pub const ORACLE_SQL: &str = r#"
create schema oracle;
create function oracle.document(value jsonb) returns jsonb language sql as $$
  select case jsonb_typeof(value)
    when 'null' then '{"$value":"jsonb null"}'::jsonb
    when 'object' then case when value ? '$value' then jsonb_build_object('$value', 'literal', 'of', value) else value end
    else value end
$$;
create function oracle.document(value json) returns jsonb language plpgsql as $$
begin
  return oracle.document(value::jsonb);
exception when data_exception or syntax_error or feature_not_supported then
  return jsonb_build_object('$value', 'unrepresentable', 'type', 'json', 'bytes', octet_length(value::text),
                            'sha256', encode(sha256(convert_to(value::text, 'UTF8')), 'hex'));
end
$$;
create function oracle.short(id text) returns text language sql as $$
  select case when octet_length(id) > 1024 then 'sha256:' || encode(sha256(convert_to(id, 'UTF8')), 'hex') else id end
$$;
"#;
