-- The store may belong to a role that is no superuser: before anything of it is touched, it is proven to be what was installed.
do $proof$
declare
  strange text;
begin
  select string_agg(s.object || ' ' || s.problem, '; ') into strange from (
@proof
limit 20) as s;
  if strange is not null then
    raise exception 'schema domain_events does not hold what was installed; nothing of it was run'
      using errcode = '55000', detail = strange,
            hint = 'Have the store''s owner undo these changes, or look at them and undo them yourself; then try again. Privileges are put right by domain_events.grant_privileges().';
  end if;
end
$proof$;
