-- about: the row alias of MySQL 8.0.19
-- must: ignore
-- loads: no: MariaDB has no row alias

CREATE TABLE users (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(190) NOT NULL,
    name VARCHAR(100) NULL,
    status ENUM('active', 'blocked') NOT NULL DEFAULT 'active',
    is_admin TINYINT(1) NOT NULL DEFAULT 0,
    last_login_at DATETIME NULL,
    updated_at TIMESTAMP NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE update_counts (user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY, version INT NOT NULL);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO update_counts (user_id, version) VALUES (NEW.id, 1) AS fresh
ON DUPLICATE KEY UPDATE version = update_counts.version + fresh.version$$
DELIMITER ;
