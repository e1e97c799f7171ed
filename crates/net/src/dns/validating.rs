//! A resolver that checks signatures itself.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_net::{DnsError as WireError, NetError};
use hickory_proto::dnssec::{Algorithm, PublicKeyBuf, TrustAnchors};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_proto::rr::{Name as WireName, RData, RecordType as WireType};
use mox_base::{Clock, Rng};
use mox_dns::{Answer, DnsError, Name, Pending, RecordType, Resolver, Security, Trouble};
use parking_lot::Mutex;

use super::exchange::Upstream;
use super::generations::{Bounds, Generations, Kept};
use super::reading::{ALIASES_MAX, Step};
use super::resolv_conf::ResolvConf;
use super::stub::within;
use super::wire::{self, Question};
use super::{LOOKUP_WAIT, evidence, reading};

/// Questions that one lookup asks at most, for keys and delegations on the way from the root, and for
/// aliases. The deepest names, those of IPv6 addresses, take some 40.
pub const QUESTIONS_PER_LOOKUP_MAX: u32 = 120;

/// Keys and delegations that are kept at most, and the bytes that they take.
const PROOFS: Bounds = Bounds { entries_max: 10_000, bytes_max: 8 << 20 };

/// How long they are kept at most. Their own TTL is not to be believed before they are checked.
const PROOF_TTL_MAX: Duration = Duration::from_secs(3600);

/// Checked sets of records that are remembered during one lookup.
const VALIDATIONS_MAX: usize = 64;

/// A key that is trusted without proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// Its algorithm, by number. RFC 4034 §2.1.3.
    pub algorithm: u8,
    /// The key, as a DNSKEY record has it. RFC 4034 §2.1.4.
    pub key: Vec<u8>,
}

/// Asks servers that look things up for it, and checks all signatures from the root on itself, so
/// that neither the servers nor the way to them need be trusted. RFC 4035 §5.
///
/// The servers must pass signatures on, which some small ones do not: then nothing in a signed zone
/// is found, and [`DnsError::Bogus`] is the answer. That is also the answer for a few names whose
/// absence or wildcard is proven in a way that the checks do not know.
#[derive(Debug)]
pub struct Validating {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    clock: Arc<dyn Clock>,
    anchors: Arc<TrustAnchors>,
    proofs: Mutex<Generations<ProofKey, DnsResponse>>,
}

type ProofKey = (WireName, WireType);

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Validating {
    /// One that asks these servers, and trusts the keys of the root zone.
    // Deviation: RFC 5011 has new keys learnt while running; ours come with new versions of this
    // program, because there is one every few years, and nothing on disk can go wrong.
    #[must_use]
    pub fn new(conf: ResolvConf, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self::build(conf, clock, rng, TrustAnchors::default())
    }

    /// One that trusts other keys of the root zone.
    #[must_use]
    pub fn with_anchors(
        conf: ResolvConf,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        anchors: &[TrustAnchor],
    ) -> Self {
        let mut trusted = TrustAnchors::empty();
        for TrustAnchor { algorithm, key } in anchors {
            trusted.insert(&PublicKeyBuf::new(key.clone(), Algorithm::from_u8(*algorithm)));
        }
        Self::build(conf, clock, rng, trusted)
    }

    fn build(
        conf: ResolvConf,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        anchors: TrustAnchors,
    ) -> Self {
        let upstream = Upstream::new(conf, rng);
        let proofs = Mutex::new(Generations::new(PROOFS));
        let inner = Inner { upstream, clock, anchors: Arc::new(anchors), proofs };
        Self { inner: Arc::new(inner) }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, DnsError> {
        let mut at = wire::to_wire(name).map_err(DnsError::Temporary)?;
        let errand = Errand::new(&self.inner);
        let (mut security, mut ttl_secs) = (Security::Secure, u32::MAX);
        for _ in 0..=ALIASES_MAX {
            let (message, its_security) = errand.checked(&at, wire::wire_type(kind)).await?;
            security = security.and(its_security);
            match reading::step(&message, &at, kind)? {
                Step::Records(records, ttl) => {
                    let canonical = wire::from_wire(&at);
                    let canonical = canonical.ok_or(DnsError::Temporary(Trouble::Malformed))?;
                    let ttl_secs = ttl_secs.min(ttl);
                    return Ok(Answer { canonical, records, security, ttl_secs });
                }
                Step::Alias(target, ttl) => (at, ttl_secs) = (target, ttl_secs.min(ttl)),
                Step::Nothing(ttl) => {
                    let exists = message.metadata.response_code != ResponseCode::NXDomain;
                    let ttl_secs = ttl_secs.min(ttl);
                    return Err(DnsError::NotFound { exists, security, ttl_secs });
                }
            }
        }
        Err(DnsError::Temporary(Trouble::Malformed))
    }
}

impl Resolver for Validating {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        Box::pin(within(LOOKUP_WAIT, self.ask(name, kind)))
    }
}

