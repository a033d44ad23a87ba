-- about: the row has a version of its own, which the event takes over
-- must: refuse
-- source: copied_from_row
-- loads: yes

CREATE TABLE documents (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(100), version INT NOT NULL DEFAULT 1);
CREATE TABLE document_events (document_id INT NOT NULL, version INT NOT NULL, title VARCHAR(100), saved_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (document_id, version));
DELIMITER $$
CREATE TRIGGER documents_bu BEFORE UPDATE ON documents FOR EACH ROW SET NEW.version = OLD.version + 1$$
CREATE TRIGGER documents_au AFTER UPDATE ON documents FOR EACH ROW
INSERT INTO document_events (document_id, version, title) VALUES (NEW.id, NEW.version, NEW.title)$$
DELIMITER ;
