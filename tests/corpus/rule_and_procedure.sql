-- A rule and a procedure of the application write events, no trigger does.
-- unverified: rules and procedures of the application are not replayed
-- must: port
-- source: literal max_plus_one
-- change: update config set value = value || 'x'; call review('a')
create table config (key text primary key, value text);
create table config_events (key text not null, version int not null, event_type text not null, data jsonb, at timestamptz default now(), unique (key, version));
create rule log_config as on update to config do also
  insert into config_events (key, version, event_type, data) values (new.key, 1, 'ConfigChanged', to_jsonb(new));
create procedure review(p_key text) language plpgsql as $$
begin
  insert into config_events (key, version, event_type, data)
  values (p_key, (select coalesce(max(version), 0) + 1 from config_events where key = p_key), 'ConfigReviewed', '{}');
end $$;
insert into config values ('a', '1');
