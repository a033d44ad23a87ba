-- about: a literal 1 that is right: each event has an aggregate of its own
-- must: ignore
-- source: literal
-- loads: yes

CREATE TABLE payments (id INT AUTO_INCREMENT PRIMARY KEY, amount DECIMAL(10,2) NOT NULL);
CREATE TABLE payment_events (event_id CHAR(36) NOT NULL, version INT NOT NULL, payment_id INT, paid_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (event_id, version));
DELIMITER $$
CREATE TRIGGER payments_ai AFTER INSERT ON payments FOR EACH ROW
INSERT INTO payment_events (event_id, version, payment_id) VALUES (UUID(), 1, NEW.id)$$
DELIMITER ;
