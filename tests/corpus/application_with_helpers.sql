-- The application calls a function that calls helpers; one takes the expected version from its caller.
-- must: refuse
-- source: max_plus_one dynamic
create table clubs (id int primary key, name text);
create table club_events (club_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (club_id, version));
create function next_club_version(p_id int) returns int language sql stable as $$ select coalesce(max(version), 0) + 1 from club_events where club_id = p_id $$;
create function write_club_event(p_id int, p_version int, p_type text, p_data jsonb) returns void language plpgsql as $$
begin
  insert into club_events (club_id, version, event_type, data) values (p_id, p_version, p_type, p_data);
end $$;
create function rename_club(p_id int, p_name text) returns void language plpgsql as $$
begin
  update clubs set name = p_name where id = p_id;
  perform write_club_event(p_id, next_club_version(p_id), 'ClubRenamed', jsonb_build_object('name', p_name));
end $$;
create function append_to_club(p_id int, p_expected int, p_type text) returns void language plpgsql as $$
begin
  if p_expected <> (select coalesce(max(version), 0) from club_events where club_id = p_id) then
    raise exception 'conflict' using errcode = 'serialization_failure';
  end if;
  insert into club_events (club_id, version, event_type, data) values (p_id, p_expected + 1, p_type, '{}');
end $$;
insert into clubs values (1, 'a');
