//! What names say. A name proves nothing; it tips the scale.

use crate::catalogue::Column;

/// The words of a name, in lower case: `PageRevisions2` is page, revisions; `event_no` is event, no.
pub fn of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    let mut open = false;
    let mut before_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_ascii_digit() {
            (open, before_lower) = (false, false);
            continue;
        }
        let starts = !open || c.is_uppercase() && before_lower;
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        (open, before_lower) = (true, c.is_lowercase());
    }
    words
}

/// Whether nothing but "event" in a table's name speaks of changes: it may be an entity, such as one of a calendar.
pub fn may_be_an_entity(name: &str) -> bool {
    let rest: Vec<String> = of(name).into_iter().filter(|w| !w.contains("event")).collect();
    tells_of_changes(name) && !tells_of_changes(&rest.join("_"))
}

/// Whether a table's name is that of a log and of nothing else.
pub fn is_log(name: &str) -> bool {
    // words that end in "log" and hold none
    const NO_LOG: [&str; 7] = ["blog", "catalog", "backlog", "dialog", "blogs", "catalogs", "dialogs"];
    let lower = name.to_lowercase();
    let of_log =
        |p: &String| p == "logging" || (p.ends_with("log") || p.ends_with("logs")) && !NO_LOG.contains(&p.as_str());
    ["event", "audit", "outbox", "journal"].iter().any(|w| lower.contains(w)) || of(name).iter().any(of_log)
}

/// Whether a table's name ends in a word for a log: an event may be an entity, a log is none.
pub fn is_called_log(name: &str) -> bool {
    const WORDS: [&str; 8] = ["audit", "audits", "audited", "journal", "journals", "history", "trail", "trails"];
    let words = of(name);
    // history_of_prices
    let of_what = words.iter().position(|w| w == "of").and_then(|n| words.get(n.checked_sub(1)?));
    let last = of_what.or(words.last()).cloned().unwrap_or_default();
    WORDS.contains(&last.as_str()) || is_log(&last) && !last.contains("event") && last != "outbox"
}

/// Whether a function's name says that it writes events.
pub fn writes(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["insert", "append", "log", "audit", "journal", "publish", "enqueue", "emit", "history", "versioning"];
    of(name).iter().any(|p| WORDS.contains(&p.as_str()))
}

/// Whether a table's name says that its rows tell of changes.
pub fn tells_of_changes(name: &str) -> bool {
    const WORDS: [&str; 29] = [
        "deleted",
        "removed",
        "old",
        "backup",
        "trash",
        "hist",
        "historic",
        "revision",
        "revisions",
        "rev",
        "archive",
        "archives",
        "archived",
        "change",
        "changes",
        "trail",
        "ledger",
        "snapshot",
        "snapshots",
        "activity",
        "activities",
        "logged",
        "tracking",
        "shadow",
        "transition",
        "transitions",
        "timeline",
        "versions",
        "version",
    ];
    let parts = of(name);
    // the schema's own version, or an entity's
    if parts.len() == 1 && parts[0].starts_with("version") {
        return false;
    }
    // what is still to be done
    if parts.windows(2).any(|w| w == ["to", "be"]) {
        return false;
    }
    let of_schema = parts
        .iter()
        .any(|p| ["schema", "migration", "migrations", "api", "app", "database", "db"].contains(&p.as_str()));
    let told = parts.iter().any(|p| WORDS.contains(&p.as_str()) && !(of_schema && p.starts_with("version")));
    // history, historial, historique, bitacora
    let abroad = parts.iter().any(|p| p.contains("histor") || p == "bitacora" || p == "verlauf");
    is_log(name) || abroad || told
}

/// Whether a table is called as one that keeps the rows of another: order, orders_history; orders, old_orders.
pub fn keeps_rows_of(name: &str, other: &str) -> bool {
    let stem = |name: &str| -> Vec<String> {
        let plain = |w: &String| w.strip_suffix('s').filter(|s| s.len() > 2).unwrap_or(w).to_owned();
        of(name).iter().map(plain).collect()
    };
    let (name_stem, other_stem) = (stem(name), stem(other));
    let mut rest = other_stem.iter().peekable();
    let mut more = vec![];
    for word in &name_stem {
        match rest.next_if(|w| *w == word) {
            Some(_) => {}
            None => more.push(word.clone()),
        }
    }
    rest.peek().is_none() && !other_stem.is_empty() && !more.is_empty() && tells_of_changes(&more.join("_"))
}

