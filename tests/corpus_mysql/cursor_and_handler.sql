-- about: a cursor over the rows that the change concerns, one event each
-- must: port
-- source: max_plus_one
-- loads: yes

CREATE TABLE users (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(190) NOT NULL,
    name VARCHAR(100) NULL,
    status ENUM('active', 'blocked') NOT NULL DEFAULT 'active',
    is_admin TINYINT(1) NOT NULL DEFAULT 0,
    last_login_at DATETIME NULL,
    updated_at TIMESTAMP NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE domain_events (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id CHAR(36) NOT NULL,
    aggregate_type VARCHAR(100) NOT NULL,
    aggregate_id VARCHAR(100) NOT NULL,
    aggregate_version BIGINT UNSIGNED NOT NULL,
    event_type VARCHAR(150) NOT NULL,
    event_data JSON NOT NULL,
    caused_by_user_id BIGINT UNSIGNED NULL,
    occurred_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY event_id (event_id),
    UNIQUE KEY uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;


CREATE TABLE sessions (id INT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, token CHAR(40) NOT NULL);
DELIMITER $$
CREATE FUNCTION GetNextAggregateVersion(p_aggregate_type VARCHAR(100), p_aggregate_id VARCHAR(100))
RETURNS BIGINT UNSIGNED
READS SQL DATA
DETERMINISTIC
BEGIN
    DECLARE next_version BIGINT UNSIGNED DEFAULT 1;

    SELECT COALESCE(MAX(aggregate_version), 0) + 1 INTO next_version
    FROM domain_events
    WHERE aggregate_type = p_aggregate_type
    AND aggregate_id = p_aggregate_id;

    RETURN next_version;
END$$
DELIMITER ;
DELIMITER $$
CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW
BEGIN
    DECLARE done TINYINT DEFAULT FALSE;
    DECLARE session_id INT;
    DECLARE open_sessions CURSOR FOR SELECT id FROM sessions WHERE user_id = NEW.id;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;

    IF NEW.status = 'blocked' AND OLD.status <> 'blocked' THEN
        OPEN open_sessions;
        each_session: LOOP
            FETCH open_sessions INTO session_id;
            IF done THEN
                LEAVE each_session;
            END IF;
            INSERT INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
            VALUES (UUID(), 'Session', session_id, GetNextAggregateVersion('Session', session_id), 'SessionRevoked', JSON_OBJECT('user', NEW.id));
        END LOOP each_session;
        CLOSE open_sessions;
    END IF;
END$$
DELIMITER ;
