//! `run` without `--once`: stays, reads by `[schedule].read`, delivers at once or by `[schedule].send`.
//!
//! The two halves are two loops that know of each other only through the outbox. The site is opened anew for each pass,
//! so that a new enrolment is seen. What goes wrong in a pass is logged and the next one comes in its time; a daemon only
//! ends when it is asked to, or when it cannot begin.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::read::Circumstances;
use super::{configuration, once, runtime, signal};
use crate::cli::{Exit, Failure, Invocation, Run};
use crate::clock;
use crate::config::{Config, Places};
use crate::deliver::Hurry;

/// The clock is looked at this often while waiting: a host that slept, or whose clock was set, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// A pass that found the other half's lock held by another run, or the site in trouble, is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What both loops know.
struct Daemon {
    places: Places,
    config: Config,
    circumstances: Circumstances,
    /// Something was sealed.
    sealed: Notify,
    stopped: Arc<AtomicBool>,
}

/// Stays until a signal ends it.
pub fn run(run: Run, invocation: &Invocation) -> Result<Exit, Failure> {
    let config = configuration(&invocation.places)?;
    if run.read && config.read.is_none() {
        return Err(Failure::usage("`[schedule].read` is empty: there is no time to wait for")
            .hint("`run --once` makes one pass; `run --deliver-only` needs no schedule"));
    }
    if run.read && config.sweeps.is_empty() {
        return Err(Failure::usage("the configuration has no `[[sweep]]`: there is nobody to ask")
            .hint("`meterpost config example` shows one"));
    }
    // what is wrong with the site now is told now, not in the night
    drop(once::open(&invocation.places)?);
    let daemon = Daemon {
        places: invocation.places.clone(),
        config,
        circumstances: Circumstances { quiet: true, ..once::circumstances(invocation) },
        sealed: Notify::new(),
        stopped: Arc::default(),
    };
    tracing::info!(site = daemon.config.site_name.as_deref().unwrap_or_default(), "started");
    runtime()?.block_on(async {
        let (stop, stopping) = watch::channel(false);
        let halves = async {
            tokio::join!(
                async {
                    if run.read {
                        daemon.read_on(stopping.clone()).await
                    }
                },
                async {
                    if run.deliver {
                        daemon.deliver_on(stopping.clone()).await
                    }
                },
            );
        };
        let signal = async {
            signal::stop().await;
            tracing::info!("asked to end");
            daemon.stopped.store(true, Ordering::Relaxed);
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = halves => {}
            () = signal => {}
        }
    });
    tracing::info!("ended");
    Ok(Exit::Done)
}

impl Daemon {
    async fn read_on(&self, stopping: watch::Receiver<bool>) {
        loop {
            let now = clock::now();
            let next = once::open(&self.places).and_then(|site| once::next_read(&site, &self.config, now));
            let due = match next {
                Ok(Some(due)) => due,
                Ok(None) => return,
                Err(failure) => {
                    tracing::error!("{}", failure.what);
                    later(now, TRY_AGAIN)
                }
            };
            tracing::info!(%due, "next reading");
            if wait_until(due, &stopping).await.is_break() {
                return;
            }
            let read = match once::open(&self.places) {
                Ok(site) => once::read_once(&site, &self.config, &self.circumstances, ended(stopping.clone())).await,
                Err(failure) => Err(failure),
            };
            match read {
                Ok(report) => tracing::info!("{}", once::read_text(&report).trim_end()),
                Err(failure) => {
                    tracing::error!("reading: {}", failure.what);
                    if wait_until(later(clock::now(), TRY_AGAIN), &stopping).await.is_break() {
                        return;
                    }
                }
            }
            self.sealed.notify_one();
        }
    }

    async fn deliver_on(&self, stopping: watch::Receiver<bool>) {
        loop {
            let now = clock::now();
            let scheduled = self.config.send.is_some();
            let next = once::open(&self.places).and_then(|site| {
                if scheduled {
                    once::next_send(&site, &self.config, now)
                } else {
                    super::send::next(&site, &self.config)
                }
            });
            let due = next.unwrap_or_else(|failure| {
                tracing::error!("{}", failure.what);
                Some(later(now, TRY_AGAIN))
            });
            let waited = async {
                match due {
                    Some(due) => wait_until(due, &stopping).await,
                    None => {
                        ended(stopping.clone()).await;
                        ControlFlow::Break(())
                    }
                }
            };
            tokio::select! {
                waited = waited => if waited.is_break() { return },
                () = self.sealed.notified(), if !scheduled => continue,
            }
            self.deliver(if scheduled { Hurry::AtOnce } else { Hurry::WhenDue }, &stopping).await;
        }
    }
}

impl Daemon {
    /// One pass in a thread that may block.
    async fn deliver(&self, hurry: Hurry, stopping: &watch::Receiver<bool>) {
        let (places, config, stopped) = (self.places.clone(), self.config.clone(), Arc::clone(&self.stopped));
        let passed = tokio::task::spawn_blocking(move || {
            let site = once::open(&places)?;
            once::send_once(&site, &config, hurry, &stopped)
        });
        let failure = match passed.await {
            Ok(Ok(report)) => return tracing::info!("{}", once::send_text(&report).trim_end()),
            Ok(Err(failure)) => failure,
            Err(error) => Failure::failed(error),
        };
        tracing::error!("delivering: {}", failure.what);
        // broken off or not, the loop looks at the signal itself
        let _ = wait_until(later(clock::now(), TRY_AGAIN), stopping).await;
    }
}

/// Waits for a time of the wall clock, or for the end.
async fn wait_until(due: Timestamp, stopping: &watch::Receiver<bool>) -> ControlFlow<()> {
    loop {
        if *stopping.borrow() {
            return ControlFlow::Break(());
        }
        let left = Duration::try_from(due.duration_since(clock::now())).unwrap_or_default();
        if left.is_zero() {
            return ControlFlow::Continue(());
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
            () = ended(stopping.clone()) => {}
        }
    }
}

async fn ended(mut stopping: watch::Receiver<bool>) {
    // the sender lives as long as the daemon
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(now)
}
