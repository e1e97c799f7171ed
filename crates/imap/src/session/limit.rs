//! How many messages one command may work on.
//!
//! A command that names more works on those with the highest UIDs and says so, except COPY and
//! APPEND, which do all or nothing, and EXPUNGE and CLOSE, which name none. Searching counts the
//! messages that are looked at: the mailbox, or the UIDs that the program begins with.
//!
//! A client that does not know the code takes the part for the whole. So the limit is far above what
//! anyone keeps in a mailbox: it protects the server, and nobody meets it.
//!
//! Source: RFC 9738 §3.1, RFC 9738 §4.1.

use mox_base::NumSet;

use super::op::Targets;
use super::{Session, Settings, Tagged};
use crate::print::{self, Code, Status};
use crate::types::{ResolvedKey, SearchKey, UidMap};

/// The most messages one command works on, if the driver sets no other limit. Ours.
pub const MESSAGES_MAX: u32 = 1_000_000;

impl Settings {
    /// The most messages one command works on.
    pub(super) fn message_limit(&self) -> u32 {
        self.message_limit.unwrap_or(MESSAGES_MAX)
    }
}

/// The lowest of the `limit` highest numbers; `None` if there are no more than that.
fn lowest_kept(numbers: &NumSet, limit: u32) -> Option<u32> {
    let mut over = numbers.len().checked_sub(u64::from(limit))?;
    if over == 0 {
        return None;
    }
    for (first, last) in numbers.ranges() {
        let count = u64::from(last - first) + 1;
        if over < count {
            return Some(first.saturating_add(u32::try_from(over).unwrap_or(u32::MAX)));
        }
        over -= count;
    }
    None
}

/// Leaves of the messages that are meant those with the highest UIDs. RFC 9738 §3.1.
///
/// Costs nothing in a mailbox that has no more than the limit.
pub(super) fn cut(limit: u32, cmd: &mut Tagged, targets: &mut Targets) {
    if targets.known.exists() <= limit {
        return;
    }
    if let Some(lowest) = lowest_kept(&targets.exact(), limit) {
        cmd.cut_at = Some(lowest);
        // UIDs that are gone stay in: a client may be asking after them.
        targets.uids = targets.uids.intersection(&NumSet::range(lowest, u32::MAX));
    }
}

/// The same for a search: which messages it looks at is in its program. RFC 9738 §3.1.
pub(super) fn cut_search(limit: u32, cmd: &mut Tagged, known: &UidMap, key: &mut ResolvedKey) {
    if known.exists() <= limit {
        return;
    }
    let looked_at = known.intersection(&uids_of(key));
    if let Some(lowest) = lowest_kept(&looked_at, limit) {
        cmd.cut_at = Some(lowest);
        let whole = std::mem::replace(key, SearchKey::All);
        *key = SearchKey::And(vec![SearchKey::Uids(NumSet::range(lowest, u32::MAX)), whole]);
    }
}

/// The UIDs outside of which a program matches nothing, as far as it says so at its outermost.
fn uids_of(key: &ResolvedKey) -> NumSet {
    match key {
        SearchKey::Uids(uids) | SearchKey::Seqs(uids) => uids.clone(),
        SearchKey::And(keys) => {
            let sets = keys.iter().filter_map(|key| match key {
                SearchKey::Uids(uids) | SearchKey::Seqs(uids) => Some(uids),
                _ => None,
            });
            sets.fold(NumSet::all(), |all, uids| all.intersection(uids))
        }
        _ => NumSet::all(),
    }
}

/// Whether more messages are meant than a command may work on that does all or nothing.
pub(super) fn is_over(limit: u32, targets: &Targets) -> bool {
    targets.known.exists() > limit && targets.exact().len() > u64::from(limit)
}

impl Session {
    /// The code of the OK for a command that was cut, unless it has one of its own.
    ///
    /// A reply has one code: where the command has another that clients cannot do without
    /// (MODIFIED, HIGHESTMODSEQ), this one goes before it, untagged. RFC 9738 does not say.
    pub(super) fn code_or_cut(&mut self, cmd: &Tagged, code: Option<Code>) -> Option<Code> {
        match (code, self.cut_code(cmd)) {
            (None, cut) => cut,
            (code, _) => {
                self.print_cut(cmd);
                code
            }
        }
    }

    /// Tells that a command was cut before its reply, which has another code.
    pub(super) fn print_cut(&mut self, cmd: &Tagged) {
        if let Some(code) = self.cut_code(cmd) {
            let text = "not all messages in one command";
            print::tagged(&mut self.out, "*", Status::Ok, Some(code), text);
        }
    }

    fn cut_code(&self, cmd: &Tagged) -> Option<Code> {
        let limit = self.settings.message_limit();
        cmd.cut_at.map(|lowest| Code::MessageLimit { limit, lowest: Some(lowest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ranges: &[(u32, u32)], limit: u32, want: Option<u32>) {
        let numbers = NumSet::from_ranges(ranges.iter().copied());
        assert_eq!(lowest_kept(&numbers, limit), want, "{ranges:?}");
        if let Some(lowest) = want {
            let kept = numbers.intersection(&NumSet::range(lowest, u32::MAX));
            assert_eq!(kept.len(), u64::from(limit));
        }
    }

    /// RFC 9738 §3.1: the highest are kept.
    #[test]
    fn the_highest_are_kept() {
        check(&[], 3, None);
        check(&[(1, 3)], 3, None);
        check(&[(1, 4)], 3, Some(2));
        check(&[(1, 4), (10, 12)], 3, Some(10));
        check(&[(1, 4), (10, 12)], 4, Some(4));
        check(&[(1, 4), (10, 12), (u32::MAX, u32::MAX)], 1, Some(u32::MAX));
    }

    #[test]
    fn a_search_looks_at_what_it_begins_with() {
        let set = |first, last| NumSet::range(first, last);
        let uids = |first, last| SearchKey::Uids(set(first, last));
        assert_eq!(uids_of(&SearchKey::All), NumSet::all());
        assert_eq!(uids_of(&uids(2, 5)), set(2, 5));
        let and = SearchKey::And(vec![uids(2, 5), SearchKey::Never, uids(4, 9)]);
        assert_eq!(uids_of(&and), set(4, 5));
        assert_eq!(uids_of(&SearchKey::Not(Box::new(uids(2, 5)))), NumSet::all());
    }
}
