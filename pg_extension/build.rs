//! Lists the portable engine's files for the extension's SQL, as `sql/install.sql` runs them, and takes over what both engines
//! have to agree on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let portable = root.join("../sql").canonicalize()?;
    println!("cargo::rerun-if-changed={}", portable.display());
    let list = fs::read_to_string(portable.join("install.sql"))?;
    let mut files: Vec<PathBuf> =
        list.lines().filter_map(|line| line.strip_prefix("\\ir ")).map(|file| portable.join(file.trim())).collect();
    // A new install ends with the step that makes an adopted portable store native.
    files.push(root.join("sql/pg_domain_events--portable--0.1.0.sql"));

    let mut list = String::new();
    let mut previous: Option<String> = None;
    for (position, file) in files.iter().enumerate() {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = stem(file).ok_or("a file without a name")?;
        let place = match &previous {
            None => "bootstrap".to_owned(),
            Some(previous) if position + 1 == files.len() => format!("requires = [\"{previous}\"], finalize"),
            Some(previous) => format!("requires = [\"{previous}\"]"),
        };
        writeln!(list, "pgrx::extension_sql_file!({:?}, name = {name:?}, {place});", file.display().to_string())?;
        previous = Some(name);
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("sql_files.rs"), list)?;
    fs::write(out.join("propagates.rs"), propagates(&fs::read_to_string(portable.join("55_capture_write.sql"))?)?)?;
    Ok(())
}

/// The classes and codes of domain_events._propagates(), as an expression.
fn propagates(sql: &str) -> Result<String, Box<dyn std::error::Error>> {
    let body = sql.split_once("function domain_events._propagates(").ok_or("no _propagates()")?.1;
    let body = body.split("$$").nth(1).ok_or("_propagates() has no body")?;
    let lists: Vec<String> =
        body.split("in (").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.replace('\'', "\""))).collect();
    let [classes, codes] = lists.as_slice() else { return Err("_propagates() has other than two lists".into()) };
    Ok(format!("(&[{classes}], &[{codes}])"))
}

fn stem(file: &Path) -> Option<String> {
    // Becomes part of a symbol.
    let stem = file.file_stem()?.to_str()?.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    Some(format!("sql_{stem}"))
}
