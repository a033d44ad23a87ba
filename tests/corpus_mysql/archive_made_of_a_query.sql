-- about: tables made by CREATE TABLE .. AS SELECT, and a log of new rows by their table's name
-- must: ignore
-- source: none none none
-- loads: yes

CREATE TABLE members (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(50), joined DATETIME);
CREATE TABLE members_archive AS SELECT * FROM members;
CREATE TABLE IF NOT EXISTS members_history SELECT m.id AS member_id, m.email, NOW() AS kept_at FROM members m WHERE 1 = 0;
CREATE TABLE depot (id INT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE Logs (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at DATETIME DEFAULT CURRENT_TIMESTAMP, table_name VARCHAR(50) NOT NULL, row_id INT NOT NULL, row_name VARCHAR(255));
DELIMITER //
CREATE TRIGGER members_ad AFTER DELETE ON members FOR EACH ROW BEGIN
  INSERT INTO members_archive VALUES (OLD.id, OLD.email, OLD.joined);
  INSERT INTO members_history (member_id, email, kept_at) VALUES (OLD.id, OLD.email, NOW());
END //
CREATE TRIGGER depot_ai AFTER INSERT ON depot FOR EACH ROW BEGIN INSERT INTO Logs VALUES (NULL, DEFAULT, "depot", NEW.id, NEW.name); END //
DELIMITER ;
