//! One pass of delivering, and what it came to.

use jiff::Timestamp;
use meterpost_wire::mail::TEXT;
use zeroize::Zeroizing;

use super::failed;
use crate::cli::{Exit, Failure};
use crate::clock;
use crate::config::{self, Config};
use crate::deliver::file::Folder;
use crate::deliver::http::Via;
use crate::deliver::mail::{Letterhead, Mail, PATIENCE};
use crate::deliver::soap::{Soap, TIMEOUT};
use crate::deliver::{Channel, Hurry, Pace, Report};
use crate::site::Site;

/// Tries everything that waits, or what is due. Blocks on the network: call it from a thread that may.
pub fn pass(site: &Site, config: &Config, hurry: Hurry, stopped: &dyn Fn() -> bool) -> Result<Report, Failure> {
    let channels: Vec<_> =
        config.channels.iter().map(|channel| open(site, config, *channel)).collect::<Result<_, _>>()?;
    over(site, &channels, hurry, stopped)
}

/// The same over channels that are open.
pub fn over(
    site: &Site,
    channels: &[Box<dyn Channel>],
    hurry: Hurry,
    stopped: &dyn Fn() -> bool,
) -> Result<Report, Failure> {
    let pace = Pace { now: &clock::now, dice: &|| u32::from_ne_bytes(clock::random_bytes()), stopped };
    let ladder: Vec<&dyn Channel> = channels.iter().map(|channel| &**channel).collect();
    site.deliver(&ladder, hurry, &pace).map_err(failed)
}

/// Whether each channel has all that it needs, from the configuration and from the enrolment; no network is asked.
pub fn check(site: &Site, config: &Config) -> Result<(), Failure> {
    if site.enrolment().is_err() {
        return Ok(());
    }
    config.channels.iter().try_for_each(|channel| open(site, config, *channel).map(drop))
}

/// When something may be tried again; `None` when nothing waits.
pub fn next(site: &Site, config: &Config) -> Result<Option<Timestamp>, Failure> {
    site.deliver_next(&names(config)).map_err(failed)
}

/// The words of the channels, in their order.
pub fn names(config: &Config) -> Vec<&'static str> {
    config.channels.iter().map(|channel| channel.as_str()).collect()
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
    let (enrolment, keys) = (site.enrolment().map_err(failed)?, site.keys().map_err(failed)?);
    match channel {
        config::Channel::Https => {
            let soap = Soap::new(enrolment, keys, &via(config), TIMEOUT).map_err(Failure::usage)?;
            Ok(Box::new(soap))
        }
        config::Channel::Mail => {
            let Some(said) = &config.mail else { return Err(Failure::usage("there is no `[delivery.mail]`")) };
            let to = said.to.as_ref().or(enrolment.mail_to.as_ref()).ok_or_else(|| {
                Failure::usage("nobody said to which mailbox: the enrolment token names none")
                    .hint("`to = \"batches@central.example\"` in `[delivery.mail]`")
            })?;
            let letterhead = Letterhead {
                from: said.from.clone(),
                to: to.clone(),
                text: said.text.clone().unwrap_or_else(|| TEXT.to_owned()),
            };
            let mail = Mail::new(letterhead, keys.site(), &said.taker, &via(config), PATIENCE);
            Ok(Box::new(mail.map_err(Failure::usage)?))
        }
        config::Channel::File => {
            let Some(directory) = &config.file else { return Err(Failure::usage("there is no `[delivery.file]`")) };
            Ok(Box::new(Folder::new(directory, keys.site())))
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
