<?php
// about: Laravel: names put together in a loop over a list that no reader of files can know
// must: refuse
// source: dynamic
// loads: no: PHP

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;

return new class extends Migration
{
    public function up(): void
    {
        foreach (config('audit.tables') as $table) {
            DB::unprepared("
                CREATE TRIGGER {$table}_audit AFTER UPDATE ON {$table} FOR EACH ROW
                INSERT INTO audit_events (table_name, row_id, version) VALUES ('{$table}', NEW.id, 1)
            ");
        }
    }
};
