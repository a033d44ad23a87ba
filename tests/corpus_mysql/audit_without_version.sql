-- about: an audit table that has no version at all
-- must: ignore
-- source: none none none
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

CREATE TABLE audit_log (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, table_name VARCHAR(64), row_id BIGINT, action CHAR(1),
    old_data JSON, new_data JSON, changed_by VARCHAR(100), changed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
DELIMITER $$
CREATE TRIGGER users_ai AFTER INSERT ON users FOR EACH ROW
INSERT INTO audit_log (table_name, row_id, action, new_data, changed_by) VALUES ('users', NEW.id, 'I', JSON_OBJECT('email', NEW.email), CURRENT_USER())$$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
INSERT INTO audit_log (table_name, row_id, action, old_data, new_data, changed_by)
VALUES ('users', NEW.id, 'U', JSON_OBJECT('email', OLD.email), JSON_OBJECT('email', NEW.email), CURRENT_USER())$$
CREATE TRIGGER users_ad AFTER DELETE ON users FOR EACH ROW
INSERT INTO audit_log (table_name, row_id, action, old_data, changed_by) VALUES ('users', OLD.id, 'D', JSON_OBJECT('email', OLD.email), CURRENT_USER())$$
DELIMITER ;
