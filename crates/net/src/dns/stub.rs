//! A resolver that believes servers it trusts.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::{Name as WireName, RecordType as WireType};
use mox_base::Rng;
use mox_dns::{Answer, DnsError, Name, Pending, RecordType, Resolver, Security, Trouble};
use tokio::time::timeout;

use super::exchange::{Reply, Upstream};
use super::resolv_conf::ResolvConf;
use super::wire::Question;
use super::{LOOKUP_WAIT, reading};

/// Asks servers that look things up for it, and takes their word that an answer was validated.
///
/// The word of a server counts only if it is on this machine or the configuration trusts it: on the
/// way from elsewhere anybody could set a bit. RFC 4035 §4.9.3.
#[derive(Debug)]
pub struct StubAd {
    upstream: Upstream,
}

impl StubAd {
    /// One that asks these servers.
    #[must_use]
    pub fn new(conf: ResolvConf, rng: Arc<dyn Rng>) -> Self {
        Self { upstream: Upstream::new(conf, rng) }
    }

    /// Whether the servers give signatures to who wants them, as of the root zone, or do not answer
    /// at all. RFC 4035 §3.2.1.
    pub(super) async fn may_pass_signatures_on(&self) -> bool {
        let question = Question { name: WireName::root(), kind: WireType::NS, unchecked: true };
        let asked = timeout(LOOKUP_WAIT, self.upstream.ask(&question)).await;
        let Ok(Ok(reply)) = asked else { return true };
        let mut records = reply.message.answers.iter().chain(&reply.message.authorities);
        records.any(|record| record.record_type() == WireType::RRSIG)
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, DnsError> {
        let question = Question::new(name, kind).map_err(DnsError::Temporary)?;
        let reply = self.upstream.ask(&question).await.map_err(DnsError::Temporary)?;
        let Reply { message, server } = reply;
        let is_vouched = message.metadata.authentic_data && self.upstream.conf().trusts(server);
        let security = if is_vouched { Security::Secure } else { Security::Insecure };
        reading::answer(&message, &question.name, kind, security)
    }
}

impl Resolver for StubAd {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        Box::pin(within(LOOKUP_WAIT, self.ask(name, kind)))
    }
}

/// Gives up after a time.
pub(super) async fn within(
    wait: Duration,
    lookup: impl Future<Output = Result<Answer, DnsError>>,
) -> Result<Answer, DnsError> {
    timeout(wait, lookup).await.unwrap_or(Err(DnsError::Temporary(Trouble::Timeout)))
}
