//! What finding out who sent a message costs.
//!
//! Measured in this process, with DNS that answers at once: it is the work that counts, not the
//! wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::FakeDns;
use mox_mailauth::dkim::{
    self, BodyHashes, Canonicalization, Header, Keys, PrivateKey, Selector, Signing, Verifier,
};
use mox_mailauth::dmarc::{self, Identifier};
use mox_mailauth::results::{AuthenticationResults, Method, received_spf};
use mox_mailauth::{iprev, spf};
use mox_testkit::mail::Spec;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::args::Args;
use crate::proc;
use crate::run::Sizes;
use crate::table::{Figure, Target};

/// The message whose facts are found out, in bytes.
const MESSAGE_BYTES: usize = 50_000;

/// The message that is verified in pieces, in bytes.
const LARGE_BYTES: usize = 50_000_000;

/// How much of it is there at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Where [`Spec`] says that messages come from.
const DOMAIN: &str = "fixture.example";

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

/// A domain that signs with two keys, and all that is asked about it.
struct Sender {
    domain: Domain,
    address: Address,
    host: Host,
    ip: IpAddr,
    signings: [Signing; 2],
    dns: FakeDns,
}

impl Sender {
    fn new() -> Result<Self> {
        let domain = Domain::parse(DOMAIN)?;
        let mut rsa = Signing::new(Selector::parse("r")?, Arc::new(PrivateKey::generate_rsa()?));
        rsa.header_form = Canonicalization::Relaxed;
        rsa.body_form = Canonicalization::Relaxed;
        // The other form of the body: the dearest pair, since each needs a hash of its own.
        let ed25519 = Arc::new(PrivateKey::generate_ed25519()?);
        let signings = [rsa, Signing::new(Selector::parse("e")?, ed25519)];
        let mut dns = FakeDns::new();
        for signing in &signings {
            let name = signing.selector.key_name(&domain)?;
            dns.add_txt(name.as_str(), &signing.key.record()?.to_string());
        }
        dns.add_txt(DOMAIN, "v=spf1 a:web.fixture.example mx include:spf.fixture.example -all");
        dns.add_txt("spf.fixture.example", "v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 -all");
        dns.add_txt("mail.fixture.example", "v=spf1 a -all");
        dns.add_txt("_dmarc.fixture.example", "v=DMARC1; p=reject; rua=mailto:d@fixture.example");
        dns.add_ips("web.fixture.example", &["203.0.113.1"]);
        dns.add_mx(DOMAIN, 10, "mx.fixture.example")
            .add_ips("mx.fixture.example", &["203.0.113.2"]);
        dns.add_ips("mail.fixture.example", &["192.0.2.1"]);
        dns.add_ptr("192.0.2.1", "mail.fixture.example");
        Ok(Self {
            address: Address::parse("bounces@fixture.example")?,
            host: Host::Domain(Domain::parse("mail.fixture.example")?),
            ip: "192.0.2.1".parse()?,
            domain,
            signings,
            dns,
        })
    }

    fn signed(&self, message: Vec<u8>) -> Result<Vec<u8>> {
        let fields = dkim::sign(&message, &self.domain, None, &self.signings, NOW)?;
        Ok([fields.into_bytes(), message].concat())
    }

    /// All that is found out about a message, and the fields that tell it.
    async fn facts(&self, message: &[u8]) -> Result<String> {
        let Self { dns, ip, address, host, domain, .. } = self;
        let args =
            spf::Args { ip: *ip, mail_from: Some(address), helo: host, receiver: domain, now: NOW };
        let iprev = iprev::check(dns, *ip).await;
        let received = spf::check(dns, &args).await;
        let helo = spf::check(dns, &args.of_helo()).await;
        let signatures = dkim::verify(dns, message, NOW).await?;
        let author = mox_mime::from_address(message).map(|address| address.domain);
        let identifiers: Vec<_> = signatures.iter().filter_map(Identifier::from_dkim).collect();
        let dmarc = dmarc::Args {
            author: author.as_ref().map_err(|error| *error),
            spf: Identifier::from_spf(&received),
            dkim: &identifiers,
            method: dmarc::Method::TreeWalk,
            chance: 0,
        };
        let outcome = dmarc::verify(dns, &dmarc).await;
        let mut methods = vec![Method::iprev(&iprev, *ip)];
        methods.extend(signatures.iter().map(Method::dkim));
        methods.extend([Method::spf(&received), Method::spf(&helo), Method::dmarc(&outcome, &[])]);
        ensure!(
            methods.iter().all(|method| method.result == "pass") && methods.len() == 6,
            "not all is well with a good message: {methods:?}"
        );
        let results = AuthenticationResults { authserv_id: "mx.example".to_owned(), methods };
        dns.take_asked();
        Ok(results.field(false) + &received_spf(&received, &args, false))
    }

