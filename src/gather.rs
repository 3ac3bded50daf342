//! From targets to readings: sweeps, and reads every printer as soon as it is sighted.
//!
//! A task for each device, at most `devices_in_flight` of them; sightings beyond that wait in a queue of some 200 bytes
//! each. What is found goes out one by one through a channel, so that memory does not grow with the fleet: a slow taker
//! slows the reading, never the sweep. One device's failure is its own: a finding, never an error. When the time is up,
//! or a person stops the run, what was not asked or not read to the end has the verdict `budget_ended`.

pub mod bar;
mod device;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

pub use device::{Found, Lessons, Printer, Reader, read};

use crate::snmp::{Credential, probe};
use crate::sweep::{self, Outcome, Sighting, Sweep};

/// Sightings between the sweep and the queue of those that wait for their reading.
const SIGHTINGS_WAITING: usize = 64;

/// How often the watcher is told.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How far a gathering is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The sweep.
    pub sweep: sweep::Progress,
    /// Sighted devices that were read, or found to be none of ours.
    pub done: u64,
    /// Those of them that are printers.
    pub printers: u64,
    /// Sighted devices that are being read or wait for it.
    pub to_come: u64,
}

/// How a sighted device left the gathering without having been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The time was up, or a person stopped the run.
    Stopped,
    /// The program itself failed at this device.
    Broken,
}

/// Runs a sweep to its end and `read`, which says whether it is a printer, for every sighting; devices that were not read
/// to the end go to `unread`. Ends early, with what was found by then, when `stop` does.
pub async fn gather<R, F>(
    sweep: Sweep,
    credentials: Arc<[Credential]>,
    devices_in_flight: usize,
    read: R,
    mut unread: impl FnMut(SocketAddr, Unread),
    mut watch: impl FnMut(&Progress),
    stop: impl Future<Output = ()>,
) -> io::Result<Outcome>
where
    R: Fn(Sighting) -> F,
    F: Future<Output = bool> + Send + 'static,
{
    let (sighted, mut sightings) = mpsc::channel(SIGHTINGS_WAITING);
    let told = Arc::new(Mutex::new(sweep::Progress::default()));
    let stopped = Arc::new(AtomicBool::new(false));
    let sweeping = tokio::spawn({
        let (told, stopped) = (Arc::clone(&told), Arc::clone(&stopped));
        async move {
            probe::run(sweep, &credentials, sighted, |progress| {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = *progress;
                if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await
        }
    });

    let mut queue: VecDeque<Sighting> = VecDeque::new();
    let mut reading: JoinSet<bool> = JoinSet::new();
    let mut at: HashMap<Id, SocketAddr> = HashMap::new();
    let mut progress = Progress::default();
    let mut sweep_ended = false;
    let mut tick = tokio::time::interval(WATCH_EVERY);
    tokio::pin!(stop);
    while !(sweep_ended && queue.is_empty() && reading.is_empty()) {
        while reading.len() < devices_in_flight
            && let Some(sighting) = queue.pop_front()
        {
            let address = sighting.address;
            at.insert(reading.spawn(read(sighting)).id(), address);
        }
        tokio::select! {
            sighting = sightings.recv(), if !sweep_ended => match sighting {
                Some(sighting) if stopped.load(Ordering::Relaxed) => unread(sighting.address, Unread::Stopped),
                Some(sighting) => queue.push_back(sighting),
                None => sweep_ended = true,
            },
            Some(ended) = reading.join_next_with_id() => {
                progress.done += 1;
                let (id, error) = match ended {
                    Ok((id, is_printer)) => {
                        progress.printers += u64::from(is_printer);
                        (id, None)
                    }
                    Err(error) => (error.id(), Some(error)),
                };
                if let (Some(address), Some(error)) = (at.remove(&id), error) {
                    unread(address, if error.is_cancelled() { Unread::Stopped } else { Unread::Broken });
                }
            }
            () = &mut stop, if !stopped.load(Ordering::Relaxed) => {
                stopped.store(true, Ordering::Relaxed);
                reading.abort_all();
                queue.drain(..).for_each(|sighting| unread(sighting.address, Unread::Stopped));
            }
            _ = tick.tick() => {
                progress.sweep = *told.lock().unwrap_or_else(PoisonError::into_inner);
                progress.to_come = (queue.len() + reading.len()) as u64;
                // the sweep tells its numbers less often than it hands over whom it sighted
                progress.sweep.answered = progress.sweep.answered.max(progress.done + progress.to_come);
                watch(&progress);
            }
        }
    }
    sweeping.await.map_err(io::Error::other)?
}
