-- FOR over a query, FOREACH over an array, a cursor with FETCH, a WHILE that counts versions itself.
-- must: port
-- source: literal literal literal max_plus_one
-- change: update bands set name = name || 'x'
create table bands (id int primary key, name text not null, tags text[] not null default '{}');
create table members (band_id int not null references bands, id int primary key);
create table band_events (band_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (band_id, version));
create function band_changed() returns trigger language plpgsql as $$
declare
  m record;
  tag text;
  found_id int;
  people cursor (p int) for select id from members where band_id = p order by id;
  v int;
  i int := 0;
begin
  for m in select * from members where band_id = new.id loop
    insert into band_events (band_id, version, event_type, data) values (new.id, 1, 'MemberTold', to_jsonb(m));
  end loop;
  foreach tag in array new.tags loop
    insert into band_events (band_id, version, event_type, data) values (new.id, 1, 'TagKept', jsonb_build_object('tag', tag));
  end loop;
  open people(new.id);
  loop
    fetch people into found_id;
    exit when not found;
    insert into band_events (band_id, version, event_type, data) values (new.id, 1, 'MemberFound', jsonb_build_object('id', found_id));
  end loop;
  close people;
  select coalesce(max(version), 0) into v from band_events where band_id = new.id;
  while i < 2 loop
    v := v + 1;
    insert into band_events (band_id, version, event_type, data) values (new.id, v, 'Counted', jsonb_build_object('i', i));
    i := i + 1;
  end loop;
  return null;
end $$;
create trigger band_changed after update on bands for each row execute function band_changed();
insert into bands values (1, 'a', '{x,y}'), (2, 'b', '{}');
insert into members values (1, 1), (1, 2), (2, 3);
