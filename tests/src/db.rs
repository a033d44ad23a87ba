//! One database per test, copied from a template that holds the installed engine.

use std::{
    collections::HashMap,
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Cluster, Failure, Rows, Session};

/// How the store is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// `sql/install.sql` by the database's owner, who is no superuser and may not create roles.
    Portable,
    /// `sql/install.sql` by a superuser.
    PortableSuper,
    /// `create extension pg_domain_events`.
    Native,
    /// Nothing is installed: for tests of installation itself.
    None,
}

impl Engine {
    fn template(self) -> &'static str {
        match self {
            Engine::Portable => "template_portable",
            Engine::PortableSuper => "template_portable_super",
            Engine::Native => "template_native",
            Engine::None => "template1",
        }
    }

    /// What `domain_events.engine()` says.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Native => "native",
            _ => "portable",
        }
    }

    /// Installs the store into a database of the cluster.
    pub fn install(self, cluster: &Cluster, database: &str) {
        match self {
            Engine::None => {}
            Engine::Portable => psql_install(cluster, database, "app_owner"),
            Engine::PortableSuper => psql_install(cluster, database, "postgres"),
            Engine::Native => cluster.connect(database, "postgres").run("create extension pg_domain_events"),
        }
        if matches!(self, Engine::PortableSuper | Engine::Native) {
            cluster
                .connect(database, "postgres")
                .run("grant domain_events_reader, domain_events_writer, domain_events_admin to app_owner");
        }
    }
}

fn psql_install(cluster: &Cluster, database: &str, user: &str) {
    let out = install_command(cluster, database, user).output().expect("psql");
    assert!(out.status.success(), "sql/install.sql fails:\n{}", String::from_utf8_lossy(&out.stderr));
}

/// The documented way to install the portable engine.
fn install_command(cluster: &Cluster, database: &str, user: &str) -> Command {
    let mut command = cluster.client_program("psql", database, user);
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "sql/install.sql"]);
    command
}

/// A database of its own, dropped with the value. Owner: `app_owner`, who holds the product's three roles.
pub struct Db {
    cluster: ClusterRef,
    /// How the store was installed.
    pub engine: Engine,
    /// The database's name.
    pub name: String,
}

enum ClusterRef {
    Shared(&'static Cluster),
    Own(Cluster),
}

impl Db {
    /// A database on the shared server.
    pub fn new(engine: Engine) -> Db {
        static TEMPLATES: Mutex<Option<HashMap<Engine, bool>>> = Mutex::new(None);
        let cluster = Cluster::shared();
        {
            // A failed installation is told to every test that needs it, but tried only once.
            let mut guard = TEMPLATES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let done = guard.get_or_insert_with(HashMap::new);
            match done.get(&engine) {
                Some(true) => {}
                Some(false) => panic!("{engine:?} could not be installed: see the first failure"),
                None => {
                    done.insert(engine, false);
                    make_template(cluster, engine);
                    done.insert(engine, true);
                }
            }
        }
        let db = Db { cluster: ClusterRef::Shared(cluster), engine, name: unique_name() };
        let mut admin = cluster.connect("postgres", "postgres");
        let template = engine.template();
        admin.run(&format!("create database {} template {template} owner app_owner{}", db.name, copied_by(cluster)));
        db
    }

    /// The same database, said to hold this engine: for what a restore brought there.
    pub fn holding(mut self, engine: Engine) -> Db {
        self.engine = engine;
        self
    }

    /// The database of this name, on another server to which it was copied.
    pub fn copied_to(&self, cluster: Cluster) -> Db {
        Db { cluster: ClusterRef::Own(cluster), engine: self.engine, name: self.name.clone() }
    }

    /// A database on a server of its own.
    pub fn on(cluster: Cluster, engine: Engine) -> Db {
        let db = Db { engine, name: unique_name(), cluster: ClusterRef::Own(cluster) };
        let mut admin = db.cluster().connect("postgres", "postgres");
        admin.run(&format!("create database {} owner app_owner", db.name));
        engine.install(db.cluster(), &db.name);
        db
    }

