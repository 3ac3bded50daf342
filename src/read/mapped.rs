//! Mapping beside the asking: a reading takes as long to make as all its packets, and the thread of the sockets shall not
//! wait for it.

use std::sync::Arc;

use jiff::Timestamp;
use meterpost_wire::Reading;
use tokio::sync::Semaphore;

use crate::identify::Identity;
use crate::normalise::{self, Subject, Winner};
use crate::plan::Answers;
use crate::pmd::{Library, Pmd};

/// One device is mapped at a time; the others keep their answers and their place among the devices in flight.
static TURN: Semaphore = Semaphore::const_new(1);

/// What was made of a device's answers, with what it was made of.
pub(super) struct Mapped {
    pub reading: Reading,
    pub winners: Vec<Winner>,
    pub identity: Identity,
    pub answers: Answers,
}

/// Makes the reading on a thread that may compute.
pub(super) async fn mapped(
    pmd: &Arc<Pmd>,
    library: &Library,
    (identity, answers): (Identity, Answers),
    address: &str,
    read_at: Timestamp,
    cut_short: bool,
) -> Mapped {
    let (pmd, words, pack, address) = (Arc::clone(pmd), Arc::clone(&library.words), library.pack, address.to_owned());
    let _turn = TURN.acquire().await;
    let made = tokio::task::spawn_blocking(move || {
        let subject = Subject { address: &address, read_at, pack, cut_short };
        let (reading, winners) = normalise::normalise(&pmd, &identity, &answers, &words, &subject);
        Mapped { reading, winners, identity, answers }
    });
    match made.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(mapped) => mapped,
        // a fault of ours costs this device alone: whoever spawned its reading sees it
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // the program is ending, and nobody waits for this reading
        Err(Err(_)) => std::future::pending().await,
    }
}
