//! Prisma's schema: models become tables.

use super::given::{Column, Given, Key, Made, Name, Only, What};
use super::types;

/// Reads the models of a schema.
pub fn read(text: &str) -> Vec<Given> {
    let models: Vec<&str> =
        text.lines().filter_map(|l| l.trim().strip_prefix("model ")).filter_map(first_word).collect();
    let (mut given, mut open): (Vec<Given>, Option<Model>) = (vec![], None);
    for (row, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        match &mut open {
            None => {
                if let Some(name) = line.strip_prefix("model ").filter(|l| l.ends_with('{')).and_then(first_word) {
                    open = Some(Model::new(name, row));
                }
            }
            Some(_) if line == "}" => given.extend(open.take().map(Model::finished)),
            Some(model) if line.starts_with("@@") => model.attribute(line),
            Some(model) => model.field(line, &models),
        }
    }
    given.extend(open.take().map(Model::finished));
    given
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|w| !w.is_empty())
}

struct Model {
    made: Made,
    row: usize,
    /// Fields with the names of their columns.
    columns: Vec<(String, String)>,
    /// Keys by their fields.
    keys: Vec<Key>,
}

impl Model {
    fn new(name: &str, row: usize) -> Self {
        let table = Name { schema: None, name: name.to_owned() };
        Self { made: Made { table, is_new: true, ..Made::default() }, row, columns: vec![], keys: vec![] }
    }

    fn attribute(&mut self, line: &str) {
        let kind = first_word(&line[2..]).unwrap_or_default();
        match kind {
            "map" => self.made.table.name = quoted(line).unwrap_or_else(|| self.made.table.name.clone()),
            "schema" => self.made.table.schema = quoted(line),
            "unique" | "id" => {
                let inside = line.find('[').and_then(|from| Some(&line[from + 1..from + line[from..].find(']')?]));
                let columns: Vec<String> = inside
                    .unwrap_or_default()
                    .split(',')
                    .filter_map(|f| first_word(f.trim()))
                    .map(str::to_owned)
                    .collect();
                if !columns.is_empty() {
                    self.keys.push(Key { primary: kind == "id", columns });
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, line: &str, models: &[&str]) {
        let mut words = line.split_whitespace();
        let (Some(field), Some(data_type)) = (words.next(), words.next()) else { return };
        let bare = data_type.trim_end_matches(['?', '[', ']']);
        if models.contains(&bare) || !field.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return;
        }
        let name = attribute(line, "@map").and_then(quoted).unwrap_or_else(|| field.to_owned());
        let native = line.split("@db.").nth(1).and_then(first_word);
        let known = native.and_then(types::of).or_else(|| types::of(bare));
        let mut data_type_of = known.map_or("text", |(known, _)| known).to_owned();
        if bare == "DateTime" && native.is_none() {
            data_type_of = "timestamp".into();
        }
        if data_type.ends_with("[]") {
            data_type_of.push_str("[]");
        }
        let default = attribute(line, "@default").unwrap_or_default();
        let inside = default.split_once('(').map(|(_, rest)| rest).unwrap_or_default();
        let plain = inside.trim_end_matches(')').trim();
        self.made.columns.push(Column {
            name: name.clone(),
            data_type: data_type_of,
            not_null: !data_type.ends_with('?'),
            default: match plain {
                _ if inside.starts_with("now(") => Some("current_timestamp".into()),
                "true" | "false" => Some(plain.into()),
                number if number.parse::<f64>().is_ok() => Some(number.into()),
                text => quoted(text).map(|t| domain_events_sql::quote::quote_literal(&t)),
            },
            primary: attribute(line, "@id").is_some(),
            unique: attribute(line, "@unique").is_some(),
            serial: inside.starts_with("autoincrement("),
            changed: false,
        });
        self.columns.push((field.to_owned(), name));
    }

    fn finished(mut self) -> Given {
        let column = |field: &String| {
            let found = self.columns.iter().find(|(f, _)| f == field);
            found.map_or_else(|| field.clone(), |(_, column)| column.clone())
        };
        self.made.keys = self
            .keys
            .iter()
            .map(|k| Key { primary: k.primary, columns: k.columns.iter().map(column).collect() })
            .collect();
        Given { row: self.row, only: Only::ALL, what: What::Made(self.made) }
    }
}

/// An attribute of a field, from its name on.
fn attribute<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.match_indices(name).find_map(|(at, _)| {
        let rest = &line[at..];
        let ends = rest[name.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        let begins = line[..at].ends_with(char::is_whitespace);
        (ends && begins).then_some(rest)
    })
}

/// The first text in quotes.
fn quoted(text: &str) -> Option<String> {
    let mut parts = text.split('"');
    parts.next()?;
    parts.next().map(str::to_owned)
}
