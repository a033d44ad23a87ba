//! Copies of a database through pg_dump and pg_restore.

use crate::{Db, Engine};

impl Db {
    /// A path for a file of this database, gone with the server.
    pub fn file(&self, name: &str) -> String {
        let path = self.cluster().socket_dir().join(format!("{}-{name}", self.name));
        path.into_os_string().into_string().expect("a path")
    }

    /// Runs a client program and insists on silence: a warning of pg_restore is an error that the user would have to judge.
    pub fn quietly(&self, program: &str, arguments: &[&str]) {
        let out = self.client_program(program, "postgres").args(arguments).output().expect(program);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && stderr.is_empty(), "{program} {arguments:?}:\n{stderr}");
    }

    /// The whole database, restored from an archive.
    pub fn restored(&self) -> Db {
        let path = self.file("whole.dump");
        self.quietly("pg_dump", &["-Fc", "-f", &path]);
        let copy = Db::new(Engine::None).holding(self.engine);
        copy.quietly("pg_restore", &["--exit-on-error", "-d", &copy.name, &path]);
        copy
    }

    /// The schema from a script, then the data alone with `--disable-triggers`.
    pub fn restored_data_only(&self) -> Db {
        let (schema, data) = (self.file("schema.sql"), self.file("data.dump"));
        self.quietly("pg_dump", &["-s", "-f", &schema]);
        self.quietly("pg_dump", &["-a", "-Fc", "-f", &data]);
        let copy = Db::new(Engine::None).holding(self.engine);
        let out = copy
            .client_program("psql", "postgres")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &schema])
            .output()
            .expect("psql");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        copy.quietly("pg_restore", &["--exit-on-error", "--disable-triggers", "-d", &copy.name, &data]);
        copy
    }
}
