//! Lists the portable engine's files for the extension's SQL, as `sql/install.sql` runs them, and takes over what both engines
//! have to agree on: the columns of the store, and which errors are no dead letters.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let portable = root.join("../sql").canonicalize()?;
    println!("cargo::rerun-if-changed={}", portable.display());
    let mut files = domain_events_manifest::files(&portable)?;
    // A new install ends with the step that makes an adopted portable store native.
    let native = root.join("sql/pg_domain_events--portable--0.1.0.sql");
    println!("cargo::rerun-if-changed={}", native.display());
    let manifest = domain_events_manifest::manifest(&portable, &native)?;
    let last = PathBuf::from(env::var("OUT_DIR")?).join("native.sql");
    fs::write(&last, domain_events_manifest::expand(&fs::read_to_string(&native)?, &manifest, true)?)?;
    files.push(last);

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
    let sql = |file: &str| fs::read_to_string(portable.join(file));
    let columns = events_columns(&sql("store/10_events.sql")?)?;
    fs::write(out.join("events_columns.rs"), shape(&columns))?;
    let (streams, appended) = (sql("store/30_versions.sql")?, sql("store/40_append.sql")?);
    let mut contract = column_numbers(&columns)?;
    for (text, sql) in [("aggregate_type", &streams), ("aggregate_id", &streams), ("event_type", &appended)] {
        writeln!(contract, "pub const {}_BYTES: usize = {};", text.to_uppercase(), limit(sql, text)?)?;
    }
    let (classes, codes) = propagates(&sql("capture/61_failures.sql")?)?;
    writeln!(contract, "pub const PROPAGATES: (&[&str], &[&str]) = (&[{classes}], &[{codes}]);")?;
    fs::write(out.join("contract.rs"), contract)?;
    Ok(())
}

/// How many bytes this text may have: the SQL refuses it beyond.
fn limit(sql: &str, text: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let test = format!("octet_length({text}) > ");
    let rest = sql.split_once(&test).ok_or(format!("nothing says {test}"))?.1;
    Ok(rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?)
}

/// The lists of classes and of codes in domain_events._propagates().
fn propagates(sql: &str) -> Result<(String, String), Box<dyn std::error::Error>> {
    let body = sql.split_once("function domain_events._propagates(").ok_or("no _propagates()")?.1;
    let body = body.split("$$").nth(1).ok_or("_propagates() has no body")?;
    let lists: Vec<String> =
        body.split("in (").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.replace('\'', "\""))).collect();
    let [classes, codes] = lists.as_slice() else { return Err("_propagates() has other than two lists".into()) };
    Ok((classes.clone(), codes.clone()))
}

/// A column of domain_events.events: its name, and what `pg::shape` expects of it.
struct EventColumn {
    name: String,
    expected: String,
}

fn shape(columns: &[EventColumn]) -> String {
    let expected: Vec<_> = columns.iter().map(|column| column.expected.as_str()).collect();
    format!("pub const EVENTS: [Expected; {}] = [\n{},\n];\n", columns.len(), expected.join(",\n"))
}

fn column_numbers(columns: &[EventColumn]) -> Result<String, std::fmt::Error> {
    let mut module = String::from(
        "#[allow(dead_code, reason = \"not every column is asked for by its number\")]\npub mod column {\n",
    );
    for (position, column) in columns.iter().enumerate() {
        writeln!(module, "    pub const {}: usize = {};", column.name.to_uppercase(), position + 1)?;
    }
    module.push_str("}\n");
    Ok(module)
}

/// The columns of domain_events.events, one a line in the statement that creates it.
fn events_columns(sql: &str) -> Result<Vec<EventColumn>, Box<dyn std::error::Error>> {
    let table = sql
        .split_once("create table domain_events.events (\n")
        .ok_or("store/10_events.sql creates no table of events")?
        .1;
    let mut columns = Vec::new();
    // A line that is indented further goes on with a column's default.
    let columns_of = table.lines().filter(|line| !line.starts_with("   ")).map(str::trim);
    for line in columns_of.take_while(|line| !line.starts_with("constraint ")) {
        let mut words = line.trim_end_matches(',').split_whitespace();
        let (name, kind) = (words.next().ok_or("an empty line among the columns")?, words.next().unwrap_or_default());
        let oid = match kind {
            "bigint" => "INT8OID",
            "int" => "INT4OID",
            "text" => "TEXTOID",
            "jsonb" => "JSONBOID",
            "uuid" => "UUIDOID",
            "xid8" => "XID8OID",
            "timestamptz" => "TIMESTAMPTZOID",
            "domain_events.event_origin" => "TEXTOID",
            _ => return Err(format!("column {name} of the events is of an unknown type: {kind}").into()),
        };
        let (collated, required) = (line.contains(" collate \"C\""), line.contains(" not null"));
        let domain = kind.strip_prefix("domain_events.").map_or("None".into(), |name| format!("Some(c{name:?})"));
        let expected = format!(
            "Expected {{ name: c{name:?}, domain: {domain}, type_oid: pg_sys::{oid}, in_c: {collated}, required: {required} }}"
        );
        columns.push(EventColumn { name: name.to_owned(), expected });
    }
    Ok(columns)
}

fn stem(file: &Path) -> Option<String> {
    // Becomes part of a symbol.
    let stem = file.file_stem()?.to_str()?.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    Some(format!("sql_{stem}"))
}
