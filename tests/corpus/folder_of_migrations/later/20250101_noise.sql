-- +goose Up
create index on app.users (email);
-- +goose Down
drop table member_events cascade;
