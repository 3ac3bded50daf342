//! One request through the library, and what its many errors mean here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_snmp::v3::{DesSaltState, EngineCache, ReportStatus};
use async_snmp::{Auth, Client, ClientBuilder, Error, ErrorStatus, Retry};

use super::words::{Denial, denial, is_unknown_context, is_unreachable, ours};
use super::{Kind, Session, absent};
use crate::snmp::transport::{ATTEMPTS, Link};
use crate::snmp::{Absent, Oid, Unanswered, VarBind, context};

/// Transmissions of a part of a request that went unanswered: losing both by chance costs a further halving, no object.
const ATTEMPTS_ISOLATING: u32 = 2;
/// The library's own deadline. The transport gives up before it, after its last transmission: four waits of at most 30 s,
/// spread by a quarter.
const NEVER: Duration = Duration::from_secs(180);

/// A context, and what is known of it.
pub(super) struct Scope {
    pub context: String,
    /// None when it must be made anew, for a new engine.
    pub client: Option<Client<Link>>,
    /// Something in it was answered.
    pub answered: bool,
    /// The device is alive and never answers in it: it has no such context, and no word for that. (net-snmp, too.)
    pub dead: bool,
}

/// What one request came to.
pub(super) enum Outcome {
    Answered(Vec<VarBind>),
    /// The agent's error, and which object (counted from 0) it names.
    Error(ErrorStatus, Option<usize>),
    /// No answer, or none that can be decoded.
    Nothing,
}

