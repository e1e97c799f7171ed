//! `mox dkim`, all but signing.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use mox_base::{Clock as _, Domain, UnixSeconds};
use mox_dns::Resolver;
use mox_mailauth::dkim::{
    self, BodyHashes, Header, KeyError, Keys, PEM_BYTES_MAX, PrivateKey, Selector, Verification,
    Verifier,
};
use mox_net::SystemClock;

use super::dkim_sign::Sign;
use super::lookups::{dnssec, domain, line, look_up};
use super::message_file::MessageFile;
use super::{Global, print};

/// Signatures of domains over messages: DKIM.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Dkim {
    Gened25519(GenEd25519),
    Genrsa(GenRsa),
    Txt(Txt),
    Lookup(Lookup),
    Verify(Verify),
    Sign(Sign),
}

/// Make an Ed25519 key for DKIM, and print it.
///
/// Prints PKCS #8 in PEM, for a file that PrivateKeyFile in the configuration names. Not all
/// receivers know Ed25519: sign with an RSA key too.
#[derive(Debug, Args)]
pub(super) struct GenEd25519 {}

/// Make an RSA key of 2048 bits for DKIM, and print it.
///
/// Prints PKCS #8 in PEM, for a file that PrivateKeyFile in the configuration names.
#[derive(Debug, Args)]
pub(super) struct GenRsa {}

/// Print the DNS record for the private key on standard input.
///
/// Prints the text of a TXT record for SELECTOR._domainkey.DOMAIN, in strings as zone files have
/// them: whoever reads the record joins them.
#[derive(Debug, Args)]
pub(super) struct Txt {}

/// Look up the record with a key of a domain.
///
/// Prints the record as it stands, what it holds, and whether it was validated by DNSSEC.
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Name of the key: what a signature has in s=.
    #[arg(value_parser = selector)]
    selector: Selector,
    /// Domain of the key: what a signature has in d=.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Check the signatures of a message.
///
/// Prints for each signature its status, why it is not good, the record with the key, and the
/// signature as it is understood.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// File with the message.
    message: PathBuf,
}

fn selector(text: &str) -> Result<Selector, String> {
    Selector::parse(text).map_err(|error| error.to_string())
}

impl Dkim {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let text = match self {
            Self::Gened25519(GenEd25519 {}) => {
                PrivateKey::generate_ed25519()?.to_pem(Some("Ed25519 private key for DKIM"))?
            }
            Self::Genrsa(GenRsa {}) => {
                PrivateKey::generate_rsa()?.to_pem(Some("RSA private key for DKIM"))?
            }
            Self::Txt(Txt {}) => txt(io::stdin().lock())?,
            Self::Lookup(Lookup { selector, domain }) => {
                look_up(async |resolver| lookup(resolver, &selector, &domain).await)??
            }
            Self::Verify(Verify { message }) => {
                let file = File::open(&message);
                let file = file.with_context(|| format!("open {}", message.display()))?;
                let mut message = MessageFile::open(file)?;
                let now = SystemClock::new().now();
                look_up(async |resolver| verify(resolver, &mut message, now).await)??
            }
            Self::Sign(command) => return command.run(global),
        };
        print(&text)
    }
}

/// The record for a private key.
fn txt(source: impl Read) -> Result<String> {
    let mut pem = String::new();
    // One more, so that a file that is too large is told from one of the largest size.
    let room = u64::try_from(PEM_BYTES_MAX + 1).unwrap_or(u64::MAX);
    source.take(room).read_to_string(&mut pem).context("read standard input")?;
    let record = PrivateKey::from_pem(&pem).context("standard input")?.record()?;
    // Base64 and words of the standard: nothing in it has to be escaped. RFC 1035 §5.1.
    let strings: Vec<String> =
        record.txt_chunks().iter().map(|chunk| format!("\"{chunk}\"")).collect();
    Ok(format!("{}\n", strings.join(" ")))
}

/// The record with a key.
async fn lookup(resolver: &dyn Resolver, selector: &Selector, domain: &Domain) -> Result<String> {
    let name = selector.key_name(domain).context("name of the key")?;
    let key = match dkim::look_up(resolver, &name).await {
        Ok(key) => key,
        Err(KeyError::NotFound(Some(security))) => {
            bail!("no key at {} ({})", name.as_str(), dnssec(security))
        }
        Err(error) => bail!("{}: {error}", name.as_str()),
    };
    let mut text = line("record", Some(String::from_utf8_lossy(&key.text)));
    let kind = match &key.public_key {
        Ok(dkim::PublicKey::Rsa { bits, .. }) => format!("rsa of {bits} bits"),
        Ok(_) => key.record.key_type.name().to_owned(),
        Err(_) if key.record.is_revoked() => "revoked".to_owned(),
        Err(error) => format!("{}, {error}", key.record.key_type.name()),
    };
    text.push_str(&line("key", Some(kind)));
    text.push_str(&format!("({})\n", dnssec(key.security)));
    Ok(text)
}

