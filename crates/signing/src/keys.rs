//! The keys of domains, as the configuration has them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use mox_base::{Address, Domain, UnixSeconds};
use mox_config::{Config, Text};
use mox_mailauth::dkim::{
    Algorithm, Canonicalization, Identity, PEM_BYTES_MAX, PrivateKey, Selector, Signing, sign,
};
use parking_lot::Mutex;

use crate::SigningError;

/// How one domain signs.
#[derive(Clone, Debug)]
pub struct DomainKeys {
    /// The domain that answers for what is signed, `d=`.
    pub domain: Domain,
    /// With which keys, at least one.
    pub signings: Arc<[Signing]>,
}

/// The keys of all domains of a configuration, each read once.
///
/// A file that changes while the configuration stays the same is not looked at again.
#[derive(Debug, Default)]
pub struct SigningKeys(Mutex<Option<Known>>);

/// What was read for one snapshot.
#[derive(Debug)]
struct Known {
    /// Kept, so that its address is that of no other.
    config: Arc<Config>,
    domains: HashMap<Domain, Arc<[Signing]>>,
}

impl SigningKeys {
    /// None read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How messages of a domain are signed; `None` if it is not ours, or signs nothing. Blocks on
    /// files the first time.
    ///
    /// # Errors
    ///
    /// If a key cannot be read: then nothing is signed, rather than by some of the keys.
    pub fn of(
        &self,
        config: &Arc<Config>,
        domain: &Domain,
    ) -> Result<Option<DomainKeys>, SigningError> {
        let Some(settings) = config.dynamic.domains.get(&Text::from(domain.clone())) else {
            return Ok(None);
        };
        if settings.dkim.sign.is_empty() {
            return Ok(None);
        }
        // Files are read under the lock: whoever else asks wants the same ones.
        let mut known = self.0.lock();
        let known = match &mut *known {
            Some(known) if Arc::ptr_eq(&known.config, config) => known,
            outdated => {
                outdated.insert(Known { config: Arc::clone(config), domains: HashMap::new() })
            }
        };
        let signings = match known.domains.get(domain) {
            Some(signings) => Arc::clone(signings),
            None => {
                let names = settings.dkim.sign.iter();
                let signings: Result<Arc<[Signing]>, _> = names
                    .map(|name| {
                        let selector = settings.dkim.selectors.get(name);
                        let selector =
                            selector.ok_or_else(|| SigningError::Selector(name.clone()))?;
                        read(config, name, selector)
                    })
                    .collect();
                let signings = signings?;
                known.domains.insert(domain.clone(), Arc::clone(&signings));
                signings
            }
        };
        Ok(Some(DomainKeys { domain: domain.clone(), signings }))
    }

    /// How messages of a domain are signed, by itself or the nearest domain above it that is ours and
    /// signs. Blocks on files the first time.
    ///
    /// # Errors
    ///
    /// As [`SigningKeys::of`].
    pub fn nearest(
        &self,
        config: &Arc<Config>,
        domain: &Domain,
    ) -> Result<Option<DomainKeys>, SigningError> {
        let mut name = domain.ascii();
        loop {
            let found = match Domain::parse(name) {
                Ok(domain) => self.of(config, &domain)?,
                Err(_) => None,
            };
            match (found, name.split_once('.')) {
                (Some(keys), _) => return Ok(Some(keys)),
                (None, Some((_, above))) => name = above,
                (None, None) => return Ok(None),
            }
        }
    }
}

impl DomainKeys {
    /// Signs a message that is in memory: returns the fields to be put in front of it. Takes about a
    /// millisecond for each RSA key.
    ///
    /// - `author`: the address in From.
    ///
    /// # Errors
    ///
    /// If the message is none that can be signed.
    pub fn sign(
        &self,
        config: &Config,
        author: &Address,
        message: &[u8],
        now: UnixSeconds,
    ) -> Result<String, SigningError> {
        let identity = identity(config, author);
        let fields = sign(message, &self.domain, Some(&identity), &self.signings, now)?;
        for signing in self.signings.iter() {
            let is_rsa = signing.key.algorithm() == Algorithm::RsaSha256;
            mox_metrics::mailauth::dkim_signed(if is_rsa { "rsa" } else { "ed25519" });
        }
        Ok(fields)
    }
}

/// For whom a domain signs what an author wrote, `i=`: the address without what a separator adds to it.
/// RFC 6376 §3.5.
#[must_use]
pub fn identity(config: &Config, author: &Address) -> Identity {
    let address = config.canonical_address(author).unwrap_or_else(|| author.clone());
    Identity { localpart: address.localpart.as_str().to_owned(), domain: address.domain }
}

/// Reads a key from its file.
///
/// # Errors
///
/// If the file cannot be read or holds no key that can sign.
pub fn read_key(path: &Path) -> Result<PrivateKey, SigningError> {
    let mut pem = String::new();
    let bytes_max = PEM_BYTES_MAX as u64 + 1;
    let text = File::open(path).and_then(|file| file.take(bytes_max).read_to_string(&mut pem));
    if let Err(source) = text {
        return Err(SigningError::Read { path: path.to_owned(), source });
    }
    PrivateKey::from_pem(&pem).map_err(|source| SigningError::Key { path: path.to_owned(), source })
}

