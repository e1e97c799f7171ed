//! SEARCH and SORT: from the program to the question, and from the outcome to the answer.

use std::collections::HashMap;

use super::context::{self, Opening};
use super::op::{Found, SearchOp};
use super::rights::{self, Right, Target};
use super::search_answer::{Answer, Numbers};
use super::{Action, Op, Pending, Session, State, Tagged, View, limit};
use crate::types::{
    NumSet, ParsedKey, ResolvedKey, ReturnOptions, Search, SearchKey, SequenceSetError, SetArg,
    SetOf, SortBy, SortKey,
};

/// What is kept while the driver searches.
#[derive(Debug)]
pub(super) struct Searching {
    /// `None` for an old answer.
    options: Option<ReturnOptions>,
    asked_modseq: bool,
    is_sorted: bool,
    /// The result is to be kept up to date. RFC 5267 §4.3.
    opening: Option<Opening>,
}

/// Why the sets of a program mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// Message numbers after UIDONLY. RFC 9586 §3.
    NumbersForbidden,
    /// A message number beyond the last.
    NoSuchNumber,
}

/// SEARCH, SORT and their UID forms. RFC 9051 §6.4.4, RFC 4731 §3.1, RFC 5182 §2.1, RFC 5256 §3.
pub(super) fn search(session: &mut Session, cmd: Tagged, search: Search) -> Action {
    let asked_modseq = search.key.any(&|key: &ParsedKey| matches!(key, SearchKey::ModSeq(_)));
    if asked_modseq {
        session.enable_condstore();
    }
    let is_sorted = !search.sort.is_empty();
    let all = ReturnOptions { all: true, ..ReturnOptions::default() };
    // RFC 9051 §6.4.4: in IMAP4rev2 the answer of SEARCH always is ESEARCH. SORT is not part of it.
    let is_extended = session.enabled.rev2 && !is_sorted;
    let options = search.options.or_else(|| is_extended.then_some(all));
    let is_fuzzy = is_fuzzy(&search.key);
    let wants_relevancy = options.is_some_and(|options| options.relevancy)
        || search.sort.iter().any(|key| key.by == SortBy::Relevancy);
    let wants_update = options.is_some_and(|options| options.update);
    if wants_update && context::is_open(session, &cmd.tag) {
        return session.bad(cmd, None, "tag in use for updates");
    }
    let kept = wants_update.then(|| resolve_openly(session, search.key.clone())).flatten();
    let resolved = resolve(session, search.key);
    if let State::Selected(view) = &mut session.state
        && options.is_some_and(|options| options.save)
    {
        // RFC 5182 §2.1: a search that fails leaves an empty result.
        view.saved = NumSet::new();
    }
    if wants_relevancy && !is_fuzzy {
        return session.bad(cmd, None, "relevancy without a fuzzy key");
    }
    if search.sort.iter().skip(1).any(|key| key.by == SortBy::Relevancy) {
        // Deviation: RFC 6203 §5 lets RELEVANCY stand anywhere; as the last of several it would
        // decide between messages that are equal in all else, of which there are none.
        return session.bad(cmd, None, "relevancy must be the first sort key");
    }
    let mut key = match resolved {
        Ok(key) => key,
        Err(why) => return unresolved(session, cmd, why),
    };
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    limit::cut_search(session.settings.message_limit(), &mut cmd, &view.uids, &mut key);
    let known = std::sync::Arc::clone(&view.uids);
    let mailbox = view.mailbox;
    let opening = kept.and_then(|kept| prepare_update(session, &cmd, kept, &search.sort));
    let mut wanted = options.unwrap_or(all);
    // The first and the last of what is sorted are known when all of it is.
    wanted.all |= is_sorted;
    let op = SearchOp {
        mailbox,
        known,
        key,
        wanted: wanted.wanted(),
        with_modseq: asked_modseq,
        sort: search.sort,
        tag: cmd.tag.clone(),
    };
    let searching = Searching { options, asked_modseq, is_sorted, opening };
    session.perform(cmd, Pending::Search(searching), Op::Search(op))
}

/// What keeps the result up to date; if that is refused, the client hears of it at once. RFC 5267
/// §4.3.1.
fn prepare_update(
    session: &mut Session,
    cmd: &Tagged,
    key: ResolvedKey,
    sort: &[SortKey],
) -> Option<Opening> {
    let key = match cmd.cut_at {
        None => key,
        Some(lowest) => SearchKey::And(vec![SearchKey::Uids(NumSet::range(lowest, u32::MAX)), key]),
    };
    let opening = Opening::new(key, sort).and_then(|opening| match context::prepare(session) {
        None => Ok(opening),
        Some(why) => Err(why),
    });
    opening.map_err(|why| context::refuse(&cmd.tag, why, &mut session.out)).ok()
}

/// The program for messages that are yet to come: numbers and `$` are those of now.
fn resolve_openly(session: &Session, key: ParsedKey) -> Option<ResolvedKey> {
    let view = session.view()?;
    let resolved: Result<ResolvedKey, SequenceSetError> = key.try_map(&mut |set| match set {
        SetOf::Uids(SetArg::Set(set)) => Ok(set.resolve_uids_openly(view.uids.highest())),
        SetOf::Uids(set) => view.resolve(&set, true),
        SetOf::Seqs(set) => view.resolve(&set, false),
    });
    resolved.ok()
}

