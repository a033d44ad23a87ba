//! pgbouncer in front of a server.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::cluster::{free_port, is_root, new_dir};
use super::guard::Guard;
use crate::Cluster;

/// pgbouncer, gone with the value.
pub struct Pooler {
    port: u16,
    process: Child,
    _guard: Guard,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Pooler {
    /// Before this server, with a pool mode and further lines of its configuration.
    pub fn start(cluster: &Cluster, pool_mode: &str, more: &str) -> Pooler {
        let dir = new_dir(&std::env::temp_dir());
        let (port, path) = (free_port(), dir.display());
        fs::write(dir.join("users"), "\"postgres\" \"\"\n\"app_owner\" \"\"\n").expect("a file");
        fs::write(
            dir.join("ini"),
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = trust\nauth_file = {path}/users\npidfile = {path}/pid\nlogfile = {path}/log\npool_mode = {pool_mode}\n{more}\n",
                cluster.socket_dir().display(),
                cluster.port(),
            ),
        )
        .expect("a file");
        let mut words = vec!["pgbouncer".to_owned(), "-q".into(), format!("{path}/ini")];
        if is_root() {
            words.splice(0..0, ["runuser", "-u", "postgres", "--"].map(str::to_owned));
        }
        let guard = Guard::new(&format!("kill $(cat '{path}/pid') 2>/dev/null; rm -rf '{path}'"));
        let process = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("pgbouncer ({e}): make test-deps"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not start: is it installed (make test-deps)?");
            std::thread::sleep(Duration::from_millis(20));
        }
        Pooler { port, process, _guard: guard }
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }
}
