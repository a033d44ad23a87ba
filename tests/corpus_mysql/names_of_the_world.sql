-- about: names and texts beyond ASCII
-- must: port
-- source: literal
-- loads: yes

CREATE TABLE användare (id INT AUTO_INCREMENT PRIMARY KEY, `né` VARCHAR(50));
CREATE TABLE `событие` (`код` INT NOT NULL, version INT NOT NULL, event_type VARCHAR(40), `текст` VARCHAR(100),
    `время` TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (`код`, version)) DEFAULT CHARSET=utf8mb4;
DELIMITER $$
CREATE TRIGGER ändrad AFTER UPDATE ON användare FOR EACH ROW
INSERT INTO `событие` (`код`, version, event_type, `текст`) VALUES (NEW.id, 1, 'Ändrad', CONCAT(_utf8mb4'→ ', NEW.`né`, ' ', N'ok'))$$
DELIMITER ;