    /// Verifies a message that is never there as a whole. Returns the most memory it had over what
    /// there was before, in KiB.
    async fn verify_large(&self, prefix: &[u8], pieces: usize) -> Result<u64> {
        let pid = std::process::id();
        let before = proc::resident_kib(pid)?;
        let mut most = before;
        let header = Header::parse(prefix)?;
        let mut bodies = BodyHashes::new();
        let verifier = Verifier::new(&header, &mut bodies, NOW);
        let piece = piece();
        for number in 0..pieces {
            bodies.update(&piece);
            if number % 16 == 0 {
                most = most.max(proc::resident_kib(pid)?);
            }
        }
        let keys = Keys::look_up(&self.dns, verifier.key_names()).await;
        let results = verifier.finish(&keys, &bodies.finish());
        ensure!(
            results.len() == 2 && results.iter().all(|one| one.reason.is_none()),
            "{results:?}"
        );
        Ok(most.max(proc::resident_kib(pid)?) - before)
    }

    /// The header of a large message, with its signatures.
    fn large_header(&self, pieces: usize) -> Result<Vec<u8>> {
        let header = b"From: a@fixture.example\r\nSubject: large\r\n\r\n";
        let section = Header::parse(header)?;
        let mut bodies = BodyHashes::new();
        let signer =
            dkim::Signer::new(&section, &mut bodies, &self.domain, None, &self.signings, NOW)?;
        let piece = piece();
        for _ in 0..pieces {
            bodies.update(&piece);
        }
        Ok([signer.finish(&bodies.finish())?.as_bytes(), header].concat())
    }
}

/// A message without signatures: those of [`Spec`] only look like some.
fn plain(size_bytes: usize) -> Vec<u8> {
    let message = Spec { size_bytes, ..Spec::number(1) }.build();
    let fields = mox_mime::fields(&message).filter(|field| !field.is("DKIM-Signature"));
    let lines = fields.filter_map(|field| message.get(field.lines()));
    let mut plain = lines.collect::<Vec<_>>().concat();
    let body = mox_mime::fields(&message).last().map_or(0, |field| field.lines().end);
    plain.extend_from_slice(message.get(body..).unwrap_or_default());
    plain
}

/// A part of a body, lines of base64.
fn piece() -> Vec<u8> {
    let line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n";
    line.iter().copied().cycle().take(PIECE_BYTES - PIECE_BYTES % line.len()).collect()
}

/// The processors' time that this process has used.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// Measures the facts of a message, and the memory that a large one takes.
pub(crate) fn measure(_args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let sender = Sender::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let message = sender.signed(plain(MESSAGE_BYTES))?;
    let (started, before) = (Instant::now(), cpu()?);
    let mut count = 0.0;
    while started.elapsed() < sizes.run {
        runtime.block_on(sender.facts(&message))?;
        count += 1.0;
    }
    let facts_ms = cpu()?.saturating_sub(before).as_secs_f64() * 1e3 / count;
    let (started, before) = (Instant::now(), cpu()?);
    let mut signed = 0.0;
    while started.elapsed() < sizes.run {
        dkim::sign(&message, &sender.domain, None, &sender.signings, NOW)?;
        signed += 1.0;
    }
    let sign_ms = cpu()?.saturating_sub(before).as_secs_f64() * 1e3 / signed;
    let pieces = LARGE_BYTES.div_ceil(piece().len());
    let header = sender.large_header(pieces)?;
    let before = cpu()?;
    let grown_kib = runtime.block_on(sender.verify_large(&header, pieces))?;
    let large_ms = cpu()?.saturating_sub(before).as_secs_f64() * 1e3;
    let kb = MESSAGE_BYTES / 1_000;
    let mb = LARGE_BYTES / 1_000_000;
    let facts = format!("facts of a message of {kb} KB, 2 signatures, CPU");
    let grown = format!("verification of {mb} MB, 2 signatures, memory");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let grown_kib = grown_kib as f64;
    Ok(vec![
        Figure::new(facts, facts_ms, "ms").target(Target::AtMost(3.0)),
        Figure::new(format!("signing {kb} KB with 2 keys, CPU"), sign_ms, "ms"),
        Figure::new(grown, grown_kib, "KiB").target(Target::AtMost(1_024.0)),
        Figure::new(format!("verification of {mb} MB, 2 signatures, CPU"), large_ms, "ms"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_message_passes_every_method() {
        let sender = Sender::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let message = sender.signed(plain(5_000)).unwrap();
        let fields = runtime.block_on(sender.facts(&message)).unwrap();
        assert_eq!(fields.matches("=pass").count(), 6, "{fields}");
        let changed = [&message[..], b"more"].concat();
        assert!(runtime.block_on(sender.facts(&changed)).is_err());
        let header = sender.large_header(3).unwrap();
        runtime.block_on(sender.verify_large(&header, 3)).unwrap();
        assert!(runtime.block_on(sender.verify_large(&header, 4)).is_err());
    }
}
