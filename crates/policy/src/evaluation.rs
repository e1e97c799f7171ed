//! What is remembered for the DMARC reports that we send. RFC 7489 §7.2.

use mox_base::UnixSeconds;

use crate::facts::Facts;
use crate::history::{Addressee, History, HistoryError, Identity, IsValidated};
use crate::reason::Reason;
use crate::verdict::Verdict;

/// Earlier messages of an organisation that are looked through for a wanted one, proven and unproven
/// each.
const LOOKED_AT_MAX: u32 = 50;

/// An evaluation of DMARC to be told to the author's domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The message was refused: disposition `reject`, else `none`.
    pub is_refused: bool,
    /// No report is sent for this alone. Else two servers would report on each other's reports for
    /// ever, and who sends junk in the name of others could make us write to them.
    pub is_optional: bool,
}

/// The evaluation to be stored for one recipient, if there is one.
///
/// To be asked only if reports are sent, and the author's domain has a record with an address for them.
pub fn evaluation(
    verdict: &Verdict,
    facts: &Facts,
    history: &dyn History,
) -> Result<Option<Evaluation>, HistoryError> {
    let is_refused = verdict.reason == Reason::DmarcPolicy;
    let is_taken = verdict.is_accepted() && !verdict.marks.is_reject;
    if !is_taken && !is_refused {
        return Ok(None);
    }
    let reports = facts.recipient.reports;
    let is_optional =
        reports.dmarc || reports.tls || (is_refused && !is_known(verdict, facts, history)?);
    Ok(Some(Evaluation { is_refused, is_optional }))
}

/// Whether the account ever wanted mail of the author's organisation, or wrote to it.
fn is_known(verdict: &Verdict, facts: &Facts, history: &dyn History) -> Result<bool, HistoryError> {
    let Some(author) = &facts.message.author else { return Ok(false) };
    let ever = UnixSeconds(0);
    if history.has_sent_to(Addressee::Organization(&author.organization), ever)? {
        return Ok(true);
    }
    let mailbox = verdict.destined.as_ref().unwrap_or(&verdict.mailbox);
    for is_validated in [IsValidated::Yes, IsValidated::No] {
        let identity = Identity::FromOrganization(&author.organization, is_validated);
        let past = history.newest(mailbox, identity, ever, LOOKED_AT_MAX)?;
        if past.iter().any(|past| !past.is_junk) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
