-- Schemas, tables, columns and functions with blanks, quotes, percent signs, keywords and letters beyond ASCII.
-- must: port
-- source: literal
-- change: update "Büro %s"."Straße""n" set "Größe" = "Größe" + 1
create schema "Büro %s";
create table "Büro %s"."Straße""n" ("select" int primary key, "Größe" int not null);
create table "Büro %s"."event's log" ("user" int not null, "from" int not null, "was %I" text not null, "Nutz last" jsonb not null, "wann" timestamptz not null default now(), unique ("user", "from"));
comment on column "Büro %s"."event's log"."from" is 'version of the aggregate';
create function "Büro %s"."Größe geändert"() returns trigger language plpgsql as $_$
begin
  insert into "Büro %s"."event's log" ("user", "from", "was %I", "Nutz last") values (new."select", 1, 'It''s $$ changed', to_jsonb(new));
  return new;
end $_$;
create trigger "Größe; -- geändert" after update on "Büro %s"."Straße""n" for each row execute function "Büro %s"."Größe geändert"();
insert into "Büro %s"."Straße""n" values (1, 5), (2, 6);
