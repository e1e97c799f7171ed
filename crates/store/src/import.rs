//! Taking over many messages: what cannot be added is left out and told, and the rest stays.

use mox_base::{MailboxName, ZonedTime};

use crate::feed::ChangeKind;
use crate::hash;
use crate::mailbox::{self, MAILBOX_KEYWORDS_MAX};
use crate::message::{MESSAGE_KEYWORDS_MAX, NewMessage, add_one};
use crate::tx::Tx;
use crate::{Result, StoreError};

/// How far in the future the Date field of a message may be.
const CLOCK_SLACK_SECS: i64 = 86_400;

/// What became of messages that were to be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages added.
    pub added: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Messages left out because the mailbox has the same, byte by byte.
    pub duplicates: u64,
    /// Keywords left out because the message or the mailbox would have too many.
    pub keywords_left_out: u64,
    /// The quota that kept the next message out, and all that would have followed; `None` if all
    /// were dealt with.
    pub over_quota: Option<u64>,
}

/// Adds the messages in their order, as far as the quota goes. The mailbox is made if it is missing.
pub(crate) fn import(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    messages: Vec<NewMessage>,
    skip_duplicates: bool,
) -> Result<Imported> {
    let policy = tx.shared.policy()?;
    let mut mailbox = mailbox::find_or_create(tx, name)?;
    let modseq = tx.modseq()?;
    let known_keywords = mailbox.keywords.len();
    let mut imported = Imported::default();
    let mut states = Vec::with_capacity(messages.len());
    for mut message in messages {
        let hash = message.content.hash();
        if skip_duplicates && hash::in_mailbox(tx.db(), mailbox.id, &hash)?.is_some() {
            imported.duplicates += 1;
            continue;
        }
        let wanted = message.keywords.len();
        message.keywords.truncate(MESSAGE_KEYWORDS_MAX);
        let mut room = MAILBOX_KEYWORDS_MAX - mailbox.keywords.len().min(MAILBOX_KEYWORDS_MAX);
        message.keywords.retain(|keyword| {
            let is_known = mailbox.keywords.binary_search(keyword).is_ok();
            let fits = is_known || room > 0;
            room = room.saturating_sub(usize::from(!is_known));
            fits
        });
        imported.keywords_left_out += (wanted - message.keywords.len()) as u64;
        // A date that cannot be is none.
        let sent = message.content.facts.sent;
        let sent = sent.filter(|sent| sent.0 > 0 && *sent <= tx.now.plus_secs(CLOCK_SLACK_SECS));
        message.received = message.received.or_else(|| sent.map(ZonedTime::from));
        let size = message.content.size();
        match add_one(tx, &mut mailbox, &policy, message) {
            Ok((_, state)) => states.push(state),
            // Nothing was written for it: the space is asked for first.
            Err(StoreError::OverQuota { limit_bytes, .. }) => {
                imported.over_quota = Some(limit_bytes);
                break;
            }
            Err(error) => return Err(error),
        }
        imported.added += 1;
        imported.bytes += size;
    }
    if states.is_empty() {
        return Ok(imported);
    }
    mailbox.modseq = modseq;
    mailbox::save(tx, &mailbox)?;
    tx.publish(ChangeKind::Added { mailbox: mailbox.id, messages: states });
    if mailbox.keywords.len() > known_keywords {
        let keywords = mailbox.keywords;
        tx.publish(ChangeKind::Keywords { mailbox: mailbox.id, keywords });
    }
    Ok(imported)
}
