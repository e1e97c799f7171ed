//! Remembers which passwords were right a moment ago.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::{Password, StoredPassword, Verifiers};

/// The largest number of passwords remembered; at 100 bytes each or so.
pub const CACHE_ENTRIES_MAX: usize = 10_000;

/// How long a password is remembered after it was checked in full.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// A cache of successful password checks, so that clients that log in for every look at a mailbox
/// cost microseconds and not milliseconds.
///
/// It holds no password: an entry is an HMAC, by a random key of this process, over what is
/// stored and the password. A changed password has another verifier, so its old entries are never found
/// again. Only successes are kept; wrong passwords and unknown users always cost a full check, the
/// same for both.
pub struct PasswordCache {
    key: hmac::Key,
    entries: Mutex<Entries>,
}

type Tag = [u8; 32];

#[derive(Default)]
struct Entries {
    /// All of `order`.
    tags: HashSet<Tag>,
    /// Oldest first: all live equally long.
    order: VecDeque<(Duration, Tag)>,
}

impl PasswordCache {
    /// Makes an empty cache; `key` must be random and fresh.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self { key, entries: Mutex::default() }
    }

    /// Whether the password is known to be right: a microsecond. `false` says nothing.
    ///
    /// `now` is a monotonic time.
    #[must_use]
    pub fn contains(&self, stored: &StoredPassword, password: &Password, now: Duration) -> bool {
        let tag = self.tag(stored, password);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.drop_expired(now);
        // Looked up by a keyed hash: how long that takes tells nothing about the password.
        entries.tags.contains(&tag)
    }

    /// Checks a password against its verifier: by the cache, else in full, which takes
    /// milliseconds and is remembered if it succeeds.
    ///
    /// `now` is a monotonic time.
    #[must_use]
    pub fn verify(&self, stored: &StoredPassword, password: &Password, now: Duration) -> bool {
        if self.contains(stored, password, now) {
            return true;
        }
        let is_right = stored.is_password(password);
        if is_right {
            self.remember(stored, password, now);
        }
        is_right
    }

    /// Remembers a password that is known to be right.
    pub fn remember(&self, stored: &StoredPassword, password: &Password, now: Duration) {
        let tag = self.tag(stored, password);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(tag, now);
    }

    fn tag(&self, stored: &StoredPassword, password: &Password) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        // All before the password is of a length that the first bytes tell, so no two pairs of
        // stored and typed password give one text.
        match stored {
            StoredPassword::Verifiers(Verifiers { sha256: verifier, .. }) => {
                context.update(&[1, verifier.shape().salt_bytes]);
                context.update(&verifier.salt);
                context.update(&verifier.iterations.get().to_be_bytes());
                context.update(&verifier.stored_key);
                context.update(&verifier.server_key);
            }
            StoredPassword::Bcrypt(hash) => {
                let (cost, salt, hash) = hash.parts();
                context.update(&[2]);
                context.update(&cost.to_be_bytes());
                context.update(salt);
                context.update(hash);
            }
        }
        context.update(password.bytes());
        let mut tag = Tag::default();
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}

impl Entries {
    fn drop_expired(&mut self, now: Duration) {
        while let Some((added, tag)) = self.order.front() {
            if now.saturating_sub(*added) < CACHE_AGE_MAX {
                break;
            }
            self.tags.remove(tag);
            self.order.pop_front();
        }
    }

    fn insert(&mut self, tag: Tag, now: Duration) {
        // Two sessions may have checked the same password at the same time.
        if !self.tags.insert(tag) {
            return;
        }
        if self.order.len() == CACHE_ENTRIES_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.tags.remove(&oldest);
        }
        self.order.push_back((now, tag));
    }
}

/// Shows only how full it is.
impl fmt::Debug for PasswordCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).order.len();
        f.debug_struct("PasswordCache").field("entries", &entries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SECOND: Duration = Duration::from_secs(1);

    fn verifier(text: &str, salt: u8) -> (StoredPassword, Password) {
        let password = Password::prepare(text).unwrap();
        let verifiers = Verifiers::derive(&password, [1; 16], [salt; 16]);
        (StoredPassword::Verifiers(verifiers), password)
    }

    #[test]
    fn only_successes_are_remembered_and_only_for_their_verifier() {
        let cache = PasswordCache::new([1; 32]);
        let (verifier1, password) = verifier("moxmoxmox", 1);
        let (verifier2, _) = verifier("moxmoxmox", 2);
        let wrong = Password::prepare("moxmoxmoy").unwrap();
        assert!(!cache.verify(&verifier1, &wrong, SECOND));
        assert!(!cache.contains(&verifier1, &wrong, SECOND));
        assert!(!cache.contains(&verifier1, &password, SECOND));
        assert!(cache.verify(&verifier1, &password, SECOND));
        assert!(cache.contains(&verifier1, &password, SECOND));
        // The same password set again, with a new salt: the old entry must not count.
        assert!(!cache.contains(&verifier2, &password, SECOND));
        assert!(format!("{cache:?}").contains("entries: 1"));
    }

    #[test]
    fn a_bcrypt_hash_is_remembered_apart_from_others() {
        let cache = PasswordCache::new([1; 32]);
        let hash = |tail: &str| {
            let text = format!("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVf{tail}");
            StoredPassword::parse(&text).unwrap()
        };
        let password = Password::prepare("a").unwrap();
        assert!(cache.verify(&hash("xe"), &password, SECOND));
        assert!(cache.contains(&hash("xe"), &password, SECOND));
        assert!(!cache.contains(&hash("xy"), &password, SECOND));
        assert!(!cache.verify(&hash("xy"), &password, SECOND));
    }

    #[test]
    fn entries_end_fifteen_minutes_after_the_full_check() {
        let cache = PasswordCache::new([1; 32]);
        let (verifier, password) = verifier("moxmoxmox", 1);
        assert!(cache.verify(&verifier, &password, SECOND));
        let end = SECOND + CACHE_AGE_MAX;
        assert!(cache.verify(&verifier, &password, end - SECOND));
        assert!(!cache.contains(&verifier, &password, end));
        assert!(cache.entries.lock().unwrap().tags.is_empty());
    }

    #[test]
    fn the_oldest_entry_goes_when_the_cache_is_full() {
        let mut entries = Entries::default();
        let tag = |number: usize| {
            let mut tag = Tag::default();
            tag[..8].copy_from_slice(&number.to_be_bytes());
            tag
        };
        for number in 0..=CACHE_ENTRIES_MAX {
            entries.insert(tag(number), SECOND);
            entries.insert(tag(number), SECOND);
        }
        assert_eq!(
            (entries.tags.len(), entries.order.len()),
            (CACHE_ENTRIES_MAX, CACHE_ENTRIES_MAX)
        );
        assert!(!entries.tags.contains(&tag(0)) && entries.tags.contains(&tag(1)));
    }
}
