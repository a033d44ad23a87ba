-- about: DATE_FORMAT, SYSDATE, UTC_TIMESTAMP, CURDATE and CURTIME
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

CREATE TABLE user_history (user_id BIGINT UNSIGNED NOT NULL, version INT NOT NULL, at_text VARCHAR(40), at_day DATE, at_time TIME, at_utc DATETIME(6), PRIMARY KEY (user_id, version));
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO user_history VALUES (NEW.id, 1, DATE_FORMAT(SYSDATE(), '%Y-%m-%dT%H:%i:%s.%fZ'), CURDATE(), CURTIME(), UTC_TIMESTAMP(6) - INTERVAL 1 SECOND)$$
DELIMITER ;
