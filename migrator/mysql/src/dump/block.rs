//! Where a stored program ends: BEGIN, IF, CASE and the loops are counted, so that the `;` inside them ends nothing.
//!
//! This is no parser: it must get through any text. A word counts only where it can begin a statement, since MySQL allows
//! columns that are called `end`, and `IF`, `REPEAT` are functions too.

/// What a word means for the statement that it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It belongs to the statement.
    Inside,
    /// The statement had ended without a delimiter; the word begins the next one.
    Begins,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No stored program: `;` ends it.
    Plain,
    /// `CREATE ..`, what it creates is not known yet.
    Create,
    /// The head of a trigger, until EACH ROW.
    Trigger,
    /// The head of a routine, until its parameters close.
    Routine,
    /// The head of an event, until DO.
    Event,
    /// A body, or the statement of a handler, can begin.
    Entry,
    /// In the body.
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Begin,
    If,
    Case,
    Loop,
    /// `REPEAT`, whose END follows an expression: after UNTIL it is `Until`.
    Repeat,
    Until,
    /// `CASE` within an expression.
    Expression,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Opener,
    parens: u32,
}

/// Follows the words of one statement.
#[derive(Debug)]
pub struct Block {
    phase: Phase,
    frames: Vec<Frame>,
    parens: u32,
    words: u32,
    /// The next word can begin a statement of the body.
    start: bool,
    /// The last token was a name at such a place: a label, if a colon follows.
    label: bool,
    /// After END: the kind of block may follow.
    after_end: bool,
    /// The whole program is complete: a delimiter, a label or the next statement follows.
    complete: bool,
    previous: Vec<u8>,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            phase: Phase::Plain,
            frames: vec![],
            parens: 0,
            words: 0,
            start: false,
            label: false,
            after_end: false,
            complete: false,
            previous: vec![],
        }
    }
}

impl Block {
    /// Depth of parentheses.
    pub fn parens(&self) -> u32 {
        self.parens
    }

    /// A word outside quotes, in upper case; `dotted` when a dot, `@` or the like precedes it, `fresh` when it is the first
    /// of its line.
    pub fn word(&mut self, word: &[u8], dotted: bool, fresh: bool) -> Flow {
        self.words += 1;
        if self.complete {
            if fresh && is_starter(word) {
                return Flow::Begins;
            }
            // a label, or the statement goes on after all
            self.complete = self.frames.is_empty() && self.after_end;
        }
        if !dotted {
            self.follow(word);
        } else {
            self.other();
        }
        self.previous.clear();
        self.previous.extend_from_slice(word);
        Flow::Inside
    }

    fn follow(&mut self, word: &[u8]) {
        match self.phase {
            Phase::Plain if self.words == 1 && matches!(word, b"CREATE" | b"ALTER") => self.phase = Phase::Create,
            Phase::Plain if self.words == 2 && word == b"NOT" && self.previous == b"BEGIN" => {
                self.phase = Phase::Body;
                self.open(Opener::Begin, true);
            }
            Phase::Plain => {}
            Phase::Create => match word {
                b"TRIGGER" => self.phase = Phase::Trigger,
                b"FUNCTION" | b"PROCEDURE" => self.phase = Phase::Routine,
                b"EVENT" => self.phase = Phase::Event,
                b"TABLE" | b"VIEW" | b"INDEX" | b"DATABASE" | b"SCHEMA" | b"USER" | b"SEQUENCE" => {
                    self.phase = Phase::Plain;
                }
                _ => {}
            },
            Phase::Trigger if word == b"ROW" && self.previous == b"EACH" => self.phase = Phase::Entry,
            Phase::Event if word == b"DO" => self.phase = Phase::Entry,
            Phase::Trigger | Phase::Event | Phase::Routine => {}
            Phase::Entry => self.entry(word),
            Phase::Body => self.body(word),
        }
    }

    fn entry(&mut self, word: &[u8]) {
        if self.parens > self.frames.last().map_or(0, |f| f.parens) {
            return;
        }
        match word {
            b"BEGIN" | b"IF" | b"CASE" | b"LOOP" | b"WHILE" | b"REPEAT" => {
                self.phase = Phase::Body;
                self.start = true;
                self.body(word);
            }
            // RETURNS SET('a','b'), CHARACTER SET utf8mb4
            b"SET" if matches!(self.previous.as_slice(), b"RETURNS" | b"CHARACTER") => {}
            b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"REPLACE" | b"SET" | b"RETURN" | b"CALL" | b"SIGNAL"
            | b"RESIGNAL" | b"DO" | b"WITH" | b"LEAVE" | b"ITERATE" | b"ROLLBACK" | b"COMMIT" | b"CLOSE" | b"OPEN"
            | b"FETCH" | b"GET" => {
                self.phase = Phase::Body;
                self.start = false;
            }
            _ => {}
        }
    }

