//! Statements that hold no others.

use sqlparser::tokenizer::Token;

use super::super::ast::{Assignment, Diagnostics, Expression, Signal, StatementKind, Target, Unread};
use super::super::leaf;
use super::super::lexer::Lexeme;
use super::{Parser, Read};

const SCOPES: [&str; 5] = ["GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"];

impl Parser<'_> {
    pub(super) fn set(&mut self) -> Read<StatementKind> {
        self.expect(&["SET"])?;
        for (words, what) in [
            (&["NAMES"] as &[&str], "SET NAMES"),
            (&["CHARACTER", "SET"], "SET CHARACTER SET"),
            (&["CHARSET"], "SET CHARSET"),
            (&["TRANSACTION"], "SET TRANSACTION"),
            (&["SESSION", "TRANSACTION"], "SET SESSION TRANSACTION"),
            (&["GLOBAL", "TRANSACTION"], "SET GLOBAL TRANSACTION"),
            (&["PASSWORD"], "SET PASSWORD"),
            (&["STATEMENT"], "SET STATEMENT .. FOR"),
            (&["ROLE"], "SET ROLE"),
            (&["DEFAULT", "ROLE"], "SET DEFAULT ROLE"),
            (&["RESOURCE", "GROUP"], "SET RESOURCE GROUP"),
        ] {
            let is_variable = matches!(self.token(words.len()), Some(Token::Eq | Token::Assignment | Token::Period));
            if self.sees(words) && !is_variable {
                return Err(Unread { position: self.position(), reason: format!("{what} is not read") });
            }
        }
        let mut assignments = vec![];
        // SESSION holds for all that follow, until another scope
        let mut scope = None;
        loop {
            let is_name = matches!(self.token(1), Some(Token::Eq | Token::Assignment | Token::Period));
            if !is_name && self.sees_any(&SCOPES) {
                scope = self.peek(0).and_then(|l| l.keyword()).map(|k| k.to_ascii_lowercase());
                self.at += 1;
            }
            let target = match (self.target("a variable")?, &scope) {
                (Target::Variable(name), Some(scope)) => Target::System { scope: Some(scope.clone()), name },
                (target, _) => target,
            };
            if !self.take_token(&Token::Eq) && !self.take_token(&Token::Assignment) {
                return Err(self.expected("= or :="));
            }
            assignments.push(Assignment { target, value: self.expression(&[], true) });
            if !self.take_token(&Token::Comma) {
                return Ok(StatementKind::Set(assignments));
            }
        }
    }

    /// What a value is put into.
    pub(super) fn target(&mut self, what: &str) -> Read<Target> {
        let Some(Token::Word(word)) = self.token(0) else { return Err(self.expected(what)) };
        let name = word.value.clone();
        if word.quote_style.is_none() && name.starts_with('@') {
            self.at += 1;
            let Some(system) = name.strip_prefix("@@") else { return Ok(Target::User(name[1..].to_owned())) };
            let scoped = SCOPES.iter().any(|s| system.eq_ignore_ascii_case(s)) && self.take_token(&Token::Period);
            return Ok(if scoped {
                Target::System { scope: Some(system.to_ascii_lowercase()), name: self.identifier("a system variable")? }
            } else {
                Target::System { scope: None, name: system.to_owned() }
            });
        }
        self.at += 1;
        if !self.take_token(&Token::Period) {
            return Ok(Target::Variable(name));
        }
        let field = self.identifier("a column")?;
        let new = name.eq_ignore_ascii_case("new");
        Ok(if new || name.eq_ignore_ascii_case("old") {
            Target::Row { new, column: field }
        } else {
            Target::Field { variable: name, field }
        })
    }

    fn targets(&mut self) -> Read<Vec<Target>> {
        let mut targets = vec![self.target("a variable")?];
        while self.take_token(&Token::Comma) {
            targets.push(self.target("a variable")?);
        }
        Ok(targets)
    }

    pub(super) fn open(&mut self) -> Read<StatementKind> {
        self.expect(&["OPEN"])?;
        let cursor = self.identifier("a cursor")?;
        Ok(StatementKind::Open { cursor, arguments: self.arguments()? })
    }

    pub(super) fn fetch(&mut self) -> Read<StatementKind> {
        self.expect(&["FETCH"])?;
        if self.sees(&["NEXT", "FROM"]) {
            self.at += 2;
        } else if self.sees(&["FROM"]) && !self.peek(1).is_some_and(|l| l.is("INTO")) {
            self.at += 1;
        }
        let cursor = self.identifier("a cursor")?;
        self.expect(&["INTO"])?;
        Ok(StatementKind::Fetch { cursor, into: self.targets()? })
    }

    pub(super) fn call(&mut self) -> Read<StatementKind> {
        self.expect(&["CALL"])?;
        let procedure = self.name("a procedure")?;
        Ok(StatementKind::Call { procedure, arguments: self.arguments()? })
    }

    pub(super) fn signal(&mut self) -> Read<Signal> {
        let resignal = self.take(&["RESIGNAL"]);
        if !resignal {
            self.expect(&["SIGNAL"])?;
        }
        let bare = resignal && (self.sees(&["SET"]) || matches!(self.token(0), None | Some(Token::SemiColon)));
        let condition = if bare { None } else { Some(self.condition()?) };
        let mut items = vec![];
        if self.take(&["SET"]) {
            loop {
                let name = self.identifier("an item such as MESSAGE_TEXT")?.to_ascii_uppercase();
                self.expect_token(&Token::Eq)?;
                items.push((name, self.expression(&[], true)));
                if !self.take_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Signal { condition, items })
    }

    pub(super) fn get_diagnostics(&mut self) -> Read<StatementKind> {
        self.expect(&["GET"])?;
        let stacked = self.take(&["STACKED"]);
        if !stacked {
            self.take(&["CURRENT"]);
        }
        self.expect(&["DIAGNOSTICS"])?;
        let condition = if self.take(&["CONDITION"]) { Some(self.condition_number()?) } else { None };
        let mut items = vec![];
        loop {
            let target = self.target("a variable")?;
            self.expect_token(&Token::Eq)?;
            items.push((target, self.identifier("an item such as MESSAGE_TEXT")?.to_ascii_uppercase()));
            if !self.take_token(&Token::Comma) {
                return Ok(StatementKind::GetDiagnostics(Diagnostics { stacked, condition, items }));
            }
        }
    }

    /// A number or a variable: one token.
    fn condition_number(&mut self) -> Read<Expression> {
        let from = self.at;
        let position = self.position();
        if !matches!(self.token(0), Some(Token::Number(..) | Token::Word(_) | Token::SingleQuotedString(_))) {
            return Err(self.expected("the number of a condition"));
        }
        self.at += 1;
        let tree = leaf::expression(&self.tokens[from..self.at], self.mode, self.position());
        Ok(Expression { position, span: self.span(from), tree })
    }

    pub(super) fn do_(&mut self) -> Read<StatementKind> {
        self.expect(&["DO"])?;
        let mut expressions = vec![self.expression(&[], true)];
        while self.take_token(&Token::Comma) {
            expressions.push(self.expression(&[], true));
        }
        Ok(StatementKind::Do(expressions))
    }

    pub(super) fn prepare(&mut self) -> Read<StatementKind> {
        self.expect(&["PREPARE"])?;
        let name = self.identifier("a name")?;
        self.expect(&["FROM"])?;
        Ok(StatementKind::Prepare { name, from: self.expression(&[], false) })
    }

    pub(super) fn execute(&mut self) -> Read<StatementKind> {
        self.expect(&["EXECUTE"])?;
        if self.take(&["IMMEDIATE"]) {
            let text = self.expression(&["USING"], false);
            return Ok(StatementKind::ExecuteImmediate { text, using: self.using() });
        }
        let name = self.identifier("a prepared statement")?;
        Ok(StatementKind::Execute { name, using: self.using() })
    }

    fn using(&mut self) -> Vec<Expression> {
        let mut using = vec![];
        if self.take(&["USING"]) {
            using.push(self.expression(&[], true));
            while self.take_token(&Token::Comma) {
                using.push(self.expression(&[], true));
            }
        }
        using
    }

    pub(super) fn deallocate(&mut self) -> Read<StatementKind> {
        self.at += 1;
        self.expect(&["PREPARE"])?;
        self.identifier("a prepared statement").map(StatementKind::Deallocate)
    }

    pub(super) fn transaction(&mut self) -> StatementKind {
        let from = self.at;
        self.at += self.leaf(&[], false);
        let span = self.span(from);
        let text = self.source.text.get(span.start + self.base..span.end + self.base).unwrap_or_default();
        StatementKind::Transaction(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// SELECT with or without INTO.
    pub(super) fn select(&mut self) -> Read<StatementKind> {
        let from = self.at;
        self.at += self.leaf(&[], false);
        let tokens = &self.tokens[from..self.at];
        let bare = without_parentheses(tokens);
        if bare.len() < tokens.len() && top_level_into(bare).is_some() {
            let (end, open) = (self.at, (tokens.len() - bare.len()) / 2);
            return self.select_into(from + open, end - open).inspect(|_| self.at = end);
        }
        match top_level_into(tokens) {
            Some(_) => self.select_into(from, self.at),
            None => self.leaf_statement(from),
        }
    }

    /// A query with INTO, which stands between two places.
    fn select_into(&mut self, from: usize, end: usize) -> Read<StatementKind> {
        let into = top_level_into(&self.tokens[from..end]).unwrap_or_default();
        self.at = from + into + 1;
        if self.sees_any(&["OUTFILE", "DUMPFILE"]) {
            return Err(Unread { position: self.position(), reason: "SELECT INTO a file is not read".to_owned() });
        }
        let targets = self.targets()?;
        let without: Vec<_> = [&self.tokens[from..from + into], &self.tokens[self.at..end]].concat();
        self.at = end;
        let query = leaf::query(&without, self.mode, self.position())?;
        Ok(StatementKind::SelectInto { query, targets })
    }

    /// `(SELECT ..) UNION ..`, `((SELECT ..))`.
    pub(super) fn sees_query_in_parentheses(&self) -> bool {
        let first = self.tokens[self.at..].iter().find(|l| l.token != Token::LParen);
        self.token(0) == Some(&Token::LParen)
            && first.is_some_and(|l| ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| l.is(word)))
    }

    /// Any other statement.
    pub(super) fn sql(&mut self) -> Read<StatementKind> {
        let from = self.at;
        if let Some(ignore) = self.ignoring_delete() {
            return Err(Unread { position: ignore, reason: "DELETE IGNORE is not read".to_owned() });
        }
        self.at += self.leaf(&[], false);
        self.leaf_statement(from)
    }

    /// Where the IGNORE of a DELETE stands. sqlparser has no place for it.
    fn ignoring_delete(&self) -> Option<super::Position> {
        let words = self.tokens[self.at..].iter().take(4).take_while(|l| !l.is("FROM"));
        words.clone().next().filter(|l| l.is("DELETE"))?;
        words.skip(1).find(|l| l.is("IGNORE")).map(|l| l.position)
    }

    fn leaf_statement(&mut self, from: usize) -> Read<StatementKind> {
        let mut tokens = self.tokens[from..self.at].to_vec();
        // DELETE a.* FROM .. is DELETE a FROM ..; sqlparser has no place for the star
        if tokens.first().is_some_and(|l| l.is("DELETE")) {
            let star = |tokens: &[Lexeme]| {
                tokens
                    .windows(2)
                    .take_while(|w| !w[0].is("WHERE") && !w[0].is("USING"))
                    .position(|w| matches!(w[0].token, Token::Period) && matches!(w[1].token, Token::Mul))
            };
            while let Some(at) = star(&tokens) {
                tokens.drain(at..at + 2);
            }
        }
        leaf::statement(&tokens, self.mode, self.position()).map(StatementKind::Sql)
    }
}

/// INTO outside of parentheses.
fn top_level_into(tokens: &[Lexeme]) -> Option<usize> {
    let mut open = 0_i64;
    tokens.iter().enumerate().position(|(n, lexeme)| {
        match lexeme.token {
            Token::LParen => open += 1,
            Token::RParen => open -= 1,
            _ => {}
        }
        open == 0
            && lexeme.is("INTO")
            && !matches!(n.checked_sub(1).and_then(|n| tokens.get(n)).map(|l| &l.token), Some(Token::Period))
    })
}

/// What stands between the parentheses that hold all of it.
fn without_parentheses(tokens: &[Lexeme]) -> &[Lexeme] {
    let [Lexeme { token: Token::LParen, .. }, inner @ .., Lexeme { token: Token::RParen, .. }] = tokens else {
        return tokens;
    };
    let mut depth = 0_i32;
    for lexeme in inner {
        depth += i32::from(lexeme.token == Token::LParen) - i32::from(lexeme.token == Token::RParen);
        if depth < 0 {
            return tokens;
        }
    }
    without_parentheses(inner)
}
