//! Character sets of the text of a dump.

/// Character set of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// utf8, utf8mb3, utf8mb4, ascii.
    Utf8,
    /// latin1, which is cp1252 in MySQL.
    Latin1,
    /// Bytes.
    Binary,
    /// One that this tool does not decode.
    Other,
}

impl Charset {
    /// By MySQL's name.
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf8mb3" | "utf8mb4" | "ascii" => Self::Utf8,
            "latin1" => Self::Latin1,
            "binary" => Self::Binary,
            _ => Self::Other,
        }
    }

    /// The text; none when the bytes are no text of this character set.
    pub fn decode(self, bytes: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Latin1 if !bytes.is_ascii() => Some(bytes.iter().map(|b| cp1252(*b)).collect()),
            Self::Latin1 | Self::Utf8 | Self::Binary => std::str::from_utf8(bytes).ok().map(Into::into),
            Self::Other => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes)),
        }
    }
}

/// MySQL's latin1: cp1252, whose five holes are the control characters of ISO 8859-1.
fn cp1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
        '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::Charset;

    #[test]
    fn latin1_is_cp1252() {
        assert_eq!(Charset::Latin1.decode(b"caf\xe9 \x80").as_deref(), Some("caf\u{e9} \u{20ac}"));
        assert_eq!(Charset::Utf8.decode(b"caf\xe9"), None);
        assert_eq!(Charset::Other.decode(b"\xe9"), None);
        assert_eq!(Charset::named("UTF8MB4"), Charset::Utf8);
    }
}
