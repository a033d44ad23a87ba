-- The count goes on over the kinds of events and over the regions, which are in the keys too: the stream is what max() is read by.
-- must: port
-- source: max_plus_one max_plus_one
-- change: update claims set amount = amount + 1, region = case region when 'north' then 'south' else 'north' end
create table claims (id int primary key, office int not null, region text not null, amount int);
create table claim_events (kind text not null, claim int not null, version int not null, data jsonb, at timestamptz not null default now(), unique (kind, claim, version));
create table claim_history (office int not null, claim int not null, version int not null, region text not null, data jsonb, at timestamptz not null default now(), primary key (office, claim, version, region)) partition by list (region);
create table claim_history_north partition of claim_history for values in ('north');
create table claim_history_rest partition of claim_history default;
create function next_claim_version(o int, c int) returns int language sql as $$
  select coalesce(max(h.version), 0) + 1 from claim_history h where (h.office, h.claim) = (o, c) $$;
create function claim_changed() returns trigger language plpgsql as $$
declare v int;
begin
  select max(version) into v from claim_events where claim = new.id;
  v := coalesce(v, 0) + 1;
  insert into claim_events (kind, claim, version, data) values ('Claim' || initcap(tg_op), new.id, v, to_jsonb(new));
  insert into claim_history (office, claim, version, region, data) values (new.office, new.id, next_claim_version(new.office, new.id), new.region, to_jsonb(new));
  return null;
end $$;
create trigger claim_changed after insert or update on claims for each row execute function claim_changed();
insert into claims select i, i % 2, 'north', i from generate_series(1, 4) i;
