-- The stream's number stands in a row that stays locked: by UPDATE .. RETURNING, by upsert, by SELECT .. FOR UPDATE.
-- must: ignore
-- source: max_plus_one_locked max_plus_one_locked max_plus_one_locked
create table forms (id int primary key, body text);
create table counters (stream int primary key, n int not null default 0);
create table form_events (form_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (form_id, version));
create function by_update() returns trigger language plpgsql as $$
declare v int;
begin
  update counters set n = n + 1 where stream = new.id returning n into v;
  insert into form_events (form_id, version, event_type, data) values (new.id, v, 'FormA', to_jsonb(new));
  return null;
end $$;
create function by_upsert() returns trigger language plpgsql as $$
declare v int;
begin
  insert into counters as c values (new.id, 1) on conflict (stream) do update set n = c.n + 1 returning c.n into v;
  insert into form_events (form_id, version, event_type, data) values (new.id, v, 'FormB', to_jsonb(new));
  return null;
end $$;
create function by_row() returns trigger language plpgsql as $$
declare v int;
begin
  select n + 1 into v from counters where stream = new.id for update;
  update counters set n = v where stream = new.id;
  insert into form_events (form_id, version, event_type, data) values (new.id, v, 'FormC', to_jsonb(new));
  return null;
end $$;
create trigger a after insert on forms for each row execute function by_upsert();
create trigger b after update on forms for each row execute function by_update();
create trigger c after update on forms for each row when (new.body is null) execute function by_row();
