-- register_event_table, next_aggregate_version on a legacy table, unregister_event_table, grant_privileges
create table legacy_events (id bigint generated always as identity, aggregate_type varchar(100), aggregate_id bigint, aggregate_version int, body text,
  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version));
create table typeless (aggregate_id uuid, version bigint, primary key (aggregate_id, version));
create table keyless (t text, i text, v int);
select domain_events.next_aggregate_version('User', '1', 'legacy_events');
select domain_events.register_event_table('legacy_events', 'aggregate_type', 'aggregate_id', 'aggregate_version');
select domain_events.register_event_table('typeless', null, 'aggregate_id', 'version');
select domain_events.next_aggregate_version('User', '1', 'legacy_events') as first;
insert into legacy_events (aggregate_type, aggregate_id, aggregate_version) values ('User', 1, domain_events.next_aggregate_version('User', '1', 'legacy_events'));
insert into legacy_events (aggregate_type, aggregate_id, aggregate_version) values ('User', 1, domain_events.next_aggregate_version('User', '1', 'legacy_events'));
select domain_events.next_aggregate_version('User', '1', 'legacy_events') as third, domain_events.next_aggregate_version('Order', '1', 'legacy_events') as of_another_type;
insert into typeless values ('018f0000-0000-7000-8000-000000000001', 1);
select domain_events.next_aggregate_version('Any', '018f0000-0000-7000-8000-000000000001', 'typeless') as second;
select domain_events.next_aggregate_version('Any', 'no uuid', 'typeless');
select event_table, type_column, id_column, version_column from domain_events.event_tables order by 1;
select domain_events.register_event_table('keyless', 't', 'i', 'v');
select domain_events.register_event_table('keyless', 't', 'nope', 'v');
select domain_events.register_event_table('keyless', 't', null, 'v');
select domain_events.register_event_table('legacy_events', null, 'aggregate_id', 'aggregate_version');
select domain_events.unregister_event_table('typeless'), domain_events.unregister_event_table('typeless') as again;
select domain_events.next_aggregate_version('Any', '018f0000-0000-7000-8000-000000000001', 'typeless');
select domain_events.grant_privileges();
