-- about: who did it is the account of the connection
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

CREATE TABLE user_audit (
    id INT AUTO_INCREMENT PRIMARY KEY,
    user_id BIGINT UNSIGNED NOT NULL,
    version INT NOT NULL,
    changed_by VARCHAR(190) NOT NULL,
    changed_at DATETIME(6) NOT NULL,
    UNIQUE KEY user_version (user_id, version)
);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO user_audit (user_id, version, changed_by, changed_at)
VALUES (NEW.id, 1, SUBSTRING_INDEX(USER(), '@', 1), UTC_TIMESTAMP(6))$$
DELIMITER ;
