-- about: -> and ->> of MySQL, which MariaDB has not
-- must: port
-- source: max_plus_one
-- loads: no: MariaDB has no -> for JSON

CREATE TABLE carts (id INT AUTO_INCREMENT PRIMARY KEY, data JSON NOT NULL);
CREATE TABLE cart_events (cart_id INT NOT NULL, version INT NOT NULL, type VARCHAR(40), payload JSON, PRIMARY KEY (cart_id, version));
DELIMITER $$
CREATE TRIGGER carts_au AFTER UPDATE ON carts FOR EACH ROW
BEGIN
    IF NEW.data->>'$.state' = 'paid' AND NOT (OLD.data->>'$.state' <=> 'paid') THEN
        INSERT INTO cart_events (cart_id, version, type, payload)
        VALUES (NEW.id, (SELECT IFNULL(MAX(e.version), 0) + 1 FROM cart_events e WHERE e.cart_id = NEW.id), 'CartPaid',
            JSON_OBJECT('total', NEW.data->'$.total', 'first', JSON_UNQUOTE(JSON_EXTRACT(NEW.data, '$.items[0]'))));
    END IF;
END$$
DELIMITER ;
