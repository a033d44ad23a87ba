-- about: Spring separates statements by ^; which is no delimiter of the client
-- must: port
-- source: literal
-- loads: no: only Spring cuts at ^;

CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50)) ^;

CREATE TABLE user_events (user_id INT NOT NULL, version INT NOT NULL, name VARCHAR(50),
    happened_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version)) ^;

CREATE TRIGGER user_changed AFTER UPDATE ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
END ^;
