//! Where the front end of MySQL meets files, servers and the judge: a source is read, stands as PostgreSQL would have it, is
//! judged, and what of it is created here is chosen.

pub mod catalogue;
pub mod files;
pub mod findings;
pub mod port;
pub mod server;
#[cfg(test)]
mod tests;