/// How one selector signs.
fn read(
    config: &Config,
    name: &str,
    settings: &mox_config::Selector,
) -> Result<Signing, SigningError> {
    let key = read_key(&config.path(&settings.private_key_file))?;
    let selector = Selector::parse(name).map_err(|_| SigningError::Selector(name.to_owned()))?;
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
    use std::fs;

    use mox_config::{DomainSettings, Dynamic, Listener, Static};
    use mox_dns::FakeDns;
    use mox_mailauth::dkim;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    /// A domain that signs with two keys, of which files are in the directory, and one that does not.
    fn config(dir: &Path) -> Arc<Config> {
        let host = Domain::parse("mx.a.example").unwrap();
        let address = Address::parse("u@a.example").unwrap();
        let mut statics = Static::minimal("data", &host, "u");
        let ips = vec!["127.0.0.1".parse().unwrap()];
        statics.listeners.insert("public".to_owned(), Listener { ips, ..Listener::default() });
        let mut dynamic = Dynamic::minimal("u", &address);
        let mut settings = DomainSettings {
            localpart_catchall_separator: "+".to_owned(),
            ..DomainSettings::default()
        };
        for (name, is_relaxed) in [("one", false), ("two", true)] {
            let key = match is_relaxed {
                false => PrivateKey::generate_ed25519(),
                true => PrivateKey::generate_rsa(),
            };
            fs::write(dir.join(name), key.unwrap().to_pem(None).unwrap()).unwrap();
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
        let plain = Domain::parse("plain.example").unwrap();
        dynamic.domains.insert(plain.into(), DomainSettings::default());
        Arc::new(Config::new(dir, &statics, &dynamic).unwrap())
    }

    fn of(keys: &SigningKeys, config: &Arc<Config>, domain: &str) -> Option<DomainKeys> {
        keys.of(config, &Domain::parse(domain).unwrap()).unwrap()
    }

    /// RFC 6376 §5, §3.5.
    #[test]
    fn messages_are_signed_as_configured() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let keys = of(&SigningKeys::new(), &config, "a.example").unwrap();
        let message = "From: U <u+x@a.example>\r\nSubject: x\r\n\r\nbody \r\n";
        let author = Address::parse("u+x@a.example").unwrap();
        let fields = keys.sign(&config, &author, message.as_bytes(), NOW).unwrap();
        let mut dns = FakeDns::new();
        for name in ["one", "two"] {
            let pem = fs::read_to_string(dir.path().join(name)).unwrap();
            let record = PrivateKey::from_pem(&pem).unwrap().record().unwrap().to_string();
            dns.add_txt(&format!("{name}._domainkey.a.example"), &record);
        }
        let signed = format!("{fields}{message}");
        let verified = futures_util::future::FutureExt::now_or_never(dkim::verify(
            &dns,
            signed.as_bytes(),
            NOW,
        ));
        let reasons: Vec<_> =
            verified.unwrap().unwrap().iter().map(|result| result.reason.clone()).collect();
        assert_eq!(reasons, [None, None]);
        for part in ["a=ed25519-sha256;", "a=rsa-sha256;", "s=one;", "i=u@a.example;"] {
            assert!(fields.contains(part), "{part} missing in {fields}");
        }
        assert!(fields.contains("c=relaxed/relaxed;") && fields.contains("h=From:Subject;"));
        assert!(fields.contains(&format!("x={};", NOW.0 + 72 * 3600)));
    }

    #[test]
    fn keys_are_read_once_for_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let first = config(dir.path());
        let keys = SigningKeys::new();
        let read = of(&keys, &first, "a.example").unwrap();
        fs::remove_file(dir.path().join("two")).unwrap();
        let again = of(&keys, &first, "a.example").unwrap();
        assert!(Arc::ptr_eq(&read.signings, &again.signings));
        // Another configuration has other keys.
        let second = config(dir.path());
        let other = of(&keys, &second, "a.example").unwrap();
        assert_ne!(read.signings[0].key.record(), other.signings[0].key.record());
        fs::remove_file(dir.path().join("two")).unwrap();
        let domain = Domain::parse("a.example").unwrap();
        let gone = keys.of(&first, &domain).unwrap_err();
        assert!(matches!(gone, SigningError::Read { .. }), "{gone}");
        fs::write(dir.path().join("two"), "nothing").unwrap();
        let bad = keys.of(&first, &domain).unwrap_err();
        assert!(matches!(bad, SigningError::Key { .. }), "{bad}");
    }

    #[test]
    fn a_domain_above_signs_for_those_below() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let keys = SigningKeys::new();
        let nearest = |domain: &str| {
            let keys = keys.nearest(&config, &Domain::parse(domain).unwrap()).unwrap();
            keys.map(|keys| keys.domain.ascii().to_owned())
        };
        assert_eq!(nearest("a.example").as_deref(), Some("a.example"));
        assert_eq!(nearest("mx.x.a.example").as_deref(), Some("a.example"));
        for other in ["xa.example", "example", "plain.example", "b.plain.example"] {
            assert_eq!(nearest(other), None, "{other}");
        }
        let author = Address::parse("postmaster@mx.a.example").unwrap();
        let found = keys.nearest(&config, &author.domain).unwrap().unwrap();
        let message = b"From: postmaster@mx.a.example\r\n\r\nx\r\n";
        let fields = found.sign(&config, &author, message, NOW).unwrap();
        assert!(fields.contains("d=a.example;") && fields.contains("i=postmaster@mx.a.example;"));
        let other = Address::parse("u@b.example").unwrap();
        assert!(matches!(found.sign(&config, &other, message, NOW), Err(SigningError::Sign(_))));
    }
}
