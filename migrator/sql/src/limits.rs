//! How large and how deep a text may be that is parsed. Parsers, and everything that walks their trees, descend once per level
//! and would overflow the stack on a text that is deep enough; and a text of any size would take any amount of memory. What
//! exceeds a limit is not read, and that is told: it costs itself alone.

use std::io;
use std::thread;

use crate::tokens::{Token, Tokens};

/// Stack of the thread that does the work. It is reserved, and takes memory only as far as it is used.
const STACK: usize = 512 * 1024 * 1024;
/// Tokens on the way into the deepest part of a statement; its tree is not deeper than that.
const DEPTH: usize = 4_000;
/// Tokens of a statement; its tree takes about a kilobyte for each.
const TOKENS: usize = 200_000;
/// Tokens of a statement of MySQL.
pub const LEXEMES: usize = 200_000;
/// Bytes of a statement that is parsed.
pub const STATEMENT: usize = 16 * 1024 * 1024;
/// Conditions on the way to a statement of a function.
pub const CONDITIONS: usize = 1_000;
/// Conditions on the ways to all of them.
pub const ALL_CONDITIONS: usize = 1_000_000;
/// Statements of a function.
pub const STATEMENTS: usize = 5_000;
/// Words of a function, times its variables.
const LOOKUPS: usize = 100_000_000;

/// Runs the work of the process on a thread that has the stack for everything within the limits.
pub fn on_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let spawned = thread::Builder::new().name("main".into()).stack_size(STACK).spawn(work)?;
    spawned.join().map_err(|panic| std::panic::resume_unwind(panic))
}

/// Whether a statement of PostgreSQL may be parsed.
pub fn check(sql: &str) -> Result<(), String> {
    if sql.len() > STATEMENT {
        return Err(format!("a statement of more than {STATEMENT} bytes"));
    }
    Measure::default().of(sql)
}

/// Whether the body of a PL/pgSQL function may be parsed.
pub fn check_body(body: &str) -> Result<(), String> {
    if body.len() > STATEMENT {
        return Err(format!("a body of more than {STATEMENT} bytes"));
    }
    let (mut statements, mut variables, mut declares) = (0_usize, 0_usize, false);
    let mut tokens = Tokens::of(body);
    let mut count = 0_usize;
    while let Some(token) = tokens.next() {
        count += 1;
        match token {
            Token::Sign(b';') => {
                statements += 1;
                variables += usize::from(declares);
            }
            Token::Word(word) if word.eq_ignore_ascii_case(b"declare") => declares = true,
            Token::Word(word) if word.eq_ignore_ascii_case(b"begin") => declares = false,
            _ => {}
        }
    }
    tokens.check_runs()?;
    if count > 4 * TOKENS {
        return Err(format!("a body of more than {} words", 4 * TOKENS));
    }
    // its parser looks each name up among the variables
    if count.saturating_mul(variables) > LOOKUPS {
        return Err(format!("a body of {count} words with {variables} variables"));
    }
    if statements > STATEMENTS {
        return Err(format!("a body of more than {STATEMENTS} statements"));
    }
    Ok(())
}

/// Whether a text, whatever it is, may be cut into words.
pub fn check_words(text: &str) -> Result<(), String> {
    if text.len() > STATEMENT {
        return Err(format!("a text of more than {STATEMENT} bytes"));
    }
    let mut tokens = Tokens::of(text);
    while tokens.next().is_some() {}
    tokens.check_runs()
}

/// What is open: parentheses, brackets, CASE.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Tokens of the element that is being read, between commas, AND and OR: what they make is not deeper.
    tokens: usize,
    /// Depth of the deepest part that was closed in this element.
    inner: usize,
    /// Depth of the deepest element before.
    before: usize,
    /// What makes a chain over elements: UNION, JOIN.
    chained: usize,
    /// It is a CASE.
    case: bool,
}

