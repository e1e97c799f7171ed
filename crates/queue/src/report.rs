//! What reports of others tell of messages that have left: written into the history, with all that
//! follows from it, in one commit.

use mox_base::UnixSeconds;

use crate::error::{Pending, Result};
use crate::hook::{self, NewHook};
use crate::message::{Attempt, MessageId, Queued};
use crate::queue::Queue;
use crate::{retired, settle, suppression};

/// What a report tells of a retired message.
#[derive(Clone, Debug)]
pub struct LateResult {
    /// Of which.
    pub id: MessageId,
    /// What happened; absent if the report cannot be understood.
    pub result: Option<Attempt>,
    /// Whether the message was delivered, as far as the report says.
    pub is_success: Option<bool>,
    /// The address goes to the suppression list of the account, for this failure; see
    /// [`Queue::would_suppress_late`].
    pub suppress: Option<settle::Failure>,
    /// The call about it.
    pub hook: Option<NewHook>,
}

impl Queue {
    /// Writes down what a report tells. Nothing of it, if the message is not kept any longer.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn settle_late(&self, late: LateResult, now: UnixSeconds) -> Pending<()> {
        let bytes = late.hook.as_ref().map_or(0, NewHook::memory_bytes);
        self.write_at(now, bytes, move |tx, state| {
            let Some(message) = retired::get(tx.db(), late.id)? else { return Ok(()) };
            if let Some(result) = late.result {
                retired::append(tx.db(), &message.message, result, late.is_success, now)?;
            }
            if let Some(failure) = &late.suppress {
                let reason = settle::reason(failure);
                suppression::add_automatic(tx.db(), &message.message, &reason, now)?;
            }
            if let Some(hook) = &late.hook {
                hook::insert(tx.db(), hook, now)?;
                state.wake_after(tx);
            }
            Ok(())
        })
    }

    /// Whether a failure that a report tells of a retired message would put its address on the list
    /// of its account: by the rules of [`Queue::would_suppress`], with the message itself not being
    /// one of those before.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn would_suppress_late(
        &self,
        message: &Queued,
        code: Option<u16>,
        enhanced: Option<(u8, u16, u16)>,
    ) -> Result<bool> {
        let (account, rcpt, this) = (&message.account, &message.rcpt_to, Some(message.id));
        self.read(|db| suppression::would_suppress(db, account, rcpt, (code, enhanced), this))
    }
}
