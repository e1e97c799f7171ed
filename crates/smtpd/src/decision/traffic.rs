//! What a transaction adds to the traffic of its accounts, before any of it is stored.

use std::collections::HashMap;
use std::sync::Arc;

use mox_base::{MailboxName, UnixSeconds};
use mox_policy::{Addressee, History, HistoryError, Identity, Network, Past, Traffic};

/// The copies of one message that were decided upon so far, by account.
///
/// Attack: a thousand recipients that are one account would be let through together, since none of
/// the copies is stored while the others are decided upon.
#[derive(Debug, Default)]
pub(super) struct Earlier(HashMap<Arc<str>, Traffic>);

impl Earlier {
    /// Takes note of a copy that may be stored.
    pub(super) fn add(&mut self, account: &Arc<str>, size_bytes: u64) {
        let traffic = self.0.entry(Arc::clone(account)).or_default();
        *traffic = sum(*traffic, Traffic { messages: 1, bytes: size_bytes });
    }

    /// The history of an account together with its earlier copies.
    pub(super) fn with<'a, H: History>(&self, account: &str, history: &'a H) -> Joined<'a, H> {
        Joined { history, earlier: self.0.get(account).copied().unwrap_or_default() }
    }
}

fn sum(one: Traffic, other: Traffic) -> Traffic {
    Traffic {
        messages: one.messages.saturating_add(other.messages),
        bytes: one.bytes.saturating_add(other.bytes),
    }
}

/// See [`Earlier::with`]. All that is asked about traffic is the network of the one client.
#[derive(Debug)]
pub(super) struct Joined<'a, H> {
    history: &'a H,
    earlier: Traffic,
}

impl<H: History> History for Joined<'_, H> {
    fn newest(
        &self,
        mailbox: &MailboxName,
        identity: Identity<'_>,
        since: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Past>, HistoryError> {
        self.history.newest(mailbox, identity, since, limit)
    }

    fn has_sent_to(
        &self,
        addressee: Addressee<'_>,
        since: UnixSeconds,
    ) -> Result<bool, HistoryError> {
        self.history.has_sent_to(addressee, since)
    }

    fn traffic(&self, network: Network, since: UnixSeconds) -> Result<Traffic, HistoryError> {
        Ok(sum(self.history.traffic(network, since)?, self.earlier))
    }
}
