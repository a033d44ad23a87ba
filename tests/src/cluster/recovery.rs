//! Crashes, restarts and standbys.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Cluster, bin_dir, free_port, guard, initdb, is_root, new_dir, place, server_program, start, start_somewhere,
    succeed,
};

impl Cluster {
    /// True when the server's programs run as user postgres because we are root.
    pub fn runs_as_other_user(&self) -> bool {
        is_root()
    }

    /// Kills the postmaster and every process of the server with SIGKILL, as a power cut would, and waits until all are gone.
    pub fn crash(&self) {
        let file = fs::read_to_string(self.dir.join("data/postmaster.pid")).expect("a running server");
        let postmaster: u32 = file.lines().next().and_then(|l| l.parse().ok()).expect("the postmaster's id");
        // Stopped, it starts no process that we would miss.
        signal("-STOP", &[postmaster]);
        let mut processes = children(postmaster);
        processes.insert(0, postmaster);
        signal("-KILL", &processes);
        let deadline = Instant::now() + Duration::from_secs(30);
        while processes.iter().any(|p| is_alive(*p)) {
            assert!(Instant::now() < deadline, "the server survives SIGKILL");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Where nobody collects orphans they stay as zombies, and the next server would take those for a running one.
        fs::remove_file(self.dir.join("data/postmaster.pid")).ok();
        fs::remove_file(self.dir.join(format!(".s.PGSQL.{}.lock", self.port))).ok();
    }

    /// As if so many transactions had run by now: the next one has this number, and all rows are frozen. Only numbers at which a
    /// file of the commit log begins, and at most 2^31 ahead.
    pub fn jump_to_transaction(&self, next: u64) {
        self.connect("postgres", "postgres")
            .run("update pg_database set datallowconn = true where datname = 'template0'");
        succeed(self.client_program("vacuumdb", "postgres", "postgres").args(["--all", "--freeze", "--quiet"]));
        let data = self.dir.join("data");
        succeed(server_program("pg_ctl").args(["-w", "-s", "-m", "fast", "stop", "-D"]).arg(&data));
        succeed(server_program("pg_resetwal").arg("-x").arg(next.to_string()).arg("-D").arg(&data));
        // Autovacuum would freeze what is to stay old.
        assert!(
            start(&self.dir, self.port, &[("autovacuum", "off")], "true"),
            "the server does not start:\n{}",
            self.log()
        );
    }

    /// A streaming replica of this server, in recovery for as long as it lives.
    pub fn standby(&self) -> Cluster {
        let dir = new_dir(place());
        let guard = guard(&dir);
        succeed(
            server_program("pg_basebackup")
                .arg("-h")
                .arg(&self.dir)
                .args([
                    "-p",
                    &self.port.to_string(),
                    "-U",
                    "postgres",
                    "-X",
                    "stream",
                    "-R",
                    "-c",
                    "fast",
                    "--no-sync",
                    "-D",
                ])
                .arg(dir.join("data"))
                .stdin(Stdio::null()),
        );
        let port = start_somewhere(&dir, &[], "true");
        Cluster { dir, port, _guard: guard }
    }

    /// The same databases in a new server, brought there by pg_upgrade; this one is stopped.
    pub fn upgrade(&self) -> Cluster {
        let dir = new_dir(place());
        let guard = guard(&dir);
        initdb(&dir);
        succeed(server_program("pg_ctl").args(["-w", "-s", "-m", "fast", "stop", "-D"]).arg(self.dir.join("data")));
        let (from, to) = (self.port.to_string(), free_port().to_string());
        succeed(
            server_program("pg_upgrade")
                .current_dir(&dir)
                .args(["--username=postgres", "-b"])
                .arg(bin_dir())
                .arg("-B")
                .arg(bin_dir())
                .arg("-d")
                .arg(self.dir.join("data"))
                .arg("-D")
                .arg(dir.join("data"))
                .args(["-p", &from, "-P", &to]),
        );
        let port = start_somewhere(&dir, &[], "true");
        Cluster { dir, port, _guard: guard }
    }
}

fn signal(signal: &str, processes: &[u32]) {
    // A process that is gone already is no error.
    Command::new("kill")
        .arg(signal)
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status()
        .expect("kill");
}

fn children(parent: u32) -> Vec<u32> {
    let out = Command::new("pgrep").args(["-P", &parent.to_string()]).output().expect("pgrep");
    String::from_utf8_lossy(&out.stdout).lines().filter_map(|l| l.parse().ok()).collect()
}

fn is_alive(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
