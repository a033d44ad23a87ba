DROP TRIGGER IF EXISTS `log_user_changes`;
DELIMITER $$
CREATE TRIGGER log_user_changes AFTER UPDATE ON users FOR EACH ROW
BEGIN
    INSERT IGNORE INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
    VALUES (UUID(), 'User', NEW.id, GetNextAggregateVersion('User', NEW.id), 'UserUpdated', JSON_OBJECT('name', NEW.name));
END$$
DELIMITER ;
