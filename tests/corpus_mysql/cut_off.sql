-- about: the file ends within a trigger
-- must: refuse
-- source: literal dynamic dynamic
-- loads: no: it is cut off

CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE user_events (user_id INT NOT NULL, version INT NOT NULL, name VARCHAR(50),
    happened_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version));
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
    IF NEW.name IS NULL THEN
        INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 2, 'no na
