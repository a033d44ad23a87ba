//! CREATE TRIGGER, FUNCTION, PROCEDURE and EVENT up to their bodies.

use sqlparser::tokenizer::Token;

use super::super::ast::{
    Block, DataAccess, Definer, Name, Parameter, ParameterMode, Program, ProgramKind, Routine, Statement,
    StatementKind, Timing, Trigger, TriggerEvent, TriggerOrder, Unread,
};
use super::{BadHead, Parser, Read};

impl Parser<'_> {
    /// The program that the text defines; none if it is another statement.
    pub(super) fn program(&mut self) -> Option<Result<Program, BadHead>> {
        let position = self.position();
        self.base = self.peek(0)?.start;
        if !self.take(&["CREATE"]) {
            return None;
        }
        let what = self.what_is_created()?;
        let mut name = None;
        let head = self.head(&what, &mut name);
        Some(head.map_err(|why| BadHead { what, name, why }).map(|mut program| {
            program.body = self.whole_body();
            program.position = position;
            let end = self.tokens.last().map_or(self.source.text.len(), |l| l.end);
            let end = if self.source.broken.is_some() { self.source.text.len() } else { end };
            program.text = self.source.text.get(self.base..end).unwrap_or_default().to_owned();
            program
        }))
    }

    /// TRIGGER and so on, wherever it stands after OR REPLACE, DEFINER and AGGREGATE.
    fn what_is_created(&self) -> Option<String> {
        let words = ["TRIGGER", "FUNCTION", "PROCEDURE", "EVENT"];
        let other =
            ["TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE", "PACKAGE", "UNIQUE"];
        self.tokens[self.at..]
            .iter()
            .take(16)
            .take_while(|l| l.token != Token::SemiColon && !other.iter().any(|word| l.is(word)))
            .find(|l| words.iter().any(|word| l.is(word)))
            .and_then(super::Lexeme::keyword)
    }

    fn head(&mut self, what: &str, name: &mut Option<Name>) -> Read<Program> {
        let or_replace = self.take(&["OR", "REPLACE"]);
        let definer = self.definer()?;
        let aggregate = self.take(&["AGGREGATE"]);
        self.expect(&[what])?;
        let if_not_exists = self.take(&["IF", "NOT", "EXISTS"]);
        let called = self.name("a name")?;
        *name = Some(called.clone());
        if self.mode.oracle {
            return Err(Unread {
                position: self.position(),
                reason: "sql_mode=ORACLE has another block language, which is not read".to_owned(),
            });
        }
        let kind = match what {
            "TRIGGER" => ProgramKind::Trigger(self.trigger()?),
            "EVENT" => self.event()?,
            _ => ProgramKind::Routine(self.routine(what == "FUNCTION", aggregate)?),
        };
        let body = Statement { position: self.position(), span: 0..0, kind: StatementKind::Empty };
        Ok(Program {
            position: self.position(),
            text: String::new(),
            definer,
            sql_mode: self.mode,
            or_replace,
            if_not_exists,
            name: called,
            kind,
            body,
        })
    }

    fn definer(&mut self) -> Read<Option<Definer>> {
        if !self.take(&["DEFINER"]) {
            return Ok(None);
        }
        self.take_token(&Token::Eq);
        if self.take(&["CURRENT_USER"]) || self.take(&["CURRENT_ROLE"]) {
            if self.take_token(&Token::LParen) {
                self.expect_token(&Token::RParen)?;
            }
            return Ok(Some(Definer::Current));
        }
        let user = match self.token(0) {
            Some(Token::SingleQuotedString(_)) => self.string("a user")?,
            _ => self.identifier("a user")?,
        };
        let host = match self.token(0) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.strip_prefix('@').map(str::to_owned),
            _ => None,
        };
        if host.is_some() {
            self.at += 1;
        }
        Ok(Some(Definer::Account { user, host }))
    }

    fn trigger(&mut self) -> Read<Trigger> {
        let timing = if self.take(&["BEFORE"]) {
            Timing::Before
        } else if self.take(&["AFTER"]) {
            Timing::After
        } else {
            return Err(self.expected("BEFORE or AFTER"));
        };
        let mut events = vec![];
        let mut update_of = vec![];
        loop {
            events.push(if self.take(&["INSERT"]) {
                TriggerEvent::Insert
            } else if self.take(&["UPDATE"]) {
                TriggerEvent::Update
            } else if self.take(&["DELETE"]) {
                TriggerEvent::Delete
            } else {
                return Err(self.expected("INSERT, UPDATE or DELETE"));
            });
            if self.take(&["OF"]) {
                update_of.push(self.identifier("a column")?);
                while self.take_token(&Token::Comma) {
                    update_of.push(self.identifier("a column")?);
                }
            }
            if !self.take(&["OR"]) {
                break;
            }
        }
        self.expect(&["ON"])?;
        let table = self.name("a table")?;
        self.expect(&["FOR", "EACH", "ROW"])?;
        let order = if self.take(&["FOLLOWS"]) {
            Some(TriggerOrder::Follows(self.name("a trigger")?.name))
        } else if self.take(&["PRECEDES"]) {
            Some(TriggerOrder::Precedes(self.name("a trigger")?.name))
        } else {
            None
        };
        Ok(Trigger { timing, events, update_of, table, order, action_order: None })
    }

    /// The head of an event: its schedule is of no use outside of its server.
    fn event(&mut self) -> Read<ProgramKind> {
        self.expect(&["ON", "SCHEDULE"])?;
        let to_do = self.tokens[self.at..].iter().position(|l| l.is("DO"));
        match to_do {
            Some(ahead) => {
                self.at += ahead + 1;
                Ok(ProgramKind::Event)
            }
            None => {
                self.at = self.tokens.len();
                Err(self.expected("DO"))
            }
        }
    }

    fn routine(&mut self, function: bool, aggregate: bool) -> Read<Routine> {
        let mut routine = Routine {
            returns: None,
            parameters: self.parameters()?,
            deterministic: None,
            data_access: None,
            security_invoker: false,
            aggregate,
            comment: None,
        };
        if function {
            self.expect(&["RETURNS"])?;
            routine.returns = Some(self.data_type()?);
            if self.sees(&["SONAME"]) {
                return Err(self.expected("a function in SQL, not one of a library"));
            }
        }
        while self.characteristic(&mut routine)? {}
        Ok(routine)
    }

    fn parameters(&mut self) -> Read<Vec<Parameter>> {
        let mut parameters = vec![];
        // a function of a library has none
        if self.sees(&["RETURNS"]) && self.peek(2).is_some_and(|l| l.is("SONAME")) {
            return Ok(parameters);
        }
        self.expect_token(&Token::LParen)?;
        if self.take_token(&Token::RParen) {
            return Ok(parameters);
        }
        loop {
            // a parameter may itself be called `in`, quoted
            let mode = if self.take(&["INOUT"]) {
                ParameterMode::InOut
            } else if self.take(&["OUT"]) {
                ParameterMode::Out
            } else {
                self.take(&["IN"]);
                ParameterMode::In
            };
            let name = self.identifier("a parameter")?;
            let data_type = self.data_type()?;
            let default = self.take(&["DEFAULT"]).then(|| self.expression(&[], true));
            parameters.push(Parameter { mode, name, data_type, default });
            if !self.take_token(&Token::Comma) {
                self.expect_token(&Token::RParen)?;
                return Ok(parameters);
            }
        }
    }

    /// Takes one characteristic, if there is one.
    fn characteristic(&mut self, routine: &mut Routine) -> Read<bool> {
        if self.take(&["NOT", "DETERMINISTIC"]) {
            routine.deterministic = Some(false);
        } else if self.take(&["DETERMINISTIC"]) {
            routine.deterministic = Some(true);
        } else if self.take(&["CONTAINS", "SQL"]) {
            routine.data_access = Some(DataAccess::ContainsSql);
        } else if self.take(&["NO", "SQL"]) {
            routine.data_access = Some(DataAccess::NoSql);
        } else if self.take(&["READS", "SQL", "DATA"]) {
            routine.data_access = Some(DataAccess::ReadsSqlData);
        } else if self.take(&["MODIFIES", "SQL", "DATA"]) {
            routine.data_access = Some(DataAccess::ModifiesSqlData);
        } else if self.take(&["SQL", "SECURITY", "INVOKER"]) {
            routine.security_invoker = true;
        } else if self.take(&["SQL", "SECURITY", "DEFINER"]) {
            routine.security_invoker = false;
        } else if self.take(&["COMMENT"]) {
            routine.comment = Some(self.string("a comment")?);
        } else {
            return Ok(self.take(&["LANGUAGE", "SQL"]));
        }
        Ok(true)
    }

    /// The body up to the end of the text. What stands after it is told as a statement that was not read.
    pub(super) fn whole_body(&mut self) -> Statement {
        if self.peek(0).is_none() {
            return self.unread(self.at, self.expected("a body"));
        }
        let body = self.statement();
        while self.take_token(&Token::SemiColon) {}
        let said = self.said_of_end || matches!(&body.kind, StatementKind::Unread { .. });
        if self.peek(0).is_none() && (said || self.source.broken.is_none()) {
            return body;
        }
        let why = self.expected("the end of the program");
        let bad = self.at;
        self.at = self.tokens.len();
        let rest = self.unread(bad, why);
        let span = body.span.start..rest.span.end.max(body.span.end);
        let position = body.position;
        let block = Block { label: None, declarations: vec![], body: vec![body, rest] };
        Statement { position, span, kind: StatementKind::Block(block) }
    }
}
