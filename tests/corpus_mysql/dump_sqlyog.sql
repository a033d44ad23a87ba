-- about: SQLyog: comments around CREATE, DEFINER with quotes, a DROP in two comments
-- must: port
-- source: max_plus_one
-- loads: yes

/*
SQLyog Community v13.1.6 (64 bit)
MySQL - 5.7.26 : Database - shop
*********************************************************************
*/

/*!40101 SET NAMES utf8 */;
/*!40101 SET SQL_MODE=''*/;

/*Table structure for table `products` */
CREATE TABLE `products` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `price` decimal(10,2) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `price_history` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `product_id` int(11) NOT NULL,
  `revision` int(11) NOT NULL,
  `old_price` decimal(10,2) DEFAULT NULL,
  `new_price` decimal(10,2) DEFAULT NULL,
  `changed_at` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  UNIQUE KEY `product_revision` (`product_id`,`revision`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

/* Trigger structure for table `products` */

DELIMITER $$

/*!50003 DROP TRIGGER*//*!50032 IF EXISTS */ /*!50003 `products_au` */$$

/*!50003 CREATE */ /*!50017 DEFINER = 'root'@'localhost' */ /*!50003 TRIGGER `products_au` AFTER UPDATE ON `products` FOR EACH ROW BEGIN
	INSERT INTO price_history (product_id, revision, old_price, new_price)
	SELECT NEW.id, COALESCE(MAX(revision), 0) + 1, OLD.price, NEW.price FROM price_history WHERE product_id = NEW.id;
    END */$$

DELIMITER ;
