-- about: the delimiter is never set back to ;
-- must: port
-- source: literal literal
-- loads: yes

CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE user_events (user_id INT NOT NULL, version INT NOT NULL, name VARCHAR(50),
    happened_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version));
DELIMITER //
CREATE TRIGGER user_changed AFTER UPDATE ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
END//
CREATE TRIGGER user_created AFTER INSERT ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
END//
