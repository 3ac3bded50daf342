-- What arrived is kept as it came; what is shown is derived from it and can be derived again.
-- Times are seconds of Unix time. What is sealed lies under the machine key, which is not in this directory.

CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE site (
    id          TEXT PRIMARY KEY,        -- UUID, lower case
    name_digest TEXT NOT NULL UNIQUE,    -- keyed hash of the lower-case name
    name        BLOB NOT NULL,           -- sealed
    epoch       INTEGER NOT NULL,        -- the current one
    added_at    INTEGER NOT NULL
);

-- The current epoch of a site, the next, and the ended ones.
CREATE TABLE site_key (
    site          TEXT NOT NULL REFERENCES site (id),
    epoch         INTEGER NOT NULL,
    enc           TEXT NOT NULL,
    secret        BLOB NOT NULL,         -- sealed
    bearer_digest BLOB NOT NULL UNIQUE,  -- SHA-256 of the HTTP bearer token
    ended_at      INTEGER,               -- when the site moved past this epoch
    PRIMARY KEY (site, epoch)
);

-- Every token that was acknowledged, byte for byte, in the order of arrival.
CREATE TABLE batch (
    arrival     INTEGER PRIMARY KEY,
    site        TEXT NOT NULL REFERENCES site (id),
    sha256      BLOB NOT NULL,
    sequence    INTEGER NOT NULL,
    batch_id    TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    token       BLOB NOT NULL,
    UNIQUE (site, sha256),
    UNIQUE (site, batch_id)
);
CREATE INDEX batch_sequence ON batch (site, sequence, epoch);

-- Tokens that authenticated and were refused. Kept so that nothing is lost; at most 1,000 a site and 100 MiB in all.
CREATE TABLE quarantine (
    number      INTEGER PRIMARY KEY,
    site        TEXT NOT NULL REFERENCES site (id),
    sha256      BLOB NOT NULL,
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    token       BLOB NOT NULL,
    UNIQUE (site, sha256)
);

-- Derived: everything below, up to the people, is dropped and made again by `check --rederive`.

CREATE TABLE note (
    arrival      INTEGER PRIMARY KEY REFERENCES batch (arrival),
    site         TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    state        TEXT NOT NULL,          -- shown, needs_upgrade, unreadable
    flags        TEXT NOT NULL,          -- words with one space between
    created_at   INTEGER NOT NULL,       -- by the site's clock
    effective_at INTEGER NOT NULL,
    promise_at   INTEGER,
    devices      INTEGER NOT NULL,
    set_aside    INTEGER NOT NULL,
    detail       BLOB NOT NULL           -- sealed: collector, sweep, health
);
CREATE INDEX note_sequence ON note (site, sequence);

-- Hashes that stored batches name for a sequence.
CREATE TABLE link (
    site     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    sha256   BLOB NOT NULL,
    PRIMARY KEY (site, sequence, sha256)
);

CREATE TABLE void (
    site   TEXT NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (site, first, last)
);

CREATE TABLE fork (
    site     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (site, sequence)
);

CREATE TABLE device (
    id           TEXT PRIMARY KEY,       -- keyed hash of site and device key, 32 hex digits
    site         TEXT NOT NULL,
    sequence     INTEGER NOT NULL,       -- of the newest batch in it
    position     INTEGER NOT NULL,       -- within that batch
    read_at      INTEGER,                -- effective time of the newest reading
    summary      BLOB NOT NULL,          -- sealed: what the list of the fleet shows
    detail       BLOB NOT NULL           -- sealed: the newest state in full
);
CREATE INDEX device_site ON device (site);

CREATE TABLE reading (
    device       TEXT NOT NULL,
    read_at      INTEGER NOT NULL,       -- by the site's clock; a reading counts once
    scope        TEXT NOT NULL,          -- full, alerts
    site         TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    detail       BLOB NOT NULL,          -- sealed: outcome and counters
    PRIMARY KEY (device, read_at, scope)
);
CREATE INDEX reading_time ON reading (effective_at, device);

-- Devices of a stored batch that could not be read, alone.
CREATE TABLE set_aside (
    arrival  INTEGER NOT NULL,
    position INTEGER NOT NULL,
    site     TEXT NOT NULL,
    detail   BLOB NOT NULL,              -- sealed: reason and XML
    PRIMARY KEY (arrival, position)
);

-- People.

CREATE TABLE person (
    name         TEXT PRIMARY KEY,
    password     TEXT NOT NULL,          -- Argon2id, PHC string
    failures     INTEGER NOT NULL,       -- in a row
    locked_until INTEGER
);

CREATE TABLE session (
    digest   BLOB PRIMARY KEY,           -- SHA-256 of the cookie
    person   TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
    begun_at INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL
);
