//! Aliases: who may write to one, which members get a copy, and whose decision counts.
//!
//! Source: RFC 5321 §3.9 (aliases and lists). The envelope keeps its sender, as that of an alias does
//! (§3.9.1): all members are local, so that failures are known before the message is accepted.
//! Members are addresses and never aliases: an alias cannot lead back to itself.

use mox_base::Address;
use mox_config::{AliasMember, AliasTarget, Config};
use mox_smtp::Reply;
use mox_smtp::server::{DataRefusal, RcptRefusal};

use super::{Places, Routes, closed, refused};

/// Who a message is from, as far as aliases ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author<'a> {
    /// The one address in `From`, in canonical form if it is local; `None` if there is not exactly
    /// one.
    pub(crate) address: Option<&'a Address>,
    pub(crate) standing: Standing,
}

/// Whether the author is who `From` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Logged in with the right to use the address, or vouched for by its domain.
    Proven,
    /// Anybody could have written it.
    Unproven,
    /// It could not be found out now.
    Unknown,
}

impl Author<'_> {
    /// The address, if it is certain that its owner wrote the message.
    pub(crate) fn proven(&self) -> Option<&Address> {
        self.address.filter(|_| self.standing == Standing::Proven)
    }
}

/// Whether an author may write to an alias. RFC 3463 §3.8 (X.7.2).
///
/// A public alias is open to everyone, but nobody writes as the alias itself who may not. What
/// members alone may do takes a proven author.
///
/// Deviation: the original believes `From`, by which the name of a member opens the list to
/// everyone.
pub(super) fn may_post(alias: &AliasTarget, author: Author<'_>) -> Result<(), DataRefusal> {
    let is_alias = author.address == Some(&alias.address);
    if alias.post_public && !is_alias {
        return Ok(());
    }
    let is_member = || alias.members.iter().any(|member| Some(&member.address) == author.address);
    match author.standing {
        // Whoever it is that may write: the answer must not tell who is a member.
        Standing::Unknown if author.address.is_some() => Err(DataRefusal::Policy(Reply::new(
            451,
            (7, 2),
            "cannot check now whether you may write to this address",
        ))),
        Standing::Proven if (is_alias && alias.allow_msg_from) || is_member() => Ok(()),
        _ => Err(DataRefusal::Policy(Reply::new(
            550,
            (7, 2),
            "not allowed to write to this address",
        ))),
    }
}

/// A member that gets no copy, and why.
pub(crate) type LeftOut = (Address, RcptRefusal);

/// The members that get a copy: those that do not have the message anyway, and whose own addresses
/// take mail.
///
/// One that takes none is like one whose mailbox is full: the alias is served all the same, unless
/// there is nobody else. Then the error is that of the first.
///
/// Deviation: in the original members get mail of aliases that they refuse when it is for them alone.
pub(super) fn receivers<'a>(
    config: &Config,
    alias: &'a AliasTarget,
    has_it: impl Fn(&Address) -> bool,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<&'a AliasMember>, DataRefusal> {
    let mut receivers = Vec::with_capacity(alias.members.len());
    let mut failure = Ok(());
    let mut is_served = false;
    for member in &alias.members {
        if has_it(&member.address) {
            is_served = true;
        } else if let Err(refusal) = takes_mail(config, member) {
            failure = failure.and_then(|()| Err(refused(&refusal)));
            left_out.push((member.address.clone(), refusal));
        } else {
            is_served = true;
            receivers.push(member);
        }
    }
    if is_served { Ok(receivers) } else { failure.map(|()| receivers) }
}

/// Whether a member would be taken as a recipient. RFC 5321 §3.9.1.
fn takes_mail(config: &Config, member: &AliasMember) -> Result<(), RcptRefusal> {
    if config.is_disabled_domain(&member.address.domain) {
        return Err(RcptRefusal::DomainDisabled);
    }
    closed(&member.target.destination).map_or(Ok(()), Err)
}

impl Routes {
    /// Which copies are to be stored, when each was decided upon by itself.
    ///
    /// A recipient with one copy gets it or not. The members of an alias have one decision: if any
    /// of them would take the message, all get it. A list has one conversation, not one for each.
    ///
    /// - `accepts`: whether the decision on the copy at this place is to take it.
    pub(crate) fn granted(&self, accepts: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut granted = vec![false; self.copies.len()];
        for places in self.rcpts.iter().flatten() {
            if places.iter().any(|place| accepts(*place)) {
                places.iter().for_each(|place| granted[*place] = true);
            }
        }
        granted
    }

    /// The result for each recipient from those of the copies: an alias is served if any member is.
    /// RFC 5321 §3.9: else what the first one said counts. One whose members all get theirs in another
    /// way, or wrote the message, has no copies of its own: it is served if anybody is, so that nobody
    /// is told of success while all copies failed.
    ///
    /// - `outcomes`: one for each copy.
    pub(crate) fn results(
        &self,
        outcomes: &[Result<(), DataRefusal>],
    ) -> Vec<Result<(), DataRefusal>> {
        let one = |rcpt: &Places| {
            let places = rcpt.as_ref().map_err(Clone::clone)?;
            if places.is_empty() {
                return served(outcomes.iter());
            }
            served(places.iter().map(|place| &outcomes[*place]))
        };
        self.rcpts.iter().map(one).collect()
    }
}

/// Success if any copy has it, or there is none; else the first failure.
fn served<'a>(
    mut outcomes: impl Iterator<Item = &'a Result<(), DataRefusal>> + Clone,
) -> Result<(), DataRefusal> {
    if outcomes.clone().any(Result::is_ok) {
        return Ok(());
    }
    outcomes.next().map_or(Ok(()), Clone::clone)
}

#[cfg(test)]
mod tests;
