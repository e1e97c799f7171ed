//! What can be found out about who sent a message, before anything is decided about it.
//!
//! Asked at the same time: whether the client's address has a name, what SPF says of MAIL FROM and
//! of the client's own name, and for the keys of all signatures, while the body is read. DMARC
//! follows, since it needs the results of the others.
//!
//! Everything has one deadline, [`FACTS_WAIT`]. What is not known by then is a temporary error of
//! the method that asked, as is any failure of DNS: a message is never refused for that alone.

mod bounded;
mod fields;
#[cfg(test)]
pub(crate) mod fixture;
mod proof;

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::Resolver;
use mox_mailauth::dkim::{
    BodyDigests, BodyHashes, Header, HeaderError, Keys, Status, Verification, Verifier,
};
use mox_mailauth::dmarc::{self, Authenticated, Identifier};
use mox_mailauth::{iprev, spf};
use mox_metrics::mailauth;
use mox_mime::{FromError, HEADER_BYTES_MAX};
use mox_net::{Wait, blocking};
use mox_smtp::{Mailbox, ReversePath};

use crate::measure::{self, timed};
use crate::spool::Spool;
pub(crate) use bounded::Bounded;
pub use bounded::LOOKUPS_AT_ONCE_MAX;

/// For all that is asked about one message. RFC 5321 §4.5.3.2.6 has clients wait 10 minutes for the
/// reply to the data, in which the message is decided upon and stored too.
pub const FACTS_WAIT: Wait = Wait::new("authentication", Duration::from_secs(60));

/// How much of a body is read and hashed at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A header or a body up to this size is hashed at once; a longer one on another thread, so that
/// other connections do not wait.
const HASHED_AT_ONCE_BYTES_MAX: u64 = 128 << 10;

/// Who sends, as said in the session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sender {
    /// Where the client connects from.
    pub(crate) ip: IpAddr,
    /// What it calls itself.
    pub(crate) helo: Host,
    /// MAIL FROM; none for the null sender and for one at an address literal.
    pub(crate) mail_from: Option<Address>,
}

impl Sender {
    /// - `client`: what the client calls itself, if that was taken down.
    pub(crate) fn new(ip: IpAddr, client: Option<&Host>, mail_from: &ReversePath) -> Self {
        let helo = client.cloned().unwrap_or(Host::Ip(ip));
        let mail_from = mail_from.mailbox().and_then(Mailbox::address);
        Self { ip, helo, mail_from }
    }

    /// What SPF needs.
    pub(crate) fn spf_args<'a>(&'a self, receiver: &'a Domain, now: UnixSeconds) -> spf::Args<'a> {
        let mail_from = self.mail_from.as_ref();
        spf::Args { ip: self.ip, mail_from, helo: &self.helo, receiver, now }
    }
}

/// What was found out.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Who sent.
    pub(crate) sender: Sender,
    /// Whether the client's address has a name.
    pub(crate) iprev: iprev::Outcome,
    /// SPF of MAIL FROM, or of the client's name if that is all there is. RFC 7208 §2.4.
    pub(crate) spf: spf::Received,
    /// SPF of the client's name, if `spf` is about MAIL FROM. RFC 7208 §2.3.
    pub(crate) helo: Option<spf::Received>,
    /// The signatures, from the top of the message; or why none could be read.
    pub(crate) dkim: Result<Vec<Verification>, HeaderError>,
    /// The author.
    pub(crate) author: Result<Address, FromError>,
    /// Whether the author is vouched for.
    pub(crate) dmarc: dmarc::Outcome,
}

/// The message that it is about.
pub(crate) struct Subject {
    pub(crate) spool: Spool,
    /// Its header section, or the first [`HEADER_BYTES_MAX`] of it.
    pub(crate) header: Vec<u8>,
    pub(crate) size_bytes: u64,
}

/// What else is needed.
pub(crate) struct Circumstances<'a> {
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Our name.
    pub(crate) hostname: &'a Domain,
    pub(crate) now: UnixSeconds,
    /// Any number, taken at random.
    pub(crate) chance: u32,
    /// SPF of MAIL FROM, if it is known already.
    pub(crate) spf: Option<spf::Received>,
}

