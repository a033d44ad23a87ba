//! One connection whose server process is watched.

use std::{fs, path::PathBuf};

use domain_events_tests::Db;
use sqlx::{
    ConnectOptions, Connection, PgConnection, Postgres, Row,
    postgres::{PgArguments, PgConnectOptions},
    query::Query,
};
use tokio::runtime::{Builder, Runtime};

/// How to reach a database: by the socket, as one user.
pub fn connect_options(db: &Db, user: &str) -> PgConnectOptions {
    PgConnectOptions::new()
        .socket(db.cluster().socket_dir())
        .port(db.cluster().port())
        .username(user)
        .database(&db.name)
        .disable_statement_logging()
}

/// A connection, and its backend's CPU account.
pub struct Client {
    runtime: Runtime,
    connection: PgConnection,
    schedstat: PathBuf,
}

/// What a piece of work cost the server process.
#[derive(Clone, Copy)]
pub struct Cost {
    /// CPU time in microseconds.
    pub cpu: f64,
    /// Bytes of WAL.
    pub wal: f64,
}

impl Client {
    /// A new connection.
    pub fn new(db: &Db, user: &str) -> Client {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connection = runtime
            .block_on(PgConnection::connect_with(&connect_options(db, user)))
            .expect("a connection to the server");
        let mut client = Client { runtime, connection, schedstat: PathBuf::new() };
        let pid = client.number("select pg_backend_pid()::bigint");
        client.schedstat = PathBuf::from(format!("/proc/{pid}/schedstat"));
        client
    }

    /// Runs statements without parameters.
    pub fn run(&mut self, sql: &str) {
        self.runtime
            .block_on(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.connection))
            .unwrap_or_else(|e| panic!("{e}\nin {}", short(sql)));
    }

    /// Runs a statement, prepared the first time, and fetches its rows; returns how many.
    pub fn call<'q>(
        &mut self,
        sql: &'q str,
        bind: impl FnOnce(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
    ) -> usize {
        self.runtime
            .block_on(bind(sqlx::query(sqlx::AssertSqlSafe(sql))).fetch_all(&mut self.connection))
            .unwrap_or_else(|e| panic!("{e}\nin {}", short(sql)))
            .len()
    }

    /// The single bigint of a query.
    pub fn number(&mut self, sql: &str) -> i64 {
        let row = self.runtime.block_on(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut self.connection));
        row.and_then(|row| row.try_get(0)).unwrap_or_else(|e| panic!("{e}\nin {}", short(sql)))
    }

    /// The single text of a query.
    pub fn text(&mut self, sql: &str) -> String {
        let row = self.runtime.block_on(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut self.connection));
        row.and_then(|row| row.try_get(0)).unwrap_or_else(|e| panic!("{e}\nin {}", short(sql)))
    }

    /// Sends rows to `copy .. from stdin`.
    pub fn copy_in(&mut self, sql: &str, data: &str) {
        let connection = &mut self.connection;
        self.runtime
            .block_on(async {
                let mut copy = connection.copy_in_raw(sql).await?;
                for piece in data.as_bytes().chunks(1 << 16) {
                    copy.send(piece).await?;
                }
                copy.finish().await
            })
            .unwrap_or_else(|e| panic!("{e}\nin {sql}"));
    }

    /// CPU time of the server process so far, in microseconds; exact whenever the process waits for its client.
    pub fn cpu(&self) -> f64 {
        let text = fs::read_to_string(&self.schedstat)
            .unwrap_or_else(|e| panic!("{}: {e}; CPU time per process needs Linux", self.schedstat.display()));
        let nanoseconds: f64 = text.split(' ').next().and_then(|n| n.parse().ok()).expect("nanoseconds on the CPU");
        nanoseconds / 1000.0
    }

    /// CPU time of the server process for this work, in microseconds.
    pub fn cpu_of(&mut self, work: impl FnOnce(&mut Client)) -> f64 {
        let before = self.cpu();
        work(self);
        self.cpu() - before
    }

    /// CPU time and WAL of this work. Nobody else may write to the server meanwhile.
    pub fn cost_of(&mut self, work: impl FnOnce(&mut Client)) -> Cost {
        const WRITTEN: &str = "select (pg_current_wal_insert_lsn() - '0/0')::bigint";
        let before = self.number(WRITTEN);
        let cpu = self.cpu_of(work);
        Cost { cpu, wal: (self.number(WRITTEN) - before) as f64 }
    }
}

fn short(sql: &str) -> String {
    sql.chars().take(2000).collect()
}
