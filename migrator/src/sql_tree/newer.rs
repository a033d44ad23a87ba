//! What PostgreSQL 18 has added to the grammar of tables, said in that of 17, which the parser knows. Looked at only where a
//! statement cannot be read as it is.

use pg_query::protobuf::{ScanToken, Token};

/// A statement in the words of 17, and what these cannot say.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// The statement.
    pub text: String,
    /// Columns that a constraint of the table calls not null.
    pub not_null: Vec<String>,
    /// Virtual generated columns.
    pub virtual_columns: Vec<String>,
}

/// What is not there is not looked for: a file may hold any number of statements that cannot be read.
const SIGNS: [&str; 7] = ["null", "generated", "enforced", "overlaps", "period", "inherit", "large"];

/// None where nothing in it is known to be newer.
pub fn in_known_words(text: &str) -> Option<Said> {
    if !SIGNS.iter().any(|sign| holds(text, sign)) {
        return None;
    }
    let words = Words::of(text)?;
    let mut edits = Edits::default();
    let mut said = Said::default();
    if words.begin(&["alter", "default", "privileges"]) {
        for at in words.all().filter(|at| words.are(*at, &["large", "objects"])) {
            edits.replace(words.start(at), words.end(at + 1), "tables");
        }
    } else if words.begin(&["alter"]) {
        actions(&words, &mut edits);
        clauses(&words, 0, &mut edits, &mut said);
    } else if words.begin(&["create"]) {
        elements(&words, &mut edits, &mut said);
        clauses(&words, 1, &mut edits, &mut said);
    }
    (!edits.0.is_empty()).then(|| Said { text: edits.made(text), ..said })
}

/// `RETURNING WITH (OLD AS .., NEW AS ..)` taken out; every other word stays in its place. None where there is none.
pub fn without_returning_aliases(sql: &str) -> Option<String> {
    if !holds(sql, "returning") {
        return None;
    }
    let words = Words::of(sql)?;
    let mut out = sql.as_bytes().to_vec();
    for at in words.all().filter(|at| words.are(*at, &["returning", "with", "("])) {
        let last = words.closing(at + 2)?;
        out[words.start(at + 1)..words.end(last)].fill(b' ');
    }
    String::from_utf8(out).ok().filter(|out| out != sql)
}

/// A name that was free before 16 made a word of it, put between quotes: old dumps have tables of that name. None where there is
/// none.
pub fn with_names_of_before(sql: &str) -> Option<String> {
    const NAME: &str = "system_user";
    if !holds(sql, NAME) {
        return None;
    }
    let words = Words::of(sql)?;
    let mut edits = Edits::default();
    for at in words.all().filter(|at| words.is(*at, NAME)) {
        edits.replace(words.start(at), words.end(at), "\"system_user\"");
    }
    Some(edits.made(sql)).filter(|made| made != sql)
}

