-- nextval() in the statement, an identity column, a serial: unique, with gaps in every stream.
-- must: refuse
-- source: sequence sequence sequence
create table mails (id int primary key, subject text);
create sequence mail_version;
create table mail_events (mail_id int not null, version bigint not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (mail_id, version));
create table mail_events_i (mail_id int not null, version bigint generated always as identity, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (mail_id, version));
create table mail_events_s (mail_id int not null, version serial, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (mail_id, version));
create function mail_changed() returns trigger language plpgsql as $$
declare v bigint := nextval('mail_version');
begin
  insert into mail_events (mail_id, version, event_type, data) values (new.id, v, 'MailChanged', to_jsonb(new));
  insert into mail_events_i (mail_id, event_type, data) values (new.id, 'MailChanged', to_jsonb(new));
  insert into mail_events_s (mail_id, event_type, data) values (new.id, 'MailChanged', to_jsonb(new));
  return null;
end $$;
create trigger mail_changed after update on mails for each row execute function mail_changed();
