//! A translated expression with what MySQL takes it for: MySQL converts between types without a word, PostgreSQL does not.

use sqlparser::ast::{DataType, ExactNumberInfo};

/// What MySQL takes a value for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// The constant NULL.
    Null,
    /// A whole number.
    Int,
    /// An exact number, with its digits after the point if they are known.
    Decimal(Option<u32>),
    /// A floating number.
    Double,
    /// A text.
    Text,
    /// A condition; MySQL sees 0 or 1, PostgreSQL a boolean.
    Bool,
    /// A date.
    Date,
    /// A date with a time, and its digits of a second.
    DateTime(u32),
    /// A time, and its digits of a second.
    Time(u32),
    /// JSON.
    Json,
    /// Bytes.
    Bytes,
    /// A column or value of type uuid.
    Uuid,
    /// What INTERVAL gives.
    Interval,
    /// Not known.
    Unknown,
}

impl Ty {
    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Ty::Int | Ty::Decimal(_) | Ty::Double)
    }

    /// Whether it is a point in time.
    pub fn is_time(self) -> bool {
        matches!(self, Ty::Date | Ty::DateTime(_) | Ty::Time(_))
    }
}

/// How texts compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collation {
    /// As the other side does.
    Neutral,
    /// Without regard to case, as MySQL does by default.
    Insensitive,
    /// By code points: a `_bin` or `_cs` collation, or text out of JSON.
    Exact,
}

/// A translated expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    /// PostgreSQL's text.
    pub text: String,
    /// What MySQL takes it for.
    pub ty: Ty,
    /// How it compares.
    pub collation: Collation,
    /// Needs no parentheses as an operand.
    pub atom: bool,
    /// The string of a string constant, or the digits of a number.
    pub literal: Option<String>,
    /// Read from a setting of the session.
    pub setting: bool,
    /// A column of a table that is queried: wrapping it would keep indexes from being used.
    pub indexed: bool,
    /// UNSIGNED: MySQL refuses a negative result.
    pub unsigned: bool,
    /// An ENUM or SET, whose value as a number is not that of its text.
    pub listed: bool,
    /// The same as a condition, where the column is a boolean in PostgreSQL.
    pub truth: Option<String>,
    /// The name of PostgreSQL's type, if it is a column or variable.
    pub postgres: Option<String>,
}

impl Sql {
    /// Something that needs no parentheses.
    pub fn atom(text: impl Into<String>, ty: Ty) -> Self {
        Self {
            text: text.into(),
            ty,
            collation: Collation::Neutral,
            atom: true,
            literal: None,
            setting: false,
            indexed: false,
            unsigned: false,
            listed: false,
            truth: None,
            postgres: None,
        }
    }

    /// Something that is put into parentheses where it is an operand.
    pub fn compound(text: impl Into<String>, ty: Ty) -> Self {
        Self { atom: false, ..Self::atom(text, ty) }
    }

    /// A string constant.
    pub fn string(value: &str) -> Self {
        Self { literal: Some(value.to_owned()), ..Self::atom(literal(value), Ty::Text) }
    }

    /// NULL.
    pub fn null() -> Self {
        Self::atom("null", Ty::Null)
    }

    /// As an operand.
    pub fn operand(&self) -> String {
        if self.atom { self.text.clone() } else { format!("({})", self.text) }
    }

    /// With a cast.
    pub fn cast(&self, to: &str, ty: Ty) -> Self {
        Self { collation: self.collation, indexed: self.indexed, ..Self::atom(format!("{}::{to}", self.operand()), ty) }
    }

    /// The string of a string constant.
    pub fn constant(&self) -> Option<&str> {
        self.literal.as_deref().filter(|_| self.ty == Ty::Text)
    }

    /// The value of an integer constant.
    pub fn integer(&self) -> Option<i64> {
        self.literal.as_deref().filter(|_| self.ty == Ty::Int).and_then(|l| l.parse().ok())
    }
}

/// A quoted literal of one line: the text is indented later. A backslash alone stays one, as `standard_conforming_strings` is on.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if !quoted.contains(char::is_control) {
        return format!("'{quoted}'");
    }
    let mut escaped = String::from("E'");
    for c in quoted.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped.push('\'');
    escaped
}

