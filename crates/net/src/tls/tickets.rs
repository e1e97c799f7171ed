//! Keys of session tickets, changed every day.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use mox_base::Clock;
use parking_lot::Mutex;
use rustls::server::ProducesTickets;

/// How long a key makes new tickets.
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys that are kept: the one that makes tickets, and seven before it that still open theirs.
pub(crate) const KEYS_MAX: usize = 8;

/// The lifetime that is told to clients: 7 days, the most that RFC 8446 §4.6.1 allows.
const LIFETIME_SECS: u32 = 7 * 24 * 60 * 60;

const NAME_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// Makes and opens tickets: key name, nonce, AES-256-GCM. RFC 5077 §4 is the model.
///
/// Each port and certificate has its own keys, so that a ticket is worth nothing elsewhere: a
/// session of one service must not be resumed in another with other rules.
pub(crate) struct TicketKeys {
    clock: Arc<dyn Clock>,
    /// Newest first.
    keys: Mutex<VecDeque<TicketKey>>,
}

struct TicketKey {
    name: [u8; NAME_BYTES],
    made: Duration,
    aead: RandomizedNonceKey,
}

impl TicketKeys {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, keys: Mutex::default() })
    }

    /// Makes a new key if the newest is too old, and forgets those that are out of time.
    fn rotate(keys: &mut VecDeque<TicketKey>, now: Duration) -> Option<()> {
        let age = |key: &TicketKey| now.saturating_sub(key.made);
        keys.retain(|key| age(key) < KEY_LIFE * 8);
        if keys.front().is_none_or(|key| age(key) >= KEY_LIFE) {
            keys.push_front(TicketKey::new(now)?);
            keys.truncate(KEYS_MAX);
        }
        Some(())
    }
}

impl TicketKey {
    fn new(made: Duration) -> Option<Self> {
        let (mut name, mut key) = ([0; NAME_BYTES], [0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut name).ok()?;
        aws_lc_rs::rand::fill(&mut key).ok()?;
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &key).ok()?;
        Some(Self { name, made, aead })
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut keys = self.keys.lock();
        Self::rotate(&mut keys, self.clock.monotonic())?;
        let key = keys.front()?;
        let mut sealed = plain.to_vec();
        let nonce = key.aead.seal_in_place_append_tag(Aad::from(&key.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let mut keys = self.keys.lock();
        Self::rotate(&mut keys, self.clock.monotonic())?;
        let key = keys.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let plain = key.aead.open_in_place(nonce, Aad::from(&key.name), &mut opened).ok()?.len();
        opened.truncate(plain);
        Some(opened)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::ManualClock;

    use super::*;

    #[test]
    fn a_ticket_opens_for_seven_days_after_its_own() {
        let clock = ManualClock::default();
        let keys = TicketKeys::new(Arc::new(clock.clone()));
        let ticket = keys.encrypt(b"session").unwrap();
        for _day in 0..7 {
            clock.advance(KEY_LIFE);
            assert_eq!(keys.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
            let newer = keys.encrypt(b"session").unwrap();
            assert_ne!(newer[..NAME_BYTES], ticket[..NAME_BYTES], "a new key every day");
        }
        clock.advance(KEY_LIFE);
        assert_eq!(keys.decrypt(&ticket), None);
        assert!(keys.keys.lock().len() <= KEYS_MAX);
    }

    #[test]
    fn tickets_that_are_not_ours_do_not_open() {
        let clock = Arc::new(ManualClock::default());
        let (keys, others) =
            (TicketKeys::new(Arc::<ManualClock>::clone(&clock)), TicketKeys::new(clock));
        let ticket = keys.encrypt(b"session").unwrap();
        assert_eq!(others.decrypt(&ticket), None);
        for index in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[index] ^= 1;
            assert_eq!(keys.decrypt(&forged), None, "byte {index}");
            assert_eq!(keys.decrypt(&ticket[..index]), None, "cut at {index}");
        }
        assert_eq!(keys.encrypt(b"").and_then(|ticket| keys.decrypt(&ticket)), Some(Vec::new()));
    }
}
