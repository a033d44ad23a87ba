-- Scenarios, with an empty line between them, each from new tables. A line is a statement; one that fails does not end its
-- scenario. {schema} is the scenario's schema, {n} its number.

alter table t add column d int
update t set d = id
alter table t add d int
alter table t add column if not exists d text
alter table t drop column d
update t set a = 'x' where id = 1
alter table t drop column d
alter table t drop column if exists d

alter table t add column d int not null
alter table t add column d int not null default 5
alter table t add e timestamptz default clock_timestamp() - clock_timestamp() + '2020-01-01'
insert into t (id) values (4)

alter table t rename column a to "A b"
update t set "A b" = 'z'
alter table t rename column nope to x
alter table t rename column "A b" to b
alter table t rename to u
update u set b = 1
alter table u rename to t

alter table t alter a type varchar(2)
alter table t alter a type varchar(3)
alter table t alter a type int using length(a)
update t set a = a + 1
alter table t alter b type bigint
alter table t alter b type text using b::text || '!'
insert into t (id) values (8)

alter table t alter id type bigint
update t set id = id + 10
alter table t alter id type numeric
alter table t alter id type text
alter table f alter t_id type bigint

alter table t alter c type numeric(4, 1)
alter table t alter c type numeric(3, 3)
alter table t alter c type money using c::money
update t set c = '1.00'

alter table t alter b set default 9
alter table t alter b drop default
insert into t (id) values (5)
alter table t alter a set not null
update t set a = 'q' where a is null
alter table t alter a set not null
insert into t (id) values (6)
alter table t alter a drop not null

alter table t drop constraint t_pkey
alter table t drop constraint t_pkey cascade
insert into t values (1, 'again')
alter table t add primary key (id)
delete from t where a = 'again'
alter table t add primary key (id)
alter table t add constraint again primary key (id)

alter table t add constraint positive check (b > 0)
update t set b = -1
alter table t add constraint named unique (a)
insert into t values (7, 'one')
alter table t validate constraint positive
alter table t rename constraint positive to p2
alter table t drop constraint p2

truncate t
truncate t cascade
truncate only p
truncate p
truncate p1, p2
truncate par
truncate only par
truncate w restart identity
insert into w (n) values (9)

cluster t using t_pkey
cluster t
cluster t using nope
vacuum full t
vacuum (analyze) t
reindex table t
analyze t
update t set b = 2

create table p3 partition of p for values in (3)
delete from rest
create table p3 partition of p for values in (3)
insert into p values (4, 3, 'd')
drop table p3
create table p4 partition of p for values in (1)
insert into p values (5, 1, 'e')

alter table p detach partition p2
update p2 set v = 'out'
insert into p values (7, 2, 'in the rest')
alter table p attach partition p2 for values in (2)
delete from p where id = 7
alter table p attach partition p2 for values in (2)
update p set v = 'all'

alter table p attach partition spare for values in (9)
insert into p values (10, 9, 'through')
update spare set v = 'itself'
alter table p detach partition spare
insert into spare values ('n', 12, 9)
drop table spare
create table spare (v text, id int, k int)

alter table p attach partition t for values in (4)
alter table p attach partition p1 for values in (4)
alter table p detach partition t
alter table t detach partition p1
alter table p attach partition p for values in (4)

update p set k = 2 where id = 1
update p set k = 77, v = 'moved'
update p1 set k = 2
insert into p1 values (1, 2, 'x')
delete from p where k = 77
alter table p detach partition rest
insert into p values (1, 50, 'nowhere')

alter table p add column m int default 3
alter table p1 add column n int
alter table p1 drop column v
alter table p drop column v
alter table p drop column k
update p set m = 4
alter table only p add column z int
alter table p alter m type text

alter table p rename to q
alter table p1 rename to q1
update q set v = 'r'
alter table q rename column v to vv
update q1 set vv = 's'
alter table q rename to p
alter table p rename vv to v

create table deep partition of p for values in (5) partition by range (id)
create table deep1 partition of deep for values from (0) to (100)
insert into p values (3, 5, 'deep')
alter table p detach partition deep
insert into deep values (4, 5, 'x')
insert into deep values (400, 5, 'x')
drop table deep

alter table chi no inherit par
update chi set y = 4
alter table chi inherit par
alter table par inherit chi
alter table par add column z int
update par set x = 'u'
alter table chi drop column x
alter table par drop column x
drop table par
drop table par cascade

create table grand (g int) inherits (chi)
insert into grand values (5, 'g', 1, 2)
update par set x = 'all'
delete from par where id = 5
drop table chi
drop table grand
create table other () inherits (par, t)
create table other (like t including all)

drop table t
drop table t cascade
delete from f
create table t (id int primary key, a text, b int, c int)
insert into t values (1, 'new')
select count(*) from t

drop table nope
drop table if exists nope
drop table f, w
drop table p
create table p (id int, k int, v text)
insert into p values (1, 1, '1')
create table f (id int)
create table w (id int)

