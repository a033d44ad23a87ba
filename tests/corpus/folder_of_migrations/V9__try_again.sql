alter table member_log rename column no to version;
alter table member_log rename to member_events;
drop trigger if exists log_member on members;
create or replace function log_member() returns trigger language plpgsql as $$
begin
  insert into member_events (stream, version, what, body) values (new.id, (select count(*) + 1 from member_events where stream = new.id), 'MemberRenamed', to_jsonb(new));
  return new;
end $$;
create trigger log_member after update of email on members for each row execute function log_member();
