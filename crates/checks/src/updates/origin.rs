//! Who makes the releases that this build looks for. The one place that says so.
//!
//! No release of this project was published with a key yet, so there is nobody to ask: the setting
//! `CheckUpdates` has no effect, and says so. Who publishes releases makes it work in these steps:
//!
//! 1. `mox updates genkey >releases.key`, kept where nothing else runs; `mox updates pubkey
//!    releases.key` tells the public key.
//! 2. [`PUBLISHED`] is set to the name of a TXT record, the address of the list of changes, and that
//!    key; the line of `CheckUpdates` is removed in `crates/config/src/check/unused.rs`.
//! 3. With each release: `mox updates addsigned releases.key changelog.json <changes.txt`, the list is
//!    put where the address is (or given out by `mox updates serve`), then the record is changed.

use mox_dns::Name;

use super::decode_key;

/// The name of the record, the address of the changes, the public key in base64; `None` as long as no
/// releases are published.
const PUBLISHED: Option<(&str, &str, &str)> = None;

/// Who makes releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name with the record of the newest version.
    pub name: Name,
    /// The URL of the list of changes.
    pub changelog: String,
    /// The public key of Ed25519 that signs changes.
    pub key: [u8; 32],
}

/// Who makes the releases of this build; `None` if that is nobody.
#[must_use]
pub fn origin() -> Option<Origin> {
    let (name, changelog, key) = PUBLISHED?;
    let name = Name::parse(name).ok()?;
    Some(Origin { name, changelog: changelog.to_owned(), key: decode_key(key).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slip in the constants would switch the look off without a word.
    #[test]
    fn what_is_published_can_be_used() {
        assert_eq!(origin().is_some(), PUBLISHED.is_some());
        assert!(PUBLISHED.is_none_or(|(_, url, _)| url.starts_with("https://")));
    }
}
