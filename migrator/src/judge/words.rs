//! What names say. A name proves nothing; it tips the scale.

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

/// Whether a table's name is that of a log and of nothing else.
pub fn is_log(name: &str) -> bool {
    // words that end in "log" and hold none
    const NO_LOG: [&str; 7] = ["blog", "catalog", "backlog", "dialog", "blogs", "catalogs", "dialogs"];
    let lower = name.to_lowercase();
    let of_log = |p: &String| (p.ends_with("log") || p.ends_with("logs")) && !NO_LOG.contains(&p.as_str());
    ["event", "audit", "outbox", "journal"].iter().any(|w| lower.contains(w)) || of(name).iter().any(of_log)
}

/// Whether a table's name says that its rows tell of changes.
pub fn tells_of_changes(name: &str) -> bool {
    const WORDS: [&str; 24] = [
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
    let of_schema = parts
        .iter()
        .any(|p| ["schema", "migration", "migrations", "api", "app", "database", "db"].contains(&p.as_str()));
    let told = parts.iter().any(|p| WORDS.contains(&p.as_str()) && !(of_schema && p.starts_with("version")));
    // history, historial, historique, bitacora
    let abroad = parts.iter().any(|p| p.contains("histor") || p == "bitacora" || p == "verlauf");
    is_log(name) || abroad || told
}

/// Whether a column's name is that of a version.
pub fn is_version(name: &str) -> bool {
    let parts = of(name);
    parts.iter().any(|p| matches!(p.as_str(), "version" | "revision" | "rev" | "ver" | "versionno" | "revno"))
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

/// Whether a column's name is that of something that counts.
pub fn counts(name: &str) -> bool {
    let parts = of(name);
    let last = parts.last().map(String::as_str).unwrap_or_default();
    is_version(name) || is_ordinal(name) || matches!(last, "seq" | "sequence" | "number" | "no" | "num" | "nr")
}

/// Whether a column's name is that of a place among others: the row's number means something by itself.
pub fn is_ordinal(name: &str) -> bool {
    const WORDS: [&str; 40] = [
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
        ] {
            assert!(tells_of_changes(name), "{name}");
        }
        for name in ["blog_posts", "catalog", "schema_versions", "guild_rank", "orders", "logins_of_users"] {
            assert!(!tells_of_changes(name), "{name}");
        }
    }

    #[test]
    fn versions_and_ordinals() {
        for name in ["version", "revision_number", "aggregate_version", "rev", "RecordVersion", "event_version"] {
            assert!(is_version(name), "{name}");
        }
        for name in ["schema_version", "api_version", "conversion", "payload_version"] {
            assert!(!is_version(name), "{name}");
        }
        assert!(is_plain_version("version_no") && !is_plain_version("event_version"));
        for name in ["rank_order", "line_no", "season_number", "SortIndex"] {
            assert!(is_ordinal(name), "{name}");
        }
        assert!(!is_ordinal("order_version") && !is_ordinal("sequence_no"));
    }
}
