//! What a replay takes, and what it came to.

/// Existing rows that are replayed.
pub(super) const ROWS: i64 = 20;

/// Existing rows that recorded changes may find.
pub(super) const ROWS_FOR_RECORDED: i64 = 10_000;

/// What a replay found.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub changes: usize,
    pub events: usize,
    pub differences: Vec<String>,
    /// What a person should know, though nothing differs.
    pub notes: Vec<String>,
    /// Recorded changes that could not be tried.
    pub unproven: Vec<String>,
}
