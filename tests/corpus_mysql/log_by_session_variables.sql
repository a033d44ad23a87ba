-- about: a log that a procedure writes from session variables which the triggers set; lines that go on after a backslash
-- must: ignore
-- source: none none
-- loads: yes

CREATE TABLE crates (id INT PRIMARY KEY, label VARCHAR(50), weight INT);
CREATE TABLE kinds (id INT PRIMARY KEY, what VARCHAR(32));
CREATE TABLE crate_log (at DATETIME, of_table VARCHAR(64), field VARCHAR(64), old_value TEXT, new_value TEXT);
CREATE TABLE crate_audit (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, object_type VARCHAR(64) NOT NULL, object_id BIGINT NOT NULL, kind_id INT NOT NULL, revision_id BIGINT NOT NULL);
DELIMITER ;;
CREATE PROCEDURE put_log() BEGIN
  INSERT INTO crate_log (at, of_table, field, old_value, new_value) VALUES (NOW(), @log_table, @log_field, @log_old, @log_new);
END ;;
CREATE PROCEDURE put_audit(IN t VARCHAR(64), IN i BIGINT, IN k VARCHAR(32)) BEGIN
  INSERT INTO crate_audit (object_type, object_id, kind_id, revision_id) VALUES (t, i, \
    (SELECT id FROM kinds WHERE what = k), \
    @revision);
END ;;
CREATE TRIGGER crates_au AFTER UPDATE ON crates FOR EACH ROW BEGIN
  SET @log_table = 'crates'; SET @log_field = 'label'; SET @log_old = OLD.label; SET @log_new = NEW.label;
  CALL put_log();
  CALL put_audit('crate', NEW.id, 'update');
END ;;
DELIMITER ;
