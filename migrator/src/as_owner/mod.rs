//! Statements on users' tables, views and functions, run with their owner's rights.
//!
//! Whoever owns a table has code in it: index expressions and predicates, checks, defaults, statistics, policies, triggers, the
//! functions of its types. PostgreSQL runs that code as whoever plans or executes a statement on the table, and a superuser
//! who runs this tool would lend it everything. `set role` is no way out: the code may `reset role`, and is the superuser
//! again; `set session authorization` neither. Both are refused to code that a SECURITY DEFINER function runs, and in
//! what PostgreSQL calls a security-restricted operation. So there are three ways, and no statement on an object of users goes
//! around them (`SECURITY.md`):
//!
//! | way | for | what keeps the code in |
//! |---|---|---|
//! | [`rows`] | reading | a SECURITY DEFINER function of the owner, in a savepoint that is rolled back once the rows are here: nothing of what the code did is left, neither a deferred trigger, which PostgreSQL below 18 fires at commit as whoever commits, nor a cursor with hold, nor a setting |
//! | [`execute`] | changes that stay | `refresh materialized view`, PostgreSQL's own way to run code as the owner of a relation: it undoes settings, and refuses deferred triggers, cursors with hold and temporary tables |
//! | [`staged`], [`staged_rows`] | changes in a transaction that is rolled back | a SECURITY DEFINER function, made anew for every call, since its owner may alter it; what was deferred runs in it |
//!
//! A role that owns the objects itself needs none of them, and they are run as they are. What only the superuser may do and comes to
//! the owner's code all the same, as a call of the store that tries a reader, goes by [`execute`] too, in the superuser's own name.

mod change;
mod owner;
mod read;
mod store;

use sqlx::PgConnection;

pub use change::{execute, execute_in, staged, staged_rows};
pub use owner::Owner;
pub use read::{array, begin_read_only, declare, row, rows};
pub use store::{ask_store, expect_own_store, is_lesser_store, store_count, store_rows, tell_store};

use crate::db;
use crate::error::{Doing, Error};

/// Makes the rest of the transaction independent of what the owner's code may have set.
pub async fn pin(conn: &mut PgConnection, owner: &Owner) -> Result<(), Error> {
    if owner.is_other() {
        db::pin_settings(conn).await?;
        forget_statements(conn, "pinning the settings").await?;
    }
    Ok(())
}

/// User code may have prepared other statements under the names of ours, which no rollback undoes: none is used twice.
async fn forget_statements(conn: &mut PgConnection, doing: &str) -> Result<(), Error> {
    use sqlx::Connection as _;
    conn.clear_cached_statements().await.doing(doing)?;
    db::execute(conn, "deallocate all", doing).await
}
