//! The native engine of pg_domain_events: the portable engine's SQL, with its hot paths replaced.
//!
//! | module | role |
//! |---|---|
//! | `append` | versions, append_event |
//! | `capture` | a row's change becomes an event |
//! | `context` | who and why, from the session's settings |
//! | `jsonb`, `numeric`, `uuid` | stored forms, written directly |
//! | `error` | every error with its SQLSTATE |
//! | `pg` | everything that touches Postgres; the only unsafe code |

mod append;
mod capture;
mod context;
mod error;
mod jsonb;
mod numeric;
mod pg;
mod uuid;

pgrx::pg_module_magic!();

#[allow(non_snake_case)]
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::entry::register();
}

// The SQL surface: the portable engine's files as they are, in their order, then what native replaces. The package's SQL
// file is made from these. `tests` checks that no file of sql/ is missing here.
pgrx::extension_sql_file!("../../sql/00_schema.sql", name = "sql_00_schema", bootstrap);
pgrx::extension_sql_file!("../../sql/10_store.sql", name = "sql_10_store", requires = ["sql_00_schema"]);
pgrx::extension_sql_file!("../../sql/20_context.sql", name = "sql_20_context", requires = ["sql_10_store"]);
pgrx::extension_sql_file!("../../sql/30_versions.sql", name = "sql_30_versions", requires = ["sql_20_context"]);
pgrx::extension_sql_file!("../../sql/40_append.sql", name = "sql_40_append", requires = ["sql_30_versions"]);
pgrx::extension_sql_file!(
    "../../sql/50_capture_tables.sql",
    name = "sql_50_capture_tables",
    requires = ["sql_40_append"]
);
pgrx::extension_sql_file!(
    "../../sql/51_capture_expressions.sql",
    name = "sql_51_capture_expressions",
    requires = ["sql_50_capture_tables"]
);
pgrx::extension_sql_file!(
    "../../sql/52_capture_plan.sql",
    name = "sql_52_capture_plan",
    requires = ["sql_51_capture_expressions"]
);
pgrx::extension_sql_file!(
    "../../sql/53_capture_function.sql",
    name = "sql_53_capture_function",
    requires = ["sql_52_capture_plan"]
);
pgrx::extension_sql_file!(
    "../../sql/54_capture_write.sql",
    name = "sql_54_capture_write",
    requires = ["sql_53_capture_function"]
);
pgrx::extension_sql_file!(
    "../../sql/55_capture_admin.sql",
    name = "sql_55_capture_admin",
    requires = ["sql_54_capture_write"]
);
pgrx::extension_sql_file!(
    "../../sql/56_capture_baseline.sql",
    name = "sql_56_capture_baseline",
    requires = ["sql_55_capture_admin"]
);
pgrx::extension_sql_file!("../../sql/60_fold.sql", name = "sql_60_fold", requires = ["sql_56_capture_baseline"]);
pgrx::extension_sql_file!("../../sql/70_read.sql", name = "sql_70_read", requires = ["sql_60_fold"]);
pgrx::extension_sql_file!("../../sql/80_checks.sql", name = "sql_80_checks", requires = ["sql_70_read"]);
pgrx::extension_sql_file!("../../sql/85_migrations.sql", name = "sql_85_migrations", requires = ["sql_80_checks"]);
pgrx::extension_sql_file!("../../sql/90_privileges.sql", name = "sql_90_privileges", requires = ["sql_85_migrations"]);
pgrx::extension_sql_file!("../sql/native.sql", name = "native", requires = ["sql_90_privileges"], finalize);