/// Whether columns come in pairs, one for what was and one for what is: old_price and new_price, value_before and value_after.
pub fn tell_before_and_after<'n>(names: impl Iterator<Item = &'n str> + Clone) -> bool {
    const BEFORE: [&str; 7] = ["old", "previous", "prev", "before", "former", "original", "from"];
    const AFTER: [&str; 6] = ["new", "after", "next", "current", "now", "to"];
    let without = |name: &str, words: &[&str]| -> Option<Vec<String>> {
        let all = of(name);
        let rest: Vec<String> = all.iter().filter(|w| !words.contains(&w.as_str())).cloned().collect();
        (rest.len() < all.len()).then_some(rest)
    };
    let after: Vec<Vec<String>> = names.clone().filter_map(|n| without(n, &AFTER)).collect();
    names.filter_map(|n| without(n, &BEFORE)).any(|rest| after.contains(&rest))
}

/// Whether a column's name is that of a table: what an audit log says of where something happened.
pub fn is_of_table(name: &str) -> bool {
    let parts = of(name);
    parts.iter().any(|p| matches!(p.as_str(), "table" | "relation" | "tabla" | "tbl" | "tablename" | "relname"))
}

/// Whether a column's name is that of a text that holds a document.
pub fn is_document(name: &str) -> bool {
    let parts = of(name);
    parts.iter().any(|p| matches!(p.as_str(), "json" | "jsonb" | "payload" | "xml"))
        || parts.last().is_some_and(|p| p == "data") && parts.len() > 1
}

/// Whether a column's name is that of a state or a kind: it may be a number, and counts nothing.
pub fn is_label(name: &str) -> bool {
    const WORDS: [&str; 8] = ["state", "status", "type", "kind", "category", "mode", "flag", "code"];
    let words = of(name);
    words.last().is_some_and(|w| WORDS.contains(&w.as_str())) || words.first().is_some_and(|w| w == "is" || w == "has")
}

/// Whether a column's name is that of a version.
pub fn is_version(name: &str) -> bool {
    // when, by whom, why: what is said of a version
    const OF_ONE: [&str; 22] = [
        "time",
        "timestamp",
        "date",
        "at",
        "on",
        "by",
        "user",
        "author",
        "comment",
        "comments",
        "note",
        "notes",
        "name",
        "title",
        "label",
        "reason",
        "status",
        "state",
        "hash",
        "url",
        "description",
        "count",
    ];
    let parts = of(name);
    parts.iter().any(|p| matches!(p.as_str(), "version" | "revision" | "rev" | "ver" | "versionno" | "revno"))
        && parts.last().is_none_or(|p| !OF_ONE.contains(&p.as_str()))
        && !of_schema(&parts)
}

/// Whether a column's name is that of a stream's version and no other's.
pub fn is_plain_version(name: &str) -> bool {
    let rest = [
        "no",
        "nr",
        "num",
        "number",
        "id",
        "aggregate",
        "stream",
        "entity",
        "record",
        "row",
        "object",
        "doc",
        "document",
    ];
    is_version(name)
        && of(name).iter().all(|p| p.starts_with("rev") || p.starts_with("ver") || rest.contains(&p.as_str()))
}

/// The version of what describes the data, not of the data.
fn of_schema(parts: &[String]) -> bool {
    const WORDS: [&str; 14] = [
        "schema", "format", "api", "app", "payload", "protocol", "spec", "model", "client", "software", "contract",
        "data", "type", "template",
    ];
    parts.iter().any(|p| WORDS.contains(&p.as_str()))
}

/// Whether a column's name is that of a time.
pub fn is_of_time(name: &str) -> bool {
    of(name).last().is_some_and(|w| matches!(w.as_str(), "at" | "on" | "date" | "day" | "time" | "timestamp" | "since"))
}

/// Whether a column's name is that of a place in a stream.
pub fn is_of_stream(name: &str) -> bool {
    of(name).iter().any(|p| matches!(p.as_str(), "stream" | "aggregate" | "event" | "global"))
}

/// Whether a column's name is that of something that counts.
pub fn counts(name: &str) -> bool {
    let parts = of(name);
    let last = parts.last().map(String::as_str).unwrap_or_default();
    is_version(name) || is_ordinal(name) || matches!(last, "seq" | "sequence" | "number" | "no" | "num" | "nr")
}

