//! JSON as jsonb prints it, so that both sides of an import can be compared.

/// The text of jsonb for a JSON text; none if it is no JSON.
pub fn canonical(text: &str) -> Option<String> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0, zeros: 0 };
    let mut out = String::with_capacity(text.len() + 16);
    reader.value(&mut out, 0)?;
    reader.blanks();
    (reader.at == reader.bytes.len()).then_some(out)
}

/// More digits than any dump of the store could hold beside the rest.
const MOST_ZEROS: u64 = 200_000_000;

/// Deeper than anybody writes, and no danger to the stack.
const DEEPEST: u32 = 500;

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    /// Digits that exponents stand for.
    zeros: u64,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn sign(&mut self, sign: u8) -> bool {
        self.blanks();
        let there = self.bytes.get(self.at) == Some(&sign);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, out: &mut String, depth: u32) -> Option<()> {
        self.blanks();
        if depth > DEEPEST {
            return None;
        }
        match *self.bytes.get(self.at)? {
            b'{' => self.object(out, depth),
            b'[' => {
                self.at += 1;
                out.push('[');
                if !self.sign(b']') {
                    loop {
                        self.value(out, depth + 1)?;
                        if self.sign(b']') {
                            break;
                        }
                        self.sign(b',').then(|| out.push_str(", "))?;
                    }
                }
                out.push(']');
                Some(())
            }
            b'"' => {
                let string = self.string()?;
                quote(&string, out);
                Some(())
            }
            b'-' | b'0'..=b'9' => self.number(out),
            _ => {
                let word =
                    ["true", "false", "null"].into_iter().find(|w| self.bytes[self.at..].starts_with(w.as_bytes()))?;
                self.at += word.len();
                out.push_str(word);
                Some(())
            }
        }
    }

    // Keys by length, then bytes; of doubled ones the last.
    fn object(&mut self, out: &mut String, depth: u32) -> Option<()> {
        self.at += 1;
        let mut pairs: Vec<(String, String)> = vec![];
        if !self.sign(b'}') {
            loop {
                self.blanks();
                let key = self.string()?;
                self.sign(b':').then_some(())?;
                let mut value = String::new();
                self.value(&mut value, depth + 1)?;
                pairs.push((key, value));
                if self.sign(b'}') {
                    break;
                }
                self.sign(b',').then_some(())?;
            }
        }
        pairs.reverse();
        pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes())));
        pairs.dedup_by(|(a, _), (b, _)| a == b);
        out.push('{');
        for (i, (key, value)) in pairs.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            quote(key, out);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\') || *b < 0x20)?;
            string.push_str(self.text.get(self.at..self.at + plain)?);
            self.at += plain + 1;
            match rest[plain] {
                b'"' => return Some(string),
                b'\\' => {
                    let escaped = *self.bytes.get(self.at)?;
                    self.at += 1;
                    string.push(match escaped {
                        b'"' | b'\\' | b'/' => char::from(escaped),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.unicode()?,
                        _ => return None,
                    });
                }
                _ => return None,
            }
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            // jsonb cannot hold it
            return char::from_u32(first).filter(|c| *c != '\0');
        }
        self.text.get(self.at..self.at + 2).filter(|t| *t == "\\u")?;
        self.at += 2;
        let second = self.hex().filter(|s| (0xdc00..0xe000).contains(s))?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    // As numeric prints it: no exponent, as many digits after the point as were written.
    fn number(&mut self, out: &mut String) -> Option<()> {
        let negative = self.sign(b'-');
        let whole = self.digits();
        if whole.is_empty() || whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let mut fraction = String::new();
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            fraction = self.digits();
            (!fraction.is_empty()).then_some(())?;
        }
        let mut exponent = 0i64;
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.bytes.get(self.at) == Some(&b'-');
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'-' | b'+')));
            exponent = self.digits().parse().ok()?;
            exponent = if minus { -exponent } else { exponent };
        }
        self.zeros += exponent.unsigned_abs();
        if exponent.abs() > 100_000 || self.zeros > MOST_ZEROS {
            return None;
        }
        let point = whole.len() as i64 + exponent;
        let mut digits = format!("{whole}{fraction}");
        let scale = (fraction.len() as i64 - exponent).max(0) as usize;
        let mut integer = if point <= 0 {
            digits.insert_str(0, &"0".repeat((-point) as usize));
            "0".to_owned()
        } else {
            while (digits.len() as i64) < point {
                digits.push('0');
            }
            let rest = digits.split_off(point as usize);
            std::mem::replace(&mut digits, rest)
        };
        let zeros = integer.len() - integer.trim_start_matches('0').len();
        integer.drain(..zeros.min(integer.len() - 1));
        let nothing = integer == "0" && digits.bytes().all(|b| b == b'0');
        if negative && !nothing {
            out.push('-');
        }
        out.push_str(&integer);
        if scale > 0 {
            out.push('.');
            out.push_str(&digits[..scale.min(digits.len())]);
        }
        Some(())
    }

    fn digits(&mut self) -> String {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let digits = self.text[self.at..self.at + length].to_owned();
        self.at += length;
        digits
    }
}

/// A JSON string as jsonb prints it.
pub fn quote(string: &str, out: &mut String) {
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn as_jsonb_prints_it() {
        for (text, want) in [
            (r#"{"bb":1,"a":[1,2.50,-0,1e3,1.5E-3,-0.0,12e-1],"a":null}"#, r#"{"a": null, "bb": 1}"#),
            (r#" [1,2.50,-0,1e3,1.5E-3,-0.0,12e-1,100e-2,0e5] "#, "[1, 2.50, 0, 1000, 0.0015, 0.0, 1.2, 1.00, 0]"),
            (r#""\u00e9\ud83d\ude00\/\u001f\"""#, "\"\u{e9}\u{1f600}/\\u001f\\\"\""),
            ("{}", "{}"),
            ("[]", "[]"),
            ("true", "true"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(want), "{text}");
        }
        for text in ["", "{", "[1,]", "01", "1.", "nul", r#""\u0000""#, r#""\ud800""#, "{} x", "\"\n\"", "{\"a\" 1}"] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical(&format!("[{}1]", "0e-100000,".repeat(2001))), None);
    }
}
