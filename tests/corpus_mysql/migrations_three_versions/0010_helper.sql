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
