//! A PostgreSQL server of its own: initdb, start, and gone when the test process ends, however it ends.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Session, guard::Guard};

mod recovery;

/// A running server. Listens on a unix socket in its own directory and on 127.0.0.1.
pub struct Cluster {
    dir: PathBuf,
    port: u16,
    _guard: Guard,
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Where initdb, pg_ctl, psql and pg_dump of the tested major version are.
pub fn bin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let debian = "/usr/lib/postgresql/15/bin/pg_config";
        let default = if Path::new(debian).exists() { debian } else { "pg_config" };
        let config = env::var("PG_CONFIG").unwrap_or_else(|_| default.into());
        let out = Command::new(&config).arg("--bindir").output().unwrap_or_else(|e| panic!("{config}: {e}"));
        PathBuf::from(String::from_utf8(out.stdout).expect("a path").trim())
    })
}

/// Where servers have their data: in memory where there is room for it. Of the tests' processor time on ext4 a fifth went into
/// the search for inodes, as it does not use those again that it freed within the last minutes, 300 for each database dropped.
pub(crate) fn place() -> &'static Path {
    const ENOUGH: u64 = 8 << 30; // bytes; no test binary needs 4 GB
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let free = Command::new("df").args(["--output=avail", "-B1"]).arg(memory).output().ok().and_then(|out| {
            String::from_utf8_lossy(&out.stdout).lines().nth(1).and_then(|bytes| bytes.trim().parse::<u64>().ok())
        });
        if free.is_some_and(|bytes| bytes >= ENOUGH) { memory.to_path_buf() } else { env::temp_dir() }
    })
}

pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| Command::new("id").arg("-u").output().expect("id").stdout == b"0\n")
}

/// A server program, run as user postgres when we are root (the server refuses to run as root).
fn server_program(name: &str) -> Command {
    let words = server_program_words(name);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    // pgrx puts a backtrace into DETAIL when the server has this set.
    command.env_remove("RUST_BACKTRACE").current_dir("/");
    command
}

fn server_program_words(name: &str) -> Vec<String> {
    let path = bin_dir().join(name).display().to_string();
    let root = ["runuser", "-u", "postgres", "--"].map(str::to_owned);
    if is_root() { root.into_iter().chain([path]).collect() } else { vec![path] }
}