    /// A database on a server that serves others as well.
    pub fn beside(cluster: &'static Cluster, engine: Engine) -> Db {
        let db = Db { engine, name: unique_name(), cluster: ClusterRef::Shared(cluster) };
        cluster.connect("postgres", "postgres").run(&format!("create database {} owner app_owner", db.name));
        engine.install(cluster, &db.name);
        db
    }

    /// The server.
    pub fn cluster(&self) -> &Cluster {
        match &self.cluster {
            ClusterRef::Shared(cluster) => cluster,
            ClusterRef::Own(cluster) => cluster,
        }
    }

    /// A session of the database's owner: no superuser, owns the tables it creates.
    pub fn owner(&self) -> Session {
        self.session("app_owner")
    }

    /// A session of a superuser.
    pub fn admin(&self) -> Session {
        self.session("postgres")
    }

    /// A session of any role.
    pub fn session(&self, user: &str) -> Session {
        self.cluster().connect(&self.name, user)
    }

    /// A new login role without any right, named after this database since roles are the whole server's.
    pub fn role(&self, name: &str) -> String {
        let role = format!("{name}_{}", self.name);
        self.admin().run(&format!("create role {role} login"));
        role
    }

    /// The URL of this database.
    pub fn url(&self, user: &str) -> String {
        self.cluster().url(&self.name, user)
    }

    /// A client program (psql, pg_dump ..) on this database.
    pub fn client_program(&self, name: &str, user: &str) -> Command {
        self.cluster().client_program(name, &self.name, user)
    }

    /// Runs `sql/install.sql` here, whatever comes of it.
    pub fn install_command(&self, user: &str) -> Command {
        install_command(self.cluster(), &self.name, user)
    }

    /// Waits until the session of this process waits for a lock.
    pub fn wait_until_blocked(&self, pid: i64) {
        let mut admin = self.admin();
        let query = format!("select count(*) from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'");
        let deadline = Instant::now() + Duration::from_secs(30);
        while admin.number(&query) == 0 {
            assert!(Instant::now() < deadline, "process {pid} never waited for a lock");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// One session begins and runs `held`; another runs `begin`, then waits for the first in `statement`; the first commits.
    /// What the other got, and the other.
    pub fn contend(&self, held: &str, begin: &str, statement: &str) -> (Session, Result<Rows, Failure>) {
        let (mut holder, mut other) = (self.owner(), self.owner());
        let pid = other.pid();
        holder.run("begin");
        holder.run(held);
        other.run(begin);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let result = other.attempt(statement);
                (other, result)
            });
            self.wait_until_blocked(pid);
            holder.run("commit");
            waiting.join().expect("the session that waited")
        })
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if matches!(self.cluster, ClusterRef::Shared(_))
            && let Ok(mut admin) = self.cluster().try_connect("postgres", "postgres")
        {
            admin.attempt(&format!("drop database if exists {} with (force)", self.name)).ok();
        }
    }
}

/// How a template is copied: as files, with the cache of the catalogue that the template's first session left, which each
/// test's first session else makes anew. With the write-ahead log, as since 15, a database costs a quarter more.
fn copied_by(cluster: &Cluster) -> &'static str {
    static CLAUSE: OnceLock<&str> = OnceLock::new();
    CLAUSE.get_or_init(|| {
        let major = cluster.connect("postgres", "postgres").major_version();
        if major >= 15 { " strategy file_copy" } else { "" }
    })
}

fn make_template(cluster: &Cluster, engine: Engine) {
    if engine == Engine::None {
        return;
    }
    let name = engine.template();
    cluster.connect("postgres", "postgres").run(&format!("create database {name} owner app_owner"));
    engine.install(cluster, name);
}

fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
