//! A MariaDB server of its own, with empty databases on demand: gone when the test process ends, however it ends.
//!
//! Spoken to through the `mariadb` client, as people load dumps: `DELIMITER` works, and values are the server's own text.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Rows, guard::Guard};

/// A running server. Listens on a socket in its own directory and on 127.0.0.1, where root needs no password.
pub struct MariaDb {
    dir: PathBuf,
    port: u16,
    _guard: Guard,
}

/// One empty database of a server.
pub struct MariaDatabase {
    server: &'static MariaDb,
    /// Its name.
    pub name: String,
}

impl MariaDb {
    /// The server that all tests of this process share.
    pub fn shared() -> &'static MariaDb {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(|| MariaDb::start(&[]))
    }

    /// A server of its own, with these options of `mariadbd` on top of the defaults.
    pub fn start(options: &[&str]) -> MariaDb {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // a socket's path may have 107 bytes
        let dir = env::temp_dir().join(format!("de-maria-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for the server");
        if is_root() {
            let owned = Command::new("chown").arg("mysql:").arg(&dir).status().expect("chown");
            assert!(owned.success(), "the directory cannot be given to user mysql");
        }
        let guard = guard(&dir);
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        install.arg(format!("--datadir={}", dir.join("data").display())).current_dir("/");
        install.arg(tmpdir(&dir));
        if is_root() {
            install.arg("--user=mysql");
        }
        let out = install.output().expect("mariadb-install-db: is mariadb-server installed?");
        assert!(out.status.success(), "mariadb-install-db fails:\n{}{}", text(&out.stdout), text(&out.stderr));
        for attempt in 1.. {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
            if run_server(&dir, port, options) {
                return MariaDb { dir, port, _guard: guard };
            }
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            assert!(attempt < 5 && log.contains("port: "), "the server does not start:\n{log}");
        }
        unreachable!("the loop returns or panics")
    }

    /// A new empty database.
    pub fn database(&'static self) -> MariaDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("legacy_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("create database {name} character set utf8mb4");
        let out = self.client("mysql").args(["-e", &sql]).output().expect("mariadb");
        assert!(out.status.success(), "create database: {}", text(&out.stderr));
        MariaDatabase { server: self, name }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// A client program (mariadb, mariadb-dump) that connects as root; the database comes last of the arguments.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["--no-defaults", "--user=root", "--default-character-set=utf8mb4"]);
        command.arg(format!("--socket={}", self.socket().display()));
        command
    }

    fn client(&self, database: &str) -> Command {
        let mut command = self.program("mariadb");
        command.arg(format!("--database={database}"));
        command
    }
}

impl MariaDatabase {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// The server it is on.
    pub fn server(&self) -> &'static MariaDb {
        self.server
    }

    /// Runs a script as the client does: several statements, `DELIMITER` included.
    #[track_caller]
    pub fn run(&self, script: &str) {
        self.attempt(script).unwrap_or_else(|message| panic!("{message}\nin: {script}"));
    }

    /// Runs a script and says why it fails: `ERROR 1062 (23000) at line 1: ..`.
    pub fn attempt(&self, script: &str) -> Result<(), String> {
        self.query(script).map(drop)
    }

    /// The rows of all queries of a script. None is SQL NULL, and so is the text `NULL`: the client does not tell them apart.
    #[track_caller]
    pub fn rows(&self, script: &str) -> Rows {
        self.query(script).unwrap_or_else(|message| panic!("{message}\nin: {script}"))
    }

    /// The rows of a script, or the error of its first statement that fails.
    pub fn query(&self, script: &str) -> Result<Rows, String> {
        let mut command = self.server.client(&self.name);
        let mut child = command
            .args(["--batch", "--skip-column-names"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mariadb: is mariadb-client installed?");
        let mut stdin = child.stdin.take().expect("piped");
        let script = script.to_owned();
        // a script longer than a pipe, with answers longer than one
        let feeder = thread::spawn(move || {
            use std::io::Write;
            // the client may have ended at an error
            stdin.write_all(script.as_bytes()).ok();
        });
        let out = child.wait_with_output().expect("mariadb");
        feeder.join().expect("the script's writer");
        if !out.status.success() {
            return Err(text(&out.stderr).trim().to_owned());
        }
        Ok(text(&out.stdout).lines().map(|line| line.split('\t').map(value).collect()).collect())
    }
}

/// A value as `--batch` prints it.
fn value(field: &str) -> Option<String> {
    if field == "NULL" {
        return None;
    }
    let mut text = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some('0')) => text.push('\0'),
            ('\\', Some(other)) => text.push(other),
            (c, _) => text.push(c),
        }
    }
    Some(text)
}

/// What ends with us: the server and its directory.
fn guard(dir: &Path) -> Guard {
    Guard::new(&format!(
        "test -f '{dir}/pid' && kill -9 \"$(cat '{dir}/pid')\" 2>/dev/null; rm -rf '{dir}'",
        dir = dir.display()
    ))
}

/// A server that starts removes the temporary tables of whoever shares its tmpdir.
fn tmpdir(dir: &Path) -> String {
    format!("--tmpdir={}", dir.display())
}

fn run_server(dir: &Path, port: u16, options: &[&str]) -> bool {
    let mut server = Command::new("mariadbd");
    server
        .arg("--no-defaults")
        .arg(format!("--datadir={}", dir.join("data").display()))
        .arg(format!("--socket={}", dir.join("socket").display()))
        .arg(format!("--pid-file={}", dir.join("pid").display()))
        .arg(format!("--log-error={}", dir.join("log").display()))
        .arg(tmpdir(dir))
        .arg(format!("--port={port}"))
        .args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"])
        .args(["--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4", "--default-time-zone=+00:00"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0);
    if is_root() {
        server.arg("--user=mysql");
    }
    let mut child = server.spawn().expect("mariadbd: is mariadb-server installed?");
    let end = Instant::now() + Duration::from_secs(60);
    let mut ready = false;
    while Instant::now() < end && !ready {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
        ready = dir.join("pid").exists() && std::os::unix::net::UnixStream::connect(dir.join("socket")).is_ok();
        thread::sleep(Duration::from_millis(50));
    }
    if !ready {
        child.kill().ok();
    }
    // it ends when the guard ends it
    let waiting = thread::spawn(move || child.wait());
    if !ready {
        waiting.join().expect("the server's end").ok();
    }
    ready
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| Command::new("id").arg("-u").output().expect("id").stdout == b"0\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_to_its_directory() {
        let temporary = env::temp_dir().join(format!("#sql-temptable-{:x}-1-1.MAI", std::process::id()));
        fs::write(&temporary, "another server's").expect("a file");
        if is_root() {
            let owned = Command::new("chown").arg("mysql:").arg(&temporary).status().expect("chown");
            assert!(owned.success(), "the file cannot be given to user mysql");
        }
        let _server = MariaDb::start(&[]);
        fs::remove_file(&temporary).expect("another server's temporary table is gone");
    }
}
