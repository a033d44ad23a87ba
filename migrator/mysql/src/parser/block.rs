//! BEGIN .. END, what it declares, and which statement begins with which word.

use sqlparser::tokenizer::Token;

use super::super::ast::{Block, Condition, Declaration, DeclarationKind, HandlerAction, Statement, StatementKind};
use super::super::leaf;
use super::{Parser, Read};

impl Parser<'_> {
    /// What the statement here is.
    pub(super) fn kind(&mut self) -> Read<StatementKind> {
        let label = self.label();
        if self.take(&["BEGIN"]) {
            self.take(&["NOT", "ATOMIC"]);
            return Ok(StatementKind::Block(self.block(label)));
        }
        if label.is_none() && self.sees_query_in_parentheses() {
            return self.select();
        }
        let Some(word) = self.peek(0).and_then(|l| l.keyword()) else { return Err(self.expected("a statement")) };
        match word.as_str() {
            "LOOP" => return self.loop_(label),
            "WHILE" => return self.while_(label),
            "REPEAT" => return self.repeat(label),
            "FOR" => return self.for_(label),
            _ if label.is_some() => return Err(self.expected("BEGIN, LOOP, WHILE, REPEAT or FOR after the label")),
            _ => {}
        }
        match word.as_str() {
            "SET" => self.set(),
            "IF" => self.if_(),
            "CASE" => self.case(),
            "LEAVE" => {
                self.at += 1;
                self.identifier("a label").map(StatementKind::Leave)
            }
            "ITERATE" => {
                self.at += 1;
                self.identifier("a label").map(StatementKind::Iterate)
            }
            "RETURN" => {
                self.at += 1;
                Ok(StatementKind::Return(self.expression(&[], false)))
            }
            "OPEN" => self.open(),
            "FETCH" => self.fetch(),
            "CLOSE" => {
                self.at += 1;
                self.identifier("a cursor").map(StatementKind::Close)
            }
            "CALL" => self.call(),
            "SIGNAL" => self.signal().map(StatementKind::Signal),
            "RESIGNAL" => self.signal().map(StatementKind::Resignal),
            "GET" => self.get_diagnostics(),
            "DO" => self.do_(),
            "PREPARE" => self.prepare(),
            "EXECUTE" => self.execute(),
            "DEALLOCATE" => self.deallocate(),
            "DROP" if self.sees(&["DROP", "PREPARE"]) => self.deallocate(),
            "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => Ok(self.transaction()),
            "SELECT" | "WITH" => self.select(),
            "DECLARE" => Err(self.expected("DECLARE only at the beginning of a block")),
            "ELSE" | "ELSEIF" | "END" | "WHEN" | "UNTIL" | "THEN" => Err(self.expected("a statement")),
            _ => self.sql(),
        }
    }

    /// `label:`, taken.
    fn label(&mut self) -> Option<String> {
        let label = match (self.token(0), self.token(1)) {
            (Some(Token::Word(word)), Some(Token::Colon)) => word.value.clone(),
            _ => return None,
        };
        self.at += 2;
        Some(label)
    }

    /// The label that may stand after an END.
    pub(super) fn end_label(&mut self, label: Option<&String>) {
        if let (Some(label), Some(Token::Word(word))) = (label, self.token(0))
            && word.value.eq_ignore_ascii_case(label)
        {
            self.at += 1;
        }
    }

    /// The words that end a loop or an IF. Where they are missing, that is said in place of the statement that they would
    /// follow, and what was read stays.
    pub(super) fn end(&mut self, words: &[&str], body: &mut Vec<Statement>) {
        if self.take(words) {
            return;
        }
        if self.peek(0).is_some() || self.says_of_end() {
            let why = self.expected(&words.join(" "));
            body.push(Statement {
                position: why.position,
                span: self.span(self.at),
                kind: StatementKind::Unread { why, writes: vec![] },
            });
        }
    }

    /// What follows BEGIN.
    fn block(&mut self, label: Option<String>) -> Block {
        let mut declarations = vec![];
        while self.sees(&["DECLARE"]) {
            let from = self.at;
            let position = self.position();
            let kind = self.declaration().unwrap_or_else(|why| {
                self.at = from;
                self.skip_statement();
                DeclarationKind::Unread(why)
            });
            declarations.push(Declaration { position, span: self.span(from), kind });
            if !self.take_token(&Token::SemiColon) {
                let (from, why) = (self.at, self.expected(";"));
                self.skip_statement();
                let kind = DeclarationKind::Unread(why);
                declarations.push(Declaration { position: self.position(), span: self.span(from), kind });
                self.take_token(&Token::SemiColon);
            }
        }
        let mut body = self.statements(&["END"]);
        self.end(&["END"], &mut body);
        self.end_label(label.as_ref());
        Block { label, declarations, body }
    }

    fn declaration(&mut self) -> Read<DeclarationKind> {
        self.expect(&["DECLARE"])?;
        for (word, action) in
            [("CONTINUE", HandlerAction::Continue), ("EXIT", HandlerAction::Exit), ("UNDO", HandlerAction::Undo)]
        {
            if self.take(&[word, "HANDLER"]) {
                return self.handler(action);
            }
        }
        let mut names = vec![self.identifier("a name")?];
        while self.take_token(&Token::Comma) {
            names.push(self.identifier("a name")?);
        }
        if let [name] = names.as_slice() {
            if self.take(&["CONDITION", "FOR"]) {
                return Ok(DeclarationKind::Condition { name: name.clone(), value: self.condition()? });
            }
            if self.take(&["CURSOR"]) {
                return self.cursor(name.clone());
            }
        }
        let data_type = self.data_type()?;
        let default =
            (self.take(&["DEFAULT"]) || self.take_token(&Token::Assignment)).then(|| self.expression(&[], false));
        Ok(DeclarationKind::Variables { names, data_type, default })
    }

    fn cursor(&mut self, name: String) -> Read<DeclarationKind> {
        let mut parameters = vec![];
        if self.take_token(&Token::LParen) {
            loop {
                self.take(&["IN"]);
                parameters.push((self.identifier("a parameter")?, self.data_type()?));
                if !self.take_token(&Token::Comma) {
                    break;
                }
            }
            self.expect_token(&Token::RParen)?;
        }
        self.expect(&["FOR"])?;
        let from = self.at;
        self.at += self.leaf(&[], false);
        let query = leaf::query(&self.tokens[from..self.at], self.mode, self.position());
        Ok(DeclarationKind::Cursor { name, parameters, query })
    }

    fn handler(&mut self, action: HandlerAction) -> Read<DeclarationKind> {
        self.expect(&["FOR"])?;
        let mut conditions = vec![self.condition()?];
        while self.take_token(&Token::Comma) {
            conditions.push(self.condition()?);
        }
        let body = Box::new(self.statement());
        Ok(DeclarationKind::Handler { action, conditions, body })
    }

    pub(super) fn condition(&mut self) -> Read<Condition> {
        if self.take(&["SQLSTATE"]) {
            self.take(&["VALUE"]);
            return self.string("an SQLSTATE of five characters").map(Condition::SqlState);
        }
        if let Some(Token::Number(digits, _)) = self.token(0) {
            let number = digits.parse().map_err(|_| self.expected("an error number"))?;
            self.at += 1;
            return Ok(Condition::Error(number));
        }
        if self.take(&["NOT", "FOUND"]) {
            return Ok(Condition::NotFound);
        }
        if self.take(&["SQLEXCEPTION"]) {
            return Ok(Condition::SqlException);
        }
        if self.take(&["SQLWARNING"]) {
            return Ok(Condition::SqlWarning);
        }
        self.identifier("a condition").map(Condition::Named)
    }
}
