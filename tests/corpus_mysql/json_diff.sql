-- about: the changes are gathered with JSON_SET under NULL-safe comparisons, no event without one
-- must: port
-- source: max_plus_one
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
CREATE FUNCTION GetNextAggregateVersion(p_aggregate_type VARCHAR(100), p_aggregate_id VARCHAR(100))
RETURNS BIGINT UNSIGNED
READS SQL DATA
DETERMINISTIC
BEGIN
    DECLARE next_version BIGINT UNSIGNED DEFAULT 1;

    SELECT COALESCE(MAX(aggregate_version), 0) + 1 INTO next_version
    FROM domain_events
    WHERE aggregate_type = p_aggregate_type
    AND aggregate_id = p_aggregate_id;

    RETURN next_version;
END$$
DELIMITER ;
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    DECLARE changes JSON DEFAULT JSON_OBJECT();

    IF NOT (OLD.email <=> NEW.email) THEN
        SET changes = JSON_SET(changes, '$.email', JSON_OBJECT('old', OLD.email, 'new', NEW.email));
    END IF;
    IF NOT (OLD.name <=> NEW.name) THEN
        SET changes = JSON_SET(changes, '$.name', JSON_OBJECT('old', OLD.name, 'new', NEW.name));
    END IF;
    IF !(OLD.is_admin <=> NEW.is_admin) THEN
        SET changes = JSON_SET(changes, '$.is_admin', NEW.is_admin);
    END IF;

    IF JSON_LENGTH(changes) > 0 THEN
        INSERT INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
        VALUES (UUID(), 'User', NEW.id, GetNextAggregateVersion('User', NEW.id), 'UserUpdated', changes);
    END IF;
END$$
DELIMITER ;
