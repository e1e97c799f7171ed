//! A tree of zones, signed or not, rightly or wrongly, behind a server on loopback that looks things
//! up for others. For tests.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use mox_dns::{Data, DnsError, Lookups as _, Name};
//! use mox_net::dns::lab::{Lab, Signing};
//! use mox_net::dns::{Checks, SystemResolver};
//! use mox_net::{SystemClock, SystemRng};
//! use std::sync::Arc;
//!
//! let mut lab = Lab::new();
//! lab.zone("example", Signing::Good).zone("bad.example", Signing::Expired);
//! lab.record("a.example", Data::A([192, 0, 2, 1].into()));
//! lab.record("a.bad.example", Data::A([192, 0, 2, 2].into()));
//! let lab = lab.open().await;
//!
//! let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRng));
//! let dns = SystemResolver::new(lab.options(Checks::Own), clock, rng);
//! let name = |text| Name::parse(text).expect("a name");
//! assert!(dns.ipv4(&name("a.example")).await.is_ok_and(|found| found.security.is_secure()));
//! assert_eq!(dns.ipv4(&name("a.bad.example")).await, Err(DnsError::Bogus));
//! # });
//! ```

#![expect(clippy::unwrap_used, reason = "a broken lab should fail the test that made it")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, NSEC3, RRSIG};
use hickory_proto::dnssec::{
    Algorithm, DigestType, Nsec3HashAlgorithm, PublicKey as _, SigningKey as _, TBS,
};
use hickory_proto::op::{Message, ResponseCode};
#[cfg(test)]
use hickory_proto::op::{MessageType, OpCode, Query};
#[cfg(test)]
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TLSA, TXT};
use hickory_proto::rr::{
    DNSClass, Name as WireName, RData, Record, RecordType as WireType, SerialNumber,
};
#[cfg(test)]
use hickory_proto::serialize::binary::BinEncodable as _;
use mox_dns::{Data, Name, RecordType, Security};

use super::redirection::redirected;
use super::scripted::{By, Scripted, empty, framed};
use super::wire::{Question, Received, receive};
use super::{Checks, ResolvConf, Servers, SystemOptions, TrustAnchor, evidence, reading};

/// The TTL of all records, in seconds.
pub const TTL_SECS: u32 = 300;

/// How long it may be kept that there is nothing, in seconds.
pub const NEGATIVE_TTL_SECS: u32 = 60;

/// Aliases that the server follows.
const ALIASES_MAX: usize = 20;

/// The longest string of a text. RFC 1035 §3.3.14.
const STRING_BYTES_MAX: usize = 255;

/// Bytes of an answer by UDP; with more it is cut off.
const UDP_BYTES_MAX: usize = 1232;

const DAY_SECS: u32 = 86_400;

/// How a zone is signed, and what the zone above says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Not, and the zone above has no DS record.
    None,
    /// As it should be.
    Good,
    /// As it should be, with names hashed in what says that there is nothing. RFC 5155.
    Hashed {
        /// Zones below that are not signed may be left out, as in large zones. RFC 5155 §6.
        opt_out: bool,
        /// How often names are hashed again.
        iterations: u16,
    },
    /// As it should be, but the zone above does not know of it.
    Island,
    /// With signatures that are no longer valid.
    Expired,
    /// With signatures that are not valid yet.
    NotYet,
    /// With a key that is not the one of the zone above.
    OtherKey,
    /// With an algorithm that nobody knows, says the zone above.
    UnknownAlgorithm,
    /// Not, though the zone above has a DS record.
    Stripped,
}

/// Zones that are not served yet.
pub struct Lab {
    zones: Vec<Zone>,
    /// Whether the server says that it has validated its answers, which it has not.
    pub vouches: bool,
}

/// Zones that are served on loopback until this is dropped.
pub struct Served {
    server: Scripted,
    anchor: TrustAnchor,
}

impl Served {
    /// How a resolver asks the server, and trusts the key of its root zone.
    #[must_use]
    pub fn options(&self, checks: Checks) -> SystemOptions {
        let conf = ResolvConf { servers: vec![self.server.addr], ..ResolvConf::default() };
        let anchors = Some(vec![self.anchor.clone()]);
        SystemOptions { servers: Servers::Given(conf), checks, anchors }
    }

    /// How many questions have come.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.server.asked()
    }
}

