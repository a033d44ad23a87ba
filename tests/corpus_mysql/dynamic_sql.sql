-- about: a procedure puts its INSERT together at run time
-- must: refuse
-- source: dynamic
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
CREATE PROCEDURE write_event(IN p_table VARCHAR(64), IN p_id BIGINT)
BEGIN
    SET @sql = CONCAT('INSERT INTO ', p_table, ' (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data) VALUES (UUID(), ?, ?, 1, ?, ?)');
    PREPARE statement FROM @sql;
    SET @type = 'User', @id = p_id, @event = 'UserUpdated', @data = JSON_OBJECT();
    EXECUTE statement USING @type, @id, @event, @data;
    DEALLOCATE PREPARE statement;
END$$
DELIMITER ;
