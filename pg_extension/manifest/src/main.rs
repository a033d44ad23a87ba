//! `domain_events_manifest SQL SCRIPTS OUT`: writes the extension's scripts into OUT. `domain_events_manifest SQL SCRIPTS`:
//! prints the proof, to be tried by hand.

use std::path::Path;
use std::{env, fs};

use domain_events_manifest::{Engine, expand, manifest};

fn main() -> Result<(), String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (sql, scripts, out) = match arguments.as_slice() {
        [sql, scripts] => (sql, scripts, None),
        [sql, scripts, out] => (sql, scripts, Some(out)),
        _ => return Err("usage: domain_events_manifest SQL SCRIPTS [OUT]".into()),
    };
    let scripts = Path::new(scripts);
    let manifest = manifest(Path::new(sql), &scripts.join("pg_domain_events--portable--0.1.0.sql"))?;
    let Some(out) = out else {
        println!("{};", manifest.proof(Engine::Installed));
        return Ok(());
    };
    for entry in fs::read_dir(scripts).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let script = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let expanded = expand(&script, &manifest, false).map_err(|error| format!("{}: {error}", path.display()))?;
        let target = Path::new(out).join(path.file_name().unwrap_or_default());
        fs::write(&target, expanded).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    Ok(())
}
