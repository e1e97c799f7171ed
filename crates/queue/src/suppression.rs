//! The suppression list: addresses that an account no longer sends to.
//!
//! An entry is for a base address: `u.ser+shop-1@x.example` stands for `user@x.example`.

use mox_base::UnixSeconds;
use mox_smtp::Mailbox;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::{Pending, QueueError, Result};
use crate::filter::LIST_MAX;
use crate::message::{MessageId, Queued};
use crate::queue::Queue;
use crate::row;

/// The most suppressions of one account. Beyond it none is added automatically.
pub const SUPPRESSIONS_MAX: i64 = 1_000_000;

/// Codes with which a server says that the address does not exist, or takes no mail at all.
const GONE_CODES: [u16; 5] = [521, 550, 551, 553, 556];

/// Details that say the same of a permanent failure. RFC 3463 §3.2, §3.3, §3.8.
const GONE_DETAILS: [(u16, u16); 6] = [(1, 1), (1, 2), (1, 3), (1, 6), (2, 1), (7, 1)];

/// Failures in a row that are taken for the same.
const FAILURES_IN_A_ROW: usize = 3;

/// An address on the list of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Whose.
    pub account: String,
    /// See [`base_address`].
    pub base_address: String,
    /// As it was added.
    pub address: String,
    /// Somebody added it.
    pub is_manual: bool,
    /// Why.
    pub reason: String,
    /// When it was added.
    pub created: UnixSeconds,
}

/// The address that all variants of an address have in common: the localpart is cut at the first
/// `+` and then at the first `-`, has its dots removed and is in lower case.
///
/// Nothing is cut from a localpart that begins with one of them: all such would be one.
#[must_use]
pub fn base_address(address: &Mailbox) -> String {
    let cut = |text: &str, at: char| match text.split_once(at) {
        Some((before, _)) if !before.is_empty() => before.to_owned(),
        _ => text.to_owned(),
    };
    let localpart = cut(&cut(address.localpart.as_str(), '+'), '-');
    let without_dots = localpart.replace('.', "").to_lowercase();
    format!("{without_dots}@{}", address.host)
}

impl Queue {
    /// The list of an account, or of all, by account and address; at most [`LIST_MAX`] of those
    /// after `after`, the account and base address of the last one before.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn suppressions(
        &self,
        account: Option<&str>,
        after: Option<(&str, &str)>,
    ) -> Result<Vec<Suppression>> {
        const SQL: &str = "SELECT account, base_address, address, is_manual, reason, created \
            FROM suppression WHERE (?1 IS NULL OR account = ?1) \
            AND (account, base_address) > (?2, ?3) ORDER BY account, base_address LIMIT ?4";
        let (after_account, after_base) = after.unwrap_or(("", ""));
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let bound = params![account, after_account, after_base, LIST_MAX];
            let rows = statement.query_map(bound, suppression)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Whether the account no longer sends to this address, or another with the same base.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn suppressed(&self, account: &str, address: &Mailbox) -> Result<Option<Suppression>> {
        self.read(|db| find(db, account, &base_address(address)))
    }

    /// All entries for an address, of whatever account.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn suppressed_anywhere(&self, address: &Mailbox) -> Result<Vec<Suppression>> {
        const SQL: &str = "SELECT account, base_address, address, is_manual, reason, created \
            FROM suppression WHERE base_address = ?1 ORDER BY account LIMIT ?2";
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows =
                statement.query_map(params![base_address(address), LIST_MAX], suppression)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Adds an address by hand.
    ///
    /// # Errors
    ///
    /// [`QueueError::SuppressedAlready`].
    pub fn suppress(
        &self,
        account: &str,
        address: &Mailbox,
        reason: &str,
        now: UnixSeconds,
    ) -> Pending<()> {
        let new = Suppression {
            account: account.to_owned(),
            base_address: base_address(address),
            address: row::mailbox_text(address),
            is_manual: true,
            reason: reason.to_owned(),
            created: now,
        };
        self.write(0, move |tx, _| match insert(tx.db(), &new)? {
            true => Ok(()),
            false => Err(QueueError::SuppressedAlready),
        })
    }

    /// Removes an address, or another with the same base.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotSuppressed`].
    pub fn unsuppress(&self, account: &str, address: &Mailbox) -> Pending<()> {
        const SQL: &str = "DELETE FROM suppression WHERE account = ?1 AND base_address = ?2";
        let (account, base) = (account.to_owned(), base_address(address));
        self.write(0, move |tx, _| {
            match tx.db().prepare_cached(SQL)?.execute(params![account, base])? {
                0 => Err(QueueError::NotSuppressed),
                _ => Ok(()),
            }
        })
    }

    /// Whether a final failure with this reply would put the address on the list of the account:
    /// at once if the reply says that the address does not exist, else if the two messages before
    /// failed too, as far as they are kept. Never without a code, and never one that is on it.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn would_suppress(
        &self,
        account: &str,
        rcpt: &Mailbox,
        code: Option<u16>,
        enhanced: Option<(u8, u16, u16)>,
    ) -> Result<bool> {
        self.read(|db| would_suppress(db, account, rcpt, (code, enhanced), None))
    }
}

