//! `man`: the manual pages.

use std::fs;
use std::io::Write;

use clap::CommandFactory;

use crate::cli::{Cli, ManArgs};
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::files::{Fresh, Readers};

/// Prints the page of the tool, or writes all pages into a directory.
pub fn run(args: &ManArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = &args.out else {
        let page = render(command)?;
        ctx.out.line(page.trim_end())?;
        return Ok(Exit::Clean);
    };
    fs::create_dir_all(directory).map_err(|e| Error::io(directory.display().to_string(), e))?;
    let verbs: Vec<_> = command.get_subcommands().cloned().collect();
    let actions: Vec<_> = verbs.iter().flat_map(|verb| verb.get_subcommands().cloned()).collect();
    for page in std::iter::once(command).chain(verbs).chain(actions) {
        let name = page.get_display_name().unwrap_or_else(|| page.get_name()).replace(' ', "-");
        let path = directory.join(format!("{name}.1"));
        let text = render(page)?;
        // what it wrote before begins as every page does
        let mut file = Fresh::begin(&path, "a manual page", Readers::All, |head| head.starts_with(".ie"))?;
        file.write_all(text.as_bytes()).map_err(|e| Error::io(path.display().to_string(), e))?;
        file.finish()?;
        ctx.out.note(format!("wrote {}", path.display()));
    }
    Ok(Exit::Clean)
}

fn render(command: clap::Command) -> Result<String, Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|e| Error::io("the manual page", e))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
