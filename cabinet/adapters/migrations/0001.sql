-- Version 1: journal, outbox, the engine's snapshot and the answers to commands.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail BLOB NOT NULL
);

CREATE TABLE outbox (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    wall_synced INTEGER NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (epoch, seq)
) WITHOUT ROWID;

CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), data BLOB NOT NULL);

CREATE TABLE result (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    command_id TEXT NOT NULL UNIQUE,
    wall_ms INTEGER NOT NULL,
    data BLOB NOT NULL
);