/// What a type is to MySQL, and PostgreSQL's type for a variable of it.
pub fn of_type(data_type: &DataType) -> Option<(Ty, String)> {
    use DataType as D;
    let text = |length: &Option<sqlparser::ast::CharacterLength>| match length {
        Some(sqlparser::ast::CharacterLength::IntegerLength { length, .. }) => (Ty::Text, format!("varchar({length})")),
        _ => (Ty::Text, "text".to_owned()),
    };
    Some(match data_type {
        D::TinyInt(_)
        | D::SmallInt(_)
        | D::Int2(_)
        | D::MediumInt(_)
        | D::Int(_)
        | D::Int4(_)
        | D::Integer(_)
        | D::Bool
        | D::Boolean
        | D::TinyIntUnsigned(_)
        | D::SmallIntUnsigned(_)
        | D::Int2Unsigned(_)
        | D::MediumIntUnsigned(_) => (Ty::Int, "integer".into()),
        D::BigInt(_)
        | D::Int8(_)
        | D::IntUnsigned(_)
        | D::Int4Unsigned(_)
        | D::IntegerUnsigned(_)
        | D::BigIntUnsigned(_)
        | D::Int8Unsigned(_)
        | D::Signed
        | D::SignedInteger
        | D::Unsigned
        | D::UnsignedInteger
        | D::Bit(_) => (Ty::Int, "bigint".into()),
        D::Numeric(n) | D::Decimal(n) | D::Dec(n) | D::DecimalUnsigned(n) | D::DecUnsigned(n) => {
            let (precision, scale) = digits(n);
            (Ty::Decimal(Some(scale)), format!("numeric({precision},{scale})"))
        }
        D::Float(_)
        | D::FloatUnsigned(_)
        | D::Real
        | D::RealUnsigned
        | D::Double(_)
        | D::DoubleUnsigned(_)
        | D::DoublePrecision
        | D::DoublePrecisionUnsigned
        | D::Float4
        | D::Float8 => (Ty::Double, "double precision".into()),
        D::Char(l) | D::Character(l) | D::Varchar(l) | D::CharacterVarying(l) | D::CharVarying(l) | D::Nvarchar(l) => {
            text(l)
        }
        D::Text | D::TinyText | D::MediumText | D::LongText | D::String(_) | D::Enum(..) | D::Set(_) => {
            (Ty::Text, "text".into())
        }
        D::Binary(_) | D::Varbinary(_) | D::Blob(_) | D::TinyBlob | D::MediumBlob | D::LongBlob | D::Bytes(_) => {
            (Ty::Bytes, "bytea".into())
        }
        D::Date => (Ty::Date, "date".into()),
        D::Datetime(n) | D::Timestamp(n, _) => {
            let n = small(*n);
            (Ty::DateTime(n), format!("timestamp({n})"))
        }
        D::Time(n, _) => {
            let n = small(*n);
            (Ty::Time(n), format!("time({n})"))
        }
        D::JSON | D::JSONB => (Ty::Json, "jsonb".into()),
        D::Uuid => (Ty::Uuid, "uuid".into()),
        D::Custom(name, _) => match name.to_string().to_uppercase().as_str() {
            "YEAR" | "INT1" | "INT3" | "MIDDLEINT" | "SERIAL" => (Ty::Int, "bigint".into()),
            "FIXED" => (Ty::Decimal(Some(0)), "numeric".into()),
            "LONG" => (Ty::Text, "text".into()),
            "INET6" | "INET4" => (Ty::Text, "inet".into()),
            _ => return None,
        },
        _ => return None,
    })
}

fn small(digits: Option<u64>) -> u32 {
    digits.and_then(|d| u32::try_from(d).ok()).unwrap_or(0).min(6)
}

/// Precision and scale of DECIMAL; (10, 0) if not written.
pub fn digits(info: &ExactNumberInfo) -> (u64, u32) {
    match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, u32::try_from(*s).unwrap_or(0)),
    }
}

/// What a column of PostgreSQL's type is, when nothing else is known.
pub fn of_postgres(data_type: &str) -> Ty {
    let base = data_type.split('(').next().unwrap_or_default().trim();
    let fraction = || {
        let digits = data_type.split('(').nth(1).and_then(|r| r.split(')').next()).and_then(|n| n.parse().ok());
        digits.unwrap_or(6)
    };
    match base {
        "smallint" | "integer" | "bigint" | "boolean" => Ty::Int,
        "numeric" => {
            let scale = data_type.split(',').nth(1).and_then(|s| s.trim_end_matches(')').trim().parse().ok());
            Ty::Decimal(scale.or(data_type.contains('(').then_some(0)))
        }
        "real" | "double precision" => Ty::Double,
        "text" | "character varying" | "varchar" | "character" | "bpchar" | "citext" => Ty::Text,
        "date" => Ty::Date,
        "json" | "jsonb" => Ty::Json,
        "bytea" => Ty::Bytes,
        "uuid" => Ty::Uuid,
        _ if base.starts_with("timestamp") => Ty::DateTime(fraction()),
        _ if base.starts_with("time") => Ty::Time(fraction()),
        _ => Ty::Unknown,
    }
}

/// Whether a type is UNSIGNED.
pub fn is_unsigned(data_type: &DataType) -> bool {
    data_type.to_string().to_uppercase().contains("UNSIGNED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_has_one_line() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), "'a\\b'");
        assert_eq!(literal("a\n\\\tb"), "E'a\\n\\\\\\tb'");
    }

    #[test]
    fn types_of_postgres_are_told_from_their_names() {
        assert_eq!(of_postgres("numeric(20,0)"), Ty::Decimal(Some(0)));
        assert_eq!(of_postgres("numeric"), Ty::Decimal(None));
        assert_eq!(of_postgres("timestamp(3) without time zone"), Ty::DateTime(3));
        assert_eq!(of_postgres("timestamp with time zone"), Ty::DateTime(6));
        assert_eq!(of_postgres("character varying(36)"), Ty::Text);
        assert_eq!(of_postgres("tsvector"), Ty::Unknown);
    }
}
