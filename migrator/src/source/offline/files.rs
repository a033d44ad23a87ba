//! Which files a folder of migrations has, and in which order they were run.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The texts of a file, or of the SQL files below a directory, by name as people number them: 9 before 10. Files that take
/// migrations back are left out.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let io = |path: &Path, e| Error::io(path.display().to_string(), e);
    let mut files: Vec<PathBuf> = vec![];
    if path.is_dir() {
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|e| io(&folder, e))? {
                let file = entry.map_err(|e| io(&folder, e))?.path();
                if file.is_dir() {
                    folders.push(file);
                } else if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql")) && !takes_back(&file) {
                    files.push(file);
                }
            }
        }
        files.sort_by(|a, b| by_number(&key(a), &key(b)));
        if files.is_empty() {
            return Err(Error::usage(
                format!("{} holds no .sql file", path.display()),
                "Name a file, or a directory of migrations.",
            ));
        }
    } else {
        files.push(path.to_owned());
    }
    let text = |file: PathBuf| {
        let bytes = fs::read(&file).map_err(|e| io(&file, e))?;
        // old dumps come in other encodings; what is asked of them is ASCII
        let text = String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').replace("\r\n", "\n");
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(text).collect()
}

/// `R__view.sql` is repeated after all that is numbered.
fn key(file: &Path) -> (bool, String) {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (name.starts_with("R__"), file.to_string_lossy().into_owned())
}

fn takes_back(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = name.strip_suffix(".sql").unwrap_or(&name);
    let flyway = stem.starts_with('u') && stem.contains("__") && stem[1..].starts_with(|c: char| c.is_ascii_digit());
    flyway || ["down", "undo", "rollback", "revert"].iter().any(|w| stem == *w || stem.ends_with(&format!(".{w}")))
}

fn by_number(a: &(bool, String), b: &(bool, String)) -> Ordering {
    a.0.cmp(&b.0).then_with(|| {
        let (mut a, mut b) = (parts(&a.1), parts(&b.1));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (x, y) => match x.cmp(&y) {
                    Ordering::Equal => {}
                    other => return other,
                },
            }
        }
    })
}

/// Digits count as a number, and V1__a comes before V1_1__b: two separators end a version.
fn parts(name: &str) -> impl Iterator<Item = (bool, u128, &str)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let digit = rest.starts_with(|c: char| c.is_ascii_digit());
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (part, more) = rest.split_at(end);
        rest = more;
        (!part.is_empty()).then(|| match part.parse::<u128>() {
            Ok(number) if digit => (false, number, ""),
            _ => (!part.starts_with("__"), 0, part),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_numbers() {
        let mut names = ["m/R__v.sql", "m/V10__a.sql", "m/V1_10__b.sql", "m/V1_9__c.sql", "m/V1__d.sql", "m/V2__e.sql"];
        names.sort_by(|a, b| by_number(&key(Path::new(a)), &key(Path::new(b))));
        assert_eq!(
            names,
            ["m/V1__d.sql", "m/V1_9__c.sql", "m/V1_10__b.sql", "m/V2__e.sql", "m/V10__a.sql", "m/R__v.sql"]
        );
    }

    #[test]
    fn what_takes_back_is_known_by_its_name() {
        for name in ["1_a.down.sql", "down.sql", "U2__x.sql", "a.undo.sql"] {
            assert!(takes_back(Path::new(name)), "{name}");
        }
        for name in ["up.sql", "1_a.up.sql", "users__x.sql", "touchdown.sql", "V2__undo_x.sql"] {
            assert!(!takes_back(Path::new(name)), "{name}");
        }
    }
}
