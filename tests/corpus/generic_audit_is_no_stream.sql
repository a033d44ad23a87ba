-- audit-trigger and its like: a log without versions, a version-looking action code.
-- must: ignore
-- source: none
create table members (id int primary key, name text);
create table logged_actions (event_id bigserial primary key, schema_name text not null, table_name text not null, action text not null check (action in ('I', 'D', 'U')), action_code int not null default 1,
  row_data jsonb, changed_fields jsonb, action_tstamp timestamptz not null default current_timestamp);
create function if_modified() returns trigger language plpgsql as $$
declare audit_row logged_actions; excluded text[] = array[]::text[];
begin
  audit_row := row(nextval('logged_actions_event_id_seq'), tg_table_schema::text, tg_table_name::text, substring(tg_op, 1, 1), 1, null, null, current_timestamp);
  audit_row.row_data := to_jsonb(coalesce(new, old));
  insert into logged_actions (schema_name, table_name, action, row_data) values (tg_table_schema, tg_table_name, substring(tg_op, 1, 1), audit_row.row_data);
  return null;
end $$;
create trigger if_modified after insert or update or delete on members for each row execute function if_modified();
