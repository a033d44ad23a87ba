-- enable_capture with every option, fold_stream, set_context, pause, resume, baseline, disable
create table users (id int primary key, name text, email text, ssn text, logins int default 0, seen timestamptz);
insert into users (id, name, ssn) values (1, 'old', 'S1');
select domain_events.enable_capture('users', redact => '{ssn}', exclude => '{seen}',
  event_types => '[{"on": "update", "when_changed": ["email"], "type": "UserEmailChanged", "name": "Email changed"}]');
insert into users (id, name, ssn) values (2, 'new', 'S2');
update users set logins = 1 where id = 1;
update users set logins = 2 where id = 1;
update users set email = 'a@b.c', ssn = 'S3' where id = 2;
update users set seen = now(), logins = logins;
update users set id = 20 where id = 2;
delete from users where id = 20;
insert into users (id, name) values (20, 'again');
select aggregate_id as id, aggregate_version as v, event_type, event_name, event_data, metadata from domain_events.events order by global_position;
select domain_events.fold_stream('User', '1'), domain_events.fold_stream('User', '2') as rekeyed, domain_events.fold_stream('User', '20') as again,
       domain_events.fold_stream('User', '20', 1) as first, domain_events.fold_stream('User', '20', 2) as deleted, domain_events.fold_stream('User', 'nobody') as nobody;
select domain_events.fold_stream('User', '1', 0);

-- context
select domain_events.set_context(actor => 'ada', correlation_id => 'c-9', causation_id => 'k-9', metadata => '{"ip": "::1"}', local => false);
update users set logins = 3 where id = 1;
select domain_events.set_context(local => false);
set domain_events.metadata = 'no json';
update users set logins = 4 where id = 1;
reset domain_events.metadata;
select aggregate_version as v, caused_by, correlation_id, causation_id, metadata from domain_events.read_stream('User', '1') where aggregate_version > 2;

-- pause and resume
select domain_events.pause_capture('users');
update users set logins = 5 where id = 1;
select state from domain_events.captures;
select code, severity, object from domain_events.check_infrastructure();
select domain_events.resume_capture('users');
update users set name = 'resumed' where id = 1;
select aggregate_version as v, event_data, metadata from domain_events.read_stream('User', '1') where aggregate_version > 4;
truncate users;
select aggregate_version as v, event_type, event_data from domain_events.read_stream('domain_events.Table', 'public.users');
select domain_events.fold_stream('User', '1') as truncated;

select target, aggregate_type, aggregate_id, include, exclude, redact, event_types, event_name_style, payload, on_failure, baseline, replication, state, pending_failures
  from domain_events.captures;
select domain_events.disable_capture('users');
insert into users (id, name) values (1, 'unseen');
select count(*) as captures from domain_events.captures;

-- whole rows, dotted names, a baseline at once and in batches
select domain_events.enable_capture('users', payload => 'full', event_name_style => 'dotted', include => '{id,name}', baseline => 'now', on_failure => 'abort');
update users set name = 'seen';
select aggregate_version as v, event_type, event_data from domain_events.read_stream('User', '1') where aggregate_version > 6;
select domain_events.baseline_capture('users') as nothing_left;
select * from domain_events.check_integrity();
select * from domain_events.check_infrastructure();

-- rows that changed behind the triggers
alter table users disable trigger user;
update users set name = 'behind' where id = 1;
alter table users enable trigger user;
select code, aggregate_id, detail from domain_events.check_rows('users');
update users set name = 'again' where id = 1;
select * from domain_events.check_rows('users', 10);
select * from domain_events.tell_rows('users', 10);
