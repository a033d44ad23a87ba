<?php
// about: Laravel: a trigger for each table of a list that stands in the file, and the table of events made by Schema::create
// must: port
// source: literal literal
// loads: no: PHP

use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    private array $watched = ['chairs', 'tables'];

    public function up(): void
    {
        foreach ($this->watched as $name) {
            Schema::create($name, function (Blueprint $table) {
                $table->id();
                $table->string('colour');
            });
        }
        Schema::create('furniture_events', function (Blueprint $table) {
            $table->bigIncrements('id');
            $table->string('kind');
            $table->unsignedBigInteger('item_id');
            $table->integer('version');
            $table->json('payload')->nullable();
            $table->timestamp('happened_at')->useCurrent();
            $table->unique(['kind', 'item_id', 'version']);
        });
        foreach ($this->watched as $name) {
            DB::unprepared("
                CREATE TRIGGER {$name}_told AFTER UPDATE ON {$name} FOR EACH ROW
                INSERT INTO furniture_events (kind, item_id, version, payload)
                VALUES ('{$name}', NEW.id, 1, JSON_OBJECT('colour', NEW.colour))
            ");
        }
    }

    public function down(): void
    {
        foreach ($this->watched as $name) {
            DB::unprepared("DROP TRIGGER {$name}_told");
            Schema::dropIfExists($name);
        }
        Schema::dropIfExists('furniture_events');
    }
};
