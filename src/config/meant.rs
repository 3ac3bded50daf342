//! From what is written to what is meant; every fault is collected, none ends the checking.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use meterpost_wire::pack;
use toml::Spanned;

use super::fault::{Fault, listed, nearest};
use super::raw::{At, RawConfig, RawCredential, RawLimits, RawPacks, RawSweep};
use super::{Config, Limits, PACKS_DEFAULT, PackPolicy, Packs, READ_DEFAULT, Sweep, Window};
use crate::deliver::http::is_loopback;
use crate::privacy::{FIELDS, Policy, PolicyError};
use crate::schedule::Schedule;
use crate::snmp::credential::{AuthProtocol, Credential, PrivProtocol, SNMP_PORT, Secret, User, Versions};
use crate::targets::{Addresses, World};

/// A secret's file is at most this long.
const SECRET_BYTES_MAX: u64 = 4096;

/// The key that signs now, and the one that will sign after it.
const PACK_KEYS_MAX: usize = 2;

/// The text that is being read, and where what it points to is found.
pub struct Source<'a> {
    pub text: &'a str,
    pub dir: &'a Path,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Checks everything; the faults come in the order of their lines.
pub fn config(raw: RawConfig, source: &Source<'_>) -> Result<Config, Vec<Fault>> {
    let mut check = Check { source, faults: Vec::new() };
    let credentials: Vec<Credential> = raw.credentials.iter().filter_map(|raw| check.credential(raw)).collect();
    let named: Vec<&str> = raw.credentials.iter().map(|raw| raw.get_ref().name.get_ref().as_str()).collect();
    for (n, raw) in raw.credentials.iter().enumerate() {
        let name = &raw.get_ref().name;
        if named[..n].contains(&name.get_ref().as_str()) {
            check.fault(&name.span(), format!("`name`: two `[[credentials]]` are called `{}`", name.get_ref()));
        }
    }
    let sweeps = raw.sweep.iter().map(|raw| check.sweep(raw, &named)).collect();
    let timezone = check.timezone(&raw.schedule.timezone);
    let read = match &raw.schedule.read {
        None => Schedule::parse(READ_DEFAULT, timezone.clone()).ok(),
        written => check.schedule("read", written, &timezone),
    };
    let send = check.schedule("send", &raw.schedule.send, &timezone);
    let packs_at = match &raw.schedule.packs {
        None => Schedule::parse(PACKS_DEFAULT, timezone.clone()).ok(),
        written => check.schedule("packs", written, &timezone),
    };
    let packs = check.packs(&raw.packs);
    let channels = check.channels(&raw.delivery.channels);
    let proxy = check.proxy(&raw.delivery.https);
    let mail = raw.delivery.mail.as_ref().and_then(|raw| check.mail(raw));
    let file = raw.delivery.file.as_ref().and_then(|raw| check.file(raw));
    check.described(&raw.delivery);
    let limits = check.limits(&raw.limits);
    let privacy = check.privacy(&raw.privacy);
    if check.faults.is_empty() {
        let site_name = raw.site.name;
        let config = Config {
            site_name,
            sweeps,
            credentials,
            read,
            send,
            timezone,
            channels,
            proxy,
            mail,
            file,
            privacy,
            packs_at,
            packs,
            limits,
        };
        Ok(config)
    } else {
        check.faults.sort_by_key(|fault| fault.line);
        Err(check.faults)
    }
}

