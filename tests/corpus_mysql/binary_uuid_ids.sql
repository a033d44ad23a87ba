-- about: ids are BINARY(16), made by UUID_TO_BIN
-- must: port
-- source: literal
-- loads: yes

CREATE TABLE customers (id BINARY(16) NOT NULL PRIMARY KEY, email VARCHAR(190) NOT NULL);
CREATE TABLE event_store (
    event_id BINARY(16) NOT NULL PRIMARY KEY,
    aggregate_id BINARY(16) NOT NULL,
    sequence INT UNSIGNED NOT NULL,
    payload JSON NOT NULL,
    UNIQUE KEY aggregate_sequence (aggregate_id, sequence)
);
DELIMITER $$
CREATE TRIGGER customers_au AFTER UPDATE ON customers FOR EACH ROW
INSERT INTO event_store (event_id, aggregate_id, sequence, payload)
VALUES (UUID_TO_BIN(UUID(), 1), NEW.id, 1, JSON_OBJECT('id', BIN_TO_UUID(NEW.id), 'hex', HEX(NEW.id), 'email', NEW.email))$$
DELIMITER ;