/// - `reply`: code and enhanced code.
/// - `this`: the message, if it is among the retired ones already.
pub(crate) fn would_suppress(
    db: &Connection,
    account: &str,
    rcpt: &Mailbox,
    reply: (Option<u16>, Option<(u8, u16, u16)>),
    this: Option<MessageId>,
) -> Result<bool> {
    let (Some(code), enhanced) = reply else {
        return Ok(false);
    };
    if find(db, account, &base_address(rcpt))?.is_some() {
        return Ok(false);
    }
    Ok(says_gone(code, enhanced) || failed_before(db, account, rcpt, this)?)
}

fn says_gone(code: u16, enhanced: Option<(u8, u16, u16)>) -> bool {
    GONE_CODES.contains(&code)
        || code / 100 == 5
            && enhanced
                .is_some_and(|(_, subject, detail)| GONE_DETAILS.contains(&(subject, detail)))
}

/// Whether the messages before this one failed, as many as make a row with it.
fn failed_before(
    db: &Connection,
    account: &str,
    rcpt: &Mailbox,
    this: Option<MessageId>,
) -> Result<bool> {
    const SQL: &str = "SELECT is_success FROM retired WHERE account = ?1 AND rcpt_to = ?2 \
        AND id IS NOT ?4 ORDER BY last_activity DESC, id DESC LIMIT ?3";
    let mut statement = db.prepare_cached(SQL)?;
    let others = FAILURES_IN_A_ROW - 1;
    let bound = params![account, row::mailbox_text(rcpt), others, this.map(|id| id.0)];
    let rows = statement.query_map(bound, |row| row.get(0))?;
    let successes = rows.collect::<rusqlite::Result<Vec<bool>>>()?;
    Ok(successes.len() == others && !successes.contains(&true))
}

/// Adds the recipient of a message that failed. Returns whether it was not there.
pub(crate) fn add_automatic(
    db: &Connection,
    message: &Queued,
    reason: &str,
    now: UnixSeconds,
) -> Result<bool> {
    const COUNT: &str = "SELECT count(*) FROM suppression WHERE account = ?1";
    let count: i64 = db.prepare_cached(COUNT)?.query_row([&message.account], |row| row.get(0))?;
    if count >= SUPPRESSIONS_MAX {
        return Ok(false);
    }
    let new = Suppression {
        account: message.account.clone(),
        base_address: base_address(&message.rcpt_to),
        address: row::mailbox_text(&message.rcpt_to),
        is_manual: false,
        reason: reason.to_owned(),
        created: now,
    };
    insert(db, &new)
}

pub(crate) fn insert(db: &Connection, new: &Suppression) -> Result<bool> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO suppression VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            new.account,
            new.base_address,
            new.address,
            new.is_manual,
            new.reason,
            new.created.0
        ])?;
    Ok(inserted > 0)
}

pub(crate) fn find(db: &Connection, account: &str, base: &str) -> Result<Option<Suppression>> {
    const SQL: &str = "SELECT account, base_address, address, is_manual, reason, created \
        FROM suppression WHERE account = ?1 AND base_address = ?2";
    Ok(db.prepare_cached(SQL)?.query_row(params![account, base], suppression).optional()?)
}

fn suppression(row: &Row<'_>) -> rusqlite::Result<Suppression> {
    Ok(Suppression {
        account: row.get(0)?,
        base_address: row.get(1)?,
        address: row.get(2)?,
        is_manual: row.get(3)?,
        reason: row.get(4)?,
        created: UnixSeconds(row.get(5)?),
    })
}
