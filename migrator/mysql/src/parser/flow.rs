//! IF, CASE and the loops.

use sqlparser::tokenizer::Token;

use super::super::ast::{Branch, Expression, ForRange, Statement, StatementKind};
use super::super::leaf;
use super::{Parser, Read};

impl Parser<'_> {
    pub(super) fn if_(&mut self) -> Read<StatementKind> {
        self.expect(&["IF"])?;
        let mut branches = vec![self.branch("THEN", &["ELSEIF", "ELSE", "END"])?];
        while self.take(&["ELSEIF"]) {
            branches.push(self.branch("THEN", &["ELSEIF", "ELSE", "END"])?);
        }
        let otherwise = self.otherwise(&mut branches, "IF");
        Ok(StatementKind::If { branches, otherwise })
    }

    pub(super) fn case(&mut self) -> Read<StatementKind> {
        self.expect(&["CASE"])?;
        let operand = (!self.sees(&["WHEN"])).then(|| self.expression(&["WHEN"], false));
        if !self.sees(&["WHEN"]) {
            return Err(self.expected("WHEN"));
        }
        let mut branches = vec![];
        while self.take(&["WHEN"]) {
            branches.push(self.branch("THEN", &["WHEN", "ELSE", "END"])?);
        }
        let otherwise = self.otherwise(&mut branches, "CASE");
        Ok(StatementKind::Case { operand, branches, otherwise })
    }

    /// A condition, THEN, and what follows up to one of the words.
    fn branch(&mut self, then: &str, ends: &[&str]) -> Read<Branch> {
        let condition = self.expression(&[then], false);
        self.expect(&[then])?;
        Ok(Branch { condition, body: self.statements(ends) })
    }

    /// ELSE and the END, whose absence is said after the last statement.
    fn otherwise(&mut self, branches: &mut [Branch], end: &str) -> Option<Vec<Statement>> {
        let mut otherwise = self.take(&["ELSE"]).then(|| self.statements(&["END"]));
        let last = match (&mut otherwise, branches.last_mut()) {
            (Some(last), _) => last,
            (None, Some(branch)) => &mut branch.body,
            (None, None) => return None,
        };
        self.end(&["END", end], last);
        otherwise
    }

    pub(super) fn loop_(&mut self, label: Option<String>) -> Read<StatementKind> {
        self.expect(&["LOOP"])?;
        let mut body = self.statements(&["END"]);
        self.end(&["END", "LOOP"], &mut body);
        self.end_label(label.as_ref());
        Ok(StatementKind::Loop { label, body })
    }

    pub(super) fn while_(&mut self, label: Option<String>) -> Read<StatementKind> {
        self.expect(&["WHILE"])?;
        let condition = self.expression(&["DO"], false);
        self.expect(&["DO"])?;
        let mut body = self.statements(&["END"]);
        self.end(&["END", "WHILE"], &mut body);
        self.end_label(label.as_ref());
        Ok(StatementKind::While { label, condition, body })
    }

    pub(super) fn repeat(&mut self, label: Option<String>) -> Read<StatementKind> {
        self.expect(&["REPEAT"])?;
        let mut body = self.statements(&["UNTIL", "END"]);
        let until = match self.expect(&["UNTIL"]) {
            Ok(()) => self.expression(&["END"], false),
            Err(why) => Expression { position: why.position, span: self.span(self.at), tree: Err(why) },
        };
        self.end(&["END", "REPEAT"], &mut body);
        self.end_label(label.as_ref());
        Ok(StatementKind::Repeat { label, body, until })
    }

    pub(super) fn for_(&mut self, label: Option<String>) -> Read<StatementKind> {
        self.expect(&["FOR"])?;
        let variable = self.identifier("a variable")?;
        self.expect(&["IN"])?;
        let over = self.for_range()?;
        self.expect(&["DO"])?;
        let mut body = self.statements(&["END"]);
        self.end(&["END", "FOR"], &mut body);
        self.end_label(label.as_ref());
        Ok(StatementKind::For { label, variable, over, body })
    }

    fn for_range(&mut self) -> Read<ForRange> {
        let reverse = self.take(&["REVERSE"]);
        let from = self.at;
        let to = from + self.leaf(&["DO"], false);
        let dots = self.tokens[from..to].windows(2).position(|pair| pair.iter().all(|l| l.token == Token::Period));
        if let Some(dots) = dots {
            let (first, last) = (from + dots, from + dots + 2);
            let numbers = |parser: &mut Self, from: usize, to: usize| {
                parser.at = to;
                let position = parser.tokens.get(from).map_or_else(|| parser.position(), |l| l.position);
                let tree = leaf::expression(&parser.tokens[from..to], parser.mode, parser.position());
                Expression { position, span: parser.span(from), tree }
            };
            let from = numbers(self, from, first);
            let to = numbers(self, last, to);
            return Ok(ForRange::Numbers { reverse, from, to });
        }
        if self.token(0) == Some(&Token::LParen) {
            self.at = to;
            let query = leaf::query(&self.tokens[from..to], self.mode, self.position())?;
            return Ok(ForRange::Query(query));
        }
        let name = self.identifier("a cursor, a query in parentheses or a range of numbers")?;
        Ok(ForRange::Cursor { name, arguments: self.arguments()? })
    }
}
