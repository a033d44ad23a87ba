-- about: the trigger calls a procedure that writes
-- must: port
-- source: max_plus_one max_plus_one
-- loads: yes

CREATE TABLE users (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(190) NOT NULL,
    name VARCHAR(100) NULL,
    status ENUM('active', 'blocked') NOT NULL DEFAULT 'active',
    is_admin TINYINT(1) NOT NULL DEFAULT 0,
    last_login_at DATETIME NULL,
    updated_at TIMESTAMP NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

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

DELIMITER $$
CREATE PROCEDURE record_event(IN p_type VARCHAR(100), IN p_id VARCHAR(100), IN p_event VARCHAR(150), IN p_data JSON)
MODIFIES SQL DATA
BEGIN
    DECLARE v BIGINT UNSIGNED;
    SELECT COALESCE(MAX(aggregate_version), 0) + 1 INTO v FROM domain_events
    WHERE aggregate_type = p_type AND aggregate_id = p_id;
    INSERT INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
    VALUES (UUID(), p_type, p_id, v, p_event, p_data);
END$$
CREATE TRIGGER users_ai AFTER INSERT ON users FOR EACH ROW
    CALL record_event('User', NEW.id, 'UserCreated', JSON_OBJECT('email', NEW.email))$$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    CALL record_event('User', NEW.id, 'UserUpdated', JSON_OBJECT('email', NEW.email));
END$$
DELIMITER ;
