//! What was decided lately about incoming mail, and why: for the owner of the account to look up.
//!
//! What was refused is kept apart from what was accepted, so that a flood of junk does not push out
//! what the user may look for.

use mox_base::UnixSeconds;
use mox_policy::{Facts, Reason, Verdict};
use rusqlite::{OptionalExtension, Row, params};

use crate::read::Reader;
use crate::tx::Tx;
use crate::{Result, StoreError};

/// How long decisions are kept, in seconds: 30 days.
pub const DECISION_KEEP_SECS: i64 = 30 * 24 * 3600;

/// Decisions that are kept of accepted messages, and as many of refused ones. Ours.
pub const DECISIONS_MAX: u32 = 10_000;

/// Bytes of each text of a decision; what is over is cut. Of the explanation eight times as many.
pub const DECISION_TEXT_BYTES_MAX: usize = 512;

/// Decisions that are forgotten with each new one.
const FORGET_ROWS: usize = 100;

pub(crate) const TABLES: &str = "
CREATE TABLE decision(
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    times INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    reason TEXT NOT NULL,
    code INTEGER,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    author TEXT NOT NULL,
    subject TEXT NOT NULL,
    message_id TEXT,
    remote_ip TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    explanation TEXT NOT NULL
);
CREATE INDEX decision_time ON decision(time);
CREATE INDEX decision_message ON decision(message_id) WHERE message_id IS NOT NULL;
";

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was accepted.
    Accepted,
    /// It was accepted after a wait, as the first message of a stranger.
    Delayed,
    /// It was refused.
    Refused,
}

impl Outcome {
    const ALL: [(Self, u8); 3] = [(Self::Accepted, 1), (Self::Delayed, 2), (Self::Refused, 3)];

    fn number(self) -> Option<u8> {
        Self::ALL.iter().find(|(one, _)| *one == self).map(|(_, number)| *number)
    }

    fn from_number(wanted: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, number)| *number == wanted).map(|(one, _)| *one)
    }

    /// The outcome with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().map(|(one, _)| *one).find(|one| one.as_str() == word)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delayed => "delayed",
            Self::Refused => "refused",
        }
    }
}

/// Which decisions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
    /// Only those with this in the author's address or MAIL FROM, in upper or lower case.
    pub sender: Option<String>,
}

/// A decision on a message for this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When; the last time, if the message was refused more than once.
    pub time: UnixSeconds,
    /// How often a message with this Message-ID was refused for the same reason: servers try again.
    pub times: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// What the sender was told: the SMTP code of the refusal.
    pub code: Option<u16>,
    /// MAIL FROM; empty for the null sender.
    pub mail_from: String,
    /// RCPT TO.
    pub rcpt_to: String,
    /// The address in From; empty if there is none, or more than one.
    pub author: String,
    /// Subject, decoded. May have any characters in it.
    pub subject: String,
    /// The canonical Message-ID.
    pub message_id: Option<String>,
    /// Who connected.
    pub remote_ip: String,
    /// Where the message is, or would have gone.
    pub mailbox: String,
    /// How the decision came about, in lines.
    pub explanation: Vec<String>,
}

impl Decision {
    /// The decision of a verdict.
    #[must_use]
    pub fn new(verdict: &Verdict, facts: &Facts, message_id: Option<String>) -> Self {
        let message = &facts.message;
        let author = message.author.as_ref().map(|author| author.address.to_string());
        let outcome = match &verdict.refusal {
            Some(_) => Outcome::Refused,
            None if !verdict.delay.is_zero() => Outcome::Delayed,
            None => Outcome::Accepted,
        };
        Self {
            time: facts.now,
            times: 1,
            outcome,
            reason: verdict.reason,
            code: verdict.refusal.as_ref().map(|refusal| refusal.code),
            mail_from: message.mail_from_text.clone(),
            rcpt_to: facts.recipient.rcpt_to.to_string(),
            author: author.unwrap_or_default(),
            subject: message.subject.clone(),
            message_id,
            remote_ip: message.remote_ip.to_canonical().to_string(),
            mailbox: verdict.mailbox.to_string(),
            explanation: verdict.explanation.clone(),
        }
    }

    /// Adds it, or counts it if it repeats a refusal, and forgets what is too old or too much.
    pub(crate) fn record(self, tx: &Tx<'_>) -> Result<()> {
        if self.outcome != Outcome::Refused || !self.repeats(tx)? {
            self.insert(tx)?;
        }
        let sql = "DELETE FROM decision WHERE id IN \
             (SELECT id FROM decision WHERE time < ?1 LIMIT ?2)";
        let before = tx.now.plus_secs(-DECISION_KEEP_SECS);
        tx.db().prepare_cached(sql)?.execute(params![before.0, FORGET_ROWS])?;
        Ok(())
    }

