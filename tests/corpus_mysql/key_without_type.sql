-- about: the unique key has no aggregate type
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
    id BIGINT AUTO_INCREMENT PRIMARY KEY, aggregate_type VARCHAR(50) NOT NULL, aggregate_id VARCHAR(64) NOT NULL, version INT NOT NULL,
    event_type VARCHAR(100) NOT NULL, payload JSON, UNIQUE KEY aggregate_version (aggregate_id, version)
);
DELIMITER $$
CREATE FUNCTION get_next_aggregate_version(p_id VARCHAR(64)) RETURNS INT READS SQL DATA
RETURN (SELECT COALESCE(MAX(version), 0) + 1 FROM domain_events WHERE aggregate_id = p_id)$$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO domain_events (aggregate_type, aggregate_id, version, event_type, payload)
VALUES ('User', CONCAT('user-', NEW.id), get_next_aggregate_version(CONCAT('user-', NEW.id)), 'UserUpdated', JSON_OBJECT('name', NEW.name))$$
DELIMITER ;