    fn body(&mut self, word: &[u8]) {
        let start = std::mem::take(&mut self.start);
        self.label = false;
        if std::mem::take(&mut self.after_end)
            && matches!(word, b"IF" | b"CASE" | b"LOOP" | b"WHILE" | b"REPEAT" | b"FOR")
        {
            self.after_end = self.complete;
            return;
        }
        let top = self.frames.last().copied();
        let kind = top.map(|f| f.kind);
        match (word, start) {
            (b"BEGIN", true) => self.open(Opener::Begin, true),
            (b"LOOP", true) => self.open(Opener::Loop, true),
            (b"REPEAT", true) => self.open(Opener::Repeat, true),
            (b"UNTIL", true) => {
                if let Some(frame) = self.frames.last_mut().filter(|f| f.kind == Opener::Repeat) {
                    frame.kind = Opener::Until;
                }
            }
            (b"WHILE" | b"FOR", true) => self.open(Opener::Loop, false),
            (b"IF", true) => self.open(Opener::If, false),
            (b"CASE", true) => self.open(Opener::Case, false),
            (b"ELSE", true) => self.start = true,
            (b"END", _) if start || top.is_some_and(|f| f.kind == Opener::Until && f.parens == self.parens) => {
                self.frames.pop();
                self.after_end = true;
                self.complete = self.frames.is_empty();
            }
            (b"HANDLER", false) if matches!(self.previous.as_slice(), b"CONTINUE" | b"EXIT" | b"UNDO") => {
                self.phase = Phase::Entry;
            }
            (b"CASE", false) => self.open(Opener::Expression, false),
            (b"END", false) if top.is_some_and(|f| f.kind == Opener::Expression && f.parens == self.parens) => {
                self.frames.pop();
            }
            (b"THEN", false) if matches!(kind, Some(Opener::If | Opener::Case)) => self.start = true,
            (b"DO", false) if kind == Some(Opener::Loop) => self.start = true,
            (_, true) => self.label = true,
            _ => {}
        }
    }

    fn open(&mut self, kind: Opener, start: bool) {
        self.frames.push(Frame { kind, parens: self.parens });
        self.start = start;
        self.complete = false;
    }

    /// Anything else but a blank or a comment.
    pub fn other(&mut self) {
        self.label = false;
        self.start = false;
        self.after_end = false;
        self.complete = self.complete && self.frames.is_empty();
    }

    /// A quoted name or a string.
    pub fn quoted(&mut self) {
        let label = self.start;
        self.other();
        self.label = label;
    }

    /// A colon that is no `:=`.
    pub fn colon(&mut self) {
        self.start = std::mem::take(&mut self.label);
    }

    /// `(`
    pub fn opens(&mut self) {
        self.other();
        self.parens += 1;
    }

    /// `)`
    pub fn closes(&mut self) {
        self.other();
        self.parens = self.parens.saturating_sub(1);
        if self.phase == Phase::Routine && self.parens == 0 {
            self.phase = Phase::Entry;
        }
    }

    /// `;`: whether it ends the statement.
    pub fn semicolon(&mut self) -> bool {
        while self.frames.last().is_some_and(|f| f.kind == Opener::Expression) {
            self.frames.pop();
        }
        self.after_end = false;
        self.label = false;
        if let Some(frame) = self.frames.last() {
            self.parens = frame.parens;
            self.phase = Phase::Body;
            self.start = true;
            return false;
        }
        true
    }

    /// The text so far is a stored program.
    pub fn is_program(&self) -> bool {
        !matches!(self.phase, Phase::Plain | Phase::Create)
    }

    /// After a `;` at the end of a program under a delimiter of its own: the program is complete if the delimiter or another
    /// statement follows.
    pub fn maybe_complete(&mut self) {
        self.complete = true;
        self.start = false;
    }
}

/// Words that begin a statement of a script.
fn is_starter(word: &[u8]) -> bool {
    matches!(
        word,
        b"CREATE"
            | b"DROP"
            | b"ALTER"
            | b"INSERT"
            | b"REPLACE"
            | b"UPDATE"
            | b"DELETE"
            | b"SET"
            | b"USE"
            | b"LOCK"
            | b"UNLOCK"
            | b"GRANT"
            | b"REVOKE"
            | b"START"
            | b"COMMIT"
            | b"SELECT"
            | b"CALL"
            | b"TRUNCATE"
            | b"RENAME"
            | b"ANALYZE"
            | b"FLUSH"
            | b"SHOW"
            | b"DELIMITER"
    )
}
