-- about: a handler for duplicates writes to an error log, GET DIAGNOSTICS, RESIGNAL for the rest
-- must: port
-- source: literal
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


CREATE TABLE error_log (id INT AUTO_INCREMENT PRIMARY KEY, error_type VARCHAR(50), message TEXT, occurred_at DATETIME DEFAULT CURRENT_TIMESTAMP);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    DECLARE duplicate CONDITION FOR 1062;
    DECLARE EXIT HANDLER FOR duplicate
    BEGIN
        GET DIAGNOSTICS CONDITION 1 @message = MESSAGE_TEXT;
        INSERT INTO error_log (error_type, message) VALUES ('domain_event_retry_failure', @message);
    END;
    DECLARE EXIT HANDLER FOR SQLSTATE '42S02', SQLEXCEPTION
    BEGIN
        RESIGNAL SET MESSAGE_TEXT = 'no event written';
    END;
    INSERT INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
    VALUES (UUID(), 'User', NEW.id, 1, 'UserUpdated', JSON_OBJECT('name', NEW.name));
END$$
DELIMITER ;
