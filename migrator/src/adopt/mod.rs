//! Adoption: the events of a legacy table become events of the store, and its name becomes a view with the same columns.
//!
//! The legacy table itself, renamed, keeps the columns that the store lacks (`is_processed` ..): its keys, defaults, foreign
//! keys, indexes and privileges go on working, `select .. for update skip locked` and `update` reach it through the view,
//! and until `apply --finish` it holds every event whole, which is what makes the way back one short step. An import makes
//! such a table of its own, without the columns that the store holds exactly.
//!
//! The pieces, for whoever moves events in (`sql/migration/75_adoptions.sql` is their other half):
//!
//! | piece | what |
//! |---|---|
//! | [`Mapping::propose`] | legacy column -> store column, from the judge's [`crate::judge::Roles`], names and types; every field may be set anew |
//! | [`Legacy`] | name, owner, columns (as [`crate::source::Column`], of an existing table or not), mapping; [`Legacy::check`] refuses what cannot be |
//! | [`Legacy::side_table`] | `create table` for the legacy columns (import only: an adopted table has its own) |
//! | [`Legacy::view`], [`Legacy::insert_function`], [`Legacy::guards`] | the view of the old name, its INSTEAD OF INSERT trigger, and what keeps the columns held by the store unchanged |
//! | [`Legacy::event_row`] | an expression of type `domain_events.events` over a row of the legacy columns |
//! | [`reserve`] | reserves the block of positions in one short lock; with a head function ([`Legacy::head_function`]) the streams' next versions count both places |
//! | [`Legacy::move_batch`] | stores the next rows of a table (the side table, or a staging table filled by COPY) at their positions |
//! | [`end`] | the adoption is complete |
//!
//! An import calls `side_table`, `reserve(.., head_function: None)`, then per batch COPY into a staging table with all legacy
//! columns and a number (1, 2, 3 .., rising with the versions of each stream; else `places` puts them in order), `move_batch` from it, `insert into` the side table from it, and in the end
//! `insert_function`, `view`, `guards` and `end`. The number is the column named by [`Mapping::order_by`].

mod again;
mod check;
mod ddl;
mod legacy;
mod mapping;
mod moving;

pub use again::Checked;
pub use legacy::Legacy;
pub use mapping::Mapping;
pub(crate) use moving::RESERVED;
pub use moving::{Adoption, Moved, count, end, of_plan, read, reserve, reserve_sql};
