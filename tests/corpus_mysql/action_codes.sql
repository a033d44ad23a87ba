-- about: numbers that are codes and no versions
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

CREATE TABLE activity (id INT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED, action_code INT NOT NULL, level INT NOT NULL);
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW INSERT INTO activity (user_id, action_code, level) VALUES (NEW.id, 1, 2)$$
DELIMITER ;
