//! One pass of delivering, and what it came to.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::failed;
use crate::cli::{Exit, Failure};
use crate::clock;
use crate::config::{self, Config};
use crate::deliver::http::Via;
use crate::deliver::soap::{Soap, TIMEOUT};
use crate::deliver::{Channel, Hurry, Pace, Report};
use crate::site::Site;

/// Tries everything that waits, or what is due. Blocks on the network: call it from a thread that may.
pub fn pass(site: &Site, config: &Config, hurry: Hurry, stopped: &dyn Fn() -> bool) -> Result<Report, Failure> {
    let mut report = Report::default();
    for channel in &config.channels {
        let channel = open(site, config, *channel)?;
        let pace = Pace { now: &clock::now, dice: &|| u32::from_ne_bytes(clock::random_bytes()), stopped };
        report = site.deliver(&*channel, hurry, &pace).map_err(failed)?;
        if report.is_clean() {
            break;
        }
    }
    Ok(report)
}

/// When something may be tried again; `None` when nothing waits.
pub fn next(site: &Site, config: &Config) -> Result<Option<Timestamp>, Failure> {
    let names = config.channels.iter().map(|channel| match channel {
        config::Channel::Https => "https",
    });
    let due: Result<Vec<_>, _> = names.map(|name| site.deliver_next(name)).collect();
    Ok(due.map_err(failed)?.into_iter().flatten().min())
}

/// How a pass of delivering ends a command: 3 when something went through and something did not, 1 when nothing did.
pub fn exit(report: &Report, something_else_done: bool) -> Exit {
    match (report.is_clean(), report.delivered + report.handed_over > 0 || something_else_done) {
        (true, _) => Exit::Done,
        (false, true) => Exit::InPart,
        (false, false) => Exit::Failed,
    }
}

fn open(site: &Site, config: &Config, channel: config::Channel) -> Result<Box<dyn Channel>, Failure> {
    match channel {
        config::Channel::Https => {
            let (enrolment, keys) = (site.enrolment().map_err(failed)?, site.keys().map_err(failed)?);
            let soap = Soap::new(enrolment, keys, &via(config), TIMEOUT).map_err(Failure::usage)?;
            Ok(Box::new(soap))
        }
    }
}

/// By which way anything leaves.
pub fn via(config: &Config) -> Via {
    match &config.proxy {
        None => Via::Environment,
        Some(config::Proxy::None) => Via::Straight,
        Some(config::Proxy::Via { url, user }) => {
            let user = user.as_ref().map(|(user, secret)| (user.clone(), Zeroizing::new(secret.expose().to_owned())));
            Via::Proxy { url: url.clone(), user }
        }
    }
}
