//! Who may look, and who is looking.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction};

use super::{Store, StoreError};

/// A session ends this long after the last request.
const SESSION_IDLE: SignedDuration = SignedDuration::from_hours(12);

/// A session ends this long after the log-in, whatever happens.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Sessions of one person; the oldest makes room.
const SESSIONS_MAX: i64 = 20;

impl Store {
    /// Whether anybody can log in at all.
    pub async fn has_people(&self) -> Result<bool, StoreError> {
        self.read(|db, _| Ok(db.query_row("SELECT count(*) FROM person", [], |row| row.get::<_, i64>(0))? > 0)).await
    }

    /// Makes a person if there is none at all, and tells whether it did: of two programs that start at one time one does.
    pub async fn add_first_person(&self, name: String, password_hash: String) -> Result<bool, StoreError> {
        self.write(move |db, _| {
            let added = db.execute(
                "INSERT INTO person (name, password) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM person)",
                (&name, &password_hash),
            )?;
            Ok(added == 1)
        })
        .await
    }

    /// Makes a person, or gives an existing one another password, which ends all sessions.
    pub async fn set_password(&self, name: String, password_hash: String) -> Result<(), StoreError> {
        self.write(move |db, _| {
            db.execute(
                "INSERT INTO person (name, password) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET password = excluded.password",
                (&name, &password_hash),
            )?;
            db.execute("DELETE FROM session WHERE person = $1", [&name])?;
            Ok(())
        })
        .await
    }

    /// The hash of a person's password, an Argon2id PHC string; `None`: there is no such person.
    pub async fn password_hash(&self, name: String) -> Result<Option<String>, StoreError> {
        self.read(move |db, _| {
            Ok(db.query_row("SELECT password FROM person WHERE name = $1", [&name], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Begins a session whose cookie has this digest.
    pub async fn begin_session(&self, digest: [u8; 32], person: String, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |db, _| {
            sweep_sessions(db, now)?;
            db.execute(
                "DELETE FROM session WHERE digest IN
                 (SELECT digest FROM session WHERE person = $1 ORDER BY seen_at DESC LIMIT -1 OFFSET $2)",
                (&person, SESSIONS_MAX - 1),
            )?;
            db.execute(
                "INSERT INTO session (digest, person, begun_at, seen_at) VALUES ($1, $2, $3, $4)",
                (digest.as_slice(), &person, now.as_second(), now.as_second()),
            )?;
            Ok(())
        })
        .await
    }

    /// The person of a session that has not ended. Notes that it was used, at most once a minute.
    pub async fn session(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<String>, StoreError> {
        let found = self
            .read(move |db, _| {
                Ok(db
                    .query_row(
                        "SELECT person, seen_at FROM session WHERE digest = $1 AND seen_at > $2 AND begun_at > $3",
                        (digest.as_slice(), (now - SESSION_IDLE).as_second(), (now - SESSION_LIFE).as_second()),
                        |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
                    )
                    .optional()?)
            })
            .await?;
        let Some((person, seen_at)) = found else { return Ok(None) };
        if now.as_second() - seen_at > 60 {
            self.write(move |db, _| {
                db.execute("UPDATE session SET seen_at = $1 WHERE digest = $2", (now.as_second(), digest.as_slice()))?;
                Ok(())
            })
            .await?;
        }
        Ok(Some(person))
    }

    /// Ends a session.
    pub async fn end_session(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        self.write(move |db, _| {
            db.execute("DELETE FROM session WHERE digest = $1", [digest.as_slice()])?;
            Ok(())
        })
        .await
    }
}

fn sweep_sessions(db: &Transaction<'_>, now: Timestamp) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM session WHERE seen_at <= $1 OR begun_at <= $2",
        ((now - SESSION_IDLE).as_second(), (now - SESSION_LIFE).as_second()),
    )?;
    Ok(())
}
