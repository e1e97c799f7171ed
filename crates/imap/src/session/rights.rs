//! What a session may do to a mailbox: the one place where that is decided.
//!
//! Today a mailbox is its owner's, so only EXAMINE and the nature of the inbox forbid anything.
//! Rights given to others will be looked up here, and nowhere else; the names are theirs.
//!
//! Source: RFC 4314 §2.1, RFC 4314 §4 (which command needs which right), RFC 9051 §6.3.3.
//!
//! Invariant: a command that reads or changes messages of a mailbox, selected or by its name, or
//! makes or deletes one, has passed [`permit`] before its operation is performed; APPEND, which must
//! read what it refuses, [`allows`]. Names alone (LIST, SUBSCRIBE) are everyone's own.

use mox_base::MailboxName;

use super::{Action, Session, State, Tagged};
use crate::types::Name;

/// What is done to a mailbox. RFC 4314 §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// `r`: look at messages.
    Read,
    /// `s` and `w`: change `\Seen` and other flags.
    WriteFlags,
    /// `w`: change what is kept with it, such as annotations. RFC 5464 §3.
    Write,
    /// `i`: put messages there.
    Insert,
    /// `e`: remove messages.
    Expunge,
    /// `k`: make it, under this name.
    Create,
    /// `x`: do away with it.
    Delete,
}

/// Which mailbox it is done to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// The selected one.
    Selected,
    /// The one of this name, selected or not.
    Named(&'a MailboxName),
}

/// Lets a command pass that needs a right on a mailbox, or answers it with NO.
pub(super) fn permit(
    session: &mut Session,
    cmd: Tagged,
    target: Target<'_>,
    right: Right,
) -> Result<Tagged, Action> {
    match refused(&session.state, target, right) {
        None => Ok(cmd),
        Some(why) => Err(session.no(cmd, None, why)),
    }
}

/// Whether a right on the selected mailbox is there, for what a command leaves out without one: FETCH
/// sets no `\Seen`, CLOSE removes nothing. RFC 9051 §6.3.3, RFC 9051 §6.4.1.
pub(super) fn has(state: &State, right: Right) -> bool {
    allows(state, Target::Selected, right)
}

/// Whether a right is there, for a command that does not refuse at once.
pub(super) fn allows(state: &State, target: Target<'_>, right: Right) -> bool {
    refused(state, target, right).is_none()
}

/// Which right on the selected mailbox a command needs that names messages. RFC 4314 §4.
///
/// A copy needs none but to read here; what it needs at its target is asked of that one.
pub(super) fn of_command(name: Name) -> Right {
    match name {
        Name::Store | Name::UidStore => Right::WriteFlags,
        Name::Move | Name::UidMove | Name::Expunge | Name::UidExpunge => Right::Expunge,
        _ => Right::Read,
    }
}

fn refused(state: &State, target: Target<'_>, right: Right) -> Option<&'static str> {
    match (target, state) {
        (Target::Selected, State::Selected(view)) => match right {
            Right::Read => None,
            // RFC 9051 §6.3.3: no changes to the permanent state of the mailbox.
            _ => view.is_read_only().then_some("mailbox open in read-only mode"),
        },
        (Target::Selected, _) => Some("no mailbox selected"),
        // RFC 9051 §5.1: the inbox is always there.
        (Target::Named(name), _) => {
            let is_fixed = matches!(right, Right::Create | Right::Delete) && name.is_inbox();
            is_fixed.then_some("not possible with inbox")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_base::{MailboxId, ModSeq};

    use super::*;
    use crate::session::View;
    use crate::types::{NumSet, UidMap};

    fn selected(read_only: bool) -> State {
        State::Selected(View {
            mailbox: MailboxId(1),
            read_only,
            uids: Arc::new(UidMap::new()),
            uidnext: 1,
            modseq: ModSeq::default(),
            told: ModSeq::default(),
            since: ModSeq::default(),
            saved: NumSet::new(),
            contexts: None,
        })
    }

    #[track_caller]
    fn check(state: &State, right: Right, want: bool) {
        assert_eq!(has(state, right), want, "{state:?} {right:?}");
    }

    /// RFC 9051 §6.3.3: what EXAMINE opens is read, no more.
    #[test]
    fn examined_mailboxes_are_only_read() {
        for right in [Right::Read, Right::WriteFlags, Right::Expunge] {
            check(&selected(false), right, true);
            check(&selected(true), right, right == Right::Read);
            check(&State::Authenticated, right, false);
        }
    }

    /// RFC 9051 §6.3.4, §6.3.5: the inbox is neither made nor deleted.
    #[test]
    fn the_inbox_stays() {
        let may = |name: &str, right| {
            let name = MailboxName::parse(name).unwrap();
            refused(&State::Authenticated, Target::Named(&name), right).is_none()
        };
        for right in [Right::Create, Right::Delete] {
            assert!(may("x", right) && may("Inbox/x", right) && !may("inbox", right), "{right:?}");
        }
        assert!(may("inbox", Right::Insert) && may("inbox", Right::Read));
    }

    /// RFC 4314 §4: of the commands on messages, those that change something.
    #[test]
    fn commands_need_the_right_for_what_they_do() {
        assert_eq!(of_command(Name::UidFetch), Right::Read);
        assert_eq!(of_command(Name::Copy), Right::Read);
        assert_eq!(of_command(Name::Store), Right::WriteFlags);
        assert_eq!(of_command(Name::UidMove), Right::Expunge);
        assert_eq!(of_command(Name::Expunge), Right::Expunge);
    }
}
