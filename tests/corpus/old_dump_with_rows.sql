-- A dump of an old server: psql's own commands, rows after COPY, a search_path that moves, EXECUTE PROCEDURE, a missing helper.
-- must: port refuse
-- source: literal dynamic
-- offline
\connect shop
SET statement_timeout = 0;
SET search_path = shop, pg_catalog;
CREATE FUNCTION item_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$BEGIN
INSERT INTO item_events (item_id, version, event_type, data) VALUES (NEW.id, 1, 'It''s changed; COPY $1', row_to_json(NEW));
RETURN NEW;
END$_$;
CREATE FUNCTION order_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$BEGIN
INSERT INTO order_events (order_id, version, event_type, data) VALUES (NEW.id, get_next_version('order', NEW.id), 'OrderChanged', row_to_json(NEW));
RETURN NEW;
END$$;
CREATE TABLE items (
    id integer NOT NULL,
    name text
);
ALTER TABLE shop.items OWNER TO shop;
CREATE TABLE item_events (
    item_id integer NOT NULL,
    version integer NOT NULL,
    event_type character varying(50) NOT NULL,
    data json NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE orders (id integer NOT NULL);
CREATE TABLE order_events (order_id integer NOT NULL, version integer NOT NULL, event_type text NOT NULL, data json NOT NULL, at timestamp with time zone DEFAULT now() NOT NULL);
COPY items (id, name) FROM stdin;
1	it's; a
2	create table nothing (
\.
COPY item_events (item_id, version, event_type, data, at) FROM stdin;
\.
ALTER TABLE ONLY items
    ADD CONSTRAINT items_pkey PRIMARY KEY (id);
ALTER TABLE ONLY item_events
    ADD CONSTRAINT item_events_pkey PRIMARY KEY (item_id, version);
ALTER TABLE ONLY orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY order_events ADD CONSTRAINT order_events_pkey PRIMARY KEY (order_id, version);
CREATE TRIGGER item_changed AFTER UPDATE ON items FOR EACH ROW EXECUTE PROCEDURE item_changed();
CREATE TRIGGER order_changed AFTER UPDATE ON orders FOR EACH ROW EXECUTE PROCEDURE order_changed();