pub(super) struct Check<'a> {
    pub(super) source: &'a Source<'a>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    pub(super) fn fault(&mut self, span: &Range<usize>, what: String) {
        self.faults.push(Fault::at(self.source.text, span, what));
    }

    pub(super) fn fault_hint(&mut self, span: &Range<usize>, what: String, hint: String) {
        self.faults.push(Fault::at(self.source.text, span, what).hint(hint));
    }

    fn sweep(&mut self, raw: &Spanned<RawSweep>, named: &[&str]) -> Sweep {
        let (span, raw) = (raw.span(), raw.get_ref());
        if raw.targets.is_empty() {
            self.fault(
                &span,
                "`[[sweep]]` has no `targets`: `targets = [\"192.168.1.0/24\"]` would be some".to_owned(),
            );
        }
        if raw.credentials.is_empty() {
            self.fault(
                &span,
                "`[[sweep]]` has no `credentials`: an address is only asked with one that is listed".to_owned(),
            );
        }
        for name in &raw.credentials {
            let word = name.get_ref().as_str();
            if !named.contains(&word) {
                let what = format!("`credentials`: no `[[credentials]]` is called `{word}`");
                let hint = match nearest(word, named) {
                    Some(right) => format!("`{right}` is the nearest name"),
                    None if named.is_empty() => format!("add `[[credentials]]` with `name = \"{word}\"`"),
                    None => format!("names are {}", listed(named)),
                };
                self.fault_hint(&name.span(), what, hint);
            }
        }
        self.targets("targets", &raw.targets);
        self.targets("exclude", &raw.exclude);
        let texts = |list: &[Spanned<String>]| list.iter().map(|text| text.get_ref().clone()).collect();
        Sweep {
            targets: texts(&raw.targets),
            exclude: texts(&raw.exclude),
            credentials: texts(&raw.credentials),
            port: self.number("port", &raw.port, 1, 65_535).unwrap_or(SNMP_PORT),
            rate: self.number("rate", &raw.rate, 0, 1_000_000),
            retries: self.number("retries", &raw.retries, 0, 10).unwrap_or(2),
            window: self.window(&raw.window),
        }
    }

    /// Whether they are targets, as far as that shows without asking for names and reading files.
    fn targets(&mut self, key: &str, written: &[Spanned<String>]) {
        let mut resolve = |_: &str| Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        let mut read_file = |_: &str| Ok(String::new());
        for target in written {
            let world = &mut World { resolve: &mut resolve, read_file: &mut read_file };
            if let Err(error) = Addresses::parse(&[target.get_ref()], world) {
                self.fault(&target.span(), format!("`{key}`: {error}"));
            }
        }
    }

    fn window(&mut self, written: &At<String>) -> Option<Window> {
        let written = written.as_ref()?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
        let window = written.get_ref().split_once('-').and_then(|(from, to)| {
            let (from, to) = (time(from)?, time(to)?);
            (from != to).then_some(Window { from, to })
        });
        if window.is_none() {
            let what = format!("`window`: `{}` is no time of day, `06:00-20:00` would be", written.get_ref());
            self.fault(&written.span(), what);
        }
        window
    }

    fn credential(&mut self, raw: &Spanned<RawCredential>) -> Option<Credential> {
        let (span, raw) = (raw.span(), raw.get_ref());
        let name = raw.name.get_ref().as_str();
        let community = self.secret("community", [&raw.community, &raw.community_file, &raw.community_env]);
        let auth = self.secret("auth_secret", [&raw.auth_secret, &raw.auth_secret_file, &raw.auth_secret_env]);
        let privacy = self.secret("priv_secret", [&raw.priv_secret, &raw.priv_secret_file, &raw.priv_secret_env]);
        let (community, auth, privacy) = (community.ok()?, auth.ok()?, privacy.ok()?);
        let version = raw.version.as_ref().map(|version| (version.span(), version.get_ref().as_str()));
        let versions = match version {
            None | Some((_, "3")) => Versions::Either,
            Some((_, "1")) => Versions::V1,
            Some((_, "2c")) => Versions::V2c,
            Some((span, other)) => {
                self.fault(&span, format!("`version`: `{other}` is none, \"1\", \"2c\" or \"3\" would be"));
                return None;
            }
        };
        let is_v3 = matches!(version, Some((_, "3")));
        if raw.community.is_some() || raw.community_file.is_some() || raw.community_env.is_some() {
            self.beside_a_community(raw);
        }
        let made = match (community, &raw.user) {
            (Some(community), None) if !is_v3 => Credential::community(name, community, versions),
            (None, Some(user)) if is_v3 || version.is_none() => Credential::user(
                name,
                User {
                    name: user.get_ref().clone(),
                    auth: self.protocol::<AuthProtocol>("auth", &raw.auth_protocol, auth, &span).ok()?,
                    privacy: self.protocol::<PrivProtocol>("priv", &raw.priv_protocol, privacy, &span).ok()?,
                    context: raw.context.as_ref().map(|context| context.get_ref().clone()).unwrap_or_default(),
                },
            ),
            _ => {
                let what = format!(
                    "`[[credentials]]` `{name}`: either a `community` (versions 1 and 2c) or a `user` (version 3) would be right"
                );
                self.fault(&span, what);
                return None;
            }
        };
        made.map_err(|error| self.fault(&span, format!("`[[credentials]]` `{name}`: {error}"))).ok()
    }

    /// What only version 3 has would be ignored, and somebody would believe that it counts.
    fn beside_a_community(&mut self, raw: &RawCredential) {
        for (key, written) in [
            ("context", &raw.context),
            ("auth_protocol", &raw.auth_protocol),
            ("auth_secret", &raw.auth_secret),
            ("auth_secret_file", &raw.auth_secret_file),
            ("auth_secret_env", &raw.auth_secret_env),
            ("priv_protocol", &raw.priv_protocol),
            ("priv_secret", &raw.priv_secret),
            ("priv_secret_file", &raw.priv_secret_file),
            ("priv_secret_env", &raw.priv_secret_env),
        ] {
            if let Some(written) = written.as_ref().filter(|written| !written.get_ref().is_empty()) {
                let what = format!("`{key}` stands beside a community: only a `user` (version 3) has one");
                self.fault(&written.span(), what);
            }
        }
    }

    fn protocol<P: FromStr<Err: std::fmt::Display>>(
        &mut self,
        what: &str,
        protocol: &At<String>,
        secret: Option<Secret>,
        table: &Range<usize>,
    ) -> Result<Option<(P, Secret)>, ()> {
        match (protocol, secret) {
            (None, None) => Ok(None),
            (Some(protocol), Some(secret)) => match protocol.get_ref().parse() {
                Ok(parsed) => Ok(Some((parsed, secret))),
                Err(error) => {
                    self.fault(&protocol.span(), format!("`{what}_protocol`: {error}"));
                    Err(())
                }
            },
            (Some(protocol), None) => {
                self.fault(&protocol.span(), format!("`{what}_protocol` stands without `{what}_secret`"));
                Err(())
            }
            (None, Some(_)) => {
                self.fault(table, format!("`{what}_secret` stands without `{what}_protocol`"));
                Err(())
            }
        }
    }

    /// A secret from the file itself, another file or the environment; at most one of them.
    pub(super) fn secret(&mut self, key: &str, [here, file, env]: [&At<String>; 3]) -> Result<Option<Secret>, ()> {
        match (here, file, env) {
            (None, None, None) => Ok(None),
            (Some(here), None, None) => Ok(Some(Secret::new(here.get_ref().clone()))),
            (None, Some(file), None) => {
                let path = super::beside(self.source.dir, file.get_ref());
                let text = match std::fs::metadata(&path) {
                    Ok(found) if found.len() > SECRET_BYTES_MAX => {
                        Err(format!("it has more than {SECRET_BYTES_MAX} bytes"))
                    }
                    _ => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
                };
                match text {
                    Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n'])))),
                    Err(error) => {
                        self.fault(&file.span(), format!("`{key}_file`: cannot read `{}`: {error}", path.display()));
                        Err(())
                    }
                }
            }
            (None, None, Some(env)) => match (self.source.env)(env.get_ref()) {
                Some(text) => Ok(Some(Secret::new(text))),
                None => {
                    let what = format!("`{key}_env`: the environment has no variable `{}`", env.get_ref());
                    self.fault(&env.span(), what);
                    Err(())
                }
            },
            _ => {
                let span = [here, file, env].into_iter().flatten().last().map(Spanned::span).unwrap_or_default();
                self.fault(&span, format!("one of `{key}`, `{key}_file` and `{key}_env` would be right, not two"));
                Err(())
            }
        }
    }

    fn timezone(&mut self, written: &At<String>) -> TimeZone {
        let Some(written) = written else { return TimeZone::UTC };
        if written.get_ref() == "UTC" {
            return TimeZone::UTC;
        }
        TimeZone::get(written.get_ref()).unwrap_or_else(|_| {
            let what = format!("`timezone`: no zone is called `{}`, `Europe/Berlin` would be one", written.get_ref());
            self.fault(&written.span(), what);
            TimeZone::UTC
        })
    }

    fn schedule(&mut self, key: &str, written: &At<String>, zone: &TimeZone) -> Option<Schedule> {
        let written = written.as_ref().filter(|written| !written.get_ref().is_empty())?;
        Schedule::parse(written.get_ref(), zone.clone())
            .map_err(|error| self.fault(&written.span(), format!("`{key}`: {error}")))
            .ok()
    }

    fn privacy(&mut self, raw: &BTreeMap<Spanned<String>, Spanned<String>>) -> Policy {
        let mut policy = Policy::default();
        for (field, rule) in raw {
            match policy.set(field.get_ref(), rule.get_ref()) {
                Ok(()) => {}
                Err(error @ PolicyError::UnknownField(_)) => {
                    let words = FIELDS.map(|(_, word, ..)| word);
                    let hint = match nearest(field.get_ref(), &words) {
                        Some(right) => format!("`{right}` is the nearest field"),
                        None => format!("fields are {}", listed(&words)),
                    };
                    self.fault_hint(&field.span(), format!("`[privacy]`: {error}"), hint);
                }
                Err(error) => self.fault(&rule.span(), format!("`{}`: {error}", field.get_ref())),
            }
        }
        policy
    }

    fn packs(&mut self, raw: &RawPacks) -> Packs {
        let mut packs = Packs::default();
        if let Some(url) = &raw.url {
            let text = url.get_ref().trim_end_matches('/');
            let is_https = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
            if is_https || (text.starts_with("http://") && is_loopback(text)) {
                packs.url = Some(text.to_owned());
            } else {
                let what = format!(
                    "`url`: `{text}` is not asked for packs: `https://packs.example` would be right, or `http:` with a \
                     loopback address"
                );
                self.fault(&url.span(), what);
            }
        }
        if let Some(channel) = &raw.channel {
            match pack::Channel::parse(channel.get_ref()) {
                Ok(parsed) => packs.channel = parsed,
                Err(error) => self.fault(&channel.span(), format!("`channel`: {error}")),
            }
        }
        if let Some(more) = raw.keys.get(PACK_KEYS_MAX) {
            let what = format!("`keys`: {} of them: the present key and the next one would be right", raw.keys.len());
            self.fault(&more.span(), what);
        }
        for key in &raw.keys {
            match pack::Key::parse(key.get_ref()) {
                Ok(parsed) => packs.keys.push(parsed),
                Err(error) => self.fault(&key.span(), format!("`keys`: {error}")),
            }
        }
        if let Some(policy) = &raw.policy {
            match policy.get_ref().as_str() {
                "hold" => packs.policy = PackPolicy::Hold,
                "adopt" => packs.policy = PackPolicy::Adopt,
                "ask" => packs.policy = PackPolicy::Ask,
                other => {
                    let what = format!("`policy`: `{other}` is none, \"hold\", \"adopt\" or \"ask\" would be");
                    self.fault(&policy.span(), what);
                }
            }
        }
        packs
    }

    fn limits(&mut self, raw: &RawLimits) -> Limits {
        let usual = Limits::default();
        Limits {
            devices_in_flight: self
                .number("devices_in_flight", &raw.devices_in_flight, 1, 1_024)
                .unwrap_or(usual.devices_in_flight),
            run_time: self
                .number("run_minutes", &raw.run_minutes, 1, 7 * 24 * 60)
                .map_or(usual.run_time, |minutes: u64| Duration::from_secs(minutes * 60)),
            queue_bytes_max: self
                .number("max_queue_mb", &raw.max_queue_mb, 1, 1_048_576)
                .map_or(usual.queue_bytes_max, |megabytes: u64| megabytes * 1024 * 1024),
        }
    }

    pub(super) fn number<N: TryFrom<i64>>(&mut self, key: &str, written: &At<i64>, least: i64, most: i64) -> Option<N> {
        let written = written.as_ref()?;
        let number = Some(*written.get_ref()).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(
                &written.span(),
                format!("`{key}`: {least} to {most} would be right, not {}", written.get_ref()),
            );
        }
        number.and_then(|number| N::try_from(number).ok())
    }
}
