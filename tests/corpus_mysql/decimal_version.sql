-- about: versions are texts: 1.0, 1.1, 1.2
-- must: refuse
-- source: max_plus_one
-- fault: the table is taken for none of events
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

CREATE TABLE user_revisions (user_id BIGINT UNSIGNED NOT NULL, version VARCHAR(10) NOT NULL, name VARCHAR(100), made_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version));
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    DECLARE last_version VARCHAR(10) DEFAULT '1.0';
    SELECT MAX(version) INTO last_version FROM user_revisions WHERE user_id = NEW.id;
    INSERT INTO user_revisions (user_id, version, name) VALUES (NEW.id, CAST(IFNULL(last_version, '1.0') + 0.1 AS DECIMAL(4,1)), NEW.name);
END$$
DELIMITER ;
