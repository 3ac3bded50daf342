-- Of two batches with one sequence (a fork), the same one wins in whatever order they arrived.
ALTER TABLE reading ADD COLUMN token INTEGER NOT NULL DEFAULT 0;  -- the first 63 bits of the token's SHA-256

-- What the state of a device is folded from keeps its own place; the row needs none.
ALTER TABLE device DROP COLUMN sequence;
ALTER TABLE device DROP COLUMN position;

-- Nobody can lock somebody else's account: guessing is slowed down by name and network, in memory.
ALTER TABLE person DROP COLUMN failures;
ALTER TABLE person DROP COLUMN locked_until;