fn holds(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// `[CONSTRAINT name] NOT NULL column ..` among the columns of a new table.
fn elements(words: &Words, edits: &mut Edits, said: &mut Said) {
    let firsts = words.all().filter(|at| words.depth(*at) == 1 && *at > 0 && words.is_any(at - 1, &["(", ","]));
    for at in firsts.filter(|at| words.depth(at - 1) <= 1) {
        let not = if words.is(at, "constraint") { at + 2 } else { at };
        if words.are(not, &["not", "null"]) && words.is_name(not + 2) {
            said.not_null.push(words.name(not + 2));
            edits.replace(words.start(not), words.end(words.last_of(at)), "check (true)");
        }
    }
}

/// `ADD [CONSTRAINT name] NOT NULL column ..`, `ALTER CONSTRAINT name [NO] INHERIT`.
fn actions(words: &Words, edits: &mut Edits) {
    let mut done = 0;
    for at in words.all().filter(|at| words.depth(*at) == 0) {
        if words.is(at, "add") && at >= done {
            let not = if words.is(at + 1, "constraint") { at + 3 } else { at + 1 };
            if words.are(not, &["not", "null"]) && words.is_name(not + 2) {
                let set = format!("alter column {} set not null", words.get(not + 2));
                let last = words.last_of(at);
                edits.replace(words.start(at), words.end(last), &set);
                done = last;
            }
        } else if words.are(at, &["alter", "constraint"]) {
            let no = usize::from(words.is(at + 3, "no"));
            if words.is(at + 3 + no, "inherit") {
                edits.blank(words, at + 3, at + 3 + no);
            }
        }
    }
}

/// What stands within the definition of a column or a constraint; `level` is the depth of parentheses where these begin.
fn clauses(words: &Words, level: usize, edits: &mut Edits, said: &mut Said) {
    let begins = |at: usize| {
        at == 0
            || words.is_any(at - 1, &["(", ",", "add", "column", "alter", "constraint", "drop", "exists", "to", "only"])
    };
    let mut first = 0;
    for at in words.all() {
        let depth = words.depth(at);
        if depth < level || depth == level && words.is(at, ",") {
            first = at + 1;
        }
        if words.are(at, &["without", "overlaps"]) && depth == level + 1 {
            edits.blank(words, at, at + 1);
        } else if words.is(at, "period")
            && depth == level + 1
            && begins(at)
            && words.is_name(at + 1)
            && words.is_any(at + 2, &[")", ","])
        {
            edits.blank(words, at, at);
        } else if words.is(at, "enforced") && depth == level && !begins(at) {
            edits.blank(words, at - usize::from(words.is(at - 1, "not")), at);
        } else if words.are(at, &["null", "no", "inherit"]) && depth == level {
            edits.blank(words, at + 1, at + 2);
        } else if words.are(at, &["generated", "always", "as", "("]) && depth == level {
            let Some(last) = words.closing(at + 3) else { continue };
            if words.is(last + 1, "stored") {
                continue;
            }
            if words.is(last + 1, "virtual") {
                edits.replace(words.start(last + 1), words.end(last + 1), "stored");
            } else {
                edits.replace(words.end(last), words.end(last), " stored");
            }
            said.virtual_columns.push(words.name(if level == 0 { words.column_of_action(first) } else { first }));
        }
    }
}

#[derive(Default)]
struct Edits(Vec<(usize, usize, String)>);

impl Edits {
    fn replace(&mut self, start: usize, end: usize, new: &str) {
        self.0.push((start, end, new.to_owned()));
    }

    fn blank(&mut self, words: &Words, first: usize, last: usize) {
        self.replace(words.start(first), words.end(last), " ");
    }

    fn made(mut self, text: &str) -> String {
        self.0.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let (mut out, mut at) = (String::new(), 0);
        for (start, end, new) in self.0 {
            // What is replaced as a whole needs no mending inside.
            if start >= at {
                out += &text[at..start];
                out += &new;
                at = end;
            }
        }
        out + &text[at..]
    }
}

/// A statement's tokens, each with the number of parentheses around it; those have the number of what they stand in.
struct Words<'t> {
    text: &'t str,
    tokens: Vec<(ScanToken, usize)>,
}

