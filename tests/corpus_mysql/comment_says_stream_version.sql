-- about: no key says it, the comment does: event_version is the stream version
-- must: refuse
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

CREATE TABLE global_state_events (
    id CHAR(36) NOT NULL PRIMARY KEY,
    aggregate_type VARCHAR(50) NOT NULL,
    aggregate_id CHAR(36) NOT NULL,
    event_version INT NOT NULL DEFAULT 1 COMMENT 'Version of the aggregate after this event',
    event_type VARCHAR(100) NOT NULL,
    event_data JSON NOT NULL,
    INDEX idx_aggregate (aggregate_type, aggregate_id)
);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO global_state_events (id, aggregate_type, aggregate_id, event_type, event_data)
VALUES (UUID(), 'user', NEW.id, 'user_updated', JSON_OBJECT('name', NEW.name))$$
DELIMITER ;
