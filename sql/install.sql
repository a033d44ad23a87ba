-- The portable engine, by psql alone:  psql -f sql/install.sql
-- One transaction: it is installed whole or not at all. "domain-events install" runs the same files in the same order,
-- and the extension is made of them. The numbers are the order; a folder holds one capability.
\set ON_ERROR_STOP on
begin;
set local client_min_messages = notice;
-- The schema, the events, the context that they take, and the versions that they get
\ir store/00_schema.sql
\ir store/10_events.sql
\ir store/20_context.sql
\ir store/22_commands.sql
\ir store/25_stream_locks.sql
\ir store/30_versions.sql
-- Versions for legacy event tables
\ir migration/31_legacy_tables.sql
\ir migration/32_readers.sql
\ir migration/33_write_reader.sql
\ir migration/34_register.sql
\ir migration/35_legacy_versions.sql
-- Appending
\ir store/40_append.sql
\ir store/41_append_batch.sql
-- Capture: what of a row becomes an event, the trigger functions, turning it on and off
\ir capture/50_tables.sql
\ir capture/51_expressions.sql
\ir capture/52_columns.sql
\ir capture/53_plan.sql
\ir capture/54_places.sql
\ir capture/55_pieces.sql
\ir capture/56_template.sql
\ir capture/57_move_template.sql
\ir capture/58_function.sql
\ir capture/59_write.sql
\ir capture/60_order.sql
\ir capture/61_failures.sql
\ir capture/62_arguments.sql
\ir capture/63_triggers.sql
\ir capture/64_enable.sql
\ir capture/65_disable.sql
\ir capture/66_baseline.sql
\ir capture/67_table_events.sql
\ir capture/68_moves.sql
\ir capture/69_partitions.sql
-- Reading: streams, and rows from their events
\ir reading/70_fold.sql
\ir reading/71_check_rows.sql
\ir reading/72_tell_rows.sql
\ir reading/73_read.sql
\ir reading/74_ticks.sql
-- What the command line keeps here: adoptions, imports, plans, repairs; and what watches over the store
\ir migration/75_adoptions.sql
\ir migration/76_adopting.sql
\ir migration/77_imports.sql
\ir reading/78_take_tick.sql
\ir reading/79_read_all.sql
\ir monitoring/80_thresholds.sql
\ir monitoring/81_integrity.sql
\ir monitoring/82_integrity_incremental.sql
\ir monitoring/83_performance.sql
\ir monitoring/84_alerts.sql
\ir migration/85_plans.sql
\ir monitoring/86_infrastructure.sql
\ir monitoring/87_privileges.sql
\ir migration/88_repair.sql
\ir monitoring/89_captures.sql
\ir monitoring/90_stats.sql
-- What protects the store, and who may do what
\ir store/91_guard.sql
\ir monitoring/92_raise_alerts.sql
\ir store/93_privileges.sql
\ir store/95_fingerprints.sql
commit;