struct Zone {
    origin: WireName,
    signing: Signing,
    key: Ed25519SigningKey,
    records: BTreeMap<WireName, Vec<RData>>,
    /// Names whose addresses are changed after they were signed.
    tampered: Vec<WireName>,
}

/// The name, with or without the last dot.
pub(super) fn wire(text: &str) -> WireName {
    let mut name = WireName::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A record that redirects what is below its name. RFC 6672 §2.1.
#[cfg(test)]
pub(super) fn dname(target: &str) -> RData {
    let rdata = NULL::with(wire(target).to_bytes().unwrap());
    RData::Unknown { code: WireType::DNAME, rdata }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.zones.iter().map(|zone| (&zone.origin, zone.signing))).finish()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("addr", &self.server.addr).finish_non_exhaustive()
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A root zone, signed.
    #[must_use]
    pub fn new() -> Self {
        let zones = vec![Zone::new(WireName::root(), Signing::Good)];
        Self { zones, vouches: false }
    }

    /// The key of the root zone.
    pub(super) fn anchor(&self) -> TrustAnchor {
        let key = self.zones[0].key.to_public_key().unwrap();
        TrustAnchor { algorithm: Algorithm::ED25519.into(), key: key.public_bytes().to_vec() }
    }

    /// Adds a zone below one that is there.
    ///
    /// # Panics
    ///
    /// If `origin` is no name.
    pub fn zone(&mut self, origin: &str, signing: Signing) -> &mut Self {
        let zone = Zone::new(wire(origin), signing);
        let above = self.zone_of(&zone.origin, WireType::DS);
        let entry = self.zones[above].records.entry(zone.origin.clone()).or_default();
        entry.push(RData::NS(NS(wire("ns.").append_domain(&zone.origin).unwrap())));
        if let Some(ds) = zone.ds() {
            entry.push(RData::DNSSEC(DNSSECRData::DS(ds)));
        }
        self.zones.push(zone);
        self
    }

    /// Adds a record to the zone that its name is in.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn record(&mut self, name: &str, data: Data) -> &mut Self {
        self.add(name, rdata(data))
    }

    /// Adds a record as it goes over the wire.
    pub(super) fn add(&mut self, name: &str, data: RData) -> &mut Self {
        let zone = self.zone_of(&wire(name), data.record_type());
        self.zones[zone].records.entry(wire(name)).or_default().push(data);
        self
    }

    /// Changes the addresses of a name on the way.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn tamper(&mut self, name: &str) -> &mut Self {
        let zone = self.zone_of(&wire(name), WireType::A);
        self.zones[zone].tampered.push(wire(name));
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// If there is no socket to be had.
    pub async fn open(self) -> Served {
        let anchor = self.anchor();
        Served { server: self.serve_with(|_, _| {}).await, anchor }
    }

    /// Starts the server.
    #[cfg(test)]
    pub(super) async fn serve(self) -> Scripted {
        self.serve_with(|_, _| {}).await
    }

    /// Starts the server with somebody on the way to it who may change its answers.
    pub(super) async fn serve_with(
        self,
        meddle: impl Fn(&Self, &mut Message) + Send + Sync + 'static,
    ) -> Scripted {
        Scripted::start(move |question, by| {
            let mut answer = self.answer(question);
            meddle(&self, &mut answer);
            let answer = framed(&answer, by);
            if by == By::Udp && answer.len() > UDP_BYTES_MAX {
                let mut cut = empty(question, ResponseCode::NoError);
                cut.metadata.truncation = true;
                return vec![framed(&cut, by)];
            }
            vec![answer]
        })
        .await
    }

    /// The zone that has the records of a name. DS records are those of the zone above.
    fn zone_of(&self, name: &WireName, kind: WireType) -> usize {
        let zones = self.zones.iter().enumerate().filter(|(_, zone)| {
            let is_below = kind == WireType::DS && !name.is_root() && zone.origin == *name;
            zone.origin.zone_of(name) && !is_below
        });
        zones.max_by_key(|(_, zone)| zone.origin.num_labels()).unwrap().0
    }

    /// What is answered to a question.
    #[cfg(test)]
    pub(super) fn ask(&self, name: &str, kind: WireType) -> Message {
        let mut question = Message::new(0, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(wire(name), kind));
        self.answer(&question)
    }

    /// A record, signed by a zone, that says that there is nothing between two names.
    #[cfg(test)]
    pub(super) fn denial(&self, zone: &str, owner: &str, next: &str) -> Vec<Record> {
        let zone = self.zones.iter().find(|one| one.origin == wire(zone)).unwrap();
        let nsec = NSEC::new_cover_self(wire(next), [WireType::A]);
        zone.signed(&wire(owner), &wire(owner), vec![RData::DNSSEC(DNSSECRData::NSEC(nsec))])
    }

    fn answer(&self, question: &Message) -> Message {
        let mut answer = empty(question, ResponseCode::NoError);
        answer.metadata.authentic_data = self.vouches;
        let query = &question.queries[0];
        let mut at = query.name.clone();
        for _ in 0..ALIASES_MAX {
            let zone = &self.zones[self.zone_of(&at, query.query_type)];
            match zone.answer(&mut answer, &at, query.query_type) {
                Some(target) if !answer.answers.iter().any(|one| one.name == target) => at = target,
                _ => break,
            }
        }
        answer
    }
}

