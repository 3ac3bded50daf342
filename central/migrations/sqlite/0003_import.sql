-- What came in and was not taken, now also what did not open: files and mail name no site that has authenticated.
-- At most 1,000 for each site and 100 MiB in all; only what did not authenticate makes room, the oldest first.
ALTER TABLE quarantine RENAME TO quarantine_before;
CREATE TABLE quarantine (
    number      INTEGER PRIMARY KEY,
    site        TEXT NOT NULL,               -- as its `kid` names it; empty = nothing names one
    sha256      BLOB NOT NULL,
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    token       BLOB NOT NULL,               -- the bytes, whatever they are
    authentic   INTEGER NOT NULL DEFAULT 1,  -- 1 = a holder of the site's key made it
    source      BLOB,                        -- sealed: file or message that it came in; absent = SOAP
    UNIQUE (site, sha256)
);
INSERT INTO quarantine (number, site, sha256, code, reason, received_at, token)
    SELECT number, site, sha256, code, reason, received_at, token FROM quarantine_before;
DROP TABLE quarantine_before;

-- Messages of a mailbox that were dealt with: one that could not be moved afterwards is moved later, not read again.
CREATE TABLE mail (
    mailbox      TEXT NOT NULL,              -- keyed hash of server, user and folder
    uid_validity INTEGER NOT NULL,
    uid          INTEGER NOT NULL,
    verdict      TEXT NOT NULL,              -- processed, refused, bounce, auto-reply, no-batch
    received_at  INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid_validity, uid)
);

-- Which epochs a site has used is asked with every batch; a site may have a hundred thousand of them.
CREATE INDEX batch_epoch ON batch (site, epoch, sequence);
