//! `run` without `--once`: stays, reads by `[schedule].read`, delivers at once or by `[schedule].send`.
//!
//! The two halves, and the look for packs, are loops that know of each other only through the outbox. The site is opened
//! anew for each pass, so that a new enrolment is seen. What goes wrong in a pass is logged and the next one comes in its
//! time; a daemon only ends when it is asked to, or when it cannot begin.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::read::Circumstances;
use super::signal::Stop;
use super::{configuration, failed, once, runtime};
use crate::cli::{Exit, Failure, Invocation, LogFormat, Run, log};
use crate::clock;
use crate::config::{Config, Places};
use crate::deliver::{Hurry, Report};
use crate::schedule::later;
use crate::store::Half;

/// The clock is looked at this often while waiting: a host that slept, or whose clock was set, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// A pass that found the other half's lock held by another run, or the site in trouble, or that could do nothing about what
/// waits, is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What both loops know.
struct Daemon {
    places: Places,
    log_format: LogFormat,
    config: Config,
    circumstances: Circumstances,
    /// Something was sealed.
    sealed: Notify,
    stop: Stop,
}

/// Stays until a signal ends it.
pub fn run(run: Run, invocation: &Invocation) -> Result<Exit, Failure> {
    let config = configuration(&invocation.places.config)?;
    if run.read && config.read.is_none() {
        return Err(Failure::usage("`[schedule].read` is empty: there is no time to wait for")
            .hint("`run --once` makes one pass; `run --deliver-only` needs no schedule"));
    }
    if run.read && config.sweeps.is_empty() {
        return Err(Failure::usage("the configuration has no `[[sweep]]`: there is nobody to ask")
            .hint("`meterpost config example` shows one"));
    }
    // what is wrong with the site now is told now, not in the night
    let site = once::start(&invocation.places)?;
    let halves = [(run.read, Half::GatheringDaemon), (run.deliver, Half::DeliveringDaemon)];
    let locks: Result<Vec<_>, _> =
        halves.iter().filter(|(asked, _)| *asked).map(|(_, half)| site.lock(*half)).collect();
    let _locks = locks.map_err(failed)?;
    drop(site);
    let daemon = Daemon {
        places: invocation.places.clone(),
        log_format: invocation.log_format,
        config,
        circumstances: Circumstances { quiet: true, ..once::circumstances(invocation) },
        sealed: Notify::new(),
        stop: Stop::listen()?,
    };
    tracing::info!(site = daemon.config.site_name.as_deref().unwrap_or_default(), "started");
    let runtime = runtime()?;
    runtime.block_on(async {
        tokio::join!(
            async {
                if run.read {
                    daemon.read_on().await
                }
            },
            async {
                if run.deliver {
                    daemon.deliver_on().await
                }
            },
            async {
                if run.deliver {
                    daemon.look_on().await
                }
            },
        );
    });
    // a thread that still waits for the central keeps nobody
    runtime.shutdown_background();
    tracing::info!("ended");
    Ok(Exit::Done)
}

