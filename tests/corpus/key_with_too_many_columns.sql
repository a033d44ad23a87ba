-- The key has a tenant besides type and id: a stream of three columns.
-- must: port
-- change: update parcels set weight = weight + 1
-- source: literal
create table parcels (tenant int not null, id int not null, weight int, primary key (tenant, id));
create table parcel_events (tenant int not null, aggregate_type text not null, aggregate_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(),
  unique (tenant, aggregate_type, aggregate_id, version));
create function parcel_changed() returns trigger language plpgsql as $$
begin
  insert into parcel_events (tenant, aggregate_type, aggregate_id, version, event_type, data) values (new.tenant, 'Parcel', new.id, 1, 'ParcelChanged', to_jsonb(new));
  return null;
end $$;
create trigger parcel_changed after update on parcels for each row execute function parcel_changed();
insert into parcels values (1, 1, 5), (1, 2, 6), (2, 1, 7);
