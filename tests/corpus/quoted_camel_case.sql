-- Names that must be quoted, a reserved word among them.
-- must: port
-- source: max_plus_one
-- change: update "User" set "Name" = "Name" || 'x'
create table "User" ("Id" int primary key, "Name" text, "order" int);
create table "DomainEvents" ("AggregateType" text not null, "AggregateId" text not null, "Version" int not null, "EventType" text not null, "Data" jsonb, "At" timestamptz default now(),
  constraint "UK" unique ("AggregateType", "AggregateId", "Version"));
create function "UserRenamed"() returns trigger language plpgsql as $$
declare "nextVersion" int;
begin
  select count(*) + 1 into "nextVersion" from public."DomainEvents" e where e."AggregateType" = 'User' and e."AggregateId" = new."Id"::text;
  insert into "DomainEvents" ("AggregateType", "AggregateId", "Version", "EventType", "Data") values ('User', new."Id", "nextVersion", 'UserRenamed', to_jsonb(new));
  return new;
end $$;
create trigger "UserRenamed" after update on "User" for each row execute function "UserRenamed"();
insert into "User" values (1, 'a', 1), (2, 'b', 2);
