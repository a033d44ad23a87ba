//! Functions of texts and bytes.

use super::super::Translator;
use super::super::compare::lower;
use super::super::helpers::Helper;
use super::super::value::{Collation, Sql, Ty};
use super::Call;

impl Translator<'_> {
    pub(in super::super) fn text_function(&mut self, it: &Call<'_>, args: &[Sql]) -> Option<Sql> {
        Some(match (it.name.as_str(), args) {
            ("CONCAT", parts) => self.concat(parts),
            ("CONCAT_WS", [separator, parts @ ..]) => {
                let mut texts = vec![self.text(separator)];
                texts.extend(parts.iter().map(|p| self.text(p)));
                self.plain("concat_ws", &texts, Ty::Text)
            }
            ("LOWER" | "LCASE", [value]) => self.of_text("lower", value),
            ("UPPER" | "UCASE", [value]) => self.of_text("upper", value),
            ("TRIM", [value]) => self.of_text("trim", value),
            ("LTRIM", [value]) => self.of_text("ltrim", value),
            ("RTRIM", [value]) => self.of_text("rtrim", value),
            ("REVERSE", [value]) => self.of_text("reverse", value),
            ("LENGTH" | "OCTET_LENGTH", [value]) => match value.ty {
                Ty::Bytes => self.plain("octet_length", args, Ty::Int),
                _ => {
                    let text = self.text(value);
                    self.plain("octet_length", &[text], Ty::Int)
                }
            },
            ("CHAR_LENGTH" | "CHARACTER_LENGTH", [value]) => {
                let text = self.text(value);
                self.plain("char_length", &[text], Ty::Int)
            }
            ("BIT_LENGTH", [value]) => {
                let text = self.text(value);
                self.plain("bit_length", &[text], Ty::Int)
            }
            ("LEFT" | "RIGHT", [value, n]) => {
                let text = self.text(value);
                let n = self.integer(n);
                // a negative number cuts from the other end in PostgreSQL
                let n = if n.integer().is_some_and(|n| n >= 0) { n.text } else { format!("greatest({}, 0)", n.text) };
                Sql::atom(format!("{}({}, {n})", it.name.to_lowercase(), text.text), Ty::Text)
            }
            ("SUBSTRING" | "SUBSTR" | "MID", [value, from]) => self.substring(value, Some(from), None),
            ("SUBSTRING" | "SUBSTR" | "MID", [value, from, length]) => self.substring(value, Some(from), Some(length)),
            ("SUBSTRING_INDEX", [value, delimiter, n]) => self.substring_index(value, delimiter, n, &it.whole),
            ("LPAD" | "RPAD", [value, n, pad]) => {
                let (text, pad) = (self.text(value), self.text(pad));
                let n = self.integer(n);
                Sql::atom(format!("{}({}, {}, {})", it.name.to_lowercase(), text.text, n.text, pad.text), Ty::Text)
            }
            ("REPEAT", [value, n]) => {
                let text = self.text(value);
                let n = self.integer(n);
                Sql::atom(format!("repeat({}, {})", text.text, n.text), Ty::Text)
            }
            ("SPACE", [n]) => {
                let n = self.integer(n);
                Sql::atom(format!("repeat(' ', {})", n.text), Ty::Text)
            }
            ("REPLACE", [value, from, to]) => {
                let texts: Vec<Sql> = [value, from, to].map(|t| self.text(t)).to_vec();
                self.plain("replace", &texts, Ty::Text)
            }
            ("INSERT", [value, from, length, new]) => {
                let (text, new) = (self.text(value), self.text(new));
                let (from, length) = (self.integer(from), self.integer(length));
                if from.integer().is_none_or(|n| n < 1) || length.integer().is_none_or(|n| n < 0) {
                    return Some(self.refuse(&it.whole, "the position and the length must be positive constants"));
                }
                let overlay =
                    format!("overlay({} placing {} from {} for {})", text.text, new.text, from.text, length.text);
                let outside = format!("char_length({}) < {}", text.text, from.text);
                Sql::atom(format!("case when {outside} then {} else {overlay} end", text.text), Ty::Text)
            }
            ("LOCATE", [needle, text]) | ("INSTR", [text, needle]) => self.position(needle, text),
            ("LOCATE", [needle, text, from]) => {
                let from = self.integer(from);
                let rest = self.substring(text, Some(&from), None);
                let found = self.position(needle, &rest);
                Sql::atom(
                    format!("case when {0} > 0 then {0} + {1} - 1 else {0} end", found.operand(), from.operand()),
                    Ty::Int,
                )
            }
            ("FIND_IN_SET", [needle, set]) => {
                let (needle, set) = (self.text(needle), self.text(set));
                let exact = needle.collation == Collation::Exact || set.collation == Collation::Exact;
                let (needle, set) = if exact { (needle, set) } else { (lower(&needle), lower(&set)) };
                let place = format!("coalesce(array_position(string_to_array({}, ','), {}), 0)", set.text, needle.text);
                Sql::atom(
                    format!(
                        "case when {} is not null and {} is not null then {place} end",
                        needle.operand(),
                        set.operand()
                    ),
                    Ty::Int,
                )
            }
            ("STRCMP", [a, b]) => {
                let (a, b) = (self.text(a), self.text(b));
                let (a, b) = self.texts(&a, &b);
                let (a, b) = (a.operand(), b.operand());
                Sql::atom(
                    format!("case when {a} = {b} then 0 when {a} < {b} then -1 when {a} > {b} then 1 end"),
                    Ty::Int,
                )
            }
            ("ASCII" | "ORD", [value]) => {
                if it.name == "ORD" {
                    self.declare("ORD", "the code point of the character; MySQL gives its bytes as a number");
                }
                self.of_text("ascii", value).with(Ty::Int)
            }
            ("CHAR", [code]) if code.integer().is_some_and(|n| n > 0) => {
                Sql::atom(format!("chr({})", code.text), Ty::Text)
            }
            ("HEX", [value]) => match value.ty {
                Ty::Int => Sql::atom(format!("upper(to_hex({}::bigint))", value.operand()), Ty::Text),
                Ty::Bytes => Sql::atom(format!("upper(encode({}, 'hex'))", value.text), Ty::Text),
                Ty::Uuid => Sql::atom(format!("upper(encode(uuid_send({}), 'hex'))", value.text), Ty::Text),
                _ => {
                    let text = self.text(value);
                    Sql::atom(format!("upper(encode(convert_to({}, 'UTF8'), 'hex'))", text.text), Ty::Text)
                }
            },
            ("UNHEX", [value]) => {
                let text = self.text(value);
                if text.literal.is_none() && !text.text.starts_with("replace(") {
                    self.declare("UNHEX", "what is no hexadecimal text is an error, not NULL");
                }
                Sql::atom(format!("decode({}, 'hex')", text.text), Ty::Bytes)
            }
            ("MD5", [value]) => match value.ty {
                Ty::Bytes => self.plain("md5", args, Ty::Text),
                _ => self.of_text("md5", value),
            },
            ("SHA2", [value, bits]) => {
                let name = match bits.integer() {
                    Some(0 | 256) => "sha256",
                    Some(224) => "sha224",
                    Some(384) => "sha384",
                    Some(512) => "sha512",
                    _ => return Some(self.refuse(&it.whole, "the length must be 224, 256, 384, 512 or 0")),
                };
                let bytes = match value.ty {
                    Ty::Bytes => value.text.clone(),
                    _ => format!("convert_to({}, 'UTF8')", self.text(value).text),
                };
                Sql::atom(format!("encode({name}({bytes}), 'hex')"), Ty::Text)
            }
            ("SHA1" | "SHA", [_]) => {
                self.refuse(&it.whole, "PostgreSQL has SHA-1 in extension pgcrypto only: digest(.., 'sha1')")
            }
            ("TO_BASE64", [value]) => {
                let bytes = match value.ty {
                    Ty::Bytes => value.text.clone(),
                    _ => format!("convert_to({}, 'UTF8')", self.text(value).text),
                };
                Sql::atom(format!("encode({bytes}, 'base64')"), Ty::Text)
            }
            ("FROM_BASE64", [value]) => {
                let text = self.text(value);
                Sql::atom(format!("decode({}, 'base64')", text.text), Ty::Bytes)
            }
            ("QUOTE", [value]) => {
                self.declare("QUOTE", "quoted by PostgreSQL's rules");
                self.of_text("quote_nullable", value)
            }
            ("REGEXP_REPLACE", [value, pattern, by]) => {
                self.declare("REGEXP", "the pattern is read by PostgreSQL's rules, which differ in details");
                let texts: Vec<String> = [value, pattern, by].iter().map(|t| self.text(t).text).collect();
                Sql::atom(format!("regexp_replace({}, 'gi')", texts.join(", ")), Ty::Text)
            }
            ("UUID", []) => {
                self.declare("UUID()", "a random UUID (version 4); MySQL's is made of the time (version 1)");
                Sql::atom("gen_random_uuid()", Ty::Uuid)
            }
            ("UUID_TO_BIN", [value]) => self.uuid_bytes(value),
            ("UUID_TO_BIN", [value, swap]) => match swap.integer() {
                Some(0) => self.uuid_bytes(value),
                Some(1) => {
                    let uuid = self.uuid(value);
                    self.help(Helper::UuidSwap, &[uuid.text], Ty::Bytes)
                }
                _ => self.refuse(&it.whole, "the second argument must be 0 or 1"),
            },
            ("BIN_TO_UUID", [value]) => match value.ty {
                Ty::Uuid => value.cast("text", Ty::Text),
                _ => Sql::atom(format!("encode({}, 'hex')::uuid::text", value.text), Ty::Text),
            },
            ("BIN_TO_UUID", [value, swap]) => {
                let bytes =
                    if value.ty == Ty::Uuid { format!("uuid_send({})", value.text) } else { value.text.clone() };
                match swap.integer() {
                    Some(0) => Sql::atom(format!("encode({bytes}, 'hex')::uuid::text"), Ty::Text),
                    Some(1) => self.help(Helper::UuidUnswap, &[bytes], Ty::Text),
                    _ => self.refuse(&it.whole, "the second argument must be 0 or 1"),
                }
            }
            ("IS_UUID", [value]) => {
                let text = self.text(value);
                let pattern = "'^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$'";
                Sql::compound(format!("{} ~* {pattern}", text.operand()), Ty::Bool)
            }
            ("UUID_SHORT", []) => self.refuse(&it.whole, "PostgreSQL has no such number; a sequence may stand for it"),
            (
                "INET_NTOA" | "INET_ATON" | "SOUNDEX" | "CRC32" | "COMPRESS" | "UNCOMPRESS" | "AES_ENCRYPT"
                | "AES_DECRYPT",
                _,
            ) => self.refuse(&it.whole, "PostgreSQL has no such function built in"),
            _ => return None,
        })
    }

    fn of_text(&mut self, name: &str, value: &Sql) -> Sql {
        let text = self.text(value);
        Sql { collation: text.collation, ..Sql::atom(format!("{name}({})", text.text), Ty::Text) }
    }

    fn uuid(&mut self, value: &Sql) -> Sql {
        if value.ty == Ty::Uuid { value.clone() } else { value.cast("uuid", Ty::Uuid) }
    }

    fn uuid_bytes(&mut self, value: &Sql) -> Sql {
        let uuid = self.uuid(value);
        Sql::atom(format!("uuid_send({})", uuid.text), Ty::Bytes)
    }

    /// SUBSTRING: a negative position counts from the end, position 0 gives nothing.
    pub(in super::super) fn substring(&mut self, value: &Sql, from: Option<&Sql>, length: Option<&Sql>) -> Sql {
        let text = self.text(value);
        let from = match from {
            Some(from) => self.integer(from),
            None => Sql { literal: Some("1".into()), ..Sql::atom("1", Ty::Int) },
        };
        let length = length.map(|l| self.integer(l));
        let constant = length.as_ref().is_none_or(|l| l.integer().is_some_and(|n| n >= 0));
        match from.integer() {
            Some(n) if n > 0 && constant => match length {
                Some(length) => Sql::atom(format!("substr({}, {n}, {})", text.text, length.text), Ty::Text),
                None => Sql::atom(format!("substr({}, {n})", text.text), Ty::Text),
            },
            _ => {
                let length = length.map_or("2147483647".to_owned(), |l| l.text);
                self.help(Helper::Substr, &[text.text, from.text, length], Ty::Text)
            }
        }
        .like(value)
    }

    /// The place of a text in another, from 1; 0 if it is not there.
    pub(in super::super) fn position(&mut self, needle: &Sql, text: &Sql) -> Sql {
        let (needle, text) = (self.text(needle), self.text(text));
        let exact = needle.collation == Collation::Exact || text.collation == Collation::Exact;
        let caseless = needle.literal.as_deref().is_some_and(|l| !l.chars().any(char::is_alphabetic));
        if exact || caseless {
            return Sql::atom(format!("strpos({}, {})", text.text, needle.text), Ty::Int);
        }
        Sql::atom(format!("strpos({}, {})", lower(&text).text, lower(&needle).text), Ty::Int)
    }

    fn substring_index(&mut self, value: &Sql, delimiter: &Sql, n: &Sql, whole: &str) -> Sql {
        let (text, delimiter) = (self.text(value), self.text(delimiter));
        let (t, d) = (&text.text, &delimiter.text);
        match n.integer() {
            Some(0) => Sql::atom(format!("left({t}, 0)"), Ty::Text),
            Some(1) => Sql::atom(format!("split_part({t}, {d}, 1)"), Ty::Text),
            Some(n) if n > 0 => {
                Sql::atom(format!("array_to_string((string_to_array({t}, {d}))[1:{n}], {d})"), Ty::Text)
            }
            // from the end; split_part takes a negative number from version 14 on only
            Some(-1) => Sql::atom(format!("reverse(split_part(reverse({t}), reverse({d}), 1))"), Ty::Text),
            Some(n) => Sql::atom(
                format!(
                    "reverse(array_to_string((string_to_array(reverse({t}), reverse({d})))[1:{}], reverse({d})))",
                    -n
                ),
                Ty::Text,
            ),
            None => self.refuse(whole, "the count must be a constant"),
        }
    }
}

impl Sql {
    /// The same of another type.
    pub(super) fn with(self, ty: Ty) -> Sql {
        Sql { ty, ..self }
    }

    /// The same, compared as another.
    pub(super) fn like(self, other: &Sql) -> Sql {
        Sql { collation: other.collation, ..self }
    }
}