/// What becomes of the signatures of a message.
async fn verify<R: Read>(
    resolver: &dyn Resolver,
    message: &mut MessageFile<R>,
    now: UnixSeconds,
) -> Result<String> {
    let section = message.header().to_vec();
    let header = Header::parse(&section).context("read message")?;
    let mut bodies = BodyHashes::new();
    let verifier = Verifier::new(&header, &mut bodies, now);
    if !bodies.is_unused() {
        message.read_body(|piece| bodies.update(piece))?;
    }
    let keys = Keys::look_up(resolver, verifier.key_names()).await;
    let results = verifier.finish(&keys, &bodies.finish());
    if results.is_empty() {
        return Ok("no signatures\n".to_owned());
    }
    Ok(results.iter().map(report).collect::<Vec<_>>().join("\n"))
}

/// What became of one signature.
fn report(result: &Verification) -> String {
    let mut text = format!("status: {}", result.status);
    if let Some(security) = result.security {
        text.push_str(&format!(" ({})", dnssec(security)));
    }
    text.push('\n');
    text.push_str(&line("error", result.reason.as_ref()));
    let record = result.key.as_ref().map(|key| String::from_utf8_lossy(&key.text));
    text.push_str(&line("record", record));
    if let Some(signature) = &result.signature {
        // It is folded, and shown so.
        text.push_str(&signature.to_field().replace("\r\n", "\n"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_dns::FakeDns;
    use mox_mailauth::dkim::{Signing, TXT_CHUNK_BYTES, sign};

    use super::super::lookups::tests::now;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    #[test]
    fn keys_give_records() {
        let key = PrivateKey::generate_ed25519().unwrap();
        let line = txt(key.to_pem(Some("x")).unwrap().as_bytes()).unwrap();
        assert_eq!(line, format!("\"{}\"\n", key.record().unwrap()));
        let rsa = PrivateKey::generate_rsa().unwrap();
        let line = txt(rsa.to_pem(None).unwrap().as_bytes()).unwrap();
        let strings: Vec<_> =
            line.trim_end().split(' ').map(|text| text.trim_matches('"')).collect();
        assert_eq!(strings.concat(), rsa.record().unwrap().to_string());
        assert!(strings.len() > 3 && strings.iter().all(|text| text.len() <= TXT_CHUNK_BYTES));
        assert!(txt(&b"no key"[..]).is_err());
        assert!(txt(&*vec![b'-'; PEM_BYTES_MAX + 1]).is_err());
    }

    #[track_caller]
    fn check_lookup(text: &str, want: &str) {
        let mut dns = FakeDns::new();
        dns.add_txt("s._domainkey.a.example", text).sign("a.example");
        let (selector, domain) = (selector("s").unwrap(), domain("a.example").unwrap());
        let got = match now(lookup(&dns, &selector, &domain)) {
            Ok(text) => text.lines().skip(1).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want, "{text}");
    }

    /// RFC 6376 §3.6.1, RFC 8463 §4.
    #[test]
    fn keys_are_looked_up() {
        let record = PrivateKey::generate_rsa().unwrap().record().unwrap().to_string();
        check_lookup(&record, "key: rsa of 2048 bits (with dnssec)");
        let ed25519 = "k=ed25519; p=BxhQ3E1jwtBAAcnxADFjlSn4xoyVFdBMOdEw/WuONMI=";
        check_lookup(ed25519, "key: ed25519 (with dnssec)");
        check_lookup("v=DKIM1; p=", "key: revoked (with dnssec)");
        let malformed = "s._domainkey.a.example: malformed DKIM record: missing tag p=";
        check_lookup("v=DKIM1", malformed);
        let (selector, domain) = (selector("t").unwrap(), domain("a.example").unwrap());
        let error = now(lookup(&FakeDns::new(), &selector, &domain)).unwrap_err().to_string();
        assert_eq!(error, "no key at t._domainkey.a.example (without dnssec)");
    }

    #[track_caller]
    fn check(message: &str, want: &[&str]) {
        let mut dns = FakeDns::new();
        let key = PrivateKey::from_pem(include_str!("../../../mailauth/testdata/ed25519.pem"));
        let key = Arc::new(key.unwrap());
        dns.add_txt("s._domainkey.a.example", &key.record().unwrap().to_string());
        let signing = Signing::new(selector("s").unwrap(), key);
        let own = domain("a.example").unwrap();
        let signed = "From: u@a.example\r\nSubject: x\r\n\r\nbody\r\n";
        let fields = sign(signed.as_bytes(), &own, None, &[signing], NOW).unwrap();
        let message = message.replace("SIGNATURE\r\n", &fields).replace("SIGNED", signed);
        let mut message = MessageFile::open(message.as_bytes()).unwrap();
        let text = now(verify(&dns, &mut message, NOW)).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with(['\t', 'r'])).collect();
        assert_eq!(lines, want);
    }

    /// RFC 6376 §6.1.
    #[test]
    fn signatures_are_checked() {
        let field = "DKIM-Signature: v=1; d=a.example; s=s; a=ed25519-sha256; t=1750000000;";
        check("SIGNATURE\r\nSIGNED", &["status: pass (without dnssec)", field]);
        check(
            "DKIM-Signature: v=1\r\nSIGNATURE\r\nSIGNED\r\nmore",
            &[
                "status: permerror",
                "error: malformed signature: missing tag d=",
                "",
                "status: fail (without dnssec)",
                "error: body hash does not match",
                field,
            ],
        );
        check("SIGNED", &["no signatures"]);
    }
}
