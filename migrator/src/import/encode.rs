//! Values of MySQL as fields of COPY's text format.

use domain_events_mysql::dump::{Charset, Value};
use domain_events_mysql::schema::{Column, Initial};
use domain_events_mysql::types::{self, Codec};

/// What to do with `0000-00-00` and the like, which PostgreSQL does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ZeroDates {
    /// The row goes to the reject file.
    Reject,
    /// The value becomes null.
    Null,
}

/// A column as a value is put into it.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the source.
    pub name: String,
    /// What it holds.
    pub codec: Codec,
    /// NULL is allowed.
    pub nullable: bool,
    /// What stands for a value that the source does not give.
    pub default: Option<Initial>,
    /// Character set of its text where a statement does not say.
    pub zero_dates: ZeroDates,
}

/// Why a value is rejected.
pub type Reason = String;

impl Field {
    /// Of a column of the source.
    pub fn new(column: &Column, zero_dates: ZeroDates) -> Self {
        Self {
            name: column.name.clone(),
            codec: types::postgres(column).codec,
            nullable: column.nullable,
            default: column.default.clone(),
            zero_dates,
        }
    }

    /// The value as PostgreSQL's text, into `out`; false when it is null. `zone` is what times without a zone are in.
    pub fn text(&self, value: Value<'_>, zone: &str, out: &mut Vec<u8>) -> Result<bool, Reason> {
        let known = self.plain(value, zone, out)?;
        if !known && !self.nullable {
            return Err(format!("column {} is null, and NOT NULL", self.name));
        }
        Ok(known)
    }

    /// The bytes of a value that are PostgreSQL's text as they are, but for the escapes of COPY.
    pub fn verbatim<'v>(&self, value: Value<'v>) -> Option<&'v [u8]> {
        match (self.codec, value) {
            (Codec::Text, Value::Text(bytes, Charset::Utf8)) if !bytes.contains(&0) => {
                std::str::from_utf8(bytes).is_ok().then_some(bytes)
            }
            _ => None,
        }
    }

    fn plain(&self, value: Value<'_>, zone: &str, out: &mut Vec<u8>) -> Result<bool, Reason> {
        let bad = |what: &str| Err(format!("column {}: {what}", self.name));
        match (self.codec, value) {
            (_, Value::Null) => return Ok(false),
            (_, Value::Default) => return self.initial(zone, out),
            (_, Value::Expression(text)) => {
                return bad(&format!("the value is an expression, {}", String::from_utf8_lossy(text)));
            }
            (Codec::Bytes, Value::Text(bytes, _) | Value::Binary(bytes)) => {
                out.extend_from_slice(b"\\x");
                bytes.iter().for_each(|b| out.extend_from_slice(&[hex(b >> 4), hex(b & 15)]));
            }
            (Codec::Bytes, Value::Number(text)) => {
                out.extend_from_slice(b"\\x");
                text.bytes().for_each(|b| out.extend_from_slice(&[hex(b >> 4), hex(b & 15)]));
            }
            (Codec::Bits(length), Value::Text(bytes, _) | Value::Binary(bytes)) => {
                let bits = bytes.iter().rev().flat_map(|b| (0..8).map(move |i| b >> i & 1));
                digits(length, bits, out);
            }
            (Codec::Bits(length), Value::Number(text)) => match text.parse::<u64>() {
                Ok(number) => digits(length, (0..64).map(|i| (number >> i & 1) as u8), out),
                Err(_) => return bad(&format!("{text} is no number of bits")),
            },
            (_, Value::Number(text)) => self.literal(text, zone, out)?,
            (_, Value::Binary(bytes)) => return self.decoded(bytes, Charset::Utf8, zone, out),
            (_, Value::Text(bytes, charset)) => return self.decoded(bytes, charset, zone, out),
        }
        Ok(true)
    }

    fn decoded(&self, bytes: &[u8], charset: Charset, zone: &str, out: &mut Vec<u8>) -> Result<bool, Reason> {
        match charset.decode(bytes) {
            Some(text) if self.is_zero_date(&text) => match self.zero_dates {
                ZeroDates::Null => Ok(false),
                ZeroDates::Reject => Err(format!("column {}: there is no date {text} (see --zero-dates)", self.name)),
            },
            Some(text) => self.literal(&text, zone, out).map(|()| true),
            None => Err(format!("column {}: the bytes are no text of character set {charset:?}", self.name)),
        }
    }

    fn is_zero_date(&self, text: &str) -> bool {
        matches!(self.codec, Codec::Date | Codec::DateTime | Codec::Timestamp)
            && (text.starts_with("0000-") || text.get(4..7) == Some("-00") || text.get(7..10) == Some("-00"))
    }

    fn literal(&self, text: &str, zone: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
        if text.as_bytes().contains(&0) {
            return Err(format!("column {}: PostgreSQL's text cannot hold the byte 0", self.name));
        }
        out.extend_from_slice(text.as_bytes());
        if self.codec == Codec::Timestamp {
            // +00:00 follows at once, a name after a blank
            if !zone.starts_with(['+', '-']) {
                out.push(b' ');
            }
            out.extend_from_slice(zone.as_bytes());
        }
        Ok(())
    }

    fn initial(&self, zone: &str, out: &mut Vec<u8>) -> Result<bool, Reason> {
        match &self.default {
            None | Some(Initial::Null) => Ok(false),
            Some(Initial::Text(text)) => self.decoded(text.as_bytes(), Charset::Utf8, zone, out),
            Some(Initial::Number(number)) => self.literal(number, zone, out).map(|()| true),
            Some(Initial::Bits(bits)) => {
                let length = if let Codec::Bits(length) = self.codec { length } else { bits.len() as u32 };
                digits(length, bits.bytes().rev().map(|b| b - b'0'), out);
                Ok(true)
            }
            Some(Initial::Now(_) | Initial::Expression(_)) => {
                Err(format!("column {}: the source gives no value, and the default is an expression", self.name))
            }
        }
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}

