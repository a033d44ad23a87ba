-- about: phpMyAdmin: $$ for triggers, keys and AUTO_INCREMENT by ALTER TABLE at the end
-- must: port
-- source: literal max_plus_one
-- loads: yes

-- phpMyAdmin SQL Dump
-- version 5.2.1
-- https://www.phpmyadmin.net/
--
-- Host: 127.0.0.1
-- Server version: 10.4.32-MariaDB
-- PHP Version: 8.2.12

SET SQL_MODE = "NO_AUTO_VALUE_ON_ZERO";
START TRANSACTION;
SET time_zone = "+00:00";

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;

CREATE TABLE `tickets` (
  `id` int(11) NOT NULL,
  `title` varchar(200) NOT NULL,
  `state` enum('open','closed') NOT NULL DEFAULT 'open'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

INSERT INTO `tickets` (`id`, `title`, `state`) VALUES
(1, 'a; $$ b', 'open'),
(2, 'DELIMITER $$', 'closed');

--
-- Triggers `tickets`
--
DELIMITER $$
CREATE TRIGGER `ticket_created` AFTER INSERT ON `tickets` FOR EACH ROW INSERT INTO ticket_events (ticket_id, version, kind) VALUES (NEW.id, 1, 'created')
$$
DELIMITER ;
DELIMITER $$
CREATE TRIGGER `ticket_updated` AFTER UPDATE ON `tickets` FOR EACH ROW BEGIN
    IF OLD.state <> NEW.state THEN
        INSERT INTO ticket_events (ticket_id, version, kind) VALUES (NEW.id, (SELECT MAX(e.version) + 1 FROM ticket_events e WHERE e.ticket_id = NEW.id), 'state');
    END IF;
END
$$
DELIMITER ;

CREATE TABLE `ticket_events` (
  `id` int(11) NOT NULL,
  `ticket_id` int(11) NOT NULL,
  `version` int(11) NOT NULL,
  `kind` varchar(20) NOT NULL,
  `created_at` timestamp NOT NULL DEFAULT current_timestamp()
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

ALTER TABLE `tickets`
  ADD PRIMARY KEY (`id`);
ALTER TABLE `ticket_events`
  ADD PRIMARY KEY (`id`),
  ADD UNIQUE KEY `ticket_version` (`ticket_id`,`version`);
ALTER TABLE `tickets`
  MODIFY `id` int(11) NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=3;
ALTER TABLE `ticket_events`
  MODIFY `id` int(11) NOT NULL AUTO_INCREMENT;
COMMIT;
