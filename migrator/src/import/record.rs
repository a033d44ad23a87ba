//! One row of a source, in the order of its table's columns.

use domain_events_mysql::dump::{DumpRow, Value};
use domain_events_mysql::schema::Table;
use domain_events_mysql::types::{self, Codec};

/// A row with its place.
#[derive(Debug)]
pub struct Record {
    pub(super) row: DumpRow,
    // where a column of the table is in the row
    pub(super) order: Vec<Option<usize>>,
    pub(super) codecs: Vec<Codec>,
    pub(super) zone: String,
    /// Line of the dump, or number of the row.
    pub line: u64,
}

impl Record {
    pub(super) fn new(table: &Table) -> Self {
        let mut next = 0;
        let order = table
            .columns
            .iter()
            .map(|c| {
                let place = c.generated.is_none().then_some(next);
                next += usize::from(place.is_some());
                place
            })
            .collect();
        let codecs = table.columns.iter().map(|c| types::postgres(c).codec).collect();
        Self { row: DumpRow::new(), order, codecs, zone: "+00:00".into(), line: 0 }
    }

    /// The value of a column, by its place in the table.
    pub fn value(&self, column: usize) -> Value<'_> {
        let place = self.order.get(column).copied().flatten();
        place.and_then(|p| self.row.get(p)).unwrap_or(Value::Default)
    }

    /// Bytes of all its values.
    pub fn size(&self) -> usize {
        self.row.size()
    }

    /// Gives its memory away, with the place that the value of a column has in it.
    pub fn take(&mut self, column: usize) -> Option<(Vec<u8>, std::ops::Range<usize>)> {
        let place = self.order.get(column).copied().flatten()?;
        self.row.take(place)
    }

    /// The zone of its TIMESTAMP values.
    pub fn zone(&self) -> &str {
        &self.zone
    }
}

impl Record {
    // None: all columns in their order.
    pub(super) fn reorder(&mut self, table: &Table, columns: Option<&[String]>) -> Result<(), String> {
        let Some(columns) = columns else {
            self.order = Self::new(table).order;
            return Ok(());
        };
        if let Some(unknown) = columns.iter().find(|c| table.column(c).is_none()) {
            return Err(format!(
                "table {} has no column {unknown}: the rows of this statement are not read",
                table.name
            ));
        }
        self.order = table
            .columns
            .iter()
            .map(|column| columns.iter().position(|c| c.eq_ignore_ascii_case(&column.name)))
            .collect();
        Ok(())
    }
}
