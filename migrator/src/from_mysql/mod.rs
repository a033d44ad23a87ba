//! Where the front end of MySQL and the judge meet: a source as PostgreSQL would have it, judged, and what of it is created here.

pub mod catalogue;
pub mod port;
