-- What a person has done to a site's keys.
ALTER TABLE site_key ADD COLUMN issued_at INTEGER;     -- of the next epoch: an enrolment token for it was printed
ALTER TABLE site_key ADD COLUMN revoked_at INTEGER;    -- its bearer token is taken no more
ALTER TABLE site_key ADD COLUMN open_through INTEGER;  -- revoked: batches up to this sequence are still opened

-- By which way a batch came first. It says whether its site hears answers.
ALTER TABLE batch ADD COLUMN way TEXT NOT NULL DEFAULT '';  -- https, import; empty = from before this was kept

-- Forks that a person has taken note of: they call for nobody any more, until another token comes under that number.
CREATE TABLE fork_note (
    site     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    tokens   INTEGER NOT NULL,           -- hashes that were known for this sequence then
    noted_at INTEGER NOT NULL,
    remark   BLOB NOT NULL,              -- sealed: who, and in what words
    PRIMARY KEY (site, sequence)
);
