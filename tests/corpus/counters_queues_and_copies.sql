-- Inserts that are no events: an upserted counter, a copy of the row, a line numbered from one.
-- must: ignore
create table sales (id int primary key, day date not null default current_date, amount numeric not null);
create table daily (day date primary key, n int not null, total numeric not null);
create table sales_copy (id int, day date, amount numeric);
create table sale_lines (sale_id int not null, line_no int not null, amount numeric, primary key (sale_id, line_no));
create function on_sale() returns trigger language plpgsql as $$
begin
  insert into daily values (new.day, 1, new.amount) on conflict (day) do update set n = daily.n + 1, total = daily.total + excluded.total;
  insert into sales_copy values (new.id, new.day, new.amount);
  insert into sale_lines values (new.id, 1, new.amount);
  return null;
end $$;
create trigger on_sale after insert on sales for each row execute function on_sale();