impl Level {
    fn element(&mut self) {
        self.before = self.before.max(self.tokens + self.inner);
        (self.tokens, self.inner) = (0, 0);
    }

    fn depth(&self) -> usize {
        1 + self.chained + self.before.max(self.tokens + self.inner)
    }
}

#[derive(Debug, Default)]
struct Measure {
    outer: Vec<Level>,
    level: Level,
}

impl Measure {
    /// An upper bound of a statement's depth is kept within the limit, token by token: operators associate to the left or to the
    /// right, both make a tree as deep as their chain is long, while lists and AND and OR are flat.
    fn of(mut self, sql: &str) -> Result<(), String> {
        let deep =
            || Err(format!("a statement nested more than {DEPTH} levels deep, or with a chain of so many operators"));
        let mut tokens = Tokens::of(sql);
        let mut count = 0_usize;
        let mut open = 0_usize;
        while let Some(token) = tokens.next() {
            count += 1;
            if count > TOKENS {
                return Err(format!("a statement of more than {TOKENS} words"));
            }
            let word = if let Token::Word(word) = token { word } else { b"" };
            let is = |keywords: &[&str]| keywords.iter().any(|k| word.eq_ignore_ascii_case(k.as_bytes()));
            match token {
                Token::Sign(b'(' | b'[') => open += self.opens(false),
                Token::Word(_) if is(&["case"]) => open += self.opens(true),
                Token::Sign(b')' | b']') => open -= self.closes(false),
                Token::Word(_) if self.level.case && is(&["end"]) => open -= self.closes(true),
                Token::Sign(b';') => {
                    self = Self::default();
                    open = 0;
                }
                Token::Sign(b',') => self.level.element(),
                Token::Word(_) if is(&["and", "or"]) => self.level.element(),
                Token::Word(_) if is(&["union", "intersect", "except", "join"]) => self.level.chained += 1,
                _ => self.level.tokens += 1,
            }
            if open + self.level.depth() > DEPTH {
                return deep();
            }
        }
        tokens.check_runs()
    }

    /// How much deeper it is within.
    fn opens(&mut self, case: bool) -> usize {
        self.level.tokens += 1;
        let here = self.level.tokens + self.level.chained;
        self.outer.push(std::mem::replace(&mut self.level, Level { case, ..Level::default() }));
        here + 1
    }

