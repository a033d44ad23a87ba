//! Embeds `sql/*.sql` in the binary, in the order that `sql/install.sql` gives (one list for psql and for the tool), and
//! the proof that a schema holds what they install, and what waits for writers when the engine is switched.

use std::{env, fs, io::Write, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sql = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../sql");
    let entry = sql.join("install.sql");
    println!("cargo:rerun-if-changed={}", entry.display());
    let text = fs::read_to_string(&entry).map_err(|e| format!("{}: {e}", entry.display()))?;
    let mut out = fs::File::create(Path::new(&env::var("OUT_DIR")?).join("engine_sql.rs"))?;
    writeln!(
        out,
        "/// Names and texts, in the order in which they are installed.\npub const FILES: &[(&str, &str)] = &["
    )?;
    let mut found = 0;
    for name in text.lines().filter_map(|line| line.trim().strip_prefix("\\ir ")) {
        let path = sql.join(name.trim()).canonicalize().map_err(|e| format!("sql/{name}: {e}"))?;
        println!("cargo:rerun-if-changed={}", path.display());
        writeln!(out, "    ({:?}, include_str!({:?})),", name.trim(), path.display().to_string())?;
        found += 1;
    }
    writeln!(out, "];")?;
    if found == 0 {
        return Err("sql/install.sql includes no file (expected lines such as `\\ir store/00_schema.sql`)".into());
    }
    let native = sql.join("../pg_extension/sql/pg_domain_events--portable--0.1.0.sql");
    println!("cargo:rerun-if-changed={}", native.display());
    let manifest = domain_events_manifest::manifest(&sql, &native)?;
    fs::write(
        Path::new(&env::var("OUT_DIR")?).join("proof.sql"),
        manifest.proof(domain_events_manifest::Engine::Installed),
    )?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("writers.sql"), domain_events_manifest::WRITERS)?;
    Ok(())
}
