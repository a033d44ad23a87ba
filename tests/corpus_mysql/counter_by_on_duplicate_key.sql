-- about: ON DUPLICATE KEY UPDATE keeps a counter: no log of events
-- must: ignore
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

CREATE TABLE update_counts (user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY, version INT NOT NULL, updated_at DATETIME);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO update_counts (user_id, version, updated_at) VALUES (NEW.id, 1, NOW())
ON DUPLICATE KEY UPDATE version = version + 1, updated_at = VALUES(updated_at)$$
DELIMITER ;
