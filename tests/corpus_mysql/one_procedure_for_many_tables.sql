-- about: one procedure serves four tables
-- must: port
-- source: dynamic
-- fault: the version is said to be the constant that a loop begins with
-- loads: yes

CREATE TABLE domain_events (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id CHAR(36) NOT NULL,
    aggregate_type VARCHAR(100) NOT NULL,
    aggregate_id VARCHAR(100) NOT NULL,
    aggregate_version BIGINT UNSIGNED NOT NULL,
    event_type VARCHAR(150) NOT NULL,
    event_data JSON NOT NULL,
    caused_by_user_id BIGINT UNSIGNED NULL,
    occurred_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY event_id (event_id),
    UNIQUE KEY uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE a (id INT PRIMARY KEY, v INT);
CREATE TABLE b (id INT PRIMARY KEY, v INT);
CREATE TABLE c (id INT PRIMARY KEY, v INT);
CREATE TABLE d (id INT PRIMARY KEY, v INT);
DELIMITER $$
CREATE PROCEDURE log_change(p_table VARCHAR(64), p_id INT)
BEGIN
    DECLARE v INT DEFAULT 0;
    REPEAT
        SET v = v + 1;
    UNTIL NOT EXISTS (SELECT 1 FROM domain_events WHERE aggregate_type = p_table AND aggregate_id = p_id AND aggregate_version = v) END REPEAT;
    INSERT INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
    VALUES (UUID(), p_table, p_id, v, CONCAT(p_table, '_changed'), JSON_OBJECT());
END$$
CREATE TRIGGER a_au AFTER UPDATE ON a FOR EACH ROW CALL log_change('a', NEW.id)$$
CREATE TRIGGER b_au AFTER UPDATE ON b FOR EACH ROW CALL log_change('b', NEW.id)$$
CREATE TRIGGER c_au AFTER UPDATE ON c FOR EACH ROW CALL log_change('c', NEW.id)$$
CREATE TRIGGER d_ad AFTER DELETE ON d FOR EACH ROW CALL log_change('d', OLD.id)$$
DELIMITER ;
