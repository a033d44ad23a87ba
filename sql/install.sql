-- The portable engine, by psql alone:  psql -f sql/install.sql
-- One transaction: it is installed whole or not at all. "domain-events install" runs the same files in the same order.
\set ON_ERROR_STOP on
begin;
set local client_min_messages = notice;
\ir 00_schema.sql
\ir 10_store.sql
\ir 20_context.sql
\ir 22_commands.sql
\ir 30_versions.sql
\ir 31_legacy_tables.sql
\ir 32_legacy_versions.sql
\ir 40_append.sql
\ir 41_append_batch.sql
\ir 50_capture_tables.sql
\ir 51_capture_expressions.sql
\ir 52_capture_plan.sql
\ir 52_capture_places.sql
\ir 53_capture_pieces.sql
\ir 54_capture_function.sql
\ir 55_capture_write.sql
\ir 56_capture_arguments.sql
\ir 56_capture_triggers.sql
\ir 57_capture_admin.sql
\ir 58_capture_baseline.sql
\ir 59_capture_partitions.sql
\ir 60_fold.sql
\ir 61_check_rows.sql
\ir 62_tell_rows.sql
\ir 70_read.sql
\ir 78_adoptions.sql
\ir 79_imports.sql
\ir 80_thresholds.sql
\ir 81_integrity.sql
\ir 82_integrity_incremental.sql
\ir 83_performance.sql
\ir 84_alerts.sql
\ir 85_migrations.sql
\ir 86_infrastructure.sql
\ir 86_privileges.sql
\ir 86_repair.sql
\ir 87_capture_checks.sql
\ir 87_stats.sql
\ir 88_guard.sql
\ir 89_alerts.sql
\ir 90_privileges.sql
\ir 95_fingerprints.sql
commit;
