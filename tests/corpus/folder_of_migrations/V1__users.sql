create table members (id bigserial primary key, email text not null);
do $$ begin
  create type member_event as enum ('MemberRenamed', 'MemberLeft');
exception when duplicate_object then null;
end $$;
create table if not exists member_log (stream bigint not null, no int not null, what member_event not null, body jsonb not null, at timestamptz not null default now());
