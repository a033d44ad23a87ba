//! A quote that ends too early, or not where it should, turns the rest of a file inside out: what follows are scraps of texts, of
//! which none says anything. The first is told, with the cause.

use super::fold::Problem;
use crate::sql_tree::words::STATEMENTS;

/// Further words with which a statement begins, those of other servers and of their tools too.
const FURTHER: [&str; 13] = [
    "abort",
    "move",
    "release",
    "rollback",
    "savepoint",
    "security",
    "start",
    "use",
    "go",
    "if",
    "exec",
    "print",
    "delimiter",
];

/// What is seen of a file's quotes.
#[derive(Debug, Default)]
pub struct Quotes {
    /// Line of the first backslash before a quote in a plain string.
    escaped: Option<usize>,
    /// Line of the first mark of a body within a body that ends the outer one.
    nested: Option<usize>,
    /// Whether a quote has no end.
    open: bool,
    /// Places, among the problems, of what begins like no statement.
    scraps: Vec<usize>,
    /// How many statements were looked at.
    seen: usize,
    /// The last that could not be read: which it was, and its place among the problems.
    before: Option<(usize, usize)>,
}

impl Quotes {
    /// Looks at a statement, whether it can be read or not; `line` is its first.
    pub fn look_at(&mut self, text: &str, line: usize) {
        self.seen += 1;
        let in_escapes = text.contains("E'") || text.contains("e'");
        if self.escaped.is_none()
            && !in_escapes
            && let Some(at) = text.find("\\'")
        {
            self.escaped = Some(line + text[..at].matches('\n').count());
        }
        if self.nested.is_none()
            && let Some(at) = inner_mark(text)
        {
            self.nested = Some(line + text[..at].matches('\n').count());
        }
    }

    /// A statement could not be read, and is the problem at this place.
    pub fn unread(&mut self, at: usize, text: &str) {
        let first = text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if !STATEMENTS.iter().chain(&FURTHER).any(|verb| first.eq_ignore_ascii_case(verb)) {
            // the statement that the first scrap was torn from
            let torn = self.before.filter(|(seen, _)| self.scraps.is_empty() && seen + 1 == self.seen);
            self.scraps.extend(torn.map(|(_, place)| place));
            self.scraps.push(at);
        }
        self.before = Some((self.seen, at));
    }

    /// A quote without end.
    pub fn has_no_end(&mut self) {
        self.open = true;
    }

    /// Leaves the first scrap among the problems, and says what came after it; how many are gone.
    pub fn told_once(self, problems: &mut Vec<Problem>) -> usize {
        let [first, rest @ ..] = self.scraps.as_slice() else { return 0 };
        let caused = self.escaped.is_some() || self.nested.is_some() || self.open;
        let (false, true) = (rest.is_empty(), caused) else { return 0 };
        let before = |line: &usize| rest.first().is_none_or(|at| *line <= problems[*at].line);
        let cause = match (self.escaped.filter(before), self.nested.filter(before)) {
            (Some(line), _) => format!("line {line} has \\' in a plain string, which ends it there"),
            (None, Some(line)) => {
                format!(
                    "the mark behind AS in line {line} ends the body around it: give that a mark of its own, such as $do$"
                )
            }
            (None, None) => "a quote before it is missing, or is one too many".to_owned(),
        };
        let last = rest.last().map_or(0, |at| problems[*at].line);
        let count = rest.len();
        let told = &mut problems[*first].reason;
        *told = format!("{cause}; from here on {count} more scraps up to line {last} are no statements: {told}");
        let mut at = 0;
        problems.retain(|_| {
            at += 1;
            !rest.contains(&(at - 1))
        });
        count
    }
}

/// Where the body of a function that is made within a body ends that one: both have the same mark.
fn inner_mark(text: &str) -> Option<usize> {
    let open = text.find('$')?;
    let tag = &text[open..=open + 1 + text[open + 1..].find('$')?];
    let body = open + tag.len();
    let end = body + text[body..].find(tag)?;
    let is_mark = tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    let last = text[body..end].trim_end().rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    (is_mark && last.eq_ignore_ascii_case("as")).then_some(end)
}
