//! What a session begins with, and what stands between the tool and the server: neither ends its work half-way.

use std::fs;

use domain_events_tests::{Cluster, Db, Engine, Pooler, domain_events, engines, repository, run};

engines! { settings_of_roles_end_nothing, behind_a_pooler }

/// Files of one test, gone with the value.
struct File(std::path::PathBuf);

impl File {
    fn new(db: &Db, name: &str) -> File {
        File(std::env::temp_dir().join(format!("domain-events-{}-{}-{name}", std::process::id(), db.name)))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Timeouts that would cancel every statement, set for the role, the database and both.
fn settings_of_roles_end_nothing(db: &Db) {
    db.owner().run(&fs::read_to_string(repository().join("tests/demo/legacy.sql")).expect("the demo's database"));
    db.owner().run("create table public.many (id int primary key, n int); insert into public.many select g, g from generate_series(1, 2500) g");
    let mut admin = db.admin();
    let user = if db.engine == Engine::Native { "postgres" } else { "app_owner" };
    let mut settings = vec!["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    let major = admin.major_version();
    if major >= 14 {
        settings.push("idle_session_timeout");
    }
    if major >= 17 {
        settings.push("transaction_timeout");
    }
    for setting in &settings {
        // between the connection and its first statement a session idles, too
        let short = if setting.starts_with("idle_session") || setting.starts_with("transaction") { 1000 } else { 2 };
        admin.run(&format!(
            "alter database {0} set {setting} = {short}; alter role app_owner in database {0} set {setting} = {short}",
            db.name
        ));
    }
    admin.run(&format!(
        "alter role app_owner in database {} set default_transaction_isolation = 'serializable'",
        db.name
    ));
    let cli = |code: i32, args: &[&str]| db.cli(user, args).expect(code);
    let plan = File::new(db, "plan.toml");
    cli(0, &["install"]);
    cli(0, &["status"]);
    cli(3, &["scan"]);
    cli(3, &["plan", "--out", plan.path()]);
    cli(0, &["apply", "--yes", plan.path()]);
    cli(0, &["verify", plan.path()]);
    cli(0, &["capture", "enable", "many", "--baseline", "now"]);
    cli(0, &["capture", "pause", "many"]);
    cli(0, &["capture", "resume", "many"]);
    let monitored = db.cli(user, &["monitor", "--full", "--stats"]);
    assert!(matches!(monitored.code, 0 | 3), "{monitored:?}");
    cli(0, &["rollback", "--yes"]);
    cli(0, &["uninstall", "--drop-events", "--yes"]);
    admin.run(&format!("alter database {0} reset all; alter role app_owner in database {0} reset all", db.name));
}

/// In transaction mode the tool says what it needs and has set nothing in the pool; in session mode it works.
fn behind_a_pooler(db: &Db) {
    db.owner().run("create table public.users (id int primary key, email text)");
    for more in [
        "",
        "ignore_startup_parameters = options,extra_float_digits",
        "server_round_robin = 1\nignore_startup_parameters = options",
    ] {
        let pooler = Pooler::start(db.cluster(), "transaction", more);
        let at = |args: &[&str]| run(domain_events().env("DATABASE_URL", pooler.url(&db.name, "app_owner")).args(args));
        for args in [&["status"] as &[&str], &["capture", "enable", "users"], &["install"], &["monitor", "--full"]] {
            at(args).expect_error(1, "0A000").saying("transaction").saying("pool_mode = session");
        }
        // the application's sessions find what they had: nothing of the tool's was left in a server process
        for _ in 0..4 {
            let mut psql = db.client_program("psql", "app_owner");
            psql.env_remove("PGHOST").env_remove("PGPORT").args([
                "-X",
                "-At",
                "-c",
                "show search_path",
                &pooler.url(&db.name, "app_owner"),
            ]);
            let shown = run(&mut psql).expect(0);
            assert_eq!(shown.stdout.trim(), "\"$user\", public");
        }
    }
    // the product itself works there, and the tool beside it
    let pooler = Pooler::start(db.cluster(), "session", "ignore_startup_parameters = options");
    let at = |args: &[&str]| run(domain_events().env("DATABASE_URL", pooler.url(&db.name, "app_owner")).args(args));
    at(&["capture", "enable", "users"]).expect(0);
    at(&["status"]).expect(0);
    at(&["capture", "list"]).expect(0);
    db.owner().run("insert into public.users values (1, 'a')");
    db.check_table("User", "public.users");
}

/// A server that takes no writes says why, and what to do.
#[test]
fn a_read_only_database_is_told() {
    let db = Db::on(Cluster::start(&[]), Engine::Portable);
    db.owner().run("create table public.users (id int primary key)");
    db.admin().run(&format!("alter database {} set default_transaction_read_only = on", db.name));
    let enable = ["capture", "enable", "users"];
    db.cli("app_owner", &enable)
        .expect_error(1, "25006")
        .saying("default_transaction_read_only is on (database)")
        .saying("PGOPTIONS");
    db.cli("app_owner", &["install"]).expect(0); // nothing to do
    db.cli("app_owner", &["uninstall", "--yes"]).expect_error(1, "25006");
    db.cli("app_owner", &["status"]).expect(0);
    run(db.cli_command("app_owner", &enable).env("PGOPTIONS", "-c default_transaction_read_only=off")).expect(0);
    let standby = db.cluster().standby();
    let on_standby =
        |args: &[&str]| run(domain_events().env("DATABASE_URL", standby.url(&db.name, "app_owner")).args(args));
    on_standby(&["capture", "pause", "users"]).expect_error(1, "25006").saying("standby").saying("primary");
    on_standby(&["status"]).expect(0);
    on_standby(&["capture", "list"]).expect(0);
    on_standby(&["scan"]).expect(0);
}

#[test]
fn a_role_without_connect_is_told() {
    let db = Db::new(Engine::Portable);
    db.admin().run(&format!("revoke connect on database {} from public", db.name));
    let stranger = db.role("stranger");
    db.cli(&stranger, &["status"]).expect(1).saying("42501").saying("grant connect on database");
}

/// No space for what is to be written: nothing of it is kept, and the tool says so.
#[test]
fn a_full_disk_is_told() {
    let db = Db::on(Cluster::start(&[]), Engine::Portable);
    let place = Tmpfs::mount(&db, "1m");
    let mut admin = db.admin();
    admin.run(&format!("create tablespace small location '{}'", place.path()));
    admin.run("grant create on tablespace small to app_owner");
    db.owner().run("create table public.users (id int primary key, v text); insert into public.users select g, (select string_agg(md5(g::text || i), '') from generate_series(1, 30) i) from generate_series(1, 1500) g");
    for index in admin
        .table("select indexrelid::regclass from pg_index where indrelid = 'domain_events.events'::regclass")
        .lines()
    {
        admin.run(&format!("alter index {index} set tablespace small"));
    }
    admin.run("alter table domain_events.events set tablespace small");
    let full = db.cli("app_owner", &["capture", "enable", "users", "--baseline", "now"]).expect_error(1, "53100");
    assert!(full.stderr.contains("baseline_capture"), "what to do next: {full:?}");
    // the table is captured, its writers are told, and all goes on once there is space
    let mut owner = db.owner();
    let told = owner.number("select count(*) from domain_events.events where event_type = 'UserBaselined'");
    assert!(told < 1500, "{told}");
    admin.run("alter table domain_events.events set tablespace pg_default");
    for index in admin
        .table("select indexrelid::regclass from pg_index where indrelid = 'domain_events.events'::regclass")
        .lines()
    {
        admin.run(&format!("alter index {index} set tablespace pg_default"));
    }
    while owner.number("select domain_events.baseline_capture('public.users')") > 0 {}
    db.check_table("User", "public.users");
}

/// A file system in memory of this size, which only root may mount; without it a directory whose quota nobody can fill would
/// prove nothing, so that the test fails there.
struct Tmpfs(std::path::PathBuf, bool);

fn as_root(db: &Db, program: &str) -> std::process::Command {
    if db.cluster().runs_as_other_user() {
        return std::process::Command::new(program);
    }
    let mut command = std::process::Command::new("sudo");
    command.args(["-n", program]);
    command
}

impl Tmpfs {
    fn mount(db: &Db, size: &str) -> Tmpfs {
        let path = db.cluster().socket_dir().join("small");
        fs::create_dir_all(&path).expect("a directory");
        let done = as_root(db, "mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0777"), "tmpfs"])
            .arg(&path)
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "no file system in memory can be mounted: run the tests as root"
        );
        let inner = path.join("data");
        fs::create_dir_all(&inner).expect("a directory");
        if db.cluster().runs_as_other_user() {
            as_root(db, "chown").arg("postgres:").arg(&inner).status().expect("chown");
        }
        Tmpfs(path, db.cluster().runs_as_other_user())
    }

    fn path(&self) -> String {
        self.0.join("data").display().to_string()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // lazily: the server still runs
        let mut command = std::process::Command::new(if self.1 { "umount" } else { "sudo" });
        if !self.1 {
            command.args(["-n", "umount"]);
        }
        command.arg("-l").arg(&self.0).status().ok();
    }
}
