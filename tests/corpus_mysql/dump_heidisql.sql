-- about: HeidiSQL: // and sql_mode put aside in @OLDTMP_SQL_MODE
-- must: port
-- source: max_plus_one
-- loads: yes

-- --------------------------------------------------------
-- Host:                         127.0.0.1
-- Server version:               10.6.12-MariaDB - mariadb.org binary distribution
-- HeidiSQL Version:             12.3.0.6589
-- --------------------------------------------------------

/*!40101 SET NAMES utf8 */;
/*!50503 SET NAMES utf8mb4 */;

CREATE TABLE IF NOT EXISTS `accounts` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `balance` decimal(12,2) NOT NULL DEFAULT 0.00,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS `account_events` (
  `account_id` int(11) NOT NULL,
  `seq` int(11) NOT NULL,
  `amount` decimal(12,2) NOT NULL,
  `booked_at` datetime NOT NULL,
  PRIMARY KEY (`account_id`,`seq`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

SET @OLDTMP_SQL_MODE=@@SQL_MODE, SQL_MODE='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION';
DELIMITER //
CREATE TRIGGER `account_au` AFTER UPDATE ON `accounts` FOR EACH ROW BEGIN
  SET @next = (SELECT MAX(seq) FROM account_events WHERE account_id = NEW.id);
  INSERT INTO account_events VALUES (NEW.id, IFNULL(@next, 0) + 1, NEW.balance - OLD.balance, NOW());
END//
DELIMITER ;
SET SQL_MODE=@OLDTMP_SQL_MODE;
