<?php

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;

return new class extends Migration
{
    public function up(): void
    {
        DB::statement('CREATE TABLE users (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), email VARCHAR(190))');
        DB::statement(<<<'SQL'
            CREATE TABLE domain_events (
                id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, event_id CHAR(36) NOT NULL, aggregate_type VARCHAR(100) NOT NULL,
                aggregate_id VARCHAR(100) NOT NULL, aggregate_version BIGINT UNSIGNED NOT NULL, event_type VARCHAR(150) NOT NULL,
                event_data JSON NOT NULL, UNIQUE KEY uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version)
            )
        SQL);
    }

    public function down(): void
    {
        DB::statement('DROP TABLE domain_events');
    }
};