/// What one lookup asks, with the bound on it.
#[derive(Clone)]
struct Errand {
    inner: Arc<Inner>,
    notes: Arc<Notes>,
}

struct Notes {
    questions_left: AtomicU32,
    /// Why an answer did not come. What fails for that is not bogus.
    trouble: Mutex<Option<Trouble>>,
    /// What was used that is kept. If the outcome is bogus, it may be that.
    used: Mutex<Vec<ProofKey>>,
}

impl Errand {
    fn new(inner: &Arc<Inner>) -> Self {
        let notes = Notes {
            questions_left: AtomicU32::new(QUESTIONS_PER_LOOKUP_MAX),
            trouble: Mutex::new(None),
            used: Mutex::new(Vec::new()),
        };
        Self { inner: Arc::clone(inner), notes: Arc::new(notes) }
    }

    /// The answer about one name, and what it is worth.
    async fn checked(
        &self,
        name: &WireName,
        kind: WireType,
    ) -> Result<(Message, Security), DnsError> {
        let checks =
            DnssecDnsHandle::with_trust_anchor(self.clone(), Arc::clone(&self.inner.anchors));
        let checks = checks.validation_cache_size(VALIDATIONS_MAX);
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = true;
        let mut answers = checks.lookup(Query::query(name.clone(), kind), options);
        let (message, denial) = match answers.next().await {
            Some(Ok(response)) => (response.into_message(), None),
            Some(Err(NetError::Dns(WireError::Nsec { response, proof, .. }))) => {
                (response.into_message(), Some(proof))
            }
            Some(Err(error)) => {
                tracing::debug!(%name, %kind, %error, "answer does not pass the checks");
                return Err(self.failure());
            }
            None => return Err(self.failure()),
        };
        match evidence::security(&message, name, denial) {
            Some(security) => Ok((message, security)),
            None => Err(self.failure()),
        }
    }

    /// What went wrong.
    fn failure(&self) -> DnsError {
        if let Some(trouble) = *self.notes.trouble.lock() {
            return DnsError::Temporary(trouble);
        }
        let mut proofs = self.inner.proofs.lock();
        for key in self.notes.used.lock().drain(..) {
            proofs.remove(&key);
        }
        DnsError::Bogus
    }

    /// Asks the servers, or remembers; leaves of the answer what is to be checked.
    async fn response(&self, query: Query) -> Result<DnsResponse, NetError> {
        let key = (query.name.clone(), query.query_type);
        let is_proof = matches!(key.1, WireType::DNSKEY | WireType::DS | WireType::NS);
        if is_proof {
            let now = self.inner.clock.monotonic();
            self.notes.used.lock().push(key.clone());
            if let Some(kept) = self.inner.proofs.lock().get(&key, now) {
                return Ok(kept.value);
            }
        }
        let asked = self.asked(&key).await;
        let response = asked.map_err(|trouble| {
            self.notes.trouble.lock().get_or_insert(trouble);
            NetError::NoConnections
        })?;
        if is_proof {
            self.keep(key, &response);
        }
        Ok(response)
    }

    async fn asked(&self, (name, kind): &ProofKey) -> Result<DnsResponse, Trouble> {
        let left = &self.notes.questions_left;
        let take = |left: u32| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(Trouble::Malformed);
        }
        let question = Question { name: name.clone(), kind: *kind, unchecked: true };
        let message = self.inner.upstream.ask(&question).await?.message;
        if message.metadata.response_code == ResponseCode::ServFail {
            // Asked not to check, it has nothing else to say.
            return Err(Trouble::ServerFailure);
        }
        let message = evidence::narrowed(message, name, *kind)?;
        DnsResponse::from_message(message).map_err(|_| Trouble::Malformed)
    }

    /// Keeps a key, a delegation, or that there is none. It is checked each time that it is used.
    fn keep(&self, key: ProofKey, response: &DnsResponse) {
        let records = response.answers.iter().chain(&response.authorities);
        let secs = records.map(|record| match &record.data {
            RData::SOA(soa) => record.ttl.min(soa.minimum),
            _ => record.ttl,
        });
        let ttl = Duration::from_secs(secs.min().unwrap_or(0).into()).min(PROOF_TTL_MAX);
        let since = self.inner.clock.monotonic();
        let until = since.saturating_add(ttl);
        // Parsed it takes a few times what it takes as bytes.
        let bytes = 1000 + 4 * response.as_buffer().len();
        let kept = Kept { value: response.clone(), since, until, bytes };
        self.inner.proofs.lock().insert(key, kept);
    }
}

impl DnsHandle for Errand {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let errand = self.clone();
        let query = request.queries.first().cloned();
        Box::pin(stream::once(async move {
            match query {
                Some(query) => errand.response(query).await,
                None => Err(NetError::NoConnections),
            }
        }))
    }
}