/// Finds out all it can. Gives the spool and the header back.
///
/// Memory does not depend on the size of the message.
///
/// # Errors
///
/// If the message cannot be read.
pub(crate) async fn gather(
    sender: Sender,
    subject: Subject,
    circumstances: Circumstances<'_>,
) -> io::Result<(Spool, Vec<u8>, Facts)> {
    let Circumstances { resolver, hostname, now, chance, spf } = circumstances;
    let resolver = Bounded::new(resolver, FACTS_WAIT);
    let author = author(&subject.header);
    let args = sender.spf_args(hostname, now);
    let mail_from = async {
        match spf {
            Some(known) => known,
            None => spf::check(&resolver, &args).await,
        }
    };
    let of_helo = async {
        args.mail_from?;
        Some(spf::check(&resolver, &args.of_helo()).await)
    };
    let ((iprev, iprev_took), (spf, spf_took), helo, (signatures, dkim_took)) = tokio::join!(
        Box::pin(timed(iprev::check(&resolver, sender.ip))),
        Box::pin(timed(mail_from)),
        Box::pin(of_helo),
        Box::pin(timed(check_signatures(&resolver, subject, now))),
    );
    let (spool, header, dkim) = signatures?;
    mailauth::iprev(iprev.status.as_str(), iprev_took);
    mailauth::spf(spf.status.as_str(), spf_took);
    measure::signatures(dkim.as_deref().unwrap_or_default(), dkim_took);
    let identifiers = identifiers(dkim.as_deref().unwrap_or_default());
    let dmarc = dmarc::Args {
        author: author.as_ref().map(|author| &author.domain).map_err(|error| *error),
        spf: Identifier::from_spf(&spf),
        dkim: &identifiers,
        method: dmarc::Method::TreeWalk,
        chance,
    };
    let (dmarc, took) = Box::pin(timed(dmarc::verify(&resolver, &dmarc))).await;
    measure::dmarc(&dmarc, took);
    Ok((spool, header, Facts { sender, iprev, spf, helo, dkim, author, dmarc }))
}

/// Finds out whether the client may use MAIL FROM, before there is a message.
pub(crate) async fn check_sender(
    sender: &Sender,
    resolver: Arc<dyn Resolver>,
    hostname: &Domain,
    now: UnixSeconds,
) -> spf::Received {
    let resolver = Bounded::new(resolver, FACTS_WAIT);
    Box::pin(spf::check(&resolver, &sender.spf_args(hostname, now))).await
}

/// The author, by the parser that everything else uses too. RFC 5322 §3.6.2.
///
/// Several From fields, several addresses, groups and fields without an address have no author, and
/// so no DMARC policy and no reputation: mail that different programs would show as from different
/// people is from nobody. Neither has a header that was cut: it may go on with another From.
fn author(header: &[u8]) -> Result<Address, FromError> {
    let author = mox_mime::from_address(header)?;
    whole(header).map(|_| author).map_err(|_| FromError::ManyFields)
}

/// The header section, unless only its start was kept.
fn whole(header: &[u8]) -> Result<&[u8], HeaderError> {
    if header.len() < HEADER_BYTES_MAX { Ok(header) } else { Err(HeaderError::TooLarge) }
}

/// The results of the signatures, or why none could be read.
type Signatures = Result<Vec<Verification>, HeaderError>;

/// Checks the signatures: their keys are looked up while the body is read.
async fn check_signatures(
    resolver: &Bounded,
    subject: Subject,
    now: UnixSeconds,
) -> io::Result<(Spool, Vec<u8>, Signatures)> {
    let Subject { spool, header, size_bytes } = subject;
    let is_quick = header.len() as u64 <= HASHED_AT_ONCE_BYTES_MAX;
    let work = move || {
        let begun = begin(&header, now);
        (header, begun)
    };
    let (header, begun) = if is_quick { work() } else { blocking(work).await };
    let Begun { verifier, hashes, body_at } = match begun {
        Ok(begun) => begun,
        Err(error) => return Ok((spool, header, Err(error))),
    };
    let hashed = hash(spool, body_at, size_bytes, hashes);
    let (keys, hashed) = tokio::join!(Keys::look_up(resolver, verifier.key_names()), hashed);
    let (spool, digests) = hashed?;
    Ok((spool, header, Ok(verifier.finish(&keys, &digests))))
}

/// Signatures whose header is hashed.
struct Begun {
    verifier: Verifier,
    hashes: BodyHashes,
    /// Where the body begins in the message.
    body_at: u64,
}

fn begin(header: &[u8], now: UnixSeconds) -> Result<Begun, HeaderError> {
    let section = whole(header).and_then(Header::parse)?;
    let mut hashes = BodyHashes::new();
    let verifier = Verifier::new(&section, &mut hashes, now);
    let body_at = header.len().saturating_sub(section.body(header).len()) as u64;
    Ok(Begun { verifier, hashes, body_at })
}

