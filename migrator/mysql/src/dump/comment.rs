//! Comments of a script: plain ones, and those that a server runs.

use std::io::{Read, Result};

use super::Dump;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    Line,
    Block,
}

impl<R: Read> Dump<R> {
    /// Takes a comment if one begins here.
    pub(super) fn comment(&mut self) -> Result<bool> {
        if self.versioned && self.bytes.starts_with(b"*/")? {
            self.versioned = false;
            self.bytes.take(2);
            return Ok(true);
        }
        if let Some(length) = self.versioned_opens()? {
            self.versioned = true;
            self.bytes.take(length);
            return Ok(true);
        }
        let Some(kind) = self.comment_opens()? else { return Ok(false) };
        self.through_comment(kind, |_| {})?;
        Ok(true)
    }

    /// Takes blanks and comments.
    pub(super) fn blanks(&mut self) -> Result<()> {
        while let Some(byte) = self.bytes.peek(0)? {
            if byte.is_ascii_whitespace() {
                self.newline(byte);
                self.bytes.bump();
            } else if !matches!(byte, b'-' | b'#' | b'/' | b'*') || !self.comment()? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn comment_opens(&mut self) -> Result<Option<Comment>> {
        Ok(match self.bytes.peek(0)? {
            Some(b'#') => Some(Comment::Line),
            Some(b'-') if self.bytes.peek(1)? == Some(b'-') => {
                let after = self.bytes.peek(2)?;
                let plain = after.is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control());
                (plain || self.of_liquibase()?).then_some(Comment::Line)
            }
            Some(b'/') if self.bytes.peek(1)? == Some(b'*') => Some(Comment::Block),
            _ => None,
        })
    }

    /// Comments of Liquibase have no blank behind their signs.
    pub(super) fn of_liquibase(&mut self) -> Result<bool> {
        for word in [
            &b"--liquibase "[..],
            b"--changeset ",
            b"--rollback",
            b"--preconditions",
            b"--precondition-",
            b"--comment",
            b"--property ",
        ] {
            let mut same = true;
            for (n, expected) in word.iter().enumerate() {
                same = same && self.bytes.peek(n)?.is_some_and(|b| b.eq_ignore_ascii_case(expected));
            }
            if same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn through_comment(&mut self, kind: Comment, mut each: impl FnMut(u8)) -> Result<()> {
        if kind == Comment::Block {
            each(b'/');
            each(b'*');
            self.bytes.take(2);
        }
        while let Some(byte) = self.bytes.peek(0)? {
            if kind == Comment::Line && byte == b'\n' {
                break;
            }
            if kind == Comment::Block && byte == b'*' && self.bytes.peek(1)? == Some(b'/') {
                each(b'*');
                each(b'/');
                self.bytes.take(2);
                break;
            }
            each(byte);
            self.bytes.bump();
        }
        Ok(())
    }

    // Length of `/*!50003` or `/*M!100301`; 99999 and 999999 are versions of no server, so that they stay comments.
    pub(super) fn versioned_opens(&mut self) -> Result<Option<usize>> {
        let bang = match (self.bytes.peek(0)?, self.bytes.peek(1)?, self.bytes.peek(2)?, self.bytes.peek(3)?) {
            (Some(b'/'), Some(b'*'), Some(b'!'), _) => 3,
            (Some(b'/'), Some(b'*'), Some(b'M'), Some(b'!')) => 4,
            _ => return Ok(None),
        };
        let mut digits = 0;
        while digits < 6 && self.bytes.peek(bang + digits)?.is_some_and(|b| b.is_ascii_digit()) {
            digits += 1;
        }
        // a number of less than five digits belongs to the statement
        let digits = if digits < 5 { 0 } else { digits };
        let nines = self.bytes.rest()?[bang..bang + digits].iter().all(|b| *b == b'9');
        Ok(if digits > 0 && nines { None } else { Some(bang + digits) })
    }
}