impl Daemon {
    async fn read_on(&self) {
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
            tracing::info!(due = %log::instant(due, self.log_format), "next reading");
            if self.wait_until(due).await.is_break() {
                return;
            }
            let read = match once::open(&self.places) {
                Ok(site) => once::read_once(&site, &self.config, &self.circumstances, self.stop.asked()).await,
                Err(failure) => Err(failure),
            };
            match read {
                Ok(report) => tracing::info!("{}", once::read_text(&report).trim_end()),
                Err(failure) => {
                    tracing::error!("reading: {}", failure.what);
                    if self.wait_until(later(clock::now(), TRY_AGAIN)).await.is_break() {
                        return;
                    }
                }
            }
            self.sealed.notify_one();
        }
    }

    async fn deliver_on(&self) {
        let mut not_before = None;
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
            let due = due.max(due.and(not_before));
            let waited = async {
                match due {
                    Some(due) => self.wait_until(due).await,
                    None => {
                        self.stop.asked().await;
                        ControlFlow::Break(())
                    }
                }
            };
            tokio::select! {
                waited = waited => if waited.is_break() { return },
                () = self.sealed.notified(), if !scheduled => continue,
            }
            let settled = self.deliver(if scheduled { Hurry::AtOnce } else { Hurry::WhenDue }).await;
            not_before = (!settled).then(|| later(clock::now(), TRY_AGAIN));
        }
    }

    /// Looks for packs by `[schedule].packs`.
    async fn look_on(&self) {
        loop {
            let now = clock::now();
            let next = once::open(&self.places).and_then(|site| once::next_look(&site, &self.config, now));
            let due = match next {
                Ok(Some(due)) => due,
                Ok(None) => return,
                Err(_) => later(now, TRY_AGAIN),
            };
            if self.wait_until(due).await.is_break() {
                return;
            }
            let looked = match once::open(&self.places) {
                Ok(site) => once::look_once(site, self.config.clone(), &self.stop).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = looked {
                tracing::error!("packs: {}", failure.what);
                if self.wait_until(later(clock::now(), TRY_AGAIN)).await.is_break() {
                    return;
                }
            }
        }
    }

    /// Whether the pass did what it could: the next one may begin as soon as something is due.
    async fn deliver(&self, hurry: Hurry) -> bool {
        let sent = match once::open(&self.places) {
            Ok(site) => once::send_once(site, self.config.clone(), hurry, &self.stop).await,
            Err(failure) => Err(failure),
        };
        match sent {
            Ok(report) => {
                tracing::info!("{}", once::send_text(&report).trim_end());
                !is_stuck(&report)
            }
            Err(failure) => {
                tracing::error!("delivering: {}", failure.what);
                false
            }
        }
    }

    /// Waits for a time of the wall clock, or for the end.
    async fn wait_until(&self, due: Timestamp) -> ControlFlow<()> {
        loop {
            if self.stop.is_asked() {
                return ControlFlow::Break(());
            }
            let left = Duration::try_from(due.duration_since(clock::now())).unwrap_or_default();
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
                () = self.stop.asked() => {}
            }
        }
    }
}

/// Whether a pass left items without a try and settled none: whatever kept it is there at the next look too, and what is due
/// is due still.
fn is_stuck(report: &Report) -> bool {
    let Report { delivered, handed_over, set_aside, unsure, left, rests: _ } = report;
    *left > 0 && delivered + handed_over + set_aside + unsure == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_tried_nothing_of_what_waits_is_not_made_again_at_once() {
        let left = Report { left: 1, ..Report::default() };
        assert!(is_stuck(&left));
        assert!(!is_stuck(&Report::default()), "nothing waits");
        assert!(!is_stuck(&Report { delivered: 1, ..left.clone() }), "a channel went down in the middle");
        assert!(!is_stuck(&Report { unsure: 1, ..left }), "each has its own time");
    }

    #[tokio::test]
    async fn a_daemon_that_can_do_nothing_about_what_is_due_waits() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            data: dir.path().join("data"),
            key: dir.path().join("etc/machine.key"),
            config: dir.path().join("etc/meterpost.toml"),
            config_named: true,
        };
        let paths = crate::site::Paths { data_dir: places.data.clone(), key_file: places.key.clone() };
        let kid = meterpost_wire::keys::Kid::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap();
        let token = meterpost_wire::enrolment::Enrolment {
            central: "http://127.0.0.1:9".to_owned(),
            name: String::new(),
            epoch: meterpost_wire::keys::Epoch::new(kid, meterpost_wire::keys::Enc::default(), [7; 32]),
            mail_to: None,
            ca_pem: None,
            pack_keys: Vec::new(),
            sequence: None,
        };
        let (site, _) = crate::site::Site::enroll(&paths, &token.to_token(), clock::now()).unwrap();
        let queued = site.store().write(|tx| {
            let slot = crate::outbox::slot(tx, clock::now())?;
            let (id, token) = ("b-1".to_owned(), "x".to_owned());
            let sealed = crate::outbox::Sealed { id, epoch: 1, token, devices: 0, first_read: None, last_read: None };
            crate::outbox::append(tx, &slot, &sealed, clock::now())
        });
        queued.unwrap();
        drop(site);
        // no configuration that is read has no channel; what else is in the way does not matter to the loop
        let config = Config { channels: Vec::new(), ..Config::default() };
        let circumstances =
            Circumstances { config_dir: places.data.clone(), quiet: true, up_since: std::time::Instant::now() };
        let stop = Stop::listen().unwrap();
        let (log_format, sealed) = (LogFormat::Text, Notify::new());
        let daemon = Daemon { places, log_format, config, circumstances, sealed, stop };
        assert!(!daemon.deliver(Hurry::WhenDue).await, "the next look is not at once");
    }
}
