create table orders (
  id int not null auto_increment primary key,
  customer varchar(50) not null,
  status varchar(20) not null default 'open',
  total decimal(10,2) not null default 0,
  notes varchar(100) default null,
  paid tinyint(1) not null default 0,
  due date default null,
  tags varchar(100) not null default ''
);
create table order_events (
  id bigint not null auto_increment primary key,
  aggregate_type varchar(50) not null,
  aggregate_id varchar(50) not null,
  version int not null,
  event_type varchar(50) not null,
  payload json,
  actor varchar(100) default null,
  created_at datetime(3) not null,
  unique key stream (aggregate_type, aggregate_id, version)
);
create table counters (name varchar(50) not null primary key, n int not null, last_id int default null);
delimiter $$
create function order_version(p_id int) returns int
reads sql data
begin
  declare v int default 0;
  select version into v from order_events
   where aggregate_type = 'Order' and aggregate_id = p_id order by version desc limit 1;
  return v + 1;
end$$
create function words(p_text varchar(100)) returns int deterministic no sql
begin
  declare n int default 0;
  declare rest varchar(100) default trim(p_text);
  w: while char_length(rest) > 0 do
    set n = n + 1;
    if locate(' ', rest) = 0 then leave w; end if;
    set rest = trim(substring(rest, locate(' ', rest) + 1));
  end while;
  return n;
end$$
create procedure add_event(in p_id int, in p_type varchar(50), in p_payload json)
begin
  insert into order_events (aggregate_type, aggregate_id, version, event_type, payload, actor, created_at)
  values ('Order', p_id, order_version(p_id), p_type, p_payload, @current_actor, now(3));
end$$
create trigger orders_bi before insert on orders for each row
begin
  if new.total < 0 then
    signal sqlstate '45000' set message_text = 'the total is negative';
  end if;
  set new.customer = concat(upper(left(new.customer, 1)), substring(new.customer, 2));
end$$
create trigger orders_bu before update on orders for each row
begin
  if new.total < 0 then
    signal sqlstate '45000' set message_text = 'the total is negative';
  elseif new.status = 'PAID' and old.status <> 'paid' then
    set new.paid = true, new.notes = concat_ws(' ', new.notes, 'paid');
  end if;
end$$
create trigger orders_ai after insert on orders for each row
call add_event(new.id, 'OrderPlaced', json_object('customer', new.customer, 'total', new.total, 'paid', new.paid, 'due', new.due,
  'tag', substring_index(new.tags, ',', 1), 'urgent', if(find_in_set('urgent', new.tags) > 0, 'yes', 'no')))$$
create trigger orders_au after update on orders for each row
body: begin
  declare changes json default json_object();
  declare fields int default 0;
  if not (old.customer <=> new.customer) then
    set changes = json_set(changes, '$.customer', json_array(old.customer, new.customer)), fields = fields + 1;
  end if;
  if old.total != new.total then
    set changes = json_set(changes, '$.total', json_object('from', old.total, 'to', new.total, 'change', new.total - old.total));
    set fields = fields + 1;
  end if;
  if not (old.notes <=> new.notes) then
    set changes = json_set(changes, '$.notes', new.notes, '$.words', words(ifnull(new.notes, '')));
    set fields = fields + 1;
  end if;
  if not (old.due <=> new.due) then
    set changes = json_set(changes, '$.due', date_format(new.due, '%Y-%m-%dT00:00:00Z'), '$.days', datediff(new.due, old.due));
    set fields = fields + 1;
  end if;
  if old.status != new.status then
    call add_event(new.id, case new.status when 'paid' then 'OrderPaid' when 'shipped' then 'OrderShipped' else 'OrderChanged' end,
      json_object('status', new.status, 'paid', new.paid));
  end if;
  if fields = 0 then leave body; end if;
  insert into order_events (aggregate_type, aggregate_id, version, event_type, payload, actor, created_at)
  select 'Order', new.id, coalesce(max(version), 0) + 1, 'OrderUpdated', json_set(changes, '$.fields', fields), @current_actor, now(3)
    from order_events where aggregate_type = 'Order' and aggregate_id = cast(new.id as char);
  insert into counters (name, n, last_id) values ('updates', 1, new.id)
    on duplicate key update n = n + values(n), last_id = values(last_id);
end$$
create trigger orders_ad after delete on orders for each row
begin
  declare finished int default 0;
  declare kinds varchar(500) default '';
  declare kind varchar(50);
  declare c cursor for select event_type from order_events where aggregate_type = 'Order' and aggregate_id = old.id order by version;
  declare continue handler for not found set finished = 1;
  open c;
  reading: loop
    fetch c into kind;
    if finished then leave reading; end if;
    set kinds = concat(kinds, if(kinds = '', '', ','), kind);
  end loop;
  close c;
  call add_event(old.id, 'OrderDeleted', json_object('history', kinds, 'total', round(old.total / 3, 1), 'days', old.due is null));
end$$
delimiter ;
