//! What expressions are worth, as far as literals tell.

use std::path::PathBuf;
use std::rc::Rc;

use super::code::Function;

/// A text that grows beyond this is not known any more.
const LONGEST: usize = 4 * 1024 * 1024;
/// Nor one of more parts.
const PIECES: usize = 5_000;

/// What an expression is worth.
#[derive(Debug, Clone)]
pub enum Value<'t> {
    /// A text.
    Text(Text),
    /// A number, a constant, or a name that nothing in the file explains: as written.
    Word(String),
    /// A list.
    List(Rc<Vec<Value<'t>>>),
    /// Keys and values.
    Map(Rc<Vec<(Option<String>, Value<'t>)>>),
    /// A call of something that is not in the file.
    Call(Rc<Called<'t>>),
    /// A function.
    Function(Rc<Function<'t>>),
    /// A table that is being made: its place among those.
    Table(usize),
    /// A column of one.
    Column(usize, usize),
}

/// A call with what its arguments are worth.
#[derive(Debug, Clone)]
pub struct Called<'t> {
    /// What it is called on.
    pub on: Option<Value<'t>>,
    /// The name of what is called.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<(Option<String>, Value<'t>)>,
    /// Its row, from 0.
    pub row: usize,
    /// As it is written.
    pub written: &'t str,
}

/// A text, with what is known of it.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// What it consists of.
    pub pieces: Vec<Piece>,
    /// The row in which its first literal begins, from 0.
    pub row: Option<usize>,
    /// Where its literals stand in the file.
    pub literals: Vec<usize>,
    /// The file that it is the text of.
    pub file: Option<PathBuf>,
    /// The files whose text is in it.
    pub sources: Vec<PathBuf>,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands there.
    Known(Rc<str>),
    /// Known at run time alone, as written.
    Unknown(String),
}

impl Text {
    /// A text that is known.
    pub fn known(text: &str) -> Self {
        Self { pieces: vec![Piece::Known(text.into())], ..Self::default() }
    }

    /// A text that is not.
    pub fn unknown(written: &str) -> Self {
        Self { pieces: vec![Piece::Unknown(shown(written))], ..Self::default() }
    }

    /// Puts another behind it.
    pub fn push(&mut self, other: Self) {
        self.file = if self.pieces.is_empty() { other.file.clone() } else { None };
        self.row = self.row.or(other.row);
        if self.len() + other.len() > LONGEST || self.pieces.len() + other.pieces.len() > PIECES {
            self.pieces = vec![Piece::Unknown("a text of any length".into())];
            self.sources.clear();
            return;
        }
        self.pieces.extend(other.pieces);
        self.sources.extend(other.sources);
        if self.literals.len() < 10_000 {
            self.literals.extend(other.literals);
        }
    }

    /// The whole text, where all of it is known.
    pub fn whole(&self) -> Option<String> {
        let known = self.pieces.iter().map(|p| match p {
            Piece::Known(text) => Some(&**text),
            Piece::Unknown(_) => None,
        });
        known.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    }

    /// Its known parts.
    pub fn known_parts(&self) -> String {
        self.pieces.iter().filter_map(|p| if let Piece::Known(text) = p { Some(&**text) } else { None }).collect()
    }

    /// The first part that is not known.
    pub fn first_unknown(&self) -> Option<&str> {
        self.pieces.iter().find_map(|p| if let Piece::Unknown(written) = p { Some(written.as_str()) } else { None })
    }

    /// With a placeholder for each part that is not known.
    pub fn with_placeholders(&self) -> String {
        let mut whole = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Known(text) => whole.push_str(text),
                Piece::Unknown(written) => {
                    let plain = written.chars().map(|c| if c.is_alphanumeric() { c } else { '_' });
                    let plain: String = plain.take(40).collect();
                    whole.push_str(&format!("${{{}}}", plain.trim_matches('_')));
                }
            }
        }
        whole
    }

    /// Bytes of its known parts.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|p| if let Piece::Known(text) = p { text.len() } else { 0 }).sum()
    }

    /// `format` of the languages: `%s`, `{}`, `{name}` stand for arguments.
    pub fn filled(&self, arguments: &[(Option<String>, Value<'_>)], percent: bool) -> Self {
        let Some(whole) = self.whole() else { return self.clone() };
        let mut filled =
            Self { row: self.row, literals: self.literals.clone(), sources: self.sources.clone(), ..Self::default() };
        let (mut rest, mut next) = (whole.as_str(), 0);
        let (open, close) = if percent { ('%', ')') } else { ('{', '}') };
        while let Some(at) = rest.find(open) {
            filled.pieces.push(Piece::Known(rest[..at].into()));
            rest = &rest[at + 1..];
            let doubled = rest.starts_with(open);
            let mut width = 0;
            let (name, length) = if doubled {
                (None, 1)
            } else if !percent || rest.starts_with(['(', '{', '<']) {
                let inner = if percent { &rest[1..] } else { rest };
                match inner.find([close, '}', '>']).filter(|n| *n < 80) {
                    Some(end) => {
                        let sign = usize::from(percent && rest[1 + end..].starts_with(')'));
                        (Some(inner[..end].to_owned()), end + 1 + usize::from(percent) + sign)
                    }
                    None => (None, 0),
                }
            } else {
                width = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(0);
                match rest[width..].starts_with(['s', 'd', 'i', 'I', 'L']) {
                    true => (Some(String::new()), width + 1),
                    false => (None, 0),
                }
            };
            let length = length.min(rest.len());
            match name {
                None => filled.pieces.push(Piece::Known(open.to_string().into())),
                Some(name) => {
                    let by_name = arguments.iter().find(|(n, _)| n.as_deref() == Some(name.as_str()));
                    let place = name.parse().ok().unwrap_or_else(|| {
                        next += 1;
                        next - 1
                    });
                    let by_place = arguments.iter().filter(|(n, _)| n.is_none()).nth(place);
                    let found = by_name.or_else(|| by_place.filter(|_| by_name.is_none()));
                    match found.map(|(_, value)| value.to_text()) {
                        Some(mut text) => {
                            let digits = rest[..width].strip_prefix('0').and_then(|w| w.parse::<usize>().ok());
                            if let (Some(digits), Some(known)) = (digits.filter(|d| *d < 20), text.whole()) {
                                text.pieces = vec![Piece::Known(format!("{known:0>digits$}").into())];
                            }
                            filled.pieces.extend(text.pieces);
                            filled.literals.extend(text.literals);
                        }
                        None => filled.pieces.push(Piece::Unknown(if name.is_empty() { "%s".into() } else { name })),
                    }
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        filled.pieces.push(Piece::Known(rest.replace("}}", "}").into()));
        filled
    }
}

impl<'t> Value<'t> {
    /// Nothing.
    pub fn nothing() -> Self {
        Self::Word(String::new())
    }

    /// As a part of a text.
    pub fn to_text(&self) -> Text {
        match self {
            Self::Text(text) => text.clone(),
            Self::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => Text::known(word),
            Self::Word(word) => Text::unknown(word),
            Self::Call(call) => Text::unknown(call.written),
            _ => Text::unknown("a value that is no text"),
        }
    }

    /// A text that is known as a whole.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => text.whole(),
            _ => None,
        }
    }

    /// A name: a text that is not empty.
    pub fn name(&self) -> Option<String> {
        self.text().filter(|t| !t.trim().is_empty())
    }

    /// The names of a list, or the one that stands alone.
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::List(items) => items.iter().map(Self::name).collect(),
            other => other.name().map(|n| vec![n]),
        }
    }

    /// The items of a list.
    pub fn items(&self) -> &[Value<'t>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> &[(Option<String>, Value<'t>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A value of a map by its key.
    pub fn get(&self, key: &str) -> Option<&Value<'t>> {
        self.entries().iter().find(|(k, _)| k.as_deref() == Some(key)).map(|(_, v)| v)
    }

    /// `true`, `True`.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case("true"))
    }

    /// `false`, `False`.
    pub fn is_false(&self) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case("false"))
    }

    /// The call that it is.
    pub fn call(&self) -> Option<&Called<'t>> {
        match self {
            Self::Call(call) => Some(call),
            _ => None,
        }
    }

    /// The last part of what it is called: `INTEGER` of `Sequelize.INTEGER(11).UNSIGNED`, `Integer` of `sa.Integer`.
    pub fn last_name(&self) -> Option<String> {
        match self {
            Self::Word(word) => word.rsplit(['.', ':']).next().map(str::to_owned).filter(|w| !w.is_empty()),
            Self::Call(call) => Some(call.name.clone()),
            Self::Text(text) => text.whole(),
            _ => None,
        }
    }
}

impl<'t> Called<'t> {
    /// Arguments without a name; a block is one of them.
    pub fn plain(&self) -> impl Iterator<Item = &Value<'t>> {
        self.arguments.iter().filter(|(name, _)| name.is_none()).map(|(_, value)| value)
    }

    /// An argument by its place among those without a name.
    pub fn at(&self, place: usize) -> Option<&Value<'t>> {
        self.plain().nth(place)
    }

    /// An option: an argument of that name, or a key of a map among the others.
    pub fn option(&self, name: &str) -> Option<&Value<'t>> {
        let named = self.arguments.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, value)| value);
        named.or_else(|| self.plain().find_map(|value| value.get(name)))
    }

    /// An argument by its name, or else by its place.
    pub fn named_or_at(&self, name: &str, place: usize) -> Option<&Value<'t>> {
        self.arguments.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, v)| v).or_else(|| self.at(place))
    }
}

/// A few words of what is written.
pub fn shown(written: &str) -> String {
    written.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect()
}

/// A name without its underscores, in lower case, so that `create_table` and `createTable` are one.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '$' | '!' | '?')).flat_map(char::to_lowercase).collect()
}
