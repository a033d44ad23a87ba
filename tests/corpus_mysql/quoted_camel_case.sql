-- about: names in CamelCase, with blanks and words of the language
-- must: port
-- source: literal
-- loads: yes

CREATE TABLE `Users` (`Id` INT AUTO_INCREMENT PRIMARY KEY, `Full Name` VARCHAR(100), `order` INT, `end` INT);
CREATE TABLE `DomainEvents` (
    `Id` INT AUTO_INCREMENT PRIMARY KEY, `AggregateType` VARCHAR(50) NOT NULL, `AggregateId` VARCHAR(50) NOT NULL,
    `AggregateVersion` INT NOT NULL, `EventData` JSON, UNIQUE KEY `UX_Version` (`AggregateType`, `AggregateId`, `AggregateVersion`)
);
DELIMITER $$
CREATE TRIGGER `Users Changed` AFTER UPDATE ON `Users` FOR EACH ROW
BEGIN
    IF NEW.`end` <> OLD.`end` OR NOT (NEW.order <=> OLD.`order`) OR NEW.`Full Name` <> OLD.`Full Name` THEN
        INSERT INTO `DomainEvents` (`AggregateType`, `AggregateId`, `AggregateVersion`, `EventData`)
        VALUES ('User', NEW.`Id`, 1, JSON_OBJECT('name', NEW.`Full Name`, 'end', NEW.end));
    END IF;
END$$
DELIMITER ;
