create function log_member() returns trigger language plpgsql as $$
begin
  insert into member_log (stream, no, what, body) values (new.id, 1, 'MemberRenamed', to_jsonb(new));
  return new;
end $$;
create trigger log_member after update on members for each row execute function log_member();