/// Hashes the body as the signatures want it.
async fn hash(
    mut spool: Spool,
    body_at: u64,
    size_bytes: u64,
    mut hashes: BodyHashes,
) -> io::Result<(Spool, BodyDigests)> {
    if hashes.is_unused() {
        return Ok((spool, hashes.finish()));
    }
    let is_quick = spool.is_in_memory() && size_bytes <= HASHED_AT_ONCE_BYTES_MAX;
    let work = move || {
        let reader = spool.reader()?;
        reader.seek(SeekFrom::Start(body_at))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => hashes.update(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((spool, hashes.finish()))
    };
    if is_quick { work() } else { blocking(work).await }
}

/// Whom the signatures speak for. Those that failed are left out: only so many are looked at, and
/// anybody can add some in front.
fn identifiers(verifications: &[Verification]) -> Vec<Identifier<'_>> {
    let mut found: Vec<_> = verifications.iter().filter_map(identifier).collect();
    // Those that pass decide; what may pass later only softens.
    found.sort_by_key(|identifier| identifier.result != Authenticated::Pass);
    found
}

fn identifier(verification: &Verification) -> Option<Identifier<'_>> {
    let result = match verification.status {
        Status::Pass => Authenticated::Pass,
        Status::TempError => Authenticated::TempError,
        _ => return None,
    };
    Some(Identifier { domain: &verification.signature.as_ref()?.domain, result })
}

impl Facts {
    /// Logs what was found out.
    pub(crate) fn log(&self, cid: u64) {
        let (iprev, spf) = (self.iprev.status.as_str(), self.spf.status.as_str());
        let helo = self.helo.as_ref().map(|helo| helo.status.as_str());
        let dkim: Vec<_> = self.dkim.iter().flatten().map(|found| found.status.name()).collect();
        let (dkim, dmarc) = (dkim.join(" "), self.dmarc.status.as_str());
        let author = self.author.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::info!(cid, %author, iprev, spf, helo, %dkim, dmarc, "sender examined");
        if let Some(explanation) = &self.spf.explanation {
            tracing::info!(cid, %explanation, "spf explanation");
        }
    }

    /// Whether the client may use MAIL FROM. RFC 7208 §2.6.3.
    pub(crate) fn has_proven_sender(&self) -> bool {
        self.spf.identity == spf::Identity::MailFrom && self.spf.status == spf::Status::Pass
    }

    /// The name of the client for people: the one that leads back to its address, else the first
    /// that it has.
    pub(crate) fn remote_name(&self) -> Option<Domain> {
        self.iprev.name.as_ref().or_else(|| self.iprev.names.first())?.to_domain()
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::Name;

    use super::*;
    use fixture::{facts, signed};

    #[test]
    fn a_client_is_called_by_the_name_that_leads_back() {
        let name = |text: &str| Name::parse(text).unwrap();
        let mut facts = facts("a@client.example");
        assert_eq!(facts.remote_name(), None);
        facts.iprev.names = vec![name("a.example"), name("b.example")];
        assert_eq!(facts.remote_name().unwrap().ascii(), "a.example");
        facts.iprev.name = Some(name("b.example"));
        assert_eq!(facts.remote_name().unwrap().ascii(), "b.example");
        // A name that is no domain.
        facts.iprev.name = Some(Name::root());
        assert_eq!(facts.remote_name(), None);
    }

    /// Attack: signatures that fail, put in front of one that passes.
    #[test]
    fn signatures_that_pass_come_first_and_others_do_not_count() {
        let key = "v=DKIM1; k=ed25519; p=AAAA";
        let found = [
            signed("late.example", Status::TempError, "", key),
            signed("bad.example", Status::Fail, "", key),
            signed("good.example", Status::Pass, "", key),
        ];
        let names: Vec<_> = identifiers(&found).iter().map(|one| one.domain.ascii()).collect();
        assert_eq!(names, ["good.example", "late.example"]);
    }

    /// RFC 5322 §3.6.2: a header that goes on where we stopped may have another author.
    #[test]
    fn a_header_that_was_cut_has_no_author() {
        let mut header = b"From: a@client.example\r\nX: ".to_vec();
        assert!(author(&header).is_ok());
        header.resize(HEADER_BYTES_MAX - 1, b'x');
        assert!(author(&header).is_ok());
        header.push(b'x');
        assert_eq!(author(&header), Err(FromError::ManyFields));
    }
}
