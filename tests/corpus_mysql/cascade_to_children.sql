-- about: a foreign key deletes children, whose triggers the servers do not fire
-- must: port
-- source: max_plus_one
-- loads: yes

CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(100));
CREATE TABLE order_lines (
    id INT AUTO_INCREMENT PRIMARY KEY, order_id INT NOT NULL, sku VARCHAR(40), quantity INT NOT NULL,
    FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
);
CREATE TABLE order_events (order_id INT NOT NULL, version INT NOT NULL, type VARCHAR(40), data JSON, PRIMARY KEY (order_id, version));
DELIMITER $$
CREATE TRIGGER order_lines_ad AFTER DELETE ON order_lines FOR EACH ROW
INSERT INTO order_events (order_id, version, type, data)
VALUES (OLD.order_id, (SELECT COALESCE(MAX(e.version), 0) + 1 FROM order_events e WHERE e.order_id = OLD.order_id), 'LineRemoved', JSON_OBJECT('sku', OLD.sku))$$
DELIMITER ;