fn succeed(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

impl Cluster {
    /// The server that all tests of this process share, with default settings.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&[]))
    }

    /// A server of its own, with these settings on top of the defaults.
    pub fn start(settings: &[(&str, &str)]) -> Cluster {
        Cluster::start_in(place(), settings)
    }

    /// The same, with its data below a directory of the caller's choice, for example one in memory.
    pub fn start_in(parent: &Path, settings: &[(&str, &str)]) -> Cluster {
        let dir = new_dir(parent);
        let guard = guard(&dir);
        initdb(&dir);
        let port = start_somewhere(&dir, settings, "true");
        let cluster = Cluster { dir, port, _guard: guard };
        cluster.prepare_roles();
        cluster
    }

    /// The same, each of whose processes may map so many kilobytes.
    pub fn start_within(kilobytes: u64, settings: &[(&str, &str)]) -> Cluster {
        let dir = new_dir(place());
        let guard = guard(&dir);
        initdb(&dir);
        let port = start_somewhere(&dir, settings, &format!("ulimit -v {kilobytes}"));
        let cluster = Cluster { dir, port, _guard: guard };
        cluster.prepare_roles();
        cluster
    }

    /// The same, with these variables in its environment: `NAME=value ..`.
    pub fn start_with_environment(variables: &str) -> Cluster {
        let dir = new_dir(place());
        let guard = guard(&dir);
        initdb(&dir);
        let port = start_somewhere(&dir, &[], &format!("export {variables}"));
        let cluster = Cluster { dir, port, _guard: guard };
        cluster.prepare_roles();
        cluster
    }

    /// Stops and starts the server; its databases stay.
    pub fn restart(&self) {
        // The server inherits what we give it: a pipe would stay open for as long as it runs.
        let done = server_program("pg_ctl")
            .args(["-w", "-s", "-m", "fast", "restart", "-D"])
            .arg(self.dir.join("data"))
            .arg("-l")
            .arg(self.dir.join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("pg_ctl");
        assert!(done.success(), "the server does not restart:\n{}", self.log());
    }

    /// What a DBA does once per server: the product's roles, and an application's owner without any special right.
    fn prepare_roles(&self) {
        self.connect("postgres", "postgres").run(
            "create role domain_events_reader nologin;
             create role domain_events_writer nologin;
             create role domain_events_admin nologin;
             create role app_owner login;",
        );
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's log, for checks of what must not appear in it.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).expect("the server's log")
    }

    /// A new session.
    pub fn connect(&self, database: &str, user: &str) -> Session {
        self.try_connect(database, user).unwrap_or_else(|e| panic!("connect to {database} as {user}: {e}"))
    }

    /// A new session, or why not.
    pub fn try_connect(&self, database: &str, user: &str) -> Result<Session, postgres::Error> {
        let client = postgres::Config::new()
            .host_path(&self.dir)
            .port(self.port)
            .user(user)
            .dbname(database)
            .application_name("domain_events_tests")
            .connect(postgres::NoTls)?;
        Ok(Session::new(client))
    }

    /// The URL of a database, as `domain-events` takes it.
    pub fn url(&self, database: &str, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// A client program (psql, pg_dump, pg_restore) that connects as `user`.
    pub fn client_program(&self, name: &str, database: &str, user: &str) -> Command {
        let mut command = Command::new(bin_dir().join(name));
        command
            .env("PGHOST", &self.dir)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", user)
            .env("PGDATABASE", database)
            .env("PGOPTIONS", "")
            .current_dir(repository());
        command
    }
}

/// What ends with us: the server and its directory.
fn guard(dir: &Path) -> Guard {
    Guard::new(&format!(
        "{} -m immediate stop -D '{dir}/data' >/dev/null 2>&1; rm -rf '{dir}'",
        server_program_text("pg_ctl"),
        dir = dir.display()
    ))
}

fn server_program_text(name: &str) -> String {
    let path = bin_dir().join(name).display().to_string();
    if is_root() { format!("runuser -u postgres -- '{path}'") } else { format!("'{path}'") }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// An empty directory that the server's user may write.
pub(crate) fn new_dir(parent: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = parent.join(format!("domain-events-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory for the server");
    if is_root() {
        succeed(Command::new("chown").arg("postgres:").arg(&dir));
    }
    dir
}

fn initdb(dir: &Path) {
    succeed(server_program("initdb").arg("-D").arg(dir.join("data")).args([
        "--no-sync",
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]));
}

/// Another process may take the free port before the server does: then try the next.
/// `before`: what the shell does before it starts the server, which inherits limits and variables.
fn start_somewhere(dir: &Path, settings: &[(&str, &str)], before: &str) -> u16 {
    for attempt in 1.. {
        let port = free_port();
        if start(dir, port, settings, before) {
            return port;
        }
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(attempt < 5 && log.contains("Address already in use"), "the server does not start:\n{log}");
    }
    unreachable!("the loop returns or panics")
}

fn start(dir: &Path, port: u16, settings: &[(&str, &str)], before: &str) -> bool {
    let mut options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off -c log_line_prefix='%m [%p] %d '",
        dir.display()
    );
    for (name, value) in settings {
        options += &format!(" -c {name}='{value}'");
    }
    Command::new("sh")
        .args(["-c", &format!("{before} && exec \"$@\""), "pg_ctl"])
        .args(server_program_words("pg_ctl"))
        .args(["-w", "-s", "-t", "60", "start", "-D"])
        .arg(dir.join("data"))
        .arg("-l")
        .arg(dir.join("log"))
        .arg("-o")
        .arg(options)
        .env_remove("RUST_BACKTRACE")
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("pg_ctl")
        .success()
}
