-- Who acts, and why: settings of the session or the transaction that every event picks up.
-- Anybody may set them, to anything: nothing in here may fail, or a bad setting would break the user's own statement.

create function domain_events.set_context(
  actor text default null, correlation_id text default null, causation_id text default null,
  metadata jsonb default null, local boolean default true
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('domain_events.actor', coalesce(set_context.actor, ''), coalesce(set_context.local, true));
  perform set_config('domain_events.correlation_id', coalesce(set_context.correlation_id, ''),
                     coalesce(set_context.local, true));
  perform set_config('domain_events.causation_id', coalesce(set_context.causation_id, ''),
                     coalesce(set_context.local, true));
  perform set_config('domain_events.metadata', coalesce(set_context.metadata::text, ''),
                     coalesce(set_context.local, true));
end
$$;

comment on function domain_events.set_context(text, text, text, jsonb, boolean) is
  'Sets the whole context of the events to come: what is not named is cleared. local (default): '
  'until the transaction ends; otherwise for the session.';

-- Text that came in past the parser, which alone checks its encoding: a setting of the start-up packet or of "alter
-- role .. set", the name of a role that was made in a database of another encoding. Stored as it is, no dump of the
-- store could be restored. Postgres has no test that does not fail. Bytes below 128 mean the same in every encoding;
-- three of them at the end keep a character that is cut off from being passed over.
create function domain_events._is_ascii(value text) returns boolean
language sql immutable
as $$ select pg_catalog.textregexne(pg_catalog.textcat(value, 'xxx') collate pg_catalog."C", E'[^\\x01-\\x7f]') $$;

comment on function domain_events._is_ascii(text) is 'True for ASCII, which is valid in every encoding; null for null';

create function domain_events._valid_text(value text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if domain_events._is_ascii(value) is not false then
    return value;
  end if;
  begin
    perform convert_to(value, getdatabaseencoding());
    return value;
  exception when others then
    null;
  end;
  begin
    -- Every byte can be told from it.
    return encode(substring(decode(replace(value, E'\\', E'\\\\'), 'escape') from 1 for 2000), 'escape')
           || format(' [%s bytes, not valid in %s]', octet_length(value), getdatabaseencoding());
  exception when others then
    return format('[%s bytes, not valid in %s]', octet_length(value), getdatabaseencoding());
  end;
end
$$;

comment on function domain_events._valid_text(text) is
  'The text, if it is valid in the server''s encoding; else its first 2,000 bytes with octal escapes, and a mark';

-- Who is the one of this name needs no look at its bytes, which costs six times as much. Another user may call a plan
-- that was made before: that is no matter of right or wrong, only of the longer way.
create function domain_events._planned_user() returns name
language sql immutable
as $$ select case when domain_events._is_ascii(session_user::text) then session_user else '' end $$;

comment on function domain_events._planned_user() is
  'The session''s user if its name is ASCII, else empty; a constant of the plan that it is called in';

create function domain_events._session_user() returns text
language sql stable
as $$ select case when session_user = domain_events._planned_user() then session_user::text
                  else domain_events._valid_text(session_user) end $$;

comment on function domain_events._session_user() is
  'The session''s user as text that can be stored: a role''s name may be of another database''s encoding';

create function domain_events._context_text(setting text) returns text
language plpgsql stable
as $$
declare
  value text := nullif(current_setting(setting, true), '');
  valid text := domain_events._valid_text(value);
begin
  if octet_length(value) <= 8192 or valid is distinct from value then
    return valid;
  end if;
  -- left() counts characters of up to 4 bytes; 2,000 of them stay under 8 kB in any encoding.
  return left(value, 2000) || format('... [cut, %s bytes]', octet_length(value));
end
$$;

comment on function domain_events._context_text(text) is
  'A context setting; null when unset or empty, cut and marked over 8 kB or where it is not valid in the server''s '
  'encoding';

-- The same where it matters: an SQL function of one expression is written into the caller's.
create function domain_events._context(setting text) returns text
language sql stable
as $$
  select case when coalesce(pg_catalog.current_setting(setting, true), '') = '' then null
              when pg_catalog.octet_length(pg_catalog.current_setting(setting, true)) <= 8192
                   and domain_events._is_ascii(pg_catalog.current_setting(setting, true))
                         then pg_catalog.current_setting(setting, true)
              else domain_events._context_text(setting) end
$$;

comment on function domain_events._context(text) is '_context_text() for hot paths';

create function domain_events._context_metadata() returns jsonb
language plpgsql stable
as $$
declare
  value text := nullif(current_setting('domain_events.metadata', true), '');
  parsed jsonb;
  marks text[];
begin
  if value is null then
    return '{}';
  elsif octet_length(value) > 8192 or domain_events._valid_text(value) <> value then
    return jsonb_build_object('$context', domain_events._context_text('domain_events.metadata'));
  end if;
  begin
    parsed := value::jsonb;
  exception when others then
    return jsonb_build_object('$context', value);  -- no JSON: kept as the text it is
  end;
  -- 1e131071 is 131,072 bytes in every event, and so often as it fits into 8 kB 120 MB. White space, which is all else
  -- that is put in, does not double a text.
  if octet_length(parsed::text) > 16384 then
    return jsonb_build_object('$context', left(value, 2000) || '... [cut, more than 8 kB as jsonb]');
  end if;
  if jsonb_typeof(parsed) = 'object' then
    -- These keys are the store's own marks on captured events.
    marks := array(select k from jsonb_object_keys(parsed) as k
                    where k in ('complete', 'baseline', 'late', 'after_version', 'before_failure', 'after_position',
                                'failure_id', 'queued', 'in_table', '$context'));
    if marks = '{}' then
      return parsed;
    end if;
    return (parsed - marks)
           || jsonb_build_object('$context', (select jsonb_object_agg(k, parsed -> k) from unnest(marks) as k));
  end if;
  return jsonb_build_object('$context', parsed);
end
$$;

comment on function domain_events._context_metadata() is
  'The metadata of the context as an object; what is no JSON object, and keys that are the store''s marks on captured '
  'events, are kept under the key $context: a bad setting never fails a statement, and is never lost';
