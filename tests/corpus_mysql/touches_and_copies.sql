-- about: triggers that write no event, a timestamp and a total, and an archive, which is a log without a version
-- must: ignore
-- source: none
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

CREATE TABLE user_totals (day DATE PRIMARY KEY, updates INT NOT NULL DEFAULT 0);
CREATE TABLE users_archive LIKE users;
DELIMITER $$
CREATE TRIGGER users_bu BEFORE UPDATE ON users FOR EACH ROW SET NEW.updated_at = CURRENT_TIMESTAMP$$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
UPDATE user_totals SET updates = updates + 1 WHERE day = CURDATE() LIMIT 1$$
CREATE TRIGGER users_ad AFTER DELETE ON users FOR EACH ROW
INSERT INTO users_archive (id, email, name, status) VALUES (OLD.id, OLD.email, OLD.name, OLD.status)$$
DELIMITER ;
