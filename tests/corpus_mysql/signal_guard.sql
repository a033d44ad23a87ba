-- about: a guard that writes nothing: SIGNAL in a BEFORE trigger
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
DELIMITER $$
CREATE TRIGGER users_bu BEFORE UPDATE ON users FOR EACH ROW
BEGIN
    IF NEW.email NOT LIKE '%_@_%' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not an e-mail address', MYSQL_ERRNO = 1644;
    END IF;
END$$
DELIMITER ;