/// Turns message numbers and `$` into UIDs.
pub(super) fn resolve(session: &Session, key: ParsedKey) -> Result<ResolvedKey, Unresolved> {
    if session.enabled.uidonly && has_numbers(&key) {
        return Err(Unresolved::NumbersForbidden);
    }
    let State::Selected(view) = &session.state else { return Err(Unresolved::NoSuchNumber) };
    let resolved: Result<ResolvedKey, SequenceSetError> = key.try_map(&mut |set| match set {
        SetOf::Uids(set) => view.resolve(&set, true),
        SetOf::Seqs(set) => view.resolve(&set, false),
    });
    resolved.map_err(|_| Unresolved::NoSuchNumber)
}

/// Answers a command whose program means nothing.
pub(super) fn unresolved(session: &mut Session, cmd: Tagged, why: Unresolved) -> Action {
    match why {
        Unresolved::NumbersForbidden => session.uid_required(cmd),
        Unresolved::NoSuchNumber => session.bad(cmd, None, "no such message number"),
    }
}

/// Whether a program has message numbers in it; `$` stands for messages without a number.
/// RFC 9586 §3.
pub(super) fn has_numbers(key: &ParsedKey) -> bool {
    key.any(&|key: &ParsedKey| matches!(key, SearchKey::Seqs(SetArg::Set(_))))
}

/// Whether a program has a FUZZY key, so that RELEVANCY means something. RFC 6203 §4.
pub(super) fn is_fuzzy(key: &ParsedKey) -> bool {
    key.any(&|key: &ParsedKey| matches!(key, SearchKey::Fuzzy(_)))
}

pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    searching: Searching,
    found: Found,
) -> Action {
    let State::Selected(view) = &mut session.state else { return session.done(cmd) };
    let modseq = found.highest_modseq.filter(|_| searching.asked_modseq);
    let (at, relevancy) = (found.at, relevancy_of(&found));
    let uids = if searching.is_sorted {
        let known = |uid: &u32| view.uids.seq_of(*uid).is_some();
        Numbers::List(found.order.into_iter().filter(known).collect())
    } else {
        Numbers::Set(view.uids.intersection(&found.uids))
    };
    let by_uid = cmd.name.is_uid();
    let numbers = if by_uid { uids.clone() } else { numbers_of(view, &uids) };
    let answer = Answer {
        tag: &cmd.tag,
        is_uid: by_uid,
        modseq: modseq.filter(|_| !uids.is_empty()).map(|modseq| modseq.get().max(1)),
        numbers: &numbers,
    };
    let out = &mut session.out;
    match searching.options {
        None => answer.print_old(out, if searching.is_sorted { "SORT" } else { "SEARCH" }),
        Some(options) => {
            if options.save {
                view.saved = saved(options, &uids);
            }
            let scores = options.relevancy.then(|| scores(options, &uids, &relevancy));
            if answer.says_something(options) {
                answer.print_extended(out, options, scores.as_deref());
            }
        }
    }
    if let Some(opening) = searching.opening {
        context::open(session, &cmd, opening, &uids, at);
    }
    session.done(cmd)
}

fn numbers_of(view: &View, uids: &Numbers) -> Numbers {
    match uids {
        Numbers::Set(uids) => Numbers::Set(view.uids.seqs_of_uids(uids)),
        Numbers::List(uids) => {
            Numbers::List(uids.iter().filter_map(|uid| view.uids.seq_of(*uid)).collect())
        }
    }
}

/// The scores by UID.
pub(super) fn relevancy_of(found: &Found) -> HashMap<u32, u8> {
    found.uids.iter().zip(found.relevancy.iter().copied()).collect()
}

/// The scores of what is shown, in its order. RFC 6203 §4.
pub(super) fn scores(
    options: ReturnOptions,
    uids: &Numbers,
    relevancy: &HashMap<u32, u8>,
) -> Vec<u8> {
    let shown = options.partial.map_or_else(|| uids.clone(), |range| uids.part(range));
    shown.to_vec().iter().map(|uid| relevancy.get(uid).copied().unwrap_or(1)).collect()
}

/// RFC 5182 §2.4: with only MIN or MAX, only these are saved. RFC 9394 §3.2: with PARTIAL, its part
/// is saved in place of all.
pub(super) fn saved(options: ReturnOptions, uids: &Numbers) -> NumSet {
    let only_ends = options.min || options.max;
    if options.all || (options.count && options.partial.is_none()) {
        return uids.to_set();
    }
    let part = match options.partial {
        Some(range) => uids.part(range).to_set(),
        None if !only_ends => return uids.to_set(),
        None => NumSet::new(),
    };
    let min = uids.first().filter(|_| options.min);
    let max = uids.last().filter(|_| options.max);
    part.union(&min.into_iter().chain(max).collect())
}
