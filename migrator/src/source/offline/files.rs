//! The texts that are folded.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::source::files;

/// The texts of a file, or of the SQL files below a directory in the order in which they are run.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let files = if path.is_dir() { files::migrations(path, &["sql"])? } else { vec![path.to_owned()] };
    let text = |file: std::path::PathBuf| {
        let bytes = fs::read(&file).map_err(|e| Error::io(file.display().to_string(), e))?;
        // old dumps come in other encodings; what is asked of them is ASCII
        let text = String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').replace("\r\n", "\n");
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(text).collect()
}