    /// How much less deep it is outside.
    fn closes(&mut self, case: bool) -> usize {
        // a parenthesis closes the CASEs that were left open in it
        let mut less = 0;
        while let Some(outer) = self.outer.pop() {
            let depth = self.level.depth();
            let was = std::mem::replace(&mut self.level, outer);
            less += self.level.tokens + self.level.chained + 1;
            self.level.inner = self.level.inner.max(depth);
            if was.case == case {
                break;
            }
        }
        less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(sql: &str) -> bool {
        match check(sql) {
            Ok(()) => false,
            Err(why) => {
                assert!(why.contains("levels deep"), "{why}");
                true
            }
        }
    }

    #[test]
    fn what_makes_a_deep_tree_is_refused() {
        let n = 20_000;
        for (name, sql) in [
            ("sum", format!("select 1{}", "+1".repeat(n))),
            ("concatenation", format!("select 'a'{}", "||'a'".repeat(n))),
            ("parentheses", format!("select {}1{}", "(".repeat(n), ")".repeat(n))),
            ("not", format!("select {}true", "not ".repeat(n))),
            ("minus", format!("select {}1", "- ".repeat(n))),
            ("casts", format!("select 1{}", "::int".repeat(n))),
            ("cases", format!("select {}1{}", "case when true and true then 1 else ".repeat(n), " end".repeat(n))),
            ("open cases", format!("select {}", "case when a and b then ".repeat(n))),
            ("subselects", format!("select {}1{}", "(select 1, ".repeat(n), ")".repeat(n))),
            ("unions", format!("select 1, 2{}", " union select 1, 2".repeat(n))),
            ("joins", format!("select 1 from a{}", " join b on true and true".repeat(n))),
            ("after", format!("select {}1{}", "((".repeat(n), ")+1)+1".repeat(n))),
            ("arrays", format!("select {}{}", "array[".repeat(n), "]".repeat(n))),
            ("calls", format!("select {}1{}", "f(1, ".repeat(n), ")".repeat(n))),
            ("a string after a type", format!("select date'\\', 1{}, '", "+1".repeat(n))),
            ("a long tag", format!("select ${0}$ ' ${0}$ {1} ''", "x".repeat(99), "+1".repeat(n))),
            ("is null", format!("select 1{}", " is null".repeat(n))),
        ] {
            assert!(deep(&sql), "{name}");
            assert!(deep(&format!("select 1; {sql}")), "{name}");
        }
    }

    #[test]
    fn what_is_long_and_flat_is_read() {
        let n = 20_000;
        for (name, sql) in [
            ("list", format!("select 1{}", ", 1".repeat(n))),
            ("columns", format!("create table t (a int{})", ", b int not null default 1 + 1".repeat(n / 4))),
            ("or", format!("select 1 where a = 1{}", " or a = 1".repeat(n))),
            ("and", format!("select 1 where a = 1{}", " and (a = 1)".repeat(n))),
            ("statements", "select 1 + 1;".repeat(n)),
            ("a string", format!("select '{}'", "(".repeat(n))),
            ("a body", format!("select $x$ {} $x$", "(+".repeat(n))),
            ("a comment", format!("select /* {} */ 1", "(+".repeat(n))),
            ("nested comments", format!("select {} {} 1", "/* ".repeat(n), "*/ ".repeat(n))),
            ("a line of stars", format!("select /*{}*/ 1", "*".repeat(20 * n))),
            ("comments in a row", format!("select 1 {}", "/**/ ".repeat(n))),
            ("lines of a comment", format!("select 1 {}", "--/*/*\n".repeat(n))),
            ("an open quote", format!("select '{}", "+".repeat(n))),
            ("an E string", format!("select E'\\'{}'", "+".repeat(n))),
            ("closes nothing", ")".repeat(n / 10)),
        ] {
            assert_eq!(check(&sql), Ok(()), "{name}");
        }
    }

    /// PostgreSQL's lexer takes a time that grows with the square of such a run.
    #[test]
    fn what_a_lexer_reads_again_and_again_is_refused() {
        let n = 20_000;
        for (name, text) in [
            ("nested comments", format!("{} {}", "/*".repeat(n), "*/".repeat(n))),
            ("comments in a row", "/**/".repeat(n)),
            ("comments in a run", "/*/**//**//**/*/".repeat(n)),
            ("an open comment", "/*".repeat(n)),
            ("a comment with slashes", format!("/*{}*/", "/*+".repeat(n))),
        ] {
            let told = |checked: Result<(), String>| checked.is_err_and(|why| why.contains("without a blank"));
            assert!(told(check_words(&text)), "{name}");
            assert!(told(check(&format!("select 1 {text}"))), "{name}");
            assert!(told(check_body(&format!("begin return 1; {text} end"))), "{name}");
            assert_eq!(check(&format!("select $x${text}$x$")), Ok(()), "{name}");
        }
        assert!(check_words(&"+".repeat(n)).is_err());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(check(&"a, ".repeat(TOKENS)).is_err_and(|why| why.contains("words")));
        assert!(check(&format!("select '{}'", "x".repeat(STATEMENT))).is_err_and(|why| why.contains("bytes")));
        assert_eq!(check_body("declare a int; begin return 1; end"), Ok(()));
        assert!(check_body(&"return 1;".repeat(STATEMENTS + 1)).is_err_and(|why| why.contains("statements")));
        let variables = format!("declare {} begin end", "a int;".repeat(20_000));
        assert!(check_body(&variables).is_err_and(|why| why.contains("variables")));
    }
}
