-- Devices as rows that lie in the order of their coming, with a small index on the name. Without row ids the sealed rows,
-- kilobytes each, were the tree itself: every look-up read five pages, and every new device rewrote them.
CREATE TABLE device_rows (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    seen INTEGER NOT NULL
) STRICT;
INSERT INTO device_rows (name, sealed, seen) SELECT name, sealed, seen FROM device;
CREATE TABLE address_rows (
    name TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device_rows (name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO address_rows (name, device) SELECT name, device FROM address;
DROP TABLE address;
DROP TABLE device;
ALTER TABLE device_rows RENAME TO device;
ALTER TABLE address_rows RENAME TO address;
CREATE INDEX address_device ON address (device);