impl<'t> Words<'t> {
    fn of(text: &'t str) -> Option<Words<'t>> {
        let mut depth = 0_usize;
        let mut tokens = vec![];
        for token in pg_query::scan(text).ok()?.tokens {
            if matches!(token.token(), Token::SqlComment | Token::CComment) {
                continue;
            }
            if token.token() == Token::Ascii41 {
                depth = depth.saturating_sub(1);
            }
            let opens = token.token() == Token::Ascii40;
            tokens.push((token, depth));
            depth += usize::from(opens);
        }
        Some(Words { text, tokens })
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.tokens.len()
    }

    fn start(&self, at: usize) -> usize {
        self.tokens[at].0.start as usize
    }

    fn end(&self, at: usize) -> usize {
        self.tokens[at].0.end as usize
    }

    fn depth(&self, at: usize) -> usize {
        self.tokens[at].1
    }

    fn get(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |_| &self.text[self.start(at)..self.end(at)])
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).eq_ignore_ascii_case(word)
    }

    fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    fn are(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is(at + n, word))
    }

    fn begin(&self, words: &[&str]) -> bool {
        self.are(0, words)
    }

    fn is_name(&self, at: usize) -> bool {
        self.get(at).starts_with(|c: char| c == '"' || c == '_' || c.is_alphabetic())
    }

    /// As the server stores it.
    fn name(&self, at: usize) -> String {
        let word = self.get(at);
        match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => word.to_lowercase(),
        }
    }

    /// The parenthesis that closes this one.
    fn closing(&self, open: usize) -> Option<usize> {
        (open + 1..self.tokens.len()).find(|at| self.depth(*at) == self.depth(open) && self.is(*at, ")"))
    }

    /// The last token of the list's element that this one begins.
    fn last_of(&self, at: usize) -> usize {
        let level = self.depth(at);
        let ends = |b: usize| self.depth(b) < level || self.depth(b) == level && self.is_any(b, &[",", ";"]);
        (at + 1..self.tokens.len()).find(|b| ends(*b)).unwrap_or(self.tokens.len()) - 1
    }

    /// Where the name is in ADD [COLUMN] [IF NOT EXISTS] name.
    fn column_of_action(&self, first: usize) -> usize {
        let add = (first..self.tokens.len()).find(|at| self.is(*at, "add")).unwrap_or(first);
        let mut at = add + 1;
        at += usize::from(self.is(at, "column"));
        at + if self.are(at, &["if", "not", "exists"]) { 3 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_tree::ast;

    fn said(text: &str) -> Said {
        assert!(ast::parse(text).is_err(), "the parser has learnt it: {text}");
        let said = in_known_words(text).unwrap_or_else(|| panic!("not known: {text}"));
        assert!(ast::parse(&said.text).is_ok(), "{}: {:?}", said.text, ast::parse(&said.text));
        said
    }

    #[test]
    fn constraints_of_tables_that_say_not_null() {
        let table = said(
            "create table only_here (a int, constraint \"A b\" not null a no inherit, not null \"B\",\n  b int check (b > 0), constraint c not null b)",
        );
        assert_eq!(table.not_null, ["a", "B", "b"]);
        assert_eq!(said("create table p partition of q (constraint x not null a) for values in (1)").not_null, ["a"]);
        let added =
            said("ALTER TABLE ONLY public.t ADD CONSTRAINT t_a NOT NULL \"A\" NOT VALID, ADD NOT NULL b NO INHERIT");
        assert_eq!(
            added.text,
            "ALTER TABLE ONLY public.t alter column \"A\" set not null, alter column b set not null"
        );
        said("create table t (a int constraint n not null no inherit, b int not null)");
    }

    #[test]
    fn generated_columns_that_are_virtual() {
        let table = said(
            "create table t (a int, \"B\" int generated always as (a * (2 + 1)), c int generated always as (a) virtual not null, d int generated always as (a) stored)",
        );
        assert_eq!(table.virtual_columns, ["B", "c"]);
        assert_eq!(said("alter table t add column if not exists x int generated always as (a) virtual, add y int generated always as (a)").virtual_columns, ["x", "y"]);
    }

    #[test]
    fn keys_over_time_and_constraints_that_are_not_enforced() {
        said("create table t (id int, period tstzrange, primary key (id, period without overlaps))");
        said(
            "create table t (id int, during tstzrange, foreign key (id, period during) references u (id, period during))",
        );
        said(
            "alter table only t add constraint k foreign key (id, period at) references u (id, period at) not enforced",
        );
        said(
            "create table t (enforced bool, a int check (a > 0) not enforced, b int references u (id) enforced, check (enforced) not enforced)",
        );
        said("alter table t alter constraint k not enforced");
        said("alter table t alter constraint k no inherit");
        said("alter default privileges for role a grant select on large objects to b");
    }

    #[test]
    fn what_is_not_newer_stays_unread() {
        for text in [
            "create tabel t (a int)",
            "create table t (a int,)",
            "select not null a",
            "alter table t add constraint c foo a",
        ] {
            assert!(in_known_words(text).is_none(), "{text}");
        }
    }

    #[test]
    fn aliases_of_returning_leave_everything_in_its_place() {
        let sql = "update t set a = 1 returning with (old as o, new as n) o.a, n.a";
        assert!(ast::parse(sql).is_ok());
        let without = without_returning_aliases(sql).expect("one");
        assert_eq!(without.len(), sql.len());
        assert_eq!(without.find("o.a"), sql.find("o.a"));
        assert!(without_returning_aliases("select 1").is_none());
    }
}
