-- about: bodies with ; and no DELIMITER at all
-- must: port
-- source: max_plus_one
-- loads: no: the client cuts the body at its first ;

CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE user_events (user_id INT NOT NULL, version INT NOT NULL, name VARCHAR(50),
    happened_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version));

CREATE TRIGGER user_changed AFTER UPDATE ON users FOR EACH ROW
BEGIN
    DECLARE v INT DEFAULT 0;
    IF NOT (NEW.name <=> OLD.name) THEN
        SELECT COALESCE(MAX(version), 0) INTO v FROM user_events WHERE user_id = NEW.id;
        INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, v + 1, NEW.name);
    END IF;
END;

CREATE TRIGGER user_deleted AFTER DELETE ON users FOR EACH ROW
    DELETE FROM user_events WHERE user_id = OLD.id;
