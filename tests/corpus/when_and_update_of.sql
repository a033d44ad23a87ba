-- Two triggers on one table, each with a condition of its own; they fire by name.
-- must: port
-- source: literal literal
-- change: update subscribers set email = email || 'x', plan = plan || 'x'
create table subscribers (id int primary key, email text not null, plan text not null, seen_at timestamptz);
create table subscriber_events (subscriber_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), primary key (subscriber_id, version));
create function email_changed() returns trigger language plpgsql as $$
begin
  insert into subscriber_events (subscriber_id, version, event_type, data) values (new.id, 1, 'EmailChanged', jsonb_build_object('from', old.email, 'to', new.email));
  return null;
end $$;
create function plan_changed() returns trigger language plpgsql as $$
begin
  insert into subscriber_events (subscriber_id, version, event_type, data) values (new.id, 1, 'PlanChanged', jsonb_build_object('plan', new.plan));
  return null;
end $$;
create trigger b_email after update of email on subscribers for each row when (old.email is distinct from new.email) execute function email_changed();
create trigger a_plan after update of plan on subscribers for each row when (new.plan <> old.plan and new.plan <> 'none') execute function plan_changed();
insert into subscribers values (1, 'a@example.org', 'free'), (2, 'b@example.org', 'none');
