//! What an account sent before, for limits and for programs in which a user writes.

use std::collections::BTreeMap;

use mox_base::UnixSeconds;
use rusqlite::params;

use super::ROW_BYTES;
use crate::error::Pending;
use crate::hint::TlsHint;
use crate::outgoing::{self, MINUTE_SECS, SENDING_WINDOW_SECS};
use crate::queue::Queue;

/// An address that an account has sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRcpt {
    /// Localpart and domain, as a message is addressed.
    pub address: String,
    /// When, at the earliest that is known.
    pub first: UnixSeconds,
}

/// How much an account has sent in the last day: by the minute, however much it was.
#[derive(Clone, Debug)]
pub struct KeptSent {
    now: UnixSeconds,
    minutes: BTreeMap<i64, i64>,
}

impl KeptSent {
    /// Nothing yet.
    #[must_use]
    pub fn new(now: UnixSeconds) -> Self {
        Self { now, minutes: BTreeMap::new() }
    }

    /// Counts a recipient of a message, unless it was sent on another day.
    pub fn add(&mut self, at: UnixSeconds) {
        if (0..=SENDING_WINDOW_SECS).contains(&self.now.secs_since(at)) {
            *self.minutes.entry(at.0.div_euclid(MINUTE_SECS)).or_default() += 1;
        }
    }
}

impl Queue {
    /// Takes over whom an account has sent to: it sends to none of them for the first time again.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_rcpts(&self, account: &str, rcpts: Vec<KeptRcpt>) -> Pending<()> {
        const SQL: &str = "INSERT INTO outgoing_rcpt VALUES(?1, ?2, ?3) \
            ON CONFLICT DO UPDATE SET first = min(first, excluded.first)";
        let account = account.to_owned();
        self.write(rcpts.len() * ROW_BYTES, move |tx, _| {
            let mut insert = tx.db().prepare_cached(SQL)?;
            for one in rcpts {
                let address = outgoing::counted_address(&one.address);
                insert.execute(params![account, address, one.first.0])?;
            }
            Ok(())
        })
    }

    /// Takes over how much an account has sent in the last day. Minutes of which as much or more is
    /// counted already stay as they are.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_sent(&self, account: &str, sent: KeptSent) -> Pending<()> {
        const SQL: &str = "INSERT INTO outgoing_count VALUES(?1, ?2, ?3) \
            ON CONFLICT DO UPDATE SET messages = max(messages, excluded.messages)";
        let account = account.to_owned();
        self.write(0, move |tx, _| {
            let mut insert = tx.db().prepare_cached(SQL)?;
            for (minute, messages) in sent.minutes {
                insert.execute(params![account, minute, messages])?;
            }
            Ok(())
        })
    }

    /// Takes over what servers of domains offered when an account last wrote to them. What is known
    /// already stays.
    ///
    /// - `hints`: with the domain, as [`mox_base::Host::ascii`] has it, and the time.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_tls_hints(
        &self,
        account: &str,
        hints: Vec<(String, TlsHint, UnixSeconds)>,
    ) -> Pending<()> {
        const SQL: &str = "INSERT INTO tls_hint VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let account = account.to_owned();
        self.write(hints.len() * ROW_BYTES, move |tx, _| {
            let mut insert = tx.db().prepare_cached(SQL)?;
            for (domain, hint, updated) in hints {
                let TlsHint { has_starttls, has_requiretls } = hint;
                insert.execute(params![
                    account,
                    domain,
                    updated.0,
                    has_starttls,
                    has_requiretls
                ])?;
            }
            Ok(())
        })
    }
}
