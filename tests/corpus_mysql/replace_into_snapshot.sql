-- about: REPLACE INTO keeps the newest state: no log of events
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

CREATE TABLE user_snapshots (user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY, version INT NOT NULL, data JSON);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
REPLACE INTO user_snapshots (user_id, version, data) VALUES (NEW.id, 1, JSON_OBJECT('name', NEW.name))$$
DELIMITER ;
