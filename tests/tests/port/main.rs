//! Porting a legacy database: scan, plan, apply, verify, rollback, as a user runs them.

mod adopt;
mod adopt_again;
mod adopt_moving;
mod adopt_rights;
mod as_owner;
mod constructs;
mod corpus;
mod drift;
mod killed;
mod leftovers;
mod legacy;
mod locks;
mod random;
mod story;
mod strategies;
mod streams;
mod traffic;
mod verified;

use legacy::Legacy;