/// Reads any bytes as an answer about a name, in all ways that there are, for tests and fuzzing.
///
/// # Panics
///
/// If what is read is not as it must be.
pub fn check_answer(bytes: &[u8], name: &Name, kind: RecordType) {
    // The number of the question, which nobody can guess, is not what is to be found out.
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let Ok(question) = Question::new(name, kind) else { return };
    let Received::Answer(message) = receive(bytes, id, &question) else { return };
    let at = &question.name;
    if let Ok(found) = reading::answer(&message, at, kind, Security::Insecure) {
        assert!(found.records.iter().all(|record| record.kind() == kind), "{found:?}");
        assert!(!found.records.is_empty() && i32::try_from(found.ttl_secs).is_ok(), "{found:?}");
    }
    let all = message.all_sections().count();
    let Ok(narrowed) = evidence::narrowed(*message, at, question.kind) else { return };
    let left: Vec<_> = narrowed.all_sections().collect();
    assert!(left.len() <= all && left.iter().all(|record| record.name.num_labels() < 128));
    let is_about = |record: &Record| record.name.zone_of(at);
    assert!(narrowed.answers.iter().all(is_about), "{narrowed:?}");
}

impl Zone {
    fn new(origin: WireName, signing: Signing) -> Self {
        let key = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&key).unwrap();
        let server = wire("ns.").append_domain(&origin).unwrap();
        let soa = SOA::new(server.clone(), server.clone(), 1, 2, 3, 4, NEGATIVE_TTL_SECS);
        let mut at_origin = vec![RData::SOA(soa), RData::NS(NS(server))];
        if signing != Signing::None {
            at_origin.push(RData::DNSSEC(DNSSECRData::DNSKEY(dnskey(&key))));
        }
        let records = BTreeMap::from([(origin.clone(), at_origin)]);
        Self { origin, signing, key, records, tampered: Vec::new() }
    }

    /// What the zone above says of the key. RFC 4034 §5.
    fn ds(&self) -> Option<DS> {
        let mut key = dnskey(&self.key);
        let mut algorithm = Algorithm::ED25519;
        match self.signing {
            Signing::None | Signing::Island => return None,
            Signing::OtherKey => {
                let other = Ed25519SigningKey::generate_pkcs8().unwrap();
                key = dnskey(&Ed25519SigningKey::from_pkcs8(&other).unwrap());
            }
            Signing::UnknownAlgorithm => algorithm = Algorithm::Unknown(200),
            _ => {}
        }
        let digest = key.to_digest(&self.origin, DigestType::SHA256).unwrap();
        let tag = key.calculate_key_tag().unwrap();
        Some(DS::new(tag, algorithm, DigestType::SHA256, digest.as_ref().to_vec()))
    }

    /// Adds what the zone knows of a name. Returns where an alias leads.
    fn answer(&self, answer: &mut Message, name: &WireName, kind: WireType) -> Option<WireName> {
        let redirection = self.records.iter().find_map(|(owner, data)| {
            let is_above = owner.zone_of(name) && owner != name;
            let record = data.iter().find(|one| one.record_type() == WireType::DNAME);
            record.filter(|_| is_above).map(|record| (owner, record.clone()))
        });
        if let Some((owner, data)) = redirection {
            let records = self.signed(owner, owner, vec![data]);
            let target = redirected(&records[0], name).unwrap();
            answer.add_answers(records);
            // Not signed: whoever checks makes it anew. RFC 6672 §3.1.
            let alias = RData::CNAME(CNAME(target.clone()));
            answer.add_answer(Record::from_rdata(name.clone(), TTL_SECS, alias));
            return Some(target);
        }
        let mut encloser = name.clone();
        while !self.exists(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label("*").unwrap();
        let exists = encloser == *name;
        let source = if exists { name } else { &wildcard };
        let data = |kind| {
            let all = self.records.get(source).into_iter().flatten();
            all.filter(|one| one.record_type() == kind).cloned().collect::<Vec<_>>()
        };
        for kind in [kind, WireType::CNAME] {
            let found = data(kind);
            let Some(first) = found.first().cloned() else { continue };
            answer.add_answers(self.signed(source, name, found));
            if !exists {
                self.deny(answer, name);
            }
            return match first {
                RData::CNAME(target) if answer.queries[0].query_type != WireType::CNAME => {
                    Some(target.0)
                }
                _ => None,
            };
        }
        let at_origin = &self.records[&self.origin];
        let soa = at_origin.iter().find(|one| one.record_type() == WireType::SOA);
        let soa = self.signed(&self.origin, &self.origin, soa.into_iter().cloned().collect());
        answer.add_authorities(soa);
        self.deny(answer, name);
        if !exists {
            if !matches!(self.signing, Signing::Hashed { .. }) {
                self.deny(answer, &wildcard);
            }
            if !self.records.contains_key(&wildcard) {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        None
    }

    /// Whether there is something at or below a name.
    fn exists(&self, name: &WireName) -> bool {
        self.records.keys().any(|one| name.zone_of(one))
    }

    /// Adds the record that says what is not at a name. RFC 4035 §3.1.3.
    fn deny(&self, answer: &mut Message, name: &WireName) {
        match self.signing {
            Signing::None | Signing::Stripped => return,
            Signing::Hashed { opt_out, iterations } => {
                let records = Hashed::new(self, opt_out, iterations).denial(name);
                answer.add_authorities(records);
                return;
            }
            _ => {}
        }
        let (owner, data) = self.records.range(..=name).next_back().unwrap();
        let mut after = self.records.range(owner..).skip(1);
        let next = after.next().map_or(&self.origin, |(next, _)| next);
        let kinds = data.iter().map(RData::record_type);
        let nsec = NSEC::new_cover_self(next.clone(), kinds);
        let records = self.signed(owner, owner, vec![RData::DNSSEC(DNSSECRData::NSEC(nsec))]);
        if !answer.authorities.contains(&records[0]) {
            answer.add_authorities(records);
        }
    }

    /// Records of one kind with their signature, shown under a name that a wildcard may stand for.
    fn signed(&self, source: &WireName, name: &WireName, data: Vec<RData>) -> Vec<Record> {
        let kind = data[0].record_type();
        let of = |name: &WireName, data| Record::from_rdata(name.clone(), TTL_SECS, data);
        let originals: Vec<_> = data.iter().map(|one| of(source, one.clone())).collect();
        let is_changed = self.tampered.contains(source) && kind == WireType::A;
        let changed = RData::A(A::new(203, 0, 113, 66));
        let data = data.into_iter().map(|one| if is_changed { changed.clone() } else { one });
        let mut records: Vec<_> = data.map(|data| of(name, data)).collect();
        let is_delegation = kind == WireType::NS && *source != self.origin;
        if !is_delegation && !matches!(self.signing, Signing::None | Signing::Stripped) {
            let signature = self.signature(source, kind, &originals);
            records.push(of(name, RData::DNSSEC(DNSSECRData::RRSIG(signature))));
        }
        records
    }

    /// RFC 4034 §3.1.
    fn signature(&self, name: &WireName, kind: WireType, records: &[Record]) -> RRSIG {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = u32::try_from(now).unwrap();
        let (from, until) = match self.signing {
            Signing::Expired => (now - 2 * DAY_SECS, now - DAY_SECS),
            Signing::NotYet => (now + DAY_SECS, now + 2 * DAY_SECS),
            _ => (now - DAY_SECS, now + DAY_SECS),
        };
        let input = SigInput {
            type_covered: kind,
            algorithm: Algorithm::ED25519,
            num_labels: name.num_labels(),
            original_ttl: TTL_SECS,
            sig_expiration: SerialNumber::new(until),
            sig_inception: SerialNumber::new(from),
            key_tag: dnskey(&self.key).calculate_key_tag().unwrap(),
            signer_name: self.origin.clone(),
        };
        let signed = TBS::from_input(name, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = self.key.sign(&signed).unwrap();
        RRSIG::from_sig(input, signature)
    }
}

/// The names of a zone by their hash. RFC 5155 §7.1.
struct Hashed<'a> {
    zone: &'a Zone,
    opt_out: bool,
    iterations: u16,
    kinds: BTreeMap<Vec<u8>, Vec<WireType>>,
}

impl<'a> Hashed<'a> {
    fn new(zone: &'a Zone, opt_out: bool, iterations: u16) -> Self {
        let mut hashed = Self { zone, opt_out, iterations, kinds: BTreeMap::new() };
        for (name, data) in &zone.records {
            let mut kinds: Vec<_> = data.iter().map(RData::record_type).collect();
            let is_signed = *name == zone.origin || kinds != [WireType::NS];
            if !is_signed && opt_out {
                continue;
            }
            if is_signed {
                kinds.push(WireType::RRSIG);
            }
            hashed.kinds.insert(hashed.hash(name), kinds);
            let mut above = name.base_name();
            while zone.origin.zone_of(&above) && above != zone.origin {
                let hash = hashed.hash(&above);
                hashed.kinds.entry(hash).or_default();
                above = above.base_name();
            }
        }
        hashed
    }

    fn hash(&self, name: &WireName) -> Vec<u8> {
        let hash = Nsec3HashAlgorithm::SHA1.hash(&[], name, self.iterations).unwrap();
        hash.as_ref().to_vec()
    }

    /// What proves that there is nothing at a name: its own record, or those of the closest name that
    /// there is, of the one below that, and of the wildcard. RFC 5155 §7.2.
    fn denial(&self, name: &WireName) -> Vec<Record> {
        let (mut encloser, mut closer) = (name.clone(), name.clone());
        while !self.kinds.contains_key(&self.hash(&encloser)) {
            closer = encloser.clone();
            encloser = encloser.base_name();
        }
        let mut names = vec![encloser.clone()];
        if encloser != *name {
            names.extend([closer, encloser.prepend_label("*").unwrap()]);
        }
        let mut hashes: Vec<_> = names.iter().map(|name| self.at_or_before(name)).collect();
        hashes.sort();
        hashes.dedup();
        hashes.into_iter().flat_map(|hash| self.record(hash)).collect()
    }

    fn at_or_before(&self, name: &WireName) -> &Vec<u8> {
        let mut before = self.kinds.range(..=self.hash(name));
        let last = self.kinds.last_key_value();
        before.next_back().or(last).unwrap().0
    }

    fn record(&self, hash: &Vec<u8>) -> Vec<Record> {
        let mut after = self.kinds.range(hash.clone()..).skip(1);
        let next = after.next().or_else(|| self.kinds.first_key_value()).unwrap().0.clone();
        let kinds = self.kinds[hash].iter().copied();
        let algorithm = Nsec3HashAlgorithm::SHA1;
        let data = NSEC3::new(algorithm, self.opt_out, self.iterations, Vec::new(), next, kinds);
        let owner = self.zone.origin.prepend_label(base32(hash)).unwrap();
        self.zone.signed(&owner, &owner, vec![RData::DNSSEC(DNSSECRData::NSEC3(data))])
    }
}

/// RFC 4648 §7, without padding.
fn base32(bytes: &[u8]) -> String {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let values =
        bits.chunks(5).map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | u32::from(*bit)));
    values.map(|value| char::from_digit(value, 32).unwrap()).collect()
}

/// A key that signs a zone and itself.
fn dnskey(key: &Ed25519SigningKey) -> DNSKEY {
    DNSKEY::from_key(&key.to_public_key().unwrap())
}

fn rdata(data: Data) -> RData {
    let name = |name: Name| wire(&name.to_string());
    match data {
        Data::A(ip) => RData::A(A(ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(ip)),
        Data::Cname(target) => RData::CNAME(CNAME(name(target))),
        Data::Mx { preference, exchange } => RData::MX(MX::new(preference, name(exchange))),
        Data::Ns(server) => RData::NS(NS(name(server))),
        Data::Ptr(target) => RData::PTR(PTR(name(target))),
        Data::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(priority, weight, port, name(target)))
        }
        Data::Tlsa(one) => RData::TLSA(TLSA::new(
            one.usage.into(),
            one.selector.into(),
            one.matching.into(),
            one.data,
        )),
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.chunks(STRING_BYTES_MAX).collect())),
    }
}