// The lowest `length` bits, from the highest; `bits` come from the lowest.
fn digits(length: u32, bits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(bits.chain(std::iter::repeat(0)).take(length as usize).map(|b| b'0' + b));
    out[start..].reverse();
}

/// A field of COPY's text format: what is special there is escaped.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\\' | b'\n' | b'\r' | b'\t')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\t",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The same in the memory that holds the text: its escapes are made from the end, and what stands behind it is lost.
pub fn escape_in_place(data: &mut Vec<u8>, field: std::ops::Range<usize>) {
    data.truncate(field.end);
    let special = |b: &u8| matches!(b, b'\\' | b'\n' | b'\r' | b'\t');
    let extra = data[field.clone()].iter().filter(|b| special(b)).count();
    data.reserve_exact(extra);
    data.resize(field.end + extra, 0);
    let (mut from, mut to) = (field.end, field.end + extra);
    while from < to {
        from -= 1;
        let letter = match data[from] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        };
        to -= 1;
        let byte = data[from];
        data[to] = letter;
        if special(&byte) {
            to -= 1;
            data[to] = b'\\';
        }
    }
}

/// NULL in COPY's text format.
pub const NULL: &[u8] = b"\\N";

#[cfg(test)]
mod tests {
    use super::*;
    use domain_events_mysql::schema::parse_type;

    fn field(kind: &str) -> Field {
        let column =
            Column { name: "c".into(), kind: parse_type(kind).expect(kind), nullable: true, ..Column::default() };
        Field::new(&column, ZeroDates::Null)
    }

    fn text(kind: &str, value: Value<'_>) -> Result<Option<String>, Reason> {
        let mut out = vec![];
        let known = field(kind).text(value, "+00:00", &mut out)?;
        Ok(known.then(|| String::from_utf8(out).expect("text")))
    }

    #[test]
    fn values_become_text() {
        let utf8 = |t: &'static str| Value::Text(t.as_bytes(), Charset::Utf8);
        for (kind, value, want) in [
            ("int", Value::Number("-5"), Some("-5")),
            ("decimal(10,2)", utf8("1.50"), Some("1.50")),
            ("varchar(9)", Value::Number("7"), Some("7")),
            ("varchar(9)", Value::Text(b"caf\xe9", Charset::Latin1), Some("caf\u{e9}")),
            ("binary(2)", Value::Text(b"\x00\xff", Charset::Utf8), Some("\\x00ff")),
            ("bit(4)", Value::Binary(&[0b101]), Some("0101")),
            ("bit(10)", Value::Binary(&[0b11, 0b1]), Some("1100000001")),
            ("bit(3)", Value::Number("5"), Some("101")),
            ("timestamp", utf8("2025-01-02 03:04:05"), Some("2025-01-02 03:04:05+00:00")),
            ("datetime", utf8("2025-01-02 03:04:05"), Some("2025-01-02 03:04:05")),
            ("datetime", utf8("0000-00-00 00:00:00"), None),
            ("date", utf8("2025-00-10"), None),
            ("int", Value::Null, None),
        ] {
            assert_eq!(text(kind, value), Ok(want.map(str::to_owned)), "{kind}");
        }
        for (kind, value) in [
            ("varchar(9)", utf8("a\0")),
            ("varchar(9)", Value::Text(b"\xff", Charset::Utf8)),
            ("timestamp", Value::Expression(b"now()")),
        ] {
            assert!(text(kind, value).is_err_and(|reason| reason.contains("column c")), "{kind}");
        }
        let strict = Field { nullable: false, zero_dates: ZeroDates::Reject, ..field("date") };
        assert!(strict.text(Value::Null, "+00", &mut vec![]).is_err());
        assert!(strict.text(utf8("0000-00-00"), "+00", &mut vec![]).is_err_and(|r| r.contains("--zero-dates")));
    }

    #[test]
    fn what_is_special_to_copy_is_escaped() {
        let mut out = vec![];
        escape(b"a\\b\tc\nd\re", &mut out);
        assert_eq!(out, b"a\\\\b\\tc\\nd\\re");
        for text in [&b"a\\b\tc\nd\re"[..], b"", b"plain", b"\\", b"\n\n\n", b"x\\"] {
            let mut escaped = vec![];
            escape(text, &mut escaped);
            let mut data = [b"before", text, b"behind"].concat();
            escape_in_place(&mut data, 6..6 + text.len());
            assert_eq!(data, [b"before", escaped.as_slice()].concat());
        }
    }
}