/// Whether a column's name is that of a place among others: the row's number means something by itself.
pub fn is_ordinal(name: &str) -> bool {
    const WORDS: [&str; 44] = [
        "retry",
        "retries",
        "try",
        "tries",
        "rank",
        "position",
        "pos",
        "order",
        "ordinal",
        "sort",
        "sorting",
        "index",
        "idx",
        "level",
        "lvl",
        "slot",
        "step",
        "line",
        "place",
        "priority",
        "season",
        "round",
        "batch",
        "page",
        "chapter",
        "episode",
        "day",
        "week",
        "part",
        "stage",
        "tier",
        "attempt",
        "iteration",
        "cycle",
        "lap",
        "turn",
        "installment",
        "instalment",
        "grade",
        "seat",
        "shelf",
        "item",
        "phase",
        "period",
    ];
    !is_version(name) && of(name).iter().any(|p| WORDS.contains(&p.as_str()))
}

/// Whether a column's name is that of what happened, rather than of a label.
pub fn says_what(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "type",
        "action",
        "operation",
        "op",
        "kind",
        "event",
        "events",
        "change",
        "verb",
        "activity",
        "what",
        "message",
        "oper",
        "dml",
    ];
    of(name).iter().any(|p| WORDS.contains(&p.as_str()) || p.ends_with("type") || p.ends_with("action"))
}

pub(super) fn is_actor_name(name: &str) -> bool {
    ["user", "actor", "caused_by", "changed_by", "performed_by"].iter().any(|w| name.to_lowercase().contains(w))
}

pub(super) fn is_payload(column: &Column) -> bool {
    matches!(column.data_type.as_str(), "json" | "jsonb" | "xml" | "hstore" | "public.hstore")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(of("PageRevisions2"), ["page", "revisions"]);
        assert_eq!(of("event_no"), ["event", "no"]);
        assert_eq!(of("EVENT_NO"), ["event", "no"]);
        assert_eq!(of("eventVersion"), ["event", "version"]);
    }

    #[test]
    fn tables_whose_names_tell_of_changes() {
        for name in [
            "order_events",
            "staff_audit",
            "parcel_history",
            "page_revisions",
            "DocumentVersions",
            "changelog",
            "app_log",
            "loggedActions",
            "logging",
        ] {
            assert!(tells_of_changes(name), "{name}");
        }
        for name in [
            "place_to_be_deleted",
            "blog_posts",
            "catalog",
            "schema_versions",
            "guild_rank",
            "orders",
            "logins_of_users",
        ] {
            assert!(!tells_of_changes(name), "{name}");
        }
    }

    #[test]
    fn tables_that_keep_the_rows_of_another() {
        for (name, other) in [
            ("article_history", "article"),
            ("articles_history", "article"),
            ("old_orders_archive", "orders"),
            ("OrderRevisions", "orders"),
            ("hist_order_line", "order_lines"),
        ] {
            assert!(keeps_rows_of(name, other), "{name} of {other}");
        }
        for (name, other) in [("history", "article"), ("order_lines", "orders"), ("article_history", "order")] {
            assert!(!keeps_rows_of(name, other), "{name} of {other}");
        }
    }

    #[test]
    fn columns_that_tell_before_and_after() {
        for pair in [["old_price", "new_price"], ["previous_value", "new_value"], ["state_before", "state_after"]] {
            assert!(tell_before_and_after(pair.into_iter()), "{pair:?}");
        }
        for pair in [["old_price", "new_state"], ["price", "new_price"], ["before_id", "label"]] {
            assert!(!tell_before_and_after(pair.into_iter()), "{pair:?}");
        }
    }

    #[test]
    fn versions_and_ordinals() {
        for name in ["version", "revision_number", "aggregate_version", "rev", "RecordVersion", "event_version"] {
            assert!(is_version(name), "{name}");
        }
        for name in
            ["schema_version", "api_version", "conversion", "payload_version", "revision_time", "version_comment"]
        {
            assert!(!is_version(name), "{name}");
        }
        assert!(is_plain_version("version_no") && !is_plain_version("event_version"));
        for name in ["rank_order", "line_no", "season_number", "SortIndex"] {
            assert!(is_ordinal(name), "{name}");
        }
        assert!(!is_ordinal("order_version") && !is_ordinal("sequence_no"));
    }
}
