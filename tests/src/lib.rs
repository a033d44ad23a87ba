//! Throw-away PostgreSQL servers, one database per test with either engine, and the checks every behaviour test ends with.
//!
//! A test is a function of a [`Db`]; [`engines!`] turns it into `portable::name` and `native::name`:
//!
//! ```ignore
//! engines! { versions_start_at_one }
//! fn versions_start_at_one(db: &Db) { .. }
//! ```

mod cli;
mod cluster;
mod db;
mod dump;
mod guard;
mod invariant;
mod mariadb;
mod pooler;
mod session;

pub use cli::{Run, domain_events, run};
pub use cluster::{Cluster, bin_dir, repository};
pub use db::{Db, Engine};
pub use invariant::RENDERING;
pub use mariadb::{MariaDatabase, MariaDb};
pub use pooler::Pooler;
pub use session::{Failure, Rows, Session, Trouble};

/// [`engines!`], and the portable engine installed by a superuser, where it has event triggers.
#[macro_export]
macro_rules! all_engines {
    ($($name:ident),+ $(,)?) => {
        $crate::engines! { $($name),+ }
        mod portable_super {
            $(#[test] fn $name() { super::$name(&$crate::Db::new($crate::Engine::PortableSuper)) })+
        }
    };
}

/// Makes each named function `fn(&Db)` a test of both engines.
#[macro_export]
macro_rules! engines {
    ($($name:ident),+ $(,)?) => {
        mod portable {
            $(#[test] fn $name() { super::$name(&$crate::Db::new($crate::Engine::Portable)) })+
        }
        mod native {
            $(#[test] fn $name() { super::$name(&$crate::Db::new($crate::Engine::Native)) })+
        }
    };
}

/// The same where the store is a superuser's on both engines.
#[macro_export]
macro_rules! superuser_engines {
    ($($name:ident),+ $(,)?) => {
        mod portable {
            $(#[test] fn $name() { super::$name(&$crate::Db::new($crate::Engine::PortableSuper)) })+
        }
        mod native {
            $(#[test] fn $name() { super::$name(&$crate::Db::new($crate::Engine::Native)) })+
        }
    };
}

/// Makes each named function `fn(Engine)` a test of both engines: it starts servers of its own.
#[macro_export]
macro_rules! engines_alone {
    ($($name:ident),+ $(,)?) => {
        mod portable_alone {
            $(#[test] fn $name() { super::$name($crate::Engine::Portable) })+
        }
        mod native_alone {
            $(#[test] fn $name() { super::$name($crate::Engine::Native) })+
        }
    };
}
