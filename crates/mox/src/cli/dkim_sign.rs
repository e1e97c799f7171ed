//! `mox dkim sign`.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use mox_base::{Clock as _, Domain, UnixSeconds};
use mox_config::{Config, Text};
use mox_mailauth::dkim::{
    BodyHashes, Canonicalization, Header, Identity, PrivateKey, Selector, Signer, Signing,
};
use mox_net::SystemClock;

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
    config: &Config,
    message: &mut MessageFile<R>,
    now: UnixSeconds,
) -> Result<String> {
    let section = message.header().to_vec();
    let author = mox_mime::from_address(&section)?;
    let header = Header::parse(&section)?;
    let signings = signings(config, &author.domain)?;
    let identity = config.canonical_address(&author).unwrap_or_else(|| author.clone());
    let identity =
        Identity { localpart: identity.localpart.as_str().to_owned(), domain: identity.domain };
    let mut bodies = BodyHashes::new();
    let domain = &author.domain;
    let signer = Signer::new(&header, &mut bodies, domain, Some(&identity), &signings, now)?;
    message.read_body(|piece| bodies.update(piece))?;
    Ok(signer.finish(&bodies.finish())?)
}

/// How a domain of ours signs.
fn signings(config: &Config, domain: &Domain) -> Result<Vec<Signing>> {
    let settings = config.dynamic.domains.get(&Text::from(domain.clone()));
    let settings = settings.ok_or_else(|| anyhow!("{domain} is not in the configuration"))?;
    if settings.dkim.sign.is_empty() {
        bail!("{domain} has no selectors to sign with");
    }
    let mut signings = Vec::new();
    for name in &settings.dkim.sign {
        let selector = settings.dkim.selectors.get(name);
        let selector = selector.ok_or_else(|| anyhow!("there is no selector {name:?}"))?;
        signings.push(signing(config, name, selector)?);
    }
    Ok(signings)
}

/// How one selector signs.
fn signing(config: &Config, name: &str, settings: &mox_config::Selector) -> Result<Signing> {
    let path = config.path(&settings.private_key_file);
    let pem = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let key = PrivateKey::from_pem(&pem).with_context(|| format!("read {}", path.display()))?;
    let selector = Selector::parse(name).with_context(|| format!("selector {name:?}"))?;
    let mut signing = Signing::new(selector, Arc::new(key));
    let form = |is_relaxed| match is_relaxed {
        true => Canonicalization::Relaxed,
        false => Canonicalization::Simple,
    };
    signing.header_form = form(settings.canonicalization.header_relaxed);
    signing.body_form = form(settings.canonicalization.body_relaxed);
    if !settings.headers.is_empty() {
        signing.names.clone_from(&settings.headers);
    }
    signing.is_sealed = !settings.dont_seal_headers;
    let lifetime_secs = u32::try_from(settings.expiration.0.as_secs()).unwrap_or(u32::MAX);
    signing.lifetime_secs = Some(lifetime_secs).filter(|secs| *secs > 0);
    Ok(signing)
}

#[cfg(test)]
mod tests {
    use mox_config::{DomainSettings, Dynamic, Listener, Static};
    use mox_dns::FakeDns;
    use mox_mailauth::dkim;

    use super::super::lookups::tests::now;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    /// A domain that signs with two keys, of which files are in the directory.
    fn config(dir: &std::path::Path) -> Config {
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
        Config::new(dir, &statics, &dynamic).unwrap()
    }

    fn signed(config: &Config, message: &str) -> Result<String> {
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
