//! Who and where: users, connection, variables of session and server.

use super::super::Translator;
use super::super::names::of_variable;
use super::super::value::{Sql, Ty, literal};
use super::Call;

impl Translator<'_> {
    pub(in super::super) fn session_function(&mut self, it: &Call<'_>) -> Option<Sql> {
        Some(match (it.name.as_str(), it.raw.as_slice()) {
            ("USER" | "SESSION_USER" | "SYSTEM_USER", []) => self.account("session_user", "USER()"),
            ("CURRENT_USER", []) => {
                self.declare("CURRENT_USER()", "PostgreSQL's owner of the function, as MySQL's definer; there is no host");
                Sql::compound("current_user || '@%'", Ty::Text)
            }
            ("CURRENT_ROLE", []) => Sql::atom("current_user::text", Ty::Text),
            ("CONNECTION_ID", []) => Sql::atom("pg_backend_pid()", Ty::Int),
            ("DATABASE" | "SCHEMA", []) => {
                self.declare("DATABASE()", "the name of PostgreSQL's database");
                Sql::atom("current_database()::text", Ty::Text)
            }
            ("VERSION", []) => {
                self.declare("VERSION()", "PostgreSQL's version");
                Sql::atom("current_setting('server_version')", Ty::Text)
            }
            ("LAST_INSERT_ID", []) => {
                self.declare(
                    "LAST_INSERT_ID()",
                    "the number that a sequence gave last in this session, by whatever statement; an error where there is none yet",
                );
                Sql::atom("lastval()", Ty::Int)
            }
            ("ROW_COUNT", []) => {
                self.counts_rows = true;
                self.declare("ROW_COUNT()", "rows that an UPDATE finds count even if they stay as they are; MySQL counts changed ones");
                Sql::atom("mysql_row_count", Ty::Int)
            }
            ("FOUND_ROWS", []) => self.refuse(&it.whole, "PostgreSQL does not count the rows of an earlier query"),
            ("SLEEP", [seconds]) => {
                let seconds = self.expr(seconds);
                let seconds = self.number(&seconds);
                Sql::atom(format!("(select 0 from pg_sleep({}))", seconds.text), Ty::Int)
            }
            ("GET_LOCK" | "RELEASE_LOCK" | "IS_FREE_LOCK" | "BENCHMARK" | "LOAD_FILE" | "MASTER_POS_WAIT", _) => {
                self.refuse(&it.whole, "a named lock or a file of the server: PostgreSQL has advisory locks, which end with the transaction")
            }
            _ => return None,
        })
    }

    fn account(&mut self, role: &str, construct: &str) -> Sql {
        self.declare(
            construct,
            "PostgreSQL's role and the client's address; MySQL gives its own user and the host's name",
        );
        Sql::compound(format!("{role} || '@' || coalesce(host(inet_client_addr()), 'localhost')"), Ty::Text)
    }

    /// `@x`: a variable of the program where nothing else sees it, else a setting of the session.
    pub(in super::super) fn user_variable(&mut self, name: &str) -> Sql {
        let bare = name.trim_start_matches('@').trim_matches('`').to_lowercase();
        if let Some(variable) = self.locals.get(&bare) {
            return of_variable(&variable.clone());
        }
        let setting = self.setting(&bare);
        Sql {
            setting: true,
            ..Sql::atom(format!("nullif(current_setting({}, true), '')", literal(&setting)), Ty::Text)
        }
    }

    /// The setting that stands for a user variable.
    pub(in super::super) fn setting(&mut self, bare: &str) -> String {
        let name: String = bare
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '_' })
            .collect();
        let setting = format!("app.{}{name}", if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" });
        self.settings.insert(format!("@{bare}"), setting.clone());
        self.declare(
            &format!("@{bare}"),
            format!(
                "the setting {setting}: the application has to SET it where it set the variable, or the value is NULL"
            ),
        );
        setting
    }

    /// `@@x`.
    pub(in super::super) fn system_variable(&mut self, name: &str) -> Sql {
        let bare = name.trim_start_matches('@').to_lowercase();
        let bare = bare.rsplit('.').next().unwrap_or_default();
        match bare {
            "hostname" => {
                self.declare("@@hostname", "the server's address");
                Sql::atom("coalesce(host(inet_server_addr()), 'localhost')", Ty::Text)
            }
            "version" => {
                self.declare("VERSION()", "PostgreSQL's version");
                Sql::atom("current_setting('server_version')", Ty::Text)
            }
            "autocommit" => Sql { literal: Some("1".into()), ..Sql::atom("1", Ty::Int) },
            "pseudo_thread_id" => Sql::atom("pg_backend_pid()", Ty::Int),
            "time_zone" => Sql::atom("current_setting('TimeZone')", Ty::Text),
            _ => self.refuse(name, "a variable of MySQL's server"),
        }
    }
}
