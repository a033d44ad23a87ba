//! The codes of findings. They are stable: scripts and suppressions rely on them.

/// A code with what it means and what to do; `scan --help` lists these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// EV and three digits.
    pub code: &'static str,
    /// What was found.
    pub meaning: &'static str,
    /// Why it matters, or why it does not.
    pub why: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal, $why:literal;)*) => {
        $(#[doc = $meaning] pub const $name: Code = Code { code: $code, meaning: $meaning, why: $why };)*
        /// All codes in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    LOOK_ALIKE = "EV100", "a statement that looks like an event and writes none", "nothing to do";
    LITERAL = "EV101", "the version is hardcoded", "the second event of a stream fails the user's own write, or is lost";
    MAX_PLUS_ONE = "EV102", "the version is max()+1 under no lock", "two sessions compute the same number";
    LOCKED = "EV103", "the version is max()+1 under a lock", "right as long as every writer takes that lock";
    COPIED = "EV104", "the version is copied from the row", "right as long as every change counts the row up by one";
    SEQUENCE = "EV105", "the version comes from a sequence", "unique, but with gaps in every stream";
    UNTRACEABLE = "EV106", "the version is made by something that cannot be followed", "a person has to look";
    NOT_WHOLE = "EV107", "the version is no whole number", "texts and fractions do not count a stream";
    UNCERTAIN = "EV109", "numbered rows that may be events or things of their own", "answer with --treat TABLE=events or TABLE=entity; nothing is proposed before";
    ASSIGNED = "EV110", "a trigger of the event table assigns the version", "graded as the expression it uses";
    MISSING = "EV120", "the event table has a version, the statement writes none", "the stream cannot be ordered";
    UNVERSIONED = "EV121", "the event table has no version", "an audit log: it can be captured, it need not be";
    OWN_STREAM = "EV130", "a constant version is right: every event is a stream of its own", "nothing to do";
    PORTED = "EV190", "the version is assigned by domain_events.next_aggregate_version", "done";
    CAPTURED = "EV191", "the table is captured by domain_events", "done";
    DYNAMIC = "EV201", "the statement is made at run time", "its table and version cannot be seen";
    LANGUAGE = "EV202", "a trigger function in a language that is not read", "reported, never guessed";
    UNPARSED = "EV203", "a function that cannot be parsed", "reported, never guessed";
    UNJUDGED = "EV204", "a statement that could not be read", "what was not judged is never clean";
    NO_TABLE = "EV205", "a trigger whose table is not in what was read", "its function is judged by itself; a live database or a dump tells the rest";
    UNFIRED = "EV206", "a trigger function that no trigger in sight fires", "it is judged by itself; its trigger may be in another file";
    ELSEWHERE = "EV207", "a statement writes a table that is not in what was read", "another database, another file, or a name that is not right";
    NO_FUNCTION = "EV208", "a trigger whose function is not in what was read", "what it writes is not known";
    LOST = "EV301", "an event that cannot be written is dropped in silence", "ON CONFLICT or a handler hides it";
}

/// All codes for the help text.
pub fn help() -> String {
    let lines: Vec<String> = ALL.iter().map(|c| format!("  {}  {}: {}", c.code, c.meaning, c.why)).collect();
    format!("Codes of findings:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|w| w[0].code < w[1].code));
    }
}
