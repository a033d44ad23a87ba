-- Revisions of something that is called neither history nor events: the last one + 1, in a column that is no whole number.
-- must: refuse
-- source: literal max_plus_one
create table wallets (seq bigserial primary key, book text not null, extra jsonb, changed_at timestamptz default now());
create table wallet_extra (seq bigserial primary key, book text not null, wallet_seq bigint references wallets, extra jsonb default '{}', revision numeric default 0, at timestamptz);
create unique index wallet_extra_revision on wallet_extra (book, wallet_seq, revision);
create function wallet_first() returns trigger language plpgsql as $$
begin
  insert into wallet_extra (book, wallet_seq, revision, at, extra) values (new.book, new.seq, 1, new.changed_at, new.extra);
  return new;
end $$;
create function wallet_next() returns trigger language plpgsql as $$
begin
  insert into wallet_extra (book, wallet_seq, revision, at, extra)
  values (new.book, new.seq, (select revision + 1 from wallet_extra e where e.wallet_seq = new.seq order by revision desc limit 1), new.changed_at, new.extra);
  return new;
end $$;
create trigger wallet_first after insert on wallets for each row execute function wallet_first();
create trigger wallet_next after update on wallets for each row execute function wallet_next();
