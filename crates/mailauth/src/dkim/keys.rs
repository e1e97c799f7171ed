//! Looking public keys up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::join_all;
use mox_dns::{DnsError, Found, Lookups as _, Name, Resolver, Security};

use super::record::{KeyRecord, RecordError};
use super::{PublicKey, PublicKeyError};

/// The largest number of texts of one name that are looked at.
pub const KEY_TEXTS_MAX: usize = 20;

/// A key that was found.
#[derive(Clone, Debug)]
pub struct Key {
    /// The record, as read.
    pub record: KeyRecord,
    /// The record, as it stands.
    pub text: Vec<u8>,
    /// Whether DNSSEC vouches for it.
    pub security: Security,
    /// The key in it, ready for use, unless it is revoked or malformed.
    pub public_key: Result<PublicKey, PublicKeyError>,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing is there, or nothing that could be a key.
    NotFound(Option<Security>),
    /// DNS gave no answer that can be used; later it may. Also if the answer is bogus.
    Dns(DnsError),
    /// More than one key, so that it is not known which is meant. RFC 6376 §3.6.2.2 leaves open
    /// what is to be done.
    Several,
    /// A record that is meant as a key, and is not one.
    Malformed(RecordError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(_) => f.write_str("no key found"),
            Self::Dns(error) => write!(f, "looking up the key: {error}"),
            Self::Several => f.write_str("more than one key found"),
            Self::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyError {}

impl KeyError {
    /// Whether looking again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Dns(_) | Self::Several)
    }
}

/// Keys by the names they are found at.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<Name, Result<Key, KeyError>>);

impl Keys {
    /// Looks up keys, all at the same time, each name once.
    ///
    /// The caller bounds their number: a [`Verifier`](super::Verifier) asks for
    /// [`SIGNATURES_MAX`](super::SIGNATURES_MAX) at most.
    pub async fn look_up<R: Resolver + ?Sized>(
        resolver: &R,
        names: impl IntoIterator<Item = Name>,
    ) -> Self {
        let names: BTreeSet<Name> = names.into_iter().collect();
        let found = names.into_iter().map(|name| async move {
            let key = look_up(resolver, &name).await;
            (name, key)
        });
        Self(join_all(found).await.into_iter().collect())
    }

    /// What was found at a name; that nothing was found if it was not looked up.
    pub(crate) fn get(&self, name: &Name) -> Result<&Key, KeyError> {
        match self.0.get(name) {
            Some(Ok(key)) => Ok(key),
            Some(Err(error)) => Err(error.clone()),
            None => Err(KeyError::NotFound(None)),
        }
    }
}

/// Looks up one key, as at [`Selector::key_name`](super::Selector::key_name). RFC 6376 §6.1.2.
///
/// # Errors
///
/// If there is not exactly one that is well-formed. Texts that are no keys do not count beside
/// others: they are often there by a wildcard.
pub async fn look_up<R: Resolver + ?Sized>(resolver: &R, name: &Name) -> Result<Key, KeyError> {
    match resolver.txt(name).await {
        Ok(found) => choose(found),
        Err(DnsError::NotFound { security, .. }) => Err(KeyError::NotFound(Some(security))),
        Err(error) => Err(KeyError::Dns(error)),
    }
}

fn choose(found: Found<Vec<u8>>) -> Result<Key, KeyError> {
    let mut chosen = None;
    let mut malformed = None;
    let mut other = None;
    for text in found.records.into_iter().take(KEY_TEXTS_MAX) {
        match KeyRecord::parse(&text) {
            Ok(_) if chosen.is_some() => return Err(KeyError::Several),
            Ok(record) => chosen = Some((record, text)),
            Err(RecordError::NotKey) => other = Some(RecordError::NotKey),
            Err(error) => malformed = Some(error),
        }
    }
    match (chosen, malformed.or(other)) {
        (Some((record, text)), None | Some(RecordError::NotKey)) => {
            let public_key = record.public_key();
            Ok(Key { record, text, security: found.security, public_key })
        }
        // RFC 6376 §6.1.2 step 6: permanent, also for text that is something else. Were it
        // temporary, a forger could name a selector where a wildcard has some text.
        (_, Some(error)) => Err(KeyError::Malformed(error)),
        (None, None) => Err(KeyError::NotFound(Some(found.security))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::*;

    #[track_caller]
    fn check(texts: &[&str], want: Result<&str, KeyError>) {
        let mut dns = FakeDns::new();
        for text in texts {
            dns.add_txt("s._domainkey.example.org", text);
        }
        let name = Name::parse("s._domainkey.example.org").unwrap();
        let got = look_up(&dns, &name).now_or_never().unwrap();
        let got = got.map(|key| String::from_utf8(key.text).unwrap());
        assert_eq!(got, want.map(str::to_owned), "{texts:?}");
    }

    /// RFC 6376 §3.6.2.2, §6.1.2.
    #[test]
    fn one_key_is_chosen() {
        let not_key = || Err(KeyError::Malformed(RecordError::NotKey));
        check(&["v=DKIM1; p=AQ=="], Ok("v=DKIM1; p=AQ=="));
        check(&["v=spf1 -all", "p=AQ==", "x"], Ok("p=AQ=="));
        check(&["p=AQ==", "p=AQ=="], Err(KeyError::Several));
        check(&[], Err(KeyError::NotFound(Some(Security::Insecure))));
        check(&["v=spf1 -all"], not_key());
        let missing = RecordError::Malformed(super::super::TagError::Missing("p"));
        check(&["v=DKIM1"], Err(KeyError::Malformed(missing)));
        check(&["v=DKIM1", "p=AQ=="], Err(KeyError::Malformed(missing)));
    }

    #[test]
    fn keys_are_looked_up_once_each() {
        let mut dns = FakeDns::new();
        dns.add_txt("a.example", "p=AQ==").sign("a.example");
        dns.fail("b.example", RecordType::Txt, DnsError::Temporary(Trouble::Timeout));
        let name = |text: &str| Name::parse(text).unwrap();
        let names = ["a.example", "b.example", "A.example", "c.example"].map(name);
        let keys = Keys::look_up(&dns, names).now_or_never().unwrap();
        assert_eq!(dns.take_asked().len(), 3);
        assert!(keys.get(&name("a.example")).unwrap().security.is_secure());
        let error = keys.get(&name("b.example")).unwrap_err();
        assert_eq!(error, KeyError::Dns(DnsError::Temporary(Trouble::Timeout)));
        assert!(error.is_temporary());
        assert!(!keys.get(&name("c.example")).unwrap_err().is_temporary());
        assert_eq!(keys.get(&name("d.example")).unwrap_err(), KeyError::NotFound(None));
    }
}