impl Session {
    /// One request that nothing has cut before, save by tooBig.
    pub(super) async fn request(
        &mut self,
        kind: Kind,
        context: &str,
        oids: &[&Oid],
        isolating: bool,
    ) -> Result<Outcome, Unanswered> {
        let theirs: Vec<async_snmp::Oid> = oids.iter().map(|oid| async_snmp::Oid::from_slice(oid.arcs())).collect();
        let mut discovered_again = false;
        loop {
            let client = self.client(context)?;
            // A single object gets all its transmissions: on the strength of them it goes on the skip list.
            self.link.attempts(if isolating && oids.len() > 1 { ATTEMPTS_ISOLATING } else { ATTEMPTS });
            let mut stream = match kind {
                Kind::Get => client.get_many_chunks(&theirs),
                Kind::GetNext => client.get_next_many_chunks(&theirs),
            }
            .map_err(|_| self.deny(Denial::Unusable))?;
            let mut varbinds = Vec::with_capacity(oids.len());
            // The largest part that was answered: less than all only when it was too big.
            let mut largest = 0;
            let failure = loop {
                match stream.next().await {
                    Some(Ok(chunk)) => {
                        self.heard(context);
                        largest = largest.max(chunk.request_range.len());
                        let asked = oids.get(chunk.request_range).unwrap_or_default();
                        let asked = asked.iter().copied().map(Some).chain(std::iter::repeat(None));
                        varbinds.extend(chunk.response.varbinds.into_iter().zip(asked).map(|(one, of)| ours(one, of)));
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            if (1..oids.len()).contains(&largest) {
                self.borne = self.borne.min(largest);
            }
            let Some(error) = failure else { return Ok(Outcome::Answered(varbinds)) };
            let completed = error.completed_request_count;
            let mut source = error.source.exchange_source();
            while let Error::SharedOperation { source: shared } = source {
                source = shared.exchange_source();
            }
            match source {
                Error::Snmp { status: ErrorStatus::AuthorizationError | ErrorStatus::NoAccess, index: 0, .. }
                    if !self.answered =>
                {
                    return Err(self.deny(Denial::NoAccess));
                }
                Error::Snmp { status, index, .. } => {
                    self.heard(context);
                    let at = usize::try_from(*index).ok().and_then(|index| index.checked_sub(1));
                    let chunk_length = error.failed_request_range.len();
                    let at = match at {
                        Some(at) if at < chunk_length => Some(completed + at),
                        _ if chunk_length == 1 => Some(completed),
                        _ => None,
                    };
                    return Ok(Outcome::Error(*status, at));
                }
                Error::Timeout { .. } if self.is_v3() && !isolating && !discovered_again => {
                    discovered_again = true;
                    if !self.discover_again(context).await? {
                        if !self.answered {
                            return Err(self.deny(Denial::Ignored));
                        }
                        return Ok(Outcome::Nothing);
                    }
                }
                Error::Timeout { .. } | Error::MalformedResponse { .. } => return Ok(Outcome::Nothing),
                Error::Report { status, .. } => match **status {
                    ReportStatus::UnknownEngineId { .. } if !discovered_again => {
                        discovered_again = true;
                        self.discover_again(context).await?;
                    }
                    // snmpUnknownContexts (RFC 3413): a context that this device lacks, with all its objects.
                    ReportStatus::Other { ref oid, .. } if is_unknown_context(oid) => {
                        return Ok(Outcome::Answered(
                            oids.iter().map(|oid| absent(oid, Absent::NoSuchObject)).collect(),
                        ));
                    }
                    ref status => return Err(self.deny(denial(status))),
                },
                Error::Network { source, .. } if is_unreachable(source) => return Err(Unanswered::Unreachable),
                Error::Network { .. } => return Ok(Outcome::Nothing),
                // More than the engine says it takes, even alone.
                Error::OutboundMessageTooLarge { .. } => {
                    return Ok(Outcome::Error(ErrorStatus::TooBig, Some(completed)));
                }
                // Another session asks this device under the same id just now: the next id is free.
                Error::RequestIdInUse { .. } => {}
                Error::Auth { .. } => return Err(self.deny(Denial::Ignored)),
                _ => return Err(self.deny(Denial::Unusable)),
            }
        }
    }

    /// A device that is silent in v3 may have been given a new engine id; this asks for it and tells whether it is new.
    async fn discover_again(&mut self, context: &str) -> Result<bool, Unanswered> {
        self.link.attempts(ATTEMPTS);
        let engine = |engines: &EngineCache, peer| engines.get(&peer).map(|state| state.engine_id().clone());
        let before = engine(&self.engines, self.peer());
        let client = self.client(context)?;
        if client.rediscover_engine().await.is_err() {
            return Err(Unanswered::Silent);
        }
        let is_new = before != engine(&self.engines, self.peer());
        // Clients of other contexts hold the old engine.
        self.scopes
            .iter_mut()
            .filter(|scope| !context::same(&scope.context, context))
            .for_each(|scope| scope.client = None);
        Ok(is_new)
    }

    /// An answer came, in this context.
    pub(super) fn heard(&mut self, context: &str) {
        (self.alive, self.answered) = (true, true);
        self.scopes
            .iter_mut()
            .filter(|scope| context::same(&scope.context, context))
            .for_each(|scope| scope.answered = true);
    }

    pub(super) fn deny(&mut self, denial: Denial) -> Unanswered {
        self.denial = Some(denial);
        Unanswered::Denied
    }

    pub(super) fn client(&mut self, context: &str) -> Result<Client<Link>, Unanswered> {
        if let Some(client) =
            self.scopes.iter().find_map(|scope| scope.client.clone().filter(|_| context::same(&scope.context, context)))
        {
            return Ok(client);
        }
        let Some(mut auth) = self.auth.clone() else { return Err(self.deny(Denial::Unusable)) };
        let mut needs_des = false;
        if let Auth::Usm(usm) = auth {
            needs_des = usm.priv_protocol().is_some_and(|protocol| protocol == async_snmp::PrivProtocol::Des);
            auth = Auth::Usm(usm.context_name(context.to_owned().into_bytes()));
        }
        let mut decoding = async_snmp::DecodeConfig::DEFAULT;
        decoding.malformed_exception_payloads = true;
        let mut builder = ClientBuilder::new(auth)
            .request_timeout(NEVER)
            .retry(Retry::none())
            .max_oids_per_request(64)
            .decode_config(decoding)
            // Answers are taken from the asked address alone, so a rewritten community harms nobody.
            .community_response_policy(async_snmp::CommunityResponsePolicy::AllowMismatchFromTarget)
            .allow_unauthenticated_v3_time_correction(true)
            .engine_cache(Arc::clone(&self.engines));
        if needs_des {
            match DesSaltState::install(|_| Ok::<(), io::Error>(())) {
                Ok(state) => builder = builder.des_salt_state(state),
                Err(_) => return Err(self.deny(Denial::Unusable)),
            }
        }
        let Ok(client) = builder.build_with_transport(self.link.clone()) else {
            return Err(self.deny(Denial::Unusable));
        };
        match self.scopes.iter_mut().find(|scope| context::same(&scope.context, context)) {
            Some(scope) => scope.client = Some(client.clone()),
            None => self.scopes.push(Scope {
                context: context.to_owned(),
                client: Some(client.clone()),
                answered: false,
                dead: false,
            }),
        }
        Ok(client)
    }
}
