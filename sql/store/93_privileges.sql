-- Who may do what. Nobody gets a right to insert, update or delete directly.

create function domain_events.grant_privileges() returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  role name;
  granted text[] := '{}';
  statement text;
  capture int;
begin
  -- Given by default privileges, by a restore without privileges, which lets everybody execute every function, or
  -- by hand.
  for statement in select unnest(e.take_back) from domain_events._excessive_privileges() as e
                    where pg_has_role(e.owner, 'usage') loop
    execute statement;
  end loop;
  for capture in select c.capture_id from domain_events.capture_config c loop
    perform domain_events._follow_grant(capture);
  end loop;
  -- Anybody may say who acts and ask which engine runs or for a new id; none of them shows or changes an event.
  grant usage on schema domain_events to public;
  grant execute on function
    domain_events.set_context(text, text, text, jsonb, boolean),
    domain_events.engine(),
    domain_events.uuid_v7()
    to public;
  foreach role in array '{domain_events_reader,domain_events_writer,domain_events_admin}'::name[] loop
    continue when not exists (select from pg_roles r where r.rolname = role);
    granted := granted || role::text;
    foreach statement in array array[
      'grant usage on schema domain_events to %I',
      'grant execute on function'
      ' domain_events._check_stream(text, text),'
      ' domain_events._check_read(text, text),'
      ' domain_events._turn(bigint, jsonb),'
      ' domain_events._as_payload(text),'
      ' domain_events._as_metadata(jsonb),'
      ' domain_events._as_event_type(text),'
      ' domain_events._as_event_id(text, text, text)'
      ' to %I'
    ] || case role
      when 'domain_events_writer' then array[
        'grant execute on function'
        ' domain_events.next_aggregate_version(text, text, regclass),'
        ' domain_events.next_aggregate_version(text[], regclass)'
        ' to %I',
        -- What these call as their caller.
        'grant execute on function'
        ' domain_events.hold_stream(text, text),'
        ' domain_events._next_legacy_version(text, text, regclass),'
        ' domain_events._next_legacy_version(text[], regclass, boolean),'
        ' domain_events._check_writable(),'
        ' domain_events.legacy_reader(regclass, int),'
        ' domain_events.hold_legacy_stream(regclass, bigint)'
        ' to %I',
        'grant execute on function'
        ' domain_events.append_event(text, text, text, jsonb, text, jsonb, bigint, uuid, text, text, text, '
        'timestamptz, int)'
        ' to %I',
        'grant execute on function domain_events.append_events(text, text, jsonb, bigint) to %I',
        'grant execute on function domain_events.append_events(jsonb, jsonb) to %I']
      else array[
        'grant select on'
        ' domain_events.events,'
        ' domain_events.streams,'
        ' domain_events.captures,'
        ' domain_events.capture_config,'
        ' domain_events.capture_columns,'
        ' domain_events.capture_failures,'
        ' domain_events.event_tables,'
        ' domain_events.migration_plans,'
        ' domain_events.capture_partitions,'
        ' domain_events.capture_places'
        ' to %I',
        'grant select on'
        ' domain_events.migration_journal,'
        ' domain_events.repaired_versions,'
        ' domain_events.monitor_settings,'
        ' domain_events.thresholds,'
        ' domain_events.integrity_state,'
        ' domain_events.integrity_blocks,'
        ' domain_events.integrity_suspects,'
        ' domain_events.alerts,'
        ' domain_events.adoptions,'
        ' domain_events.imports,'
        ' domain_events.eras,'
        ' domain_events.ticks,'
        ' domain_events.ticks_tick_seq,'
        ' domain_events.events_global_position_seq'
        ' to %I',
        'grant execute on function'
        ' domain_events.fold_stream(text, text, bigint),'
        ' domain_events.read_stream(text, text, bigint, bigint, bigint, boolean),'
        ' domain_events.read_streams(jsonb, bigint),'
        ' domain_events.read_all(text, int, text[], text[], timestamptz, text),'
        ' domain_events.latest_cursor(),'
        ' domain_events.cursor_before(text, text),'
        ' domain_events.take_tick(boolean),'
        ' domain_events.check_integrity(text),'
        ' domain_events.check_infrastructure(),'
        ' domain_events._qualified_name(oid),'
        ' domain_events._present_partitions(int),'
        ' domain_events._with_ancestors(oid),'
        ' domain_events._relation_named(text),'
        ' domain_events._partition_tree(oid),'
        ' domain_events._succeeds(oid, name),'
        ' domain_events._answers_for(text, text),'
        ' domain_events._valid_text(text),'
        ' domain_events._is_ascii(text),'
        ' domain_events._outdated_grants(),'
        ' domain_events._silent_function(int),'
        ' domain_events._capture_triggers(regclass),'
        ' domain_events._restored_capture(regclass)'
        ' to %I',
        'grant execute on function'
        ' domain_events.check_integrity_incremental(boolean),'
        ' domain_events.check_performance(text, boolean),'
        ' domain_events.stats(),'
        ' domain_events.raise_alerts()'
        ' to %I',
        -- What reading calls as its caller.
        'grant execute on function'
        ' domain_events._is_flushed(domain_events.ticks),'
        ' domain_events._newest_tick(),'
        ' domain_events._cluster(),'
        ' domain_events._is_shown(domain_events.ticks),'
        ' domain_events._late_transactions(domain_events.ticks),'
        ' domain_events._is_visible(xid8, domain_events.ticks),'
        ' domain_events._covers(domain_events.ticks, domain_events.ticks),'
        ' domain_events._has_ended(domain_events.adoptions, domain_events.ticks),'
        ' domain_events._blocks(domain_events.ticks, domain_events.ticks),'
        ' domain_events._tick_text(domain_events.ticks),'
        ' domain_events._tick_of(text),'
        ' domain_events._check_digits(text),'
        ' domain_events._cursor(text, int, bigint),'
        ' domain_events._cursor(domain_events.ticks),'
        ' domain_events._cursor_parts(text),'
        ' domain_events._check_known(domain_events.ticks),'
        ' domain_events._newest_era(),'
        ' domain_events._looked_at_until(bigint, bigint, bigint),'
        ' domain_events._page_start(domain_events.ticks, domain_events.ticks, bigint),'
        ' domain_events._is_plain(domain_events.ticks, domain_events.ticks, bigint),'
        ' domain_events._read_page(domain_events.ticks, domain_events.ticks, bigint, text, int, bigint, text[], '
        'text[], timestamptz, text)'
        ' to %I',
        -- What these call as their caller; none of them writes.
        'grant execute on function'
        ' domain_events._threshold_defaults(),'
        ' domain_events._threshold(text),'
        ' domain_events._last_position(),'
        ' domain_events._advance_positions(),'
        ' domain_events._sequence_findings(),'
        ' domain_events._highest_position(),'
        ' domain_events._latest_time(),'
        ' domain_events._count_block(bigint, bigint),'
        ' domain_events._stream_findings(text, text),'
        ' domain_events._suspect_streams(text),'
        ' domain_events._orphan_findings(text),'
        ' domain_events._adoption_findings(),'
        ' domain_events._block_finding(bigint, bigint),'
        ' domain_events._position_at(timestamptz),'
        ' domain_events._stream_performance(text, bigint, bigint),'
        ' domain_events._table_performance(),'
        ' domain_events._transaction_performance(),'
        ' domain_events._expected_objects(),'
        ' domain_events._function_fingerprint(oid),'
        ' domain_events._present_functions(),'
        ' domain_events._object_findings(),'
        ' domain_events._engine_findings(),'
        ' domain_events._reader_findings(),'
        ' domain_events._counters_behind(),'
        ' domain_events._counter_findings(),'
        ' domain_events._privilege_findings(),'
        ' domain_events._given_privileges(),'
        ' domain_events._excessive_privileges(),'
        ' domain_events._how_to_enable(oid, text, int, boolean),'
        ' domain_events._capture_findings(),'
        ' domain_events._migration_findings(),'
        ' domain_events._adopted_table_findings()'
        ' to %I'
        ]
    end || case role
      when 'domain_events_admin' then array[
        -- Who wrote a row is not theirs to say, nor is what it says when it is written: others run it.
        'grant'
        ' insert (plan_id, state, plan, tool_version),'
        ' update (state, changed_at)'
        ' on domain_events.migration_plans to %I',
        'grant'
        ' insert (plan_id, entry, action, step, statement, object_kind, object, before_state, after_state)'
        ' on domain_events.migration_journal to %I',
        'grant'
        ' insert (repair_id, event_table, row_key, batch, aggregate_type, aggregate_id, '
        'old_version, new_version, is_late),'
        ' update (repaired_at, undone_at)'
        ' on domain_events.repaired_versions to %I',
        'grant execute on function'
        ' domain_events.enable_capture(regclass, text, text[], text[], text[], text[], jsonb, '
        'text, text, text, text, text),'
        ' domain_events.disable_capture(regclass, boolean),'
        ' domain_events.pause_capture(regclass),'
        ' domain_events.resume_capture(regclass),'
        ' domain_events.baseline_capture(regclass, int),'
        ' domain_events.check_rows(regclass, int, text),'
        ' domain_events.tell_rows(regclass, int, text),'
        ' domain_events.retry_capture_failures(int)'
        ' to %I',
        -- What check_rows() calls as its caller: none of it writes.
        'grant execute on function'
        ' domain_events._row_expressions(regclass),'
        ' domain_events._differs_by_columns(jsonb, jsonb),'
        ' domain_events._expressions(int),'
        ' domain_events._pieces(int),'
        ' domain_events._live_columns(int),'
        ' domain_events._max_bytes(int),'
        ' domain_events._is_one_row(int),'
        ' domain_events._json_expression(text, oid, boolean, bigint),'
        ' domain_events._is_wide(oid),'
        ' domain_events._small(bigint),'
        ' domain_events._field(text, name),'
        ' domain_events._text_expression(text, oid),'
        ' domain_events._base_type(oid),'
        ' domain_events._element_type(oid),'
        ' domain_events._leaf_types(oid),'
        ' domain_events._parts_of_type(oid),'
        ' domain_events._is_plain(oid),'
        ' domain_events._bare(text),'
        ' domain_events._object_expression(name[], text[]),'
        ' domain_events._id_expression(text[]),'
        ' domain_events._has_image_equality(oid, oid)'
        ' to %I',
        'grant execute on function'
        ' domain_events.set_threshold(text, numeric),'
        ' domain_events.skip_adoption(bigint),'
        ' domain_events.begin_era(),'
        ' domain_events.acknowledge_losses(),'
        ' domain_events._session_user(),'
        ' domain_events._valid_text(text),'
        ' domain_events._is_ascii(text)'
        ' to %I',
        'grant execute on function'
        ' domain_events.register_event_table(regclass, name, name, name),'
        ' domain_events.register_event_table(regclass, name[], name),'
        ' domain_events.unregister_event_table(regclass)'
        ' to %I',
        -- The door for what these ask of the store, and what they call as their caller: none of it writes.
        'grant select, insert on domain_events.commands to %I',
        'grant execute on function'
        ' domain_events._command(regclass, text, jsonb),'
        ' domain_events._tell(regclass, text, text[]),'
        ' domain_events._forget_lost_event_tables()'
        ' to %I',
        'grant execute on function'
        ' domain_events._check_session(),'
        ' domain_events._prepared_statements(),'
        ' domain_events._forget_prepared(text[]),'
        ' domain_events._check_target(regclass),'
        ' domain_events._check_choice(text, text, text[]),'
        ' domain_events._check_columns(regclass, text[], text),'
        ' domain_events._check_stored(regclass, text[], text),'
        ' domain_events._check_known_before(regclass, text[]),'
        ' domain_events._virtual_columns(regclass),'
        ' domain_events._check_event_types(regclass, jsonb),'
        ' domain_events._primary_key(regclass),'
        ' domain_events._is_unique(regclass, text[]),'
        ' domain_events._capture_of(regclass),'
        ' domain_events._meet_restored(regclass),'
        ' domain_events._trigger_name(text, int, boolean),'
        ' domain_events._watch_truncation(regclass, int),'
        ' domain_events._unwatched(regclass, int),'
        ' domain_events._fire_always(regclass, int),'
        ' domain_events._drop_foreign_triggers(regclass, int),'
        ' domain_events.follow_partitions(regclass)'
        ' to %I',
        'grant execute on function'
        ' domain_events._register_event_table(regclass, name, name, name),'
        ' domain_events._register_event_table(regclass, name[], name),'
        ' domain_events._is_ordered(oid, name[], name),'
        ' domain_events._check_event_table(regclass, name[], name),'
        ' domain_events._unique_key(regclass, name[], name, boolean),'
        ' domain_events._write_reader(regclass, regclass, name[], name, oid),'
        ' domain_events._reader_source(regclass, name[], name, oid),'
        ' domain_events._stream_columns(regclass, name[], oid),'
        ' domain_events._is_reader(oid, oid),'
        ' domain_events._base_type(oid)'
        ' to %I',
        'grant execute on function'
        ' domain_events._short_id(text),'
        ' domain_events._composite_id(text[]),'
        ' domain_events._json_to_jsonb(json, boolean, bigint),'
        ' domain_events._small(bigint),'
        ' domain_events._copied_bytes(text),'
        ' domain_events._too_large(jsonb, text, bigint),'
        ' domain_events._bounded(jsonb, text, bigint),'
        ' domain_events._bounded_text(text, text, bigint),'
        ' domain_events._nest(jsonb[], text),'
        ' domain_events._unrepresentable(bytea),'
        ' domain_events._unrepresentable(text, text)'
        ' to %I'
        ]
      else '{}' end
    loop
      execute format(statement, role);
    end loop;
  end loop;
  return granted;
end
$$;

comment on function domain_events.grant_privileges() is
  'Gives domain_events_reader, _writer and _admin their rights, as far as these roles exist, and returns their names. '
  'Takes back what check_infrastructure() calls privilege_excessive. Run by the store''s owner, '
  'again after a role was created, or a dump restored without privileges.';

-- Nobody has a right that is not given here, whatever the default privileges of this database say. An upgrade does it
-- again.
do $again$
declare
  statement text;
begin
  for statement in select pg_catalog.unnest(g.take_back) from domain_events._given_privileges() as g loop
    execute statement;
  end loop;
  perform domain_events.grant_privileges();
end
$again$;
