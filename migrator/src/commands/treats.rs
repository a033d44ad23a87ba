//! `--treat TABLE=events|entity`: what nobody but a person knows of a table.

use std::collections::BTreeMap;

use super::from::Origin;
use crate::cli;
use crate::error::Error;
use crate::source::{Catalogue, Treat};

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
    given.iter().try_for_each(|(name, _)| if holds(catalogue, name) { Ok(()) } else { Err(unknown(name)) })
}

/// For each source the answers that are about its tables.
pub fn of_each(given: &[(String, cli::Treat)], origins: &[Origin]) -> Result<Vec<BTreeMap<String, Treat>>, Error> {
    if let Some((name, _)) = given.iter().find(|(name, _)| !origins.iter().any(|o| is_known(name, o))) {
        return Err(unknown(name));
    }
    let of_one = |origin: &Origin| {
        let own = of_args(given).into_iter().filter(|(name, _)| is_known(name, origin));
        match origin {
            Origin::Postgres(..) => own.collect(),
            Origin::MySql(_) => own.map(|(name, treat)| (bare(&name).to_owned(), treat)).collect(),
        }
    };
    Ok(origins.iter().map(of_one).collect())
}

fn is_known(name: &str, origin: &Origin) -> bool {
    match origin {
        Origin::Postgres(catalogue, _) => holds(catalogue, name),
        Origin::MySql(source) => source.schema.table(bare(name)).is_some(),
    }
}

fn holds(catalogue: &Catalogue, name: &str) -> bool {
    catalogue.relations.iter().any(|r| r.is_called(name, std::slice::from_ref(&r.schema)))
}

fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn unknown(name: &str) -> Error {
    Error::usage(
        format!("--treat names {name}, and there is no such table"),
        "Name a table as the finding does: --treat public.guild_rank=entity",
    )
}
