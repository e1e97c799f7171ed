//! `mox dkim sign`.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use mox_base::{Clock as _, UnixSeconds};
use mox_config::Config;
use mox_mailauth::dkim::{BodyHashes, Header, Signer};
use mox_net::SystemClock;
use mox_signing::{SigningKeys, identity};

use super::message_file::MessageFile;
use super::{Global, print};

/// Sign a message with the keys of its author's domain, and print it.
///
/// The domain of the From header must be in the configuration and have selectors to sign with.
/// Prints the message with the signatures in front of it.
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// File with the message.
    message: PathBuf,
}

impl Sign {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let config = global.config()?.snapshot();
        let open = || {
            let file = File::open(&self.message);
            file.with_context(|| format!("open {}", self.message.display()))
        };
        let fields = sign(&config, &mut MessageFile::open(open()?)?, SystemClock::new().now())?;
        print(&fields)?;
        let copied = io::copy(&mut open()?, &mut io::stdout().lock());
        copied.and_then(|_| io::stdout().flush()).context("copy the message")
    }
}

/// The signatures of a message, each a field with its line end.
fn sign<R: Read>(
    config: &Arc<Config>,
    message: &mut MessageFile<R>,
    now: UnixSeconds,
) -> Result<String> {
    let section = message.header().to_vec();
    let author = mox_mime::from_address(&section)?;
    let (header, domain) = (Header::parse(&section)?, &author.domain);
    if !config.is_configured_domain(domain) {
        bail!("{domain} is not in the configuration");
    }
    let keys = SigningKeys::new().of(config, domain)?;
    let keys = keys.ok_or_else(|| anyhow!("{domain} has no selectors to sign with"))?;
    let identity = identity(config, &author);
    let mut bodies = BodyHashes::new();
    let signer = Signer::new(&header, &mut bodies, domain, Some(&identity), &keys.signings, now)?;
    message.read_body(|piece| bodies.update(piece))?;
    Ok(signer.finish(&bodies.finish())?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mox_base::Domain;
    use mox_config::{DomainSettings, Dynamic, Listener, Static};
    use mox_dns::FakeDns;
    use mox_mailauth::dkim::{self, PrivateKey};

    use super::super::lookups::tests::now;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    /// A domain that signs with two keys, of which files are in the directory.
    fn config(dir: &std::path::Path) -> Arc<Config> {
        let host = Domain::parse("mx.a.example").unwrap();
        let address = mox_base::Address::parse("u@a.example").unwrap();
        let mut statics = Static::minimal("data", &host, "u");
        let ips = vec!["127.0.0.1".parse().unwrap()];
        statics.listeners.insert("public".to_owned(), Listener { ips, ..Listener::default() });
        let mut dynamic = Dynamic::minimal("u", &address);
        let mut settings = DomainSettings::default();
        for (name, is_relaxed) in [("one", false), ("two", true)] {
            let pem = PrivateKey::generate_ed25519().unwrap().to_pem(None).unwrap();
            fs::write(dir.join(name), pem).unwrap();
            let mut selector =
                mox_config::Selector { private_key_file: name.to_owned(), ..Default::default() };
            selector.canonicalization.header_relaxed = is_relaxed;
            selector.canonicalization.body_relaxed = is_relaxed;
            if is_relaxed {
                selector.headers = vec!["From".to_owned(), "Subject".to_owned()];
                selector.dont_seal_headers = true;
                selector.expiration = "72h".parse().unwrap();
            }
            settings.dkim.selectors.insert(name.to_owned(), selector);
            settings.dkim.sign.push(name.to_owned());
        }
        dynamic.domains.insert(address.domain.into(), settings);
        Arc::new(Config::new(dir, &statics, &dynamic).unwrap())
    }

    fn signed(config: &Arc<Config>, message: &str) -> Result<String> {
        let fields = sign(config, &mut MessageFile::open(message.as_bytes())?, NOW)?;
        Ok(format!("{fields}{message}"))
    }

    /// RFC 6376 §5.
    #[test]
    fn messages_are_signed_as_configured() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let message = "From: U <u@a.example>\r\nSubject: x\r\n\r\nbody \r\n";
        let message = signed(&config, message).unwrap();
        let mut dns = FakeDns::new();
        for name in ["one", "two"] {
            let pem = fs::read_to_string(dir.path().join(name)).unwrap();
            let record = PrivateKey::from_pem(&pem).unwrap().record().unwrap().to_string();
            dns.add_txt(&format!("{name}._domainkey.a.example"), &record);
        }
        let results = now(dkim::verify(&dns, message.as_bytes(), NOW)).unwrap();
        let reasons: Vec<_> = results.iter().map(|result| result.reason.clone()).collect();
        assert_eq!(reasons, [None, None]);
        for part in ["s=one;", "i=u@a.example;", "c=relaxed/relaxed;", "h=From:Subject;"] {
            assert!(message.contains(part), "{part} missing in {message}");
        }
        assert!(message.contains(&format!("x={};", NOW.0 + 72 * 3600)));
    }

    #[test]
    fn messages_of_others_are_not_signed() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let refused = |message: &str| signed(&config, message).unwrap_err().to_string();
        let other = refused("From: u@b.example\r\n\r\n");
        assert_eq!(other, "b.example is not in the configuration");
        assert_eq!(refused("Subject: x\r\n\r\n"), "message has no From header");
        fs::remove_file(dir.path().join("two")).unwrap();
        assert!(refused("From: u@a.example\r\n\r\n").starts_with("read "));
    }
}
