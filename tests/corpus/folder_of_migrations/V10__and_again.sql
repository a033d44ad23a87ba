create schema app;
alter table members set schema app;
alter table app.members rename to users;
alter table member_events add constraint member_events_version unique (stream, version);
create or replace function log_member() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    insert into public.member_events (stream, version, what, body) values (old.id, 1, 'MemberLeft', to_jsonb(old));
    return old;
  end if;
  insert into public.member_events (stream, version, what, body) select new.id, coalesce(max(version), 0) + 1, 'MemberRenamed', to_jsonb(new) from public.member_events where stream = new.id;
  return new;
end $$;
create trigger log_member_gone after delete on app.users for each row execute function log_member();
