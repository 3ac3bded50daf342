-- Derived: each of 1 ..= this is stored or void, so that a receipt does not count ten years of batches again.
ALTER TABLE site ADD COLUMN through INTEGER NOT NULL DEFAULT 0;
