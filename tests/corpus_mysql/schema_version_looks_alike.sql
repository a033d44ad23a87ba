-- about: event_version is the version of the payload, the stream has its own
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

CREATE TABLE event_store (
    sequence_number BIGINT AUTO_INCREMENT PRIMARY KEY,
    aggregate_id CHAR(36) NOT NULL,
    event_type VARCHAR(100) NOT NULL,
    event_version INT NOT NULL DEFAULT 1 COMMENT 'schema version of the payload',
    version INT NOT NULL COMMENT 'position in the stream of the aggregate',
    event_data JSON NOT NULL,
    UNIQUE KEY aggregate_version (aggregate_id, version)
);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO event_store (aggregate_id, event_type, event_version, version, event_data)
VALUES (NEW.id, 'UserUpdated', 1, (SELECT IFNULL(MAX(s.version), 0) + 1 FROM event_store s WHERE s.aggregate_id = NEW.id), JSON_OBJECT('name', NEW.name))$$
DELIMITER ;
