-- Copies of the whole row by NEW.* and OLD.*: two logs without a version of their own, the row's revision among what is kept.
-- must: ignore
-- source: none none
create table recipes (id int primary key, title text, revision int not null default 1);
create table recipes_history (id int, title text, revision int, changed_at timestamptz, changed_by text);
create table recipes_log (log_id bigserial primary key, operation text not null, row_data jsonb not null, at timestamptz not null default now());
create function keep_history() returns trigger language plpgsql as $$
begin
  insert into recipes_history select old.*, now(), current_user;
  insert into recipes_log (operation, row_data) values (tg_op, to_jsonb(old));
  return new;
end $$;
create trigger keep_history before update or delete on recipes for each row execute function keep_history();
