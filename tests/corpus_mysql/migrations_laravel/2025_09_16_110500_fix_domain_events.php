<?php

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;

return new class extends Migration
{
    public function up(): void
    {
        DB::unprepared('DROP TRIGGER IF EXISTS log_user_changes');
        DB::unprepared("
            CREATE FUNCTION GetNextAggregateVersion(p_type VARCHAR(100), p_id VARCHAR(100)) RETURNS BIGINT UNSIGNED
            READS SQL DATA DETERMINISTIC
            BEGIN
                DECLARE v BIGINT UNSIGNED DEFAULT 1;
                SELECT COALESCE(MAX(aggregate_version), 0) + 1 INTO v FROM domain_events
                WHERE aggregate_type = p_type AND aggregate_id = p_id;
                RETURN v;
            END
        ");
        DB::unprepared('
            CREATE TRIGGER log_user_changes AFTER UPDATE ON users FOR EACH ROW
            BEGIN
                INSERT IGNORE INTO domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
                VALUES (UUID(), "User", NEW.id, GetNextAggregateVersion("User", NEW.id), "UserUpdated", JSON_OBJECT("name", NEW.name));
            END
        ');
    }

    public function down(): void
    {
        DB::unprepared('DROP TRIGGER IF EXISTS log_user_changes');
        DB::unprepared('CREATE TRIGGER log_user_changes AFTER UPDATE ON users FOR EACH ROW INSERT INTO domain_events VALUES (1)');
    }
};
