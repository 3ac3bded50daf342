-- Small facts in clear; never a secret, never about a device.
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Sealed under the machine key, purpose `secrets`.
CREATE TABLE secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Known devices: the name is a keyed hash of the device's key, the row is sealed under purpose `memory`.
CREATE TABLE device (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a device was last read: the name is a keyed hash of `address port`.
CREATE TABLE address (
    name TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device (name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX address_device ON address (device);

-- The outbox. Times are seconds since 1970; `since` is when the present state began.
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    created INTEGER NOT NULL,
    token BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    devices INTEGER NOT NULL,
    first_read INTEGER,
    last_read INTEGER,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'handed_over', 'delivered', 'set_aside')),
    since INTEGER NOT NULL,
    channel TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    last_error TEXT,
    receipt TEXT
) STRICT;
CREATE INDEX batch_state ON batch (state, seq);

-- Hashes of the last 64 tokens; outlives them.
CREATE TABLE chain (seq INTEGER PRIMARY KEY, sha256 BLOB NOT NULL) STRICT;

-- Numbers that will not come.
CREATE TABLE void (
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL CHECK (to_seq >= from_seq),
    reason TEXT NOT NULL CHECK (reason IN ('lost', 'deleted', 'expired', 'set_aside')),
    since INTEGER NOT NULL,
    PRIMARY KEY (from_seq, to_seq)
) STRICT, WITHOUT ROWID;

-- A channel that failed as a whole rests until `due_at`.
CREATE TABLE channel (
    name TEXT PRIMARY KEY,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    last_error TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What went wrong, for the next batch's health and for `status`; never a secret or an address.
CREATE TABLE event (
    at INTEGER NOT NULL,
    code TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