    fn repeats(&self, tx: &Tx<'_>) -> Result<bool> {
        let sql = "UPDATE decision SET time = ?1, times = times + 1 WHERE id = \
             (SELECT id FROM decision WHERE message_id = ?2 AND id < 0 AND reason = ?3 \
             AND mail_from = ?4 AND rcpt_to = ?5 LIMIT 1)";
        let with = params![
            self.time.0,
            self.message_id.as_deref().map(cut),
            self.reason.token(),
            cut(&self.mail_from),
            cut(&self.rcpt_to),
        ];
        Ok(tx.db().prepare_cached(sql)?.execute(with)? > 0)
    }

    fn insert(&self, tx: &Tx<'_>) -> Result<()> {
        let id = next_id(tx, self.outcome == Outcome::Refused)?;
        let sql = "INSERT INTO decision VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let explanation = self.explanation.join("\n");
        tx.db().prepare_cached(sql)?.execute(params![
            id,
            self.time.0,
            self.times,
            self.outcome.number(),
            self.reason.token(),
            self.code,
            cut(&self.mail_from),
            cut(&self.rcpt_to),
            cut(&self.author),
            cut(&self.subject),
            self.message_id.as_deref().map(cut),
            cut(&self.remote_ip),
            cut(&self.mailbox),
            cut_to(&explanation, 8 * DECISION_TEXT_BYTES_MAX),
        ])?;
        Ok(())
    }

    fn from_row(row: &Row<'_>) -> Result<Self> {
        let damaged = || StoreError::Damaged { what: "decision" };
        let reason: String = row.get(3)?;
        let explanation: String = row.get(12)?;
        Ok(Self {
            time: UnixSeconds(row.get(0)?),
            times: row.get(1)?,
            outcome: Outcome::from_number(row.get(2)?).ok_or_else(damaged)?,
            reason: Reason::from_token(&reason).ok_or_else(damaged)?,
            code: row.get(4)?,
            mail_from: row.get(5)?,
            rcpt_to: row.get(6)?,
            author: row.get(7)?,
            subject: row.get(8)?,
            message_id: row.get(9)?,
            remote_ip: row.get(10)?,
            mailbox: row.get(11)?,
            explanation: explanation.lines().map(str::to_owned).collect(),
        })
    }
}

/// The next id: of what was accepted they go up from 1, of what was refused down from -1, so that the
/// oldest of each are found by their ids. Makes room for it.
fn next_id(tx: &Tx<'_>, is_refused: bool) -> Result<i64> {
    let (last, range) = if is_refused {
        ("SELECT min(id) FROM decision", "DELETE FROM decision WHERE id >= -?1 AND id < 0")
    } else {
        ("SELECT max(id) FROM decision", "DELETE FROM decision WHERE id <= ?1 AND id > 0")
    };
    let db = tx.db();
    let last: Option<i64> =
        db.prepare_cached(last)?.query_row([], |row| row.get(0)).optional()?.flatten();
    let last = last.filter(|last| (*last < 0) == is_refused).map_or(0, i64::abs);
    let next = last.saturating_add(1);
    let oldest = next.saturating_sub(i64::from(DECISIONS_MAX));
    if oldest > 0 {
        db.prepare_cached(range)?.execute([oldest])?;
    }
    Ok(if is_refused { -next } else { next })
}

fn cut(text: &str) -> &str {
    cut_to(text, DECISION_TEXT_BYTES_MAX)
}

fn cut_to(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

impl Reader {
    /// The latest decisions of those that the filter lets through, the newest first, at most `limit`.
    /// Walks index `decision_time`, which has at most twice [`DECISIONS_MAX`].
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn decisions(&self, filter: &DecisionFilter, limit: u32) -> Result<Vec<Decision>> {
        let sql = "SELECT time, times, outcome, reason, code, mail_from, rcpt_to, author, subject, \
             message_id, remote_ip, mailbox, explanation FROM decision \
             WHERE (?2 IS NULL OR outcome = ?2) \
             AND (?3 IS NULL OR instr(lower(author), ?3) OR instr(lower(mail_from), ?3)) \
             ORDER BY time DESC, id DESC LIMIT ?1";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let outcome = filter.outcome.and_then(Outcome::number);
        let sender = filter.sender.as_ref().map(|sender| sender.to_ascii_lowercase());
        let mut rows = statement.query(params![limit, outcome, sender])?;
        let mut decisions = Vec::new();
        while let Some(row) = rows.next()? {
            decisions.push(Decision::from_row(row)?);
        }
        Ok(decisions)
    }
}
