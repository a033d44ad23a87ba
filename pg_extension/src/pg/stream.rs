//! What names a stream.

use super::datum::Text;

/// A stream, with both halves of its key as plain texts.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    pub aggregate_type: Text<'a>,
    pub aggregate_id: Text<'a>,
}
