-- One function asks for its version already, another hardcodes it, into the same table.
-- must: port
-- source: literal max_plus_one_locked
-- change: update mugs set ml = ml + 1, colour = colour || 'x'
create table mugs (id int primary key, ml int not null, colour text not null);
create table mug_events (mug_id int not null, version bigint not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (mug_id, version));
select domain_events.register_event_table('mug_events', null, 'mug_id', 'version');
create function mug_filled() returns trigger language plpgsql as $$
begin
  insert into mug_events (mug_id, version, event_type, data)
  values (new.id, domain_events.next_aggregate_version('mug_events', new.id::text, 'mug_events'), 'MugFilled', to_jsonb(new));
  return null;
end $$;
create function mug_painted() returns trigger language plpgsql as $$
begin
  insert into mug_events (mug_id, version, event_type, data) values (new.id, 1, 'MugPainted', to_jsonb(new));
  return null;
end $$;
create trigger filled after update of ml on mugs for each row execute function mug_filled();
create trigger painted after update of colour on mugs for each row execute function mug_painted();
insert into mugs values (1, 100, 'red'), (2, 200, 'blue');
