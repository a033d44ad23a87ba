//! `--treat TABLE=events|entity`: what nobody but a person knows of a table.

use std::collections::BTreeMap;

use crate::cli;
use crate::error::Error;
use crate::source::{Catalogue, Treat};
use domain_events_mysql::source::Source;

/// The answers by the names that were given.
pub fn of_args(given: &[(String, cli::Treat)]) -> BTreeMap<String, Treat> {
    let answer = |treat: cli::Treat| match treat {
        cli::Treat::Events => Treat::Events,
        cli::Treat::Entity => Treat::Entity,
    };
    given.iter().map(|(name, treat)| (name.clone(), answer(*treat))).collect()
}

/// Puts the answers into a catalogue.
pub fn put(given: &[(String, cli::Treat)], catalogue: &mut Catalogue) -> Result<(), Error> {
    catalogue.treats.extend(of_args(given));
    let known = |name: &str| catalogue.relations.iter().any(|r| r.is_called(name, std::slice::from_ref(&r.schema)));
    given.iter().try_for_each(|(name, _)| if known(name) { Ok(()) } else { Err(unknown(name)) })
}

/// The same of a source of MySQL.
pub fn of_source(given: &[(String, cli::Treat)], source: &Source) -> Result<BTreeMap<String, Treat>, Error> {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    for (name, _) in given {
        if source.schema.table(&bare(name)).is_none() {
            return Err(unknown(name));
        }
    }
    Ok(of_args(given).into_iter().map(|(name, treat)| (bare(&name), treat)).collect())
}

fn unknown(name: &str) -> Error {
    Error::usage(
        format!("--treat names {name}, and there is no such table"),
        "Name a table as the finding does: --treat public.guild_rank=entity",
    )
}
