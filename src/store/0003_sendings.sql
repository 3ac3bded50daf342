-- How often an item was sent, by whatever channel, over all its lives: each mail has a Message-ID of its own.
ALTER TABLE batch ADD COLUMN sendings INTEGER NOT NULL DEFAULT 0;
