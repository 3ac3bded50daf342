//! Mapping beside the asking: a reading takes as long to make as all its packets, and the thread of the sockets shall not
//! wait for it.

use std::sync::Arc;

use jiff::Timestamp;
use meterpost_wire::Reading;
use tokio::sync::Semaphore;

use super::Learned;
use crate::identify::Identity;
use crate::normalise::{self, Subject};
use crate::plan::Answers;
use crate::pmd::{Library, Pmd};

/// One device is mapped at a time; the others keep their answers and their place among the devices in flight.
static TURN: Semaphore = Semaphore::const_new(1);

/// When and how completely a device was read.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub read_at: Timestamp,
    /// Whether some objects were not asked or not answered because it fell silent: nothing is to be concluded from that.
    pub cut_short: bool,
    /// When everything was last read and answered, this time included.
    pub full_at: Option<Timestamp>,
}

/// Makes the reading, and what it teaches, on a thread that may compute.
pub(super) async fn mapped(
    pmd: &Arc<Pmd>,
    library: &Library,
    (identity, mut answers): (Identity, Answers),
    address: &str,
    Manner { read_at, cut_short, full_at }: Manner,
) -> (Reading, Learned) {
    let (pmd, words, pack, address) = (Arc::clone(pmd), Arc::clone(&library.words), library.pack, address.to_owned());
    let _turn = TURN.acquire().await;
    let made = tokio::task::spawn_blocking(move || {
        let subject = Subject { address: &address, read_at, pack, cut_short };
        let (reading, winners) = normalise::normalise(&pmd, &identity, &answers, &words, &subject);
        if cut_short {
            answers.forget_silent();
        }
        let learned = Learned::of(&pmd, &identity, answers, &winners, full_at);
        (reading, learned)
    });
    match made.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(mapped) => mapped,
        // a fault of ours costs this device alone: whoever spawned its reading sees it
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // the program is ending, and nobody waits for this reading
        Err(Err(_)) => std::future::pending().await,
    }
}