alter table t set schema nope
create schema elsewhere_{n}
alter table t set schema elsewhere_{n}
update elsewhere_{n}.t set b = 3
drop schema elsewhere_{n}
alter table elsewhere_{n}.t set schema {schema}
drop schema elsewhere_{n}
update t set b = 4

alter table t disable trigger user
update t set b = 5
alter table t enable trigger user
alter table t enable always trigger nope
alter table t disable row level security
alter table t enable row level security
update t set b = 6
alter table t force row level security
select * from t
create policy p on t using (id < 3)
update t set b = 8
insert into t values (50)
alter table t no force row level security

alter table t set (fillfactor = 50)
alter table t set (nope = 50)
alter table t alter a set storage external
alter table t alter a set statistics 5
alter table t set unlogged
alter table f set unlogged
update f set t_id = 3
alter table f set logged
alter table t replica identity full
alter table t replica identity using index nope
alter table t set without oids
update t set a = a

create index on t (a)
create unique index named_once on t (b)
create unique index concurrently named on t (a)
drop index named
create index on p (v)
create index on only p (k)
alter table t add primary key using index named
alter table t cluster on t_pkey
drop index t_pkey

create view seen as select * from t
alter table t drop column c
alter table t alter c type int
update seen set b = 9
insert into seen (id, a) values (30, 'v')
create or replace view seen as select id, a from t
drop view seen
create rule r as on delete to t do instead nothing
delete from t
drop rule r on t

create function mine() returns trigger language plpgsql as $$ begin new.a := upper(new.a); return new; end $$
create trigger b before insert or update on t for each row execute function mine()
update t set a = 'lower'
alter trigger b on t rename to z
alter table t disable trigger z
update t set a = 'again'
drop trigger z on t
drop trigger z on t
create trigger i instead of insert on t for each row execute function mine()
drop function mine()

alter table w alter n type bigint
alter table w drop column n
alter table w drop column twice
update w set n = 50
alter table w alter id drop identity
insert into w values (10, 20)
alter table w alter id add generated by default as identity
alter table w alter id set generated always
alter table w drop column n
insert into w default values

alter table f drop constraint f_t_id_fkey
insert into f values (9, 999)
alter table f add foreign key (t_id) references t
delete from f where t_id = 999
alter table f add constraint fk foreign key (t_id) references t on delete set null
delete from t where id = 1
update t set id = 20 where id = 2
alter table f add constraint fk2 foreign key (t_id) references t deferrable initially deferred

alter table t owner to nope
grant select on t to public
revoke all on t from public
comment on table t is 'x'
comment on column t.a is 'y'
alter table t rename column a to ctid
alter table t add column xmin int
alter table t add column tableoid int
alter table t drop column ctid

begin
alter table t add column d int
update t set d = 1
savepoint a
alter table t drop column d
update t set b = 1
rollback to a
update t set d = 2
alter table p detach partition p1
insert into p1 values (8, 1, 'z')
rollback
select * from p order by 1

begin
drop table f
create table f (id int primary key, t_id int)
insert into f values (1, 5)
commit
begin
truncate t
insert into t values (1, 'back')
rollback
begin
insert into t values (40)
alter table t alter a type char(5)
commit

create table copy as select * from t
create table inherits_copy (like p including all)
select * into third from t
alter table t drop column id
alter table t drop column id cascade
update t set b = 100
insert into t (a) values ('no id')
alter table t add column id serial primary key
update t set b = 3

alter table t alter column b add generated always as identity
update t set b = 1 where b is null
alter table t alter b set not null
alter table t alter b drop default
alter table t alter column b add generated always as identity
insert into t (id) values (11)
alter table t alter b drop expression
alter table w alter twice drop expression
update w set twice = 0

create type mood as enum ('a', 'b')
alter table t add m mood default 'a'
alter type mood rename value 'a' to 'c'
alter type mood add value 'd'
update t set m = 'd'
create domain small as int check (value < 5)
alter table t add s small
update t set s = 9
alter domain small drop constraint small_check
update t set s = 9
drop type mood
drop type mood cascade
drop domain small cascade

create statistics st on a, b from t
alter table t alter a type varchar(10)
drop statistics st
create publication pub_{n} for table t
lock table t in access exclusive mode
begin
lock table t in exclusive mode
update t set b = 0
commit
table t
merge into t using f on t.id = f.t_id when matched then update set b = 77 when not matched then do nothing

create table typed_rows of nope
create type rowed as (id int, a text)
create table typed of rowed (primary key (id))
alter type rowed add attribute b int
alter type rowed add attribute b int cascade
alter table t of rowed
drop type rowed cascade

create temp table tt (id int primary key)
insert into tt values (1)
alter table tt rename to t2
drop table t2
alter table t attach partition p1 default
create table part_of_t partition of t default
create table bad partition of p for values from (1) to (2)
create table bad partition of p for values in ('x')

drop owned by nobody_else restrict
drop schema {schema}
alter schema {schema} rename to renamed_{n}
update renamed_{n}.t set b = 31
alter schema renamed_{n} rename to {schema}
drop index p_pkey
alter index p_pkey rename to pk
alter table p drop constraint pk
update p set v = 'last'
