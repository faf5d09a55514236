-- Version 2: acknowledged events are kept for a while (a restored ledger may ask for them again),
-- so each row tells when it was acknowledged: NULL not yet, -1 at an unknown wall time.
-- The lists of known and denied packs and denied riders outlive a restart.
ALTER TABLE outbox ADD COLUMN acked_ms INTEGER;

UPDATE outbox SET acked_ms = -1
WHERE epoch = (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'acked_epoch')
  AND seq <= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'acked_seq');

CREATE INDEX outbox_acked ON outbox (acked_ms) WHERE acked_ms IS NOT NULL;

CREATE TABLE lists (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    data BLOB NOT NULL
);
