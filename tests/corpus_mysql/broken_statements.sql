-- about: what cannot be read stands beside what can: nothing is lost but the broken statement; its table is not renumbered unasked
-- must: refuse
-- source: literal literal dynamic dynamic dynamic
-- loads: no: three of its statements are broken

CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE user_events (user_id INT NOT NULL, version INT NOT NULL, name VARCHAR(50),
    happened_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (user_id, version));
CREATE TABLE broken (id INT,, name VARCHAR(50));
DELIMITER //
CREATE TRIGGER no_timing ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events VALUES (NEW.id, 1, NEW.name);
END//
CREATE TRIGGER half_good AFTER UPDATE ON users FOR EACH ROW
BEGIN
    SET @before = OLD.name;
    INSERT INTO user_events (user_id version, name) VALUES (NEW.id, 1, NEW.name);
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
    IF NEW.name <> THEN
        SET @changed = 1;
    END IF;
END//
CREATE TRIGGER good AFTER INSERT ON users FOR EACH ROW
BEGIN
    INSERT INTO user_events (user_id, version, name) VALUES (NEW.id, 1, NEW.name);
END//
DELIMITER ;
