<?php
// about: Phinx: execute() in up()
// must: port
// source: literal
// loads: no: PHP

use Phinx\Migration\AbstractMigration;

final class AddUserEvents extends AbstractMigration
{
    private const TABLE = 'user_events';

    public function up(): void
    {
        $this->execute('CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50))');
        $this->execute('CREATE TABLE ' . self::TABLE . ' (user_id INT NOT NULL, version INT NOT NULL, at TIMESTAMP DEFAULT NOW(), PRIMARY KEY (user_id, version))');
        $this->addTrigger();
    }

    private function addTrigger(): void
    {
        $this->execute("CREATE TRIGGER users_au AFTER UPDATE ON users FOR EACH ROW INSERT INTO " . self::TABLE . " (user_id, version) VALUES (NEW.id, 1)");
    }

    public function down(): void
    {
        $this->execute('DROP TRIGGER users_au');
    }
}
