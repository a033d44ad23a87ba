//! Which column of a table may count its rows within a stream, and how much speaks for it.

use serde_json::Value;

use super::table_use::TableUse;
use super::words;
use crate::source::Column;
use crate::sql_tree::ast;

impl TableUse<'_> {
    /// A text or a fraction that counts a stream: in a key with something else, or read by max(). A schema's version is
    /// neither.
    pub(super) fn counts_oddly(&self, column: &Column) -> bool {
        let counts = column.category == "S" || column.category == "N" && !column.is_integer();
        let keyed = || self.relation.keys.iter().any(|k| k.columns.len() > 1 && k.columns.contains(&column.name));
        let moves = || self.values(&column.name).iter().any(|v| ast::constant(v).is_none() && !ast::is_null(v));
        counts
            && column.generated.is_empty()
            && self.counts(column) > 0
            && (keyed() || self.counts(column) >= 3 || words::is_plain_version(&column.name) && moves())
    }

    /// Whether what is written there is told as a version, though no key covers it. A constant is, where the name leaves no
    /// other meaning; the row's own number, one that is counted up or comes by a variable is, whatever kind of version it is.
    pub(super) fn told_as_version(&self, column: &Column) -> bool {
        let comment = column.comment.as_deref().unwrap_or_default().to_lowercase();
        let values = self.values(&column.name);
        if values.is_empty()
            || !words::is_version(&column.name)
            || comment.contains("schema")
            || comment.contains("format")
        {
            return false;
        }
        // revision_id names a revision, unless it is counted or is the row's own
        let counted = |v: &&Value| {
            ast::find(v, "AExpr").iter().any(|e| ast::operator(e) == "+")
                || ast::column(ast::without_casts(v)).is_some_and(|c| c.last().is_some_and(|c| *c == column.name))
        };
        if column.name.to_lowercase().ends_with("_id") && !values.iter().any(counted) {
            return false;
        }
        values.iter().any(|v| ast::constant(v).is_none() && !ast::is_null(v)) || words::is_plain_version(&column.name)
    }

    pub(super) fn may_count(&self, column: &Column) -> bool {
        // another row is meant, not a place
        let other = words::of(&column.name)
            .iter()
            .any(|w| matches!(w.as_str(), "previous" | "prev" | "parent" | "predecessor"));
        self.may_be_whole(column)
            && !other
            && (!words::is_label(&column.name) || self.read_by_max.contains(&column.name))
            && !column.references
            && !column.is_numbered()
            && column.generated.is_empty()
            && !self.is_id_of_something(&column.name)
    }

    /// An integer, or of a type that files do not hold and called a version.
    pub(super) fn may_be_whole(&self, column: &Column) -> bool {
        column.is_integer()
            || self.catalogue.server_version == 0
                && column.is_of_unknown_type()
                && !words::is_of_time(&column.name)
                && (words::is_version(&column.name) || self.read_by_max.contains(&column.name))
    }

    /// A place among others that is only named here: nothing counts it, and it comes from a row or a caller as it is. A store of
    /// events may call its versions so.
    pub(super) fn is_a_place_elsewhere(&self, column: &Column) -> bool {
        let counted =
            |v: &&Value| ast::constant(v).is_some() || ast::find(v, "AExpr").iter().any(|e| ast::operator(e) == "+");
        let values = self.values(&column.name);
        words::is_ordinal(&column.name)
            && !words::is_of_stream(&column.name)
            && !self.relation.name.to_lowercase().contains("event")
            && !self.read_by_max.contains(&column.name)
            && !values.is_empty()
            && !values.iter().any(counted)
            && column.name != "position"
    }

    /// A version may come from a sequence, if it is called one: most numbered columns are ids.
    pub(super) fn may_count_in_key(&self, column: &Column) -> bool {
        self.may_count(column) || column.is_integer() && column.is_numbered() && self.counts(column) > 0
    }

    /// How much speaks for a column being the version of a stream; negative if it cannot be.
    pub(super) fn counts(&self, column: &Column) -> i32 {
        let values = self.values(&column.name);
        let name = column.name.to_lowercase();
        let comment = column.comment.as_deref().unwrap_or_default().to_lowercase();
        let mut points = 0;
        // a text that tells how many of something there are is none of them
        let sentence = |v: &Value| {
            column.category == "S"
                && (ast::calls(v).iter().any(|(_, n, _)| n.starts_with("concat") || n == "format")
                    || ast::find(v, "AExpr").iter().any(|e| ast::operator(e) == "||"))
        };
        let counted = |v: &Value| ast::calls(v).iter().any(|(_, n, _)| n == "max" || n == "count");
        if values.iter().any(|v| counted(v) && !sentence(v)) {
            points += 3;
        }
        if self.read_by_max.contains(&column.name) {
            points += 3;
        }
        if ["aggregate", "stream", "entity"].iter().any(|w| comment.contains(w))
            && (comment.contains("version") || comment.contains("sequence"))
        {
            points += 3;
        }
        if comment.contains("schema") || comment.contains("format") {
            points -= 4;
        }
        if ["aggregate_version", "stream_version", "entity_version", "stream_position", "aggregate_sequence"]
            .contains(&name.as_str())
        {
            points += 3;
        } else if name.contains("version") || name.contains("revision") || name.contains("sequence") || name == "seq" {
            points += 1;
        }
        // an id of a row ends in _id and is taken from one
        if name.ends_with("_id") || name == "id" {
            points -= 3;
        }
        points
    }
}
